//! One code, one verdict: for programs that ask for the code themselves, and for many codes at once.
//!
//! `POST /v1/verify` with [`Verify`] answers 200 with [`Verified`]; `POST /v1/verify/batch` with [`Batch`] answers
//! 200 with [`BatchVerified`], one verdict for each item, in the same order. Or an error status with
//! [`crate::error::ErrorBody`], which is never a login. Whatever needs a dialogue (a secret to be shown, association by
//! serial number, the next code of a token out of step) is refused here: the user logs in once at a prompt. A first code
//! of an app whose secret he was shown there activates it, as at the prompt.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::login::Verdict;

/// Path of one verification.
pub const VERIFY_PATH: &str = "/v1/verify";

/// Path of many.
pub const BATCH_PATH: &str = "/v1/verify/batch";

/// Most items in one batch. 256 honest items take some 40 KiB, which fits [`crate::BODY_BYTES_MAX`].
pub const BATCH_ITEMS_MAX: usize = 256;

/// The largest reply to a batch, in bytes: what the request said of users and services, which is at most
/// [`crate::BODY_BYTES_MAX`], and for each item a reference, a line for the user and the names of the fields.
pub const BATCH_REPLY_BYTES_MAX: usize = 128 * 1024;

/// Asks about one code.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verify<'a> {
    /// 32 lower-case hexadecimal digits, random. The same id with the same content again is a retry and gets the
    /// first verdict.
    #[serde(borrow)]
    pub request_id: Cow<'a, str>,
    /// Whose code it is said to be.
    #[serde(borrow)]
    pub user: Cow<'a, str>,
    /// For which service, as [`crate::login::Begin::service`].
    #[serde(borrow)]
    pub service: Cow<'a, str>,
    /// Where the user comes from, as [`crate::login::Begin::rhost`]; absent when local. Over the network nobody is
    /// local: where it is absent there, all users count as coming from one place.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub rhost: Option<Cow<'a, str>>,
    /// What he typed, at most [`crate::login::ANSWER_BYTES_MAX`] bytes.
    #[serde(borrow)]
    pub code: Cow<'a, str>,
}

impl fmt::Debug for Verify<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verify").field("request_id", &self.request_id).finish_non_exhaustive()
    }
}

/// The verdict about one code.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Verified<'a> {
    /// The request's id. A reply with another one is not an answer to this request.
    #[serde(borrow)]
    pub request_id: Cow<'a, str>,
    /// The user that was asked about; the caller compares.
    #[serde(borrow)]
    pub user: Cow<'a, str>,
    /// The service that was asked about; the caller compares.
    #[serde(borrow)]
    pub service: Cow<'a, str>,
    /// The host that asked, by its id: from a verifier to an agent, which compares; absent elsewhere.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Cow<'a, str>>,
    /// The decision. Only [`Verdict::Allow`] is a right code.
    pub verdict: Verdict,
    /// The decision's reference, `XXXX-XXXX`, for `postern explain`.
    pub reference: String,
    /// A line for the user, where there is something to tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Asks about many codes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batch<'a> {
    /// 1 to [`BATCH_ITEMS_MAX`] of them. They are decided at once, not one after the other.
    #[serde(borrow)]
    pub items: Vec<Verify<'a>>,
}

/// The verdicts about many codes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BatchVerified<'a> {
    /// In the order of the request's.
    #[serde(borrow)]
    pub items: Vec<Verified<'a>>,
}
