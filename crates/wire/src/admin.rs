//! What the `postern` command asks of `verifierd` on the admin socket.
//!
//! | request | answer |
//! | --- | --- |
//! | `GET /v1/users` | [`UserList`] |
//! | `GET /v1/users/{name}` | [`User`] |
//! | `PUT /v1/users/{name}/otp` with [`SetOtp`] | [`User`] |
//! | `GET /v1/tokens` | [`TokenList`] |
//! | `GET /v1/tokens/{serial}` | [`Token`] |
//! | `POST /v1/tokens/{serial}/disable` | [`Token`] |
//! | `GET /v1/decisions/{reference}` | [`Decision`] |
//! | `GET /v1/audit?after=N&limit=M` | [`AuditPage`] |
//! | `GET /v1/audit/verify` | [`AuditCheck`] |
//! | `GET /v1/status` | [`Status`] |
//! | `POST /v1/store/settle` | [`Status`] |
//!
//! Errors are [`crate::error::ErrorBody`]. Times are RFC 3339 in UTC. No answer holds a secret.

use serde::{Deserialize, Serialize};

/// Most audit records in one page.
pub const AUDIT_PAGE_MAX: u32 = 1_000;

/// All users that Postern knows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UserList {
    /// [`crate::API_VERSION`].
    pub api_version: u16,
    /// Always `user_list`.
    pub kind: String,
    /// Sorted by name.
    pub items: Vec<User>,
}

/// One user and what is demanded of him.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The Unix account.
    pub name: String,
    /// Whether a one-time password is demanded.
    pub otp: OnOff,
    /// Whether a login succeeded with a code of the present token.
    pub activated: bool,
    /// Until when the user may log in without a code although `otp` is on; absent when there is no such time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_until: Option<String>,
    /// How many logins without a code are left; absent when they are not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_logins_left: Option<u32>,
    /// When the last login was accepted; absent when there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_login: Option<String>,
    /// Serials of the user's tokens.
    pub tokens: Vec<String>,
}

/// A switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnOff {
    /// On.
    On,
    /// Off.
    Off,
}

/// Turns the demand for a one-time password on or off. On makes a new secret, off wipes it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetOtp {
    /// The wish. Asking for what is so already changes nothing.
    pub otp: OnOff,
}

/// All tokens.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TokenList {
    /// [`crate::API_VERSION`].
    pub api_version: u16,
    /// Always `token_list`.
    pub kind: String,
    /// Sorted by serial.
    pub items: Vec<Token>,
}

/// One token. Its secret is nowhere in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Serial number, unique for ever.
    pub serial: String,
    /// The user it belongs to.
    pub user: String,
    /// `totp`.
    #[serde(rename = "type")]
    pub token_type: String,
    /// `SHA1`, `SHA256` or `SHA512`.
    pub algorithm: String,
    /// 6, 7 or 8.
    pub digits: u8,
    /// Seconds per time step.
    pub time_interval: u32,
    /// Where the token is in its life.
    pub state: TokenState,
    /// Wrong codes in a row.
    pub failures: u32,
    /// When it was made.
    pub created: String,
    /// When a code of it was last accepted; absent when none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_accepted: Option<String>,
}

/// Where a token is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenState {
    /// Belongs to a user, who has not shown yet that he holds it.
    Assigned,
    /// A code of it was accepted: usable.
    Associated,
    /// Never accepted again.
    Disabled,
}

/// One decision, explained to an administrator.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Decision {
    /// [`crate::API_VERSION`].
    pub api_version: u16,
    /// Always `decision`.
    pub kind: String,
    /// The audit record of the decision.
    pub record: AuditRecord,
}

/// One audit record. It is kept in this form too, without the two fields that the ledger keeps beside it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct AuditRecord {
    /// Position in the chain, from 1; absent in what is kept.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub sequence: u64,
    /// When, RFC 3339.
    pub at: String,
    /// `XXXX-XXXX`; absent in what is kept.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reference: String,
    /// What happened: `login`, `user_otp_on`, `user_otp_off`, `token_disabled`, `service_started`, ...
    pub event: String,
    /// `allow`, `deny`, `not_required`, `unavailable`; absent for events that decide nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
    /// Why, in one word: `accepted`, `replayed`, `wrong_code`, `throttled`, ...
    pub reason: String,
    /// Why, for people: `clock +94 s`, `used 12 s ago`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The PAM service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Where from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rhost: Option<String>,
    /// Which terminal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tty: Option<String>,
    /// Who asked (PAM_RUSER).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ruser: Option<String>,
    /// Which token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// How many refusals like this one it stands for, itself not counted (throttled ones are not kept one by one).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeats: Option<u64>,
}

fn is_zero(sequence: &u64) -> bool {
    *sequence == 0
}

/// A stretch of the audit trail, oldest first.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AuditPage {
    /// [`crate::API_VERSION`].
    pub api_version: u16,
    /// Always `audit_page`.
    pub kind: String,
    /// At most [`AUDIT_PAGE_MAX`] records.
    pub items: Vec<AuditRecord>,
    /// Sequence of the newest record that the trail holds.
    pub newest: u64,
}

/// What a walk along the whole chain found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AuditCheck {
    /// [`crate::API_VERSION`].
    pub api_version: u16,
    /// Always `audit_check`.
    pub kind: String,
    /// Whether every record carries the right chain value.
    pub whole: bool,
    /// How many records were read.
    pub records: u64,
    /// Where the chain breaks, in words; absent when it is whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broken: Option<String>,
    /// The chain value of the newest record, hexadecimal.
    pub head: String,
}

/// How the daemon is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// [`crate::API_VERSION`].
    pub api_version: u16,
    /// Always `status`.
    pub kind: String,
    /// The daemon's version.
    pub version: String,
    /// Whether logins are decided.
    pub ready: bool,
    /// Why not, or what is degraded; empty when all is well.
    pub reasons: Vec<String>,
    /// When it started.
    pub started: String,
    /// How many users Postern knows.
    pub users: u64,
    /// How many tokens it holds.
    pub tokens: u64,
    /// One-time passwords compared since the start.
    pub codes_evaluated: u64,
    /// Logins accepted since the start.
    pub accepted: u64,
    /// Logins refused since the start.
    pub refused: u64,
    /// How the store was found at the start: `clean`, `unclean`, `short`.
    pub store_start: String,
}
