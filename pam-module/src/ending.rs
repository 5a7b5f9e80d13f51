//! How a login ended: the PAM return code it gets and the line it leaves in the log.
//!
//! Exactly one line here yields PAM_SUCCESS, and only [`Ending::Allowed`] reaches it.

use pamsm::{LogLvl, PamError};
use wire::login::Identity;

use crate::arguments::OnUnavailable;
use crate::text;
use crate::verifier::{Failure, Unavailable};

/// The end of one call of `pam_sm_authenticate`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The verifier said `allow`, and PAM still names the user that it was asked about.
    Allowed {
        /// The decision's reference.
        reference: String,
        /// Who was let in, where the verifier knows.
        person: Option<Identity>,
    },
    /// The verifier said that policy asks nothing of this login.
    NotRequired {
        /// The decision's reference.
        reference: String,
    },
    /// Nothing was decided, and the line in `/etc/pam.d` says `fail=open`.
    SteppedAside(Refusal),
    /// Everything else.
    Refused(Refusal),
}

/// Why a login was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The verifier said `deny`, or something that this version does not know.
    Denied {
        /// The decision's reference.
        reference: String,
    },
    /// The verifier said `unavailable`.
    Undecided {
        /// The decision's reference.
        reference: String,
    },
    /// No answer that counts came from the verifier.
    NoDecision(Failure),
    /// More steps than [`wire::login::STEPS_MAX`].
    TooManySteps,
    /// sshd had denied this user before and put its junk in place of the answer.
    DeniedBySshd,
    /// An empty answer where none is allowed.
    Cancelled,
    /// The application returned no answer to a question.
    AnswerMissing,
    /// An answer that cannot be one: too long, control characters, not UTF-8.
    AnswerMalformed,
    /// `use_first_pass`, and PAM_AUTHTOK is missing or cannot be an answer.
    FirstPassMissing,
    /// PAM_USER is no longer the user that was verified.
    UserChanged,
    /// PAM_USER is empty, too long, or not printable UTF-8.
    UserMalformed,
    /// The conversation function failed.
    ConversationFailed,
    /// libpam did not do what the module needs.
    PamFailed,
    /// The line in `/etc/pam.d` is wrong.
    ArgumentsWrong {
        /// The word and what would be right.
        detail: String,
    },
}

impl Ending {
    /// What the line in `/etc/pam.d` makes of the ending: only an unavailable verifier can be stepped aside for.
    pub(crate) fn under(self, on_unavailable: OnUnavailable) -> Self {
        match (self, on_unavailable) {
            (Self::Refused(refusal), OnUnavailable::StepAside) if refusal.is_silence() => {
                Self::SteppedAside(refusal)
            }
            (ending, OnUnavailable::Refuse | OnUnavailable::StepAside) => ending,
        }
    }

    /// The code for libpam.
    pub(crate) fn code(&self) -> PamError {
        match self {
            Self::Allowed { .. } => PamError::SUCCESS,
            Self::NotRequired { .. } | Self::SteppedAside(_) => step_aside(),
            Self::Refused(refusal) => refusal.code(),
        }
    }

    /// The result's only log line and its priority: fixed words, escaped values, never an answer.
    pub(crate) fn log_line(&self, user: &[u8], rhost: Option<&str>) -> (LogLvl, String) {
        let (level, event, reason, reference) = match self {
            Self::Allowed { reference, .. } => (LogLvl::INFO, "allowed", "verdict", Some(reference)),
            Self::NotRequired { reference } => (LogLvl::INFO, "not-required", "verdict", Some(reference)),
            Self::SteppedAside(refusal) => {
                (LogLvl::WARNING, "fail-open", refusal.reason(), refusal.reference())
            }
            Self::Refused(refusal) => {
                let (level, event) = refusal.event();
                (level, event, refusal.reason(), refusal.reference())
            }
        };
        let mut line = format!(
            "{event} user={} rhost={} reason={reason} reference={}",
            text::for_log(user),
            text::for_log(rhost.unwrap_or_default().as_bytes()),
            text::for_log(reference.map_or(&[], |reference| reference.as_bytes())),
        );
        if let Self::SteppedAside(refusal) | Self::Refused(refusal) = self
            && let Some(detail) = refusal.detail()
        {
            line.push_str(" detail=");
            line.push_str(&text::for_log(detail.as_bytes()));
        }
        (level, line)
    }
}

/// PAM_IGNORE: the rest of the stack decides as if the module were not there. The only place that yields it
/// for a login.
fn step_aside() -> PamError {
    PamError::IGNORE
}

impl Refusal {
    /// The code of a refusal. Trouble that the user may have caused is never PAM_AUTHINFO_UNAVAIL, because
    /// stacks exist that let that one pass.
    fn code(&self) -> PamError {
        match self {
            Self::Denied { .. }
            | Self::TooManySteps
            | Self::DeniedBySshd
            | Self::Cancelled
            | Self::AnswerMissing
            | Self::AnswerMalformed
            | Self::FirstPassMissing
            | Self::UserChanged => PamError::AUTH_ERR,
            Self::Undecided { .. } | Self::NoDecision(Failure::Unavailable(_)) => PamError::AUTHINFO_UNAVAIL,
            Self::NoDecision(Failure::Rejected { .. }) | Self::ArgumentsWrong { .. } => PamError::SERVICE_ERR,
            Self::UserMalformed => PamError::USER_UNKNOWN,
            Self::ConversationFailed => PamError::CONV_ERR,
            Self::NoDecision(
                Failure::Local { .. }
                | Failure::UntrustedPath { .. }
                | Failure::UntrustedPeer { .. }
                | Failure::Protocol(_),
            )
            | Self::PamFailed => PamError::SYSTEM_ERR,
        }
    }

    fn is_unavailability(&self) -> bool {
        matches!(self, Self::Undecided { .. } | Self::NoDecision(Failure::Unavailable(_)))
    }

    /// Whether nobody answered, or says that he cannot. An answer that is not understood, whatever is wrong with it, is
    /// no sign of that, and opens nothing.
    fn is_silence(&self) -> bool {
        self.is_unavailability() && !matches!(self, Self::NoDecision(Failure::Unavailable(Unavailable::Cut)))
    }

    /// The first word of the log line: somebody was denied, the verifier was not there, or something failed.
    fn event(&self) -> (LogLvl, &'static str) {
        if self.is_unavailability() {
            return (LogLvl::ERR, "unavailable");
        }
        match self.code() {
            PamError::AUTH_ERR | PamError::USER_UNKNOWN | PamError::CONV_ERR => (LogLvl::NOTICE, "denied"),
            _ => (LogLvl::ERR, "failed"),
        }
    }

    /// One word of a closed set, for the log.
    fn reason(&self) -> &'static str {
        match self {
            Self::Denied { .. } => "verdict",
            Self::Undecided { .. } => "verdict-unavailable",
            Self::NoDecision(failure) => failure.reason(),
            Self::TooManySteps => "too-many-steps",
            Self::DeniedBySshd => "sshd-denied-this-user",
            Self::Cancelled => "cancelled",
            Self::AnswerMissing => "answer-missing",
            Self::AnswerMalformed => "answer-malformed",
            Self::FirstPassMissing => "first-pass-missing",
            Self::UserChanged => "user-changed",
            Self::UserMalformed => "user-malformed",
            Self::ConversationFailed => "conversation-failed",
            Self::PamFailed => "pam-failed",
            Self::ArgumentsWrong { .. } => "arguments-wrong",
        }
    }

    fn reference(&self) -> Option<&String> {
        match self {
            Self::Denied { reference } | Self::Undecided { reference } => Some(reference),
            _ => None,
        }
    }

    /// What an administrator needs beyond the reason.
    fn detail(&self) -> Option<String> {
        match self {
            Self::NoDecision(failure) => failure.detail(),
            Self::ArgumentsWrong { detail } => Some(detail.clone()),
            _ => None,
        }
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::NoDecision(failure)
    }
}

#[cfg(test)]
mod tests;
