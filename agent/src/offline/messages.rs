//! What the agent and the service of offline passwords say to each other, on a socket of root's.
//!
//! | request | answer |
//! | --- | --- |
//! | `GET /v1/offline/standing` | [`super::keeper::Standing`] |
//! | `POST /v1/offline/orders` with [`wire::offline::OfflineOrders`] | [`super::keeper::Standing`] |
//! | `POST /v1/offline/begin` with [`Begin`] | [`Begun`] |
//! | `POST /v1/offline/redeem` with [`Redeem`] | [`Redeemed`] |

use std::fmt;

use serde::{Deserialize, Serialize};

use super::tries::Place;
use crate::clock::UnixTime;

/// Path of the question how it stands.
pub const STANDING_PATH: &str = "/v1/offline/standing";
/// Path of what a verifier says.
pub const ORDERS_PATH: &str = "/v1/offline/orders";
/// Path of the question what holds for a login.
pub const BEGIN_PATH: &str = "/v1/offline/begin";
/// Path of a try.
pub const REDEEM_PATH: &str = "/v1/offline/redeem";

/// A login that no verifier decides about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Begin {
    /// The Unix account.
    pub user: String,
    /// The PAM service.
    pub service: String,
    /// Whether a verifier may answer: then only what still lets in is looked for.
    #[serde(default)]
    pub is_online: bool,
}

/// What holds for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Begun {
    /// A password that was used before lets it in, until then.
    Granted {
        /// Seconds since the Unix epoch.
        until: UnixTime,
        /// Whether a verifier that can be reached may refuse it.
        may_be_refused: bool,
    },
    /// A password can be typed.
    Ask {
        /// Whom to call.
        contact: Option<String>,
    },
    /// Nothing can be decided.
    Closed,
}

/// A try.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redeem {
    /// The Unix account.
    pub user: String,
    /// The PAM service.
    pub service: String,
    /// Where whoever types it sits.
    pub place: Place,
    /// What was typed.
    pub typed: String,
}

impl fmt::Debug for Redeem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redeem").field("user", &self.user).finish_non_exhaustive()
    }
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Redeemed {
    /// It lets in, until then.
    Access {
        /// Seconds since the Unix epoch.
        until: UnixTime,
    },
    /// A wait is over; it lets nobody in.
    Again,
    /// It does not.
    Refused {
        /// For whoever typed it.
        text: String,
    },
}
