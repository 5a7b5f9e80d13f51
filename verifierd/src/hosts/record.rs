//! What is kept about hosts and the fleet's own authority: JSON with a format number.

use data_encoding::{BASE64, HEXLOWER};
use ledger::Change;
use serde::{Deserialize, Serialize};
use wire::admin::HostState;

use super::certificate::KeyHash;
use super::identity::{GroupName, HostId, HostName};
use super::secret::JoinHash;
use crate::accounts::kind;
use crate::clock::UnixTime;

/// The newest format.
const FORMAT: u32 = 1;

/// The key of the one record of the authority.
const AUTHORITY_KEY: &[u8] = b"own";

/// A record of a host or of the authority that cannot be understood.
#[derive(Debug, thiserror::Error)]
pub enum HostRecordError {
    /// Not the expected JSON.
    #[error("a {what} record is damaged")]
    Damaged {
        /// Which sort of record.
        what: &'static str,
        /// Why.
        source: serde_json::Error,
    },
    /// Made by a newer version.
    #[error("a {what} record has format {found}; this version reads up to {FORMAT}")]
    Newer {
        /// Which sort of record.
        what: &'static str,
        /// The format it names.
        found: u32,
    },
}

/// A host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostRecord {
    pub(super) format: u32,
    /// For ever.
    pub id: HostId,
    /// Its present name.
    pub name: HostName,
    /// Names that it had before; nobody else gets them.
    pub former_names: Vec<HostName>,
    /// Its group.
    pub group: Option<GroupName>,
    /// When its name was made.
    pub created: UnixTime,
    /// When it joined last.
    pub joined: Option<UnixTime>,
    /// When it was revoked.
    pub revoked: Option<UnixTime>,
    /// What lets it join.
    pub join: Option<JoinTicket>,
    /// The key that it is known by.
    pub present: Option<HostKey>,
    /// Keys that were certified and not shown yet, oldest first.
    pub issued: Vec<HostKey>,
}

/// What lets a host join.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinTicket {
    /// The secret's keyed hash.
    #[serde(with = "join_hash")]
    pub hash: JoinHash,
    /// The first second in which it is good no more.
    pub until: UnixTime,
    /// The key that it let in: a host whose answer got lost asks again with the same one.
    pub used_by: Option<KeyHash>,
}

/// A key of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostKey {
    /// Its hash.
    pub hash: KeyHash,
    /// The last second of its certificate.
    pub until: UnixTime,
}

impl HostRecord {
    /// A host that has only a name.
    pub fn new(id: HostId, name: HostName, created: UnixTime) -> Self {
        let (former_names, issued) = (Vec::new(), Vec::new());
        let (group, joined, revoked, join, present) = (None, None, None, None, None);
        Self {
            format: FORMAT,
            id,
            name,
            former_names,
            group,
            created,
            joined,
            revoked,
            join,
            present,
            issued,
        }
    }

    /// Where it stands.
    pub fn state(&self) -> HostState {
        match (self.revoked, self.joined) {
            (Some(_), _) => HostState::Revoked,
            (None, Some(_)) => HostState::Active,
            (None, None) => HostState::Pending,
        }
    }

    /// All names that are its own for ever.
    pub fn names(&self) -> impl Iterator<Item = &HostName> {
        self.former_names.iter().chain([&self.name])
    }

    /// All keys that it may show.
    pub fn keys(&self) -> impl Iterator<Item = &HostKey> {
        self.present.iter().chain(&self.issued)
    }

    /// Reads a record.
    ///
    /// # Errors
    /// See [`HostRecordError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, HostRecordError> {
        let record: Self = decode("host", bytes)?;
        check_format("host", record.format)?;
        Ok(record)
    }

    /// Writes the record.
    pub fn put(&self) -> Change {
        Change::Put { kind: kind::HOST, key: self.id.bytes().into(), value: encode(self) }
    }
}

/// The fleet's own authority. Its key is sealed, and opens only beside this certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorityRecord {
    format: u32,
    #[serde(with = "base64")]
    /// Its certificate (DER).
    pub certificate: Vec<u8>,
    #[serde(with = "base64")]
    /// Its private key (PKCS #8, DER), sealed.
    pub sealed_key: Vec<u8>,
}

impl AuthorityRecord {
    /// An authority.
    pub fn new(certificate: Vec<u8>, sealed_key: Vec<u8>) -> Self {
        Self { format: FORMAT, certificate, sealed_key }
    }

    /// Reads a record.
    ///
    /// # Errors
    /// See [`HostRecordError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, HostRecordError> {
        let record: Self = decode("authority", bytes)?;
        check_format("authority", record.format)?;
        Ok(record)
    }

    /// Writes the record.
    pub fn put(&self) -> Change {
        Change::Put { kind: kind::AUTHORITY, key: AUTHORITY_KEY.into(), value: encode(self) }
    }
}

fn check_format(what: &'static str, found: u32) -> Result<(), HostRecordError> {
    if (1..=FORMAT).contains(&found) { Ok(()) } else { Err(HostRecordError::Newer { what, found }) }
}

fn decode<'a, T: Deserialize<'a>>(what: &'static str, bytes: &'a [u8]) -> Result<T, HostRecordError> {
    serde_json::from_slice(bytes).map_err(|source| HostRecordError::Damaged { what, source })
}

fn encode<T: Serialize>(record: &T) -> Vec<u8> {
    serde_json::to_vec(record).expect("records hold only numbers, texts and lists")
}

mod join_hash {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    use super::{HEXLOWER, JoinHash};

    pub(super) fn serialize<S: Serializer>(hash: &JoinHash, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&HEXLOWER.encode(&hash.0))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<JoinHash, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = HEXLOWER.decode(text.as_bytes()).map_err(Error::custom)?;
        bytes.try_into().map(JoinHash).map_err(|_| Error::custom("a join secret's hash has 16 bytes"))
    }
}

mod base64 {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    use super::BASE64;

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        BASE64.decode(String::deserialize(deserializer)?.as_bytes()).map_err(Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(change: Change) -> Vec<u8> {
        match change {
            Change::Put { value, .. } => value,
            other => panic!("not written: {other:?}"),
        }
    }

    #[test]
    fn a_record_reads_back_as_it_was_written() {
        let name = |text: &str| HostName::new(text).unwrap();
        let key = |byte| HostKey { hash: KeyHash::of(&[byte]), until: 9 };
        let record = HostRecord {
            former_names: vec![name("old"), name("older.example.org")],
            group: Some(GroupName::new("web").unwrap()),
            joined: Some(3),
            join: Some(JoinTicket {
                hash: JoinHash([7; 16]),
                until: u64::MAX,
                used_by: Some(KeyHash::of(&[1])),
            }),
            present: Some(key(1)),
            issued: vec![key(2), key(3)],
            ..HostRecord::new(HostId::from_random([0xee; 16]), name("web1"), 1)
        };
        assert_eq!(HostRecord::decode(&value(record.put())).unwrap(), record);
        let authority = AuthorityRecord::new(vec![1, 2, 3], vec![0xff; 40]);
        assert_eq!(AuthorityRecord::decode(&value(authority.put())).unwrap(), authority);
    }

    #[test]
    fn what_a_newer_version_wrote_and_what_is_damaged_is_refused() {
        let record = HostRecord::new(HostId::from_random([1; 16]), HostName::new("web1").unwrap(), 1);
        let text = String::from_utf8(value(record.put())).unwrap();
        let check = |text: &str, expected: &str| {
            let error = HostRecord::decode(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error:?} does not say {expected:?}");
        };
        check(&text.replace("\"format\":1", "\"format\":2"), "has format 2; this version reads up to 1");
        check(&text.replace("web1", "Web1"), "a host record is damaged");
        check("{", "a host record is damaged");
    }

    #[test]
    fn a_revoked_host_stays_so_whatever_else_stands_in_its_record() {
        let new = HostRecord::new(HostId::from_random([1; 16]), HostName::new("web1").unwrap(), 1);
        assert_eq!(new.state(), HostState::Pending);
        let active = HostRecord { joined: Some(2), ..new };
        assert_eq!(active.state(), HostState::Active);
        assert_eq!(HostRecord { revoked: Some(3), ..active }.state(), HostState::Revoked);
    }
}
