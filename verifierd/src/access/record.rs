//! What is kept of a request: JSON with a format number, by its id.
//!
//! A record says what was shown to whoever decided, and stays as it was: only how the request stands is added. Each
//! version of it is written in the entry of the claim that brought it about, and never otherwise.

use std::fmt;

use ledger::{Change, Claim, ClaimId, CredentialId};
use serde::{Deserialize, Serialize};
use wire::login::Identity;

use crate::accounts::kind;
use crate::clock::UnixTime;
use crate::config::Profile;
use crate::crockford;
use crate::hosts::HostIdentity;
use crate::people::PersonId;

/// The newest format.
const FORMAT: u32 = 1;

/// The value of a credential whose one claim was made; 0 before.
pub(super) const DONE: u64 = 1;

/// The key of the record of what time it was; no request has one of this length.
const TIME_KEY: &[u8] = b"time";

/// What keeps what time it was, seconds since the Unix epoch.
pub(super) fn put_time(at: UnixTime) -> Change {
    Change::Put { kind: kind::REQUEST, key: TIME_KEY.into(), value: at.to_be_bytes().into() }
}

/// What time it was, where this is the record of that.
pub(super) fn time_of(key: &[u8], value: &[u8]) -> Option<UnixTime> {
    (key == TIME_KEY).then(|| value.try_into().map_or(0, UnixTime::from_be_bytes))
}

/// Names a request for ever: 127 random bits, written as 26 characters of Crockford's base 32.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RequestId(u128);

/// Not an id of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an id of a request: 26 characters of 0-9 and A-Z without I, L, O and U are needed")]
pub struct RequestIdError;

impl RequestId {
    /// The id of 16 random bytes. It is even: the odd name beside it is that of the password's use.
    pub(super) fn from_random(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes) & !1)
    }

    /// Reads the one form that [`fmt::Display`] writes.
    ///
    /// # Errors
    /// [`RequestIdError`] for anything else.
    pub fn parse(text: &str) -> Result<Self, RequestIdError> {
        crockford::id_of(text).map(Self).filter(|id| id.0 % 2 == 0).ok_or(RequestIdError)
    }

    pub(super) fn bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// What whoever decides claims.
    pub(super) fn decision(self) -> CredentialId {
        CredentialId(self.0.to_be_bytes())
    }

    /// What whoever uses the password claims.
    pub(super) fn use_of_password(self) -> CredentialId {
        CredentialId((self.0 | 1).to_be_bytes())
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crockford::id_text(self.0))
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for RequestId {
    type Error = RequestIdError;

    fn try_from(text: String) -> Result<Self, RequestIdError> {
        Self::parse(&text)
    }
}

impl From<RequestId> for String {
    fn from(id: RequestId) -> Self {
        id.to_string()
    }
}

/// How it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// An approver decides.
    Approval,
    /// Nobody does.
    Automatic,
    /// An approver decides, and is told that it is urgent.
    Emergency,
}

impl Way {
    /// The word in records.
    pub fn word(self) -> &'static str {
        match self {
            Self::Approval => "approval",
            Self::Automatic => "automatic",
            Self::Emergency => "emergency",
        }
    }
}

/// The person who asked, as he was then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requester {
    /// Which.
    pub id: PersonId,
    /// His login name.
    pub login: String,
    /// Where his mails go; nowhere, where he has no address.
    pub email: Option<String>,
}

impl From<&Requester> for Identity {
    fn from(person: &Requester) -> Self {
        Self { login: person.login.clone(), email: person.email.clone() }
    }
}

/// A password that was issued.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issue {
    /// Which of those that the request could have given; drawn.
    pub generation: u64,
    /// When.
    pub at: UnixTime,
    /// The first second in which it is usable no more.
    pub until: UnixTime,
    /// Who approved; nobody in the automatic modes.
    pub by: Option<String>,
    /// How many unclean stops there had been before.
    pub quarantine: u32,
    /// The mail that tells it, as a number in hexadecimal; none where somebody else tells it.
    pub mail: Option<String>,
}

/// What ended a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// An approver said no.
    Denied,
    /// Whoever asked, or an administrator, took it back.
    Cancelled,
    /// Its time was over.
    Expired,
    /// Its password was used.
    Used,
    /// Something that it rests on changed, or too many wrong tries were made.
    Void,
}

impl Ending {
    /// The word in records and for people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::Used => "used",
            Self::Void => "void",
        }
    }
}

/// The end of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// What ended it.
    pub what: Ending,
    /// When.
    pub at: UnixTime,
    /// Who; nobody where Postern itself did.
    pub by: Option<String>,
    /// Why, where there is more to say.
    pub why: Option<String>,
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestRecord {
    pub(super) format: u32,
    /// Its name for ever.
    pub id: RequestId,
    /// Which account is to be opened.
    pub user: String,
    /// By which PAM service.
    pub service: String,
    /// At which host, as it was then; none on the verifier's own machine.
    pub host: Option<HostIdentity>,
    /// Where from.
    pub rhost: Option<String>,
    /// At which terminal.
    pub tty: Option<String>,
    /// On whose behalf, under `su` and `sudo`.
    pub ruser: Option<String>,
    /// What he said he is.
    pub typed: String,
    /// Who he is; nobody, where no person fits.
    pub person: Option<Requester>,
    /// How it was asked for.
    pub way: Way,
    /// Why it is urgent.
    pub reason: Option<String>,
    /// What the requester sees and the approver must be told by him: 10 to 99.
    pub number: u16,
    /// When.
    pub asked: UnixTime,
    /// The first second in which nobody may decide any more.
    pub until: UnixTime,
    /// How long its password is usable, in seconds.
    pub password_ttl_seconds: u64,
    /// How the password reaches its person.
    pub profile: Profile,
    /// The password, once there is one.
    pub issue: Option<Issue>,
    /// The end, once it has one.
    pub end: Option<End>,
}

/// A record that cannot be understood.
#[derive(Debug, thiserror::Error)]
pub enum RequestRecordError {
    /// Not the expected JSON.
    #[error("a request's record is damaged")]
    Damaged(#[from] serde_json::Error),
    /// Made by a newer version.
    #[error("a request's record has format {found}; this version reads up to {FORMAT}")]
    Newer {
        /// The format it names.
        found: u32,
    },
}

/// How a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It waits for a decision.
    Pending,
    /// Its password waits to be used.
    Issued,
    /// It is over.
    Ended(Ending),
}

impl RequestRecord {
    pub(super) const FORMAT: u32 = FORMAT;

    /// Reads a record.
    ///
    /// # Errors
    /// See [`RequestRecordError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, RequestRecordError> {
        let record: Self = serde_json::from_slice(bytes)?;
        if record.format == FORMAT {
            Ok(record)
        } else {
            Err(RequestRecordError::Newer { found: record.format })
        }
    }

    /// How it stands.
    pub fn standing(&self) -> Standing {
        match (&self.issue, &self.end) {
            (_, Some(end)) => Standing::Ended(end.what),
            (Some(_), None) => Standing::Issued,
            (None, None) => Standing::Pending,
        }
    }

    /// When its present stage is over by itself; `None` once it is over.
    pub(super) fn stage_until(&self) -> Option<UnixTime> {
        match (&self.issue, &self.end) {
            (_, Some(_)) => None,
            (Some(issue), None) => Some(issue.until),
            (None, None) => Some(self.until),
        }
    }

    /// The claim of the present stage's one way out.
    pub(super) fn claim(&self, id: ClaimId) -> Claim {
        let credential = if self.issue.is_some() { self.id.use_of_password() } else { self.id.decision() };
        Claim { credential, to: DONE, id }
    }

    /// The same with its end.
    pub(super) fn ended(&self, end: End) -> Self {
        Self { end: Some(end), ..self.clone() }
    }

    /// The newest moment that it tells of.
    pub(super) fn newest_moment(&self) -> UnixTime {
        let issued = self.issue.as_ref().map_or(0, |issue| issue.at);
        self.asked.max(issued).max(self.end.as_ref().map_or(0, |end| end.at))
    }

    /// Who decided and when, as whoever comes later is told.
    pub fn decided(&self) -> Option<String> {
        let (word, by, at) = match (&self.issue, &self.end) {
            (Some(issue), _) => ("approved", issue.by.as_deref(), issue.at),
            (None, Some(end)) => (end.what.word(), end.by.as_deref(), end.at),
            (None, None) => return None,
        };
        let by = by.map_or(String::new(), |by| format!(" by {by}"));
        Some(format!("{word}{by} at {}", crate::audit::rfc3339(at)))
    }

    /// Writes it.
    pub(super) fn put(&self) -> Change {
        let value = serde_json::to_vec(self).expect("a record holds only numbers and texts");
        Change::Put { kind: kind::REQUEST, key: self.id.bytes().into(), value }
    }

    /// Takes it away, with its credentials.
    pub(super) fn forget(&self) -> Vec<Change> {
        vec![
            Change::Delete { kind: kind::REQUEST, key: self.id.bytes().into() },
            Change::RemoveCredential { credential: self.id.decision() },
            Change::RemoveCredential { credential: self.id.use_of_password() },
            self.put_failures(0),
        ]
    }

    /// Keeps how many wrong tries there were while its password waited.
    pub(super) fn put_failures(&self, count: u32) -> Change {
        let key = self.id.bytes().into();
        match count {
            0 => Change::Delete { kind: kind::FAILURES, key },
            count => Change::Put { kind: kind::FAILURES, key, value: count.to_be_bytes().into() },
        }
    }
}
