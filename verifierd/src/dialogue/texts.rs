//! What people read during a login. Short, and the same for all who must not learn the difference.

use std::time::Duration;

use wire::login::Question;
use zeroize::Zeroizing;

use crate::audit::Reason;
use crate::engine::Decision;

/// Shown when a token was used for the first time.
pub const ACTIVATED: &str = "Activated. From now on every login asks for a one-time password.";

/// Shown when a token is in step again.
pub const RESYNCHRONIZED: &str = "Your token is in step again.";

/// Shown before the last recovery code is used up.
pub const LAST_RECOVERY_CODE: &str = "This is your last recovery code.";

/// Shown when a token was associated at the prompt.
fn associated(serial: &str) -> String {
    format!("Token {serial} is yours now. From now on every login asks for a one-time password.")
}

/// Shown when a recovery code was used.
fn recovery_code_used(left: u32) -> String {
    match left {
        0 => "That was your last recovery code. Ask your administrator for new ones.".into(),
        1 => "Recovery code accepted. 1 is left.".into(),
        left => format!("Recovery code accepted. {left} are left."),
    }
}

/// Shows new recovery codes. Starts with a line break, because sshd puts its own words before the first line.
pub fn new_recovery_codes(codes: &[Zeroizing<String>]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(1_024));
    text.push_str("\nYour new recovery codes, each good for one login:\n\n");
    for code in codes {
        text.push_str("    ");
        text.push_str(code);
        text.push('\n');
    }
    text
}

/// Asks for the serial number of a token.
pub fn serial_question(grace: bool) -> Question {
    let text = match grace {
        true => "Serial number of your token (Enter to continue without): ",
        false => "Serial number of your token: ",
    };
    Question { text: text.into(), echo: true, empty_allowed: grace }
}

/// Asks for the code after one that was out of step.
pub fn next_code_question() -> Question {
    let text = "Your token is out of step; type its next code: ".into();
    Question { text, echo: false, empty_allowed: false }
}

/// Asks whether new recovery codes are wanted. An ssh client that loses its terminal sends an empty answer, which
/// is none here: nobody's last code is used up because he hung up.
pub fn new_codes_question() -> Question {
    Question { text: "Make ten new ones now? [y/n]: ".into(), echo: true, empty_allowed: false }
}

/// Keeps new recovery codes on the screen until their user says that he has them.
pub fn codes_shown_question() -> Question {
    let text = "Write them down, then type yes to log in: ".into();
    Question { text, echo: true, empty_allowed: false }
}

/// Asks for a code.
pub fn code_question(grace: bool) -> Question {
    let text = if grace { "One-time password (Enter to continue without): " } else { "One-time password: " };
    Question { text: text.into(), echo: false, empty_allowed: grace }
}

/// Asks for nothing: keeps text on the screen of programs that show none without a question.
pub fn acknowledge_question() -> Question {
    Question { text: "Press Enter to continue: ".into(), echo: true, empty_allowed: true }
}

/// The line that a user reads who was let in, if there is something to tell.
pub fn welcome(decision: &Decision) -> Option<String> {
    match (decision.reason, &decision.token, decision.recovery_codes_left) {
        (Reason::Activated, _, _) => Some(ACTIVATED.into()),
        (Reason::Associated, Some(serial), _) => Some(associated(serial)),
        (Reason::Resynchronized, _, _) => Some(RESYNCHRONIZED.into()),
        (Reason::RecoveryCode, _, Some(left)) => Some(recovery_code_used(left)),
        _ => None,
    }
}

/// The line a refused user reads.
pub fn refusal(decision: &Decision) -> String {
    let seconds = decision.wait.map_or(0, seconds_rounded_up);
    let text = match decision.reason {
        Reason::Replayed if decision.wait.is_none() => {
            "That one-time password was already used. Press the button of your token for the next one.".into()
        }
        Reason::Replayed => {
            format!("That one-time password was already used. Wait {seconds} s for the next one.")
        }
        Reason::RecoveryUsed => "That recovery code was already used.".into(),
        Reason::RecoveryWaiting => "Recovery codes wait for your administrator.".into(),
        Reason::Throttled => format!("Too many attempts. Try again in {seconds} s."),
        Reason::Quarantined => {
            format!("The service has just started. Wait {seconds} s for a new one-time password.")
        }
        Reason::StoreShort
        | Reason::StoreBehind
        | Reason::StorageFull
        | Reason::Busy
        | Reason::OutcomeUnknown => "One-time passwords cannot be checked at the moment.".into(),
        Reason::GraceOver
        | Reason::EnrolmentClosed
        | Reason::WrongCode
        | Reason::OutOfStep
        | Reason::SerialUnknown
        | Reason::TokenTaken
        | Reason::TokenLost
        | Reason::Malformed
        | Reason::TokenDisabled
        | Reason::TokenMissing
        | Reason::DeniedByRule
        | Reason::RuleUndecidable
        | Reason::UnknownUser
        | Reason::Remembered
        | Reason::Accepted
        | Reason::Activated
        | Reason::Associated
        | Reason::Resynchronized
        | Reason::RecoveryCode
        | Reason::OtpOff
        | Reason::Unenrolled
        | Reason::AllowedByRule
        | Reason::Rollout
        | Reason::Grace => "Access denied.".into(),
    };
    format!("{text} Reference {}.", decision.reference)
}

fn seconds_rounded_up(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}
