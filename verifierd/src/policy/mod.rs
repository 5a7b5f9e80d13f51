//! What a login needs before it is let in. Pure: looks at a user, the configuration, the time, and what the name
//! service said of the user.
//!
//! ```text
//! settings   host, else group, else default   -> what is demanded where no rule holds
//! rules      the first that holds             -> nothing, more, or a refusal
//! rollout    observe, grace or enforce        -> how much of that is enforced
//! ```
//!
//! | module | holds |
//! | --- | --- |
//! | `rollout` | what is left of a demand while it is not enforced |
//! | `rules` | which access rule decides |
//! | `settings` | which value of a setting holds at a host |

mod rollout;
mod rules;
mod settings;

use std::sync::Arc;
use std::time::Duration;

use wire::admin::{EnrolWith, Then};

use crate::accounts::{Token, User};
use crate::audit::Reason;
use crate::clock::UnixTime;
use crate::config::{Config, Grace, Lenience, LoginStep, OnUnenrolled};
use crate::hosts::HostIdentity;

pub use rules::{Circumstances, Memberships, Ruled, Walk, decide, that_may_hold};
pub use settings::{RecordingTerms, RequestTerms, SetBy, Setting, Settings, login_step_at, remembered_for};

/// What holds for a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// At its host.
    pub settings: Settings,
    /// What the access rules make of it.
    pub ruled: Ruled,
    /// How much less than decided is enforced; `None` where it is enforced.
    pub lenience: Option<Lenience>,
    /// Whether a secret may be shown here: at the verifier's own machine, and at hosts that may see one.
    pub may_show_secrets: bool,
}

impl Terms {
    /// * `host`: none on the verifier's own machine and at the API.
    pub fn new(host: Option<&HostIdentity>, ruled: Ruled, config: &Config, now: UnixTime) -> Self {
        let settings = Settings::at(host, config);
        let may_show_secrets = host.is_none() || settings.enrol_at_hosts.value;
        Self { settings, ruled, lenience: settings.rollout.value.lenience_at(now), may_show_secrets }
    }

    /// The rule that decides.
    pub fn rule(&self) -> Option<&Arc<str>> {
        match &self.ruled {
            Ruled::NoRule => None,
            Ruled::Decided { rule, .. } | Ruled::Undecidable { rule, .. } => Some(rule),
        }
    }

    /// Why whatever is typed is refused, if it is.
    pub fn refusal(&self) -> Option<Reason> {
        match &self.ruled {
            Ruled::Decided { then: Then::Deny, .. } => Some(Reason::DeniedByRule),
            Ruled::Undecidable { .. } => Some(Reason::RuleUndecidable),
            Ruled::NoRule
            | Ruled::Decided { then: Then::RequireToken | Then::RequireAnyOtp | Then::Allow, .. } => None,
        }
    }

    /// Whether a user who is enrolled at this login may still do without.
    pub fn leave_of_a_new_app(&self) -> Leave {
        let has_grace = match self.settings.grace.value {
            Grace::None => false,
            Grace::Unlimited => true,
            Grace::Limited { period, logins } => period != Some(Duration::ZERO) && logins != Some(0),
        };
        match (self.rule(), self.lenience) {
            (None, _) if has_grace => Leave::Grace,
            (_, Some(Lenience::Observe | Lenience::Grace)) => Leave::Rollout,
            (_, None) => Leave::No,
        }
    }

    /// What cannot be told, where that is why.
    pub fn why(&self) -> Option<&str> {
        match &self.ruled {
            Ruled::Undecidable { why, .. } => Some(why),
            Ruled::NoRule | Ruled::Decided { .. } => None,
        }
    }
}

/// What a login needs.
#[derive(Clone, Debug)]
pub enum Demand {
    /// Nothing. Where the reason is that of a refusal, only the roll-out lets in.
    Nothing(Reason),
    /// A code. Also asked of users that are unknown or whose tokens do not work, who can give none: they are
    /// not told.
    Code {
        /// Whether the user may do without.
        leave: Leave,
    },
    /// A code of an authenticator app that has not shown one yet; its secret is shown.
    Enrolment {
        /// The token.
        token: Arc<Token>,
        /// Whether the user may still do without.
        leave: Leave,
    },
    /// The user is to be enrolled with an app first.
    Enrol,
    /// The serial number and a code of a token that the user was handed.
    Association {
        /// Whether the user may do without.
        leave: Leave,
    },
    /// A password that was issued on request, or a request for one.
    Request {
        /// Whether the user may do without.
        leave: Leave,
    },
    /// Login name and password of a person who may use the account.
    Secondary {
        /// Whether the user may do without.
        leave: Leave,
    },
    /// He had time to enrol, and it is over.
    Closed,
    /// A code, as of everybody, and whatever he types is refused.
    Refused(Reason),
}

/// Whether a user may go on without a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// No.
    No,
    /// Because he has not activated his token; uses up one of the logins that he has left.
    Grace,
    /// Because the roll-out is not that far.
    Rollout,
}

impl Leave {
    /// Whether an empty answer will do.
    pub fn is_given(self) -> bool {
        self != Self::No
    }
}

/// What is demanded of a user.
///
/// * `user`: as Postern knows him, if it does.
/// * `account_exists`: whether the machine has an account of exactly this name.
pub fn demand(user: Option<&User>, account_exists: bool, terms: &Terms, now: UnixTime) -> Demand {
    let settings = &terms.settings;
    let by_step = demand_by_step(user, account_exists, settings, now);
    let demanded = match &terms.ruled {
        Ruled::NoRule => by_step,
        // A rule that wants a code wants it of the user's tokens where the host's step would ask for none, or for something
        // that is no token.
        Ruled::Decided { then, .. } => match (then, settings.login_step.value) {
            (Then::RequireToken, LoginStep::None | LoginStep::Request | LoginStep::Secondary)
            | (Then::RequireAnyOtp, LoginStep::None) => {
                by_rule(demand_by_tokens(user, account_exists, settings, now), *then)
            }
            (Then::RequireToken | Then::RequireAnyOtp | Then::Allow | Then::Deny, _) => {
                by_rule(by_step, *then)
            }
        },
        Ruled::Undecidable { .. } => Demand::Refused(Reason::RuleUndecidable),
    };
    match terms.lenience {
        None => demanded,
        Some(Lenience::Observe) => rollout::observed(demanded, user),
        Some(Lenience::Grace) => rollout::eased(demanded, user, account_exists),
    }
}

/// What a rule makes of what the settings demand. A rule never lets in whom they would refuse, unless it asks nothing
/// of anybody.
fn by_rule(by_settings: Demand, then: Then) -> Demand {
    match (then, by_settings) {
        (Then::Allow, _) => Demand::Nothing(Reason::AllowedByRule),
        (Then::Deny, _) => Demand::Refused(Reason::DeniedByRule),
        (Then::RequireAnyOtp, Demand::Nothing(_)) => Demand::Code { leave: Leave::No },
        (Then::RequireToken, Demand::Nothing(_)) => Demand::Association { leave: Leave::No },
        (Then::RequireAnyOtp | Then::RequireToken, Demand::Enrolment { token, .. }) => {
            Demand::Enrolment { token, leave: Leave::No }
        }
        (Then::RequireAnyOtp | Then::RequireToken, demanded) => demanded,
    }
}

fn demand_by_step(user: Option<&User>, account_exists: bool, settings: &Settings, now: UnixTime) -> Demand {
    match settings.login_step.value {
        LoginStep::None => Demand::Nothing(Reason::NoLoginStep),
        LoginStep::Token => demand_by_tokens(user, account_exists, settings, now),
        LoginStep::Request => Demand::Request { leave: Leave::No },
        LoginStep::Secondary => Demand::Secondary { leave: Leave::No },
    }
}

fn demand_by_tokens(user: Option<&User>, account_exists: bool, settings: &Settings, now: UnixTime) -> Demand {
    const ASSOCIATION: Demand = Demand::Association { leave: Leave::No };
    const CODE: Demand = Demand::Code { leave: Leave::No };
    let Some(user) = user else { return demand_of_stranger(account_exists, settings) };
    let open_for = settings.open_for.value;
    if user.tokens.is_empty() {
        return match (user.otp_on, settings.require_token.value) {
            (false, false) => Demand::Nothing(Reason::OtpOff),
            (true, _) if is_closed(user.otp_since, open_for, now) => Demand::Closed,
            (true, _) | (false, true) => ASSOCIATION,
        };
    }
    let enrolling = user.tokens.iter().find(|token| token.is_enrolling());
    match enrolling.filter(|_| !user.has_proved()) {
        Some(token) if is_enrolment_over(token, open_for, now) => {
            let other = |token: &Arc<Token>| token.is_usable() && !token.is_enrolling();
            if user.tokens.iter().any(other) { CODE } else { Demand::Closed }
        }
        Some(token) => {
            let left = grace_left(token, settings.grace.value, now);
            let leave = if left.is_some() { Leave::Grace } else { Leave::No };
            Demand::Enrolment { token: Arc::clone(token), leave }
        }
        None => CODE,
    }
}

/// What is demanded of somebody Postern has no record of.
fn demand_of_stranger(account_exists: bool, settings: &Settings) -> Demand {
    const ASSOCIATION: Demand = Demand::Association { leave: Leave::No };
    match settings.on_unenrolled.value {
        OnUnenrolled::Ignore if account_exists && settings.require_token.value => ASSOCIATION,
        OnUnenrolled::Ignore if account_exists => Demand::Nothing(Reason::Unenrolled),
        OnUnenrolled::Enroll if account_exists => match settings.enrol_with.value {
            EnrolWith::App => Demand::Enrol,
            EnrolWith::Token => ASSOCIATION,
        },
        OnUnenrolled::Deny | OnUnenrolled::Ignore | OnUnenrolled::Enroll => Demand::Code { leave: Leave::No },
    }
}

/// Whether the time in which a user could take an app's secret over is past.
///
/// * `open_for`: how long he has; `None` without a limit.
pub fn is_enrolment_over(token: &Token, open_for: Option<Duration>, now: UnixTime) -> bool {
    is_closed(token.record.created.max(token.record.assigned), open_for, now)
}

fn is_closed(since: UnixTime, open_for: Option<Duration>, now: UnixTime) -> bool {
    open_for.is_some_and(|open| now >= since.saturating_add(open.as_secs()))
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
pub fn grace_left(token: &Token, grace: Grace, now: UnixTime) -> Option<GraceLeft> {
    let (period, logins) = match grace {
        Grace::None => return None,
        Grace::Unlimited => return Some(GraceLeft { until: None, logins: None }),
        Grace::Limited { period, logins } => (period, logins),
    };
    let until = period.map(|period| token.record.created.saturating_add(period.as_secs()));
    let logins = logins.map(|logins| u64::from(logins).saturating_sub(token.grace_used()));
    let over = until.is_some_and(|until| now >= until) || logins == Some(0);
    (!over).then_some(GraceLeft { until, logins })
}

#[cfg(test)]
mod tests;
