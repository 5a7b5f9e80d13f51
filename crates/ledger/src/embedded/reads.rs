//! What others read through the writer's connection, in pieces: everything for a start, and the audit trail.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::store::{self, RecordKey};
use super::trail::{self, AuditEnd, Item};
use super::writer::Writer;
use crate::mac::{MAC_BYTES, Mac};
use crate::{AuditLine, AuditReport, Credential, CredentialId, ReadError, Record};

/// Most audit lines that one reading takes: the writer does nothing else meanwhile.
pub(super) const AUDIT_LINES_MAX: usize = 1024;

/// Most links that one reading takes besides: half a megabyte.
const AUDIT_LINKS_MAX: usize = 64;

/// Most places in one look for where a damaged trail is whole again: each takes some 20 µs of the writer's time.
const ENDS_MAX: usize = 64;

/// Most credentials in one piece of a loading.
pub(super) const CREDENTIALS_MAX: usize = 4096;

/// Most records in one piece of a loading, a quarter of a megabyte of usual ones; the writer takes about a
/// millisecond for them.
pub(super) const RECORDS_MAX: usize = 512;

/// A piece of what is stored, and the record after which the next one begins; none where it was the last.
pub(super) type RecordsPiece = (Vec<Record>, Option<RecordKey>);

/// A piece of the audit trail.
pub(super) struct AuditPiece {
    /// The lines in it, oldest first.
    pub(super) lines: Vec<AuditLine>,
    /// The line that it ends with, there or removed.
    pub(super) through: u64,
    /// Whether the trail ended there.
    pub(super) is_last: bool,
}

/// How far a walk along the trail has come.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Walk {
    end: AuditEnd,
    /// Lines on the way that were removed.
    removed: u64,
}

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
    pub(super) fn audit_piece(&self, after: u64, limit: usize) -> Result<AuditPiece, ReadError> {
        match self.audit_up_to_damage(after, limit)? {
            (piece, None) => Ok(piece),
            (_, Some(fault)) => Err(damaged_line(fault)),
        }
    }

    /// The same, and the first line behind it that is not as it was written, if that is why it ends.
    pub(super) fn audit_up_to_damage(
        &self,
        after: u64,
        limit: usize,
    ) -> Result<(AuditPiece, Option<u64>), ReadError> {
        if after >= self.audit.sequence || limit == 0 {
            return Ok((AuditPiece { lines: Vec::new(), through: after, is_last: true }, None));
        }
        let (items, is_whole) = self.audit_items(after + 1, limit.min(AUDIT_LINES_MAX))?;
        // A link may begin earlier.
        let before = items.first().map_or(after, |item| after.min(item.first().wrapping_sub(1)));
        let head = match self.chain_value(before) {
            Err(ReadError::Damaged { .. }) => {
                let nothing = AuditPiece { lines: Vec::new(), through: after, is_last: false };
                return Ok((nothing, Some(before)));
            }
            head => head?,
        };
        let mut walk = AuditEnd { sequence: before, head };
        let mut lines = Vec::new();
        let mut is_whole = is_whole;
        for item in items {
            if !walk.step(&self.keys, &item) {
                is_whole = false;
                break;
            }
            if let Item::Line(line) = item {
                lines.push(line);
            }
        }
        // Also where the very next line is the one that is missing.
        let fault = (!is_whole || walk.sequence <= after).then(|| walk.sequence.wrapping_add(1));
        let (through, is_last) = (walk.sequence.max(after), walk.sequence >= self.audit.sequence);
        Ok((AuditPiece { lines, through, is_last }, fault))
    }

    /// Looks for where the trail can be read again behind a line that is not as it was written: the last sequence to be
    /// passed over, after `after`, and whether what follows it is whole; else it is to be looked for behind that.
    pub(super) fn audit_behind_damage(&self, after: u64) -> Result<(u64, bool), ReadError> {
        let mut ends = Vec::new();
        store::each_trail_row(&self.db, after + 1, |first, row| {
            // A row that cannot be read ends where the next one begins.
            ends.push(first.wrapping_sub(1));
            ends.extend(trail::items(first, row).map_while(Result::ok).map(|item| item.last()));
            ends.iter().filter(|end| **end > after).count() < ENDS_MAX
        })?;
        ends.retain(|end| *end > after && *end < self.audit.sequence);
        ends.truncate(ENDS_MAX);
        for end in &ends {
            if self.audit_up_to_damage(*end, 1)?.1.is_none() {
                return Ok((*end, true));
            }
        }
        let is_over = ends.len() < ENDS_MAX;
        Ok(if is_over { (self.audit.sequence, true) } else { (ends[ENDS_MAX - 1], false) })
    }

    /// Whether the chain has or had this value at a line; zeros before the first.
    pub(super) fn audit_holds(&self, sequence: u64, head: &Mac) -> Result<bool, ReadError> {
        if sequence == 0 || sequence > self.audit.sequence {
            return Ok(sequence == 0 && *head == [0; MAC_BYTES]);
        }
        let item = self.audit_items(sequence, 1)?.0.into_iter().next();
        let item = item.filter(|item| item.first() <= sequence).ok_or_else(|| damaged_line(sequence))?;
        let before = item.first().wrapping_sub(1);
        let mut walk = AuditEnd { sequence: before, head: self.chain_value(before)? };
        if !walk.step(&self.keys, &item) {
            return Err(damaged_line(item.first()));
        }
        Ok(match item {
            Item::Line(line) => line.chain == *head,
            Item::Link(link) => link.had(sequence, head),
        })
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
        let line = self.audit_piece(sequence - 1, 1)?.lines.into_iter().next();
        // A line that was removed is still in its list.
        let line = line.filter(|line| line.sequence == sequence);
        match line {
            Some(line) if line.reference != reference => Err(damaged_line(sequence)),
            line => Ok(line),
        }
    }

    /// Goes on with a walk along the trail; gives a report when it has ended.
    pub(super) fn audit_walk(&self, walk: &mut Walk) -> Result<Option<AuditReport>, ReadError> {
        let Walk { end, removed } = walk;
        let (items, is_whole) = self.audit_items(end.sequence + 1, AUDIT_LINES_MAX)?;
        let mut is_broken = !is_whole;
        for (at, item) in items.iter().enumerate() {
            let begun = if at == 0 { self.grown_link(end, item)? } else { None };
            let Some(next) = begun.or_else(|| end.next(&self.keys, item)) else {
                is_broken = true;
                break;
            };
            if matches!(item, Item::Link(_)) {
                *removed += next.sequence - end.sequence;
            }
            *end = next;
        }
        if !is_broken && !items.is_empty() {
            return Ok(None);
        }
        let broken_at = (is_broken || *end != self.audit).then_some(end.sequence + 1);
        let records = end.sequence - *removed;
        Ok(Some(AuditReport { records, removed: *removed, broken_at, head: end.head }))
    }

    /// Where the trail stands behind a link that has grown over the end of a walk: lines were removed since, on both sides
    /// of it. It holds at its own place, and stands for a line with the chain value that the walk has come to.
    fn grown_link(&self, end: &AuditEnd, item: &Item) -> Result<Option<AuditEnd>, ReadError> {
        let Item::Link(link) = item else { return Ok(None) };
        if !(1..=end.sequence).contains(&link.first) {
            return Ok(None);
        }
        let before = link.first - 1;
        let head = match self.chain_value(before) {
            Err(ReadError::Damaged { .. }) => return Ok(None),
            head => head?,
        };
        let after = link.end_after(&AuditEnd { sequence: before, head }, &self.keys);
        Ok(after.filter(|_| link.had(end.sequence, &end.head)))
    }

    /// The chain value of a line that is there, or is the last that a link stands for.
    pub(super) fn chain_value(&self, sequence: u64) -> Result<Mac, ReadError> {
        if sequence == 0 {
            return Ok([0; MAC_BYTES]);
        }
        let item = self.audit_items(sequence, 1)?.0.into_iter().next();
        item.map(|item| item.end())
            .filter(|end| end.sequence == sequence)
            .map(|end| end.head)
            .ok_or_else(|| damaged_line(sequence))
    }

    /// What stands from line `from` on, oldest first, up to `limit` lines and some links; and whether all of it could be
    /// read.
    fn audit_items(&self, from: u64, limit: usize) -> Result<(Vec<Item>, bool), ReadError> {
        let (mut found, mut is_whole) = (Vec::new(), true);
        let (mut lines, mut links) = (0, 0);
        store::each_trail_row(&self.db, from, |first, row| {
            for item in trail::items(first, row) {
                match item {
                    Ok(item) if item.last() < from => continue,
                    Ok(_) if lines == limit || links == AUDIT_LINKS_MAX => return false,
                    Ok(item) => {
                        let count = if matches!(item, Item::Line(_)) { &mut lines } else { &mut links };
                        *count += 1;
                        found.push(item);
                    }
                    Err(_) => {
                        is_whole = false;
                        return false;
                    }
                }
            }
            lines < limit
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

pub(super) fn damaged_line(sequence: u64) -> ReadError {
    damaged("audit line", sequence.to_string())
}
