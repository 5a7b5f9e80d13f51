//! What the `postern` command asks of `verifierd`, on the admin socket (root) or the user socket (everybody).
//!
//! | request | answer |
//! | --- | --- |
//! | `GET /v1/self` | [`SelfInfo`] |
//! | `GET /v1/users` | [`UserList`] |
//! | `GET /v1/users/{name}` | [`User`] |
//! | `PUT /v1/users/{name}/otp` with [`SetOtp`] | [`User`] |
//! | `POST /v1/users/{name}/unlock` | [`Unlocked`] |
//! | `GET /v1/users/{name}/recovery` | [`RecoveryStatus`] |
//! | `POST /v1/users/{name}/recovery` with [`Proof`] | [`RecoveryCodes`] |
//! | `GET /v1/tokens?state=S&user=U` | [`TokenList`] |
//! | `POST /v1/tokens` with [`NewToken`] | [`Token`] |
//! | `GET /v1/tokens/{serial}` | [`Token`] |
//! | `DELETE /v1/tokens/{serial}` | [`Token`], as it was |
//! | `POST /v1/tokens/{serial}/assign` with [`Assign`] | [`Token`] |
//! | `POST /v1/tokens/{serial}/associate` with [`Associate`] | [`Token`] |
//! | `POST /v1/tokens/{serial}/resync` with [`Resynchronize`] | [`Token`] |
//! | `POST /v1/tokens/{serial}/test` with [`Test`] | [`CodeCheck`] |
//! | `POST /v1/tokens/{serial}/disassociate` with [`Proof`] | [`Disassociated`] |
//! | `POST /v1/tokens/{serial}/disable` | [`Token`] |
//! | `POST /v1/tokens/{serial}/lost` | [`Token`] |
//! | `POST /v1/tokens/{serial}/enable` | [`Token`] |
//! | `POST /v1/imports` with [`NewImport`] | [`Import`] |
//! | `POST /v1/imports/{id}/rows` with [`ImportRows`] | [`ImportCheck`] |
//! | `POST /v1/imports/{id}/finish` | [`Imported`] |
//! | `DELETE /v1/imports/{id}` | [`Imported`], with no tokens |
//! | `GET /v1/hosts` | [`HostList`] |
//! | `POST /v1/hosts` with [`EnrolHost`] | [`JoinSecret`] |
//! | `GET /v1/hosts/{name}` | [`Host`] |
//! | `POST /v1/hosts/{name}/revoke` | [`Host`] |
//! | `POST /v1/hosts/{name}/rename` with [`RenameHost`] | [`Host`] |
//! | `PUT /v1/hosts/{name}/group` with [`SetGroup`] | [`Host`] |
//! | `GET /v1/persons` | [`PersonList`] |
//! | `POST /v1/persons` with [`NewPerson`] | [`Person`] |
//! | `GET /v1/persons/{name}` | [`Person`] |
//! | `PUT /v1/persons/{name}` with [`SetPerson`] | [`Person`] |
//! | `DELETE /v1/persons/{name}` | [`Person`], as he was |
//! | `DELETE /v1/persons/{name}/keys` | [`Person`], without security keys |
//! | `PUT /v1/persons/{name}/password` with [`SetPassword`] | [`Person`] |
//! | `POST /v1/persons/{name}/share` with [`ShareAccount`] | [`Person`] |
//! | `POST /v1/persons/{name}/unshare` with [`ShareAccount`] | [`Person`] |
//! | `GET /v1/keys?person=LOGIN` | [`PersonKeyList`] |
//! | `POST /v1/keys` with [`NewPersonKey`] | [`MadePersonKey`] |
//! | `DELETE /v1/keys/{id}` | [`PersonKey`], as it was |
//! | `GET /v1/policy?host=H&user=U&service=S` | [`Policy`] |
//! | `GET /v1/policy/try?user=U&host=H&service=S&from=IP&at=TIME` | [`PolicyTrial`] |
//! | `GET /v1/rollout` | [`RolloutStatus`] |
//! | `GET /v1/bans` | [`BanList`] |
//! | `POST /v1/bans/{id}/lift` | [`Lifted`] |
//! | `GET /v1/requests` | [`RequestList`] |
//! | `GET /v1/requests/{id}` | [`AccessRequest`] |
//! | `POST /v1/requests/{id}/approve` with [`ApproveRequest`] | [`ApprovedRequest`] |
//! | `POST /v1/requests/{id}/deny` | [`AccessRequest`] |
//! | `POST /v1/requests/{id}/cancel` | [`AccessRequest`] |
//! | `GET /v1/sessions?user=U&host=H&after=PLACE` | [`SessionList`] |
//! | `POST /v1/sessions/{id}/report` | [`SessionReported`] |
//! | `GET /v1/offline?host=H` | [`OfflinePasswordList`] |
//! | `POST /v1/offline` with [`NewOfflinePassword`] | [`MadeOfflinePassword`] |
//! | `GET /v1/offline/{id}` | [`OfflinePassword`] |
//! | `POST /v1/offline/{id}/revoke` | [`OfflinePassword`] |
//! | `GET /v1/universal` | [`Universal`] |
//! | `POST /v1/universal/enable` with [`UniversalWish`] | [`SteppedUniversal`] |
//! | `POST /v1/universal/release` with [`UniversalWish`] | [`SteppedUniversal`] |
//! | `POST /v1/universal/disable` with [`UniversalWish`] | [`SteppedUniversal`] |
//! | `GET /v1/decisions/{reference}` | [`Decision`] |
//! | `GET /v1/audit?order=O&after=N&before=N&limit=M&user=U&host=H&event=E&reference=R&text=T&since=TIME&until=TIME` | [`AuditPage`] |
//! | `GET /v1/audit/verify?witness=CHECKPOINT` | [`AuditCheck`] |
//! | `GET /v1/status` | [`Status`] |
//! | `GET /metrics` | OpenMetrics text, for Prometheus |
//! | `POST /v1/store/settle` | [`Status`] |
//!
//! Errors are [`crate::error::ErrorBody`]. Times are RFC 3339 in UTC. No answer holds a secret, but for
//! [`RecoveryCodes`], [`JoinSecret`], [`ApprovedRequest`], [`MadePersonKey`], [`MadeOfflinePassword`] and
//! [`SteppedUniversal`], which are told once.

mod audit;
mod bans;
mod hosts;
mod imports;
mod keys;
mod mails;
mod offline;
mod people;
mod policy;
mod requests;
mod sessions;
mod tokens;
mod users;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use audit::{AUDIT_PAGE_MAX, AuditCheck, AuditOrder, AuditPage, AuditRecord, Decision, WitnessCheck};
pub use bans::{Ban, BanList, Lifted};
pub use hosts::{EnrolHost, Host, HostList, HostState, JoinSecret, RenameHost, SetGroup};
pub use imports::{
    IMPORT_ROWS_MAX, IMPORT_TOKENS_MAX, Import, ImportCheck, ImportFault, ImportRow, ImportRows, Imported,
    NewImport,
};
pub use keys::{MadePersonKey, NewPersonKey, PersonKey, PersonKeyList, PersonKeyState};
pub use mails::MailProgress;
pub use offline::{
    BothClocks, MadeOfflinePassword, NewOfflinePassword, OfflineMail, OfflinePassword, OfflinePasswordList,
    OfflineScope, OfflineState, OfflineUsed, SteppedUniversal, Universal, UniversalStep, UniversalWaiting,
    UniversalWish,
};
pub use people::{NewPerson, Person, PersonList, PersonOrigin, SetPassword, SetPerson, ShareAccount};
pub use policy::{
    AccessRule, Demanded, EffectiveSetting, Policy, PolicyTrial, RolloutMode, RolloutPlace, RolloutStatus,
    Then,
};
pub use requests::{AccessRequest, ApproveRequest, ApprovedRequest, RequestList, RequestState, RequestWay};
pub use sessions::{SESSIONS_PAGE_MAX, Session, SessionList, SessionLogin, SessionReported};
pub use tokens::{
    Assign, Associate, CodeCheck, DisabledBy, Disassociated, NewToken, Resynchronize, Test, Token, TokenList,
    TokenState, TokenType,
};
pub use users::{
    EnrolWith, OnOff, Proof, RecoveryCodes, RecoveryStatus, Role, SelfInfo, SetOtp, Unlocked, User, UserList,
    UserToken,
};

/// How the daemon is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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
    /// Where the audit trail goes besides.
    #[serde(default)]
    pub sinks: Vec<SinkStatus>,
    /// Hosts of the fleet; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fleet: Option<FleetStatus>,
    /// The queue of mails; absent where none was ever to be sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mail: Option<MailStatus>,
}

/// A sink of the audit trail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SinkStatus {
    /// `journald` or `json_lines`.
    pub name: String,
    /// Records that it has not taken over.
    pub lag_records: u64,
    /// How old the oldest of them is, in seconds; 0 for none.
    pub lag_seconds: u64,
}

/// Hosts of the fleet, counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FleetStatus {
    /// Those that have never joined.
    pub pending: u64,
    /// Those that have.
    pub active: u64,
    /// Those that were revoked.
    pub revoked: u64,
    /// Connections of all of them.
    pub connections: u64,
    /// Those that are connected and whose clock is off by more than a code forgives.
    pub clocks_off: u64,
}

/// The queue of mails.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MailStatus {
    /// Mails that wait.
    pub waiting: u64,
    /// Mails that the server took since the start.
    pub sent: u64,
    /// Mails that were given up since the start.
    pub failed: u64,
}

/// Messages that hold a code or a secret tell nothing of it when they are printed.
macro_rules! debug_tells_nothing {
    ($($message:ty),*) => {$(
        impl fmt::Debug for $message {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($message)).finish_non_exhaustive()
            }
        }
    )*};
}

debug_tells_nothing!(
    Proof,
    NewPerson,
    SetPassword,
    ApprovedRequest,
    RecoveryCodes,
    NewToken,
    Associate,
    Resynchronize,
    Test,
    ImportRows,
    ImportRow,
    JoinSecret,
    NewPersonKey,
    MadePersonKey
);
