//! What is left of a demand while a roll-out is on its way.
//!
//! Observing refuses nobody: whoever has something to type is asked and may leave it, whoever has nothing is not asked,
//! and the record says what would have come of it. Grace is for those alone who have not activated a token; it helps
//! nobody against a rule that refuses, since no token would.

use std::sync::Arc;

use super::{Demand, Leave};
use crate::accounts::{Token, User};
use crate::audit::Reason;

/// What is left while it is only observed.
pub(super) fn observed(demanded: Demand, user: Option<&User>) -> Demand {
    match demanded {
        Demand::Nothing(_) | Demand::Enrol => demanded,
        Demand::Code { .. } if user.is_some_and(User::can_answer) => Demand::Code { leave: Leave::Rollout },
        Demand::Code { .. } if user.is_none() => Demand::Nothing(Reason::UnknownUser),
        Demand::Code { .. } | Demand::Association { .. } => Demand::Nothing(Reason::TokenMissing),
        Demand::Enrolment { token, leave } => enrolment(token, leave),
        Demand::Request { .. } => Demand::Request { leave: Leave::Rollout },
        Demand::Secondary { .. } => Demand::Secondary { leave: Leave::Rollout },
        Demand::Closed => Demand::Nothing(Reason::EnrolmentClosed),
        Demand::Refused(reason) => Demand::Nothing(reason),
    }
}

/// What is left while whoever has not activated a token may go without. Of a stranger it is known that he is no user
/// with a token under another spelling only where the machine has an account of exactly his name.
pub(super) fn eased(demanded: Demand, user: Option<&User>, account_exists: bool) -> Demand {
    if user.map_or(!account_exists, User::has_proved) {
        return demanded;
    }
    match demanded {
        Demand::Nothing(_) | Demand::Enrol | Demand::Refused(_) => demanded,
        Demand::Code { .. } if user.is_some_and(User::can_answer) => Demand::Code { leave: Leave::Rollout },
        Demand::Code { .. } | Demand::Closed => Demand::Nothing(Reason::Rollout),
        Demand::Association { .. } => Demand::Association { leave: Leave::Rollout },
        // These are no matter of tokens: whoever has none has an account and a person like everybody.
        Demand::Request { .. } | Demand::Secondary { .. } => demanded,
        Demand::Enrolment { token, leave } => enrolment(token, leave),
    }
}

/// The user's own grace goes first: with it he would be let in without a roll-out too.
fn enrolment(token: Arc<Token>, leave: Leave) -> Demand {
    let leave = if leave == Leave::No { Leave::Rollout } else { leave };
    Demand::Enrolment { token, leave }
}
