//! What is kept of a person's security keys: JSON with a format number, by the person's id.

use ledger::Change;
use serde::{Deserialize, Serialize};

use crate::accounts::kind;
use crate::clock::UnixTime;
use crate::people::PersonId;

/// The newest format.
const FORMAT: u32 = 1;

/// One of his keys.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeldKey {
    /// Names it among his: 16 hexadecimal digits, drawn at random.
    pub id: String,
    /// What he calls it.
    pub name: String,
    /// When it was added.
    pub added: UnixTime,
    /// When he signed in with it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<UnixTime>,
    /// How often it has signed, as it says itself; 0 of one that does not count.
    pub counter: u32,
    /// Its public key and what belongs to it, in the form of the library that checks what it signs.
    pub credential: serde_json::Value,
}

impl HeldKey {
    /// Whether a new credential has the id of this one, which is a key's own and no other's.
    pub fn is_of(&self, credential: &serde_json::Value) -> bool {
        let id = |credential: &serde_json::Value| credential.pointer("/cred/cred_id").cloned();
        let own = id(&self.credential);
        own.is_some() && own == id(credential)
    }
}

/// All keys of a person, of our own records or of the directory.
#[derive(Clone, Debug, PartialEq)]
pub struct KeysRecord {
    /// Whose.
    pub person: PersonId,
    /// The keys, the oldest first.
    pub keys: Vec<HeldKey>,
}

/// A record that cannot be understood.
#[derive(Debug, thiserror::Error)]
pub enum KeysRecordError {
    /// Not the expected JSON.
    #[error("a record of security keys is damaged")]
    Damaged(#[from] serde_json::Error),
    /// Made by a newer version.
    #[error("a record of security keys has format {found}; this version reads up to {FORMAT}")]
    Newer {
        /// The format it names.
        found: u32,
    },
}

/// The record as written.
#[derive(Serialize, Deserialize)]
struct Kept {
    format: u32,
    person: PersonId,
    keys: Vec<HeldKey>,
}

impl KeysRecord {
    /// Reads a record.
    ///
    /// # Errors
    /// See [`KeysRecordError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, KeysRecordError> {
        let Kept { format, person, keys } = serde_json::from_slice(bytes)?;
        if !(1..=FORMAT).contains(&format) {
            return Err(KeysRecordError::Newer { found: format });
        }
        Ok(Self { person, keys })
    }

    /// Writes the record; one without keys is removed.
    pub fn put(&self) -> Change {
        if self.keys.is_empty() {
            return forget(self.person);
        }
        let kept = Kept { format: FORMAT, person: self.person, keys: self.keys.clone() };
        let value = serde_json::to_vec(&kept).expect("records hold only numbers, texts and lists");
        Change::Put { kind: kind::SECURITY_KEYS, key: self.person.0.to_be_bytes().into(), value }
    }
}

/// Takes the record of a person away, if there is one.
pub fn forget(person: PersonId) -> Change {
    Change::Delete { kind: kind::SECURITY_KEYS, key: person.0.to_be_bytes().into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back_as_it_was_written() {
        let key = HeldKey {
            id: "00112233445566ff".into(),
            name: "blue \u{1f511}".into(),
            added: 1_800_000_000,
            used: Some(1_800_000_001),
            counter: 7,
            credential: serde_json::json!({ "cred": "opaque" }),
        };
        let record = KeysRecord { person: PersonId(7), keys: vec![key] };
        let Change::Put { value, .. } = record.put() else { panic!("not written") };
        assert_eq!(KeysRecord::decode(&value).unwrap(), record);
        let newer = String::from_utf8(value).unwrap().replace("\"format\":1", "\"format\":2");
        let error = KeysRecord::decode(newer.as_bytes()).unwrap_err().to_string();
        assert!(error.contains("has format 2; this version reads up to 1"), "{error}");
        assert!(matches!(KeysRecord::decode(b"{}"), Err(KeysRecordError::Damaged(_))));
        let none = KeysRecord { keys: Vec::new(), ..record };
        assert!(matches!(none.put(), Change::Delete { .. }));
    }
}
