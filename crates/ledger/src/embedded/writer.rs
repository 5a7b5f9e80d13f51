//! The writer: one thread that owns the only connection, decides, commits, and answers.
//!
//! A turn takes everything that waits, decides it against the values in memory, and appends it to the journal as
//! one row: one INSERT, one commit, one fsync. Values in memory move only after that. Folding rides on commits
//! while much has gathered, and happens in quiet moments otherwise; see `chores`.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::chores::{BatchTraits, Chores};
use super::fold::{Backlog, Folding};
use super::keys::{RootKeys, RowKeys};
use super::mark::Mark;
use super::meta::Meta;
use super::place::{Lock, Place};
use super::reserve::Reserve;
use super::store::{self, Failure};
use crate::decide::{Decision, Round, Standings, apply};
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
    pub(super) place: Place,
    pub(super) root_keys: RootKeys,
    pub(super) keys: RowKeys,
    pub(super) meta: Meta,
    pub(super) standings: Standings,
    pub(super) backlog: Backlog,
    pub(super) folding: Option<Folding>,
    /// The last batch that is durable.
    pub(super) last: u64,
    pub(super) mark: Mark,
    pub(super) reserve: Reserve,
    pub(super) chores: Chores,
    pub(super) on_fatal: FatalHook,
    pub(super) is_dead: bool,
    pub(super) _lock: Lock,
}

type Waiting = (Entry, oneshot::Sender<Outcome>);

impl Writer {
    /// Serves until it is told to end, everybody who could ask is gone, or a commit fails.
    pub(super) fn run(mut self, requests: &Receiver<Request>) {
        while !self.is_dead {
            let request = match self.chores.wait(&self) {
                Some(wait) => requests.recv_timeout(wait),
                None => requests.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            let request = match request {
                Ok(Request::Commit(entry, tell)) => self.turn((entry, tell), requests),
                Ok(request) => Some(request),
                Err(RecvTimeoutError::Timeout) => {
                    self.do_chore();
                    None
                }
                Err(RecvTimeoutError::Disconnected) => Some(Request::Abandon),
            };
            match request {
                None => {}
                Some(Request::Commit(..)) => unreachable!("a turn takes every entry it receives"),
                Some(Request::Ask(question)) => question(&mut self),
                Some(Request::Close(tell)) => return self.close(tell, requests),
                Some(Request::Abandon) => break,
            }
        }
        refuse_waiting(requests);
    }

    /// Notes that nothing may be committed any more, and says so.
    pub(super) fn die(&mut self, message: &str) {
        self.is_dead = true;
        tracing::error!(cause = message, "a commit failed; the ledger ends");
        (self.on_fatal)(message);
    }

    /// Gathers a batch and commits it; returns the request that ended the gathering.
    fn turn(&mut self, first: Waiting, requests: &Receiver<Request>) -> Option<Request> {
        let mut bytes = size(&first.0);
        let mut waiting = vec![first];
        let mut next = None;
        while waiting.len() < BATCH_ENTRIES_MAX && bytes < BATCH_BYTES_MAX {
            match requests.try_recv() {
                Ok(Request::Commit(entry, tell)) => {
                    bytes += size(&entry);
                    waiting.push((entry, tell));
                }
                Ok(request) => {
                    next = Some(request);
                    break;
                }
                Err(_) => break,
            }
        }
        self.commit(waiting);
        // After a failure the ledger is dead: whoever asked learns it from the dropped request.
        next.filter(|_| !self.is_dead)
    }

    fn commit(&mut self, waiting: Vec<Waiting>) {
        let (mut entries, tells): (Vec<Entry>, Vec<_>) = waiting.into_iter().unzip();
        let mut round = Round::new(&self.standings);
        let mut decisions: Vec<Decision> = entries.iter_mut().map(|entry| round.decide(entry)).collect();
        let moves = round.into_moves();
        let batch: Vec<&Entry> = written(entries.iter(), &decisions).collect();
        let result = if batch.is_empty() { Ok(()) } else { self.append(&batch) };
        let is_commit = result.is_ok() && !batch.is_empty();
        let traits = BatchTraits::of(batch.into_iter());
        if result.is_err() {
            self.decide_alone(&entries, &mut decisions);
        } else if is_commit {
            self.last += 1;
            apply(&mut self.standings, &moves);
            self.backlog.take_in(written(entries.into_iter(), &decisions), &moves);
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
    fn append(&mut self, written: &[&Entry]) -> Result<(), Failure> {
        let seq = self.last + 1;
        let mut body = batch::encode(written.iter().copied());
        let mac = self.keys.journal.mac(&[&seq.to_be_bytes(), &body]);
        body.extend_from_slice(&mac);
        self.chores.interrupt();
        match self.riding_slice(written.iter().map(|entry| rows(entry)).sum()) {
            None => {
                let added = store::add_journal_row(&self.db, seq, &body);
                self.rolled_back(added.map_err(Failure::from))
            }
            Some(slice) => self.write_slice(&slice, |tx| store::add_journal_row(tx, seq, &body)),
        }
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

    fn close(mut self, tell: SyncSender<Result<(), ReadError>>, requests: &Receiver<Request>) {
        let closed = self.close_store();
        refuse_waiting(requests);
        // The lock goes before the answer, so that whoever waited for it can open the store again.
        drop(self);
        let _ = tell.send(closed);
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

/// How many rows of the tables an entry changes, at most.
fn rows(entry: &Entry) -> usize {
    usize::from(entry.claim.is_some()) + entry.changes.len() + usize::from(entry.audit.is_some())
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

/// Tells everybody who still waits that the ledger has ended; none of their entries was begun.
fn refuse_waiting(requests: &Receiver<Request>) {
    while let Ok(request) = requests.try_recv() {
        if let Request::Commit(_, tell) = request {
            let _ = tell.send(Outcome::NotCommitted(Refusal::Closed));
        }
    }
}
