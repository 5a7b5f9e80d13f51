//! The record of a user.

use ledger::Change;
use serde::{Deserialize, Serialize};
use wire::admin::EnrolWith;

use super::{FORMAT, RecordError, UserId, check_format, damaged, decode, encode, kind};
use crate::accounts::UserName;
use crate::clock::UnixTime;

/// A user. His tokens name him, not he them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRecord {
    pub(in crate::accounts) format: u32,
    /// For ever.
    pub id: UserId,
    pub(in crate::accounts) name: String,
    /// Whether a one-time password is demanded.
    pub otp_on: bool,
    /// How he enrols while he has no token.
    #[serde(default)]
    pub enrol_with: EnrolWith,
    /// When the demand was last turned on or off; 0 in records of format 1.
    #[serde(default)]
    pub otp_since: UnixTime,
}

impl UserRecord {
    /// A user of whom nothing is demanded.
    pub fn new(id: UserId, name: &UserName) -> Self {
        let name = name.as_str().into();
        Self { format: FORMAT, id, name, otp_on: false, enrol_with: EnrolWith::App, otp_since: 0 }
    }

    /// Reads a record.
    ///
    /// # Errors
    /// See [`RecordError`].
    pub fn decode(bytes: &[u8]) -> Result<(Self, UserName), RecordError> {
        let record: Self = decode("user", bytes)?;
        check_format("user", record.format)?;
        let name = UserName::new(&record.name).map_err(|error| damaged("user", error))?;
        Ok((Self { format: FORMAT, ..record }, name))
    }

    /// Writes the record.
    pub fn put(&self) -> Change {
        Change::Put { kind: kind::USER, key: self.id.0.to_be_bytes().into(), value: encode(self) }
    }
}
