//! Another password of one's own: for whoever knows the present one.

use std::sync::Arc;

use hyper::StatusCode;
use serve::Reply;

use super::owner;
use crate::engine::Decision;
use crate::people::{By, Desk, Person, PersonOrigin};
use crate::web::asking::Refused;
use crate::web::pages::{redirect, shown};
use crate::web::sessions::Stage;
use crate::web::sheet::{ActionForm, Input, Outcome, Sheet};
use crate::web::sign_in::{said, unavailable};
use crate::web::{Asked, Typed, Web};

/// Where it is.
pub(super) const PAGE: &str = "/account/password";

impl Web {
    /// The form.
    pub(in crate::web) fn show_own_password(&self, asked: &Asked<'_>, person: &Arc<Person>) -> Reply {
        password_page(asked, person, Outcome::None)
    }

    /// Takes the present password and the next one. His other sign-ins end; this one goes on, under another name.
    pub(in crate::web) async fn change_own_password(&self, asked: &Asked<'_>, person: &Arc<Person>) -> Reply {
        let refused = |status, message: String| {
            password_page(asked, person, Outcome::Refused(Refused { status, message }))
        };
        let typed = |name| asked.form.field(name).cloned().unwrap_or_default();
        let (present, next) = (typed("present"), typed("password"));
        if person.origin != PersonOrigin::Internal {
            return password_page(asked, person, Outcome::None);
        }
        if next != typed("again") {
            return refused(StatusCode::BAD_REQUEST, "the two new passwords are not the same".into());
        }
        let dialogue = &self.administration.dialogue;
        let begun = dialogue.clock.elapsed();
        let change = async {
            self.know(asked, person, present).await?;
            let by = By { actor: owner(person), role: person.role };
            let changed = dialogue.people.clerk().set_password(&person.login, next, by).await;
            Ok::<_, Option<Decision>>(changed)
        };
        match change.await {
            Ok(Ok(record)) => {
                let person = Arc::new(Person::from(&*record));
                let key = asked.visitor.as_ref().and_then(|(_, visitor)| visitor.key.as_deref());
                self.begin(&person, (Stage::SignedIn, key), asked, redirect("/account?done=password"))
            }
            Ok(Err(error)) => refused(StatusCode::CONFLICT, error.to_string()),
            Err(None) => unavailable(),
            Err(Some(decision)) => {
                dialogue.wait_for_the_next_beat(begun).await;
                refused(StatusCode::FORBIDDEN, said(&decision))
            }
        }
    }

    /// Goes on where somebody knows the present password of whoever is signed in. It counts as it does at the sign-in.
    async fn know(
        &self,
        asked: &Asked<'_>,
        person: &Arc<Person>,
        password: Typed,
    ) -> Result<(), Option<Decision>> {
        let attempt = self.own_attempt(asked, person, super::PROOF, password).ok_or(None)?;
        let dialogue = &self.administration.dialogue;
        let known = dialogue.engine.identify(&attempt, &person.login, &dialogue.people, Desk::Page).await;
        let (known, _) = known.map_err(Some)?;
        // Somebody else may have his login name since.
        if known.id == person.id { Ok(()) } else { Err(None) }
    }
}

fn password_page(asked: &Asked<'_>, person: &Arc<Person>, outcome: Outcome) -> Reply {
    let visitor = shown(asked, person);
    let mut page = Sheet::new(&visitor, "Change your password");
    page.links = vec![("Back to your account", "/account".into())];
    if person.origin == PersonOrigin::Internal {
        let inputs = [
            Input::present_password("present", "Your present password"),
            Input::password("password", "New password, 12 to 256 characters"),
            Input::password("again", "The new password once more"),
        ];
        page.offer(
            ActionForm::new("password", "Change it", PAGE.into(), inputs)
                .note("Wherever else you are signed in, that ends."),
        );
    } else {
        page.texts = vec!["Your password is kept by your directory, and changed there.".into()];
    }
    page.reply(asked, outcome)
}
