//! What a login needs before it is let in. Pure: looks at a user, the configuration and the time.

use std::sync::Arc;

use wire::admin::EnrolWith;

use crate::accounts::{Token, User};
use crate::audit::Reason;
use crate::clock::UnixTime;
use crate::config::{Config, Grace, OnUnenrolled};

/// What a login needs.
#[derive(Clone, Debug)]
pub enum Demand {
    /// Nothing.
    Nothing(Reason),
    /// A code. Also asked of users that are unknown or whose tokens do not work, who can give none: they are
    /// not told.
    Code,
    /// A code of an authenticator app that has not shown one yet; its secret is shown.
    Enrolment {
        /// The token.
        token: Arc<Token>,
        /// Whether the user may still do without.
        grace: bool,
    },
    /// The user is to be enrolled with an app first.
    Enrol,
    /// The serial number and a code of a token that the user was handed.
    Association,
    /// He had time to enrol, and it is over.
    Closed,
}

/// What is demanded of a user.
///
/// * `user`: as Postern knows him, if it does.
/// * `account_exists`: whether the machine has an account of exactly this name.
pub fn demand(user: Option<&User>, account_exists: bool, config: &Config, now: UnixTime) -> Demand {
    let Some(user) = user else { return demand_of_stranger(account_exists, config) };
    if user.tokens.is_empty() {
        return match (user.otp_on, config.require_token) {
            (false, false) => Demand::Nothing(Reason::OtpOff),
            (true, _) if is_closed(user.otp_since, config, now) => Demand::Closed,
            (true, _) | (false, true) => Demand::Association,
        };
    }
    let enrolling = user.tokens.iter().find(|token| token.is_enrolling());
    match enrolling.filter(|_| !user.has_proved()) {
        Some(token) if is_enrolment_over(token, config, now) => {
            let other = |token: &Arc<Token>| token.is_usable() && !token.is_enrolling();
            if user.tokens.iter().any(other) { Demand::Code } else { Demand::Closed }
        }
        Some(token) => {
            Demand::Enrolment { token: Arc::clone(token), grace: grace_left(token, config, now).is_some() }
        }
        None => Demand::Code,
    }
}

/// What is demanded of somebody Postern has no record of.
fn demand_of_stranger(account_exists: bool, config: &Config) -> Demand {
    match config.on_unenrolled {
        OnUnenrolled::Ignore if account_exists && config.require_token => Demand::Association,
        OnUnenrolled::Ignore if account_exists => Demand::Nothing(Reason::Unenrolled),
        OnUnenrolled::Enroll if account_exists => match config.enrolment.with {
            EnrolWith::App => Demand::Enrol,
            EnrolWith::Token => Demand::Association,
        },
        OnUnenrolled::Deny | OnUnenrolled::Ignore | OnUnenrolled::Enroll => Demand::Code,
    }
}

/// Whether the time in which a user could take an app's secret over is past.
pub fn is_enrolment_over(token: &Token, config: &Config, now: UnixTime) -> bool {
    is_closed(token.record.created.max(token.record.assigned), config, now)
}

fn is_closed(since: UnixTime, config: &Config, now: UnixTime) -> bool {
    config.enrolment.open_for.is_some_and(|open| now >= since.saturating_add(open.as_secs()))
}

/// What is left of the time before a code is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GraceLeft {
    /// Until when; `None` without such a limit.
    pub until: Option<UnixTime>,
    /// How many more logins; `None` without such a limit.
    pub logins: Option<u64>,
}

/// What is left of a token's grace; `None` when it is over or there is none.
pub fn grace_left(token: &Token, config: &Config, now: UnixTime) -> Option<GraceLeft> {
    let (period, logins) = match config.enrolment.grace {
        Grace::None => return None,
        Grace::Unlimited => return Some(GraceLeft { until: None, logins: None }),
        Grace::Limited { period, logins } => (period, logins),
    };
    let until = period.map(|period| token.record.created.saturating_add(period.as_secs()));
    let logins = logins.map(|logins| u64::from(logins).saturating_sub(token.grace_used()));
    let over = until.is_some_and(|until| now >= until) || logins == Some(0);
    (!over).then_some(GraceLeft { until, logins })
}
