//! Decisions and the audit trail.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use data_encoding::HEXLOWER;
use ledger::{Ledger, ReadError};
use serde::Deserialize;
use wire::admin::{AUDIT_PAGE_MAX, AuditCheck, AuditPage, Decision, WitnessCheck};
use wire::error::ErrorCode;

use super::Administration;
use super::asked::{Asked, Named, Questions};
use super::refusals::{Refusal, refusal};
use crate::audit::witness::Judged;
use crate::audit::{Reference, record};

type Admin = State<Arc<Administration>>;

pub(super) async fn explain(State(admin): Admin, Named(reference): Named) -> Result<Json<Decision>, Refusal> {
    let wanted = Reference::parse(&reference).ok_or_else(|| {
        refusal(
            ErrorCode::Malformed,
            format!("{reference:?} is not a reference: eight characters, XXXX-XXXX"),
        )
    })?;
    let line = admin.read(move |ledger| ledger.audit_by_reference(wanted.bytes())).await?;
    let line = line.ok_or_else(|| refusal(ErrorCode::NotFound, format!("no record {wanted}")))?;
    Ok(Json(Decision { api_version: wire::API_VERSION, kind: "decision".into(), record: record(&line) }))
}

/// Which stretch of the trail.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stretch {
    #[serde(default)]
    after: u64,
    limit: Option<u32>,
}

impl Questions for Stretch {
    const TAKES: &str = "after=N and limit=N, whole numbers";
}

pub(super) async fn show(
    State(admin): Admin,
    Asked(stretch): Asked<Stretch>,
) -> Result<Json<AuditPage>, Refusal> {
    let limit = stretch.limit.unwrap_or(AUDIT_PAGE_MAX).min(AUDIT_PAGE_MAX) as usize;
    let page =
        move |ledger: &dyn Ledger| Ok((ledger.audit_after(stretch.after, limit)?, ledger.audit_newest()?));
    let (lines, newest) = admin.read(page).await?;
    let items = lines.iter().map(record).collect();
    Ok(Json(AuditPage { api_version: wire::API_VERSION, kind: "audit_page".into(), items, newest }))
}

/// What was kept elsewhere.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kept {
    witness: Option<String>,
}

impl Questions for Kept {
    const TAKES: &str = "witness=CHECKPOINT, as `postern audit verify` showed it or an agent keeps it";
}

pub(super) async fn verify(
    State(admin): Admin,
    Asked(kept): Asked<Kept>,
) -> Result<Json<AuditCheck>, Refusal> {
    let keeper = &admin.dialogue.witness;
    let witness = match kept.witness {
        None => None,
        Some(shown) => Some(match keeper.compare(shown.trim()).await.map_err(unreadable)? {
            Judged::Held => WitnessCheck::Held,
            Judged::Settled => WitnessCheck::Settled,
            Judged::Lost => WitnessCheck::Missing,
            Judged::Foreign => WitnessCheck::Foreign,
        }),
    };
    let report = admin.read(|ledger| ledger.audit_verify()).await?;
    keeper.publish_soon().await;
    Ok(Json(AuditCheck {
        api_version: wire::API_VERSION,
        kind: "audit_check".into(),
        whole: report.broken_at.is_none(),
        records: report.records,
        removed: report.removed,
        broken: report
            .broken_at
            .map(|sequence| format!("record {sequence} does not follow from the one before")),
        head: HEXLOWER.encode(&report.head),
        checkpoint: keeper.newest().map(|newest| newest.text.clone()),
        witness,
    }))
}

fn unreadable(error: ReadError) -> Refusal {
    tracing::error!(%error, "the store cannot be read");
    refusal(ErrorCode::Unavailable, error.to_string())
}
