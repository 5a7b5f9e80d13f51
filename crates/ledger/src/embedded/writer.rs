//! The writer: one thread that owns the only connection, decides, commits, and answers.
//!
//! A turn takes everything that waits, decides it against the values in memory, and appends it: one row in the
//! journal, one in the trail, one commit, one fsync. Values in memory move only after that. Meanwhile the next turn's
//! entries gather. Folding rides on commits while much has gathered, and happens in quiet moments otherwise; see
//! `chores`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::chores::{BatchTraits, Chores};
use super::fold::{Backlog, Folding, Weight};
use super::journal;
use super::keys::{RootKeys, RowKeys};
use super::mark::{Mark, Marking};
use super::meta::Meta;
use super::place::{Lock, Place};
use super::queue::Queue;
use super::reserve::Reserve;
use super::store::{self, Failure};
use super::tallies::{Shown, Tallies};
use super::trail::{AuditEnd, OpenReferences};
use crate::decide::{Decision, Moves, Round, apply};
use crate::standings::Standings;
use crate::{Entry, Outcome, ReadError, Refusal, batch};

/// Most entries in one batch: past it, a batch gains nothing more from sharing its fsync, and its row grows.
pub(super) const BATCH_ENTRIES_MAX: usize = 1024;

/// A batch takes no further entry once it holds about this much, so that one commit stays a few milliseconds.
const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Calls back when nothing may be committed any more.
pub type FatalHook = Box<dyn Fn(&str) + Send>;

/// What a thread asks of the writer.
pub(super) enum Request {
    /// Commit an entry, and tell what became of it.
    Commit(Entry, oneshot::Sender<Outcome>),
    /// Do something between two batches.
    Ask(Box<dyn FnOnce(&mut Writer) + Send>),
    /// Commit what waits and end, with the store closed in order.
    Close(SyncSender<Result<(), ReadError>>),
    /// Commit what waits and end as if the process did.
    Abandon,
}

/// The state behind the thread.
pub(super) struct Writer {
    pub(super) db: Connection,
    pub(super) place: Arc<Place>,
    pub(super) root_keys: RootKeys,
    pub(super) keys: RowKeys,
    pub(super) meta: Meta,
    pub(super) standings: Standings,
    /// Where the audit trail ends.
    pub(super) audit: AuditEnd,
    pub(super) references: OpenReferences,
    pub(super) backlog: Backlog,
    pub(super) folding: Option<Folding>,
    /// The last batch that is durable.
    pub(super) last: u64,
    /// No row of the journal up to this one is left.
    pub(super) swept: u64,
    /// The last batch that may have brought a record.
    pub(super) records_through: u64,
    /// Whether what is deleted is overwritten whole.
    pub(super) overwrites_whole: bool,
    /// As it is durable.
    pub(super) mark: Mark,
    /// A newer one on its way.
    pub(super) marking: Option<Marking>,
    pub(super) reserve: Reserve,
    pub(super) chores: Chores,
    pub(super) tallies: Tallies,
    pub(super) shown: Arc<Shown>,
    pub(super) on_fatal: FatalHook,
    pub(super) is_dead: bool,
    /// Kept from batch to batch for their room.
    pub(super) rows: Rows,
    pub(super) _lock: Lock,
}

/// The bytes of a batch.
#[derive(Debug, Default)]
pub(super) struct Rows {
    journal: Vec<u8>,
    trail: Vec<u8>,
}

type Waiting = (Entry, oneshot::Sender<Outcome>);

impl Writer {
    /// Serves until it is told to end, or a commit fails.
    pub(super) fn run(mut self, requests: &Queue<Request>) {
        let closing = Closing(requests);
        let mut taken = VecDeque::new();
        while !self.is_dead {
            let patience = if taken.is_empty() { self.chores.wait(&self) } else { Some(Duration::ZERO) };
            requests.take(&mut taken, BATCH_ENTRIES_MAX, patience);
            match taken.pop_front() {
                None => self.do_chore(),
                Some(Request::Commit(entry, tell)) => self.turn((entry, tell), &mut taken, requests),
                Some(Request::Ask(question)) => question(&mut self),
                Some(Request::Close(tell)) => return self.close(tell, taken, &closing),
                Some(Request::Abandon) => break,
            }
            self.shown.show(&self);
        }
        refuse(taken);
        closing.refuse_waiting();
    }

    /// Notes that nothing may be committed any more, and says so.
    pub(super) fn die(&mut self, message: &str) {
        self.is_dead = true;
        tracing::error!(cause = message, "a commit failed; the ledger ends");
        (self.on_fatal)(message);
    }

    /// Gathers a batch and commits it; leaves in `taken` what does not belong to it.
    fn turn(&mut self, first: Waiting, taken: &mut VecDeque<Request>, requests: &Queue<Request>) {
        let mut bytes = size(&first.0);
        let mut waiting = Vec::with_capacity(taken.len() + 1);
        waiting.push(first);
        while waiting.len() < BATCH_ENTRIES_MAX && bytes < BATCH_BYTES_MAX {
            match taken.pop_front() {
                Some(Request::Commit(entry, tell)) => {
                    bytes += size(&entry);
                    waiting.push((entry, tell));
                }
                Some(other) => {
                    taken.push_front(other);
                    break;
                }
                // More may have come while these were counted.
                None if requests.take(taken, BATCH_ENTRIES_MAX, Some(Duration::ZERO)) => {}
                None => break,
            }
        }
        self.commit(waiting);
    }

    fn commit(&mut self, waiting: Vec<Waiting>) {
        let (mut entries, tells): (Vec<Entry>, Vec<_>) = waiting.into_iter().unzip();
        let mut round = Round::of(&self.standings, &entries);
        let mut decisions: Vec<Decision> = entries.iter_mut().map(|entry| round.decide(entry)).collect();
        let moves = round.into_moves();
        let batch: Vec<&Entry> = written(entries.iter(), &decisions).collect();
        let result = if batch.is_empty() { Ok(()) } else { self.append(&batch, &moves) };
        let is_commit = result.is_ok() && !batch.is_empty();
        let traits = BatchTraits::of(batch.iter().copied());
        if is_commit {
            self.tallies.count(batch.len());
        }
        if result.is_err() {
            self.decide_alone(&entries, &mut decisions);
        } else if is_commit {
            self.last += 1;
            apply(&mut self.standings, &moves);
            let bytes = self.rows.journal.len();
            self.backlog.take_in(written(entries.into_iter(), &decisions), &moves, bytes);
        }
        for (tell, decision) in tells.into_iter().zip(decisions) {
            // Whoever does not wait any longer does not want to know.
            let _ = tell.send(outcome(decision, &result));
        }
        match result {
            Ok(()) if is_commit => self.after_commit(&traits),
            Ok(()) => {}
            Err(Failure::Full) => self.relieve(),
            Err(Failure::Fatal(message)) => self.die(&message),
        }
    }

    /// Makes a batch durable, with a slice of folding if much has gathered.
    fn append(&mut self, written: &[&Entry], moves: &Moves) -> Result<(), Failure> {
        self.keep_mark_in_bounds()?;
        let (seq, first) = (self.last + 1, self.audit.sequence + 1);
        let mut rows = std::mem::take(&mut self.rows);
        rows.trail.clear();
        let mut end = self.audit;
        for audit in written.iter().filter_map(|entry| entry.audit.as_ref()) {
            end.append(&mut rows.trail, &self.keys.audit, audit);
        }
        rows.journal.clear();
        batch::encode(&mut rows.journal, written.iter().copied());
        journal::seal(&mut rows.journal, seq, &end, &self.keys.journal);
        self.chores.interrupt();
        let records = written.iter().map(|entry| entry.changes.len()).sum();
        let weight = Weight { moves: moves.len(), records, bytes: rows.journal.len() };
        let add = |db: &Connection| {
            store::add_journal_row(db, seq, &rows.journal)?;
            if rows.trail.is_empty() { Ok(()) } else { store::add_trail_row(db, first, &rows.trail) }
        };
        let added = match self.riding_slice(&weight) {
            None => store::transaction(&self.db, |db| add(db).map_err(Failure::from)),
            Some(slice) => self.write_slice(&slice, add),
        };
        self.rows = rows;
        added?;
        self.audit = end;
        self.references.extend(written.iter().filter_map(|entry| entry.audit.as_ref()).map(|a| a.reference));
        Ok(())
    }

    /// Finds the claims that had been won before a batch that failed, also those that its entries would have
    /// superseded.
    fn decide_alone(&self, entries: &[Entry], decisions: &mut [Decision]) {
        for (entry, decision) in entries.iter().zip(decisions) {
            let alone = entry.claim.as_ref().map(|claim| Round::new(&self.standings).decide_claim(claim));
            if alone == Some(Decision::Already) {
                *decision = Decision::Already;
            }
        }
    }

    fn close(
        mut self,
        tell: SyncSender<Result<(), ReadError>>,
        taken: VecDeque<Request>,
        closing: &Closing<'_>,
    ) {
        refuse(taken);
        let closed = self.close_store();
        closing.refuse_waiting();
        // The lock goes before the answer, so that whoever waited for it can open the store again.
        drop(self);
        let _ = tell.send(closed);
    }
}

/// Nothing may wait in the queue for a writer that has ended, however it did.
struct Closing<'a>(&'a Queue<Request>);

impl Closing<'_> {
    /// Tells everybody who still waits that the ledger has ended; none of their entries was begun.
    fn refuse_waiting(&self) {
        refuse(self.0.close());
    }
}

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        // After a panic, whoever waits learns from the dropped request that nobody can tell.
        drop(self.0.close());
    }
}

/// Those of the entries that are to be written.
fn written<E>(entries: impl Iterator<Item = E>, decisions: &[Decision]) -> impl Iterator<Item = E> {
    entries.zip(decisions).filter(|(_, decision)| **decision == Decision::Write).map(|(entry, _)| entry)
}

fn outcome(decision: Decision, result: &Result<(), Failure>) -> Outcome {
    match (decision, result) {
        // It was durable before this batch.
        (Decision::Already, _) => Outcome::Committed,
        (Decision::Write | Decision::Follow, Ok(())) => Outcome::Committed,
        (Decision::Refuse(refusal), Ok(())) => Outcome::NotCommitted(refusal),
        // A refusal may rest on an entry of the batch that failed, so it shares the failure.
        (_, Err(Failure::Full)) => Outcome::NotCommitted(Refusal::StorageFull),
        (_, Err(Failure::Fatal(_))) => Outcome::Unknown,
    }
}

/// About how many bytes an entry takes in a batch.
fn size(entry: &Entry) -> usize {
    let changes = entry.changes.iter().map(|change| match change {
        crate::Change::Put { key, value, .. } => key.len() + value.len(),
        crate::Change::Delete { key, .. } => key.len(),
        crate::Change::AddCredential { .. } | crate::Change::RemoveCredential { .. } => 24,
        crate::Change::MoveCredential { .. } => 48,
    });
    64 + changes.sum::<usize>() + entry.audit.as_ref().map_or(0, |audit| audit.body.len())
}

fn refuse(requests: VecDeque<Request>) {
    for request in requests {
        if let Request::Commit(_, tell) = request {
            let _ = tell.send(Outcome::NotCommitted(Refusal::Closed));
        }
    }
}
