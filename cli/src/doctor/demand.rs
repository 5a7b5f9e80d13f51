//! What Postern demands of a user, and what that means at the prompt.

use wire::admin::{OnOff, RecoveryStatus, TokenState, User};

use super::daemon::{Daemon, Unanswered};
use super::finding::{Code, Finding};
use super::not_checked;

/// What will be asked, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Demand {
    /// A code; the text says how.
    Code(String),
    /// Nothing.
    Nothing,
    /// Refused, whatever is typed; the text says why.
    Refused(String),
    /// Nobody can decide; the text says why.
    Undecided(String),
    /// Not known, or there is no user; the text stands for the question.
    Open(String),
}

impl Demand {
    /// Whether a code is demanded; absent where that is not known.
    pub fn is_code(&self) -> Option<bool> {
        match self {
            Self::Code(_) | Self::Refused(_) => Some(true),
            Self::Nothing => Some(false),
            Self::Undecided(_) | Self::Open(_) => None,
        }
    }
}

/// What the demand rests on, apart from what `verifierd` says of the user.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// `on_unenrolled`; absent where the configuration could not be read.
    pub on_unenrolled: Option<String>,
    /// `enrolment.grace`; likewise.
    pub grace: Option<String>,
    /// `enrolment.with`; likewise.
    pub enrol_with: Option<String>,
    /// `access.require_token`: whoever has no token is asked for one.
    pub require_token: bool,
}

/// What is asked of whoever has no token yet, and is handed one.
const ASSOCIATION: &str = "the serial number of a token, and a one-time password of it";

/// What is demanded of a user, with what is wrong about it. `has_account`: whether this machine knows him.
pub fn of_user(daemon: &Daemon, policy: &Policy, has_account: bool) -> (Demand, Vec<Finding>) {
    match &daemon.user {
        None => (Demand::Open("a one-time password, of whom one is demanded".to_owned()), Vec::new()),
        Some(Err(_)) => {
            let words = "a one-time password, if one is demanded (verifierd could not be asked)";
            (Demand::Open(words.to_owned()), Vec::new())
        }
        Some(Ok(None)) => unknown(policy, has_account),
        Some(Ok(Some(user))) => match user.otp {
            OnOff::Off if policy.require_token => (Demand::Code(ASSOCIATION.to_owned()), Vec::new()),
            OnOff::Off => (Demand::Nothing, Vec::new()),
            OnOff::On => demanded(user, daemon.recovery.as_ref(), policy),
        },
    }
}

/// What is known of it at a host of a fleet. `is_named`: whether a user was asked about.
pub fn at_verifier(is_named: bool) -> Demand {
    let of_whom = if is_named { "if the verifier demands one" } else { "of whom one is demanded" };
    Demand::Open(format!("a one-time password, {of_whom}"))
}

fn unknown(policy: &Policy, has_account: bool) -> (Demand, Vec<Finding>) {
    match (policy.on_unenrolled.as_deref(), has_account) {
        (Some("ignore"), true) if policy.require_token => (Demand::Code(ASSOCIATION.to_owned()), Vec::new()),
        (Some("ignore"), true) => (Demand::Nothing, Vec::new()),
        (Some("enroll"), true) if policy.enrol_with.as_deref() == Some("token") => {
            (Demand::Code(ASSOCIATION.to_owned()), Vec::new())
        }
        (Some("enroll"), true) => {
            let words = "a one-time password of an authenticator app, whose QR code is shown first";
            (Demand::Code(words.to_owned()), Vec::new())
        }
        (Some(_), _) => {
            let why = "Postern does not know this user, and on_unenrolled is \"deny\"";
            let why = if has_account { why } else { "neither this machine nor Postern knows this user" };
            let remedy = "`postern user set NAME --otp on` or `--otp off`; or another `on_unenrolled`";
            refused(why.to_owned(), remedy)
        }
        (None, _) => {
            let words = "a one-time password, or a refusal: Postern does not know this user, and on_unenrolled \
                         could not be read";
            (Demand::Open(words.to_owned()), Vec::new())
        }
    }
}

/// How a user's recovery codes are, as far as that is known.
type Recovery<'a> = Option<&'a Result<RecoveryStatus, Unanswered>>;

fn demanded(user: &User, recovery: Recovery<'_>, policy: &Policy) -> (Demand, Vec<Finding>) {
    let serials = |state: TokenState| -> Vec<&str> {
        let tokens = user.tokens.iter().filter(|token| token.state == state);
        tokens.map(|token| token.serial.as_str()).collect()
    };
    let working = serials(TokenState::Associated);
    let waiting = serials(TokenState::Assigned);
    if !working.is_empty() {
        return (Demand::Code(format!("a one-time password ({})", tokens(&working))), Vec::new());
    }
    if !waiting.is_empty() {
        let grace = grace(user, policy);
        let words = format!("a one-time password ({}, activated by its first code{grace})", tokens(&waiting));
        return (Demand::Code(words), Vec::new());
    }
    if user.tokens.is_empty() {
        return (Demand::Code(ASSOCIATION.to_owned()), Vec::new());
    }
    without_token(user, recovery)
}

/// All tokens are lost or disabled.
fn without_token(user: &User, recovery: Recovery<'_>) -> (Demand, Vec<Finding>) {
    let lost = user.tokens.iter().all(|token| token.state == TokenState::Lost);
    let state = if lost { "lost" } else { "lost or disabled" };
    let why = match user.tokens.len() {
        1 if lost => "the only token is lost".to_owned(),
        1 => "the only token is disabled".to_owned(),
        2 => format!("both tokens are {state}"),
        count => format!("all {count} tokens are {state}"),
    };
    let remedy = "`postern token enable`, or another token: `postern token associate SERIAL --user NAME`";
    let left = user.recovery_codes_left.unwrap_or(0);
    if left == 0 {
        return refused(format!("{why}, and there are no recovery codes"), remedy);
    }
    if let Some(Ok(RecoveryStatus { waiting: true, .. })) = recovery {
        let why = format!("{why}, and the recovery codes wait for an administrator after an unclean stop");
        let remedy = "`postern store settle`, or another token: `postern token associate SERIAL --user NAME`";
        return refused(why, remedy);
    }
    let only = Finding::new(Code::RecoveryOnly, format!("{why}; recovery codes: {left}"), remedy);
    let unsure = matches!(recovery, Some(Err(_)))
        .then(|| not_checked("whether the recovery codes wait for `postern store settle`"));
    let findings = [Some(only), unsure].into_iter().flatten().collect();
    (Demand::Code(format!("a recovery code ({why}; recovery codes: {left})")), findings)
}

fn refused(why: String, remedy: &'static str) -> (Demand, Vec<Finding>) {
    let finding = Finding::new(Code::UserRefused, why.clone(), remedy);
    (Demand::Refused(why), vec![finding])
}

/// Until when somebody who has not activated a token may go on without.
fn grace(user: &User, policy: &Policy) -> String {
    if user.activated {
        return String::new();
    }
    match (&user.grace_until, user.grace_logins_left, policy.grace.as_deref()) {
        (Some(until), None, _) => format!("; may be put off until {until}"),
        (None, Some(left), _) => format!("; may be put off {left} times"),
        (Some(until), Some(left), _) => format!("; may be put off {left} times, until {until}"),
        (None, None, Some("unlimited")) => "; may be put off".to_owned(),
        (None, None, _) => String::new(),
    }
}

fn tokens(serials: &[&str]) -> String {
    let word = if serials.len() == 1 { "token" } else { "tokens" };
    format!("{word} {}", serials.join(", "))
}
