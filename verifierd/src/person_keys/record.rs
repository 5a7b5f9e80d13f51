//! What is kept of a key: JSON with a format number, by its id. The key itself is kept nowhere.

use ledger::Change;
use serde::{Deserialize, Serialize};
use wire::admin::Role;

use super::KeyId;
use crate::accounts::kind;
use crate::clock::UnixTime;
use crate::people::{PersonId, PersonOrigin};

/// The newest format.
const FORMAT: u32 = 1;

/// A key of a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    format: u32,
    /// For ever.
    pub id: KeyId,
    /// Keyed hash of its text.
    pub hash: [u8; 16],
    /// Whose it is.
    pub person: PersonId,
    /// Where he is known from.
    pub origin: PersonOrigin,
    /// The state of him that it was made for: another password, another role, a time of not being let in end it.
    pub version: u64,
    /// His login name, as it was then.
    pub login: String,
    /// What it is for, in his words.
    pub name: String,
    /// The most that it may do: never more than the person may at that moment.
    pub role: Role,
    /// When it was made.
    pub made: UnixTime,
    /// From when on it is good for nothing.
    pub until: UnixTime,
    /// Who made it, as records have him.
    pub made_by: String,
    /// Whether that was the person himself.
    pub is_his_own: bool,
}

/// A record of a key that cannot be understood.
#[derive(Debug, thiserror::Error)]
pub enum KeyRecordError {
    /// Not the expected JSON.
    #[error("a record of a person's key is damaged")]
    Damaged(#[from] serde_json::Error),
    /// Made by a newer version.
    #[error("a record of a person's key has format {found}; this version reads up to {FORMAT}")]
    Newer {
        /// The format it names.
        found: u32,
    },
}

/// What is new of a key.
#[derive(Clone, Debug)]
pub(super) struct Making {
    pub id: KeyId,
    pub hash: [u8; 16],
    pub person: PersonId,
    pub origin: PersonOrigin,
    pub version: u64,
    pub login: String,
    pub name: String,
    pub role: Role,
    pub made: UnixTime,
    pub until: UnixTime,
    pub made_by: String,
    pub is_his_own: bool,
}

impl KeyRecord {
    pub(super) fn new(making: Making) -> Self {
        let Making { id, hash, person, origin, version, login, name, role, made, until, made_by, is_his_own } =
            making;
        Self {
            format: FORMAT,
            id,
            hash,
            person,
            origin,
            version,
            login,
            name,
            role,
            made,
            until,
            made_by,
            is_his_own,
        }
    }

    /// Reads a record.
    ///
    /// # Errors
    /// See [`KeyRecordError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, KeyRecordError> {
        #[derive(Deserialize)]
        struct Head {
            format: u32,
        }
        let Head { format } = serde_json::from_slice(bytes)?;
        if !(1..=FORMAT).contains(&format) {
            return Err(KeyRecordError::Newer { found: format });
        }
        Ok(serde_json::from_slice(bytes)?)
    }

    /// Writes the record.
    pub fn put(&self) -> Change {
        let value = serde_json::to_vec(self).expect("records hold only numbers, texts and lists");
        Change::Put { kind: kind::PERSON_KEY, key: self.key(), value }
    }

    /// Takes the record away.
    pub fn remove(&self) -> Change {
        Change::Delete { kind: kind::PERSON_KEY, key: self.key() }
    }

    fn key(&self) -> Vec<u8> {
        self.id.0.to_be_bytes().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back_as_it_was_written() {
        let record = KeyRecord::new(Making {
            id: KeyId(7),
            hash: [3; 16],
            person: PersonId(9),
            origin: PersonOrigin::Internal,
            version: 2,
            login: "carol".into(),
            name: "nightly report".into(),
            role: Role::Auditor,
            made: 1_800_000_000,
            until: 1_800_086_400,
            made_by: "root".into(),
            is_his_own: false,
        });
        let Change::Put { value, .. } = record.put() else { panic!("not written") };
        assert_eq!(KeyRecord::decode(&value).unwrap(), record);
        let text = String::from_utf8(value).unwrap();
        let newer = text.replace("\"format\":1", "\"format\":2");
        let error = KeyRecord::decode(newer.as_bytes()).unwrap_err().to_string();
        assert!(error.contains("has format 2; this version reads up to 1"), "{error}");
        let broken = text.replace("\"auditor\"", "\"king\"");
        assert!(matches!(KeyRecord::decode(broken.as_bytes()), Err(KeyRecordError::Damaged(_))));
    }
}
