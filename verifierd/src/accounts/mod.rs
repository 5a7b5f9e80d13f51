//! Users and their tokens: in memory for logins, in the ledger for ever.
//!
//! A [`User`] is immutable and exchanged whole; what moves with every login is a few atomics in its
//! [`Token`]. All changes an administrator or an enrolment makes go through one task, the [`Steward`], so
//! they need no lock.

mod name;
mod records;
mod steward;
mod system;

use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dashmap::DashMap;
use ledger::{Contents, Record};
use otp_core::hotp::OtpKey;
use otp_core::totp::TimeSteps;

pub use name::{UserName, UserNameError};
pub use records::{
    RecordError, TokenId, TokenIdentity, TokenParameters, TokenRecord, TokenState, UserId, UserRecord, kind,
};
pub(crate) use steward::disable;
pub use steward::{ChangeError, Steward, StewardHandle};
pub use system::account_exists;

use crate::audit::Reference;
use crate::keys::{NameHasher, Sealer};

/// No token that is drawn has this id: 127 random bits are not all zero.
const NOBODYS_TOKEN: TokenId = TokenId(0);

/// A user as logins see him.
#[derive(Debug)]
pub struct User {
    /// For ever.
    pub id: UserId,
    /// The account.
    pub name: UserName,
    /// Whether a one-time password is demanded.
    pub otp_on: bool,
    /// His token, while one is demanded.
    pub token: Option<Arc<Token>>,
}

/// A token as logins see it.
#[derive(Debug)]
pub struct Token {
    /// Its record, but for what the atomics below hold.
    pub record: TokenRecord,
    /// What it computes with.
    pub parameters: TokenParameters,
    /// The secret as a keyed state.
    pub key: OtpKey,
    /// When its time steps begin.
    pub steps: TimeSteps,
    state: AtomicU8,
    last_accepted: AtomicU64,
    failures: AtomicU32,
    grace_used: AtomicU64,
    /// The last refusal that was recorded, and those since; locked for a look and an update.
    refusals: Mutex<Refusals>,
}

#[derive(Debug, Default)]
struct Refusals {
    told: Option<(Duration, Reference)>,
    repeats: u64,
}

/// Whether a refusal like the last one needs a record of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// No: this record of just before tells of it too.
    Told(Reference),
    /// Yes, and it stands for this many before it.
    ToTell {
        /// Refusals since the last record.
        repeats: u64,
    },
}

/// At most one record in this time tells of a token's used codes.
const REFUSAL_RECORD_EVERY: Duration = Duration::from_secs(1);

impl Token {
    /// Unseals a record.
    ///
    /// # Errors
    /// When its parameters or its secret are not valid.
    pub fn open(record: TokenRecord, sealer: &Sealer) -> Result<Self, RecordError> {
        let parameters = record.parameters()?;
        let key = OtpKey::new(&record.secret(sealer)?, parameters.algorithm, parameters.digits);
        let steps = TimeSteps { initial_time: 0, time_interval: parameters.time_interval };
        let state = AtomicU8::new(record.state as u8);
        let zero = || AtomicU64::new(0);
        let failures = AtomicU32::new(0);
        Ok(Self {
            record,
            parameters,
            key,
            steps,
            state,
            last_accepted: zero(),
            failures,
            grace_used: zero(),
            refusals: Mutex::default(),
        })
    }

    /// A token that belongs to nobody: its secret is drawn and forgotten, it has no record and no credential.
    ///
    /// # Errors
    /// When the kernel gives no random bytes.
    pub fn of_nobody(sealer: &Sealer) -> Result<Self, ChangeError> {
        let identity = TokenIdentity { id: NOBODYS_TOKEN, user: UserId(0), serial: String::new() };
        Ok(Self::open(steward::draw_record(identity, sealer, 0)?, sealer)?)
    }

    /// Whether it belongs to nobody.
    pub fn is_nobodys(&self) -> bool {
        self.record.id == NOBODYS_TOKEN
    }

    /// Where it is in its life.
    pub fn state(&self) -> TokenState {
        // Acquire: whoever sees `Associated` also sees the step that made it so.
        match self.state.load(Ordering::Acquire) {
            0 => TokenState::Assigned,
            1 => TokenState::Associated,
            _ => TokenState::Disabled,
        }
    }

    /// Moves forward in life; a disabled token stays so. To be called after the change is durable.
    pub fn set_state(&self, state: TokenState) {
        self.state.fetch_max(state as u8, Ordering::Release);
    }

    /// The newest time step of which a code was accepted; 0 for none. May lag behind the ledger for a
    /// moment, never ahead of it.
    pub fn last_accepted(&self) -> u64 {
        self.last_accepted.load(Ordering::Acquire)
    }

    /// Records an accepted step; it only ever rises. To be called after the claim is durable.
    pub fn set_last_accepted(&self, step: u64) {
        self.last_accepted.fetch_max(step, Ordering::Release);
    }

    /// Wrong codes in a row.
    pub fn failures(&self) -> u32 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Counts a wrong code and returns how many there are now.
    pub fn add_failure(&self) -> u32 {
        self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

    /// Ends the row. Returns how long it was.
    pub fn clear_failures(&self) -> u32 {
        self.failures.swap(0, Ordering::Relaxed)
    }

    /// Asks whether a refusal at `now` needs a record, and counts it when it does not.
    pub fn repeated_refusal(&self, now: Duration) -> Repeat {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        match refusals.told {
            Some((at, reference)) if now.saturating_sub(at) < REFUSAL_RECORD_EVERY => {
                refusals.repeats = refusals.repeats.saturating_add(1);
                Repeat::Told(reference)
            }
            _ => Repeat::ToTell { repeats: std::mem::take(&mut refusals.repeats) },
        }
    }

    /// Remembers which record tells of refusals from now on.
    pub fn refusal_told(&self, now: Duration, reference: Reference) {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        refusals.told = Some((now, reference));
    }

    /// Logins without a code so far.
    pub fn grace_used(&self) -> u64 {
        self.grace_used.load(Ordering::Acquire)
    }

    /// Records a login without a code. To be called after the claim is durable.
    pub fn set_grace_used(&self, count: u64) {
        self.grace_used.fetch_max(count, Ordering::Release);
    }
}

/// Everything in memory.
#[derive(Debug)]
pub struct Accounts {
    /// Keyed by a keyed hash of the name: fixed size, and nobody outside can make two names meet.
    by_name: DashMap<[u8; 16], Arc<User>>,
    hasher: NameHasher,
}

impl Accounts {
    /// Nobody yet.
    pub fn new(hasher: NameHasher) -> Self {
        Self { by_name: DashMap::new(), hasher }
    }

    /// Takes over what the ledger holds.
    ///
    /// # Errors
    /// The first record that cannot be understood.
    pub fn load(&self, contents: &Contents, sealer: &Sealer) -> Result<(), RecordError> {
        let tokens: DashMap<TokenId, Arc<Token>> = DashMap::new();
        for record in contents.records.iter().filter(|record| record.kind == kind::TOKEN) {
            let token = Token::open(TokenRecord::decode(&record.value)?, sealer)?;
            tokens.insert(token.record.id, Arc::new(token));
        }
        let by_credential: std::collections::HashMap<_, _> =
            contents.credentials.iter().map(|credential| (credential.id, credential.value)).collect();
        for token in &tokens {
            let value = |id| by_credential.get(&id).copied().unwrap_or(0);
            token.set_last_accepted(value(token.record.id.credential()));
            token.set_grace_used(value(token.record.id.grace_credential()));
        }
        restore_failures(&contents.records, &tokens);
        for record in contents.records.iter().filter(|record| record.kind == kind::USER) {
            let (record, name) = UserRecord::decode(&record.value)?;
            let token = record.token.and_then(|id| tokens.get(&id).map(|token| Arc::clone(&token)));
            self.put(User { id: record.id, name, otp_on: record.otp_on, token });
        }
        Ok(())
    }

    /// Finds a user by name.
    pub fn find(&self, name: &UserName) -> Option<Arc<User>> {
        self.by_name.get(&self.key(name)).map(|user| Arc::clone(&user))
    }

    /// Every user, sorted by name.
    pub fn users(&self) -> Vec<Arc<User>> {
        let mut users: Vec<_> = self.by_name.iter().map(|entry| Arc::clone(&entry)).collect();
        users.sort_by(|one, other| one.name.cmp(&other.name));
        users
    }

    /// The user whose token has this serial.
    pub fn find_by_serial(&self, serial: &str) -> Option<(Arc<User>, Arc<Token>)> {
        self.by_name.iter().find_map(|user| {
            let token = user.token.as_ref().filter(|token| token.record.serial == serial)?;
            Some((Arc::clone(&user), Arc::clone(token)))
        })
    }

    /// Adds a user, or exchanges him for his newer self.
    fn put(&self, user: User) {
        self.by_name.insert(self.key(&user.name), Arc::new(user));
    }

    fn key(&self, name: &UserName) -> [u8; 16] {
        self.hasher.key(&[name.as_str().as_bytes()])
    }
}

fn restore_failures(records: &[Record], tokens: &DashMap<TokenId, Arc<Token>>) {
    for record in records.iter().filter(|record| record.kind == kind::TOKEN_FAILURES) {
        let key = record.key.as_slice().try_into().map(u128::from_be_bytes);
        let count = record.value.as_slice().try_into().map(u32::from_be_bytes);
        if let (Ok(key), Ok(count)) = (key, count)
            && let Some(token) = tokens.get(&TokenId(key))
        {
            token.failures.fetch_max(count, Ordering::Relaxed);
        }
    }
}

/// The ledger change that keeps a token's row of wrong codes.
pub fn put_failures(token: TokenId, count: u32) -> ledger::Change {
    let key = token.0.to_be_bytes().into();
    match count {
        0 => ledger::Change::Delete { kind: kind::TOKEN_FAILURES, key },
        count => ledger::Change::Put { kind: kind::TOKEN_FAILURES, key, value: count.to_be_bytes().into() },
    }
}
