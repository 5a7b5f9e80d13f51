//! Folding: what stands in the journal moves into the tables, in slices of leaves and records.
//!
//! A generation is everything that has changed since the one before: which leaves, and which records with their
//! values of that moment. It is written slice by slice; its last slice says so in the meta row. A leaf is written as
//! it stands in memory, which may be newer. Each entry in the journal says where things stand afterwards, not by how
//! much they moved, so reading the journal again on top of half a generation, or of something newer, gives the same.
//!
//! The journal's rows are removed a few at a time once they are folded; those that a crash leaves are passed over.
//! Audit lines are no part of this: they stand in the trail from the start. Does not decide when to fold.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use rusqlite::Connection;

use super::keys::RowKeys;
use super::leaf;
use super::meta::Meta;
use super::store::{self, RecordKey};
use super::trail::{AuditEnd, OpenReferences};
use crate::decide::Moves;
use crate::mac::Mac;
use crate::standings::Standings;
use crate::{Change, Entry};

/// Most moves of credentials in the journal, folded or not. With random credentials a generation of half of them
/// touches each of a million's 15,000 leaves, so a leaf's page is written for 70 claims; and a start reads and
/// replays all of them in about a second. Tests reach these bounds more often.
const MOVES_MAX: usize = if cfg!(test) { 16 * 1024 } else { 2 * 1024 * 1024 };

/// Most records in the journal: they are kept in memory until they are folded.
const RECORDS_MAX: usize = if cfg!(test) { 4 * 1024 } else { 128 * 1024 };

/// Most bytes in the journal, for a start that has to read it: as much as that many moves, and some records.
const BYTES_MAX: usize = if cfg!(test) { 4 * 1024 * 1024 } else { 128 * 1024 * 1024 };

/// A share of what the journal may hold is counted in millionths.
pub(super) const WHOLE: usize = 1_000_000;

/// A generation begins at half, and so it ends before the next one does.
pub(super) const HALF: usize = WHOLE / 2;

/// What is durable in the journal and not yet being folded.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    weight: Weight,
    records: BTreeMap<RecordKey, Option<Vec<u8>>>,
}

/// How much there is of what the journal's bounds count.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Weight {
    pub(super) moves: usize,
    pub(super) records: usize,
    pub(super) bytes: usize,
}

impl Weight {
    /// Which share of its bounds it takes, in millionths.
    pub(super) fn share(&self) -> usize {
        let share = |amount: usize, most: usize| amount * WHOLE / most;
        share(self.moves, MOVES_MAX).max(share(self.records, RECORDS_MAX)).max(share(self.bytes, BYTES_MAX))
    }

    fn add(&mut self, other: &Self) {
        self.moves += other.moves;
        self.records += other.records;
        self.bytes += other.bytes;
    }
}

impl Backlog {
    /// Takes in a durable batch: its entries, what they did to the credentials, and how long its row is.
    pub(super) fn take_in(&mut self, entries: impl Iterator<Item = Entry>, moves: &Moves, bytes: usize) {
        let mut records = 0;
        for change in entries.flat_map(|entry| entry.changes) {
            match change {
                Change::Put { kind, key, value } => {
                    records += 1;
                    self.records.insert((kind, key), Some(value));
                }
                Change::Delete { kind, key } => {
                    records += 1;
                    self.records.insert((kind, key), None);
                }
                Change::AddCredential { .. }
                | Change::RemoveCredential { .. }
                | Change::MoveCredential { .. } => {}
            }
        }
        self.weight.add(&Weight { moves: moves.len(), records, bytes });
    }

    /// What has gathered.
    pub(super) fn weight(&self) -> Weight {
        self.weight
    }

    /// The records in it; none where one was deleted.
    pub(super) fn records(&self) -> &BTreeMap<RecordKey, Option<Vec<u8>>> {
        &self.records
    }
}

/// A generation on its way into the tables.
#[derive(Debug)]
pub(super) struct Folding {
    through: u64,
    audit: AuditEnd,
    weight: Weight,
    /// Heads of the families of leaves that have changed.
    heads: Vec<u32>,
    records: BTreeMap<RecordKey, Option<Vec<u8>>>,
    /// The records that are still to be written begin here.
    record_keys: Vec<RecordKey>,
    /// How many of the heads and the records together are done.
    done: usize,
}

/// A piece of work beside commits, to be written in one transaction.
#[derive(Debug, Default)]
pub(super) struct Slice {
    /// Of the generation.
    units: Range<usize>,
    /// Families of several leaves, whose first rows should not wait.
    families: Vec<u32>,
    /// It ends the generation.
    is_last: bool,
    /// Folded rows of the journal are removed up to this one.
    swept: u64,
    /// A run of references is full.
    has_run: bool,
}

/// What a slice has written, to be noted when it is durable.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) meta: Meta,
    pub(super) leaves: Vec<(u32, Mac)>,
}

/// What a slice is written from.
pub(super) struct Sources<'a> {
    pub(super) standings: &'a Standings,
    pub(super) references: &'a OpenReferences,
    pub(super) keys: &'a RowKeys,
    pub(super) meta: &'a Meta,
}

impl Folding {
    /// Begins a generation with everything up to batch `through`, with which the trail ended at `audit`; leaves the
    /// backlog empty.
    pub(super) fn begin(
        backlog: &mut Backlog,
        standings: &mut Standings,
        (through, audit): (u64, AuditEnd),
    ) -> Self {
        let Backlog { weight, records } = std::mem::take(backlog);
        let record_keys = records.keys().cloned().collect();
        // Neighbours go together, so that the database is written from its front to its end.
        let mut heads = standings.take_changed();
        heads.sort_unstable();
        Self { through, audit, weight, heads, records, record_keys, done: 0 }
    }

    /// The next piece, of at most `units_max` families and records.
    pub(super) fn slice(&self, units_max: usize) -> Slice {
        let end = self.units().min(self.done.saturating_add(units_max));
        Slice { units: self.done..end, is_last: end == self.units(), ..Slice::default() }
    }

    /// Notes that a piece is durable; true when the generation is done.
    pub(super) fn advance(&mut self, slice: &Slice) -> bool {
        self.done = slice.units.end;
        slice.is_last
    }

    /// The records in it; none where one was deleted.
    pub(super) fn records(&self) -> &BTreeMap<RecordKey, Option<Vec<u8>>> {
        &self.records
    }

    /// What it came with.
    pub(super) fn weight(&self) -> Weight {
        self.weight
    }

    /// The batch that it ends with.
    pub(super) fn through(&self) -> u64 {
        self.through
    }

    /// How many families and records it has, done or not.
    pub(super) fn units(&self) -> usize {
        self.heads.len() + self.record_keys.len()
    }
}

impl Slice {
    /// Adds all families of several leaves.
    pub(super) fn add_families(&mut self, standings: &Standings) {
        self.families = standings.split_families().collect();
    }

    /// Adds the next run of references.
    pub(super) fn add_run(&mut self) {
        self.has_run = true;
    }

    /// Adds the removal of up to `rows_max` rows of the journal that are folded, of which those up to `swept` are
    /// gone.
    pub(super) fn sweep(&mut self, swept: u64, rows_max: u64, folded: u64, folding: Option<&Folding>) {
        let folded = folding.filter(|_| self.is_last).map_or(folded, Folding::through);
        self.swept = folded.min(swept.saturating_add(rows_max));
    }

    /// Up to which row the journal is removed with it.
    pub(super) fn swept(&self) -> u64 {
        self.swept
    }

    /// Whether it writes a run of references.
    pub(super) fn has_run(&self) -> bool {
        self.has_run
    }

    /// Writes it, and the meta row as it stands with it, as part of a transaction; not the meta row itself.
    pub(super) fn write(
        &self,
        db: &Connection,
        folding: Option<&Folding>,
        from: &Sources<'_>,
    ) -> rusqlite::Result<Written> {
        let mut written = Written { meta: from.meta.clone(), leaves: Vec::new() };
        let heads = folding.map_or(&[][..], |folding| &folding.heads);
        let heads_end = heads.len();
        let heads = &heads[self.units.start.min(heads_end)..self.units.end.min(heads_end)];
        // A family may be asked for twice, and must be counted once.
        let heads: BTreeSet<u32> = heads.iter().chain(&self.families).copied().collect();
        let mut row = Vec::new();
        for (number, leaf) in heads.into_iter().flat_map(|head| from.standings.family(head)) {
            let mac = leaf::encode(&mut row, number, leaf, &from.keys.leaf);
            if let Some(old) = &leaf.mac {
                written.meta.leaves.remove(old);
            }
            written.meta.leaves.add(&mac);
            store::put_leaf(db, number, &row)?;
            written.leaves.push((number, mac));
        }
        if let Some(folding) = folding {
            let keys = self.units.start.max(heads_end) - heads_end..self.units.end.max(heads_end) - heads_end;
            for key in &folding.record_keys[keys] {
                fold_record(db, &mut written.meta, from.keys, key, folding.records[key].as_deref())?;
            }
            if self.is_last {
                written.meta.folded = folding.through;
                written.meta.audit = folding.audit;
            }
        }
        if self.has_run {
            for (number, list) in from.references.lists(written.meta.runs, from.keys) {
                store::add_list(db, number, &list)?;
            }
            written.meta.runs += 1;
        }
        store::remove_journal_through(db, self.swept)?;
        Ok(written)
    }
}

fn fold_record(
    db: &Connection,
    meta: &mut Meta,
    keys: &RowKeys,
    key: &RecordKey,
    value: Option<&[u8]>,
) -> rusqlite::Result<()> {
    if let Some(old) = store::record_mac(db, key)? {
        meta.records.remove(&old);
    }
    match value {
        Some(value) => {
            let mac = store::mac_of_record(keys, key, value);
            meta.records.add(&mac);
            store::put_record(db, key, value, &mac)
        }
        None => store::remove_record(db, key),
    }
}
