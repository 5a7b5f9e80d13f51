//! Compares what clients were told with what the audit trail says.
//!
//! Two rules: no step of a user is accepted twice, neither in the journal nor in the trail; and every accept that
//! a client was told of has its record. An accept without a client who heard of it breaks neither: the reply may
//! have been lost.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use wire::admin::{AuditPage, AuditRecord};
use wire::login::Verdict;

use crate::args::CheckArgs;
use crate::journal::{self, Line};
use crate::report::{Conclusion, MISCOUNTS_SHOWN_MAX};

/// Reads both, compares, prints every contradiction.
///
/// # Errors
/// When a file cannot be read.
pub fn run(args: &CheckArgs) -> Result<Conclusion> {
    let journal = journal::read(&args.journal)?;
    let trail = read_trail(&args.audit)?;
    let accepts = journal.lines.iter().filter(|line| line.verdict == Verdict::Allow).count();
    let unknown = journal.lines.iter().filter(|line| line.verdict == Verdict::Unknown).count();
    println!("journal: {} replies, {accepts} accepts, {unknown} unknown", journal.lines.len());
    if journal.is_torn {
        println!("journal: the last line broke off and was left out");
    }
    println!("audit trail: {}", extent(&trail));

    let contradictions = compare(&journal.lines, &trail);
    contradictions.iter().take(MISCOUNTS_SHOWN_MAX).for_each(|contradiction| println!("{contradiction}"));
    if contradictions.len() > MISCOUNTS_SHOWN_MAX {
        println!("... and {} more", contradictions.len() - MISCOUNTS_SHOWN_MAX);
    }
    if contradictions.is_empty() {
        println!("check: they agree");
        return Ok(Conclusion::Right);
    }
    println!("check: {} contradictions", contradictions.len());
    Ok(Conclusion::Miscounted)
}

/// Everything that cannot be, one line each.
fn compare(journal: &[Line], trail: &[AuditRecord]) -> Vec<String> {
    let mut contradictions = accepted_twice_in_journal(journal);
    contradictions.extend(accepted_twice_in_trail(trail));
    contradictions.extend(accepted_without_record(journal, trail));
    contradictions
}

fn accepts(journal: &[Line]) -> impl Iterator<Item = &Line> {
    journal.iter().filter(|line| line.verdict == Verdict::Allow)
}

fn accepted_twice_in_journal(journal: &[Line]) -> Vec<String> {
    let mut first = BTreeMap::new();
    let mut twice = Vec::new();
    for line in accepts(journal) {
        let Some(step) = line.step else {
            twice.push(format!("a wrong code was accepted: {}", describe(line)));
            continue;
        };
        if let Some(first) = first.insert((&line.user, step), line) {
            twice.push(format!("accepted twice: {} and {}", describe(first), describe(line)));
        }
    }
    twice
}

/// The trail names the step of an accept in its detail, and a token that was made anew may use a step again.
fn accepted_twice_in_trail(trail: &[AuditRecord]) -> Vec<String> {
    let mut first: BTreeMap<_, &AuditRecord> = BTreeMap::new();
    let mut twice = Vec::new();
    for record in trail.iter().filter(|record| is_allow(record)) {
        let Some(step) = record.detail.as_deref().filter(|detail| detail.starts_with("step ")) else {
            continue;
        };
        if let Some(first) = first.insert((&record.user, &record.token, step), record) {
            twice.push(format!(
                "accepted twice: audit records {} and {}, both {step} of {:?}",
                first.sequence,
                record.sequence,
                record.user.as_deref().unwrap_or_default()
            ));
        }
    }
    twice
}

fn accepted_without_record(journal: &[Line], trail: &[AuditRecord]) -> Vec<String> {
    let records: BTreeMap<&str, &AuditRecord> =
        trail.iter().map(|record| (record.reference.as_str(), record)).collect();
    let has_record = |line: &&Line| {
        let record = line.reference.as_deref().and_then(|reference| records.get(reference));
        record.is_some_and(|record| is_allow(record) && record.user.as_ref() == Some(&line.user))
    };
    accepts(journal)
        .filter(|line| !has_record(line))
        .map(|line| format!("accepted without a record: {}", describe(line)))
        .collect()
}

fn is_allow(record: &AuditRecord) -> bool {
    record.verdict.as_deref() == Some("allow")
}

fn describe(line: &Line) -> String {
    let step = line.step.map_or_else(|| "no step".to_owned(), |step| format!("step {step}"));
    let reference = line.reference.as_deref().unwrap_or("none");
    format!("{:?}, {step}, request {}, reference {reference}", line.user, line.request_id)
}

fn extent(trail: &[AuditRecord]) -> String {
    match (trail.first(), trail.last()) {
        (Some(first), Some(last)) => {
            format!("{} records, {} to {}", trail.len(), first.sequence, last.sequence)
        }
        _ => "no records".to_owned(),
    }
}

fn read_trail(path: &Path) -> Result<Vec<AuditRecord>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse_trail(&text).with_context(|| format!("{} is not an audit trail", path.display()))
}

/// One page, or several one after the other.
fn parse_trail(text: &str) -> Result<Vec<AuditRecord>> {
    let pages = serde_json::Deserializer::from_str(text).into_iter::<AuditPage>();
    let pages = pages.collect::<Result<Vec<_>, _>>()?;
    ensure!(!pages.is_empty(), "no page in it");
    for page in &pages {
        ensure!(page.api_version == wire::API_VERSION, "a page is of version {}", page.api_version);
    }
    Ok(pages.into_iter().flat_map(|page| page.items).collect())
}

#[cfg(test)]
mod tests;
