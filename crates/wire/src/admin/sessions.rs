//! Who is in.

use serde::{Deserialize, Serialize};

/// A session that is open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Session {
    /// Which: 32 lower-case hexadecimal digits.
    pub id: String,
    /// The account.
    pub user: String,
    /// The PAM service.
    pub service: String,
    /// At which host of the fleet; absent on the verifier's own machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Where from; absent when local.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rhost: Option<String>,
    /// Which terminal; `ssh` under sshd.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tty: Option<String>,
    /// Who asked for it (PAM_RUSER), under `su` and `sudo`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ruser: Option<String>,
    /// Since when, RFC 3339 in UTC.
    pub since: String,
    /// The login that led to it; absent where there was none, as with a key alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<SessionLogin>,
}

/// The login that led to a session, as the audit trail has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SessionLogin {
    /// Its reference, as `postern explain` takes it.
    pub reference: String,
    /// Why it was decided as it was: `accepted`, `recovery_code`, `otp_off`, `remembered`, ...
    pub reason: String,
    /// The serial number of the token whose code was accepted; absent where none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The person who was let in, by his login name; absent where it is not known, as where a token is all that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
    /// Where mails to him went when the session began; absent where there was nothing to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
}

/// Most sessions of one answer. Two kilobytes each where a host says the longest there is, seldom a fourth of it.
pub const SESSIONS_PAGE_MAX: usize = 1_000;

/// Open sessions, the longest first.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SessionList {
    /// [`crate::API_VERSION`].
    pub api_version: u16,
    /// Always `session_list`.
    pub kind: String,
    /// At most [`SESSIONS_PAGE_MAX`] sessions.
    pub items: Vec<Session>,
    /// Where there are more: what to ask for as `after`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A session of one's own that somebody else began, as its user says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SessionReported {
    /// The session.
    pub session: Session,
    /// Of the record that tells of it.
    pub reference: String,
}
