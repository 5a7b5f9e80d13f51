//! What an agent and a verifier say to each other besides logins: joining, renewing, reporting.
//!
//! Over HTTP/2 and TLS 1.3, at the verifier's fleet listener. A host shows its certificate and asks
//!
//! | request | answer |
//! | --- | --- |
//! | `POST /v1/login/begin`, `/v1/login/continue` | as [`crate::login`], with [`crate::login::Reply::host`] |
//! | `POST /v1/verify`, `/v1/verify/batch` | as [`crate::verify`], with [`crate::verify::Verified::host`] |
//! | `POST /v1/session/open`, `/v1/session/close` | as [`crate::session`] |
//! | `POST /v1/host/renew` with [`Renew`] | [`Certified`] |
//! | `POST /v1/host/report` with [`Report`] | [`Reported`] |
//! | `POST /v1/host/offline` | as [`crate::offline`] |
//!
//! and whoever has no certificate yet `POST /v1/host/join` with [`Join`], answered with [`Joined`]. Who a host is,
//! its certificate says and nothing else: no message to a verifier names the host that sends it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::session::{NamedSession, Recording};

/// Path of a join.
pub const JOIN_PATH: &str = "/v1/host/join";

/// Path of a renewal.
pub const RENEW_PATH: &str = "/v1/host/renew";

/// Path of a report.
pub const REPORT_PATH: &str = "/v1/host/report";

/// The header in which a verifier says how far its audit trail has come, in each answer to a host, and in which a host
/// shows the newest that it has, in each request: at most [`CHECKPOINT_BYTES_MAX`] of base 64 (RFC 4648 §5), signed by
/// the verifiers of this fleet and opaque to everybody else. Of two, the one is newer whose first 12 bytes, decoded, are
/// the larger number.
pub const CHECKPOINT_HEADER: &str = "postern-checkpoint";

/// Longest checkpoint. The present form has 155 bytes.
pub const CHECKPOINT_BYTES_MAX: usize = 256;

/// The header in which a host tells a key for the answer: [`REPLY_KEY_BYTES`] random bytes in base 64 (RFC 4648 §5, without
/// padding), others in each request. A verifier seals the answer to a step of a login under it (AES-256-GCM, the nonce all
/// zero, no bound text) and says so by [`SEALED_HEADER`]; what it answers otherwise is not sealed.
pub const REPLY_KEY_HEADER: &str = "postern-reply-key";

/// Length of the key of an answer.
pub const REPLY_KEY_BYTES: usize = 32;

/// The header of an answer that is sealed.
pub const SEALED_HEADER: &str = "postern-sealed";

/// What a host's certificate names it by, followed by its id as a UUID: its one subject alternative name, a URI.
pub const HOST_URN_PREFIX: &str = "urn:postern:host:";

/// The port of the fleet listener, where nobody says otherwise. IANA has nothing there.
pub const FLEET_PORT: u16 = 7443;

/// Longest host name, group name, in bytes. A name is one DNS label or several (RFC 1123), lower case.
pub const HOST_NAME_BYTES_MAX: usize = 253;

/// Largest signing request in bytes (DER). One with an ECDSA key takes some 250.
pub const SIGNING_REQUEST_BYTES_MAX: usize = 4_096;

/// Where an agent's own `join` finds its secret: base 32 without padding of the 16 bytes that the verifier drew and of
/// the SHA-256 of its authority's certificate (DER), by which the agent knows whom it may tell them to.
pub const JOIN_SECRET_BYTES: usize = 16 + 32;

/// A host that has no certificate yet asks for one.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Join {
    /// [`crate::API_VERSION`].
    pub api_version: u16,
    /// The first 16 bytes of the join secret, as 32 lower-case hexadecimal digits.
    pub secret: String,
    /// The signing request (PKCS #10) in base 64 of its DER form. Only its public key is taken over.
    pub signing_request: String,
    /// The agent's version.
    pub agent_version: String,
}

impl fmt::Debug for Join {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Join").field("agent_version", &self.agent_version).finish_non_exhaustive()
    }
}

/// The host is one of the fleet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joined {
    /// [`crate::API_VERSION`].
    pub api_version: u16,
    /// The host's id, a random UUID; its own for ever.
    pub host: String,
    /// The name that the administrator gave it.
    pub name: String,
    /// Its certificate.
    pub certificate: Certificate,
    /// Where this very verifier is found, `https://NAME:PORT` for each of its names; empty where it does not say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub found_at: Vec<String>,
}

/// A host's certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// PEM: the host's own first, then those between it and the root, if any.
    pub chain: String,
    /// PEM: the authority that signs hosts and verifiers.
    pub authority: String,
    /// When it ends, RFC 3339 in UTC.
    pub not_after: String,
    /// When to ask for the next one, RFC 3339 in UTC: at half of its life; the agent adds a random part.
    pub renew_at: String,
}

/// A host asks for its next certificate, over a connection that shows the present one.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Renew {
    /// [`crate::API_VERSION`].
    pub api_version: u16,
    /// As [`Join::signing_request`], with a new key.
    pub signing_request: String,
}

/// The next certificate. The present one is good until the host shows the next one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certified {
    /// [`crate::API_VERSION`].
    pub api_version: u16,
    /// The host's id.
    pub host: String,
    /// The certificate.
    pub certificate: Certificate,
}

/// A host says that it is there.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// [`crate::API_VERSION`].
    pub api_version: u16,
    /// The agent's version.
    pub agent_version: String,
    /// The host's clock, seconds since the Unix epoch.
    pub clock: u64,
}

/// What the verifier has to say to a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reported {
    /// [`crate::API_VERSION`].
    pub api_version: u16,
    /// The host's id; an agent compares it with its own.
    pub host: String,
    /// The host's present name.
    pub name: String,
    /// Its group; absent where it is in none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The verifier's clock, seconds since the Unix epoch.
    pub clock: u64,
    /// Why the verifier decides no login now, in one line for people; absent while it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standing_still: Option<String>,
    /// Sessions that the verifier takes for open, of many another part each time: the host says which of them are over.
    /// At most [`crate::session::NAMED_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sessions: Vec<NamedSession>,
    /// What is to record the sessions that begin at the host.
    #[serde(default, skip_serializing_if = "Recording::is_unknown")]
    pub recording: Recording,
}
