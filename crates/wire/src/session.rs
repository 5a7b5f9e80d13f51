//! Sessions: what the PAM module says when one begins and when it ends, beside the login.
//!
//! `POST /v1/session/open` with [`OpenSession`] and `POST /v1/session/close` with [`CloseSession`], on the login socket
//! and at the fleet's listener; both answer 200 with [`SessionNoted`]. Whoever is told of a session can neither refuse nor
//! end it; he says what is to record it ([`Recording`]), and the host does as it is told. Saying the same twice is saying it
//! once.
//!
//! An agent that had to leave sessions out says how many: `POST /v1/session/left-out` with [`SessionsLeftOut`].

use serde::{Deserialize, Serialize};

use crate::error::ErrorDetail;

/// Path of the report that a session has begun.
pub const OPEN_PATH: &str = "/v1/session/open";

/// Path of the report that a session is over.
pub const CLOSE_PATH: &str = "/v1/session/close";

/// Path of the report that sessions were left out.
pub const LEFT_OUT_PATH: &str = "/v1/session/left-out";

/// The variable of the PAM environment in which the module keeps the reference of the login for the session that
/// follows. It reaches the environment of the session, too, and is no secret.
pub const LOGIN_VARIABLE: &str = "POSTERN_LOGIN";

/// The variables of the PAM environment, and so of the session, that say who was let in: his login name, his e-mail address
/// and the reference of the login. They are there only where a verifier knows the person, and prove nothing by themselves:
/// a user can set them too. None of them is a secret.
pub const PERSON_VARIABLE: &str = "POSTERN_PERSON";
/// See [`PERSON_VARIABLE`].
pub const EMAIL_VARIABLE: &str = "POSTERN_PERSON_EMAIL";
/// See [`PERSON_VARIABLE`].
pub const REFERENCE_VARIABLE: &str = "POSTERN_REFERENCE";

/// The folder of a host in which programs lie that may record its sessions. A verifier chooses among what the host's own
/// root has put there; it cannot name another program (docs/decisions/0027).
pub const RECORDERS: &str = "/etc/postern/recorders";

/// Most words of a recorder's command, its program included.
pub const RECORDER_WORDS_MAX: usize = 16;

/// Longest word of a recorder's command in bytes.
pub const RECORDER_WORD_BYTES_MAX: usize = 255;

/// Longest text that is kept of a session, in bytes; what is longer is cut. As long as the longest user name, host name
/// and terminal of Linux.
pub const TEXT_BYTES_MAX: usize = 255;

/// Largest report in bytes: five texts as long as the module sends them (`FIELD_BYTES_MAX` of the login), a user, and
/// the names around. What is larger is no report.
pub const REPORT_BYTES_MAX: usize = 8 * 1024;

/// Most sessions that one answer to a host's report names: 256 of at most 160 bytes are two thirds of the largest
/// body.
pub const NAMED_MAX: usize = 256;

/// The process that a session lives as long as. A number of a process is used again; with its start it is not, as long
/// as the machine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leader {
    /// Its number.
    pub pid: i32,
    /// When it started, in ticks since the machine did (proc_pid_stat(5), field 22).
    pub start: u64,
}

/// A session has begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenSession {
    /// [`crate::API_VERSION`].
    pub api_version: u16,
    /// 32 lower-case hexadecimal digits, random: names the session from now on.
    pub session: String,
    /// Whose (PAM_USER).
    pub user: String,
    /// The PAM service.
    pub service: String,
    /// Where from; absent when local.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rhost: Option<String>,
    /// PAM_TTY.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tty: Option<String>,
    /// PAM_RUSER.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ruser: Option<String>,
    /// The reference of the login that led here; absent where none did, as with a key alone. It counts only if the
    /// trail has that login, of the same user, service and host, and from a few minutes before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,
    /// The machine's start (`/proc/sys/kernel/random/boot_id`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<String>,
    /// Who ends last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<Leader>,
    /// How many seconds ago: an agent says it that could not say all of this at once.
    #[serde(default)]
    pub ago_seconds: u64,
}

/// A session is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CloseSession {
    /// [`crate::API_VERSION`].
    pub api_version: u16,
    /// Which.
    pub session: String,
    /// Whether nobody said so: its leader is gone.
    #[serde(default)]
    pub is_lost: bool,
    /// As in [`OpenSession::ago_seconds`].
    #[serde(default)]
    pub ago_seconds: u64,
    /// Whether it was to be recorded and was not: its recorder did not start.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_unrecorded: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks in this form")]
fn is_false(said: &bool) -> bool {
    !said
}

/// What is to record a session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recording {
    /// Whoever answers cannot tell: it is older, or has not heard it yet.
    #[default]
    Unknown,
    /// Nothing.
    Off,
    /// A program of the host.
    By(Recorder),
}

impl Recording {
    /// Whether nobody can tell.
    pub fn is_unknown(&self) -> bool {
        *self == Self::Unknown
    }
}

/// A program that starts and ends the recording of sessions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorder {
    /// The program's path, in [`RECORDERS`], and its arguments.
    pub command: Vec<String>,
    /// What becomes of a session whose recorder does not start.
    pub on_failure: RecorderFailure,
}

/// What becomes of a session whose recorder does not start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecorderFailure {
    /// There is none.
    #[default]
    Refuse,
    /// It goes on without.
    Continue,
}

/// An agent has left sessions out: more was said of them than it could tell. An agent that hears no answer says it again,
/// so a count may be told twice, and never not at all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionsLeftOut {
    /// [`crate::API_VERSION`].
    pub api_version: u16,
    /// How many since it was said last.
    pub count: u64,
    /// Whose was left out last; who asked, where that is another one than the account.
    pub user: String,
}

/// It was heard that sessions were left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOutNoted {
    /// [`crate::API_VERSION`].
    pub api_version: u16,
}

/// It was heard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionNoted {
    /// [`crate::API_VERSION`].
    pub api_version: u16,
    /// The session that was spoken of.
    pub session: String,
    /// What is to record it; of its begin alone.
    #[serde(default, skip_serializing_if = "Recording::is_unknown")]
    pub recording: Recording,
}

/// A begin that was not written down, with an error status. It is to be recorded all the same: nobody gets rid of a recorder
/// by filling the list.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SessionNotNoted {
    /// As in every error answer.
    pub error: ErrorDetail,
    /// As in [`SessionNoted::recording`].
    #[serde(default, skip_serializing_if = "Recording::is_unknown")]
    pub recording: Recording,
}

/// A session that a verifier takes for open, and asks its host about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedSession {
    /// Which.
    pub session: String,
    /// As in [`OpenSession::boot`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<String>,
    /// As in [`OpenSession::leader`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<Leader>,
}
