//! Decisions and the audit trail.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use data_encoding::HEXLOWER;
use ledger::ReadError;
use serde::Deserialize;
use wire::admin::{AUDIT_PAGE_MAX, AuditCheck, AuditOrder, AuditPage, Decision, WitnessCheck};
use wire::error::ErrorCode;

use super::Administration;
use super::asked::{Asked, Named, Questions};
use super::refusals::{Refusal, refusal};
use crate::audit::search::{Found, Search, Wish};
use crate::audit::witness::Judged;
use crate::audit::{Reference, record, unix_time};
use crate::clock::UnixTime;

/// Seconds of a day.
const DAY: u64 = 24 * 3_600;

type Admin = State<Arc<Administration>>;

pub(super) async fn explain(State(admin): Admin, Named(reference): Named) -> Result<Json<Decision>, Refusal> {
    let wanted = parse_reference(&reference)?;
    let line = admin.read(move |ledger| ledger.audit_by_reference(wanted.bytes())).await?;
    let line = line.ok_or_else(|| refusal(ErrorCode::NotFound, format!("no record {wanted}")))?;
    Ok(Json(Decision { api_version: wire::API_VERSION, kind: "decision".into(), record: record(&line) }))
}

/// Which records are wanted.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    #[serde(default)]
    #[param(inline)]
    order: AuditOrder,
    #[serde(default)]
    after: u64,
    before: Option<u64>,
    limit: Option<u32>,
    user: Option<String>,
    host: Option<String>,
    event: Option<String>,
    reference: Option<String>,
    text: Option<String>,
    since: Option<String>,
    until: Option<String>,
}

impl Questions for Wanted {
    const TAKES: &str = "after=N, before=N and limit=N, whole numbers; order=oldest or newest; user=NAME, host=NAME, \
                         event=EVENT, reference=XXXX-XXXX, text=TEXT, since=TIME and until=TIME";
}

impl Wanted {
    fn search(self, now: UnixTime) -> Result<Search, Refusal> {
        let time = |text: Option<String>, of_day: fn(UnixTime) -> UnixTime| {
            text.map(|text| moment(&text, now, of_day).ok_or_else(|| no_time(&text))).transpose()
        };
        Ok(Search {
            order: self.order,
            after: self.after,
            before: self.before,
            limit: self.limit.unwrap_or(AUDIT_PAGE_MAX).clamp(1, AUDIT_PAGE_MAX) as usize,
            reference: self.reference.as_deref().map(parse_reference).transpose()?,
            since: time(self.since, |day| day)?,
            until: time(self.until, |day| day.saturating_add(DAY))?,
            wish: Wish {
                user: self.user,
                host: self.host,
                event: self.event,
                text: self.text.map(|text| text.to_lowercase()),
            },
        })
    }
}

pub(super) async fn show(
    State(admin): Admin,
    Asked(wanted): Asked<Wanted>,
) -> Result<Json<AuditPage>, Refusal> {
    let search = wanted.search(admin.dialogue.clock.now())?;
    let Found { items, newest, next } = admin.read(move |ledger| search.find(ledger)).await?;
    Ok(Json(AuditPage { api_version: wire::API_VERSION, kind: "audit_page".into(), items, newest, next }))
}

/// A time, a day (UTC), or how long ago.
///
/// * `of_day`: which moment of a day is meant, from its first.
fn moment(text: &str, now: UnixTime, of_day: fn(UnixTime) -> UnixTime) -> Option<UnixTime> {
    let text = text.trim();
    if let Some(at) = unix_time(text) {
        return Some(at);
    }
    if let Some(day) = unix_time(&format!("{text}T00:00:00Z")) {
        return Some(of_day(day));
    }
    let ago = humantime_serde::re::humantime::parse_duration(text).ok()?;
    Some(now.saturating_sub(ago.as_secs()))
}

fn no_time(text: &str) -> Refusal {
    let message = format!(
        "{text:?} is no time (2026-11-22T08:00:00Z), no day (2026-11-22), and does not say how long ago (90m, 2d)"
    );
    refusal(ErrorCode::Malformed, message)
}

fn parse_reference(text: &str) -> Result<Reference, Refusal> {
    Reference::parse(text).ok_or_else(|| {
        refusal(ErrorCode::Malformed, format!("{text:?} is not a reference: eight characters, XXXX-XXXX"))
    })
}

/// What was kept elsewhere.
#[derive(Deserialize, utoipa::IntoParams)]
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_a_day_or_so_long_ago() {
        const NOW: UnixTime = 1_795_395_600; // 2026-11-23T01:00:00Z
        let check = |text: &str| moment(text, NOW, |day| day + DAY);
        assert_eq!(check("2026-11-22T08:00:00+02:00"), unix_time("2026-11-22T06:00:00Z"));
        assert_eq!(check("2026-11-22"), unix_time("2026-11-23T00:00:00Z"));
        assert_eq!(check(" 90m"), unix_time("2026-11-22T23:30:00Z"));
        assert_eq!(check("1000y"), Some(0));
        for wrong in ["", "yesterday", "2026-13-01", "22.11.2026", "7"] {
            assert_eq!(check(wrong), None, "{wrong}");
        }
    }
}
