//! What others read through the writer's connection: everything for a start, and the audit trail.

use std::collections::BTreeMap;

use super::fold::{Folding, chain};
use super::store::{self, RecordKey};
use super::writer::Writer;
use crate::mac::{MAC_BYTES, Mac};
use crate::{AuditLine, AuditReport, Contents, Credential, ReadError, Record};

/// Most audit lines that one reading takes: the writer does nothing else meanwhile.
const AUDIT_LINES_MAX: usize = 1024;

/// How far a walk along the audit trail has come.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AuditWalk {
    /// The last line that was right.
    pub(super) sequence: u64,
    /// Its chain value.
    pub(super) head: Mac,
}

impl Writer {
    /// Everything that is durable.
    pub(super) fn contents(&self) -> Result<Contents, ReadError> {
        let credential = |(id, standing): (&_, &crate::decide::Standing)| Credential {
            id: *id,
            value: standing.value,
            by: standing.by,
        };
        let mut credentials: Vec<Credential> = self.standings.iter().map(credential).collect();
        credentials.sort_unstable_by_key(|credential| credential.id);
        Ok(Contents { credentials, records: self.records()? })
    }

    fn records(&self) -> Result<Vec<Record>, ReadError> {
        let mut records: BTreeMap<RecordKey, Vec<u8>> = BTreeMap::new();
        store::each_record(&self.db, |row| {
            let name = format!("{}/{:02x?}", row.kind, row.key);
            let (key, value, _) =
                row.verified(&self.keys).ok_or(ReadError::Damaged { what: "record", row: name })?;
            records.insert(key, value);
            Ok::<_, ReadError>(())
        })?;
        let folding = self.folding.iter().flat_map(Folding::records);
        for (key, value) in folding.chain(self.backlog.records()) {
            match value {
                Some(value) => records.insert(key.clone(), value.clone()),
                None => records.remove(key),
            };
        }
        Ok(records.into_iter().map(|((kind, key), value)| Record { kind, key, value }).collect())
    }

    /// Audit lines after a sequence, checked against the chain.
    pub(super) fn audit_after(&mut self, after: u64, limit: usize) -> Result<Vec<AuditLine>, ReadError> {
        self.fold_for_reader()?;
        if after >= self.meta.audit_sequence || limit == 0 {
            return Ok(Vec::new());
        }
        let mut walk = AuditWalk { sequence: after, head: self.chain_value(after)? };
        let lines = self.audit_lines(after + 1, limit.min(AUDIT_LINES_MAX))?;
        match lines.iter().find(|line| !self.step(&mut walk, line)) {
            // Also where the very next line is the one that is missing.
            Some(_) => Err(damaged_line(walk.sequence + 1)),
            None if lines.is_empty() => Err(damaged_line(after + 1)),
            None => Ok(lines),
        }
    }

    /// The sequence of the newest audit line.
    pub(super) fn audit_newest(&mut self) -> Result<u64, ReadError> {
        self.fold_for_reader()?;
        Ok(self.meta.audit_sequence)
    }

    /// The newest audit line with a reference, checked against the chain.
    pub(super) fn audit_by_reference(&mut self, reference: [u8; 8]) -> Result<Option<AuditLine>, ReadError> {
        self.fold_for_reader()?;
        let Some(sequence) = store::audit_by_reference(&self.db, reference)? else { return Ok(None) };
        let before = sequence.wrapping_sub(1);
        Ok(self.audit_after(before, 1)?.into_iter().next())
    }

    /// Goes on with a walk along the trail; gives a report when it has ended.
    pub(super) fn audit_walk(&mut self, walk: &mut AuditWalk) -> Result<Option<AuditReport>, ReadError> {
        self.fold_for_reader()?;
        let lines = self.audit_lines(walk.sequence + 1, AUDIT_LINES_MAX)?;
        let is_broken = lines.iter().any(|line| !self.step(walk, line));
        if !is_broken && !lines.is_empty() {
            return Ok(None);
        }
        let is_whole = walk.sequence == self.meta.audit_sequence && walk.head == self.meta.audit_head;
        let broken_at = (is_broken || !is_whole).then_some(walk.sequence + 1);
        Ok(Some(AuditReport { records: walk.sequence, broken_at, head: walk.head }))
    }

    /// Goes one line further; false where the line is not the next one, or not as it was written.
    fn step(&self, walk: &mut AuditWalk, line: &AuditLine) -> bool {
        let expected = chain(&self.keys.audit, &walk.head, line.sequence, &line.reference, &line.body);
        if line.sequence != walk.sequence + 1 || line.chain != expected {
            return false;
        }
        *walk = AuditWalk { sequence: line.sequence, head: line.chain };
        true
    }

    fn chain_value(&self, sequence: u64) -> Result<Mac, ReadError> {
        if sequence == 0 {
            return Ok([0; MAC_BYTES]);
        }
        let line = self.audit_lines(sequence, 1)?.into_iter().next();
        line.filter(|line| line.sequence == sequence)
            .map(|line| line.chain)
            .ok_or_else(|| damaged_line(sequence))
    }

    fn audit_lines(&self, from: u64, limit: usize) -> Result<Vec<AuditLine>, ReadError> {
        match store::audit_lines(&self.db, from, limit) {
            // A column of another length or type than was written.
            Err(rusqlite::Error::FromSqlConversionFailure(..) | rusqlite::Error::InvalidColumnType(..)) => {
                Err(ReadError::Damaged { what: "audit line", row: format!("from {from} on") })
            }
            lines => Ok(lines?),
        }
    }

    fn fold_for_reader(&mut self) -> Result<(), ReadError> {
        self.fold_all().map_err(|failure| {
            if let store::Failure::Fatal(message) = &failure {
                self.die(message);
            }
            failure.unreadable("audit trail")
        })
    }
}

impl From<rusqlite::Error> for ReadError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store { what: "the store", source: error.into() }
    }
}

fn damaged_line(sequence: u64) -> ReadError {
    ReadError::Damaged { what: "audit line", row: sequence.to_string() }
}
