//! The record of a token.
//!
//! The secret is sealed; its bindings are the token, its owner, the field and the form of the seal, so that
//! a sealed secret moved to another place does not open.

use data_encoding::BASE64;
use ledger::Change;
use otp_core::{Algorithm, Digits, SharedSecret, TimeInterval};
use serde::{Deserialize, Serialize};
use wire::admin::{DisabledBy, TokenState, TokenType};

use super::{FORMAT, RecordError, TokenId, UserId, check_format, decode, encode, kind};
use crate::clock::UnixTime;
use crate::keys::{KeyError, SealError, Sealer};

/// A token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRecord {
    pub(in crate::accounts) format: u32,
    /// For ever.
    pub id: TokenId,
    /// Its owner; none while it is available.
    pub user: Option<UserId>,
    /// What people call it.
    pub serial: String,
    #[serde(default, rename = "type")]
    pub(in crate::accounts) token_type: TokenType,
    #[serde(with = "algorithm_name")]
    pub(in crate::accounts) algorithm: Algorithm,
    pub(in crate::accounts) digits: u8,
    pub(in crate::accounts) time_interval: Option<u32>,
    #[serde(with = "base64")]
    pub(in crate::accounts) sealed_secret: Box<[u8]>,
    /// Where it is in its life.
    pub state: TokenState,
    /// When it was made.
    pub created: UnixTime,
    /// Rises when it goes to another hand or stops working (see [`TokenId::credential`]).
    #[serde(default)]
    pub generation: u32,
    /// Where its secret comes from.
    #[serde(default)]
    pub origin: Origin,
    /// When it was given to its user: tokens are tried in this order.
    #[serde(default)]
    pub assigned: UnixTime,
    /// When a code first proved that its present user holds it.
    #[serde(default)]
    pub associated: Option<UnixTime>,
    /// Why it is disabled.
    #[serde(default)]
    pub disabled_by: Option<DisabledBy>,
    /// By how many time steps its clock is known to be ahead.
    #[serde(default)]
    pub time_drift: i32,
    /// How many unclean stops there had been when two codes last proved its counter.
    #[serde(default)]
    pub quarantine: u32,
    /// The import that brought it.
    #[serde(default)]
    pub import: Option<u64>,
    /// The value of its credential before any code was accepted: the first counter, for HOTP.
    #[serde(default)]
    pub first_value: u64,
}

/// Where a token's secret comes from, which says who may see it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Drawn by Postern for an authenticator app: shown to its user until he has shown a code.
    #[default]
    App,
    /// Given to Postern with the token: never shown.
    Hardware,
}

/// What a token computes with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenParameters {
    /// The hash function.
    pub algorithm: Algorithm,
    /// Length of a code.
    pub digits: Digits,
    /// What its codes follow.
    pub factor: Factor,
}

/// What a token's codes follow: the moving factor of RFC 4226.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Factor {
    /// A counter of presses.
    Counter,
    /// The time, in steps of this length.
    Time(TimeInterval),
}

impl Default for TokenParameters {
    /// What every authenticator app understands.
    fn default() -> Self {
        let factor = Factor::Time(TimeInterval::THIRTY);
        Self { algorithm: Algorithm::Sha1, digits: Digits::SIX, factor }
    }
}

/// A secret on its way into a record, with what is told about it.
#[derive(Debug)]
pub struct NewSecret<'a> {
    /// What people call the token.
    pub serial: String,
    /// What it computes with.
    pub parameters: &'a TokenParameters,
    /// The secret.
    pub secret: &'a SharedSecret,
    /// Where it comes from.
    pub origin: Origin,
}

impl TokenRecord {
    /// A token that belongs to nobody.
    ///
    /// # Errors
    /// When the kernel gives no random bytes.
    pub fn new(id: TokenId, new: NewSecret<'_>, sealer: &Sealer, now: UnixTime) -> Result<Self, KeyError> {
        let NewSecret { serial, parameters, secret, origin } = new;
        let (token_type, time_interval) = match parameters.factor {
            Factor::Counter => (TokenType::Hotp, None),
            Factor::Time(interval) => (TokenType::Totp, Some(interval.seconds())),
        };
        Ok(Self {
            format: FORMAT,
            id,
            user: None,
            serial,
            token_type,
            algorithm: parameters.algorithm,
            digits: parameters.digits.count(),
            time_interval,
            sealed_secret: seal(secret, id, None, sealer)?,
            state: TokenState::Available,
            created: now,
            generation: 0,
            origin,
            assigned: 0,
            associated: None,
            disabled_by: None,
            time_drift: 0,
            quarantine: 0,
            import: None,
            first_value: 0,
        })
    }

    /// Reads a record.
    ///
    /// # Errors
    /// See [`RecordError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut record: Self = decode("token", bytes)?;
        check_format("token", record.format)?;
        if record.format == 1 && record.state == TokenState::Associated {
            // Format 1 kept no time of it.
            record.associated = Some(record.created);
        }
        Ok(Self { format: FORMAT, ..record })
    }

    /// The parameters, checked.
    ///
    /// # Errors
    /// When one of them is not a value that OTP knows.
    pub fn parameters(&self) -> Result<TokenParameters, RecordError> {
        let factor = match (self.token_type, self.time_interval) {
            (TokenType::Hotp, _) => Factor::Counter,
            (TokenType::Totp, Some(seconds)) => {
                Factor::Time(TimeInterval::new(seconds).map_err(|error| self.fault(error))?)
            }
            (TokenType::Totp, None) => return Err(self.fault("a TOTP token has a time interval")),
        };
        Ok(TokenParameters {
            algorithm: self.algorithm,
            digits: Digits::new(self.digits).map_err(|error| self.fault(error))?,
            factor,
        })
    }

    /// The secret, unsealed.
    ///
    /// # Errors
    /// When it does not open: damaged, or sealed under another master key.
    pub fn secret(&self, sealer: &Sealer) -> Result<SharedSecret, RecordError> {
        let opened = sealer
            .open(&self.sealed_secret, &bindings(self.id, self.user))
            .map_err(|SealError| self.fault("its secret does not open: damaged, or another master key"))?;
        SharedSecret::from_bytes(&opened).map_err(|error| self.fault(error))
    }

    /// The same token in another hand, or in none; its secret is sealed for its new owner.
    ///
    /// # Errors
    /// When the secret does not open, or the kernel gives no random bytes.
    pub fn owned_by(
        &self,
        user: Option<UserId>,
        sealer: &Sealer,
        now: UnixTime,
    ) -> Result<Self, RecordError> {
        let secret = self.secret(sealer)?;
        let sealed_secret = seal(&secret, self.id, user, sealer).map_err(|error| self.fault(error))?;
        Ok(Self {
            user,
            sealed_secret,
            generation: self.generation + 1,
            assigned: if user.is_some() { now } else { 0 },
            associated: None,
            disabled_by: None,
            ..self.clone()
        })
    }

    /// Writes the record.
    pub fn put(&self) -> Change {
        Change::Put { kind: kind::TOKEN, key: self.id.0.to_be_bytes().into(), value: encode(self) }
    }

    /// Removes the record.
    pub fn delete(&self) -> Change {
        Change::Delete { kind: kind::TOKEN, key: self.id.0.to_be_bytes().into() }
    }

    fn fault(&self, fault: impl ToString) -> RecordError {
        RecordError::Token { serial: self.serial.clone(), fault: fault.to_string() }
    }
}

fn seal(
    secret: &SharedSecret,
    id: TokenId,
    user: Option<UserId>,
    sealer: &Sealer,
) -> Result<Box<[u8]>, KeyError> {
    Ok(sealer.seal(secret.expose(), &bindings(id, user))?.into())
}

/// An algorithm as its name.
mod algorithm_name {
    use super::Algorithm;
    use serde::de::{Deserialize, Deserializer, Error};
    use serde::ser::Serializer;

    pub fn serialize<S: Serializer>(algorithm: &Algorithm, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(algorithm.name())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Algorithm, D::Error> {
        let name = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Algorithm::from_name(&name).map_err(D::Error::custom)
    }
}

/// Bytes as base64.
mod base64 {
    use super::BASE64;
    use serde::de::{Deserialize, Deserializer, Error};
    use serde::ser::Serializer;

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Box<[u8]>, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        BASE64.decode(text.as_bytes()).map(Into::into).map_err(D::Error::custom)
    }
}

/// The additional data of a sealed secret.
fn bindings(token: TokenId, user: Option<UserId>) -> Vec<u8> {
    const SEAL_FORM: u32 = 1;
    let mut bytes = b"token secret".to_vec();
    bytes.extend(token.0.to_be_bytes());
    bytes.extend(user.map_or(0, |user| user.0).to_be_bytes());
    bytes.extend(SEAL_FORM.to_be_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::MasterKey;

    fn sealer() -> Sealer {
        Sealer::new(&MasterKey::generate().unwrap(), "test")
    }

    fn record(sealer: &Sealer) -> TokenRecord {
        let new = NewSecret {
            serial: "2600123456789".into(),
            parameters: &TokenParameters { factor: Factor::Counter, ..TokenParameters::default() },
            secret: &SharedSecret::from_bytes(&[7; 20]).unwrap(),
            origin: Origin::Hardware,
        };
        TokenRecord::new(TokenId(8), new, sealer, 100).unwrap()
    }

    #[test]
    fn a_record_reads_back_as_it_was_written() {
        let record = record(&sealer());
        let Change::Put { value, .. } = record.put() else { panic!("a put") };
        assert_eq!(TokenRecord::decode(&value).unwrap(), record);
    }

    #[test]
    fn a_secret_opens_only_for_its_owner() {
        let sealer = sealer();
        let free = record(&sealer);
        let owned = free.owned_by(Some(UserId(5)), &sealer, 200).unwrap();
        assert_eq!(owned.secret(&sealer).unwrap().expose(), [7; 20]);
        assert_eq!((owned.generation, owned.assigned), (1, 200));
        let stolen = TokenRecord { user: Some(UserId(6)), ..owned };
        assert!(stolen.secret(&sealer).is_err());
    }

    #[test]
    fn a_record_of_format_one_is_a_totp_token_of_an_app() {
        let text = r#"{"format":1,"id":8,"user":5,"serial":"PT1","algorithm":"SHA1","digits":6,
            "time_interval":30,"sealed_secret":"","state":"associated","created":77}"#;
        let record = TokenRecord::decode(text.as_bytes()).unwrap();
        assert_eq!(record.parameters().unwrap(), TokenParameters::default());
        assert_eq!((record.origin, record.associated, record.generation), (Origin::App, Some(77), 0));
        let newer = text.replace("\"format\":1", "\"format\":3");
        assert!(matches!(TokenRecord::decode(newer.as_bytes()), Err(RecordError::Newer { found: 3, .. })));
    }

    #[test]
    fn each_generation_has_its_own_names_in_the_ledger() {
        let id = TokenId(8);
        let names = [
            id.credential(0),
            id.grace_credential(0),
            id.credential(1),
            id.grace_credential(1),
            TokenId(u128::MAX - 1).credential(1),
        ];
        let distinct: std::collections::HashSet<_> = names.into_iter().collect();
        assert_eq!(distinct.len(), names.len());
    }
}
