//! What a login needs before it is let in. Pure: looks at a user, the configuration and the time.

use std::sync::Arc;

use crate::accounts::{Token, TokenState, User};
use crate::audit::Reason;
use crate::clock::UnixTime;
use crate::config::{Config, Grace, OnUnenrolled};

/// What a login needs.
#[derive(Clone, Debug)]
pub enum Demand {
    /// Nothing.
    Nothing(Reason),
    /// A code. Also asked of users that are unknown or have no token, who can give none: they are not told.
    Code,
    /// A code of a token that has not shown one yet; its secret is shown.
    Enrolment {
        /// The token.
        token: Arc<Token>,
        /// Whether the user may still do without.
        grace: bool,
    },
    /// The user is to be enrolled first.
    Enrol,
}

/// What is demanded of a user.
///
/// * `user`: as Postern knows him, if it does.
/// * `account_exists`: whether the machine has an account of exactly this name.
pub fn demand(user: Option<&User>, account_exists: bool, config: &Config, now: UnixTime) -> Demand {
    match user {
        None => match config.on_unenrolled {
            OnUnenrolled::Ignore if account_exists => Demand::Nothing(Reason::Unenrolled),
            OnUnenrolled::Enroll if account_exists => Demand::Enrol,
            OnUnenrolled::Deny | OnUnenrolled::Ignore | OnUnenrolled::Enroll => Demand::Code,
        },
        Some(user) if !user.otp_on => Demand::Nothing(Reason::OtpOff),
        Some(User { token: Some(token), .. }) if token.state() == TokenState::Assigned => {
            Demand::Enrolment { token: Arc::clone(token), grace: grace_left(token, config, now).is_some() }
        }
        Some(_) => Demand::Code,
    }
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
