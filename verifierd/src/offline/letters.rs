//! The mail with a password. It is written when it is sent, so no password lies in a queue, and none is sent that opens
//! nothing any more.

use std::fmt;
use std::sync::Arc;

use askama::Template;
use offline_password::HostCode;
use serde::{Deserialize, Serialize};
use wire::admin::OfflineState;

use super::record::PasswordRecord;
use super::shelf::Shelf;
use crate::clock::UnixTime;
use crate::hosts::{Host, HostId, Registrar};
use crate::mail::{Letter, Letters, Subject};

/// What a letter is written from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Occasion {
    offline_password: (HostId, u32, u64),
}

impl Occasion {
    pub(super) fn of(record: &PasswordRecord) -> Self {
        Self { offline_password: (record.host, record.epoch, record.counter) }
    }

    pub(super) fn bytes(self) -> Vec<u8> {
        serde_json::to_vec(&self).expect("an occasion holds only numbers and texts")
    }
}

/// Writes the mails with passwords.
pub struct OfflineLetters {
    shelf: Arc<Shelf>,
    registrar: Arc<Registrar>,
}

impl fmt::Debug for OfflineLetters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OfflineLetters(..)")
    }
}

impl OfflineLetters {
    /// * `registrar`: where hosts are looked up.
    pub fn new(shelf: Arc<Shelf>, registrar: Arc<Registrar>) -> Self {
        Self { shelf, registrar }
    }
}

#[derive(Template)]
#[template(path = "mail/offline.txt")]
struct Text<'a> {
    facts: &'a Facts,
    password: &'a str,
}

/// The same for mail programs that show pages.
#[derive(Template)]
#[template(path = "mail/offline.html")]
struct Page<'a> {
    facts: &'a Facts,
    password: &'a str,
}

/// What is said of it.
struct Facts {
    /// Whether it is for one user: then he gets it, as far as anybody knows.
    is_his: bool,
    host: String,
    lines: Vec<(&'static str, String)>,
}

impl OfflineLetters {
    fn find(&self, occasion: &[u8]) -> Option<(Arc<PasswordRecord>, Arc<Host>)> {
        let Occasion { offline_password: (host, epoch, counter) } = serde_json::from_slice(occasion).ok()?;
        Some((self.shelf.find(host, epoch, counter)?, self.registrar.hosts().find(host)?))
    }
}

impl Letters for OfflineLetters {
    fn subject(&self, occasion: &[u8]) -> Option<Subject> {
        let (record, host) = self.find(occasion)?;
        let name = &host.record.name;
        Some(Subject {
            what: format!("offline password {}", record.id(name)),
            host: Some(name.to_string()),
            user: record.user.clone(),
        })
    }

    fn write(&self, occasion: &[u8], _now: UnixTime) -> Option<Letter> {
        let (record, host) = self.find(occasion)?;
        let told = self.shelf.told(&host, &record);
        if told.state != OfflineState::Open {
            return None;
        }
        let password = self.shelf.password(&record)?;
        let code = HostCode::of(&host.record.id.bytes());
        let mut lines = vec![
            ("Host", format!("{}, which shows {code} at its prompt", told.host)),
            ("User", told.user.clone().unwrap_or_else(|| "everybody".into())),
            ("For", told.logins().to_owned()),
            ("Lets in", told.lets_in()),
            (if told.minutes.is_some() { "To be used by" } else { "Until" }, told.until.to_string()),
            ("Made by", told.made_by.clone()),
        ];
        lines.extend(told.why.clone().map(|why| ("Why", why)));
        let facts = Facts { is_his: told.user.is_some(), host: told.host, lines };
        let (facts, password) = (&facts, password.expose());
        let whose = if facts.is_his { "Your" } else { "An" };
        Letter::of(
            format!("{whose} offline password for {}", facts.host),
            &Text { facts, password },
            &Page { facts, password },
        )
    }
}
