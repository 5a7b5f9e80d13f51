//! Keys with which programs act for a person over HTTPS.

use serde::{Deserialize, Serialize};

use super::Role;

/// How a key stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum PersonKeyState {
    /// It opens.
    Good,
    /// Its time is over.
    Expired,
    /// Its person is not who he was when it was made: another password, another role, not let in, removed.
    Ended,
}

/// A key of a person; what opens is not in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PersonKey {
    /// Which, as `revoke` takes it: 26 characters of Crockford's base 32.
    pub id: String,
    /// Login name of its person, as it was when the key was made.
    pub login: String,
    /// What it is for.
    pub name: String,
    /// The most that it may do; never more than its person.
    pub role: Role,
    /// How it stands, as far as Postern's own records say.
    pub state: PersonKeyState,
    /// When it was made, RFC 3339 in UTC.
    pub made: String,
    /// Who made it.
    pub made_by: String,
    /// Whether that was its person: no other key decides requests.
    pub is_his_own: bool,
    /// Until when it is good.
    pub until: String,
    /// The minute of its last use since the daemon's start; absent where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used: Option<String>,
}

/// Keys, by person and name.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PersonKeyList {
    /// [`crate::API_VERSION`].
    pub api_version: u16,
    /// Always `person_key_list`.
    pub kind: String,
    /// The keys.
    pub items: Vec<PersonKey>,
}

/// A key that is wished for.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(example = json!({"login": "carol", "name": "nightly report", "valid_seconds": 7776000, "role": "auditor"})))]
#[serde(deny_unknown_fields)]
pub struct NewPersonKey {
    /// Login name of its person.
    pub login: String,
    /// What it is for: 1 to 64 characters; another name than those of his other keys.
    pub name: String,
    /// How long it is good: a minute to 366 days.
    #[cfg_attr(feature = "openapi", schema(minimum = 60, maximum = 31_622_400))]
    pub valid_seconds: u64,
    /// The most that it may do; absent: what its person may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// A one-time password of one of his tokens, from whoever makes a key of his own; it is used up. An administrator
    /// needs none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

/// A key that was made. Told once and kept nowhere.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MadePersonKey {
    /// What is kept of it.
    pub key: PersonKey,
    /// What opens: `postern_` and 43 characters.
    pub secret: String,
}
