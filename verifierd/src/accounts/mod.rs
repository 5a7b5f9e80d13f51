//! Users, their tokens and recovery codes: in memory for logins, in the ledger for ever.
//!
//! A [`User`] and a [`Token`] are immutable and exchanged whole; what moves with every login is a few
//! atomics. All changes of records go through the [`Steward`], one after the other.

mod index;
mod name;
mod quarantine;
mod records;
mod recovery;
mod steward;
mod system;
mod token;
mod transitions;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use ledger::{Contents, CredentialId, Record};
use wire::admin::EnrolWith;

pub use name::{UserName, UserNameError};
pub use quarantine::{Quarantine, UncleanStop};
pub use records::{
    DisabledBy, Factor, NewSecret, Origin, RecordError, RecoveryRecord, TokenId, TokenParameters,
    TokenRecord, TokenState, UserId, UserRecord, kind,
};
pub use recovery::{CODES, RecoveryCode, RecoverySet, USED};
pub(crate) use steward::draw_codes;
pub use steward::{
    Actor, ChangeError, Disassociation, Edit, EditedClaim, NewHardware, NewToken, Steward, Tools, Unlocking,
};
pub use system::account_exists;
pub use token::Token;
pub use transitions::{Before, Transition, next};

use index::{ById, ByName, BySecret, BySerial, Index};

use crate::clock::UnixTime;
use crate::keys::Sealer;

/// Most tokens of one user: each costs the work of a window at every wrong code.
pub const TOKENS_MAX: usize = 8;

/// A user as logins see him.
#[derive(Clone, Debug)]
pub struct User {
    /// For ever.
    pub id: UserId,
    /// The account.
    pub name: UserName,
    /// Whether a one-time password is demanded.
    pub otp_on: bool,
    /// How he enrols while he has no token.
    pub enrol_with: EnrolWith,
    /// When the demand was last turned on or off.
    pub otp_since: UnixTime,
    /// His tokens, in the order in which they are tried; at most [`TOKENS_MAX`].
    pub tokens: Vec<Arc<Token>>,
    /// His recovery codes.
    pub recovery: Option<Arc<RecoverySet>>,
}

impl User {
    /// The record of this user.
    pub fn record(&self) -> UserRecord {
        UserRecord {
            otp_on: self.otp_on,
            enrol_with: self.enrol_with,
            otp_since: self.otp_since,
            ..UserRecord::new(self.id, &self.name)
        }
    }

    /// Whether he would have no working token without this one.
    pub fn is_last_that_works(&self, token: &Token) -> bool {
        let others = self.tokens.iter().filter(|other| other.record.id != token.record.id);
        others.filter(|other| other.state() == TokenState::Associated).count() == 0
    }

    /// Whether he ever showed a code of one of the tokens that he has, be it lost or disabled since: from then on
    /// no secret is shown to whoever knows his password, and nobody goes on without a code.
    pub fn has_proved(&self) -> bool {
        self.tokens.iter().any(|token| token.record.associated.is_some())
    }
}

/// What a start found that must be taken away: tokens of imports that never ended.
#[derive(Debug, Default)]
pub struct Leftovers {
    /// Those tokens.
    pub tokens: Vec<TokenRecord>,
    /// Those imports.
    pub imports: Vec<u64>,
}

/// Everything in memory.
#[derive(Debug, Default)]
pub struct Accounts {
    users: Index<ByName>,
    users_by_id: Index<ById>,
    tokens: Index<BySerial>,
    tokens_by_secret: Index<BySecret>,
    /// The last unclean stop.
    pub quarantine: Quarantine,
}

impl Accounts {
    /// Takes over what the ledger holds.
    ///
    /// # Errors
    /// The first record that cannot be understood.
    pub fn load(&self, contents: &Contents, sealer: &Sealer) -> Result<Leftovers, RecordError> {
        if let Some(record) = of_kind(contents, kind::QUARANTINE).next() {
            self.quarantine.set(UncleanStop::decode(&record.value));
        }
        let values: HashMap<_, _> =
            contents.credentials.iter().map(|credential| (credential.id, credential.value)).collect();
        let value = |id: CredentialId| values.get(&id).copied().unwrap_or(0);
        let failures: HashMap<_, _> = of_kind(contents, kind::FAILURES).filter_map(failure_count).collect();

        let (tokens, leftovers) = load_tokens(contents, sealer, value)?;
        let mut owned: HashMap<UserId, Vec<Arc<Token>>> = HashMap::new();
        for token in tokens {
            token.restore_failures(failures.get(&token.record.id.0).copied().unwrap_or(0));
            let token = Arc::new(token);
            if let Some(user) = token.record.user {
                owned.entry(user).or_default().push(Arc::clone(&token));
            }
            self.put_token(token);
        }
        let mut recovery = HashMap::new();
        for record in of_kind(contents, kind::RECOVERY) {
            let set = RecoverySet::open(RecoveryRecord::decode(&record.value)?, |code| value(code) >= USED)?;
            set.restore_failures(failures.get(&set.record.id).copied().unwrap_or(0));
            recovery.insert(set.record.user, Arc::new(set));
        }
        for record in of_kind(contents, kind::USER) {
            let (record, name) = UserRecord::decode(&record.value)?;
            let UserRecord { id, otp_on, enrol_with, otp_since, .. } = record;
            let mut tokens = owned.remove(&id).unwrap_or_default();
            tokens.sort_by_key(|token| order_of(token));
            let recovery = recovery.remove(&id);
            self.put(User { id, name, otp_on, enrol_with, otp_since, tokens, recovery });
        }
        Ok(leftovers)
    }

    /// Finds a user by name.
    pub fn find(&self, name: &UserName) -> Option<Arc<User>> {
        self.find_named(name.as_str())
    }

    /// The same, for whatever somebody said the name is: what is no account name is nobody's.
    pub fn find_named(&self, name: &str) -> Option<Arc<User>> {
        self.users.get(name).map(|held| held.0)
    }

    /// Finds a user by id.
    pub fn find_by_id(&self, id: UserId) -> Option<Arc<User>> {
        self.users_by_id.get(&id).map(|held| held.0)
    }

    /// Every user, sorted by name.
    pub fn users(&self) -> Vec<Arc<User>> {
        let mut users: Vec<_> = self.users.all().into_iter().map(|held| held.0).collect();
        users.sort_by(|one, other| one.name.cmp(&other.name));
        users
    }

    /// Whether anybody has recovery codes.
    pub fn has_recovery_codes(&self) -> bool {
        self.users.any(|held| held.0.recovery.is_some())
    }

    /// Finds a token by what somebody typed as its serial number: exactly, or without spaces and dashes.
    pub fn find_by_typed_serial(&self, typed: &str) -> Option<Arc<Token>> {
        self.find_by_serial(typed).or_else(|| {
            let bare: String = typed.chars().filter(|character| !matches!(character, ' ' | '-')).collect();
            self.find_by_serial(&bare)
        })
    }

    /// Finds a token by its serial.
    pub fn find_by_serial(&self, serial: &str) -> Option<Arc<Token>> {
        self.tokens.get(serial).map(|held| held.0)
    }

    /// The serial of the token with this secret.
    pub fn find_by_secret(&self, fingerprint: [u8; 16]) -> Option<String> {
        self.tokens_by_secret.get(&fingerprint).map(|held| held.0.record.serial.clone())
    }

    /// Every token, sorted by serial.
    pub fn tokens(&self) -> Vec<Arc<Token>> {
        let mut tokens: Vec<_> = self.tokens.all().into_iter().map(|held| held.0).collect();
        tokens.sort_by(|one, other| one.record.serial.cmp(&other.record.serial));
        tokens
    }

    /// How many tokens there are.
    pub fn token_count(&self) -> usize {
        self.tokens.len()
    }

    /// Adds a user, or exchanges him for his newer self.
    fn put(&self, user: User) -> Arc<User> {
        let user = Arc::new(user);
        self.users_by_id.put(ById(Arc::clone(&user)));
        self.users.put(ByName(Arc::clone(&user)));
        user
    }

    /// Adds a token, or exchanges it for its newer self.
    fn put_token(&self, token: Arc<Token>) {
        if self.is_free_or_of(token.fingerprint, &token) {
            self.tokens_by_secret.put(BySecret(Arc::clone(&token)));
        }
        self.tokens.put(BySerial(token));
    }

    fn remove_token(&self, serial: &str) {
        let Some(BySerial(token)) = self.tokens.remove(serial) else { return };
        if self.is_free_or_of(token.fingerprint, &token) {
            self.tokens_by_secret.remove(&token.fingerprint);
        }
    }

    /// Stores of old may hold two tokens with one secret: it is known by the first of them.
    fn is_free_or_of(&self, fingerprint: [u8; 16], token: &Token) -> bool {
        self.find_by_secret(fingerprint).is_none_or(|known| known == token.record.serial)
    }
}

/// The fixed order in which a user's tokens are tried.
fn order_of(token: &Token) -> (UnixTime, TokenId) {
    (token.record.assigned, token.record.id)
}

fn of_kind(contents: &Contents, kind: u8) -> impl Iterator<Item = &Record> {
    contents.records.iter().filter(move |record| record.kind == kind)
}

fn load_tokens(
    contents: &Contents,
    sealer: &Sealer,
    value: impl Fn(CredentialId) -> u64,
) -> Result<(Vec<Token>, Leftovers), RecordError> {
    let id = |record: &Record| record.key.as_slice().try_into().map(u64::from_be_bytes).ok();
    let open: HashSet<u64> = of_kind(contents, kind::IMPORT).filter_map(id).collect();
    let mut leftovers = Leftovers { tokens: Vec::new(), imports: open.iter().copied().collect() };
    let mut tokens = Vec::new();
    for record in of_kind(contents, kind::TOKEN) {
        let record = TokenRecord::decode(&record.value)?;
        if record.import.is_some_and(|import| open.contains(&import)) {
            leftovers.tokens.push(record);
            continue;
        }
        let token = Token::open(record, sealer)?;
        token.set_value(value(token.credential()));
        token.set_grace_used(value(token.grace_credential()));
        tokens.push(token);
    }
    Ok((tokens, leftovers))
}

fn failure_count(record: &Record) -> Option<(u128, u32)> {
    let id = record.key.as_slice().try_into().map(u128::from_be_bytes).ok()?;
    let count = record.value.as_slice().try_into().map(u32::from_be_bytes).ok()?;
    Some((id, count))
}
