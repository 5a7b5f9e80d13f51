//! What a request that could not be answered gets: a small closed set of codes, nothing of the inside.

use serde::{Deserialize, Serialize};

/// Why a request was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The request is not well formed (HTTP 400).
    Malformed,
    /// The caller may not do this (HTTP 403).
    NotAllowed,
    /// No such thing (HTTP 404).
    NotFound,
    /// The thing is in a state that does not permit this (HTTP 409).
    Conflict,
    /// The body is larger than the limit (HTTP 413).
    TooLarge,
    /// A code was wrong, or used before (HTTP 422).
    WrongCode,
    /// Too many wrong codes: try again later (HTTP 429).
    Throttled,
    /// The service cannot answer now (HTTP 503).
    Unavailable,
    /// A code of a newer version.
    #[serde(other)]
    Unknown,
}

/// The body of every error answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ErrorBody {
    /// The one error.
    pub error: ErrorDetail,
}

/// One error.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ErrorDetail {
    /// For programs.
    pub code: ErrorCode,
    /// For people: one line that names the thing and what would be right.
    pub message: String,
}
