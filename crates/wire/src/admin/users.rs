//! Users, what is demanded of them, their recovery codes, and who the caller is.

use serde::{Deserialize, Serialize};

use super::tokens::{TokenState, TokenType};

/// All users that Postern knows.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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
    /// The user's tokens, in the order in which they are tried.
    pub tokens: Vec<UserToken>,
    /// How many recovery codes are left; absent when none were ever made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery_codes_left: Option<u32>,
}

/// A token as shown with its user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UserToken {
    /// Serial number.
    pub serial: String,
    /// Event- or time-based.
    #[serde(rename = "type")]
    pub token_type: TokenType,
    /// Whether its secret was drawn for an authenticator app: a login shows it until a code was given.
    pub is_app: bool,
    /// Where it is in its life.
    pub state: TokenState,
}

/// A switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum OnOff {
    /// On.
    On,
    /// Off.
    Off,
}

/// Turns the demand for a one-time password on or off. Off wipes the secret of an authenticator app; hardware
/// tokens become available.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(example = json!({"otp": "on"})))]
#[serde(deny_unknown_fields)]
pub struct SetOtp {
    /// The wish. Asking for what is so already changes nothing.
    pub otp: OnOff,
    /// How the user enrols when it is turned on and he has no token; absent: as configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enrol_with: Option<EnrolWith>,
}

/// How a user without a token gets one at the login prompt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum EnrolWith {
    /// A QR code for an authenticator app.
    #[default]
    App,
    /// The serial number and a code of a token that he was handed.
    Token,
}

/// What was cleared for a user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Unlocked {
    /// The Unix account.
    pub user: String,
    /// Counts of wrong codes that were cleared: sources that no longer wait.
    pub counts_cleared: u32,
    /// Tokens that too many wrong codes had disabled, and that work again.
    pub tokens_enabled: Vec<String>,
}

/// Proves that a user who acts for himself holds a token. An administrator needs none.
#[derive(Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// A one-time password of one of his tokens; it is used up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

/// How many recovery codes a user has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RecoveryStatus {
    /// The Unix account.
    pub user: String,
    /// How many are left.
    pub left: u32,
    /// When they were made; absent when none were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<String>,
    /// Whether they wait for an administrator (`postern store settle`) after an unclean stop.
    pub waiting: bool,
}

/// A new set of recovery codes; the ones before are void. Told once and kept nowhere.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RecoveryCodes {
    /// The Unix account.
    pub user: String,
    /// `XXXX-XXXX-XXXX-XXXX` each: 80 random bits in Crockford's base 32.
    pub codes: Vec<String>,
}

/// Who the caller is, as the kernel says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SelfInfo {
    /// The Unix account of the caller.
    pub name: String,
    /// What he may do.
    pub role: Role,
    /// What Postern knows of him; absent when nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<User>,
}

/// What a caller may do. Whoever has no other role is a user, who sees and changes what is his own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Self-service.
    User,
    /// Reads everything.
    Auditor,
    /// Re-syncs, unlocks, marks lost, associates.
    Helpdesk,
    /// The same, and makes passwords for hosts that are cut off.
    OfflineAdmin,
    /// Everything but the store.
    Admin,
    /// Everything: root.
    Super,
}

impl Role {
    /// All of them; each has the rights of those before it, but for the auditor's.
    pub const ALL: [Self; 6] =
        [Self::User, Self::Auditor, Self::Helpdesk, Self::OfflineAdmin, Self::Admin, Self::Super];

    /// The word for it, as messages and the configuration have it.
    pub fn word(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Auditor => "auditor",
            Self::Helpdesk => "helpdesk",
            Self::OfflineAdmin => "offline_admin",
            Self::Admin => "admin",
            Self::Super => "super",
        }
    }
}
