//! The audit trail: searching it, taking it along as a table, and why one login was decided as it was.

use std::sync::Arc;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serve::Reply;
use wire::admin::{AUDIT_PAGE_MAX, AuditPage, AuditRecord, Decision};

use super::asking::{Ask, Refused, path, query};
use super::export::Export;
use super::look::{Look, Section};
use super::pages::{may, shown};
use super::parts::{Cell, Facts, Field, Rows, or_dash};
use super::{Asked, Web};
use crate::http::roles::Verb;
use crate::people::Person;

/// Records on one page.
const PAGE_RECORDS: u32 = 50;

/// Most records of one export: some megabytes, made in memory. A file that holds fewer than were wanted says so in its
/// last row.
const EXPORT_RECORDS_MAX: usize = 10_000;

/// Most questions of one export, each of which looks at 20,000 records: a million of them.
const EXPORT_QUESTIONS_MAX: usize = 50;

/// What can be asked for, and what stands above it.
const FILTERS: [(&str, &str, &str); 7] = [
    ("event", "Event", "such as login or token_added"),
    ("user", "User", ""),
    ("host", "Host", "A dash is the verifier's own machine."),
    ("reference", "Reference", ""),
    ("since", "Since", "2026-11-22, 2026-11-22T08:00:00Z, or how long ago: 2d"),
    ("until", "Until", "the same; a day counts to its end"),
    ("text", "Text anywhere in the record", ""),
];

/// What somebody asks the trail for: names and values, as the route takes them.
struct Wanted<'a>(Vec<(&'static str, &'a str)>);

impl<'a> Wanted<'a> {
    fn of(asked: &'a Asked<'_>) -> Self {
        Self(FILTERS.iter().filter_map(|(name, ..)| Some((*name, asked.form.typed(name)?))).collect())
    }

    /// A query with these and more.
    fn and(&self, more: &[(&'a str, &'a str)]) -> String {
        query(self.0.iter().chain(more).copied())
    }
}

impl Web {
    /// The newest records that are wanted, and the way to older ones.
    pub(super) async fn show_audit(&self, asked: &Asked<'_>, person: &Arc<Person>) -> Reply {
        let visitor = shown(asked, person);
        let wanted = Wanted::of(asked);
        let mut page = Look::new(&visitor, "Audit trail");
        (page.action, page.button) = ("/audit", "Search");
        page.questions = FILTERS
            .map(|(name, label, hint)| Field::new(name, label, asked.form.typed(name)).with_hint(hint))
            .into();
        let found = match self.records(person, &wanted, asked.form.typed("before"), PAGE_RECORDS).await {
            Ok(found) => found,
            Err(refused) => return page.refused(&refused),
        };
        let headings =
            ["At", "Event", "Verdict", "User", "Service", "Host", "From", "Token", "By", "Why", "Reference"];
        let rows = Rows::new(headings, found.items.iter().map(row), "No such record was found.");
        page.sections.push(Section::new("", &rows));
        if let Some(next) = found.next.map(|next| next.to_string()) {
            page.sections.push(Section::sentence(format!("Looked for back to record {next}.")));
            page.links.push(("Older records", format!("/audit{}", wanted.and(&[("before", &next)]))));
        }
        page.links.push(("Export as CSV", format!("/audit.csv{}", wanted.and(&[]))));
        page.reply()
    }

    /// The same as a table for other programs, the newest first.
    pub(super) async fn export_audit(&self, asked: &Asked<'_>, person: &Arc<Person>) -> Reply {
        let wanted = Wanted::of(asked);
        let (mut export, mut count) = (Export::new(), 0);
        let mut before = asked.form.typed("before").map(str::to_owned);
        for _ in 0..EXPORT_QUESTIONS_MAX {
            let missing = u32::try_from(EXPORT_RECORDS_MAX - count).unwrap_or(AUDIT_PAGE_MAX);
            let limit = missing.min(AUDIT_PAGE_MAX);
            let found = match self.records(person, &wanted, before.as_deref(), limit).await {
                Ok(found) => found,
                Err(refused) => return Look::new(&shown(asked, person), "Audit trail").refused(&refused),
            };
            count += found.items.len();
            found.items.iter().for_each(|record| export.add(record));
            before = found.next.map(|next| next.to_string());
            if before.is_none() || count >= EXPORT_RECORDS_MAX {
                break;
            }
        }
        if let Some(before) = before {
            export.add(&cut(count, &before));
        }
        file(export)
    }

    /// Why a login was decided as it was.
    pub(super) async fn explain(&self, asked: &Asked<'_>, person: &Arc<Person>) -> Reply {
        let visitor = shown(asked, person);
        let reference = asked.form.typed("reference");
        let mut page = Look::new(&visitor, "Explain a decision");
        if !may(person, Verb::Explain) {
            return page.refused(&Refused::denied());
        }
        (page.action, page.button) = ("/explain", "Explain");
        let field = Field::new("reference", "Reference", reference).required();
        page.questions = vec![field.with_hint("Eight characters, as the user was shown them: 7K2M-9QXD")];
        let Some(reference) = reference else { return page.reply() };
        match self.ask::<Decision>(person, Ask::get(path(&["v1", "decisions", reference]))).await {
            Ok(decision) => {
                page.sections.push(Section::new("", &facts(&decision.record)));
                page.reply()
            }
            Err(refused) => page.refused(&refused),
        }
    }

    async fn records(
        &self,
        person: &Arc<Person>,
        wanted: &Wanted<'_>,
        before: Option<&str>,
        limit: u32,
    ) -> Result<AuditPage, Refused> {
        let limit = limit.to_string();
        let mut more = vec![("order", "newest"), ("limit", limit.as_str())];
        more.extend(before.map(|before| ("before", before)));
        self.ask(person, Ask::get(format!("/v1/audit{}", wanted.and(&more)))).await
    }
}

/// What stands last in a file that does not hold all that was wanted.
fn cut(count: usize, before: &str) -> AuditRecord {
    let detail =
        format!("this file holds {count} records and is not whole: older ones come with before={before}");
    AuditRecord { event: "export_cut".into(), detail: Some(detail), ..AuditRecord::default() }
}

fn file(export: Export) -> Reply {
    let mut reply = Response::new(Full::new(Bytes::from(export.into_bytes())));
    *reply.status_mut() = StatusCode::OK;
    let said = [
        (CONTENT_TYPE, "text/csv; charset=utf-8; header=present"),
        (CONTENT_DISPOSITION, "attachment; filename=\"postern-audit.csv\""),
    ];
    for (name, value) in said {
        reply.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    reply
}

fn row(record: &AuditRecord) -> [Cell; 11] {
    let explained = format!("/explain{}", query([("reference", record.reference.as_str())]));
    [
        record.at.as_str().into(),
        record.event.as_str().into(),
        record.verdict.as_deref().into(),
        who(record).into(),
        record.service.as_deref().into(),
        record.host.as_deref().into(),
        record.rhost.as_deref().into(),
        record.token.as_deref().into(),
        record.actor.as_deref().into(),
        why(record).into(),
        Cell::leading(&record.reference, explained),
    ]
}

fn facts(record: &AuditRecord) -> Facts {
    Facts(vec![
        ("Reference", record.reference.as_str().into()),
        ("Event", record.event.as_str().into()),
        ("Verdict", record.verdict.as_deref().into()),
        ("Why", why(record).into()),
        ("Rule", record.rule.as_deref().into()),
        ("Roll-out", record.rollout.as_deref().into()),
        ("At", record.at.as_str().into()),
        ("User", record.user.as_deref().into()),
        ("Person", record.person.as_deref().into()),
        ("Service", record.service.as_deref().into()),
        ("Host", record.host.as_deref().into()),
        ("From", record.rhost.as_deref().into()),
        ("Terminal", record.tty.as_deref().into()),
        ("Asked by", record.ruser.as_deref().into()),
        ("Token", record.token.as_deref().into()),
        ("Done by", record.actor.as_deref().into()),
        ("Sequence", record.sequence.to_string().into()),
    ])
}

/// The account, and the person where it is known.
fn who(record: &AuditRecord) -> String {
    match (&record.user, &record.person) {
        (Some(user), Some(person)) => format!("{user} ({person})"),
        (user, person) => or_dash(user.as_deref().or(person.as_deref())),
    }
}

/// The reason with everything that makes it clear: `replayed, used 12 s ago (and 3 more like it)`.
fn why(record: &AuditRecord) -> String {
    let detail = record.detail.as_ref().map(|detail| format!(", {detail}")).unwrap_or_default();
    let repeats = record.repeats.filter(|count| *count > 0);
    let repeats = repeats.map(|count| format!(" (and {count} more like it)")).unwrap_or_default();
    format!("{}{detail}{repeats}", record.reason)
}
