//! What is kept of a session: JSON with a format number, by its host and its own name.

use std::fmt;

use ledger::Change;
use serde::{Deserialize, Serialize};
use wire::session::Leader;

use crate::accounts::kind;
use crate::clock::UnixTime;
use crate::hosts::{HostId, HostIdentity};

/// The newest format.
const FORMAT: u32 = 1;

/// Names a session at its host: 128 bits that its PAM module drew.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SessionId(u128);

impl SessionId {
    /// Reads the one form that [`fmt::Display`] writes: 32 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let id = Self(u128::from_str_radix(text, 16).ok()?);
        (id.to_string() == text).then_some(id)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An open session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    pub(super) format: u32,
    /// Its name.
    pub id: SessionId,
    /// Its host, as it was called when the session began; none on this machine.
    pub host: Option<HostIdentity>,
    /// Whose.
    pub user: String,
    /// The PAM service.
    pub service: String,
    /// Where from.
    pub rhost: Option<String>,
    /// Which terminal.
    pub tty: Option<String>,
    /// Who asked for it.
    pub ruser: Option<String>,
    /// The start of its machine.
    pub boot: Option<String>,
    /// Who ends last.
    pub leader: Option<Leader>,
    /// Since when.
    pub since: UnixTime,
    /// The login that led to it.
    pub origin: Option<Origin>,
}

/// The login that led to a session, as the audit trail has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Its reference.
    pub reference: String,
    /// Why it was decided as it was.
    pub reason: String,
    /// Serial of the token whose code was accepted.
    pub token: Option<String>,
    /// The person who was let in, by his login name, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
    /// Where mails to him went then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
}

/// A record of a session that cannot be understood.
#[derive(Debug, thiserror::Error)]
pub enum SessionRecordError {
    /// Not the expected JSON.
    #[error("a session record is damaged")]
    Damaged(#[from] serde_json::Error),
    /// Made by a newer version.
    #[error("a session record has format {found}; this version reads up to {FORMAT}")]
    Newer {
        /// The format it names.
        found: u32,
    },
}

impl Session {
    /// One of which nothing is known.
    pub(super) fn new(id: SessionId, host: Option<HostIdentity>, since: UnixTime) -> Self {
        let (user, service) = Default::default();
        let (rhost, tty, ruser, boot, leader, origin) = Default::default();
        Self { format: FORMAT, id, host, user, service, rhost, tty, ruser, boot, leader, since, origin }
    }

    /// The id of its host; none on this machine.
    pub fn place(&self) -> Option<HostId> {
        self.host.as_ref().map(|host| host.id)
    }

    /// Its key in the ledger: no host can name another one's. This machine is sixteen zeros, which no id of a host is.
    pub(super) fn key(&self) -> Vec<u8> {
        let place = self.place().map_or([0; 16], HostId::bytes);
        [place, self.id.0.to_be_bytes()].concat()
    }

    /// Reads a record.
    ///
    /// # Errors
    /// See [`SessionRecordError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, SessionRecordError> {
        let session: Self = serde_json::from_slice(bytes)?;
        if !(1..=FORMAT).contains(&session.format) {
            return Err(SessionRecordError::Newer { found: session.format });
        }
        Ok(session)
    }

    /// Writes the record.
    pub fn put(&self) -> Change {
        let value = serde_json::to_vec(self).expect("records hold only numbers and texts");
        Change::Put { kind: kind::SESSION, key: self.key(), value }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hosts::HostName;

    fn session(host: Option<u8>) -> Session {
        let host = host.map(|byte| HostIdentity {
            id: HostId::from_random([byte; 16]),
            name: HostName::new("web1").unwrap(),
            group: None,
        });
        let id = SessionId::parse("00112233445566778899aabbccddeeff").unwrap();
        Session {
            user: "alice".into(),
            service: "sshd".into(),
            rhost: Some("192.0.2.1".into()),
            leader: Some(Leader { pid: 7, start: u64::MAX }),
            origin: Some(Origin {
                reference: "7QK2-9ZB4".into(),
                reason: "accepted".into(),
                token: Some("PT1".into()),
                person: Some("jane".into()),
                email: Some("jane@example.org".into()),
            }),
            ..Session::new(id, host, 1_800_000_000)
        }
    }

    #[test]
    fn a_record_reads_back_as_it_was_written() {
        for host in [None, Some(0xee)] {
            let session = session(host);
            let Change::Put { value, .. } = session.put() else { panic!("not written") };
            assert_eq!(Session::decode(&value).unwrap(), session);
            let newer = String::from_utf8(value).unwrap().replace("\"format\":1", "\"format\":2");
            let error = Session::decode(newer.as_bytes()).unwrap_err().to_string();
            assert!(error.contains("has format 2; this version reads up to 1"), "{error}");
        }
        assert!(matches!(Session::decode(b"{"), Err(SessionRecordError::Damaged(_))));
    }

    // covers: R10
    #[test]
    fn one_name_at_two_hosts_is_two_sessions() {
        let keys = [session(None).key(), session(Some(0)).key(), session(Some(1)).key()];
        assert!(keys.iter().enumerate().all(|(number, key)| !keys[..number].contains(key)));
    }

    #[test]
    fn a_name_has_one_form() {
        assert_eq!(session(None).id.to_string(), "00112233445566778899aabbccddeeff");
        for odd in ["", "0", "+0112233445566778899aabbccddeeff", "00112233445566778899AABBCCDDEEFF"] {
            assert_eq!(SessionId::parse(odd), None, "{odd}");
        }
        assert_eq!(SessionId::parse(&"0".repeat(33)), None);
    }
}
