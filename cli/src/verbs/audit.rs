//! `postern audit`: the trail of decisions, page by page, and the check of its chain.

use std::path::Path;
use std::time::Duration;

use hyper::Method;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use wire::admin::{AUDIT_PAGE_MAX, AuditCheck, AuditPage, AuditRecord, WitnessCheck};
use wire::fleet::CHECKPOINT_BYTES_MAX;

use crate::args::{AuditVerb, AuditWish};
use crate::client::{Client, segment};
use crate::failure::Failure;
use crate::output::table::{self, or_dash, yes_no};
use crate::output::{Answer, Format};
use crate::verbs::Session;
use crate::verbs::explain::why;

/// How much longer than other answers a walk along the whole trail may take: some seconds for each million records.
const WALK_MAX: Duration = Duration::from_secs(3600);

/// Which records are wanted, the moment worked out.
struct Filter {
    wish: AuditWish,
    since: Option<OffsetDateTime>,
}

/// Runs one of the verbs.
pub async fn run(session: &Session, verb: AuditVerb) -> Result<Answer, Failure> {
    let (client, format) = (&session.client, session.format);
    match verb {
        AuditVerb::Show(wish) => {
            let since = wish.since.and_then(|since| since.moment(session.now));
            let wish = Filter { wish, since };
            let page = match wish.wish.after {
                Some(after) => following(client, &wish, after).await?,
                None => newest(client, &wish).await?,
            };
            Answer::list(format, &page, &page.items, || rows(&page.items))
        }
        AuditVerb::Verify { witness } => verify(client, witness.as_deref(), format).await,
    }
}

/// The first wanted records after a sequence number, oldest first.
async fn following(client: &Client, wish: &Filter, mut after: u64) -> Result<AuditPage, Failure> {
    let limit = wish.wish.limit as usize;
    let mut found = Vec::new();
    loop {
        let asked = step(wish, found.len());
        let page = page(client, after, asked).await?;
        let is_full = page.items.len() >= asked as usize;
        // Sequences rise within a page; one that does not would keep us here for ever.
        let last = page.items.last().map(|record| record.sequence).filter(|last| *last > after);
        found.extend(page.items.into_iter().filter(|record| wish.wants(record)));
        found.truncate(limit);
        match last {
            Some(last) if is_full && found.len() < limit => after = last,
            _ => return Ok(AuditPage { items: found, ..page_of(page.newest) }),
        }
    }
}

/// The last wanted records, oldest first. Walks from the end of the trail towards its start, in bigger steps where
/// nothing is left, and no further than to a stretch that is all older than what is wanted.
async fn newest(client: &Client, wish: &Filter) -> Result<AuditPage, Failure> {
    let limit = wish.wish.limit as usize;
    let newest = page(client, 0, 1).await?.newest;
    let mut found: Vec<AuditRecord> = Vec::new();
    let mut end = newest;
    let mut width = u64::from(step(wish, 0));
    while end > 0 && found.len() < limit {
        let start = end.saturating_sub(width);
        let stretch = Stretch { after: start, through: end, records_max: limit - found.len() };
        let Found { mut items, is_empty, is_older } = stretch.last(client, wish).await?;
        items.append(&mut found);
        found = items;
        if is_older && !is_empty {
            break;
        }
        end = start;
        width = if is_empty { width.saturating_mul(2) } else { u64::from(step(wish, found.len())) };
    }
    Ok(AuditPage { items: found, ..page_of(newest) })
}

/// A part of the trail.
struct Stretch {
    after: u64,
    through: u64,
    records_max: usize,
}

/// What is in it.
struct Found {
    /// The last wanted records, oldest first.
    items: Vec<AuditRecord>,
    /// Whether there are no records at all.
    is_empty: bool,
    /// Whether none is from the time that is wanted.
    is_older: bool,
}

impl Stretch {
    async fn last(&self, client: &Client, wish: &Filter) -> Result<Found, Failure> {
        let mut found = Vec::new();
        let (mut after, mut is_empty, mut is_older) = (self.after, true, true);
        loop {
            let asked = u32::try_from(self.through - after).unwrap_or(u32::MAX).clamp(1, AUDIT_PAGE_MAX);
            let items = page(client, after, asked).await?.items;
            // Sequences rise; what does not would keep us here for ever.
            let last = items.last().map(|record| record.sequence).filter(|last| *last > after);
            let inside = items.into_iter().take_while(|record| record.sequence <= self.through);
            let inside = inside.inspect(|record| {
                (is_empty, is_older) = (false, is_older && !wish.is_in_time(record));
            });
            found.extend(inside.filter(|record| wish.wants(record)));
            found.drain(..found.len().saturating_sub(self.records_max));
            match last {
                Some(last) if last < self.through => after = last,
                Some(_) | None => return Ok(Found { items: found, is_empty, is_older }),
            }
        }
    }
}

/// How many records to ask for next: what is missing, or a full page where most may be others.
fn step(wish: &Filter, found: usize) -> u32 {
    let missing = wish.wish.limit.saturating_sub(u32::try_from(found).unwrap_or(u32::MAX));
    if wish.is_choosy() { AUDIT_PAGE_MAX } else { missing.clamp(1, AUDIT_PAGE_MAX) }
}

impl Filter {
    /// Whether not every record is wanted.
    fn is_choosy(&self) -> bool {
        let AuditWish { after: _, limit: _, user, host, event, since } = &self.wish;
        user.is_some() || host.is_some() || event.is_some() || since.is_some()
    }

    fn wants(&self, record: &AuditRecord) -> bool {
        let AuditWish { user, host, event, .. } = &self.wish;
        // The verifier's own machine is shown as a dash.
        let place = record.host.as_deref().unwrap_or("-");
        (user.is_none() || record.user == *user)
            && host.as_ref().is_none_or(|host| place == host)
            && event.as_ref().is_none_or(|event| record.event == *event)
            && self.is_in_time(record)
    }

    /// A time that cannot be read excludes nothing.
    fn is_in_time(&self, record: &AuditRecord) -> bool {
        let Some(since) = self.since else { return true };
        OffsetDateTime::parse(&record.at, &Rfc3339).map_or(true, |at| at >= since)
    }
}

async fn page(client: &Client, after: u64, limit: u32) -> Result<AuditPage, Failure> {
    client.get(&format!("/v1/audit?after={after}&limit={limit}")).await
}

fn page_of(newest: u64) -> AuditPage {
    AuditPage { api_version: wire::API_VERSION, kind: "audit_page".to_owned(), items: Vec::new(), newest }
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
