//! One's own account: who is signed in, his tokens and recovery codes, and where all else of his is.

use std::sync::Arc;

use serve::Reply;
use wire::admin::{RecoveryStatus, SelfInfo};

use super::asking::{Ask, path};
use super::pages::shown;
use super::parts::{Cell, Facts};
use super::sheet::{Outcome, Sheet, refusal};
use super::users::{codes_left, token_rows};
use super::{Asked, Web};
use crate::http::roles::Caller;
use crate::people::Person;

impl Web {
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
