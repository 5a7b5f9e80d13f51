//! One's own account: who is signed in, his tokens and recovery codes, and where all else of his is.
//!
//! | module | does |
//! | --- | --- |
//! | `app` | adds an authenticator app |
//! | `password` | another password of one's own |

mod app;
mod password;

use std::sync::Arc;

use serve::Reply;
use wire::admin::{RecoveryStatus, SelfInfo};

use super::asking::{Ask, path};
use super::pages::shown;
use super::parts::{Cell, Facts};
use super::sheet::{Outcome, Sheet, refusal};
use super::users::{codes_left, token_rows};
use super::{Asked, Typed, Web};
use crate::accounts::Actor;
use crate::engine::{Attempt, Occasion};
use crate::http::roles::Caller;
use crate::people::{Person, PersonOrigin};

/// The event of a person who proves on a page that he is himself.
pub(super) const PROOF: &str = "self_service";

/// A person as records have him who changes what is his own.
pub(super) fn owner(person: &Arc<Person>) -> Actor {
    Actor::owner(Caller::from(person).signature())
}

impl Web {
    /// What somebody who is signed in types on a page of his own; `None` where nothing can be drawn.
    pub(super) fn own_attempt(
        &self,
        asked: &Asked<'_>,
        person: &Arc<Person>,
        event: &'static str,
        typed: Typed,
    ) -> Option<Attempt> {
        let attempt = self.attempt(&person.login, &asked.place, typed)?;
        let occasion = Occasion::on_page(event, attempt.occasion.login.clone(), owner(person));
        Some(Attempt { occasion, ..attempt })
    }

    /// The page of whoever is signed in.
    pub(super) async fn show_account(&self, asked: &Asked<'_>, person: &Arc<Person>) -> Reply {
        let visitor = shown(asked, person);
        let own = match self.ask::<SelfInfo>(person, Ask::get("/v1/self")).await {
            Ok(own) => own,
            Err(refused) => return refusal("Your account", &refused, &visitor),
        };
        let mut facts: Vec<(&'static str, Cell)> = vec![
            ("Login name", person.login.as_str().into()),
            ("Name", person.name.as_str().into()),
            ("Address", person.email.as_ref().map(ToString::to_string).as_deref().into()),
        ];
        let mut page = Sheet::new(&visitor, "Your account");
        page.links = vec![("Your sessions", "/sessions".into()), ("Your requests", "/requests".into())];
        if let Some(account) = Caller::from(person).account() {
            let ask = Ask::get(path(&["v1", "users", account.as_str(), "recovery"]));
            match self.ask::<RecoveryStatus>(person, ask).await {
                Ok(recovery) => facts.push(("Recovery codes left", codes_left(&recovery).into())),
                Err(refused) => return refusal("Your account", &refused, &visitor),
            }
            page.links.push(("New recovery codes", path(&["users", account.as_str(), "recovery"])));
            if self.may_add_apps() {
                page.links.push(("Add an authenticator app", app::PAGE.into()));
            }
        }
        if person.origin == PersonOrigin::Internal {
            page.links.push(("Change your password", password::PAGE.into()));
        }
        if cfg!(feature = "webauthn") {
            page.links.push(("Security keys and passkeys", "/account/keys".into()));
        }
        page.facts = Some(Facts(facts));
        let tokens = own.user.map(|user| user.tokens).unwrap_or_default();
        page.tables = vec![("Your tokens", token_rows(&tokens))];
        page.reply(asked, Outcome::None)
    }
}

#[cfg(test)]
mod tests;
