//! What mails about requests say. They are written when they are sent, from what is known then: no password lies in a
//! queue, and nothing is sent of what is over.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use askama::Template;
use serde::{Deserialize, Serialize};

use super::Shelf;
use super::record::{Ending, RequestId, RequestRecord, Standing, Way};
use crate::audit::rfc3339;
use crate::clock::UnixTime;
use crate::config::{Config, Profile};
use crate::mail::{Letter, Letters, Subject};

/// What a mail is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum About {
    /// To an approver: somebody asks.
    Request,
    /// To whoever asked: the password.
    Password,
    /// To whoever asked: no.
    Denied,
    /// To whoever asked: nobody decided.
    Expired,
}

/// What a letter is written from: the request and what is to be said of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Occasion {
    pub request: RequestId,
    pub about: About,
}

impl Occasion {
    pub(super) fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("an occasion holds only texts")
    }
}

/// Writes the letters of requests.
pub struct AccessLetters {
    shelf: Arc<Shelf>,
    config: Arc<ArcSwap<Config>>,
}

impl fmt::Debug for AccessLetters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessLetters(..)")
    }
}

impl AccessLetters {
    /// * `shelf`: where requests are looked up.
    pub(crate) fn new(shelf: Arc<Shelf>, config: Arc<ArcSwap<Config>>) -> Self {
        Self { shelf, config }
    }
}

/// What an approver is told.
#[derive(Template)]
#[template(path = "mail/request.txt")]
struct RequestText<'a>(&'a Facts);

/// The same for mail programs that show pages.
#[derive(Template)]
#[template(path = "mail/request.html")]
struct RequestPage<'a>(&'a Facts);

/// What the requester is told, with his password.
#[derive(Template)]
#[template(path = "mail/password.txt")]
struct PasswordText<'a> {
    facts: &'a Facts,
    password: &'a str,
}

/// The same for mail programs that show pages.
#[derive(Template)]
#[template(path = "mail/password.html")]
struct PasswordPage<'a> {
    facts: &'a Facts,
    password: &'a str,
}

/// What he is told where there is none.
#[derive(Template)]
#[template(path = "mail/ended.txt")]
struct EndedText<'a> {
    facts: &'a Facts,
    why: &'a str,
}

/// The same for mail programs that show pages.
#[derive(Template)]
#[template(path = "mail/ended.html")]
struct EndedPage<'a> {
    facts: &'a Facts,
    why: &'a str,
}

/// What stands in all of them.
struct Facts {
    id: String,
    is_emergency: bool,
    is_strict: bool,
    /// Names and values, in the order in which they are shown.
    lines: Vec<(&'static str, String)>,
    /// Until when the request waits, or its password is usable.
    until: String,
    /// Where it is decided, where there are pages.
    decide: Option<String>,
    /// Where whoever did not ask says so, where there are pages.
    not_me: Option<String>,
}

impl Letters for AccessLetters {
    fn subject(&self, occasion: &[u8]) -> Option<Subject> {
        let Occasion { request, about: _ } = serde_json::from_slice(occasion).ok()?;
        let item = self.shelf.find(request)?;
        let host = item.record.host.as_ref().map(|host| host.name.to_string());
        Some(Subject { what: format!("request {request}"), host, user: Some(item.record.user.clone()) })
    }

    fn write(&self, occasion: &[u8], _now: UnixTime) -> Option<Letter> {
        let Occasion { request, about } = serde_json::from_slice(occasion).ok()?;
        let item = self.shelf.find(request)?;
        let record = &item.record;
        let facts = self.facts(record);
        let place = record.host.as_ref().map_or("this machine", |host| host.name.as_str());
        let standing = item.standing(&*self.shelf.clock);
        let urgent = if facts.is_emergency { "EMERGENCY: " } else { "" };
        match (about, standing) {
            (About::Request, Standing::Pending) => Letter::of(
                format!("{urgent}{} asks for a one-time password at {place}", record.person.as_ref()?.login),
                &RequestText(&facts),
                &RequestPage(&facts),
            ),
            (About::Password, Standing::Issued) if record.profile == Profile::Standard => {
                let issue = record.issue.as_ref()?;
                let password = self.shelf.passwords.derive(record.id, issue.generation).expose();
                let (facts, password) = (&facts, password.as_str());
                Letter::of(
                    format!("Your one-time password for {} at {place}", record.user),
                    &PasswordText { facts, password },
                    &PasswordPage { facts, password },
                )
            }
            (
                About::Denied | About::Expired,
                Standing::Ended(ending @ (Ending::Denied | Ending::Expired)),
            ) => {
                let (word, why) = match ending {
                    Ending::Denied => ("denied", "An approver denied your request."),
                    _ => ("not decided", "Nobody decided about your request in time. You can ask again."),
                };
                let facts = &facts;
                Letter::of(
                    format!("Your request for {} at {place} was {word}", record.user),
                    &EndedText { facts, why },
                    &EndedPage { facts, why },
                )
            }
            _ => None,
        }
    }
}

impl AccessLetters {
    fn facts(&self, record: &RequestRecord) -> Facts {
        let person = record.person.as_ref();
        let who = person.map_or_else(String::new, |person| match &person.email {
            Some(email) => format!("{} ({email})", person.login),
            None => person.login.clone(),
        });
        let group = record.host.as_ref().and_then(|host| host.group.as_ref());
        let host = record.host.as_ref().map_or("this machine".to_owned(), |host| match group {
            Some(group) => format!("{} (group {group})", host.name),
            None => host.name.to_string(),
        });
        let mut lines = vec![
            ("Person", who),
            ("Account", record.user.clone()),
            ("Host", host),
            ("Service", record.service.clone()),
            ("From", record.rhost.clone().unwrap_or_else(|| "the machine itself".into())),
        ];
        let more = [("Terminal", &record.tty), ("On behalf of", &record.ruser), ("Reason", &record.reason)];
        lines.extend(more.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))));
        lines.push(("Asked", utc(record.asked)));
        let until = record.issue.as_ref().map_or(record.until, |issue| issue.until);
        let origin = self.config.load().web.as_ref().map(|web| web.base_url.origin());
        let proof = crate::crockford::id_text(self.shelf.passwords.disowning(record.id));
        Facts {
            id: record.id.to_string(),
            is_emergency: record.way == Way::Emergency,
            is_strict: record.profile == Profile::Strict,
            lines,
            until: utc(until),
            decide: origin.as_ref().map(|origin| format!("{origin}{}", decide_path(record.id))),
            not_me: origin.map(|origin| format!("{origin}/not-me/{}/{proof}", record.id)),
        }
    }
}

/// Where a request is decided, below the base address of the pages.
pub fn decide_path(id: RequestId) -> String {
    format!("/requests/{id}")
}

/// `2026-11-23 14:05 UTC`.
fn utc(at: UnixTime) -> String {
    let text = rfc3339(at);
    match text.split_once('T') {
        Some((day, time)) => format!("{day} {} UTC", time.get(..5).unwrap_or(time)),
        None => text,
    }
}
