//! Who has to wait after wrong codes, and letting him go.

use std::sync::Arc;

use askama::Template;
use hyper::StatusCode;
use serve::Reply;
use wire::admin::{Ban, BanList, Lifted};

use super::asking::{Ask, Refused, path};
use super::pages::{Page, Shown, may, redirect, shown};
use super::parts::sentence;
use super::{Asked, Web};
use crate::http::roles::Verb;
use crate::people::Person;

struct Row {
    id: String,
    whose: String,
    failures: u32,
    until: String,
}

#[derive(Template)]
#[template(path = "web/bans.html")]
struct BansPage<'a> {
    visitor: &'a Shown,
    rows: Vec<Row>,
    may_lift: bool,
    fault: String,
}

impl Web {
    /// The list.
    pub(super) async fn list_bans(&self, asked: &Asked<'_>, person: &Arc<Person>) -> Reply {
        self.bans_page(asked, person, None).await
    }

    /// Ends a wait.
    pub(super) async fn lift_ban(&self, asked: &Asked<'_>, person: &Arc<Person>, id: &str) -> Reply {
        match self.ask::<Lifted>(person, Ask::post(path(&["v1", "bans", id, "lift"]), &())).await {
            Ok(_) => redirect("/bans"),
            Err(refused) => self.bans_page(asked, person, Some(refused)).await,
        }
    }

    async fn bans_page(&self, asked: &Asked<'_>, person: &Arc<Person>, fault: Option<Refused>) -> Reply {
        let visitor = shown(asked, person);
        let list = self.ask::<BanList>(person, Ask::get("/v1/bans")).await;
        let (bans, refused) = match list {
            Ok(list) => (list.items, fault),
            Err(refused) => (Vec::new(), Some(refused)),
        };
        let page = BansPage {
            visitor: &visitor,
            rows: bans.into_iter().map(row).collect(),
            may_lift: may(person, Verb::BanLift),
            fault: refused.as_ref().map(|refused| sentence(&refused.message)).unwrap_or_default(),
        };
        Page::of(&page).reply(refused.map_or(StatusCode::OK, |refused| refused.status))
    }
}

/// What a count tells apart, in words.
fn row(ban: Ban) -> Row {
    let user = ban.user.map_or_else(|| "users new to the place".to_owned(), |user| format!("user {user}"));
    let host = ban.host.map(|host| format!(", host {host}")).unwrap_or_default();
    let from = ban.from.unwrap_or_else(|| "unusual places".to_owned());
    Row { id: ban.id, whose: format!("{user}{host}, {from}"), failures: ban.failures, until: ban.until }
}
