//! Offline passwords, between a host and its verifiers: what the host needs to check them, and what became of them there.
//!
//! `POST /v1/host/offline` with [`OfflineReport`] at the fleet's listener, answered with [`OfflineOrders`]. Said again it
//! changes nothing, so a host that got no answer says the same once more. The answer may carry a key: an agent asks for a
//! sealed one ([`crate::fleet::REPLY_KEY_HEADER`]).

use std::fmt;

use serde::{Deserialize, Serialize};

/// Path of the report.
pub const OFFLINE_PATH: &str = "/v1/host/offline";

/// Counters from here on are no password's: they number the uses of universal ones, whatever their hour.
pub const UNIVERSAL_FROM: u64 = 1 << 63;

/// Most uses of one report. More are told in the next one.
pub const USES_MAX: usize = 256;

/// Most counters that an answer revokes: those that a host could take for unused ones lie within this many.
pub const REVOKED_MAX: usize = 256;

/// Longest name of a time zone in bytes; the longest of the IANA database has 32.
pub const TIME_ZONE_BYTES_MAX: usize = 64;

/// How a host stands to its offline passwords.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OfflineReport {
    /// [`crate::API_VERSION`].
    pub api_version: u16,
    /// The number of the key that it can check with; absent where it has none, or where what it kept is missing, damaged or
    /// older than it was: it needs another key then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u32>,
    /// How often what it keeps under that key has changed. A lower number than before tells of a machine that was put back, or
    /// of two that share a key.
    #[serde(default)]
    pub generation: u64,
    /// The highest counter of that key that it takes for used, or revoked: it tells 128 beyond it apart.
    #[serde(default)]
    pub highest: u64,
    /// Its time zone by its name in the IANA database; absent where it does not know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// Passwords of that key that were used, and of which no verifier has said that it noted them. At most [`USES_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uses: Vec<OfflineUse>,
}

/// A password that was used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OfflineUse {
    /// Which; [`UNIVERSAL_FROM`] and beyond for the universal password, with a number that the host gives each use.
    pub counter: u64,
    /// The Unix account of that login.
    pub user: String,
    /// Its PAM service.
    pub service: String,
    /// When, by the host's clock, in seconds since the Unix epoch.
    pub at: u64,
    /// When what it gave ends.
    pub until: u64,
}

/// What holds at a host from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfflineOrders {
    /// [`crate::API_VERSION`].
    pub api_version: u16,
    /// The host's id; an agent compares it with its own.
    pub host: String,
    /// The verifier's clock, seconds since the Unix epoch: what the host's own is worth, nobody knows.
    pub clock: u64,
    /// Whether it checks any.
    pub is_enabled: bool,
    /// Another key; what was made and used under the one before is over. Absent where the present one goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<OfflineKey>,
    /// Counters of [`OfflineReport::uses`] that are on record: the host need not tell them again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub noted: Vec<u64>,
    /// Counters of the host's present key that open nothing any more, because they were used or revoked, or their time is
    /// over. At most [`REVOKED_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revoked: Vec<u64>,
    /// Counters of it that were used, and whose grants end now. At most [`REVOKED_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ended: Vec<u64>,
    /// Whether a password may end a wait after wrong tries.
    #[serde(default)]
    pub has_resets: bool,
    /// Whom somebody at the prompt can call, in one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<String>,
    /// PAM services whose logins only move files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub file_transfer_services: Vec<String>,
    /// Whether a verifier that can be reached is asked, also about logins that an offline password still lets in: what it
    /// refuses is refused then, and nothing more is asked of the others.
    #[serde(default)]
    pub asks_within_grants: bool,
    /// What checks the password of an hour that is for every host; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub universal: Option<OfflineAnchor>,
}

/// What checks universal passwords, and can make none: the link of an hour that is over.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfflineAnchor {
    /// What its chain is salted with: 16 bytes in base 64 (RFC 4648 §4).
    pub fleet: String,
    /// Hours since 1970.
    pub hour: u64,
    /// The link: 16 bytes in base 64, the first of them 0.
    pub link: String,
}

impl fmt::Debug for OfflineAnchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OfflineAnchor {{ hour: {}, .. }}", self.hour)
    }
}

/// A host's key. Both ends wipe it when they are done with it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfflineKey {
    /// Its number.
    pub epoch: u32,
    /// 32 bytes in base 64 (RFC 4648 §4).
    pub key: String,
}

impl fmt::Debug for OfflineKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OfflineKey {{ epoch: {}, .. }}", self.epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_never_told_by_debug() {
        let key = OfflineKey { epoch: 3, key: "c2VjcmV0".into() };
        assert_eq!(format!("{key:?}"), "OfflineKey { epoch: 3, .. }");
    }
}
