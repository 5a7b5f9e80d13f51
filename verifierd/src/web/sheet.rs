//! Pages that show one thing or a list and offer forms that change it, one like the other.

use askama::Template;
use hyper::StatusCode;
use serve::Reply;
use zeroize::Zeroizing;

use super::Asked;
use super::asking::Refused;
use super::pages::{Page, Shown};
use super::parts::{Facts, Field, Rows, sentence};

/// Most rows on one page: what somebody looks through before he searches, and a page of it is some 50 kB.
pub(super) const ROWS_MAX: usize = 100;

/// What an address may say was done, so that a page that was come to after a form tells it. Nothing else is shown.
const DONE: [(&str, &str); 10] = [
    ("unlocked", "The counts of wrong codes are cleared, and tokens that they had disabled work again."),
    ("associated", "The token is associated: the code was right."),
    ("resync", "The token is in step again."),
    ("disassociated", "The token is taken away."),
    ("removed", "The token is removed."),
    ("assigned", "The token is assigned: a code of it is asked for at the next login."),
    ("added", "The token is added."),
    ("changed", "Done."),
    ("app", "The app is added: its code was right."),
    ("password", "Your password is changed. Wherever else you were signed in, that has ended."),
];

/// How a value is typed.
pub(super) enum Kind {
    /// A word or two.
    Text,
    /// A one-time password.
    Code,
    /// Characters that nobody sees, of a new password.
    Password,
    /// The same, of the present one.
    PresentPassword,
    /// What goes along, and nobody types.
    Hidden,
    /// One of these: what is sent, and what is read.
    Choice(&'static [(&'static str, &'static str)]),
}

/// A value that a form asks for.
pub(super) struct Input {
    name: &'static str,
    label: &'static str,
    kind: Kind,
    value: String,
    is_required: bool,
}

impl Input {
    /// A word that has to be there.
    pub(super) fn text(name: &'static str, label: &'static str) -> Self {
        Self { name, label, kind: Kind::Text, value: String::new(), is_required: true }
    }

    /// A one-time password that has to be there.
    pub(super) fn code(name: &'static str, label: &'static str) -> Self {
        Self { kind: Kind::Code, ..Self::text(name, label) }
    }

    /// One of a few.
    pub(super) fn choice(
        name: &'static str,
        label: &'static str,
        choices: &'static [(&'static str, &'static str)],
    ) -> Self {
        Self { kind: Kind::Choice(choices), ..Self::text(name, label) }
    }

    /// The password that holds.
    pub(super) fn present_password(name: &'static str, label: &'static str) -> Self {
        Self { kind: Kind::PresentPassword, ..Self::text(name, label) }
    }

    /// A new password.
    pub(super) fn password(name: &'static str, label: &'static str) -> Self {
        Self { kind: Kind::Password, ..Self::text(name, label) }
    }

    /// What goes along.
    pub(super) fn hidden(name: &'static str, value: &str) -> Self {
        Self { kind: Kind::Hidden, ..Self::text(name, "").with(Some(value)) }
    }

    /// The same with what stands there already.
    pub(super) fn with(self, value: Option<&str>) -> Self {
        Self { value: value.unwrap_or_default().to_owned(), ..self }
    }

    /// The same, which may be empty.
    pub(super) fn optional(self) -> Self {
        Self { is_required: false, ..self }
    }
}

/// A form that changes something.
#[derive(Template)]
#[template(path = "web/parts/form.html")]
pub(super) struct ActionForm {
    id: &'static str,
    heading: &'static str,
    note: String,
    action: String,
    form_word: String,
    inputs: Vec<Input>,
    button: &'static str,
    is_grave: bool,
}

impl ActionForm {
    /// A form.
    ///
    /// * `id`: tells its fields from those of other forms on the page.
    pub(super) fn new(
        id: &'static str,
        heading: &'static str,
        action: String,
        inputs: impl IntoIterator<Item = Input>,
    ) -> Self {
        let inputs = inputs.into_iter().collect();
        let (note, form_word, button) = (String::new(), String::new(), heading);
        Self { id, heading, note, action, form_word, inputs, button, is_grave: false }
    }

    /// The same with a word on what follows.
    pub(super) fn note(self, note: impl Into<String>) -> Self {
        Self { note: note.into(), ..self }
    }

    /// The same, of something that hurts.
    pub(super) fn grave(self) -> Self {
        Self { is_grave: true, ..self }
    }
}

/// A page.
#[derive(Template)]
#[template(path = "web/sheet.html")]
pub(super) struct Sheet<'a> {
    visitor: &'a Shown,
    title: String,
    /// Why something was refused; nothing where this is empty.
    pub(super) fault: String,
    /// What was done.
    pub(super) said: String,
    /// What is told in this answer alone.
    pub(super) once: Zeroizing<Vec<String>>,
    /// What is to be known.
    pub(super) texts: Vec<String>,
    /// Where its questions go, and these.
    pub(super) action: &'static str,
    /// They are asked by GET, because they change nothing.
    pub(super) questions: Vec<Field>,
    /// What is known of the one thing.
    pub(super) facts: Option<Facts>,
    /// Tables under their headings.
    pub(super) tables: Vec<(&'static str, Rows)>,
    /// Where a list goes on; nowhere where this is empty.
    pub(super) onwards: String,
    forms: Vec<ActionForm>,
    /// Where to go from here.
    pub(super) links: Vec<(&'static str, String)>,
}

impl<'a> Sheet<'a> {
    /// A page of nothing but its title.
    pub(super) fn new(visitor: &'a Shown, title: impl Into<String>) -> Self {
        Self {
            visitor,
            title: title.into(),
            fault: String::new(),
            said: String::new(),
            once: Zeroizing::default(),
            texts: Vec::new(),
            action: "",
            questions: Vec::new(),
            facts: None,
            tables: Vec::new(),
            onwards: String::new(),
            forms: Vec::new(),
            links: Vec::new(),
        }
    }

    /// The same with a form, which only this session can send.
    pub(super) fn offer(&mut self, form: ActionForm) {
        self.forms.push(ActionForm { form_word: self.visitor.form_word.clone(), ..form });
    }

    /// The answer, with what came of the form that it answers or follows.
    pub(super) fn reply(mut self, asked: &Asked<'_>, outcome: Outcome) -> Reply {
        let mut status = StatusCode::OK;
        match outcome {
            Outcome::None => {
                let done = asked.form.typed("done");
                let known = DONE.into_iter().find(|(word, _)| Some(*word) == done);
                self.said = known.map(|(_, text)| text.to_owned()).unwrap_or(self.said);
            }
            Outcome::Said(text) => self.said = text,
            Outcome::Refused(refused) => {
                self.fault = sentence(&refused.message);
                status = refused.status;
            }
        }
        Page::of(&self).reply(status)
    }
}

/// What came of a form.
pub(super) enum Outcome {
    /// None was sent.
    None,
    /// This is to be read.
    Said(String),
    /// It was refused.
    Refused(Refused),
}

/// A page that says why there is nothing to show.
pub(super) fn refusal(title: &str, refused: &Refused, visitor: &Shown) -> Reply {
    Page::message(title, &sentence(&refused.message), visitor).reply(refused.status)
}

/// Rows for one page, those after `after` in the order of their names, and the name after which it goes on.
pub(super) fn stretch<T>(
    items: Vec<T>,
    after: Option<&str>,
    name: impl Fn(&T) -> &str,
) -> (Vec<T>, Option<String>) {
    let mut rest: Vec<T> =
        items.into_iter().filter(|item| after.is_none_or(|after| name(item) > after)).collect();
    let has_more = rest.len() > ROWS_MAX;
    rest.truncate(ROWS_MAX);
    let next = rest.last().filter(|_| has_more).map(|last| name(last).to_owned());
    (rest, next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_is_shown_in_stretches_that_leave_nothing_out() {
        let names: Vec<String> = (0..250).map(|number| format!("u{number:03}")).collect();
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let (rows, next) = stretch(names.clone(), after.as_deref(), |name| name);
            assert!(rows.len() <= ROWS_MAX);
            seen.extend(rows);
            let Some(next) = next else { break };
            after = Some(next);
        }
        assert_eq!(seen, names);
        assert_eq!(stretch(names, Some("u249"), |name| name), (Vec::new(), None));
    }
}
