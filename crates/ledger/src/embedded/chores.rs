//! What the writer does beside commits: the mark, folding, checkpoints, the reserve, and closing.
//!
//! Chores come in small pieces, one at a time, when nobody waits; between two pieces the queue is looked at. What
//! must not wait for a quiet moment (the mark after many commits, a log that has grown long, a backlog that has)
//! is done after a commit or rides on it.

use std::time::Duration;

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use super::fold::{Folding, HALF, Slice, Sources, Weight, Written};
use super::mark::{Mark, Marking};
use super::place::is_full_or_read_only;
use super::store::{self, Checkpoint, Failure};
use super::writer::Writer;
use crate::{Change, Entry, ReadError};

/// With nobody waiting this long, the mark is brought up to date.
const PAUSE: Duration = Duration::from_millis(20);

/// With nobody waiting this long, the journal is folded and the log emptied; and after a full disk, what failed is
/// tried again this often.
const QUIET: Duration = Duration::from_secs(1);

/// The mark is at most this many commits behind. Commits that leave no pause between them are less than 20 ms
/// apart, so this is five seconds at the most.
const MARK_COMMITS_MAX: u64 = 256;

/// Families and records in one transaction of folding when nobody waits: a millisecond or two, which is what a login
/// that comes in between may have to wait.
const SLICE_UNITS: usize = 128;

/// The same where somebody waits for all of it. The log can hold it.
const SLICE_UNITS_MAX: usize = 512;

/// From this many leaves without a row on, they are written with the next commit: their families go in one
/// transaction and must not grow long. Adding credentials makes one in about fifty additions.
const UNWRITTEN_LEAVES_MAX: usize = 64;

/// Folded rows of the journal that are removed with a commit, which adds one.
const SWEPT_RIDING: u64 = 4;

/// And in a transaction of their own.
const SWEPT_MAX: u64 = 512;

/// What is to be done.
#[derive(Debug, Default)]
pub(super) struct Chores {
    /// How many pages are in the log and not in the database.
    log_pages: usize,
    /// A chore has just been done, and nobody came in between: the next one need not wait.
    is_at_it: bool,
    /// Records were deleted, and the log may still hold them.
    has_deleted: bool,
    /// The disk was full the last time.
    is_full: bool,
    /// Keeping space back does not work here, for another reason than a full disk.
    has_no_reserve: bool,
}

/// What matters of a batch that was committed.
#[derive(Debug, Default)]
pub(super) struct BatchTraits {
    /// It deletes records.
    pub(super) deletes: bool,
    /// It adds or takes away credentials.
    pub(super) moves_credentials: bool,
    /// It writes or deletes records.
    pub(super) has_records: bool,
}

impl BatchTraits {
    pub(super) fn of<'a>(entries: impl Iterator<Item = &'a Entry>) -> Self {
        let mut traits = Self::default();
        for change in entries.flat_map(|entry| &entry.changes) {
            match change {
                Change::AddCredential { .. }
                | Change::RemoveCredential { .. }
                | Change::MoveCredential { .. } => traits.moves_credentials = true,
                Change::Delete { .. } => {
                    traits.deletes = true;
                    traits.has_records = true;
                }
                Change::Put { .. } => traits.has_records = true,
            }
        }
        traits
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chore {
    Mark,
    Fold,
    Checkpoint,
    Reserve,
}

impl Chores {
    /// Those of a store that was just opened: what was deleted before may still be in its log.
    pub(super) fn at_start() -> Self {
        Self { has_deleted: true, ..Self::default() }
    }

    /// How long to wait for requests before the next chore; none where there is no chore.
    pub(super) fn wait(&self, writer: &Writer) -> Option<Duration> {
        let chore = self.next(writer)?;
        Some(match chore {
            _ if self.is_full => QUIET,
            Chore::Mark => PAUSE,
            _ if self.is_at_it => Duration::ZERO,
            Chore::Fold | Chore::Checkpoint | Chore::Reserve => QUIET,
        })
    }

    /// How many pages the log was found to have.
    pub(super) fn log_pages(&self) -> usize {
        self.log_pages
    }

    /// Notes that somebody came in.
    pub(super) fn interrupt(&mut self) {
        self.is_at_it = false;
    }

    /// What is to be done next, if anything is.
    pub(super) fn next(&self, writer: &Writer) -> Option<Chore> {
        if writer.mark.last != writer.last {
            Some(Chore::Mark)
        } else if !writer.is_folded() {
            Some(Chore::Fold)
        } else if self.log_pages > 0 {
            Some(Chore::Checkpoint)
        } else if !writer.reserve.is_held() && !self.has_no_reserve {
            Some(Chore::Reserve)
        } else {
            None
        }
    }
}

impl Writer {
    /// Does one piece of what is to be done.
    pub(super) fn do_chore(&mut self) {
        if self.chores.is_full {
            // The mark comes first below, and needs space that only folding may free.
            self.relieve();
        }
        let Some(chore) = self.chores.next(self).filter(|_| !self.is_dead) else { return };
        let done = match chore {
            Chore::Mark => self.write_mark(false),
            Chore::Fold => self.fold_slice(SLICE_UNITS),
            Chore::Checkpoint if self.chores.has_deleted => {
                self.chores.has_deleted = false;
                self.empty_log(Checkpoint::Empty)
            }
            Chore::Checkpoint => self.empty_log(Checkpoint::Keep),
            Chore::Reserve => self.take_reserve(),
        };
        self.chores.is_at_it = chore != Chore::Mark;
        self.chores.is_full = matches!(done, Err(Failure::Full));
        if let Err(Failure::Fatal(message)) = done {
            self.die(&message);
        }
    }

    /// What is due after a commit, however many wait.
    ///
    /// A batch that added or took away a credential is marked at once: it is an administrator's change, rare, and
    /// a log that loses it would bring back what he ended.
    pub(super) fn after_commit(&mut self, batch: &BatchTraits) {
        self.chores.has_deleted |= batch.deletes;
        if batch.has_records {
            self.records_through = self.last;
        }
        self.chores.is_full = false;
        let mut done = self.look_at_log();
        if done.is_ok() {
            done = if batch.moves_credentials { self.write_mark(false) } else { self.keep_mark_close() };
        }
        if done.is_ok() && self.chores.log_pages >= self.reserve.log_pages_max() {
            done = self.empty_log(Checkpoint::Keep);
        }
        match done {
            Ok(()) => {}
            Err(Failure::Full) => {
                let behind = self.last.saturating_sub(self.mark.last);
                tracing::warn!(
                    behind,
                    "the storage is full: the mark or the log could not be brought up to date"
                );
                self.chores.is_full = true;
            }
            Err(Failure::Fatal(message)) => self.die(&message),
        }
    }

    /// What is due after lines were taken out of the trail: the log may still hold them.
    pub(super) fn after_removal(&mut self) -> Result<(), Failure> {
        self.chores.has_deleted = true;
        self.look_at_log()?;
        if self.chores.log_pages < self.reserve.log_pages_max() {
            return Ok(());
        }
        self.empty_log(Checkpoint::Keep)
    }

    /// Brings the mark up to date where it is as far behind as it may be: no commit is made that it could miss.
    pub(super) fn keep_mark_in_bounds(&mut self) -> Result<(), Failure> {
        if self.last.saturating_sub(self.mark.last) < MARK_COMMITS_MAX {
            return Ok(());
        }
        self.write_mark(false)
    }

    /// The slice that is to ride on a commit that brings `weight`, if there is something that should not wait.
    pub(super) fn riding_slice(&mut self, weight: &Weight) -> Option<Slice> {
        if self.folding.is_none() && self.backlog.weight().share() >= HALF {
            self.begin_generation();
        }
        let is_split = self.standings.unwritten() >= UNWRITTEN_LEAVES_MAX;
        let has_run = self.references.fill_a_run();
        let is_unswept = self.swept < self.meta.folded;
        if self.folding.is_none() && !is_split && !has_run && !is_unswept {
            return None;
        }
        // So much that the generation ends when the next one has gathered.
        let paced = |folding: &Folding| (folding.units() * weight.share()).div_ceil(HALF) + 1;
        let mut slice =
            self.folding.as_ref().map(|folding| folding.slice(paced(folding))).unwrap_or_default();
        slice.sweep(self.swept, SWEPT_RIDING, self.meta.folded, self.folding.as_ref());
        if is_split || self.folding.is_some() {
            slice.add_families(&self.standings);
        }
        if has_run {
            slice.add_run();
        }
        Some(slice)
    }

    /// Writes a slice in one transaction with what `also` writes, and notes that it is durable.
    pub(super) fn write_slice(
        &mut self,
        slice: &Slice,
        also: impl FnOnce(&Connection) -> rusqlite::Result<()>,
    ) -> Result<(), Failure> {
        self.choose_overwriting()?;
        let Self { db, folding, standings, references, keys, meta, root_keys, .. } = self;
        let from = Sources { standings, references, keys, meta };
        let written = store::transaction(db, |db| -> Result<_, Failure> {
            also(db)?;
            let written = slice.write(db, folding.as_ref(), &from)?;
            store::write_meta(db, &written.meta.seal(&root_keys.meta))?;
            Ok(written)
        })?;
        self.note_written(slice, written);
        self.look_at_log()
    }

    fn note_written(&mut self, slice: &Slice, written: Written) {
        self.meta = written.meta;
        for (number, mac) in written.leaves {
            self.standings.note_written(number, mac);
        }
        if slice.has_run() {
            self.references.forget_run();
        }
        self.swept = slice.swept();
        if self.folding.as_mut().is_some_and(|folding| folding.advance(slice)) {
            self.folding = None;
            self.tallies.folds += 1;
        }
    }

    /// What was sealed is overwritten where it was deleted; claims need not be.
    fn choose_overwriting(&mut self) -> Result<(), Failure> {
        let has_records = |folding: &Folding| !folding.records().is_empty();
        let is_whole = self.swept < self.records_through || self.folding.as_ref().is_some_and(has_records);
        if is_whole != self.overwrites_whole {
            store::overwrite_deleted(&self.db, is_whole)?;
            self.overwrites_whole = is_whole;
        }
        Ok(())
    }

    /// Whether the tables hold everything, and the journal nothing.
    pub(super) fn is_folded(&self) -> bool {
        self.meta.folded == self.last && self.swept == self.last
    }

    /// Folds everything, before the end or for want of space.
    pub(super) fn fold_all(&mut self) -> Result<(), Failure> {
        while !self.is_folded() {
            self.fold_slice(SLICE_UNITS_MAX)?;
            if self.chores.log_pages >= self.reserve.log_pages_max() {
                self.empty_log(Checkpoint::Keep)?;
            }
        }
        Ok(())
    }

    /// Makes what room there is: gives the reserve back, empties the log, and folds, which frees pages of the
    /// journal. What fails here is tried again later.
    pub(super) fn relieve(&mut self) {
        self.chores.is_full = true;
        if self.reserve.is_held() {
            tracing::warn!(path = %self.place.path().display(), "the storage is full; the reserve is released");
            if let Err(error) = self.reserve.release(&self.place) {
                tracing::warn!(%error, "cannot release the reserve");
            }
        }
        let relieved = (self.empty_log(Checkpoint::Empty))
            .and_then(|()| self.fold_all())
            .and_then(|()| self.empty_log(Checkpoint::Empty));
        if let Err(Failure::Fatal(message)) = relieved {
            self.die(&message);
        }
    }

    /// Leaves the store closed in order: everything folded, the log empty, and the mark saying so.
    pub(super) fn close_store(&mut self) -> Result<(), ReadError> {
        let tidied = self.fold_all().and_then(|()| self.empty_log(Checkpoint::Empty));
        match tidied {
            Ok(()) => self.remove_log_on_close(),
            // The journal holds what could not be folded.
            Err(Failure::Full) => {}
            Err(Failure::Fatal(message)) => {
                self.die(&message);
                return Err(unreadable("the store", message));
            }
        }
        self.write_mark(true).map_err(|failure| failure.unreadable("the mark"))
    }

    /// Notes that a loss has been dealt with.
    pub(super) fn settle_loss(&mut self) -> Result<(), ReadError> {
        let loss = self.meta.loss.take();
        self.save_meta().map_err(|failure| {
            self.meta.loss = loss;
            if let Failure::Fatal(message) = &failure {
                self.die(message);
            }
            failure.unreadable("the meta row")
        })
    }

    /// Writes the next piece of folding, or of sweeping where everything is folded.
    pub(super) fn fold_slice(&mut self, units_max: usize) -> Result<(), Failure> {
        if self.folding.is_none() && self.meta.folded != self.last {
            self.begin_generation();
        }
        let mut slice = self.folding.as_ref().map(|folding| folding.slice(units_max)).unwrap_or_default();
        // Leaves that were never written go first: no number may be missing between those that are.
        slice.add_families(&self.standings);
        slice.sweep(self.swept, SWEPT_MAX, self.meta.folded, self.folding.as_ref());
        self.write_slice(&slice, |_| Ok(()))
    }

    fn begin_generation(&mut self) {
        let Self { backlog, standings, last, audit, .. } = self;
        self.folding = Some(Folding::begin(backlog, standings, (*last, *audit)));
    }

    /// Brings the mark up to date.
    pub(super) fn write_mark(&mut self, is_closed: bool) -> Result<(), Failure> {
        self.end_marking()?;
        let mark = Mark { is_closed, ..self.next_mark() };
        let written = mark.write(&self.place, &self.root_keys.mark).map(|()| mark);
        self.note_mark(written)
    }

    /// Has a new mark written beside the commits, in time for its bound; waits only where that is reached.
    fn keep_mark_close(&mut self) -> Result<(), Failure> {
        let behind = self.last.saturating_sub(self.mark.last);
        if self.marking.as_ref().is_some_and(Marking::is_finished) || behind >= MARK_COMMITS_MAX {
            self.end_marking()?;
        }
        if self.marking.is_some() || self.last.saturating_sub(self.mark.last) < MARK_COMMITS_MAX / 2 {
            return Ok(());
        }
        match self.next_mark().write_beside(&self.place, &self.root_keys.mark) {
            Ok(marking) => {
                self.marking = Some(marking);
                Ok(())
            }
            // There is no thread to be had.
            Err(_) => self.write_mark(false),
        }
    }

    fn end_marking(&mut self) -> Result<(), Failure> {
        let Some(marking) = self.marking.take() else { return Ok(()) };
        let written = marking.wait();
        self.note_mark(written)
    }

    fn next_mark(&self) -> Mark {
        Mark { last: self.last, epoch: self.meta.epoch, is_closed: false, ..self.mark }
    }

    fn note_mark(&mut self, written: std::io::Result<Mark>) -> Result<(), Failure> {
        match written {
            Ok(mark) => {
                self.mark = mark;
                Ok(())
            }
            Err(error) if is_full_or_read_only(&error) => Err(Failure::Full),
            Err(error) => Err(Failure::Fatal(format!("cannot write the mark: {error}"))),
        }
    }

    fn look_at_log(&mut self) -> Result<(), Failure> {
        self.chores.log_pages = store::log_pages(&self.db)?;
        Ok(())
    }

    pub(super) fn empty_log(&mut self, how: Checkpoint) -> Result<(), Failure> {
        store::checkpoint(&self.db, how)?;
        self.look_at_log()
    }

    fn remove_log_on_close(&self) {
        // An empty log that is left over does no harm.
        let _ = self.db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false);
    }

    pub(super) fn take_reserve(&mut self) -> Result<(), Failure> {
        match self.reserve.take(&self.place) {
            Ok(()) => Ok(()),
            Err(error) if is_full_or_read_only(&error) => Err(Failure::Full),
            Err(error) => {
                tracing::warn!(%error, "no space can be kept back for a full disk");
                self.chores.has_no_reserve = true;
                Ok(())
            }
        }
    }
}

impl Failure {
    /// The failure as a reader sees it.
    pub(super) fn unreadable(self, what: &'static str) -> ReadError {
        match self {
            Self::Full => unreadable(what, String::from("the storage is full or read-only")),
            Self::Fatal(message) => unreadable(what, message),
        }
    }
}

fn unreadable(what: &'static str, why: String) -> ReadError {
    ReadError::Store { what, source: why.into() }
}
