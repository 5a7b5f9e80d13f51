//! Who has to wait after wrong codes.

use serde::{Deserialize, Serialize};

/// A count of wrong codes that makes somebody wait.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Ban {
    /// Which, as `lift` takes it: ten hexadecimal digits.
    pub id: String,
    /// The account that was tried; absent where all are counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The host of the fleet where; absent where all are counted, and on the verifier's own machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Where the tries came from: `local`, `address 192.0.2.1`, `network 2001:db8::/64`, `name gw.example.org`; absent
    /// where all places that are not usual for the user are counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Wrong codes in a row.
    pub failures: u32,
    /// Until when, RFC 3339 in UTC.
    pub until: String,
}

/// Everybody who has to wait at the moment, the longest wait first.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BanList {
    /// [`crate::API_VERSION`].
    pub api_version: u16,
    /// Always `ban_list`.
    pub kind: String,
    /// The counts.
    pub items: Vec<Ban>,
}

/// A ban that was lifted.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Lifted {
    /// Which.
    pub id: String,
    /// Whose tries it counted, as in [`Ban`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// As in [`Ban`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// As in [`Ban`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
}
