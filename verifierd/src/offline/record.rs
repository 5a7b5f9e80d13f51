//! What is kept: JSON with a format number. Of a host the number of its key, by its id; of a password what it says and what
//! became of it, by host and counter. The password itself is kept nowhere.

use ledger::Change;
use offline_password::{Grant, Purpose, Services, Term};
use serde::{Deserialize, Serialize};

use crate::accounts::kind;
use crate::clock::UnixTime;
use crate::hosts::HostId;

/// The newest format.
const FORMAT: u32 = 1;

/// A record of offline passwords that cannot be understood.
#[derive(Debug, thiserror::Error)]
pub enum OfflineRecordError {
    /// Not the expected JSON.
    #[error("a record of offline passwords is damaged")]
    Damaged(#[from] serde_json::Error),
    /// Made by a newer version.
    #[error("a record of offline passwords has format {found}; this version reads up to {FORMAT}")]
    Newer {
        /// The format it names.
        found: u32,
    },
}

/// The key that a host was given last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostRecord {
    format: u32,
    /// Whose.
    pub host: HostId,
    /// The number of the key.
    pub epoch: u32,
    /// When it was given.
    pub given: UnixTime,
    /// Whether the host has said that it has it.
    #[serde(default)]
    pub is_held: bool,
    /// The highest number of changes under this key that the host has told of.
    #[serde(default)]
    pub generation: u64,
    /// The highest counter that the host takes for used or revoked.
    #[serde(default)]
    pub highest: u64,
    /// Its time zone, as it said itself.
    #[serde(default)]
    pub time_zone: Option<String>,
}

/// What became of a password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Standing {
    /// Nobody has heard of its use.
    Open,
    /// The host says that it was used.
    Used {
        /// The Unix account of that login.
        user: String,
        /// Its PAM service.
        service: String,
        /// When, by the host's clock.
        at: UnixTime,
        /// When what it gave ended, or ends.
        until: UnixTime,
    },
    /// It is not to be used any more. A host hears of that when it reaches a verifier.
    Revoked {
        /// Who said so.
        by: String,
        /// When.
        at: UnixTime,
    },
}

/// Which logins a password is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// Those of one service.
    Service(String),
    /// All.
    All,
    /// Those that only move files.
    FileTransfers,
    /// None: it ends a wait.
    LockoutReset,
}

/// When a password counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Time {
    /// Used before a moment, it lets in for so long.
    Preset {
        /// Minutes.
        minutes: u64,
        /// Seconds since the Unix epoch.
        before: UnixTime,
    },
    /// From the one moment to the other.
    Window {
        /// Seconds since the Unix epoch.
        start: UnixTime,
        /// Seconds since the Unix epoch.
        end: UnixTime,
    },
}

/// A password that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasswordRecord {
    format: u32,
    /// The host that it is for.
    pub host: HostId,
    /// The number of that host's key.
    pub epoch: u32,
    /// Counts the passwords under that key.
    pub counter: u64,
    /// The one account that it is for; none where it is for each of them.
    pub user: Option<String>,
    /// Which logins.
    pub reach: Reach,
    /// When.
    pub time: Time,
    /// Why it was made, in the words of whoever made it.
    pub why: Option<String>,
    /// Who made it, as records have him.
    pub by: String,
    /// When.
    pub made: UnixTime,
    /// What became of it.
    pub standing: Standing,
}

impl HostRecord {
    /// A key that is given now.
    pub fn new(host: HostId, epoch: u32, given: UnixTime) -> Self {
        Self {
            format: FORMAT,
            host,
            epoch,
            given,
            is_held: false,
            generation: 0,
            highest: 0,
            time_zone: None,
        }
    }

    /// The same of a host that says that it has its key, how far what it keeps has come, and where it is.
    pub fn held(&self, generation: u64, highest: u64, time_zone: Option<String>) -> Self {
        Self { is_held: true, generation, highest, time_zone, ..self.clone() }
    }

    /// Reads a record.
    ///
    /// # Errors
    /// See [`OfflineRecordError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, OfflineRecordError> {
        let record: Self = serde_json::from_slice(bytes)?;
        check(record.format)?;
        Ok(record)
    }

    /// Writes the record.
    pub fn put(&self) -> Change {
        Change::Put { kind: kind::OFFLINE_HOST, key: self.host.bytes().into(), value: encode(self) }
    }
}

impl PasswordRecord {
    /// A password that is made now.
    pub fn new(
        host: HostId,
        epoch: u32,
        grant: &Grant,
        (by, why): (String, Option<String>),
        made: UnixTime,
    ) -> Self {
        let reach = match &grant.purpose {
            Purpose::Access(Services::One(service)) => Reach::Service(service.clone()),
            Purpose::Access(Services::All) => Reach::All,
            Purpose::Access(Services::FileTransfers) => Reach::FileTransfers,
            Purpose::LockoutReset => Reach::LockoutReset,
        };
        let time = match grant.term {
            Term::Preset { duration, before } => {
                Time::Preset { minutes: duration.minutes(), before: before.seconds() }
            }
            Term::Custom(window) => Time::Window { start: window.start(), end: window.end() },
        };
        let (counter, user) = (grant.counter, grant.user.clone());
        Self {
            format: FORMAT,
            host,
            epoch,
            counter,
            user,
            reach,
            time,
            why,
            by,
            made,
            standing: Standing::Open,
        }
    }

    /// Reads a record.
    ///
    /// # Errors
    /// See [`OfflineRecordError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, OfflineRecordError> {
        let record: Self = serde_json::from_slice(bytes)?;
        check(record.format)?;
        Ok(record)
    }

    /// Writes the record.
    pub fn put(&self) -> Change {
        Change::Put { kind: kind::OFFLINE_PASSWORD, key: self.key(), value: encode(self) }
    }

    /// The same, of which something else became.
    pub fn with(&self, standing: Standing) -> Self {
        Self { standing, ..self.clone() }
    }

    /// Until when it could be used; what it gave may last longer.
    pub fn usable_until(&self) -> UnixTime {
        match self.time {
            Time::Preset { before, .. } => before,
            Time::Window { end, .. } => end,
        }
    }

    fn key(&self) -> Vec<u8> {
        [&self.host.bytes()[..], &self.epoch.to_be_bytes(), &self.counter.to_be_bytes()].concat()
    }
}

fn check(format: u32) -> Result<(), OfflineRecordError> {
    if (1..=FORMAT).contains(&format) { Ok(()) } else { Err(OfflineRecordError::Newer { found: format }) }
}

fn encode(record: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(record).expect("records hold only numbers and texts")
}
