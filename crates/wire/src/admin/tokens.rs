//! Tokens: what is shown of them, and what can be done with them.

use serde::{Deserialize, Serialize};

use super::users::OnOff;

/// All tokens.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Token {
    /// Serial number, unique for ever.
    pub serial: String,
    /// The user it belongs to; absent while it is available.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Event- or time-based.
    #[serde(rename = "type")]
    pub token_type: TokenType,
    /// `SHA1`, `SHA256` or `SHA512`.
    pub algorithm: String,
    /// 6, 7 or 8.
    pub digits: u8,
    /// Seconds per time step, for TOTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_interval: Option<u32>,
    /// The event counter expected next, for HOTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counter: Option<u64>,
    /// By how many time steps its clock is known to be ahead (behind, when negative), for TOTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_drift: Option<i32>,
    /// Where the token is in its life.
    pub state: TokenState,
    /// Why it is disabled; absent when it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled_by: Option<DisabledBy>,
    /// Wrong codes in a row.
    pub failures: u32,
    /// When it was made or imported.
    pub created: String,
    /// When its present user first showed a code of it; absent when he has not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub associated: Option<String>,
    /// When a code of it was last accepted, for TOTP; absent when none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_accepted: Option<String>,
}

/// What a token's codes follow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum TokenType {
    /// The time (RFC 6238).
    #[default]
    Totp,
    /// A counter of presses (RFC 4226).
    Hotp,
}

/// Where a token is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum TokenState {
    /// Belongs to nobody.
    Available,
    /// Belongs to a user, who has not shown yet that he holds it.
    Assigned,
    /// A code of it was accepted: usable.
    Associated,
    /// Not accepted until it is enabled again.
    Disabled,
    /// The same, because its user does not have it any more.
    Lost,
}

/// Why a token is disabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum DisabledBy {
    /// Somebody disabled it.
    Administrator,
    /// Too many wrong codes in a row.
    WrongCodes,
}

/// A token to be made: with the secret given, or a new one for an authenticator app, which its user sees at
/// his next login.
#[derive(Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(example = json!({"user": "alice"})))]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// Serial number; absent: a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// The user it belongs to. Needed where no secret is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Event- or time-based.
    #[serde(default, rename = "type")]
    pub token_type: TokenType,
    /// The secret in hexadecimal, 16 to 128 bytes; absent: a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// `SHA1` (when absent), `SHA256` or `SHA512`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<String>,
    /// 6 (when absent), 7 or 8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digits: Option<u8>,
    /// Seconds per time step, 30 when absent, for TOTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_interval: Option<u32>,
    /// The counter expected next, 0 when absent, for HOTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counter: Option<u64>,
}

/// Gives an available token to a user, who is asked for a code of it at his next login.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Assign {
    /// The Unix account.
    pub user: String,
}

/// Gives a token to a user who holds it, as a code proves. A wrong serial and a wrong code get the same answer.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(example = json!({"user": "alice", "code": "123456"})))]
#[serde(deny_unknown_fields)]
pub struct Associate {
    /// The Unix account.
    pub user: String,
    /// A code of the token; it is used up.
    pub code: String,
    /// The one after it, where the token is far out of step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_code: Option<String>,
}

/// Two successive codes of a token, from which its counter or its clock's drift is found. Both are used up.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Resynchronize {
    /// The first.
    pub code: String,
    /// The one after it.
    pub next_code: String,
}

/// A code to be checked. It is used up.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(example = json!({"code": "123456"})))]
#[serde(deny_unknown_fields)]
pub struct Test {
    /// The code.
    pub code: String,
}

/// What a test of a code found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CodeCheck {
    /// Serial number of the token.
    pub serial: String,
    /// Whether a login with it would have been accepted.
    pub right: bool,
    /// Why, as in [`super::AuditRecord::reason`].
    pub reason: String,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// For `postern explain`.
    pub reference: String,
}

/// A token that was taken from its user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Disassociated {
    /// Serial number.
    pub serial: String,
    /// The user it belonged to.
    pub user: String,
    /// Whether it is gone with its secret, as one of an authenticator app is. Otherwise it is available.
    pub wiped: bool,
    /// Whether a one-time password is still demanded of the user.
    pub otp: OnOff,
}
