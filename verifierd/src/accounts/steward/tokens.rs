//! Making tokens, giving them to users, taking them back, disabling and enabling them.

use std::sync::Arc;

use ledger::Change;
use otp_core::SharedSecret;
use wire::admin::{DisabledBy, TokenState};

use super::claims::with_token;
use super::{Actor, ChangeError, Steward, word};
use crate::accounts::token::{draw_secret, fingerprint};
use crate::accounts::{
    Factor, NewSecret, Origin, TOKENS_MAX, Token, TokenId, TokenParameters, TokenRecord, Transition, User,
    UserId, UserName, next,
};
use crate::audit::AuditRecord;
use crate::keys::random_bytes;

/// A token to be made.
#[derive(Debug)]
pub struct NewToken {
    /// Whose; nobody's is possible only with a secret.
    pub user: Option<UserName>,
    /// What people call it; none: a new name.
    pub serial: Option<String>,
    /// What it computes with.
    pub parameters: TokenParameters,
    /// Its secret; none: a new one for an authenticator app.
    pub secret: Option<SharedSecret>,
    /// The counter expected next.
    pub counter: u64,
}

/// A token that was taken from its user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disassociation {
    /// Which.
    pub serial: String,
    /// From whom.
    pub user: UserName,
    /// Whether it is gone with its secret.
    pub wiped: bool,
    /// Whether a one-time password is still demanded of him.
    pub otp_on: bool,
}

impl Steward {
    /// Makes a token.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub async fn add_token(self: &Arc<Self>, new: NewToken, by: Actor) -> Result<Arc<Token>, ChangeError> {
        let me = Arc::clone(self);
        self.in_turn(async move { me.add_in_turn(new, &by).await }).await
    }

    /// Gives an available token to a user, who shows a code of it at his next login.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub async fn assign(
        self: &Arc<Self>,
        serial: String,
        name: UserName,
        by: Actor,
    ) -> Result<Arc<Token>, ChangeError> {
        let me = Arc::clone(self);
        self.in_turn(async move { me.assign_in_turn(&serial, &name, &by).await }).await
    }

    /// Removes a token that nobody has and of which no code was ever accepted: a wrong import, a mistyped serial.
    /// Any other one stays known, because what it has used up must stay used up.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub async fn remove(self: &Arc<Self>, serial: String, by: Actor) -> Result<Arc<Token>, ChangeError> {
        let me = Arc::clone(self);
        self.in_turn(async move {
            let token = me.find(&serial)?;
            if token.record.user.is_some() || token.value() != token.record.first_value {
                return Err(ChangeError::NotFresh { serial });
            }
            let credential = token.credential();
            let changes =
                vec![Change::RemoveCredential { credential }, token.record.delete(), token.put_failures(0)];
            me.commit(changes, me.token_event("token_removed", &token, &by)).await?;
            me.accounts.remove_token(&serial);
            Ok(token)
        })
        .await
    }

    /// Disables a token, until it is enabled again.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub async fn disable(self: &Arc<Self>, serial: String, by: Actor) -> Result<Arc<Token>, ChangeError> {
        let me = Arc::clone(self);
        self.in_turn(async move { me.change_state(&serial, Transition::Disable, &by).await }).await
    }

    /// Marks a token as lost.
    ///
    /// * `of`: only while it is this user's.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub async fn lose(
        self: &Arc<Self>,
        serial: String,
        of: Option<UserId>,
        by: Actor,
    ) -> Result<Arc<Token>, ChangeError> {
        let me = Arc::clone(self);
        self.in_turn(async move {
            me.find_of(&serial, of)?;
            me.change_state(&serial, Transition::Lose, &by).await
        })
        .await
    }

    /// Lets a disabled or lost token work again.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub async fn enable(self: &Arc<Self>, serial: String, by: Actor) -> Result<Arc<Token>, ChangeError> {
        let me = Arc::clone(self);
        self.in_turn(async move { me.change_state(&serial, Transition::Enable, &by).await }).await
    }

    /// Writes down that too many wrong codes have disabled a token. It was disabled already: by their number.
    pub async fn disable_after_wrong_codes(self: &Arc<Self>, serial: String) -> Result<(), ChangeError> {
        let me = Arc::clone(self);
        self.in_turn(async move {
            let token = me.find(&serial)?;
            if !token.is_locked() || token.record.state == TokenState::Disabled {
                return Ok(());
            }
            let (changes, moved) = me.moved(&token, Transition::Disable, Some(DisabledBy::WrongCodes))?;
            let mut record = me.token_event("token_disabled", &token, &Actor::administrator(""));
            (record.reason, record.actor) = ("too_many_failures".into(), None);
            me.commit(changes, record).await?;
            me.exchange(Arc::new(moved));
            Ok(())
        })
        .await
    }

    /// Takes a token from its user. One of an app is wiped, another becomes available.
    ///
    /// * `owner`: this user's own wish, which takes nobody else's token, and not his last working one.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub async fn disassociate(
        self: &Arc<Self>,
        serial: String,
        owner: Option<UserId>,
        by: Actor,
    ) -> Result<Disassociation, ChangeError> {
        let me = Arc::clone(self);
        self.in_turn(async move { me.disassociate_in_turn(serial, owner, &by).await }).await
    }

    async fn add_in_turn(&self, new: NewToken, by: &Actor) -> Result<Arc<Token>, ChangeError> {
        let now = self.clock.now();
        let user = new.user.as_ref().map(|name| self.find_or_new(name)).transpose()?;
        let origin = if new.secret.is_some() { Origin::Hardware } else { Origin::App };
        match (&user, origin) {
            (None, Origin::App) => return Err(ChangeError::AppForNobody),
            (Some(user), Origin::App) if user.has_proved() || is_enrolling(user) => {
                return Err(ChangeError::AppForHolder { name: user.name.clone() });
            }
            _ => {}
        }
        let serial = new.serial.map_or_else(draw_serial, Ok)?;
        if self.accounts.find_by_serial(&serial).is_some() {
            return Err(ChangeError::SerialExists { serial });
        }
        let secret = new.secret.map_or_else(draw_secret, Ok)?;
        self.check_secret(&serial, fingerprint(&secret, new.parameters.algorithm, &self.sealer))?;
        let new_secret = NewSecret { serial, parameters: &new.parameters, secret: &secret, origin };
        let mut record = TokenRecord::new(draw_token_id()?, new_secret, &self.sealer, now)?;
        record.quarantine = self.accounts.quarantine.last().number;
        let mut changes = Vec::new();
        let user = match user {
            Some(user) => Some(self.hand_over(&mut record, user, &mut changes)?),
            None => None,
        };
        record.first_value = first_value(&new.parameters, new.counter);
        let token = Arc::new(Token::open(record, &self.sealer)?);
        changes.extend(self.add(&token));
        let event = AuditRecord {
            user: user.as_ref().map(|user| user.name.to_string()),
            ..self.token_event("token_added", &token, by)
        };
        self.commit(changes, event).await?;
        token.set_value(token.record.first_value);
        self.accounts.put_token(Arc::clone(&token));
        if let Some(user) = user {
            self.accounts.put(with_token(user, Arc::clone(&token)));
        }
        Ok(token)
    }

    async fn assign_in_turn(
        &self,
        serial: &str,
        name: &UserName,
        by: &Actor,
    ) -> Result<Arc<Token>, ChangeError> {
        let token = self.find(serial)?;
        self.next_state(&token, Transition::Assign)?;
        let mut record = token.record.clone();
        let mut changes = Vec::new();
        let user = self.hand_over(&mut record, self.find_or_new(name)?, &mut changes)?;
        let to = record.id.credential(record.generation);
        changes.extend([Change::MoveCredential { from: token.credential(), to }, record.put()]);
        let event =
            AuditRecord { user: Some(name.to_string()), ..self.token_event("token_assigned", &token, by) };
        self.commit(changes, event).await?;
        let token = Arc::new(token.with_record(record));
        self.accounts.put_token(Arc::clone(&token));
        self.accounts.put(with_token(user, Arc::clone(&token)));
        Ok(token)
    }

    /// Turns a record into that of a user who has not shown a code yet.
    fn hand_over(
        &self,
        record: &mut TokenRecord,
        mut user: User,
        changes: &mut Vec<Change>,
    ) -> Result<User, ChangeError> {
        if user.tokens.len() >= TOKENS_MAX {
            return Err(ChangeError::TooManyTokens { name: user.name });
        }
        let now = self.clock.now();
        *record = record.owned_by(Some(user.id), &self.sealer, now)?;
        record.state = TokenState::Assigned;
        if !user.otp_on {
            (user.otp_on, user.otp_since) = (true, now);
            changes.push(user.record().put());
        }
        Ok(user)
    }

    async fn change_state(
        &self,
        serial: &str,
        transition: Transition,
        by: &Actor,
    ) -> Result<Arc<Token>, ChangeError> {
        let token = self.find(serial)?;
        let (event, done) = match transition {
            Transition::Disable => ("token_disabled", token.record.state == TokenState::Disabled),
            Transition::Lose => ("token_lost", token.record.state == TokenState::Lost),
            _ => ("token_enabled", token.is_usable()),
        };
        if done {
            return Ok(token);
        }
        let disabled_by = (transition == Transition::Disable).then_some(DisabledBy::Administrator);
        let (changes, moved) = self.moved(&token, transition, disabled_by)?;
        self.commit(changes, self.token_event(event, &token, by)).await?;
        if transition == Transition::Enable {
            self.clear_failures(&moved).await;
        }
        Ok(self.exchange(Arc::new(moved)))
    }

    async fn disassociate_in_turn(
        &self,
        serial: String,
        owner: Option<UserId>,
        by: &Actor,
    ) -> Result<Disassociation, ChangeError> {
        let token = self.find_of(&serial, owner)?;
        self.next_state(&token, Transition::Disassociate)?;
        let user = token.record.user.and_then(|id| self.accounts.find_by_id(id));
        let user = user.ok_or_else(|| ChangeError::NoSuchToken { serial: serial.clone() })?;
        if owner.is_some() && user.is_last_that_works(&token) {
            return Err(ChangeError::LastToken { serial });
        }
        let (mut changes, free) = self.release(&token)?;
        let (user, more) = self.deprive((*user).clone(), &token);
        changes.extend(more);
        let event = AuditRecord {
            detail: Some(
                free.as_ref().map_or("wiped with its secret", |free| word(free.record.state)).into(),
            ),
            ..self.token_event("token_disassociated", &token, by)
        };
        self.commit(changes, event).await?;
        let wiped = free.is_none();
        self.forget(&token, free).await;
        let user = self.accounts.put(user);
        Ok(Disassociation { serial, user: user.name.clone(), wiped, otp_on: user.otp_on })
    }

    /// What takes a token from its user, and the token in nobody's hand; none where it is wiped.
    pub(super) fn release(&self, token: &Token) -> Result<(Vec<Change>, Option<Token>), ChangeError> {
        let grace = Change::RemoveCredential { credential: token.grace_credential() };
        let mut changes = vec![grace, token.put_failures(0)];
        if token.record.origin == Origin::App {
            changes.push(Change::RemoveCredential { credential: token.credential() });
            changes.push(token.record.delete());
            return Ok((changes, None));
        }
        let record = TokenRecord {
            state: self.next_state(token, Transition::Disassociate)?,
            disabled_by: token.disabled_by(),
            ..token.record.owned_by(None, &self.sealer, self.clock.now())?
        };
        let to = record.id.credential(record.generation);
        changes.extend([Change::MoveCredential { from: token.credential(), to }, record.put()]);
        Ok((changes, Some(token.with_record(record))))
    }

    /// Takes over in memory what [`Self::release`] made durable.
    pub(super) async fn forget(&self, token: &Token, free: Option<Token>) {
        match free {
            Some(free) => {
                self.clear_failures(&free).await;
                self.accounts.put_token(Arc::new(free));
            }
            None => self.accounts.remove_token(&token.record.serial),
        }
    }

    /// Ends a token's row of wrong codes, whose end is durable already. A wrong code that was on its way then may have
    /// been written after it: what memory forgets, the ledger forgets once more.
    pub(super) async fn clear_failures(&self, token: &Token) {
        if token.clear_failures() > 0 {
            self.forget_failures(token.put_failures(0)).await;
        }
    }

    pub(super) async fn forget_failures(&self, change: Change) {
        if let Err(error) = self.store(vec![change]).await {
            tracing::warn!(%error, "wrong codes that were forgiven may count again after a restart");
        }
    }

    /// What moves a token to another state, and the token there.
    pub(super) fn moved(
        &self,
        token: &Token,
        transition: Transition,
        disabled_by: Option<DisabledBy>,
    ) -> Result<(Vec<Change>, Token), ChangeError> {
        // A hundred wrong codes disable a token before its record says so.
        let from = if transition == Transition::Disable { token.record.state } else { token.state() };
        let state = next(from, transition, token.before()).ok_or_else(|| ChangeError::WrongState {
            serial: token.record.serial.clone(),
            state: from,
            transition,
        })?;
        let generation = token.record.generation + 1;
        let record = TokenRecord { state, disabled_by, generation, ..token.record.clone() };
        let id = record.id;
        let mut changes =
            vec![Change::MoveCredential { from: token.credential(), to: id.credential(generation) }];
        if record.origin == Origin::App && record.associated.is_none() {
            let to = id.grace_credential(generation);
            changes.push(Change::MoveCredential { from: token.grace_credential(), to });
        }
        if transition == Transition::Enable {
            changes.push(token.put_failures(0));
        }
        changes.push(record.put());
        Ok((changes, token.with_record(record)))
    }

    /// Puts a changed token in the place of the one before, with its user too.
    pub(super) fn exchange(&self, token: Arc<Token>) -> Arc<Token> {
        self.accounts.put_token(Arc::clone(&token));
        if let Some(user) = token.record.user.and_then(|id| self.accounts.find_by_id(id)) {
            self.accounts.put(with_token((*user).clone(), Arc::clone(&token)));
        }
        token
    }

    /// What makes a new token durable.
    pub(super) fn add(&self, token: &Token) -> Vec<Change> {
        let (credential, value) = (token.credential(), token.record.first_value);
        let mut changes = vec![Change::AddCredential { credential, value }, token.record.put()];
        if token.record.origin == Origin::App {
            changes.push(Change::AddCredential { credential: token.grace_credential(), value: 0 });
        }
        changes
    }

    /// A new token for a user's authenticator app.
    pub(super) fn draw_for_app(&self, user: UserId) -> Result<Token, ChangeError> {
        let (parameters, secret, now) = (TokenParameters::default(), draw_secret()?, self.clock.now());
        let serial = draw_serial()?;
        let new = NewSecret { serial, parameters: &parameters, secret: &secret, origin: Origin::App };
        let record = TokenRecord::new(draw_token_id()?, new, &self.sealer, now)?;
        let record =
            TokenRecord { state: TokenState::Assigned, ..record.owned_by(Some(user), &self.sealer, now)? };
        Ok(Token::open(record, &self.sealer)?)
    }

    /// Two tokens with one secret would show the same codes, each of which could then be accepted twice.
    pub(super) fn check_secret(&self, serial: &str, fingerprint: [u8; 16]) -> Result<(), ChangeError> {
        match self.accounts.find_by_secret(fingerprint) {
            Some(other) => Err(ChangeError::SecretExists { serial: serial.into(), other }),
            None => Ok(()),
        }
    }

    pub(super) fn find(&self, serial: &str) -> Result<Arc<Token>, ChangeError> {
        let found = self.accounts.find_by_serial(serial);
        found.ok_or_else(|| ChangeError::NoSuchToken { serial: serial.into() })
    }

    /// The same, only while it is this user's.
    fn find_of(&self, serial: &str, of: Option<UserId>) -> Result<Arc<Token>, ChangeError> {
        let token = self.find(serial)?;
        match of {
            Some(_) if token.record.user != of => Err(ChangeError::NoSuchToken { serial: serial.into() }),
            _ => Ok(token),
        }
    }

    fn next_state(&self, token: &Token, transition: Transition) -> Result<TokenState, ChangeError> {
        let (serial, state) = (token.record.serial.clone(), token.state());
        next(state, transition, token.before()).ok_or(ChangeError::WrongState { serial, state, transition })
    }

    fn token_event(&self, event: &str, token: &Token, by: &Actor) -> AuditRecord {
        let owner = token.record.user.and_then(|id| self.accounts.find_by_id(id));
        AuditRecord {
            user: owner.map(|user| user.name.to_string()),
            token: Some(token.record.serial.clone()),
            ..self.event(event, by)
        }
    }
}

fn is_enrolling(user: &User) -> bool {
    user.tokens.iter().any(|token| token.is_enrolling())
}

/// The first value of a token's credential: the counter expected next, where it counts presses.
pub(super) fn first_value(parameters: &TokenParameters, counter: u64) -> u64 {
    match parameters.factor {
        Factor::Counter => counter,
        Factor::Time(_) => 0,
    }
}

/// Ids are even: the odd one above belongs to the same token (see [`TokenId::grace_credential`]).
pub(super) fn draw_token_id() -> Result<TokenId, ChangeError> {
    Ok(TokenId(u128::from_be_bytes(random_bytes()?) & !1))
}

/// `PT` and ten random characters: 50 bits, drawn anew for each token.
fn draw_serial() -> Result<String, ChangeError> {
    let text = data_encoding::BASE32_NOPAD.encode(&random_bytes::<7>()?);
    Ok(format!("PT{}", &text[..10]))
}
