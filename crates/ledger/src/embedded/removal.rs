//! Takes lines out of the audit trail, and leaves links in their place.
//!
//! All of it is one transaction: after a crash the lines are there, or the links are. What is not as it was written is
//! not touched, so that no link ever stands for a line that was changed. Does not decide which lines go.

use std::collections::{BTreeMap, BTreeSet};

use super::keys::RowKeys;
use super::link::{LINK_LINES_MAX, Link, stump};
use super::reads::damaged_line;
use super::store::{self, Failure};
use super::trail::{self, AuditEnd, Item, put_line};
use super::writer::Writer;
use crate::ReadError;
use crate::mac::Mac;

/// What is looked at in one removal, removed or not; with a row more, so that its end is seen. 500 lines, with as many
/// links between them, in the middle of rows of the largest batches are well within it. A stretch that is longer loses
/// those lines that it comes to.
const STRETCH_ITEMS_MAX: usize = 4096;

/// Rows of the trail by their first line.
type TrailRows = BTreeMap<u64, Vec<u8>>;

impl Writer {
    /// Removes these lines, except the newest of the trail; those that are not there are passed over. Tells how many were
    /// removed.
    pub(super) fn audit_remove(&mut self, wanted: &[u64]) -> Result<u64, ReadError> {
        let newest = self.audit.sequence;
        let wanted: BTreeSet<u64> = wanted.iter().copied().filter(|n| (1..newest).contains(n)).collect();
        let (Some(first), Some(last)) = (wanted.first(), wanted.last()) else { return Ok(0) };
        // The neighbours too: a link there takes the lines in.
        let old = self.trail_rows(first.saturating_sub(1).max(1), last + 1)?;
        let Some(row) = old.keys().next() else { return Err(damaged_line(*first)) };
        let before = row.saturating_sub(1);
        let mut walk = AuditEnd { sequence: before, head: self.chain_value(before)? };
        let mut folded = Folded::new(&self.keys);
        for (first, row) in &old {
            folded.row = None;
            for item in trail::items(*first, row) {
                let item = item.map_err(|_| damaged_line(walk.sequence + 1))?;
                let head = walk.head;
                if !walk.step(&self.keys, &item) {
                    return Err(damaged_line(walk.sequence + 1));
                }
                folded.take(&head, item, &wanted);
            }
        }
        let (rows, removed) = folded.finish();
        if removed > 0 {
            self.replace_rows(&old, &rows).map_err(|failure| {
                if let Failure::Fatal(message) = &failure {
                    self.die(message);
                }
                failure.unreadable("the audit trail")
            })?;
        }
        Ok(removed)
    }

    /// The rows from the one that holds line `from` on, to that of line `to` or until they are many.
    fn trail_rows(&self, from: u64, to: u64) -> Result<TrailRows, ReadError> {
        let (mut rows, mut items) = (TrailRows::new(), 0);
        store::each_trail_row(&self.db, from, |first, row| {
            if first > to || items >= STRETCH_ITEMS_MAX {
                return false;
            }
            items += trail::items(first, row).count();
            rows.insert(first, row.to_vec());
            true
        })?;
        Ok(rows)
    }

    fn replace_rows(&mut self, old: &TrailRows, new: &TrailRows) -> Result<(), Failure> {
        // Whoever has them removed wants them gone, also from pages that are given back.
        store::overwrite_deleted(&self.db, true)?;
        self.overwrites_whole = true;
        store::transaction(&self.db, |db| -> Result<(), Failure> {
            for first in old.keys().filter(|first| !new.contains_key(first)) {
                store::remove_trail_row(db, *first)?;
            }
            for (first, row) in new.iter().filter(|(first, row)| old.get(first) != Some(row)) {
                store::put_trail_row(db, *first, row)?;
            }
            Ok(())
        })?;
        self.after_removal()
    }
}

/// Rows as they are to be written.
struct Folded<'a> {
    keys: &'a RowKeys,
    rows: TrailRows,
    removed: u64,
    /// Into which row goes what remains of the one that is read; none before something remains.
    row: Option<u64>,
    /// Takes in what is removed next.
    open: Option<OpenLink>,
}

struct OpenLink {
    /// In which row it stands.
    row: u64,
    before: Mac,
    first: u64,
    stumps: Vec<[u8; 8]>,
    chain: Mac,
}

impl<'a> Folded<'a> {
    fn new(keys: &'a RowKeys) -> Self {
        Self { keys, rows: TrailRows::new(), removed: 0, row: None, open: None }
    }

    /// Takes the next piece of the trail.
    ///
    /// * `before`: the chain value before it.
    fn take(&mut self, before: &Mac, item: Item, wanted: &BTreeSet<u64>) {
        match item {
            Item::Line(line) if wanted.contains(&line.sequence) => {
                self.removed += 1;
                self.fold(before, line.sequence, &[stump(&line.chain)], line.chain);
            }
            Item::Link(link) => self.fold(before, link.first, &link.stumps, link.chain),
            Item::Line(line) => {
                self.end_link();
                let row = *self.row.get_or_insert(line.sequence);
                let bytes = self.rows.entry(row).or_default();
                put_line(bytes, &line.reference, &line.body, &line.chain);
            }
        }
    }

    fn fold(&mut self, before: &Mac, first: u64, stumps: &[[u8; 8]], chain: Mac) {
        match &mut self.open {
            Some(open) if open.stumps.len() + stumps.len() <= LINK_LINES_MAX => {
                open.stumps.extend_from_slice(stumps);
                open.chain = chain;
            }
            Some(_) | None => {
                self.end_link();
                let row = *self.row.get_or_insert(first);
                self.open = Some(OpenLink { row, before: *before, first, stumps: stumps.to_vec(), chain });
            }
        }
    }

    fn end_link(&mut self) {
        let Some(OpenLink { row, before, first, stumps, chain }) = self.open.take() else { return };
        Link::new(&before, first, stumps, chain, self.keys).put(self.rows.entry(row).or_default());
    }

    fn finish(mut self) -> (TrailRows, u64) {
        self.end_link();
        (self.rows, self.removed)
    }
}
