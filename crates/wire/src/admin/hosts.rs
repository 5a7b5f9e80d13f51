//! Hosts of the fleet, as administrators see them.

use serde::{Deserialize, Serialize};

/// Where a host stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum HostState {
    /// It has a name and may join.
    Pending,
    /// It has joined.
    Active,
    /// It is refused, for ever.
    Revoked,
}

/// A host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Host {
    /// [`crate::API_VERSION`].
    pub api_version: u16,
    /// Always `host`.
    pub kind: String,
    /// Its id, a UUID.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Names that it had before. Nobody else gets them.
    pub former_names: Vec<String>,
    /// Its group, where it is in one.
    pub group: Option<String>,
    /// Where it stands.
    pub state: HostState,
    /// When its name was made, RFC 3339 in UTC.
    pub created: String,
    /// When it joined last.
    pub joined: Option<String>,
    /// When it was revoked.
    pub revoked: Option<String>,
    /// Until when the present join secret is good, where there is one that is.
    pub join_until: Option<String>,
    /// When its certificate ends.
    pub certificate_until: Option<String>,
    /// When it was heard of last, since the verifier started.
    pub last_seen: Option<String>,
    /// How many connections it has open.
    pub connections: u32,
    /// The version of its agent, as it said itself.
    pub agent_version: Option<String>,
    /// How far its clock is ahead of the verifier's, in seconds, as it said itself.
    pub clock_ahead_seconds: Option<i64>,
    /// What it is called at its prompt while it reaches no verifier: two groups of five characters, the same for ever.
    #[serde(default)]
    pub host_code: String,
    /// Until when offline passwords that were used there let somebody in, as it said itself; RFC 3339 in UTC.
    #[serde(default)]
    pub frozen_until: Option<String>,
}

/// All hosts, by name.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HostList {
    /// [`crate::API_VERSION`].
    pub api_version: u16,
    /// Always `host_list`.
    pub kind: String,
    /// The hosts.
    pub items: Vec<Host>,
}

/// Makes a name for a host, or lets one join again.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(example = json!({"name": "web-1.example.org", "group": "web"})))]
#[serde(deny_unknown_fields)]
pub struct EnrolHost {
    /// Its name.
    pub name: String,
    /// Its group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Whether it may have joined already: it was installed anew, say. Its present certificate is good until it joins.
    #[serde(default)]
    pub again: bool,
}

/// What lets a host join, told once.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JoinSecret {
    /// [`crate::API_VERSION`].
    pub api_version: u16,
    /// Always `join_secret`.
    pub kind: String,
    /// The host.
    pub host: Host,
    /// The secret, as `postern-agent join` takes it.
    pub secret: String,
    /// Until when, RFC 3339 in UTC.
    pub until: String,
    /// Where agents find this verifier, one URL for each of its names.
    #[serde(default)]
    pub verifiers: Vec<String>,
}

/// Another name for a host.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RenameHost {
    /// The new name.
    pub name: String,
}

/// Another group for a host.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SetGroup {
    /// The group; absent for none.
    pub group: Option<String>,
}
