//! What is kept about users and tokens, and its form in the ledger.
//!
//! Each record is JSON with a format number. A token's secret is sealed; its bindings are the token, its
//! owner, the field and the format, so that a sealed secret moved to another place does not open.

use data_encoding::BASE64;
use ledger::{Change, CredentialId};
use otp_core::{Algorithm, Digits, SharedSecret, TimeInterval};
use serde::{Deserialize, Serialize};

pub use wire::admin::TokenState;

use crate::accounts::UserName;
use crate::clock::UnixTime;
use crate::keys::{KeyError, SealError, Sealer};

/// Kinds of records in the ledger.
pub mod kind {
    /// [`super::UserRecord`], by user id.
    pub const USER: u8 = 1;
    /// [`super::TokenRecord`], by token id.
    pub const TOKEN: u8 = 2;
    /// A throttle's count, by throttle key.
    pub const THROTTLE: u8 = 3;
    /// A token's wrong codes in a row, by token id.
    pub const TOKEN_FAILURES: u8 = 4;
}

const FORMAT: u32 = 1;

/// Names a user for ever, also after the account's name went to somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct UserId(pub u128);

/// Names a token for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TokenId(pub u128);

impl TokenId {
    /// The ledger's name for the token's moving factor.
    pub fn credential(self) -> CredentialId {
        CredentialId(self.0.to_be_bytes())
    }

    /// The ledger's name for the number of logins without a code that were used up.
    pub fn grace_credential(self) -> CredentialId {
        let mut bytes = self.0.to_be_bytes();
        bytes[15] ^= 1; // ids are drawn with an even last byte
        CredentialId(bytes)
    }
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRecord {
    format: u32,
    /// For ever.
    pub id: UserId,
    name: String,
    /// Whether a one-time password is demanded.
    pub otp_on: bool,
    /// The user's token, while `otp_on`.
    pub token: Option<TokenId>,
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
    #[error("a {what} record has format {found}; this version reads {FORMAT}")]
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

impl UserRecord {
    /// A user of whom nothing is demanded.
    pub fn new(id: UserId, name: &UserName) -> Self {
        Self { format: FORMAT, id, name: name.as_str().into(), otp_on: false, token: None }
    }

    /// Reads a record.
    ///
    /// # Errors
    /// See [`RecordError`].
    pub fn decode(bytes: &[u8]) -> Result<(Self, UserName), RecordError> {
        let record: Self = decode("user", bytes)?;
        check_format("user", record.format)?;
        let name = UserName::new(&record.name).map_err(|error| RecordError::Damaged {
            what: "user",
            source: <serde_json::Error as serde::de::Error>::custom(error),
        })?;
        Ok((record, name))
    }

    /// Writes the record.
    pub fn put(&self) -> Change {
        Change::Put { kind: kind::USER, key: self.id.0.to_be_bytes().into(), value: encode(self) }
    }
}

/// A TOTP token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRecord {
    format: u32,
    /// For ever.
    pub id: TokenId,
    /// Its owner.
    pub user: UserId,
    /// What people call it.
    pub serial: String,
    algorithm: String,
    digits: u8,
    time_interval: u32,
    sealed_secret: String,
    /// Where it is in its life.
    pub state: TokenState,
    /// When it was made.
    pub created: UnixTime,
}

/// What a token computes with.
#[derive(Clone, Debug)]
pub struct TokenParameters {
    /// The hash function.
    pub algorithm: Algorithm,
    /// Length of a code.
    pub digits: Digits,
    /// Length of a time step.
    pub time_interval: TimeInterval,
}

impl Default for TokenParameters {
    /// What every authenticator app understands.
    fn default() -> Self {
        Self { algorithm: Algorithm::Sha1, digits: Digits::SIX, time_interval: TimeInterval::THIRTY }
    }
}

/// Who a new token is and whose.
#[derive(Clone, Debug)]
pub struct TokenIdentity {
    /// For ever.
    pub id: TokenId,
    /// Its owner.
    pub user: UserId,
    /// What people call it.
    pub serial: String,
}

impl TokenRecord {
    /// A token that waits for its first code.
    ///
    /// # Errors
    /// When the kernel gives no random bytes.
    pub fn new(
        identity: TokenIdentity,
        parameters: &TokenParameters,
        secret: &SharedSecret,
        sealer: &Sealer,
        created: UnixTime,
    ) -> Result<Self, KeyError> {
        let TokenIdentity { id, user, serial } = identity;
        let sealed = sealer.seal(secret.expose(), &bindings(id, user))?;
        Ok(Self {
            format: FORMAT,
            id,
            user,
            serial,
            algorithm: parameters.algorithm.name().into(),
            digits: parameters.digits.count(),
            time_interval: parameters.time_interval.seconds(),
            sealed_secret: BASE64.encode(&sealed),
            state: TokenState::Assigned,
            created,
        })
    }

    /// Reads a record.
    ///
    /// # Errors
    /// See [`RecordError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let record: Self = decode("token", bytes)?;
        check_format("token", record.format)?;
        Ok(record)
    }

    /// The parameters, checked.
    ///
    /// # Errors
    /// When one of them is not a value that OTP knows.
    pub fn parameters(&self) -> Result<TokenParameters, RecordError> {
        let fault = |fault: String| RecordError::Token { serial: self.serial.clone(), fault };
        Ok(TokenParameters {
            algorithm: Algorithm::from_name(&self.algorithm).map_err(|error| fault(error.to_string()))?,
            digits: Digits::new(self.digits).map_err(|error| fault(error.to_string()))?,
            time_interval: TimeInterval::new(self.time_interval).map_err(|error| fault(error.to_string()))?,
        })
    }

    /// The secret, unsealed.
    ///
    /// # Errors
    /// When it does not open: damaged, or sealed under another master key.
    pub fn secret(&self, sealer: &Sealer) -> Result<SharedSecret, RecordError> {
        let fault = |fault: String| RecordError::Token { serial: self.serial.clone(), fault };
        let sealed =
            BASE64.decode(self.sealed_secret.as_bytes()).map_err(|error| fault(error.to_string()))?;
        let opened = sealer
            .open(&sealed, &bindings(self.id, self.user))
            .map_err(|SealError| fault("its secret does not open: damaged, or another master key".into()))?;
        SharedSecret::from_bytes(&opened).map_err(|error| fault(error.to_string()))
    }

    /// Writes the record.
    pub fn put(&self) -> Change {
        Change::Put { kind: kind::TOKEN, key: self.id.0.to_be_bytes().into(), value: encode(self) }
    }

    /// The same token in another state.
    pub fn with_state(&self, state: TokenState) -> Self {
        Self { state, ..self.clone() }
    }
}

/// The additional data of a sealed secret.
fn bindings(token: TokenId, user: UserId) -> Vec<u8> {
    let mut bytes = b"token secret".to_vec();
    bytes.extend(token.0.to_be_bytes());
    bytes.extend(user.0.to_be_bytes());
    bytes.extend(FORMAT.to_be_bytes());
    bytes
}

fn check_format(what: &'static str, found: u32) -> Result<(), RecordError> {
    if found == FORMAT { Ok(()) } else { Err(RecordError::Newer { what, found }) }
}

fn decode<'a, T: Deserialize<'a>>(what: &'static str, bytes: &'a [u8]) -> Result<T, RecordError> {
    serde_json::from_slice(bytes).map_err(|source| RecordError::Damaged { what, source })
}

fn encode<T: Serialize>(record: &T) -> Vec<u8> {
    serde_json::to_vec(record).expect("records hold only numbers, texts and lists")
}
