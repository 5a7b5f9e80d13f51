//! Importing many tokens: begun, sent in parts, checked as it comes, stored at the end or not at all.

use serde::{Deserialize, Serialize};

use super::tokens::TokenType;

/// Begins an import. Rows are checked as they come and kept aside; nothing is stored before the end.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewImport {
    /// What every serial number looks like: `#` a digit, `@` an upper-case letter, everything else itself, or
    /// `any`. Absent: 13 digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial_format: Option<String>,
}

/// An import that has begun. It ends by itself ten minutes after its last row.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Import {
    /// Names it in paths.
    pub id: String,
}

/// Most rows in one request: as many of the longest (600 bytes) fit into [`crate::BODY_BYTES_MAX`].
pub const IMPORT_ROWS_MAX: usize = 100;

/// Most tokens in one import.
pub const IMPORT_TOKENS_MAX: usize = 1_000_000;

/// A part of an import's rows.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ImportRows {
    /// At most [`IMPORT_ROWS_MAX`].
    pub rows: Vec<ImportRow>,
}

/// One token to be imported.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ImportRow {
    /// Where it stands in its file: a line of CSV, or the number of its key package; for faults.
    pub row: u64,
    /// Serial number.
    pub serial: String,
    /// Event- or time-based.
    #[serde(rename = "type")]
    pub token_type: TokenType,
    /// The secret in hexadecimal, 16 to 128 bytes.
    pub secret: String,
    /// `SHA1`, `SHA256` or `SHA512`.
    pub algorithm: String,
    /// 6, 7 or 8.
    pub digits: u8,
    /// Seconds per time step, for TOTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_interval: Option<u32>,
    /// The counter expected next, for HOTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counter: Option<u64>,
    /// Drift of its clock in time steps, for TOTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_drift: Option<i32>,
}

/// What is wrong with some rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ImportCheck {
    /// Faulty rows; the others are kept aside. An import with a faulty row cannot be finished.
    pub faults: Vec<ImportFault>,
    /// How many rows are kept aside so far.
    pub staged: u64,
}

/// A faulty row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ImportFault {
    /// As in [`ImportRow::row`].
    pub row: u64,
    /// As in [`ImportRow::serial`].
    pub serial: String,
    /// What is wrong and what would be right.
    pub reason: String,
}

/// The end of an import.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Imported {
    /// How many tokens are available now that were not there before.
    pub tokens: u64,
}
