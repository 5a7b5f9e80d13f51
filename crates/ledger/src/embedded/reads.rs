//! What others read through the writer's connection, in pieces: everything for a start, and the audit trail.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::store::{self, RecordKey};
use super::trail::{self, AuditEnd};
use super::writer::Writer;
use crate::mac::MAC_BYTES;
use crate::{AuditLine, AuditReport, Credential, CredentialId, ReadError, Record};

/// Most audit lines that one reading takes: the writer does nothing else meanwhile.
const AUDIT_LINES_MAX: usize = 1024;

/// Most credentials in one piece of a loading.
pub(super) const CREDENTIALS_MAX: usize = 4096;

/// Most records in one piece of a loading, a quarter of a megabyte of usual ones; the writer takes about a
/// millisecond for them.
pub(super) const RECORDS_MAX: usize = 512;

/// A piece of what is stored, and the record after which the next one begins; none where it was the last.
pub(super) type RecordsPiece = (Vec<Record>, Option<RecordKey>);

impl Writer {
    /// Credentials by id, from `from` on.
    pub(super) fn credentials(&self, from: CredentialId) -> Vec<Credential> {
        self.standings.from(from, CREDENTIALS_MAX)
    }

    /// Records by kind and key, after `after`.
    pub(super) fn records_after(&self, after: Option<&RecordKey>) -> Result<RecordsPiece, ReadError> {
        let stored = store::records_after(&self.db, after, RECORDS_MAX)?;
        let mut piece: BTreeMap<RecordKey, Option<Vec<u8>>> = BTreeMap::new();
        let mut last = None;
        let is_full = stored.len() == RECORDS_MAX;
        for row in stored {
            let name = row.name();
            let (key, value, _) = row.verified(&self.keys).ok_or_else(|| damaged("record", name))?;
            piece.insert(key, Some(value));
        }
        if is_full {
            last = piece.last_key_value().map(|(key, _)| key.clone());
        }
        // What is not folded yet comes over it, the oldest first, as far as all of them reach.
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let waiting =
            [self.folding.as_ref().map(super::fold::Folding::records), Some(self.backlog.records())];
        for records in waiting.into_iter().flatten() {
            let mut count = 0;
            for (key, value) in records.range((after, Bound::Unbounded)).take(RECORDS_MAX) {
                if last.as_ref().is_some_and(|last| key > last) {
                    break;
                }
                piece.insert(key.clone(), value.clone());
                count += 1;
                if count == RECORDS_MAX {
                    last = Some(key.clone());
                }
            }
        }
        let is_inside = |key: &RecordKey| last.as_ref().is_none_or(|last| key <= last);
        let piece = piece.into_iter().filter(|(key, _)| is_inside(key));
        let record =
            |((kind, key), value): (RecordKey, Option<Vec<u8>>)| Some(Record { kind, key, value: value? });
        Ok((piece.filter_map(record).collect(), last))
    }

    /// One record.
    pub(super) fn record(&self, key: &RecordKey) -> Result<Option<Vec<u8>>, ReadError> {
        let folding = self.folding.as_ref().and_then(|folding| folding.records().get(key));
        if let Some(value) = self.backlog.records().get(key).or(folding) {
            return Ok(value.clone());
        }
        let Some(row) = store::record(&self.db, key)? else { return Ok(None) };
        let name = row.name();
        row.verified(&self.keys).map(|(_, value, _)| Some(value)).ok_or_else(|| damaged("record", name))
    }

    /// Audit lines after a sequence, checked against the chain.
    pub(super) fn audit_after(&self, after: u64, limit: usize) -> Result<Vec<AuditLine>, ReadError> {
        if after >= self.audit.sequence || limit == 0 {
            return Ok(Vec::new());
        }
        let mut walk = AuditEnd { sequence: after, head: self.chain_value(after)? };
        let (lines, is_whole) = self.audit_lines(after + 1, limit.min(AUDIT_LINES_MAX))?;
        match lines.iter().find(|line| !walk.step(&self.keys.audit, line)) {
            // Also where the very next line is the one that is missing.
            Some(_) => Err(damaged_line(walk.sequence + 1)),
            None if lines.is_empty() || !is_whole => Err(damaged_line(walk.sequence + 1)),
            None => Ok(lines),
        }
    }

    /// The newest audit line with a reference, checked against the chain.
    pub(super) fn audit_by_reference(&self, reference: [u8; 8]) -> Result<Option<AuditLine>, ReadError> {
        let runs = self.meta.runs;
        let mut found = self.references.newest(reference, runs);
        for run in (0..runs).rev() {
            if found.is_some() {
                break;
            }
            let number = trail::list_number(run, reference);
            let list = store::list(&self.db, number)?.unwrap_or_default();
            found = trail::search(&list, run, reference, &self.keys)
                .map_err(|_| damaged("list of audit references", number.to_string()))?;
        }
        let Some(sequence) = found else { return Ok(None) };
        let line = self.audit_after(sequence - 1, 1)?.into_iter().next();
        line.filter(|line| line.reference == reference).map(Some).ok_or_else(|| damaged_line(sequence))
    }

    /// Goes on with a walk along the trail; gives a report when it has ended.
    pub(super) fn audit_walk(&self, walk: &mut AuditEnd) -> Result<Option<AuditReport>, ReadError> {
        let (lines, is_whole) = self.audit_lines(walk.sequence + 1, AUDIT_LINES_MAX)?;
        let is_broken = lines.iter().any(|line| !walk.step(&self.keys.audit, line)) || !is_whole;
        if !is_broken && !lines.is_empty() {
            return Ok(None);
        }
        let broken_at = (is_broken || *walk != self.audit).then_some(walk.sequence + 1);
        Ok(Some(AuditReport { records: walk.sequence, broken_at, head: walk.head }))
    }

    fn chain_value(&self, sequence: u64) -> Result<crate::mac::Mac, ReadError> {
        if sequence == 0 {
            return Ok([0; MAC_BYTES]);
        }
        let line = self.audit_lines(sequence, 1)?.0.into_iter().next();
        line.filter(|line| line.sequence == sequence)
            .map(|line| line.chain)
            .ok_or_else(|| damaged_line(sequence))
    }

    /// Up to `limit` lines from sequence `from` on, oldest first; and whether all of them could be read.
    fn audit_lines(&self, from: u64, limit: usize) -> Result<(Vec<AuditLine>, bool), ReadError> {
        let (mut found, mut is_whole) = (Vec::new(), true);
        store::each_trail_row(&self.db, from, |first, row| {
            for line in trail::lines(first, row) {
                match line {
                    Ok(line) if line.sequence < from => {}
                    Ok(line) if found.len() < limit => found.push(line),
                    Ok(_) => return false,
                    Err(_) => {
                        is_whole = false;
                        return false;
                    }
                }
            }
            found.len() < limit
        })?;
        Ok((found, is_whole))
    }
}

impl From<rusqlite::Error> for ReadError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store { what: "the store", source: error.into() }
    }
}

fn damaged(what: &'static str, row: String) -> ReadError {
    ReadError::Damaged { what, row }
}

fn damaged_line(sequence: u64) -> ReadError {
    damaged("audit line", sequence.to_string())
}
