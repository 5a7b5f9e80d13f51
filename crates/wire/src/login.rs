//! The login dialogue: the host describes the login, the verifier says what to show and what to ask.
//!
//! `POST /v1/login/begin` with [`Begin`] and `POST /v1/login/continue` with [`Continue`]; both answer 200
//! with a [`Reply`], or an error status with [`crate::error::ErrorBody`], which is never a login.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Path of the first request of a dialogue.
pub const BEGIN_PATH: &str = "/v1/login/begin";

/// Path of every later request of a dialogue.
pub const CONTINUE_PATH: &str = "/v1/login/continue";

/// Longest user name in bytes. `LOGIN_NAME_MAX` of Linux is 256, its NUL included.
pub const USER_BYTES_MAX: usize = 255;

/// Longest answer to one prompt in bytes. Longer than any code, recovery code or offline password.
pub const ANSWER_BYTES_MAX: usize = 128;

/// Longest service name, remote host or terminal name in bytes (`HOST_NAME_MAX` and `NI_MAXHOST` are below).
pub const FIELD_BYTES_MAX: usize = 1024;

/// Longest login name or e-mail address of a person in bytes, as a host takes them. An address has at most 254 (RFC 5321
/// §4.5.3.1.3), and login names of directories are shorter.
pub const IDENTITY_BYTES_MAX: usize = 255;

/// Most lines or questions in one step. Linux-PAM carries 32 messages in one conversation call.
pub const MESSAGES_MAX: usize = 32;

/// Most steps the host follows in one dialogue before it gives up with a refusal.
pub const STEPS_MAX: usize = 8;

/// Starts a dialogue.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Begin {
    /// [`crate::API_VERSION`].
    pub api_version: u16,
    /// 32 lower-case hexadecimal digits, random; the reply repeats it.
    pub request_id: String,
    /// The Unix account as PAM names it.
    pub user: String,
    /// The PAM service: `sshd`, `sudo`, `su`, `login`.
    pub service: String,
    /// Where the login comes from, as sshd's connection says (an IP address) or PAM_RHOST; absent when local.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rhost: Option<String>,
    /// The account that asks (PAM_RUSER), for `su` and `sudo`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ruser: Option<String>,
    /// PAM_TTY; `ssh` under sshd, where the terminal is not known yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tty: Option<String>,
    /// Width of the terminal in columns; absent when it cannot be known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<u16>,
    /// Which session of the terminal this is, so that no other one of this host has the same, before or after; absent
    /// where there is no terminal, as under sshd.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Until when an offline password that was used at this host lets this login in, in seconds since the Unix epoch: an
    /// agent says so of a login that it would let in alone, where verifiers may still refuse it
    /// ([`crate::offline::OfflineOrders::asks_within_grants`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offline_grant_until: Option<u64>,
}

/// Answers the questions of the last step.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Continue {
    /// [`crate::API_VERSION`].
    pub api_version: u16,
    /// 32 lower-case hexadecimal digits, random. The same id with the same content again is a retry and
    /// gets the first verdict.
    pub request_id: String,
    /// The sealed state of [`Next::Ask`], unchanged.
    pub state: String,
    /// One answer for each question, in order.
    pub answers: Vec<String>,
}

impl fmt::Debug for Continue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Continue").field("request_id", &self.request_id).finish_non_exhaustive()
    }
}

/// One question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// The prompt, as shown.
    pub text: String,
    /// Whether the terminal shows what is typed.
    pub echo: bool,
    /// Whether an empty answer is an answer. Where it is not, the host ends the dialogue as cancelled and
    /// sends nothing.
    pub empty_allowed: bool,
}

/// What the verifier answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Reply {
    /// [`crate::API_VERSION`].
    pub api_version: u16,
    /// The request's id. A reply with another one is not an answer to this login.
    pub request_id: String,
    /// The user that was asked about; the host compares.
    pub user: String,
    /// The service that was asked about; the host compares.
    pub service: String,
    /// The host that asked, by its id: from a verifier to an agent, which compares; absent on the machine itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Lines or blocks of text to show before anything is asked, in order.
    #[serde(default)]
    pub show: Vec<String>,
    /// What follows.
    pub next: Next,
}

/// The rest of a reply: more to ask, or the end.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Next {
    /// Ask these questions, then send [`Continue`].
    Ask {
        /// Opaque to the host, sent back unchanged.
        state: String,
        /// At least one question.
        questions: Vec<Question>,
    },
    /// The dialogue is over.
    Done {
        /// The decision.
        verdict: Verdict,
        /// The decision's reference, `XXXX-XXXX`, for `postern explain`.
        reference: String,
        /// Who was let in, where that is known: of an issued password, or a secondary login. Only beside
        /// [`Verdict::Allow`]; a host that does not know the field lets in all the same.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        person: Option<Identity>,
    },
}

/// The person behind an account, as a verifier knows him.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// His login name, from our own records or the directory.
    pub login: String,
    /// Where his mails go; absent where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
}

/// The decision about a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// A one-time password was accepted, and its claim is durable.
    Allow,
    /// Policy asks nothing of this login.
    NotRequired,
    /// Refused.
    Deny,
    /// Nothing could be decided; try again later.
    Unavailable,
    /// A verdict of a newer version. The host treats it as [`Verdict::Deny`].
    #[serde(other)]
    Unknown,
}
