//! One's own account: who is signed in, and what is his.

use std::sync::Arc;

use askama::Template;
use hyper::StatusCode;
use serve::Reply;
use wire::admin::SelfInfo;

use super::asking::Ask;
use super::pages::{Page, Shown, shown};
use super::{Asked, Web};
use crate::people::Person;

#[derive(Template)]
#[template(path = "web/account.html")]
struct AccountPage<'a> {
    visitor: &'a Shown,
    person: &'a Person,
    own: &'a SelfInfo,
    has_keys_page: bool,
}

impl Web {
    /// The page of whoever is signed in.
    pub(super) async fn show_account(&self, asked: &Asked<'_>, person: &Arc<Person>) -> Reply {
        let visitor = shown(asked, person);
        match self.ask::<SelfInfo>(person, Ask::get("/v1/self")).await {
            Ok(own) => {
                let has_keys_page = cfg!(feature = "webauthn");
                let page = AccountPage { visitor: &visitor, person, own: &own, has_keys_page };
                Page::of(&page).reply(StatusCode::OK)
            }
            Err(refused) => Page::message("Your account", &refused.message, &visitor).reply(refused.status),
        }
    }
}
