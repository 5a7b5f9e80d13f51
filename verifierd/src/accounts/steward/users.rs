//! Turning the demand on and off, and help for who has locked himself out.

use std::sync::Arc;

use ledger::Change;
use wire::admin::{DisabledBy, EnrolWith};

use super::claims::{with_token, without_token};
use super::{Actor, ChangeError, Steward};
use crate::accounts::{Transition, User, UserName};
use crate::audit::AuditRecord;

/// What was cleared for a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unlocking {
    /// Counts of wrong codes.
    pub counts_cleared: u32,
    /// Serials of tokens that work again.
    pub tokens_enabled: Vec<String>,
}

impl Steward {
    /// Turns the demand for a one-time password on or off.
    ///
    /// On, for a user without a token: with [`EnrolWith::App`] a new secret is drawn for him. Off: app tokens
    /// are wiped, hardware tokens become available, recovery codes are void.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub async fn set_otp(
        self: &Arc<Self>,
        name: UserName,
        on: bool,
        with: EnrolWith,
        by: Actor,
    ) -> Result<Arc<User>, ChangeError> {
        let event = if on { "user_otp_on" } else { "user_otp_off" };
        let record = self.event(event, &by);
        let me = Arc::clone(self);
        self.in_turn(async move { me.set_otp_in_turn(name, on, with, record).await }).await
    }

    /// Enrols a user with an app at his first login.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub async fn enrol(self: &Arc<Self>, name: UserName) -> Result<Arc<User>, ChangeError> {
        let mut record = self.event("user_enrolled_at_login", &Actor::administrator(""));
        (record.reason, record.actor) = ("policy".into(), None);
        let me = Arc::clone(self);
        self.in_turn(async move { me.set_otp_in_turn(name, true, EnrolWith::App, record).await }).await
    }

    /// Lets a user try again: his tokens and recovery codes that too many wrong codes had disabled work again.
    ///
    /// * `counts`: the counts of wrong codes that the throttles clear with it.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub async fn unlock(
        self: &Arc<Self>,
        name: UserName,
        counts: Vec<Change>,
        by: Actor,
    ) -> Result<Unlocking, ChangeError> {
        let me = Arc::clone(self);
        self.in_turn(async move { me.unlock_in_turn(name, counts, &by).await }).await
    }

    async fn set_otp_in_turn(
        &self,
        name: UserName,
        on: bool,
        with: EnrolWith,
        record: AuditRecord,
    ) -> Result<Arc<User>, ChangeError> {
        let known = self.accounts.find(&name);
        if let Some(user) = known.filter(|user| user.otp_on == on) {
            return Ok(user);
        }
        let mut user = self.find_or_new(&name)?;
        let (mut changes, mut released) = (Vec::new(), Vec::new());
        for token in &user.tokens {
            let (more, free) = self.release(token)?;
            changes.extend(more);
            released.push((Arc::clone(token), free));
        }
        user.tokens.clear();
        changes.extend(user.recovery.take().map_or_else(Vec::new, |set| set.wipe()));
        (user.otp_on, user.otp_since, user.enrol_with) = (on, self.clock.now(), with);
        let mut serial = None;
        if on && with == EnrolWith::App {
            let token = Arc::new(self.draw_for_app(user.id)?);
            serial = Some(token.record.serial.clone());
            changes.extend(self.add(&token));
            user = with_token(user, token);
        }
        changes.push(user.record().put());
        let record = AuditRecord { user: Some(name.to_string()), token: serial, ..record };
        self.commit(changes, record).await?;
        for (token, free) in released {
            self.forget(&token, free).await;
        }
        for token in &user.tokens {
            self.accounts.put_token(Arc::clone(token));
        }
        Ok(self.accounts.put(user))
    }

    async fn unlock_in_turn(
        &self,
        name: UserName,
        counts: Vec<Change>,
        by: &Actor,
    ) -> Result<Unlocking, ChangeError> {
        let user = self.accounts.find(&name).ok_or_else(|| ChangeError::NoSuchUser { name: name.clone() })?;
        let counts_cleared = u32::try_from(counts.len()).unwrap_or(u32::MAX);
        let mut changes = counts;
        let mut enabled = Vec::new();
        for token in user.tokens.iter().filter(|token| token.disabled_by() == Some(DisabledBy::WrongCodes)) {
            let (more, token) = self.moved(token, Transition::Enable, None)?;
            changes.extend(more);
            enabled.push(token);
        }
        let locked = user.recovery.as_ref().filter(|set| set.failures() > 0);
        changes.extend(locked.map(|set| set.put_failures(0)));
        if changes.is_empty() {
            return Ok(Unlocking { counts_cleared, tokens_enabled: Vec::new() });
        }
        let tokens_enabled: Vec<_> = enabled.iter().map(|token| token.record.serial.clone()).collect();
        let record = AuditRecord {
            user: Some(name.to_string()),
            token: (!tokens_enabled.is_empty()).then(|| tokens_enabled.join(", ")),
            ..self.event("user_unlocked", by)
        };
        self.commit(changes, record).await?;
        if let Some(set) = user.recovery.as_ref().filter(|set| set.clear_failures() > 0) {
            self.forget_failures(set.put_failures(0)).await;
        }
        for token in enabled {
            self.clear_failures(&token).await;
            self.exchange(Arc::new(token));
        }
        Ok(Unlocking { counts_cleared, tokens_enabled })
    }

    /// The user without a token; one who has none left is asked for none any more.
    pub(super) fn deprive(&self, user: User, token: &crate::accounts::Token) -> (User, Vec<Change>) {
        let mut user = without_token(user, token);
        let mut changes = Vec::new();
        if user.tokens.is_empty() {
            changes.extend(user.recovery.take().map_or_else(Vec::new, |set| set.wipe()));
            (user.otp_on, user.otp_since) = (false, self.clock.now());
            changes.push(user.record().put());
        }
        (user, changes)
    }
}
