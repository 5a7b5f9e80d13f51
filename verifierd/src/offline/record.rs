//! What is kept: JSON with a format number. Of a host the number of its key, by its id; of a password what it says and what
//! became of it, by host and counter. The password itself is kept nowhere.

use std::fmt;

use ledger::Change;
use offline_password::{Deadline, Duration, Grant, Purpose, Services, Term, Window};
use serde::{Deserialize, Serialize};
use wire::admin::UniversalStep;

use crate::accounts::kind;
use crate::audit::rfc3339;
use crate::clock::UnixTime;
use crate::hosts::{HostId, HostName};
use crate::mail::MailId;

/// The newest format.
const FORMAT: u32 = 1;

/// For how long a step waits for its second administrator, in seconds.
const PROPOSAL_SECONDS: UnixTime = 900;

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
    /// The number of the last use of a universal password, under this key, that is on record.
    #[serde(default)]
    pub universal_noted: u64,
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

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Service(name) => name,
            Self::All => "all services",
            Self::FileTransfers => "file transfers",
            Self::LockoutReset => "ending a wait",
        })
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Preset { minutes, before } => {
                write!(f, "{minutes} minutes from its use on, used before {}", rfc3339(before))
            }
            Self::Window { start, end } => write!(f, "from {} until {}", rfc3339(start), rfc3339(end)),
        }
    }
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
    /// Who ended what it gave, as records have him, where somebody did after it was used.
    #[serde(default)]
    pub ended_by: Option<String>,
    /// The mail with it, where it was not told to whoever made it.
    #[serde(default)]
    pub mailed: Option<MailedTo>,
}

/// A mail with a password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailedTo {
    /// To whom.
    pub to: String,
    /// Which.
    pub mail: MailId,
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
            universal_noted: 0,
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
            ended_by: None,
            mailed: None,
        }
    }

    /// What the password says; none where no password can say that.
    pub(super) fn grant(&self) -> Option<Grant> {
        let purpose = match &self.reach {
            Reach::Service(service) => Purpose::Access(Services::One(service.clone())),
            Reach::All => Purpose::Access(Services::All),
            Reach::FileTransfers => Purpose::Access(Services::FileTransfers),
            Reach::LockoutReset => Purpose::LockoutReset,
        };
        let term = match self.time {
            Time::Preset { minutes, before } => Term::Preset {
                duration: Duration::ALL.into_iter().find(|duration| duration.minutes() == minutes)?,
                before: Deadline::new(before).ok()?,
            },
            Time::Window { start, end } => Term::Custom(Window::new(start, end).ok()?),
        };
        Some(Grant { purpose, user: self.user.clone(), term, counter: self.counter })
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

    /// The same, that is mailed.
    pub(super) fn mailed(self, mailed: MailedTo) -> Self {
        Self { mailed: Some(mailed), ..self }
    }

    /// The same, whose grant ends.
    pub fn ended(&self, by: String) -> Self {
        Self { ended_by: Some(by), ..self.clone() }
    }

    /// Until when it could be used; what it gave may last longer.
    pub fn usable_until(&self) -> UnixTime {
        match self.time {
            Time::Preset { before, .. } => before,
            Time::Window { end, .. } => end,
        }
    }

    /// Names it for ever, as long as its host has its name.
    pub fn id(&self, host: &HostName) -> String {
        format!("{}-{}@{host}", self.epoch, self.counter)
    }

    fn key(&self) -> Vec<u8> {
        [&self.host.bytes()[..], &self.epoch.to_be_bytes(), &self.counter.to_be_bytes()].concat()
    }
}

/// A step that waits for its second administrator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// Which.
    pub step: UniversalStep,
    /// Who asked for it: what tells him from others.
    pub name: String,
    /// The same, as records have him.
    pub by: String,
    /// When.
    pub at: UnixTime,
    /// Why.
    pub why: Option<String>,
}

impl Proposal {
    /// When it waits no longer.
    pub fn until(&self) -> UnixTime {
        self.at.saturating_add(PROPOSAL_SECONDS)
    }
}

/// A chain that is in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UniversalOn {
    /// The first hour that it has a password for, since 1970.
    pub first: u64,
    /// The last one.
    pub last: u64,
    /// Who turned it on, as records have them.
    pub by: [String; 2],
    /// When.
    pub at: UnixTime,
}

/// The password for every host: never itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UniversalRecord {
    format: u32,
    /// The number of the chain that was turned on last.
    pub number: u32,
    /// The chain in force; none while it is off.
    pub on: Option<UniversalOn>,
    /// What waits for its second administrator.
    pub waiting: Option<Proposal>,
}

impl Default for UniversalRecord {
    fn default() -> Self {
        Self { format: FORMAT, number: 0, on: None, waiting: None }
    }
}

impl UniversalRecord {
    /// The same, with what waits for a second administrator now.
    pub fn waiting_for(&self, waiting: Option<Proposal>) -> Self {
        Self { waiting, ..self.clone() }
    }

    /// The same, turned off.
    pub fn disabled(&self) -> Self {
        Self { on: None, waiting: None, ..self.clone() }
    }

    /// The same, turned on with the next chain.
    ///
    /// * `hour`: the present one, since 1970.
    /// * `hours`: how many it is to have.
    pub fn enabled(&self, hour: u64, hours: u32, by: [String; 2], at: UnixTime) -> Self {
        let on = UniversalOn {
            first: hour,
            last: hour.saturating_add(u64::from(hours)).saturating_sub(1),
            by,
            at,
        };
        Self { number: self.number.saturating_add(1), on: Some(on), waiting: None, ..self.clone() }
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
        Change::Put { kind: kind::OFFLINE_UNIVERSAL, key: b"universal".to_vec(), value: encode(self) }
    }
}

fn check(format: u32) -> Result<(), OfflineRecordError> {
    if (1..=FORMAT).contains(&format) { Ok(()) } else { Err(OfflineRecordError::Newer { found: format }) }
}

fn encode(record: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(record).expect("records hold only numbers and texts")
}
