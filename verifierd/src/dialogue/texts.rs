//! What people read during a login. Short, and the same for all who must not learn the difference.

use std::time::Duration;

use wire::login::Question;
use zeroize::Zeroizing;

use crate::access::{Asked, Resent};
use crate::audit::{Reason, rfc3339};
use crate::clock::UnixTime;
use crate::config::Profile;
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

/// Shown where what was typed has not the form of an address.
pub const NO_ADDRESS: &str = "That is no e-mail address, such as alice@example.org.";

/// Longest answer that is kept until the next one: the longest address or login name is shorter.
const KEPT_CHARACTERS_MAX: usize = 254;

/// Asks for an issued password, or for a word.
///
/// * `whose`: the address of whoever asked for one.
pub fn issued_question(whose: Option<&str>, grace: bool) -> Question {
    let whose = whose.map_or(String::new(), |whose| format!(" for {whose}"));
    let or_enter = if grace { " (Enter to continue without)" } else { "" };
    Question { text: format!("One-time password{whose}{or_enter}: "), echo: false, empty_allowed: grace }
}

/// What may be typed instead.
pub fn words(whose: Option<&str>) -> String {
    match whose {
        Some(_) => "Type the one-time password, `resend` to have it sent again, or `request`.",
        None => "Type the one-time password that you were sent, or `request` to ask for one.",
    }
    .into()
}

/// Asks for the address of whoever asks for a password.
pub fn email_question() -> Question {
    Question { text: "Your e-mail address: ".into(), echo: true, empty_allowed: false }
}

/// Asks for the reason of an emergency.
pub fn reason_question() -> Question {
    Question { text: "Reason: ".into(), echo: true, empty_allowed: false }
}

/// Asks whether a password is to be sent.
pub fn confirm_question() -> Question {
    let text = "Send a one-time password to your address on record? [y/n]: ".into();
    Question { text, echo: true, empty_allowed: false }
}

/// Asks for a person's login name.
pub fn login_question(grace: bool) -> Question {
    let text = if grace { "Your login name (Enter to continue without): " } else { "Your login name: " };
    Question { text: text.into(), echo: true, empty_allowed: grace }
}

/// Asks for his password.
pub fn password_question() -> Question {
    Question { text: "Your password: ".into(), echo: false, empty_allowed: false }
}

/// What is said of a request, whoever made it.
pub fn requested(outcome: &Asked, profile: Profile) -> String {
    match (outcome, profile) {
        (Asked::Sent { number, until } | Asked::OpenAlready { number, until }, Profile::Standard) => format!(
            "Sent. If you may log in here, a one-time password comes by mail.\nYour request has the number {number}; it \
             waits until {}.",
            utc(*until)
        ),
        (Asked::Sent { number, until } | Asked::OpenAlready { number, until }, Profile::Strict) => format!(
            "Sent. If you may log in here, your approver tells you the one-time password.\nYour request has the number \
             {number}; it waits until {}.",
            utc(*until)
        ),
        (Asked::Busy { until }, _) => {
            format!("Other requests for this account wait until {}. Try again then.", utc(*until))
        }
        (Asked::TooSoon { until }, _) => format!(
            "A new one-time password can be requested from {} on. `resend` mails the last one again.",
            utc(*until)
        ),
    }
}

/// What is said of a password that was to be mailed once more.
pub fn resent(resent: &Resent) -> String {
    match resent {
        Resent::Sent => "Sent again.".into(),
        Resent::Nothing => "There is no one-time password to send again: `request` asks for one.".into(),
        Resent::NotYet { until } => format!("It was sent a moment ago. Try again from {} on.", utc(*until)),
    }
}

/// `2026-11-23 14:05 UTC`.
fn utc(at: UnixTime) -> String {
    let text = rfc3339(at);
    match text.split_once('T') {
        Some((day, time)) => format!("{day} {} UTC", time.get(..5).unwrap_or(time)),
        None => text,
    }
}

/// An answer that is kept until the next one, as much of it as one could be long.
pub fn cut(answer: &str) -> String {
    answer.trim().chars().take(KEPT_CHARACTERS_MAX).collect()
}

/// Whether an answer says yes.
pub fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
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

/// What somebody reads whom an offline password lets in that was used before.
pub fn access_until(until: UnixTime) -> String {
    format!("Access until {}.", rfc3339(until))
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
        Reason::IssuedUsed => "That one-time password was already used. Request another one.".into(),
        Reason::IssuedExpired => "That one-time password has expired. Request another one.".into(),
        Reason::IssuedVoid => "That one-time password is void. Request another one.".into(),
        Reason::IssuedWaiting => "Requested passwords wait for your administrator.".into(),
        Reason::PeopleUnavailable => "Nobody can be looked up at the moment. Try again later.".into(),
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
        | Reason::WrongHost
        | Reason::WrongUser
        | Reason::WrongService
        | Reason::SecondaryRefused
        | Reason::SecurityKey
        | Reason::SecurityKeyRefused
        | Reason::IssuedPassword
        | Reason::Secondary
        | Reason::NoLoginStep
        | Reason::Remembered
        | Reason::OfflineGrant
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
