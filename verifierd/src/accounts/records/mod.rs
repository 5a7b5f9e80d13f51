//! What is kept about users, tokens and recovery codes, and its form in the ledger.
//!
//! Each record is JSON with a format number. Format 2 brought tokens that belong to nobody, event-based ones
//! and recovery codes; records of format 1 are read too.

mod recovery;
mod token;
mod user;

use ledger::CredentialId;
use serde::{Deserialize, Serialize};

pub use recovery::RecoveryRecord;
pub use token::{Factor, NewSecret, Origin, TokenParameters, TokenRecord};
pub use user::UserRecord;
pub use wire::admin::{DisabledBy, TokenState};

/// Kinds of records in the ledger.
pub mod kind {
    /// [`super::UserRecord`], by user id.
    pub const USER: u8 = 1;
    /// [`super::TokenRecord`], by token id.
    pub const TOKEN: u8 = 2;
    /// A throttle's count, by throttle key.
    pub const THROTTLE: u8 = 3;
    /// Wrong codes in a row, by the id of the token or of the set of recovery codes.
    pub const FAILURES: u8 = 4;
    /// [`super::RecoveryRecord`], by user id.
    pub const RECOVERY: u8 = 5;
    /// What the last unclean stop left behind (see `accounts::quarantine`); one record.
    pub const QUARANTINE: u8 = 6;
    /// An import that has begun and not ended, by its id: none of its tokens counts.
    pub const IMPORT: u8 = 7;
    /// `hosts::record::HostRecord`, by host id.
    pub const HOST: u8 = 8;
    /// `hosts::record::AuthorityRecord`; one record.
    pub const AUTHORITY: u8 = 9;
    /// How the store stands to what hosts have seen of it (see `audit::witness`); one record.
    pub const STANDING: u8 = 10;
    /// `sessions::Session`, by host id and session id.
    pub const SESSION: u8 = 11;
    /// The last record of the audit trail that a sink took over (see `audit::sinks`), by the sink's name.
    pub const SINK: u8 = 12;
    /// `people::PersonRecord`, by person id.
    pub const PERSON: u8 = 13;
    /// `access::RequestRecord`, by request id.
    pub const REQUEST: u8 = 15;
    /// A mail that is to be sent.
    pub const MAIL: u8 = 16;
    /// `people::KeysRecord`, by person id.
    pub const SECURITY_KEYS: u8 = 17;
    /// `person_keys::KeyRecord`, by key id.
    pub const PERSON_KEY: u8 = 20;
    /// `offline::HostRecord`, by host id.
    pub const OFFLINE_HOST: u8 = 21;
    /// `offline::PasswordRecord`, by host id, number of its key and counter.
    pub const OFFLINE_PASSWORD: u8 = 22;
    /// `offline::UniversalRecord`, of which there is one.
    pub const OFFLINE_UNIVERSAL: u8 = 23;
}

/// The newest format.
const FORMAT: u32 = 2;

/// Names a user for ever, also after the account's name went to somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct UserId(pub u128);

/// Names a token for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TokenId(pub u128);

impl TokenId {
    /// The ledger's name for the token's moving factor.
    ///
    /// * `generation`: rises whenever the token goes to another hand or stops working, so that a login that
    ///   was on its way then finds nothing left to claim.
    pub fn credential(self, generation: u32) -> CredentialId {
        // Ids are random and even: neither the steps of two nor the odd names meet those of another token.
        CredentialId(self.0.wrapping_add(2 * u128::from(generation)).to_be_bytes())
    }

    /// The ledger's name for the number of logins without a code that were used up.
    pub fn grace_credential(self, generation: u32) -> CredentialId {
        let CredentialId(mut bytes) = self.credential(generation);
        bytes[15] ^= 1;
        CredentialId(bytes)
    }
}

/// A record that cannot be understood.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
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
    /// Its parameters or its secret are not valid.
    #[error("token {serial}: {fault}")]
    Token {
        /// Which token.
        serial: String,
        /// What is wrong.
        fault: String,
    },
}

fn check_format(what: &'static str, found: u32) -> Result<(), RecordError> {
    if (1..=FORMAT).contains(&found) { Ok(()) } else { Err(RecordError::Newer { what, found }) }
}

fn decode<'a, T: Deserialize<'a>>(what: &'static str, bytes: &'a [u8]) -> Result<T, RecordError> {
    serde_json::from_slice(bytes).map_err(|source| RecordError::Damaged { what, source })
}

fn encode<T: Serialize>(record: &T) -> Vec<u8> {
    serde_json::to_vec(record).expect("records hold only numbers, texts and lists")
}

/// What is wrong with a record besides its JSON.
fn damaged(what: &'static str, fault: impl std::fmt::Display) -> RecordError {
    RecordError::Damaged { what, source: <serde_json::Error as serde::de::Error>::custom(fault) }
}
