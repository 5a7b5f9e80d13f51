//! Folding: what stands in the journal moves into the tables, in slices of sorted keys.
//!
//! A generation takes everything that has gathered since the one before, as it stands at that moment, and
//! writes it slice by slice; its last slice says so in the meta row and removes the journal's rows. Each entry in
//! the journal says where things stand afterwards, not by how much they moved, so reading the journal again on
//! top of half a generation gives the same result.
//!
//! Does not decide when to fold: the writer does.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use rusqlite::Transaction;

use super::keys::RowKeys;
use super::meta::Meta;
use super::store::{self, RecordKey};
use crate::decide::{Moves, Standing, Standings};
use crate::mac::{Mac, MacKey};
use crate::{AuditEntry, AuditLine, Change, CredentialId, Entry};

/// What is durable in the journal and not yet being folded.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    credentials: BTreeSet<CredentialId>,
    records: BTreeMap<RecordKey, Option<Vec<u8>>>,
    audit: Vec<AuditEntry>,
    bytes: usize,
}

impl Backlog {
    /// Takes in a durable batch: its entries, and what they did to the credentials.
    pub(super) fn take_in(&mut self, entries: impl Iterator<Item = Entry>, moves: &Moves) {
        self.credentials.extend(moves.keys());
        for entry in entries {
            for change in entry.changes {
                match change {
                    Change::Put { kind, key, value } => {
                        self.bytes += key.len() + value.len();
                        self.records.insert((kind, key), Some(value));
                    }
                    Change::Delete { kind, key } => {
                        self.bytes += key.len();
                        self.records.insert((kind, key), None);
                    }
                    Change::AddCredential { .. }
                    | Change::RemoveCredential { .. }
                    | Change::MoveCredential { .. } => {}
                }
            }
            if let Some(audit) = entry.audit {
                self.bytes += audit.body.len();
                self.audit.push(audit);
            }
        }
    }

    /// How many rows there are to write.
    pub(super) fn rows(&self) -> usize {
        self.credentials.len() + self.records.len() + self.audit.len()
    }

    /// How many bytes of keys, values and bodies have gone in.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The records in it; none where one was deleted.
    pub(super) fn records(&self) -> impl Iterator<Item = (&RecordKey, Option<&Vec<u8>>)> {
        self.records.iter().map(|(key, value)| (key, value.as_ref()))
    }
}

/// A generation on its way into the tables.
#[derive(Debug)]
pub(super) struct Folding {
    through: u64,
    credentials: Vec<(CredentialId, Option<Standing>)>,
    records: Vec<(RecordKey, Option<Vec<u8>>)>,
    audit: Vec<AuditEntry>,
    bytes: usize,
    /// How many rows of the three together are done.
    done: usize,
}

/// A piece of a generation, and whether it is the last.
#[derive(Clone, Debug)]
pub(super) struct Slice {
    rows: Range<usize>,
    is_last: bool,
}

impl Folding {
    /// Begins a generation with everything up to batch `through`; leaves the backlog empty.
    pub(super) fn begin(backlog: &mut Backlog, standings: &Standings, through: u64) -> Self {
        let backlog = std::mem::take(backlog);
        let standing = |id: CredentialId| (id, standings.get(&id).copied());
        Self {
            through,
            credentials: backlog.credentials.into_iter().map(standing).collect(),
            records: backlog.records.into_iter().collect(),
            audit: backlog.audit,
            bytes: backlog.bytes,
            done: 0,
        }
    }

    /// The next piece, of at most `rows_max` rows.
    pub(super) fn slice(&self, rows_max: usize) -> Slice {
        let end = self.rows().min(self.done.saturating_add(rows_max));
        Slice { rows: self.done..end, is_last: end == self.rows() }
    }

    /// Writes a piece, and the meta row as it stands with it, as part of a transaction.
    pub(super) fn write(
        &self,
        tx: &Transaction<'_>,
        slice: &Slice,
        meta: &Meta,
        (keys, meta_key): (&RowKeys, &MacKey),
    ) -> rusqlite::Result<Meta> {
        let mut meta = meta.clone();
        let first_record = self.credentials.len();
        let first_audit = first_record + self.records.len();
        for row in slice.rows.clone() {
            if row < first_record {
                let (id, standing) = &self.credentials[row];
                fold_credential(tx, &mut meta, keys, *id, standing.as_ref())?;
            } else if row < first_audit {
                let (key, value) = &self.records[row - first_record];
                fold_record(tx, &mut meta, keys, key, value.as_deref())?;
            } else {
                fold_audit(tx, &mut meta, keys, &self.audit[row - first_audit])?;
            }
        }
        if slice.is_last {
            meta.folded = self.through;
            meta.audit_folded = meta.audit_sequence;
            store::remove_journal_through(tx, self.through)?;
        }
        store::write_meta(tx, &meta.seal(meta_key))?;
        Ok(meta)
    }

    /// Notes that a piece is durable; true when the generation is done.
    pub(super) fn advance(&mut self, slice: &Slice) -> bool {
        self.done = slice.rows.end;
        slice.is_last
    }

    /// The records in it; none where one was deleted.
    pub(super) fn records(&self) -> impl Iterator<Item = (&RecordKey, Option<&Vec<u8>>)> {
        self.records.iter().map(|(key, value)| (key, value.as_ref()))
    }

    /// How many rows are still to be written, and how many bytes the whole generation holds.
    pub(super) fn left(&self) -> (usize, usize) {
        (self.rows() - self.done, self.bytes)
    }

    fn rows(&self) -> usize {
        self.credentials.len() + self.records.len() + self.audit.len()
    }
}

/// The chain value of an audit line: over the one before it, the sequence, the reference and the body.
pub(super) fn chain(key: &MacKey, before: &Mac, sequence: u64, reference: &[u8; 8], body: &[u8]) -> Mac {
    key.mac(&[before, &sequence.to_be_bytes(), reference, body])
}

fn fold_credential(
    tx: &Transaction<'_>,
    meta: &mut Meta,
    keys: &RowKeys,
    id: CredentialId,
    standing: Option<&Standing>,
) -> rusqlite::Result<()> {
    if let Some(old) = store::credential_mac(tx, id)? {
        meta.credentials.remove(&old);
    }
    match standing {
        Some(standing) => {
            let mac = store::mac_of_credential(keys, id, standing);
            meta.credentials.add(&mac);
            store::put_credential(tx, id, standing, &mac)
        }
        None => store::remove_credential(tx, id),
    }
}

fn fold_record(
    tx: &Transaction<'_>,
    meta: &mut Meta,
    keys: &RowKeys,
    key: &RecordKey,
    value: Option<&[u8]>,
) -> rusqlite::Result<()> {
    if let Some(old) = store::record_mac(tx, key)? {
        meta.records.remove(&old);
    }
    match value {
        Some(value) => {
            let mac = store::mac_of_record(keys, key, value);
            meta.records.add(&mac);
            store::put_record(tx, key, value, &mac)
        }
        None => store::remove_record(tx, key),
    }
}

fn fold_audit(
    tx: &Transaction<'_>,
    meta: &mut Meta,
    keys: &RowKeys,
    entry: &AuditEntry,
) -> rusqlite::Result<()> {
    let sequence = meta.audit_sequence + 1;
    let chain = chain(&keys.audit, &meta.audit_head, sequence, &entry.reference, &entry.body);
    let line = AuditLine { sequence, reference: entry.reference, body: entry.body.clone(), chain };
    store::add_audit_line(tx, &line)?;
    meta.audit_sequence = sequence;
    meta.audit_head = chain;
    Ok(())
}
