//! Policy: what holds where, what a login would meet, and how far a roll-out is.

use serde::{Deserialize, Serialize};

/// What follows where an access rule holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Then {
    /// Refused, whatever the code.
    Deny,
    /// A code; who has no token associates one.
    RequireToken,
    /// A code, any that the user has.
    RequireAnyOtp,
    /// Nothing is asked.
    Allow,
}

/// How far what is decided is enforced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum RolloutMode {
    /// Whoever would be refused is let in, and it is recorded.
    Observe,
    /// Whoever has not activated a token may go without.
    Grace,
    /// As it is decided.
    Enforce,
}

/// What holds at a host.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Policy {
    /// [`crate::API_VERSION`].
    pub api_version: u16,
    /// Always `policy`.
    pub kind: String,
    /// The host; absent for the verifier's own machine and the API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Its group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Every setting that hosts and groups may have of their own.
    pub settings: Vec<EffectiveSetting>,
    /// The access rules that may decide there, in order.
    pub rules: Vec<AccessRule>,
}

/// A setting, and who says so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EffectiveSetting {
    /// As the configuration calls it.
    pub name: String,
    /// As the configuration writes it.
    pub value: String,
    /// `host web1`, `group web`, or `default`.
    pub source: String,
}

/// An access rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AccessRule {
    /// What records call it.
    pub name: String,
    /// What follows.
    pub then: Then,
    /// Its conditions, all of which must hold: `source 192.0.2.0/24`, `time mon-fri 08:00-18:00 UTC`; none where it
    /// always holds.
    pub conditions: Vec<String>,
}

/// What a login would meet.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PolicyTrial {
    /// [`crate::API_VERSION`].
    pub api_version: u16,
    /// Always `policy_trial`.
    pub kind: String,
    /// The account.
    pub user: String,
    /// The host; absent for the verifier's own machine and the API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Its group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The PAM service.
    pub service: String,
    /// Where from; absent for a login without a remote host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// When, RFC 3339.
    pub at: String,
    /// The access rule that decides; absent where none holds and the settings decide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// What follows from it; absent too where nobody can tell whether it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub then: Option<Then>,
    /// How far it is enforced.
    pub rollout: RolloutMode,
    /// What the login is asked.
    pub demand: Demanded,
    /// The reason that the record would have, where no answer decides: `otp_off`, `denied_by_rule`, ...
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// What a login is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Demanded {
    /// Nothing: let in.
    Nothing,
    /// A code.
    Code,
    /// A code, and an empty answer will do.
    CodeOrNothing,
    /// To take over the secret of an authenticator app, and a code of it.
    Enrolment,
    /// The same, and an empty answer will do.
    EnrolmentOrNothing,
    /// The serial number of a token, and a code of it.
    Association,
    /// The same, and an empty answer will do.
    AssociationOrNothing,
    /// A password that was issued on request, or a request for one.
    Request,
    /// The same, and an empty answer will do.
    RequestOrNothing,
    /// Login name and password of a person.
    Secondary,
    /// The same, and an empty answer will do.
    SecondaryOrNothing,
    /// A code, and only a recovery code is right.
    RecoveryCode,
    /// A code, and none is right.
    Refusal,
}

/// How far the roll-out is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RolloutStatus {
    /// [`crate::API_VERSION`].
    pub api_version: u16,
    /// Always `rollout_status`.
    pub kind: String,
    /// The default first, then groups, then hosts with a roll-out of their own.
    pub items: Vec<RolloutPlace>,
    /// When the oldest login that was looked at happened, RFC 3339; absent where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
}

/// How far it is in one place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RolloutPlace {
    /// `default`, `group web`, or `host web1`. Each login counts in the nearest of them.
    pub place: String,
    /// What holds at present.
    pub mode: RolloutMode,
    /// The day from whose beginning on it is enforced, in UTC; absent where the file says no day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// How many days are left, the present one counted in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days_left: Option<u64>,
    /// Users who logged in or tried to.
    pub users: u64,
    /// Those of them who have a token that works and have shown a code of it.
    pub with_token: u64,
    /// Logins that were let in, and would have been refused if it were enforced.
    pub would_be_refused: u64,
}
