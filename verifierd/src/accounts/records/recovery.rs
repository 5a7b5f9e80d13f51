//! The record of a user's recovery codes: their names in the ledger, which are keyed hashes of the codes.

use data_encoding::HEXLOWER;
use ledger::{Change, CredentialId};
use serde::{Deserialize, Serialize};

use super::{FORMAT, RecordError, UserId, check_format, damaged, decode, encode, kind};
use crate::clock::UnixTime;

/// A set of recovery codes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryRecord {
    format: u32,
    /// Names this set for ever.
    pub id: u128,
    /// Whose they are.
    pub user: UserId,
    /// When they were made.
    pub made: UnixTime,
    /// How many unclean stops there had been before.
    pub quarantine: u32,
    codes: Vec<String>,
}

impl RecoveryRecord {
    /// A set of codes.
    pub fn new(id: u128, user: UserId, made: UnixTime, quarantine: u32, codes: &[CredentialId]) -> Self {
        let codes = codes.iter().map(|code| HEXLOWER.encode(&code.0)).collect();
        Self { format: FORMAT, id, user, made, quarantine, codes }
    }

    /// Reads a record.
    ///
    /// # Errors
    /// See [`RecordError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let record: Self = decode("recovery", bytes)?;
        check_format("recovery", record.format)?;
        record.codes()?;
        Ok(record)
    }

    /// The codes' names in the ledger.
    ///
    /// # Errors
    /// When one of them is not 16 bytes in hexadecimal.
    pub fn codes(&self) -> Result<Vec<CredentialId>, RecordError> {
        let parse = |code: &String| {
            let bytes = HEXLOWER.decode(code.as_bytes()).map_err(|error| damaged("recovery", error))?;
            bytes
                .try_into()
                .map(CredentialId)
                .map_err(|_| damaged("recovery", "a code's name has another length"))
        };
        self.codes.iter().map(parse).collect()
    }

    /// Writes the record.
    pub fn put(&self) -> Change {
        Change::Put { kind: kind::RECOVERY, key: self.user.0.to_be_bytes().into(), value: encode(self) }
    }

    /// Removes the record of a user.
    pub fn delete(user: UserId) -> Change {
        Change::Delete { kind: kind::RECOVERY, key: user.0.to_be_bytes().into() }
    }
}
