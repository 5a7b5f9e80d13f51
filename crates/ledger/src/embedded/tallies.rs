//! What the writer has done, counted on its thread, and shown to whoever asks on another.

use std::sync::atomic::{AtomicU64, Ordering};

use super::fold::{Folding, Weight};
use super::writer::Writer;
use crate::Figures;

/// Counted by the writer alone.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tallies {
    commits: u64,
    entries: u64,
    largest_batch: u64,
    pub(super) folds: u64,
}

impl Tallies {
    /// Counts a commit of so many entries.
    pub(super) fn count(&mut self, entries: usize) {
        self.commits += 1;
        self.entries += entries as u64;
        self.largest_batch = self.largest_batch.max(entries as u64);
    }
}

/// The figures as they were after a turn of the writer. Each is right by itself; two may be of different turns.
#[derive(Debug, Default)]
pub(super) struct Shown([AtomicU64; 8]);

impl Shown {
    /// Shows what the writer has come to.
    pub(super) fn show(&self, writer: &Writer) {
        let Tallies { commits, entries, largest_batch, folds } = writer.tallies;
        let folding = writer.folding.as_ref().map(Folding::weight).unwrap_or_default();
        let rows = |weight: &Weight| (weight.moves + weight.records) as u64;
        let backlog = writer.backlog.weight();
        let figures = [
            commits,
            entries,
            largest_batch,
            rows(&backlog) + rows(&folding),
            (backlog.bytes + folding.bytes) as u64,
            writer.chores.log_pages() as u64,
            folds,
            writer.audit.sequence,
        ];
        for (shown, figure) in self.0.iter().zip(figures) {
            // Nothing else is published by it.
            shown.store(figure, Ordering::Relaxed);
        }
    }

    /// What was shown last.
    pub(super) fn read(&self) -> Figures {
        let [commits, entries, largest_batch, backlog_rows, backlog_bytes, log_pages, folds, audit_newest] =
            std::array::from_fn(|at| self.0[at].load(Ordering::Relaxed));
        Figures {
            commits,
            entries,
            largest_batch,
            backlog_rows,
            backlog_bytes,
            log_pages,
            folds,
            audit_newest,
        }
    }
}
