//! Claims of logins that change a token's record in the same commit: a first code, an association, a re-sync.

use std::sync::Arc;

use ledger::{AuditEntry, Change, Claim, Entry, Outcome, Refusal};

use super::{Actor, ChangeError, Steward, draw_user_id};
use crate::accounts::{
    Origin, TOKENS_MAX, Token, TokenRecord, TokenState, Transition, User, UserName, next, order_of,
};

/// What is to change besides the claim.
#[derive(Clone, Debug, Default)]
pub struct Edit {
    /// The user who has shown that he holds the token.
    pub associate: Option<UserName>,
    /// Whether that is allowed only while he has no other token.
    pub only_if_first: bool,
    /// The drift of its clock, in time steps, after two successive codes proved where it stands.
    pub resynchronized: Option<i32>,
}

/// A claim with such a change.
#[derive(Debug)]
pub struct EditedClaim {
    /// The token as the login saw it.
    pub token: Arc<Token>,
    /// What changes.
    pub edit: Edit,
    /// The claim.
    pub claim: Claim,
    /// What the login writes besides.
    pub changes: Vec<Change>,
    /// Its record.
    pub audit: AuditEntry,
}

impl Steward {
    /// Makes a claim durable together with what it changes. A token that is not any more what the login saw
    /// refuses the claim, as one that is gone does.
    pub async fn claim(self: &Arc<Self>, order: EditedClaim) -> Outcome {
        let me = Arc::clone(self);
        let done = self.in_turn(async move { me.claim_in_turn(order).await }).await;
        done.unwrap_or_else(|error| match error {
            ChangeError::NotStored { outcome } => outcome,
            ChangeError::Busy => Outcome::NotCommitted(Refusal::Busy),
            other => {
                tracing::warn!(error = %other, "a token could not be changed by a login");
                Outcome::NotCommitted(Refusal::NoSuchCredential)
            }
        })
    }

    async fn claim_in_turn(&self, order: EditedClaim) -> Result<Outcome, ChangeError> {
        let EditedClaim { token, edit, claim, mut changes, audit } = order;
        let serial = &token.record.serial;
        let gone = || ChangeError::NotStored { outcome: Outcome::NotCommitted(Refusal::NoSuchCredential) };
        let known = self.accounts.find_by_serial(serial);
        let known = known.filter(|known| is_same(known, &token)).ok_or_else(gone)?;

        let mut record = known.record.clone();
        let mut wiped = Vec::new();
        if let Some(time_drift) = edit.resynchronized {
            record.time_drift = time_drift;
            record.quarantine = self.accounts.quarantine.last().number;
        }
        let user = match &edit.associate {
            Some(name) => {
                let mut user = self.associate(&known, &mut record, name, &mut changes)?;
                if edit.only_if_first && user.tokens.iter().any(|other| other.record.id != record.id) {
                    return Err(gone());
                }
                wiped = take_unproved_apps(&mut user, &known);
                for app in &wiped {
                    changes.extend(self.release(app)?.0);
                }
                Some(user)
            }
            None => record.user.and_then(|id| self.accounts.find_by_id(id)).map(|user| (*user).clone()),
        };
        changes.push(record.put());
        match self.ledger.submit(Entry { claim: Some(claim), changes, audit: Some(audit) }).await {
            Outcome::Committed => {}
            outcome => return Ok(outcome),
        }
        for app in wiped {
            self.forget(&app, None).await;
            self.tell_wiped(&app, &user).await;
        }
        let token = Arc::new(known.with_record(record));
        self.accounts.put_token(Arc::clone(&token));
        if let Some(user) = user {
            self.accounts.put(with_token(user, token));
        }
        Ok(Outcome::Committed)
    }

    /// Records that an app was taken away because another token was proved.
    async fn tell_wiped(&self, app: &Token, user: &Option<User>) {
        let mut record = self.event("token_disassociated", &Actor::administrator(""));
        (record.reason, record.actor) = ("policy".into(), None);
        record.user = user.as_ref().map(|user| user.name.to_string());
        record.token = Some(app.record.serial.clone());
        record.detail = Some("wiped with its secret: another token showed its first code".into());
        if let Err(error) = self.commit(Vec::new(), record).await {
            tracing::warn!(%error, serial = app.record.serial, "an app was taken away, and no record tells of it");
        }
    }

    /// Turns a token's record into that of its user's, who has proved that he holds it.
    fn associate(
        &self,
        token: &Token,
        record: &mut TokenRecord,
        name: &UserName,
        changes: &mut Vec<Change>,
    ) -> Result<User, ChangeError> {
        let now = self.clock.now();
        let mut user = self.find_or_new(name)?;
        if token.state() == TokenState::Associated && token.record.user == Some(user.id) {
            // Another code of his was first; the claim decides between the two.
            return Ok(user);
        }
        let state = next(token.state(), Transition::Associate, token.before()).ok_or_else(|| {
            let (serial, state) = (token.record.serial.clone(), token.state());
            ChangeError::WrongState { serial, state, transition: Transition::Associate }
        })?;
        if token.record.user.is_some_and(|owner| owner != user.id) {
            let (serial, state) = (token.record.serial.clone(), token.state());
            return Err(ChangeError::WrongState { serial, state, transition: Transition::Assign });
        }
        if token.record.user.is_none() {
            if user.tokens.len() >= TOKENS_MAX {
                return Err(ChangeError::TooManyTokens { name: name.clone() });
            }
            let (time_drift, quarantine) = (record.time_drift, record.quarantine);
            *record =
                TokenRecord { time_drift, quarantine, ..record.owned_by(Some(user.id), &self.sealer, now)? };
            let to = record.id.credential(record.generation);
            changes.push(Change::MoveCredential { from: token.credential(), to });
        }
        record.state = state;
        record.associated = Some(now);
        // Whoever is about to go on without a code finds nothing left to claim.
        changes.push(Change::RemoveCredential { credential: token.grace_credential() });
        if !user.otp_on {
            (user.otp_on, user.otp_since) = (true, now);
            changes.push(user.record().put());
        }
        Ok(user)
    }

    /// The user of this name, or a new one of whom nothing is demanded.
    pub(super) fn find_or_new(&self, name: &UserName) -> Result<User, ChangeError> {
        if let Some(user) = self.accounts.find(name) {
            return Ok((*user).clone());
        }
        Ok(User { otp_since: self.clock.now(), ..User::new(draw_user_id()?, name.clone()) })
    }
}

/// Takes from a user the app tokens that he never showed a code of: whoever saw their secret at the prompt knew
/// no more than his password.
fn take_unproved_apps(user: &mut User, proved: &Token) -> Vec<Arc<Token>> {
    let is_unproved = |token: &Arc<Token>| {
        let record = &token.record;
        record.origin == Origin::App && record.associated.is_none() && record.id != proved.record.id
    };
    let (unproved, kept) = std::mem::take(&mut user.tokens).into_iter().partition(is_unproved);
    user.tokens = kept;
    unproved
}

/// Whether a token is still in the hand in which a login saw it, and works.
fn is_same(known: &Token, seen: &Token) -> bool {
    let sight = |token: &Token| (token.record.id, token.record.generation);
    sight(known) == sight(seen) && known.state() != TokenState::Disabled
}

/// The user with this token, in its place among the others.
pub(super) fn with_token(user: User, token: Arc<Token>) -> User {
    let mut user = without_token(user, &token);
    user.tokens.push(token);
    user.tokens.sort_by_key(|token| order_of(token));
    user
}

/// The user without this token.
pub(super) fn without_token(mut user: User, token: &Token) -> User {
    user.tokens.retain(|known| known.record.id != token.record.id);
    user
}
