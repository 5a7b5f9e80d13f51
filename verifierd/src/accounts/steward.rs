//! The one task that makes changes to users and tokens.
//!
//! Orders are carried out one after the other, each durable before the next begins, so two changes of one
//! user cannot meet. Logins never wait for it, but for the one that enrols a user Postern did not know.

use std::sync::Arc;

use ledger::{Change, Entry, Ledger, Outcome};
use otp_core::SharedSecret;
use tokio::sync::{mpsc, oneshot};
use zeroize::Zeroizing;

use super::{
    Accounts, Token, TokenId, TokenIdentity, TokenParameters, TokenRecord, TokenState, User, UserId,
    UserName, UserRecord, kind, put_failures,
};
use crate::audit::{self, AuditRecord, Reference, rfc3339};
use crate::clock::{Clock, UnixTime};
use crate::keys::{KeyError, Sealer, random_bytes};

/// How many orders may wait. Each is a person's keystroke; 64 is more than a team of administrators makes.
const ORDERS_MAX: usize = 64;

/// The one event that no administrator caused.
const ENROLLED: &str = "user_enrolled_at_login";

/// Length of a new secret in bytes: RFC 4226 §4 R6 recommends 160 bits.
const SECRET_BYTES: usize = 20;

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// No token has this serial.
    #[error("no token {serial:?}")]
    NoSuchToken {
        /// What was asked for.
        serial: String,
    },
    /// The store did not take it.
    #[error("the store did not take the change: {outcome:?}")]
    NotStored {
        /// What it said.
        outcome: Outcome,
    },
    /// No new secret or name could be drawn.
    #[error("cannot draw a new secret")]
    Random(#[from] KeyError),
    /// The daemon is stopping or overloaded.
    #[error("no more changes are taken at the moment")]
    Busy,
    /// What was drawn or stored is not valid: a fault of ours.
    #[error("the new token is not valid")]
    Invalid(#[from] super::RecordError),
}

type Answer<T> = oneshot::Sender<Result<T, ChangeError>>;

enum Order {
    SetOtp { name: UserName, on: bool, event: &'static str, reply: Answer<Arc<User>> },
    DisableToken { serial: String, reply: Answer<(Arc<User>, Arc<Token>)> },
    Note { event: &'static str, reply: Answer<()> },
}

/// Gives orders to the steward.
#[derive(Clone, Debug)]
pub struct StewardHandle(mpsc::Sender<Order>);

impl StewardHandle {
    /// Turns the demand for a one-time password on, with a new secret, or off, wiping it.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub async fn set_otp(&self, name: UserName, on: bool) -> Result<Arc<User>, ChangeError> {
        let event = if on { "user_otp_on" } else { "user_otp_off" };
        self.order(|reply| Order::SetOtp { name, on, event, reply }).await
    }

    /// Enrols a user at his first login.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub async fn enrol(&self, name: UserName) -> Result<Arc<User>, ChangeError> {
        self.order(|reply| Order::SetOtp { name, on: true, event: ENROLLED, reply }).await
    }

    /// Disables a token for ever.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub async fn disable_token(&self, serial: String) -> Result<(Arc<User>, Arc<Token>), ChangeError> {
        self.order(|reply| Order::DisableToken { serial, reply }).await
    }

    /// Records something an administrator did that concerns no user.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub async fn note(&self, event: &'static str) -> Result<(), ChangeError> {
        self.order(|reply| Order::Note { event, reply }).await
    }

    async fn order<T>(
        &self,
        make: impl FnOnce(oneshot::Sender<Result<T, ChangeError>>) -> Order,
    ) -> Result<T, ChangeError> {
        let (reply, answer) = oneshot::channel();
        self.0.try_send(make(reply)).map_err(|_| ChangeError::Busy)?;
        answer.await.unwrap_or(Err(ChangeError::Busy))
    }
}

/// Carries out orders.
#[derive(Debug)]
pub struct Steward {
    accounts: Arc<Accounts>,
    ledger: Arc<dyn Ledger>,
    sealer: Arc<Sealer>,
    clock: Arc<dyn Clock>,
    orders: mpsc::Receiver<Order>,
}

impl std::fmt::Debug for Order {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::SetOtp { name, on, .. } => write!(f, "SetOtp({name:?}, {on})"),
            Self::DisableToken { serial, .. } => write!(f, "DisableToken({serial:?})"),
            Self::Note { event, .. } => write!(f, "Note({event})"),
        }
    }
}

impl Steward {
    /// A steward and the handle that gives it orders. It ends when the last handle is gone.
    pub fn new(
        accounts: Arc<Accounts>,
        ledger: Arc<dyn Ledger>,
        sealer: Arc<Sealer>,
        clock: Arc<dyn Clock>,
    ) -> (Self, StewardHandle) {
        let (sender, orders) = mpsc::channel(ORDERS_MAX);
        (Self { accounts, ledger, sealer, clock, orders }, StewardHandle(sender))
    }

    /// Works until the last handle is gone.
    pub async fn run(mut self) {
        while let Some(order) = self.orders.recv().await {
            // A caller that went away has its order carried out all the same.
            match order {
                Order::SetOtp { name, on, event, reply } => {
                    let _ = reply.send(self.set_otp(name, on, event).await);
                }
                Order::DisableToken { serial, reply } => {
                    let _ = reply.send(self.disable_token(serial).await);
                }
                Order::Note { event, reply } => {
                    let _ = reply.send(self.commit(Vec::new(), self.event(event, None, None)).await);
                }
            }
        }
    }

    async fn set_otp(&self, name: UserName, on: bool, event: &str) -> Result<Arc<User>, ChangeError> {
        let known = self.accounts.find(&name);
        if let Some(user) = known.as_ref().filter(|user| user.otp_on == on) {
            return Ok(Arc::clone(user));
        }
        let id = known.as_ref().map_or_else(draw_user_id, |user| Ok(user.id))?;
        let mut record = UserRecord::new(id, &name);
        let mut changes =
            known.and_then(|user| user.token.clone()).map_or_else(Vec::new, |token| wipe(&token));
        let token = if on { Some(self.new_token(id)?) } else { None };
        if let Some(token) = &token {
            record.otp_on = true;
            record.token = Some(token.record.id);
            changes.extend(add(token));
        }
        changes.push(record.put());
        let serial = token.as_ref().map(|token| token.record.serial.clone());
        self.commit(changes, self.event(event, Some(&name), serial)).await?;
        self.accounts.put(User { id, name: name.clone(), otp_on: on, token: token.map(Arc::new) });
        self.accounts.find(&name).ok_or(ChangeError::Busy)
    }

    async fn disable_token(&self, serial: String) -> Result<(Arc<User>, Arc<Token>), ChangeError> {
        let (user, token) = self
            .accounts
            .find_by_serial(&serial)
            .ok_or_else(|| ChangeError::NoSuchToken { serial: serial.clone() })?;
        if token.state() != TokenState::Disabled {
            let event = self.event("token_disabled", Some(&user.name), Some(serial));
            self.commit(disable(&token), event).await?;
            token.set_state(TokenState::Disabled);
        }
        Ok((user, token))
    }

    fn new_token(&self, user: UserId) -> Result<Token, ChangeError> {
        let identity = TokenIdentity { id: draw_token_id()?, user, serial: draw_serial()? };
        Ok(Token::open(draw_record(identity, &self.sealer, self.clock.now())?, &self.sealer)?)
    }

    fn event(&self, event: &str, user: Option<&UserName>, token: Option<String>) -> AuditRecord {
        AuditRecord {
            at: rfc3339(self.clock.now()),
            event: event.into(),
            reason: if event == ENROLLED { "policy" } else { "administrator" }.into(),
            user: user.map(ToString::to_string),
            token,
            ..AuditRecord::default()
        }
    }

    async fn commit(&self, changes: Vec<Change>, record: AuditRecord) -> Result<(), ChangeError> {
        let reference = Reference::draw()?;
        let entry = Entry { claim: None, changes, audit: Some(audit::entry(&record, reference)) };
        match self.ledger.submit(entry).await {
            Outcome::Committed => {
                tracing::info!(event = record.event, user = record.user, token = record.token, %reference, "changed");
                Ok(())
            }
            outcome => Err(ChangeError::NotStored { outcome }),
        }
    }
}

/// What makes a new token durable.
fn add(token: &Token) -> [Change; 3] {
    let id = token.record.id;
    [
        Change::AddCredential { credential: id.credential(), value: 0 },
        Change::AddCredential { credential: id.grace_credential(), value: 0 },
        token.record.put(),
    ]
}

/// What removes a token with its secret.
fn wipe(token: &Token) -> Vec<Change> {
    let id = token.record.id;
    vec![
        Change::RemoveCredential { credential: id.credential() },
        Change::RemoveCredential { credential: id.grace_credential() },
        Change::Delete { kind: kind::TOKEN, key: id.0.to_be_bytes().into() },
        put_failures(id, 0),
    ]
}

/// What ends a token's life. Without its credentials no claim on it can succeed, whoever is on the way.
pub(crate) fn disable(token: &Token) -> Vec<Change> {
    let id = token.record.id;
    vec![
        Change::RemoveCredential { credential: id.credential() },
        Change::RemoveCredential { credential: id.grace_credential() },
        token.record.with_state(TokenState::Disabled).put(),
    ]
}

/// A record with a new secret.
pub(super) fn draw_record(
    identity: TokenIdentity,
    sealer: &Sealer,
    created: UnixTime,
) -> Result<TokenRecord, ChangeError> {
    let secret = Zeroizing::new(random_bytes::<SECRET_BYTES>()?);
    let secret = SharedSecret::from_bytes(secret.as_slice()).expect("20 bytes are a valid length");
    Ok(TokenRecord::new(identity, &TokenParameters::default(), &secret, sealer, created)?)
}

fn draw_user_id() -> Result<UserId, ChangeError> {
    Ok(UserId(u128::from_be_bytes(random_bytes()?)))
}

/// Ids are even: the odd one above belongs to the same token (see [`TokenId::grace_credential`]).
fn draw_token_id() -> Result<TokenId, ChangeError> {
    Ok(TokenId(u128::from_be_bytes(random_bytes()?) & !1))
}

/// `PT` and ten random characters: 50 bits, drawn anew for each token.
fn draw_serial() -> Result<String, ChangeError> {
    let text = data_encoding::BASE32_NOPAD.encode(&random_bytes::<7>()?);
    Ok(format!("PT{}", &text[..10]))
}
