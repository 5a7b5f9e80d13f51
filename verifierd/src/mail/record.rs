//! What is kept of a mail that is to be sent: JSON with a format number, by its id. Never what it says: that is written
//! when it is sent.

use data_encoding::BASE64;
use ledger::Change;
use serde::{Deserialize, Serialize};

use super::{MailId, NewLetter};
use crate::accounts::kind;
use crate::clock::UnixTime;

/// The newest format.
const FORMAT: u32 = 1;

/// A mail that is to be sent, was sent, or could not be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MailRecord {
    format: u32,
    id: MailId,
    /// To whom.
    pub to: String,
    #[serde(with = "base64")]
    pub occasion: Vec<u8>,
    /// It is not sent later than this.
    pub until: UnixTime,
    /// Whether it is sent whatever else its address gets.
    pub is_urgent: bool,
    /// How often it was tried.
    pub tries: u32,
    /// How it stands.
    pub state: Stored,
    /// Whether it tells that others to this address wait until then. Such a one is never kept.
    #[serde(skip)]
    pub is_notice: bool,
}

/// How a mail stands, in the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Stored {
    /// It is to be sent.
    Waiting,
    /// The server took it.
    Sent {
        /// When.
        at: UnixTime,
    },
    /// It is not tried any more.
    Failed {
        /// Since when.
        at: UnixTime,
        /// Why.
        why: String,
    },
}

/// A record of a mail that cannot be understood.
#[derive(Debug, thiserror::Error)]
pub enum MailRecordError {
    /// Not the expected JSON.
    #[error("a mail's record is damaged")]
    Damaged(#[from] serde_json::Error),
    /// Made by a newer version.
    #[error("a mail's record has format {found}; this version reads up to {FORMAT}")]
    Newer {
        /// The format it names.
        found: u32,
    },
}

impl MailRecord {
    /// One that waits.
    pub fn new(id: MailId, letter: NewLetter) -> Self {
        let NewLetter { to, occasion, until, is_urgent } = letter;
        let (to, state) = (to.to_string(), Stored::Waiting);
        Self { format: FORMAT, id, to, occasion, until, is_urgent, tries: 0, state, is_notice: false }
    }

    /// One that tells that others to this address wait until then.
    pub fn notice(id: MailId, to: String, until: UnixTime) -> Self {
        let (occasion, state) = (Vec::new(), Stored::Waiting);
        Self { format: FORMAT, id, to, occasion, until, is_urgent: true, tries: 0, state, is_notice: true }
    }

    pub fn id(&self) -> MailId {
        self.id
    }

    /// Reads a record.
    ///
    /// # Errors
    /// See [`MailRecordError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, MailRecordError> {
        let record: Self = serde_json::from_slice(bytes)?;
        if !(1..=FORMAT).contains(&record.format) {
            return Err(MailRecordError::Newer { found: record.format });
        }
        Ok(record)
    }

    /// Writes the record.
    pub fn put(&self) -> Change {
        let value = serde_json::to_vec(self).expect("records hold only numbers and texts");
        Change::Put { kind: kind::MAIL, key: self.id.0.to_be_bytes().into(), value }
    }

    /// Takes it away.
    pub fn delete(&self) -> Change {
        Change::Delete { kind: kind::MAIL, key: self.id.0.to_be_bytes().into() }
    }
}

mod base64 {
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    use super::BASE64;

    pub fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&BASE64.encode(bytes))
    }

    pub fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        BASE64.decode(text.as_bytes()).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::people::EmailAddress;

    #[test]
    fn a_record_reads_back_as_it_was_written() {
        let to = EmailAddress::parse("alice@example.org").unwrap();
        let letter = NewLetter { to, occasion: vec![0, 255], until: 1_800_000_000, is_urgent: true };
        let mut record = MailRecord::new(MailId(7), letter);
        for state in [
            Stored::Waiting,
            Stored::Sent { at: 1 },
            Stored::Failed { at: 2, why: "550 no such user".into() },
        ] {
            record.state = state;
            let Change::Put { value, .. } = record.put() else { panic!("not written") };
            assert_eq!(MailRecord::decode(&value).unwrap(), record);
            let newer = String::from_utf8(value).unwrap().replace("\"format\":1", "\"format\":2");
            let error = MailRecord::decode(newer.as_bytes()).unwrap_err().to_string();
            assert!(error.contains("has format 2; this version reads up to 1"), "{error}");
        }
    }
}
