//! Decisions and the audit trail.

use serde::{Deserialize, Serialize};

/// Most audit records in one page.
pub const AUDIT_PAGE_MAX: u32 = 1_000;

/// One decision, explained to an administrator.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Decision {
    /// [`crate::API_VERSION`].
    pub api_version: u16,
    /// Always `decision`.
    pub kind: String,
    /// The audit record of the decision.
    pub record: AuditRecord,
}

/// One audit record. It is kept in this form too, without the two fields that the ledger keeps beside it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct AuditRecord {
    /// Position in the chain, from 1; absent in what is kept.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub sequence: u64,
    /// When, RFC 3339.
    pub at: String,
    /// `XXXX-XXXX`; absent in what is kept.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reference: String,
    /// What happened: `login`, `user_otp_on`, `user_otp_off`, `token_disabled`, `service_started`, ...
    pub event: String,
    /// `allow`, `deny`, `not_required`, `unavailable`; absent for events that decide nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
    /// Why, in one word: `accepted`, `replayed`, `wrong_code`, `throttled`, ...
    pub reason: String,
    /// Why, for people: `clock +94 s`, `used 12 s ago`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The PAM service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Where from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rhost: Option<String>,
    /// Which terminal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tty: Option<String>,
    /// Who asked (PAM_RUSER).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ruser: Option<String>,
    /// Which token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Who did it on the administration's side: `root`, `dora (helpdesk)`; absent for logins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// How many refusals like this one it stands for, itself not counted (throttled ones are not kept one by one).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeats: Option<u64>,
}

fn is_zero(sequence: &u64) -> bool {
    *sequence == 0
}

/// A stretch of the audit trail, oldest first.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AuditPage {
    /// [`crate::API_VERSION`].
    pub api_version: u16,
    /// Always `audit_page`.
    pub kind: String,
    /// At most [`AUDIT_PAGE_MAX`] records.
    pub items: Vec<AuditRecord>,
    /// Sequence of the newest record that the trail holds.
    pub newest: u64,
}

/// What a walk along the whole chain found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AuditCheck {
    /// [`crate::API_VERSION`].
    pub api_version: u16,
    /// Always `audit_check`.
    pub kind: String,
    /// Whether every record carries the right chain value.
    pub whole: bool,
    /// How many records were read.
    pub records: u64,
    /// Where the chain breaks, in words; absent when it is whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broken: Option<String>,
    /// The chain value of the newest record, hexadecimal.
    pub head: String,
}
