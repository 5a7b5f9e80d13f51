//! Passwords that a host checks alone.

use serde::{Deserialize, Serialize};

/// Which logins a password is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum OfflineScope {
    /// Those of one PAM service.
    Service,
    /// All.
    AllServices,
    /// Those of services that only move files.
    FileTransfer,
    /// None: it ends a wait after wrong tries.
    LockoutReset,
}

/// What is known to have become of a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum OfflineState {
    /// Nobody has heard of its use, and its time is not over.
    Open,
    /// Its host says that it was used.
    Used,
    /// It was revoked. Its host hears of that when it reaches a verifier.
    Revoked,
    /// Nobody has heard of its use, and its time is over.
    Expired,
    /// Its host has another key since: it opens nothing.
    Void,
}

/// Wishes for a password.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(example = json!({"host": "web-1.example.org", "user": "alice", "scope": "all_services", "valid_for": "2h", "why": "the line is cut"})))]
#[serde(deny_unknown_fields)]
pub struct NewOfflinePassword {
    /// The host, by its name or by the code that it shows at its prompt.
    pub host: String,
    /// The one Unix account; absent for every one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Which logins.
    pub scope: OfflineScope,
    /// The PAM service, with the scope `service` and no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// For how long it lets in from its use on: 15m, 30m, 1h, 2h, 4h, 8h, 1d, 2d, 5d, 14d or 30d. It has to be used on the
    /// present day of the host then. Absent with a start and an end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_for: Option<String>,
    /// When it begins to count: `2026-11-23T16:00` by the clocks of `time_zone`, or with `Z` or `+01:00`; absent: now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// When it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// `host`, `server`, or a name of the IANA database: whose clocks times and days are meant by; absent: the host's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// A moment at two places.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BothClocks {
    /// RFC 3339 in UTC.
    pub utc: String,
    /// By the clocks of the host, with how far they are from UTC.
    pub host: String,
    /// By those of the verifier.
    pub server: String,
}

/// A password, without itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OfflinePassword {
    /// Names it for ever: `KEY-NUMBER@HOST`, with the number of the host's key and its own under it.
    pub id: String,
    /// The host, under its present name.
    pub host: String,
    /// The one Unix account; absent for every one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Which logins.
    pub scope: OfflineScope,
    /// The PAM service, where it is for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// For how many minutes it lets in from its use on; absent where it has a start and an end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minutes: Option<u64>,
    /// When it begins to count; absent where that is when it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<BothClocks>,
    /// Until when it can be used; with a start and an end, also when what it gives ends.
    pub until: BothClocks,
    /// The host's time zone, as it said itself; absent where it has not: then its clocks are taken for the verifier's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_time_zone: Option<String>,
    /// What became of it.
    pub state: OfflineState,
    /// Why it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Who made it.
    pub made_by: String,
    /// When, RFC 3339 in UTC.
    pub made: String,
    /// Its use; absent where nobody has heard of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<OfflineUsed>,
    /// Who revoked it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_by: Option<String>,
}

/// The use of a password, as its host tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OfflineUsed {
    /// The Unix account.
    pub user: String,
    /// The PAM service.
    pub service: String,
    /// When, by the host's clock, RFC 3339 in UTC.
    pub at: String,
    /// When what it gave ends.
    pub until: String,
}

/// A password that was made. Told once and kept nowhere.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MadeOfflinePassword {
    /// What it is.
    pub made: OfflinePassword,
    /// Itself: 15 or 20 characters of Crockford's base 32 in groups of five.
    pub password: String,
}

/// Passwords, the newest first.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OfflinePasswordList {
    /// [`crate::API_VERSION`].
    pub api_version: u16,
    /// Always `offline_password_list`.
    pub kind: String,
    /// The passwords.
    pub items: Vec<OfflinePassword>,
}
