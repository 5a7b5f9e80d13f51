//! What people read during a login. Short, and the same for all who must not learn the difference.

use std::time::Duration;

use wire::login::Question;

use crate::audit::Reason;
use crate::engine::Decision;

/// Shown when a token was used for the first time.
pub const ACTIVATED: &str = "Activated. From now on every login asks for a one-time password.";

/// Asks for a code.
pub fn code_question(grace: bool) -> Question {
    let text = if grace { "One-time password (Enter to continue without): " } else { "One-time password: " };
    Question { text: text.into(), echo: false, empty_allowed: grace }
}

/// Asks for nothing: keeps text on the screen of programs that show none without a question.
pub fn acknowledge_question() -> Question {
    Question { text: "Press Enter to continue: ".into(), echo: true, empty_allowed: true }
}

/// The line a refused user reads.
pub fn refusal(decision: &Decision) -> String {
    let seconds = decision.wait.map_or(0, seconds_rounded_up);
    let text = match decision.reason {
        Reason::Replayed => {
            format!("That one-time password was already used. Wait {seconds} s for the next one.")
        }
        Reason::Throttled => format!("Too many attempts. Try again in {seconds} s."),
        Reason::Quarantined => {
            format!("The service has just started. Wait {seconds} s for a new one-time password.")
        }
        Reason::StoreShort | Reason::StorageFull | Reason::Busy | Reason::OutcomeUnknown => {
            "One-time passwords cannot be checked at the moment.".into()
        }
        Reason::GraceOver
        | Reason::WrongCode
        | Reason::Malformed
        | Reason::TokenDisabled
        | Reason::TokenMissing
        | Reason::UnknownUser
        | Reason::Accepted
        | Reason::Activated
        | Reason::OtpOff
        | Reason::Unenrolled
        | Reason::Grace => "Access denied.".into(),
    };
    format!("{text} Reference {}.", decision.reference)
}

fn seconds_rounded_up(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}
