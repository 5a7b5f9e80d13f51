//! Users, their tokens and recovery codes: in memory for logins, in the ledger for ever.
//!
//! A [`User`] and a [`Token`] are immutable and exchanged whole; what moves with every login is a few
//! atomics. All changes of records go through the [`Steward`], one after the other.

mod gate;
mod hot;
mod index;
mod load;
mod name;
mod quarantine;
mod records;
mod recovery;
mod steward;
mod system;
mod token;
mod transitions;

use std::hash::BuildHasherDefault;
use std::sync::Arc;

use wire::admin::EnrolWith;

pub use gate::{Gate, Passing, Place};
pub use hot::{DRIFT_WINDOW, Expectation, Hot, quarantine_floor};
pub use load::{Leftovers, Loader};
pub use name::{UserName, UserNameError};
pub use quarantine::{Quarantine, UncleanStop};
pub use records::{
    DisabledBy, Factor, NewSecret, Origin, RecordError, RecoveryRecord, TokenId, TokenParameters,
    TokenRecord, TokenState, UserId, UserRecord, kind,
};
pub use recovery::{CODES, RecoveryCode, RecoverySet, USED};
pub(crate) use steward::draw_codes;
pub use steward::{
    Actor, ChangeError, Disassociation, Edit, EditedClaim, NewHardware, NewToken, ProvedApp, Steward, Tools,
    Unlocking,
};
pub use system::{account_exists, memberships, number_of};
pub use token::Token;
pub use transitions::{Before, Transition, next};

/// What [`gate`] is made of; its test puts a model in the place of it.
mod sync {
    pub(super) use std::sync::atomic::{AtomicU64, Ordering};
}

use index::{ById, ByName, BySecret, BySerial, Index};

use crate::clock::UnixTime;
use crate::expiry::Prefix;
use crate::keys::IndexHasher;

/// Most tokens of one user: each costs the work of a window at every wrong code.
pub const TOKENS_MAX: usize = 8;

/// A user as logins see him.
///
/// What the usual login touches stands first.
#[derive(Clone, Debug)]
#[repr(C)]
pub struct User {
    /// The name as the index has it; set when he is put there.
    key: [u8; 16],
    /// His first proved token; set when he is put there.
    hot: Option<Hot>,
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
    /// Somebody of whom nothing is demanded.
    pub fn new(id: UserId, name: UserName) -> Self {
        let (key, hot, tokens, recovery) = ([0; 16], None, Vec::new(), None);
        let (otp_on, enrol_with, otp_since) = (false, EnrolWith::App, 0);
        Self { key, hot, id, name, otp_on, enrol_with, otp_since, tokens, recovery }
    }

    /// The same user with only those of his tokens that are so.
    pub fn with_only(&self, is_so: impl Fn(&Arc<Token>) -> bool) -> Self {
        let tokens = self.tokens.iter().filter(|token| is_so(token)).cloned().collect();
        Self { hot: None, tokens, ..self.clone() }
    }

    /// Where his first proved token is expected to stand.
    pub fn hot(&self) -> Option<&Hot> {
        self.hot.as_ref()
    }

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

    /// Whether there is anything that he could type and be let in.
    pub fn can_answer(&self) -> bool {
        self.recovery.is_some() || self.tokens.iter().any(|token| token.is_usable())
    }

    /// Whether he ever showed a code of one of the tokens that he has, be it lost or disabled since: from then on
    /// no secret is shown to whoever knows his password, and nobody goes on without a code.
    pub fn has_proved(&self) -> bool {
        self.tokens.iter().any(|token| token.record.associated.is_some())
    }
}

/// Everything in memory.
#[derive(Debug)]
pub struct Accounts {
    names: IndexHasher,
    users: Index<ByName, BuildHasherDefault<Prefix>>,
    users_by_id: Index<ById>,
    tokens: Index<BySerial>,
    tokens_by_secret: Index<BySecret>,
    /// The last unclean stop.
    pub quarantine: Quarantine,
}

impl Accounts {
    /// Nobody yet.
    ///
    /// * `names`: makes two names meet for nobody outside.
    pub fn new(names: IndexHasher) -> Self {
        Self {
            names,
            users: Index::default(),
            users_by_id: Index::default(),
            tokens: Index::default(),
            tokens_by_secret: Index::default(),
            quarantine: Quarantine::default(),
        }
    }

    /// Finds a user by name.
    pub fn find(&self, name: &UserName) -> Option<Arc<User>> {
        self.find_named(name.as_str())
    }

    /// The same, for whatever somebody said the name is: what is no account name is nobody's.
    pub fn find_named(&self, name: &str) -> Option<Arc<User>> {
        // The key is as good as the name: among ten million users two meet once in 10^24 stores.
        self.users.get(&self.key(name)).map(|held| held.0)
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

    /// How many users there are.
    pub fn user_count(&self) -> usize {
        self.users.len()
    }

    /// How many tokens there are.
    pub fn token_count(&self) -> usize {
        self.tokens.len()
    }

    /// Adds a user, or exchanges him for his newer self.
    fn put(&self, user: User) -> Arc<User> {
        let (key, hot) = (self.key(user.name.as_str()), Hot::of(&user.tokens));
        let user = Arc::new(User { key, hot, ..user });
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

    fn key(&self, name: &str) -> [u8; 16] {
        self.names.key(&[name.as_bytes()])
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

#[cfg(test)]
mod tests;
