//! Users and tokens as messages show them. No secret gets in here.

use std::sync::Arc;

use wire::admin::{OnOff, RecoveryStatus, TokenType, UserToken};

use super::Administration;
use crate::accounts::{DRIFT_WINDOW, Factor, Origin, Token, User, UserName};
use crate::audit::rfc3339;
use crate::policy::grace_left;

impl Administration {
    /// A user with what is demanded of him.
    pub(super) fn show_user(&self, user: &User) -> wire::admin::User {
        let enrolling = user.tokens.iter().find(|token| token.is_enrolling());
        let enrolling = enrolling.filter(|_| !user.has_proved());
        let config = self.dialogue.config.load();
        let left =
            enrolling.and_then(|token| grace_left(token, config.enrolment.grace, self.dialogue.clock.now()));
        let last_login = user.tokens.iter().filter_map(|token| last_accepted(token)).max();
        wire::admin::User {
            name: user.name.to_string(),
            otp: on_off(user.otp_on),
            activated: user.tokens.iter().any(|token| token.record.associated.is_some()),
            grace_until: left.and_then(|left| left.until).map(rfc3339),
            grace_logins_left: left
                .and_then(|left| left.logins)
                .and_then(|logins| u32::try_from(logins).ok()),
            last_login,
            tokens: user.tokens.iter().map(|token| user_token(token)).collect(),
            recovery_codes_left: user.recovery.as_ref().map(|codes| codes.left()),
        }
    }

    /// A token with whose it is.
    pub(super) fn show_token(&self, token: &Token) -> wire::admin::Token {
        let owner = token.record.user.and_then(|id| self.dialogue.accounts.find_by_id(id));
        let (time_interval, counter) = match token.parameters.factor {
            Factor::Time(interval) => (Some(interval.seconds()), None),
            Factor::Counter => (None, Some(token.value())),
        };
        wire::admin::Token {
            serial: token.record.serial.clone(),
            user: owner.map(|user| user.name.to_string()),
            token_type: token_type(token),
            algorithm: token.parameters.algorithm.name().into(),
            digits: token.parameters.digits.count(),
            time_interval,
            counter,
            time_drift: time_interval.map(|_| token.record.time_drift),
            state: token.state(),
            disabled_by: token.disabled_by(),
            failures: token.failures(),
            created: rfc3339(token.record.created),
            associated: token.record.associated.map(rfc3339),
            last_accepted: last_accepted(token),
        }
    }

    /// A user's recovery codes. Whoever Postern does not know has none.
    pub(super) fn show_recovery(&self, name: &UserName) -> RecoveryStatus {
        let user = self.dialogue.accounts.find(name);
        let codes = user.as_ref().and_then(|user| user.recovery.as_ref());
        RecoveryStatus {
            user: name.to_string(),
            left: codes.map_or(0, |codes| codes.left()),
            made: codes.map(|codes| rfc3339(codes.record.made)),
            waiting: user.as_ref().is_some_and(|user| self.has_waiting_codes(user)),
        }
    }

    /// How many users' recovery codes wait for an administrator.
    pub(super) fn waiting_users(&self, users: &[Arc<User>]) -> usize {
        users.iter().filter(|user| self.has_waiting_codes(user)).count()
    }

    fn has_waiting_codes(&self, user: &User) -> bool {
        let held = |quarantine| self.dialogue.accounts.quarantine.holds_recovery(quarantine);
        user.recovery.as_ref().is_some_and(|codes| codes.left() > 0 && held(codes.record.quarantine))
    }
}

pub(super) fn on_off(is_on: bool) -> OnOff {
    if is_on { OnOff::On } else { OnOff::Off }
}

fn user_token(token: &Token) -> UserToken {
    UserToken {
        serial: token.record.serial.clone(),
        token_type: token_type(token),
        is_app: token.record.origin == Origin::App,
        state: token.state(),
    }
}

fn token_type(token: &Token) -> TokenType {
    match token.parameters.factor {
        Factor::Time(_) => TokenType::Totp,
        Factor::Counter => TokenType::Hotp,
    }
}

/// When the newest code that was accepted in its present user's hand was shown by a time-based token: the start of
/// its time step.
fn last_accepted(token: &Token) -> Option<String> {
    let (steps, step) = (token.steps()?, token.value());
    // The step that associated it may have begun before.
    let first = steps.step_at(token.record.associated?).ok()?.saturating_sub(u64::from(DRIFT_WINDOW));
    let first = first.saturating_add_signed(token.record.time_drift.min(0).into());
    (step > 0 && step >= first).then(|| rfc3339(steps.start_of(step)))
}
