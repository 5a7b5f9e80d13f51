//! Decisions and the audit trail.

use serde::{Deserialize, Serialize};

/// Most audit records in one page.
pub const AUDIT_PAGE_MAX: u32 = 1_000;

/// One decision, explained to an administrator.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditRecord {
    /// Position in the chain, from 1; missing where retention removed a record; absent in what is kept.
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
    /// The access rule that decided; absent where none held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// `observe` or `grace`, where only the roll-out let the user in; absent otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<String>,
    /// Why, for people: `clock +94 s`, `used 12 s ago`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The PAM service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// At which host of the fleet; absent on the verifier's own machine and at the API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
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
    /// Which person, by his login name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
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

/// From which end a stretch of the audit trail is looked for and listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum AuditOrder {
    /// The oldest first.
    #[default]
    Oldest,
    /// The newest first.
    Newest,
}

/// A stretch of the audit trail, in the order that was asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditPage {
    /// [`crate::API_VERSION`].
    pub api_version: u16,
    /// Always `audit_page`.
    pub kind: String,
    /// At most [`AUDIT_PAGE_MAX`] records.
    pub items: Vec<AuditRecord>,
    /// Sequence of the newest record that the trail holds.
    pub newest: u64,
    /// Where the search goes on, if it is not at its end: what to ask for as `after`, or where the newest come first as
    /// `before`. A page may be short, or empty, and have one: only so many records are looked at for each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// What a walk along the whole chain found.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditCheck {
    /// [`crate::API_VERSION`].
    pub api_version: u16,
    /// Always `audit_check`.
    pub kind: String,
    /// Whether every record carries the right chain value.
    pub whole: bool,
    /// How many records were read.
    pub records: u64,
    /// How many records retention removed between them.
    #[serde(default)]
    pub removed: u64,
    /// Where the chain breaks, in words; absent when it is whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broken: Option<String>,
    /// The chain value of the newest record, hexadecimal.
    pub head: String,
    /// The newest checkpoint, signed: to be kept elsewhere, and shown as a witness later. Absent while a loss waits to be
    /// settled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<String>,
    /// What a witness that was shown says of the trail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub witness: Option<WitnessCheck>,
}

/// What a checkpoint that was kept elsewhere says of the trail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum WitnessCheck {
    /// The trail holds what it names.
    Held,
    /// It is from before a loss that an administrator settled, and says nothing of the trail since.
    Settled,
    /// The trail ends before what it names, or holds something else there.
    Missing,
    /// No verifier with this master key signed it.
    Foreign,
}
