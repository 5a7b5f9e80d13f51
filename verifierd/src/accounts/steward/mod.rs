//! Makes all changes of users, tokens and recovery codes.
//!
//! Changes are made one after the other, each durable before the next begins, so two changes of one thing
//! cannot meet. Logins wait for it only where they change a record: a first code, a re-sync, an association.
//! What was on its way to a token that changed hands loses its claim, because the token's name in the ledger
//! changed too (see [`super::TokenId::credential`]).

mod app;
mod claims;
mod import;
mod recovery;
mod tokens;
mod users;

use std::future::Future;
use std::sync::Arc;

use ledger::{Change, Entry, Ledger, Outcome};

pub use app::ProvedApp;
pub use claims::{Edit, EditedClaim};
pub use import::NewHardware;
pub(crate) use recovery::draw_codes;
pub use tokens::{Disassociation, NewToken};
pub use users::Unlocking;

use super::{Accounts, TokenState, Transition, UserId, UserName};
use crate::audit::{self, AuditRecord, Reference, rfc3339};
use crate::clock::Clock;
use crate::keys::{KeyError, NameHasher, Sealer, random_bytes};
use crate::notify::Notifier;
use crate::turns::Turns;

/// Who makes a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// `root`, `dora (helpdesk)`.
    pub name: String,
    /// Whether he acts for himself.
    pub is_owner: bool,
}

impl Actor {
    /// Somebody who acts for others.
    pub fn administrator(name: impl Into<String>) -> Self {
        Self { name: name.into(), is_owner: false }
    }

    /// A user who acts for himself.
    pub fn owner(name: impl Into<String>) -> Self {
        Self { name: name.into(), is_owner: true }
    }
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// No token has this serial.
    #[error("no token {serial:?}")]
    NoSuchToken {
        /// What was asked for.
        serial: String,
    },
    /// Postern does not know this user.
    #[error("no user {:?}", .name.as_str())]
    NoSuchUser {
        /// Who was asked for.
        name: UserName,
    },
    /// The token is in a state that does not permit this.
    #[error("token {serial} is {}: {}", word(*.state), remedy(*.state, *.transition))]
    WrongState {
        /// Which token.
        serial: String,
        /// Its state.
        state: TokenState,
        /// What was to be done.
        transition: Transition,
    },
    /// A token of this serial exists already.
    #[error("token {serial} exists already: serial numbers are never used twice")]
    SerialExists {
        /// Which.
        serial: String,
    },
    /// Another token has the same secret.
    #[error("token {serial} has the same secret as token {other}: each token needs its own")]
    SecretExists {
        /// The new one.
        serial: String,
        /// The one that is known.
        other: String,
    },
    /// The user has as many tokens as one can have.
    #[error("{name} has {} tokens already: take one from him first", super::TOKENS_MAX)]
    TooManyTokens {
        /// Who.
        name: UserName,
    },
    /// Somebody has the token, or had it.
    #[error(
        "token {serial} belongs to somebody or has been used: disassociate or disable it; only one that never \
         worked can be removed"
    )]
    NotFresh {
        /// Which.
        serial: String,
    },
    /// An app token for somebody who has a token: he would see its secret with no more than his password.
    #[error(
        "{name} has a token already, or one that waits for its first code: a further one is a hardware token, or one \
         whose secret is given"
    )]
    AppForHolder {
        /// Who.
        name: UserName,
    },
    /// An app on a page for somebody who has shown no code yet: he enrols where his first factor is asked for.
    #[error("{name} has shown no code yet: the next login enrols")]
    NothingProved {
        /// Who.
        name: UserName,
    },
    /// A token without a secret needs a user who takes it over.
    #[error("a token without a secret is for a user's authenticator app: name the user")]
    AppForNobody,
    /// The user himself cannot take away his last working token.
    #[error("token {serial} is your last one that works: an administrator can take it from you")]
    LastToken {
        /// Which token.
        serial: String,
    },
    /// Nothing is demanded of the user, so he needs no recovery codes.
    #[error("no one-time password is demanded of {name}: recovery codes would be of no use")]
    OtpOff {
        /// Who.
        name: UserName,
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
    #[error("the token is not valid")]
    Invalid(#[from] super::RecordError),
}

/// Makes changes.
#[derive(Debug)]
pub struct Steward {
    accounts: Arc<Accounts>,
    ledger: Arc<dyn Ledger>,
    sealer: Arc<Sealer>,
    clock: Arc<dyn Clock>,
    notifier: Arc<Notifier>,
    /// Names recovery codes.
    recovery_hasher: NameHasher,
    turns: Turns,
}

/// What a steward works with.
#[derive(Debug)]
pub struct Tools {
    /// What it changes.
    pub accounts: Arc<Accounts>,
    /// Where changes become durable.
    pub ledger: Arc<dyn Ledger>,
    /// Seals secrets.
    pub sealer: Arc<Sealer>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Tells people.
    pub notifier: Arc<Notifier>,
    /// Names recovery codes.
    pub recovery_hasher: NameHasher,
}

impl Steward {
    /// A steward.
    pub fn new(tools: Tools) -> Arc<Self> {
        let Tools { accounts, ledger, sealer, clock, notifier, recovery_hasher } = tools;
        let turns = Turns::new();
        Arc::new(Self { accounts, ledger, sealer, clock, notifier, recovery_hasher, turns })
    }

    /// Names recovery codes.
    pub fn recovery_hasher(&self) -> &NameHasher {
        &self.recovery_hasher
    }

    /// Says that what the last unclean stop left behind is dealt with: recovery codes are good again.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub async fn settle(self: &Arc<Self>, by: Actor) -> Result<(), ChangeError> {
        let me = Arc::clone(self);
        self.in_turn(async move {
            let settled = super::UncleanStop { settled: true, ..me.accounts.quarantine.last() };
            me.commit(vec![settled.put()], me.event("store_settled", &by)).await?;
            me.accounts.quarantine.set(settled);
            Ok(())
        })
        .await
    }

    /// As [`Turns::take`]; too many waiting is an error like others.
    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, ChangeError>> + Send + 'static,
    ) -> Result<T, ChangeError> {
        self.turns.take(work).await.unwrap_or(Err(ChangeError::Busy))
    }

    fn event(&self, event: &str, by: &Actor) -> AuditRecord {
        AuditRecord {
            at: rfc3339(self.clock.now()),
            event: event.into(),
            reason: if by.is_owner { "owner" } else { "administrator" }.into(),
            actor: Some(by.name.clone()),
            ..AuditRecord::default()
        }
    }

    /// Makes changes durable with their record, and tells whoever wants to know.
    async fn commit(&self, changes: Vec<Change>, record: AuditRecord) -> Result<(), ChangeError> {
        let reference = Reference::draw()?;
        let entry = Entry { claim: None, changes, audit: Some(audit::entry(&record, reference)) };
        match self.ledger.submit(entry).await {
            Outcome::Committed => {
                tracing::info!(
                    event = record.event, user = record.user, token = record.token, actor = record.actor,
                    %reference, "changed"
                );
                self.notifier.tell(&AuditRecord { reference: reference.to_string(), ..record });
                Ok(())
            }
            outcome => Err(ChangeError::NotStored { outcome }),
        }
    }
}

fn draw_user_id() -> Result<UserId, ChangeError> {
    Ok(UserId(u128::from_be_bytes(random_bytes()?)))
}

fn word(state: TokenState) -> &'static str {
    match state {
        TokenState::Available => "available",
        TokenState::Assigned => "assigned",
        TokenState::Associated => "associated",
        TokenState::Disabled => "disabled",
        TokenState::Lost => "lost",
    }
}

/// What to do first.
fn remedy(state: TokenState, transition: Transition) -> &'static str {
    match (state, transition) {
        (TokenState::Available, _) => "it belongs to nobody",
        (TokenState::Assigned | TokenState::Associated, Transition::Enable) => "it works already",
        (TokenState::Assigned | TokenState::Associated, _) => "disassociate it first",
        (TokenState::Disabled | TokenState::Lost, _) => "enable it first",
    }
}

#[cfg(test)]
mod tests;
