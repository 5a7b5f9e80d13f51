//! `postern audit`: the trail of decisions, page by page, and the check of its chain.

use std::path::Path;
use std::time::{Duration, SystemTime};

use hyper::Method;
use time::UtcOffset;
use time::format_description::well_known::Rfc3339;
use wire::admin::{AUDIT_PAGE_MAX, AuditCheck, AuditPage, AuditRecord, WitnessCheck};
use wire::fleet::CHECKPOINT_BYTES_MAX;

use crate::args::{AuditVerb, AuditWish, Moment};
use crate::client::{Client, segment};
use crate::failure::Failure;
use crate::output::table::{self, or_dash, yes_no};
use crate::output::{Answer, Format};
use crate::verbs::Session;
use crate::verbs::explain::why;

/// How much longer than other answers a walk along the whole trail may take: some seconds for each million records.
const WALK_MAX: Duration = Duration::from_secs(3600);

/// Runs one of the verbs.
pub async fn run(session: &Session, verb: AuditVerb) -> Result<Answer, Failure> {
    let (client, format) = (&session.client, session.format);
    match verb {
        AuditVerb::Show(wish) => {
            let page = match wish.after {
                Some(after) => following(client, &wish, after, session.now).await?,
                None => newest(client, &wish, session.now).await?,
            };
            Answer::list(format, &page, &page.items, || rows(&page.items))
        }
        AuditVerb::Verify { witness } => verify(client, witness.as_deref(), format).await,
    }
}

/// The first wanted records after a sequence number, oldest first.
async fn following(
    client: &Client,
    wish: &AuditWish,
    mut after: u64,
    now: SystemTime,
) -> Result<AuditPage, Failure> {
    let limit = wish.limit as usize;
    let mut found = Vec::new();
    loop {
        let place = ["order=oldest".to_owned(), format!("after={after}")];
        let page = page(client, wish, place, found.len(), now).await?;
        found.extend(page.items);
        // Sequences rise; what does not would keep us here for ever.
        match page.next.filter(|next| *next > after && found.len() < limit) {
            Some(next) => after = next,
            None => return Ok(AuditPage { items: found, next: None, ..page }),
        }
    }
}

/// The last wanted records, oldest first: the daemon finds them from the end of the trail on.
async fn newest(client: &Client, wish: &AuditWish, now: SystemTime) -> Result<AuditPage, Failure> {
    let limit = wish.limit as usize;
    let mut before = None;
    let mut found = Vec::new();
    loop {
        let place = before.map(|before: u64| format!("before={before}"));
        let place = ["order=newest".to_owned()].into_iter().chain(place);
        let page = page(client, wish, place, found.len(), now).await?;
        found.extend(page.items);
        let next = page.next.filter(|next| before.is_none_or(|before| *next < before));
        match next.filter(|_| found.len() < limit) {
            Some(next) => before = Some(next),
            None => {
                found.reverse();
                return Ok(AuditPage { items: found, next: None, ..page });
            }
        }
    }
}

/// A page of what is missing.
async fn page(
    client: &Client,
    wish: &AuditWish,
    place: impl IntoIterator<Item = String>,
    found: usize,
    now: SystemTime,
) -> Result<AuditPage, Failure> {
    let AuditWish { after: _, limit, user, host, event, text, since, until } = wish;
    let missing = limit.saturating_sub(u32::try_from(found).unwrap_or(u32::MAX)).clamp(1, AUDIT_PAGE_MAX);
    let time = |moment: &Option<Moment>| {
        let at = moment.and_then(|moment| moment.at(now))?;
        at.to_offset(UtcOffset::UTC).format(&Rfc3339).ok()
    };
    let said = [
        ("user", user.clone()),
        ("host", host.clone()),
        ("event", event.clone()),
        ("text", text.clone()),
        ("since", time(since)),
        ("until", time(until)),
    ];
    let said = said.into_iter().filter_map(|(key, value)| Some(format!("{key}={}", segment(&value?))));
    let limit = format!("limit={missing}");
    let query: Vec<_> = place.into_iter().chain([limit]).chain(said).collect();
    client.get(&format!("/v1/audit?{}", query.join("&"))).await
}

fn rows(records: &[AuditRecord]) -> String {
    table::list(
        [
            "SEQUENCE",
            "AT",
            "REFERENCE",
            "EVENT",
            "VERDICT",
            "USER",
            "SERVICE",
            "HOST",
            "FROM",
            "TOKEN",
            "BY",
            "WHY",
        ],
        records.iter().map(|record| {
            [
                record.sequence.to_string(),
                record.at.clone(),
                record.reference.clone(),
                record.event.clone(),
                or_dash(record.verdict.as_deref()),
                or_dash(record.user.as_deref()),
                or_dash(record.service.as_deref()),
                or_dash(record.host.as_deref()),
                or_dash(record.rhost.as_deref()),
                or_dash(record.token.as_deref()),
                or_dash(record.actor.as_deref()),
                why(record),
            ]
        }),
    )
}

async fn verify(client: &Client, witness: Option<&Path>, format: Format) -> Result<Answer, Failure> {
    let path = match witness {
        None => "/v1/audit/verify".to_owned(),
        Some(path) => format!("/v1/audit/verify?witness={}", segment(&read_witness(path)?)),
    };
    let check: AuditCheck = client.patiently(Method::GET, &path, WALK_MAX).await?;
    let answer = Answer::one(format, &check, || {
        table::properties([
            ("whole", yes_no(check.whole)),
            ("records", check.records.to_string()),
            ("removed", check.removed.to_string()),
            ("broken", or_dash(check.broken.as_deref())),
            ("witness", or_dash(check.witness.map(told))),
            ("head", check.head.clone()),
            ("checkpoint", or_dash(check.checkpoint.as_deref())),
        ])
    })?;
    if !check.whole {
        let place = check.broken.unwrap_or_else(|| "verifierd does not say where".to_owned());
        return Ok(answer.failing(Failure::AuditBroken { place }));
    }
    match check.witness {
        Some(seen @ WitnessCheck::Missing) => {
            Ok(answer.failing(Failure::AuditBroken { place: told(seen).to_owned() }))
        }
        // Nothing is wrong with the trail, for all that this file can tell.
        Some(WitnessCheck::Foreign) => {
            let path = witness.map(Path::to_path_buf).unwrap_or_default();
            let problem = "holds no checkpoint that this installation signed".to_owned();
            Ok(answer.failing(Failure::UnfitFile { path, problem }))
        }
        Some(WitnessCheck::Held | WitnessCheck::Settled) | None => Ok(answer),
    }
}

/// What a witness says, in words.
fn told(check: WitnessCheck) -> &'static str {
    match check {
        WitnessCheck::Held => "the trail holds what it saw",
        WitnessCheck::Settled => "it is from before a loss that was settled",
        WitnessCheck::Missing => "the trail does not hold what the witness saw",
        WitnessCheck::Foreign => "the witness was not signed by this installation",
    }
}

/// The one line of a witness's file.
fn read_witness(path: &Path) -> Result<String, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| Failure::ReadFile { path: path.to_path_buf(), source })?;
    let line = text.trim();
    let is_graphic = line.bytes().all(|byte| byte.is_ascii_graphic());
    if line.is_empty() || line.len() > CHECKPOINT_BYTES_MAX || !is_graphic {
        let problem =
            "holds no checkpoint: one line is needed, as `postern audit verify` shows it".to_owned();
        return Err(Failure::UnfitFile { path: path.to_path_buf(), problem });
    }
    Ok(line.to_owned())
}
