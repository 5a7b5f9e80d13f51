//! A token as logins see it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, SHA512, digest};
use ledger::{Change, CredentialId};
use otp_core::ThrottleRules;
use otp_core::hotp::OtpKey;
use otp_core::totp::TimeSteps;

use super::transitions::Before;
use super::{
    ChangeError, Expectation, Factor, Gate, NewSecret, Origin, RecordError, TokenId, TokenParameters,
    TokenRecord, kind,
};
use crate::keys::{Sealer, random_bytes};
use otp_core::{Algorithm, SharedSecret};
use wire::admin::{DisabledBy, TokenState};

/// No token that is drawn has this id: 127 random bits are not all zero.
const NOBODYS_TOKEN: TokenId = TokenId(0);

/// Length of a new secret in bytes: RFC 4226 §4 R6 recommends 160 bits.
const SECRET_BYTES: usize = 20;

/// A token as logins see it. Its record does not change: a change makes a new one, which shares what moves.
#[derive(Debug)]
pub struct Token {
    /// As in the ledger.
    pub record: TokenRecord,
    /// What it computes with.
    pub parameters: TokenParameters,
    /// The secret as a keyed state.
    pub key: OtpKey,
    /// Tells whether another token has the same secret.
    pub fingerprint: [u8; 16],
    pub(super) moving: Arc<Moving>,
}

/// What moves with every login; all versions of a token share it.
#[derive(Debug, Default)]
pub(super) struct Moving {
    value: AtomicU64,
    failures: AtomicU32,
    gate: Gate,
    /// The first eight bytes of the request whose code was claimed last without a long look; 0 for none.
    last_claim: AtomicU64,
    grace_used: AtomicU64,
}

impl Moving {
    /// See [`Token::value`].
    pub(super) fn value(&self) -> u64 {
        self.value.load(Ordering::Acquire)
    }

    /// See [`Token::set_value`]. Whether it rose.
    pub(super) fn raise(&self, to: u64) -> bool {
        self.value.fetch_max(to, Ordering::AcqRel) < to
    }

    /// See [`Token::failures`].
    pub(super) fn failures(&self) -> u32 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Remembers whose code was claimed last.
    pub(super) fn note_claim(&self, request: &[u8; 16]) {
        self.last_claim.store(prefix(request), Ordering::Relaxed);
    }

    /// See [`Hot::was_claimed_by`](super::Hot::was_claimed_by).
    pub(super) fn was_claimed_by(&self, request: &[u8; 16]) -> bool {
        self.last_claim.load(Ordering::Relaxed) == prefix(request)
    }

    /// See [`Hot::gate`](super::Hot::gate).
    pub(super) fn gate(&self) -> &Gate {
        &self.gate
    }
}

fn prefix(request: &[u8; 16]) -> u64 {
    u64::from_be_bytes(*request.first_chunk().expect("16 bytes hold 8"))
}

impl Token {
    /// Unseals a record.
    ///
    /// # Errors
    /// When its parameters or its secret are not valid.
    pub fn open(record: TokenRecord, sealer: &Sealer) -> Result<Self, RecordError> {
        let parameters = record.parameters()?;
        let secret = record.secret(sealer)?;
        let key = OtpKey::new(&secret, parameters.algorithm, parameters.digits);
        let fingerprint = fingerprint(&secret, parameters.algorithm, sealer);
        Ok(Self { record, parameters, key, fingerprint, moving: Arc::default() })
    }

    /// The same token with a changed record.
    pub fn with_record(&self, record: TokenRecord) -> Self {
        let (parameters, key) = (self.parameters.clone(), self.key.clone());
        let (fingerprint, moving) = (self.fingerprint, Arc::clone(&self.moving));
        Self { record, parameters, key, fingerprint, moving }
    }

    /// A token that belongs to nobody: its secret is drawn and forgotten, it has no record and no credential.
    ///
    /// # Errors
    /// When the kernel gives no random bytes.
    pub fn of_nobody(sealer: &Sealer) -> Result<Self, ChangeError> {
        let new = NewSecret {
            serial: String::new(),
            parameters: &TokenParameters::default(),
            secret: &draw_secret()?,
            origin: Origin::App,
        };
        Ok(Self::open(TokenRecord::new(NOBODYS_TOKEN, new, sealer, 0)?, sealer)?)
    }

    /// Whether it belongs to nobody.
    pub fn is_nobodys(&self) -> bool {
        self.record.id == NOBODYS_TOKEN
    }

    /// When its time steps begin; `None` for one that counts presses.
    pub fn steps(&self) -> Option<TimeSteps> {
        match self.parameters.factor {
            Factor::Counter => None,
            Factor::Time(time_interval) => Some(TimeSteps { initial_time: 0, time_interval }),
        }
    }

    /// Where it is in its life, as everybody sees it: disabled from the hundredth wrong code on, also
    /// before its record says so.
    pub fn state(&self) -> TokenState {
        match self.record.state {
            TokenState::Available | TokenState::Assigned | TokenState::Associated if self.is_locked() => {
                TokenState::Disabled
            }
            state => state,
        }
    }

    /// Why it is disabled.
    pub fn disabled_by(&self) -> Option<DisabledBy> {
        self.record
            .disabled_by
            .or_else(|| (self.state() == TokenState::Disabled).then_some(DisabledBy::WrongCodes))
    }

    /// Whether a login may use it.
    pub fn is_usable(&self) -> bool {
        matches!(self.state(), TokenState::Assigned | TokenState::Associated)
    }

    /// Whether it waits for its user to take its secret over into an authenticator app.
    pub fn is_enrolling(&self) -> bool {
        self.record.origin == Origin::App && self.state() == TokenState::Assigned
    }

    /// Whether too many wrong codes in a row have disabled it.
    pub fn is_locked(&self) -> bool {
        !self.is_nobodys() && ThrottleRules::default().disables(self.failures())
    }

    /// What it was before it was disabled or lost.
    pub fn before(&self) -> Before {
        Before { owned: self.record.user.is_some(), proved: self.record.associated.is_some() }
    }

    /// The ledger's name for its moving factor.
    pub fn credential(&self) -> CredentialId {
        self.record.id.credential(self.record.generation)
    }

    /// The ledger's name for its logins without a code.
    pub fn grace_credential(&self) -> CredentialId {
        self.record.id.grace_credential(self.record.generation)
    }

    /// Where it is expected to stand.
    pub fn expectation(&self) -> Expectation<'_> {
        let TokenRecord { time_drift, quarantine, .. } = self.record;
        let (key, factor, value) = (&self.key, self.parameters.factor, self.value());
        Expectation { key, factor, time_drift, quarantine, value }
    }

    /// The value of its credential: for TOTP the newest time step of which a code was accepted (0 for none),
    /// for HOTP the counter expected next. May lag behind the ledger for a moment, never ahead of it.
    pub fn value(&self) -> u64 {
        self.moving.value()
    }

    /// Records the value; it only ever rises. To be called after the claim is durable.
    pub fn set_value(&self, value: u64) {
        self.moving.raise(value);
    }

    /// Wrong codes in a row.
    pub fn failures(&self) -> u32 {
        self.moving.failures()
    }

    /// Counts a wrong code and returns how many there are now.
    pub fn add_failure(&self) -> u32 {
        self.moving.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

    /// Ends the row. Returns how long it was.
    pub fn clear_failures(&self) -> u32 {
        self.moving.failures.swap(0, Ordering::Relaxed)
    }

    /// Takes over the row as stored.
    pub fn restore_failures(&self, count: u32) {
        self.moving.failures.fetch_max(count, Ordering::Relaxed);
    }

    /// The ledger change that keeps its row of wrong codes.
    pub fn put_failures(&self, count: u32) -> Change {
        put_failures(self.record.id.0, count)
    }

    /// Logins without a code so far.
    pub fn grace_used(&self) -> u64 {
        self.moving.grace_used.load(Ordering::Acquire)
    }

    /// Records a login without a code. To be called after the claim is durable.
    pub fn set_grace_used(&self, count: u64) {
        self.moving.grace_used.fetch_max(count, Ordering::Release);
    }
}

/// The ledger change that keeps a row of wrong codes, by the id of the token or the set of recovery codes.
pub(super) fn put_failures(id: u128, count: u32) -> Change {
    let key = id.to_be_bytes().into();
    match count {
        0 => Change::Delete { kind: kind::FAILURES, key },
        count => Change::Put { kind: kind::FAILURES, key, value: count.to_be_bytes().into() },
    }
}

/// Tells whether two secrets show the same codes. HMAC hashes a key that is longer than a block of its hash, and fills
/// a shorter one up with zeros (RFC 2104 §2): spellings that differ only there are one secret.
pub(super) fn fingerprint(secret: &SharedSecret, algorithm: Algorithm, sealer: &Sealer) -> [u8; 16] {
    let (hash, block) = match algorithm {
        Algorithm::Sha1 => (&SHA1_FOR_LEGACY_USE_ONLY, 64),
        Algorithm::Sha256 => (&SHA256, 64),
        Algorithm::Sha512 => (&SHA512, 128),
    };
    let bytes = secret.expose();
    if bytes.len() > block {
        return sealer.fingerprint(without_zeros(digest(hash, bytes).as_ref()));
    }
    sealer.fingerprint(without_zeros(bytes))
}

fn without_zeros(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    &bytes[..end]
}

/// A new secret.
pub(super) fn draw_secret() -> Result<SharedSecret, ChangeError> {
    let bytes = zeroize::Zeroizing::new(random_bytes::<SECRET_BYTES>()?);
    Ok(SharedSecret::from_bytes(bytes.as_slice()).expect("20 bytes are a valid length"))
}
