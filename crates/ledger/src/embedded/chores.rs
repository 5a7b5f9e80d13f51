//! What the writer does beside commits: the mark, folding, checkpoints, the reserve, and closing.
//!
//! Chores come in small pieces, one at a time, when nobody waits; between two pieces the queue is looked at. What
//! must not wait for a quiet moment (the mark after many commits, a log that has grown long, a backlog that has)
//! is done after a commit or rides on it.

use std::time::Duration;

use rusqlite::Transaction;
use rusqlite::config::DbConfig;

use super::fold::{Folding, Slice};
use super::mark::Mark;
use super::meta::Meta;
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

/// From this many rows on, folding rides on commits, each with twice as many rows as it brings: so the backlog
/// does not grow past it by more than one batch. Reading that many again at a start takes tens of milliseconds.
const BACKLOG_ROWS_MAX: usize = 16 * 1024;

/// The same in bytes of records and audit bodies.
const BACKLOG_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Rows in one transaction of folding when nobody waits: a millisecond or two, which is what a login that comes in
/// between may have to wait.
const SLICE_ROWS_MAX: usize = 512;

/// Rows that ride on a commit besides: lets a commit without rows of its own help, too.
const RIDING_ROWS_MIN: usize = 64;

/// What is to be done.
#[derive(Debug, Default)]
pub(super) struct Chores {
    /// Commits since the mark was written.
    unmarked: u64,
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
}

impl BatchTraits {
    pub(super) fn of<'a>(entries: impl Iterator<Item = &'a Entry>) -> Self {
        let mut traits = Self::default();
        for change in entries.flat_map(|entry| &entry.changes) {
            match change {
                Change::AddCredential { .. }
                | Change::RemoveCredential { .. }
                | Change::MoveCredential { .. } => traits.moves_credentials = true,
                Change::Delete { .. } => traits.deletes = true,
                Change::Put { .. } => {}
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

    /// Notes that somebody came in.
    pub(super) fn interrupt(&mut self) {
        self.is_at_it = false;
    }

    /// What is to be done next, if anything is.
    pub(super) fn next(&self, writer: &Writer) -> Option<Chore> {
        if writer.mark.last != writer.last {
            Some(Chore::Mark)
        } else if writer.meta.folded != writer.last {
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
            Chore::Fold => self.fold_slice(SLICE_ROWS_MAX),
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
        self.chores.unmarked += 1;
        self.chores.is_full = false;
        let mut done = self.look_at_log();
        if done.is_ok() && (batch.moves_credentials || self.chores.unmarked >= MARK_COMMITS_MAX) {
            done = self.write_mark(false);
        }
        if done.is_ok() && self.chores.log_pages >= self.reserve.log_pages_max() {
            done = self.empty_log(Checkpoint::Keep);
        }
        match done {
            Ok(()) => {}
            Err(Failure::Full) => self.chores.is_full = true,
            Err(Failure::Fatal(message)) => self.die(&message),
        }
    }

    /// The slice that is to ride on a commit that brings `rows` rows, if much has gathered.
    pub(super) fn riding_slice(&mut self, rows: usize) -> Option<Slice> {
        let (folding_rows, folding_bytes) = self.folding.as_ref().map_or((0, 0), Folding::left);
        let is_much = self.backlog.rows() + folding_rows >= BACKLOG_ROWS_MAX
            || self.backlog.bytes() + folding_bytes >= BACKLOG_BYTES_MAX;
        is_much.then(|| self.next_slice(2 * rows + RIDING_ROWS_MIN))
    }

    /// Writes a slice in one transaction with what `also` writes, and notes that it is durable.
    pub(super) fn write_slice(
        &mut self,
        slice: &Slice,
        also: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<()>,
    ) -> Result<(), Failure> {
        let written = self.try_write_slice(slice, also).map_err(Failure::from);
        let meta = self.rolled_back(written)?;
        self.meta = meta;
        if self.folding.as_mut().is_some_and(|folding| folding.advance(slice)) {
            self.folding = None;
        }
        self.look_at_log()
    }

    /// Folds everything, for a reader of the tables or before the end.
    pub(super) fn fold_all(&mut self) -> Result<(), Failure> {
        while self.meta.folded != self.last {
            self.fold_slice(SLICE_ROWS_MAX)?;
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

    /// Passes a result on, after making sure that a transaction that failed for want of space is gone.
    pub(super) fn rolled_back<T>(&self, result: Result<T, Failure>) -> Result<T, Failure> {
        match result {
            Err(Failure::Full) if !self.db.is_autocommit() => {
                Err(Failure::Fatal(String::from("a transaction that failed could not be rolled back")))
            }
            other => other,
        }
    }

    fn try_write_slice(
        &mut self,
        slice: &Slice,
        also: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<Meta> {
        let folding =
            self.folding.as_ref().expect("a slice is taken from the generation that is being folded");
        let transaction = self.db.transaction()?;
        also(&transaction)?;
        let meta = folding.write(&transaction, slice, &self.meta, (&self.keys, &self.root_keys.meta))?;
        transaction.commit()?;
        Ok(meta)
    }

    fn next_slice(&mut self, rows_max: usize) -> Slice {
        let Self { folding, backlog, standings, last, .. } = self;
        folding.get_or_insert_with(|| Folding::begin(backlog, standings, *last)).slice(rows_max)
    }

    pub(super) fn fold_slice(&mut self, rows_max: usize) -> Result<(), Failure> {
        let slice = self.next_slice(rows_max);
        self.write_slice(&slice, |_| Ok(()))
    }

    /// Brings the mark up to date.
    pub(super) fn write_mark(&mut self, is_closed: bool) -> Result<(), Failure> {
        let mark = Mark { last: self.last, epoch: self.meta.epoch, is_closed, ..self.mark };
        match mark.write(&self.place, &self.root_keys.mark) {
            Ok(()) => {
                self.mark = mark;
                self.chores.unmarked = 0;
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
