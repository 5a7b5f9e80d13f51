//! An authenticator app that a user adds to the tokens that he has.
//!
//! At the prompt a secret is kept from the moment at which it is shown, because a login ends with its connection. Here
//! nothing is kept until a code proved that the app has it.

use std::sync::Arc;

use ledger::{AuditEntry, Change, Entry, Outcome, Refusal};

use super::claims::with_token;
use super::{ChangeError, Steward};
use crate::accounts::{TOKENS_MAX, Token, TokenRecord, TokenState, User};

/// An app that showed its first code.
#[derive(Debug)]
pub struct ProvedApp {
    /// As [`Steward::draw_app`] made it.
    pub token: Arc<Token>,
    /// What that code used up.
    pub value: u64,
    /// The record of it.
    pub audit: AuditEntry,
}

impl Steward {
    /// A token for another app of a user, with a new secret. Nobody knows of it yet.
    ///
    /// # Errors
    /// He has no token that proved him, or as many as a user may have; no random bytes.
    pub fn draw_app(&self, user: &User) -> Result<Arc<Token>, ChangeError> {
        may_have_another(user)?;
        let mut token = self.draw_for_app(user.id)?;
        token.record.quarantine = self.accounts.quarantine.last().number;
        Ok(Arc::new(token))
    }

    /// Keeps it as his, together with what its first code used up: that one is accepted nowhere any more.
    pub async fn add_app(self: &Arc<Self>, app: ProvedApp) -> Outcome {
        let me = Arc::clone(self);
        let done = self.in_turn(async move { me.add_app_in_turn(app).await }).await;
        done.unwrap_or_else(|error| match error {
            ChangeError::NotStored { outcome } => outcome,
            ChangeError::Busy => Outcome::NotCommitted(Refusal::Busy),
            other => {
                tracing::warn!(error = %other, "an app could not be added");
                Outcome::NotCommitted(Refusal::NoSuchCredential)
            }
        })
    }

    async fn add_app_in_turn(&self, app: ProvedApp) -> Result<Outcome, ChangeError> {
        let ProvedApp { token, value, audit } = app;
        let gone = || ChangeError::NotStored { outcome: Outcome::NotCommitted(Refusal::NoSuchCredential) };
        let user = token.record.user.and_then(|id| self.accounts.find_by_id(id)).ok_or_else(gone)?;
        may_have_another(&user)?;
        self.check_secret(&token.record.serial, token.fingerprint)?;
        let (state, associated) = (TokenState::Associated, Some(self.clock.now()));
        let record = TokenRecord { state, associated, ..token.record.clone() };
        let changes = vec![Change::AddCredential { credential: token.credential(), value }, record.put()];
        let outcome = self.ledger.submit(Entry { claim: None, changes, audit: Some(audit) }).await;
        if outcome == Outcome::Committed {
            let token = Arc::new(token.with_record(record));
            token.set_value(value);
            self.accounts.put_token(Arc::clone(&token));
            self.accounts.put(with_token((*user).clone(), token));
        }
        Ok(outcome)
    }
}

/// Whoever has shown no code yet enrols at the prompt, where his first factor is asked for too.
fn may_have_another(user: &User) -> Result<(), ChangeError> {
    if !user.has_proved() {
        return Err(ChangeError::NothingProved { name: user.name.clone() });
    }
    if user.tokens.len() >= TOKENS_MAX {
        return Err(ChangeError::TooManyTokens { name: user.name.clone() });
    }
    Ok(())
}
