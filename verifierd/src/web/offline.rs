//! Passwords that hosts check alone: what was made and what became of it, making one, revoking.

use std::sync::Arc;

use hyper::{Method, StatusCode};
use serve::Reply;
use wire::admin::{
    MadeOfflinePassword, NewOfflinePassword, OfflinePassword, OfflinePasswordList, OfflineScope, OfflineState,
};
use zeroize::Zeroizing;

use super::asking::{Ask, Refused, named, path, query};
use super::pages::{Shown, may, nothing_here, redirect, shown};
use super::parts::{Cell, Facts, Field, Rows};
use super::sheet::{ActionForm, Input, Outcome, ROWS_MAX, Sheet, refusal};
use super::{Asked, Web};
use crate::http::roles::Verb;
use crate::people::Person;

/// Which logins, as it is sent and as it is shown.
const SCOPES: [(&str, &str); 4] = [
    ("all_services", "All services"),
    ("service", "One service"),
    ("file_transfer", "File transfers only"),
    ("lockout_reset", "None: it ends a wait after wrong tries"),
];

/// What is sent where start and end say it.
const WINDOW: &str = "window";

/// How long, likewise.
const DURATIONS: [(&str, &str); 12] = [
    ("15m", "15 minutes from its use on"),
    ("30m", "30 minutes from its use on"),
    ("1h", "1 hour from its use on"),
    ("2h", "2 hours from its use on"),
    ("4h", "4 hours from its use on"),
    ("8h", "8 hours from its use on"),
    ("1d", "1 day from its use on"),
    ("2d", "2 days from its use on"),
    ("5d", "5 days from its use on"),
    ("14d", "14 days from its use on"),
    ("30d", "30 days from its use on"),
    (WINDOW, "From the start to the end below"),
];

/// By whose clocks times are meant.
const ZONES: [(&str, &str); 2] = [("host", "The host's"), ("server", "The verifier's")];

/// Said of a password that is shown.
const TO_READ_OUT: &str =
    "Read it out in groups, or print this page. It is shown once. O is read as 0, I and L as 1.";

/// Said of one that is not.
const MAILED: &str =
    "It is mailed, and shown nowhere. How the mail stands is told below, and on the page of the password.";

impl Web {
    /// Whatever is asked below `/offline`.
    pub(super) async fn offline(&self, asked: &Asked<'_>, person: &Arc<Person>, rest: &[&str]) -> Reply {
        let rest: Option<Vec<String>> = rest.iter().map(|part| named(part)).collect();
        let rest = rest.unwrap_or_default();
        let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
        match (*asked.method == Method::POST, rest.as_slice()) {
            (false, []) => self.list_offline(asked, person).await,
            (false, ["new"]) => self.new_page(asked, person, None),
            (true, ["new"]) => self.make_offline(asked, person).await,
            (false, [id]) => self.offline_page(asked, person, id, Outcome::None).await,
            (true, [_, "revoke"]) if !may(person, Verb::OfflineRevoke) => {
                refusal("Revoke", &Refused::denied(), &shown(asked, person))
            }
            (true, [id, "revoke"]) => {
                match self.ask::<OfflinePassword>(person, Ask::post(of(id, &["revoke"]), &())).await {
                    Ok(_) => redirect(&page_of(id, "?done=changed")),
                    Err(refused) => self.offline_page(asked, person, id, Outcome::Refused(refused)).await,
                }
            }
            _ => nothing_here(asked, person),
        }
    }

    async fn list_offline(&self, asked: &Asked<'_>, person: &Arc<Person>) -> Reply {
        let visitor = shown(asked, person);
        let host = asked.form.typed("host");
        let list = Ask::get(format!("/v1/offline{}", query(host.map(|host| ("host", host)))));
        let all = match self.ask::<OfflinePasswordList>(person, list).await {
            Ok(list) => list.items,
            Err(refused) => return refusal("Offline passwords", &refused, &visitor),
        };
        let mut page = Sheet::new(&visitor, "Offline passwords");
        page.texts = vec!["A host that reaches no verifier checks these alone.".into()];
        page.action = "/offline";
        page.questions = vec![Field::new("host", "Host, by its name or the code at its prompt", host)];
        if all.len() > ROWS_MAX {
            page.texts.push(format!("The newest {ROWS_MAX} of {} are shown.", all.len()));
        }
        let headings = ["Password", "User", "For", "Until, at the host", "State"];
        let row = |one: &OfflinePassword| {
            [
                Cell::leading(&one.id, page_of(&one.id, "")),
                one.user.as_deref().unwrap_or("everybody").into(),
                one.logins().into(),
                one.until.host.as_str().into(),
                one.state.word().into(),
            ]
        };
        page.tables = vec![("", Rows::new(headings, all.iter().take(ROWS_MAX).map(row), "There is none."))];
        if may(person, Verb::OfflineIssue) {
            let to = format!("/offline/new{}", query(host.map(|host| ("host", host))));
            page.links = vec![("Make one", to)];
        }
        page.reply(asked, Outcome::None)
    }

    async fn offline_page(
        &self,
        asked: &Asked<'_>,
        person: &Arc<Person>,
        id: &str,
        outcome: Outcome,
    ) -> Reply {
        let visitor = shown(asked, person);
        let one = match self.ask::<OfflinePassword>(person, Ask::get(of(id, &[]))).await {
            Ok(one) => one,
            Err(refused) => return refusal("Offline password", &refused, &visitor),
        };
        let mut page = Sheet::new(&visitor, format!("Offline password {}", one.id));
        page.facts = Some(facts(&one));
        let is_over =
            one.revoked_by.is_some() || !matches!(one.state, OfflineState::Open | OfflineState::Used);
        if may(person, Verb::OfflineRevoke) && !is_over {
            let note = "Its host hears of it when it reaches a verifier. What it gave ends then.";
            let form = ActionForm::new("revoke", "Revoke", page_of(&one.id, "/revoke"), []);
            page.offer(form.note(note).grave());
        }
        page.links = vec![("All offline passwords", "/offline".into())];
        page.reply(asked, outcome)
    }

    /// Tells the password, once: in this answer, which nobody keeps.
    async fn make_offline(&self, asked: &Asked<'_>, person: &Arc<Person>) -> Reply {
        let Some(wish) = wish(asked) else {
            let message = "choose for which logins it is".into();
            let refused = Refused { status: StatusCode::BAD_REQUEST, message };
            return self.new_page(asked, person, Some(refused));
        };
        match self.ask::<MadeOfflinePassword>(person, Ask::post("/v1/offline", &wish)).await {
            Ok(MadeOfflinePassword { made, password }) => {
                let visitor = shown(asked, person);
                let mut page = Sheet::new(&visitor, format!("Offline password for {}", made.host));
                let text = if password.is_some() { TO_READ_OUT } else { MAILED };
                page.texts = vec![text.into()];
                page.once = Zeroizing::new(password.into_iter().collect());
                page.facts = Some(facts(&made));
                page.links = vec![("All offline passwords", "/offline".into())];
                page.reply(asked, Outcome::Said("The password is made.".into()))
            }
            Err(refused) => self.new_page(asked, person, Some(refused)),
        }
    }

    fn new_page(&self, asked: &Asked<'_>, person: &Person, refused: Option<Refused>) -> Reply {
        let visitor: Shown = shown(asked, person);
        if !may(person, Verb::OfflineIssue) {
            return refusal("Make an offline password", &Refused::denied(), &visitor);
        }
        let again = |name| asked.form.typed(name).filter(|_| refused.is_some());
        let mut inputs = vec![
            Input::text("host", "Host, by its name or the code at its prompt").with(asked.form.typed("host")),
            Input::text("user", "User; empty: everybody").with(again("user")).optional(),
            Input::choice("scope", "For logins to", &SCOPES).with(again("scope")),
            Input::text("service", "The service, where it is for one, such as sshd")
                .with(again("service"))
                .optional(),
            Input::choice("for", "Lets in for", &DURATIONS).with(again("for")),
            Input::text("from", "Start, such as 2026-11-23T16:00; empty: now").with(again("from")).optional(),
            Input::text("until", "End").with(again("until")).optional(),
            Input::choice("zone", "Start and end by these clocks", &ZONES).with(again("zone")),
            Input::text("why", "Why").with(again("why")).optional(),
        ];
        if self.administration.dialogue.config.load().mail.is_some() {
            let label = "Mail it to this address; empty: it is shown here";
            inputs.push(Input::text("mail", label).with(again("mail")).optional());
        }
        let mut page = Sheet::new(&visitor, "Make an offline password");
        let note = "What counts from its use on has to be used on the present day of the host. Both clocks are shown once it is made.";
        page.offer(ActionForm::new("new", "Make it", "/offline/new".into(), inputs).note(note));
        page.links = vec![("All offline passwords", "/offline".into())];
        page.reply(asked, refused.map_or(Outcome::None, Outcome::Refused))
    }
}

/// What the form says; none where it names no scope.
fn wish(asked: &Asked<'_>) -> Option<NewOfflinePassword> {
    let typed = |name| asked.form.typed(name).map(str::to_owned);
    let scope = match asked.form.typed("scope")? {
        "all_services" => OfflineScope::AllServices,
        "service" => OfflineScope::Service,
        "file_transfer" => OfflineScope::FileTransfer,
        "lockout_reset" => OfflineScope::LockoutReset,
        _ => return None,
    };
    // What ends a wait is for today, and has no times.
    let is_timed = scope != OfflineScope::LockoutReset;
    Some(NewOfflinePassword {
        host: typed("host").unwrap_or_default(),
        user: typed("user"),
        scope,
        service: typed("service"),
        valid_for: typed("for").filter(|word| is_timed && word != WINDOW),
        from: typed("from"),
        until: typed("until"),
        time_zone: typed("zone"),
        why: typed("why"),
        mail: typed("mail"),
    })
}

/// The route of a password.
fn of(id: &str, more: &[&str]) -> String {
    path(&[&["v1", "offline", id], more].concat())
}

/// The page of a password.
fn page_of(id: &str, more: &str) -> String {
    format!("{}{more}", path(&["offline", id]))
}

fn facts(one: &OfflinePassword) -> Facts {
    let used = one.used.as_ref();
    let used =
        used.map(|used| format!("{} by {} ({}), until {}", used.at, used.user, used.service, used.until));
    let zone = one.host_time_zone.as_deref().unwrap_or("As the verifier's: the host has not said");
    Facts(vec![
        ("Id", one.id.as_str().into()),
        ("Host", Cell::leading(&one.host, path(&["hosts", &one.host]))),
        ("User", one.user.as_deref().unwrap_or("everybody").into()),
        ("For", one.logins().into()),
        ("Lets in", one.lets_in().into()),
        (if one.minutes.is_some() { "To be used by" } else { "Until" }, one.until.to_string().into()),
        ("Clocks of the host", zone.into()),
        ("State", one.state.word().into()),
        ("Used", used.as_deref().into()),
        ("Why", one.why.as_deref().into()),
        ("Made", format!("{} by {}", one.made, one.made_by).into()),
        ("Revoked by", one.revoked_by.as_deref().into()),
        ("Mailed to", one.mail.as_ref().map(|mail| mail.to_string()).as_deref().into()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    // covers: N4
    #[test]
    fn each_duration_that_is_offered_is_one_that_there_is() {
        let minutes = |word: &str| {
            let (number, unit) = word.split_at(word.len() - 1);
            let of_unit = [("m", 1), ("h", 60), ("d", 24 * 60)].into_iter().find(|known| known.0 == unit);
            number.parse::<u64>().unwrap() * of_unit.unwrap().1
        };
        let offered: Vec<_> =
            DURATIONS.iter().filter(|(word, _)| *word != WINDOW).map(|(word, _)| minutes(word)).collect();
        let known: Vec<_> = offline_password::Duration::ALL.iter().map(|known| known.minutes()).collect();
        assert_eq!(offered, known);
    }
}
