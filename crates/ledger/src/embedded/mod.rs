//! The engine for one machine: SQLite, one writer thread, one row in a journal for each commit.
//!
//! [`EmbeddedLedger`] is what others use. Below it, in the order in which an entry meets them:
//!
//! * `queue`: how they reach the writer's thread;
//! * `writer`: gathers entries, decides, commits, answers; `tallies`: counts it;
//! * `journal`, `trail`, `link`, `leaf`: the bytes of the rows;
//! * `chores`, `fold`: what happens beside commits;
//! * `store`: the only file that speaks SQL; `meta`: what its tables must add up to;
//! * `mark`, `reserve`, `place`: the other files of the directory, their checks and the lock;
//! * `open`: making and opening, where everything is verified;
//! * `format1`: stores of the first format, with their own SQL, and how they are brought up to date;
//! * `reads`: loading, and the audit trail; `removal`: what is taken out of the trail.
//!
//! Does not make backups, and does not heal damage: a store in which something is not as it was written is
//! refused with the name of the row. Why SQLite, and why like this: decision records 0001 and 0011.

mod chores;
mod error;
mod fold;
mod format1;
mod journal;
mod keys;
mod leaf;
mod link;
mod mark;
mod meta;
mod open;
mod place;
mod queue;
mod reads;
mod removal;
mod reserve;
mod store;
mod tallies;
#[cfg(test)]
mod tests;
mod trail;
mod writer;

/// What the queue is made of; the model of it puts others in their place.
mod sync {
    pub(super) use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
}

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;

pub use self::error::LedgerOpenError;
use self::queue::{Queue, Refused};
use self::reads::{AuditPiece, Walk};
use self::tallies::Shown;
pub use self::writer::FatalHook;
use self::writer::{Request, Writer};
use crate::{
    AuditLine, AuditReport, AuditStretch, CredentialId, Entry, Figures, Ledger, Outcome, Pending, ReadError,
    Refusal, StartState, Stored, batch,
};

/// Most entries that may wait for the writer: eight full batches. With 8 ms for a slow fsync, the last one waits
/// under a tenth of a second; beyond that, callers are better served by a refusal.
pub const QUEUE_ENTRIES_MAX: usize = 8 * writer::BATCH_ENTRIES_MAX;

/// How far the opening of a store has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Rows that have been read and verified. A hundred credentials share a row, a record has one of its own.
    pub rows: u64,
    /// Rows that there are.
    pub of: u64,
}

/// A store on this machine's disk, open.
///
/// Dropping it without [`Ledger::close`] commits what waits, but leaves the store as a crash would: the next start
/// is [`StartState::Unclean`].
pub struct EmbeddedLedger {
    requests: Arc<Queue<Request>>,
    shown: Arc<Shown>,
    writer: Mutex<Option<JoinHandle<()>>>,
    is_closing: AtomicBool,
    start_state: StartState,
    epoch: u64,
    store_id: [u8; 16],
}

impl EmbeddedLedger {
    /// Makes an empty store in `dir`, and the directory itself (0700) where it is missing; its parent must exist.
    ///
    /// * `mac_key`: must be given again to open it. It is not needed to read the store, only to trust it.
    ///
    /// # Errors
    /// [`LedgerOpenError::Exists`] where there is a store, whatever its state.
    pub fn create(dir: &Path, mac_key: &[u8; 32]) -> Result<(), LedgerOpenError> {
        open::create(dir, mac_key)
    }

    /// Whether there is a store in `dir`, in whatever state.
    pub fn exists(dir: &Path) -> bool {
        dir.join(place::STORE).symlink_metadata().is_ok()
    }

    /// Opens the store in `dir`, verifies every row of it except the older lines of the audit trail, and starts
    /// the writer. Takes some microseconds for each credential and record.
    ///
    /// * `on_fatal`: called on the writer's thread after a commit failed in a way that leaves open whether it
    ///   is durable. The ledger is dead then; a process should abort there, since a page cache that has
    ///   failed to write once may show what the disk does not hold.
    ///
    /// # Errors
    /// [`LedgerOpenError::NoStore`] where there is none: a missing store is never a fresh start. See the other
    /// variants; after each of them the store is as it was.
    pub fn open(dir: &Path, mac_key: &[u8; 32], on_fatal: FatalHook) -> Result<Self, LedgerOpenError> {
        Self::open_with(dir, mac_key, on_fatal, &|_| {})
    }

    /// Does what [`Self::open`] does, and says how far it is: a few times a second, and at the end.
    pub fn open_with(
        dir: &Path,
        mac_key: &[u8; 32],
        on_fatal: FatalHook,
        progress: &dyn Fn(Progress),
    ) -> Result<Self, LedgerOpenError> {
        let (writer, start_state) = open::open(dir, mac_key, on_fatal, progress)?;
        let (epoch, store_id) = (writer.meta.epoch, writer.meta.store_id);
        let last = writer.last;
        let shown = Arc::clone(&writer.shown);
        let requests = Arc::new(Queue::new());
        let taken_from = Arc::clone(&requests);
        let thread = std::thread::Builder::new()
            .name(String::from("ledger"))
            .spawn(move || writer.run(&taken_from))
            .map_err(|source| LedgerOpenError::Io {
                action: "start a thread for",
                path: dir.into(),
                source,
            })?;
        tracing::info!(?start_state, epoch, last, dir = %dir.display(), "ledger open");
        Ok(Self {
            requests,
            shown,
            writer: Mutex::new(Some(thread)),
            is_closing: AtomicBool::new(false),
            start_state,
            epoch,
            store_id,
        })
    }

    /// How the store was found. [`StartState::Short`] is found again at every start until
    /// [`Self::settle_loss`] is called.
    pub fn start_state(&self) -> StartState {
        self.start_state
    }

    /// How often the store has been opened, this time included.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The store's identity: chance, made with it.
    pub fn store_id(&self) -> [u8; 16] {
        self.store_id
    }

    /// Has the writer do something between two batches, and waits for the result.
    fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Writer) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let (tell, told) = sync_channel(1);
        let question = Box::new(move |writer: &mut Writer| {
            // Whoever does not wait any longer does not want to know.
            let _ = tell.send(question(writer));
        });
        self.send(Request::Ask(question))?;
        told.recv().map_err(|_| ReadError::Closed)?
    }

    /// Sends what is not an entry: each thread waits for the answer to its own, so no more wait than there are threads.
    fn send(&self, request: Request) -> Result<(), ReadError> {
        self.requests.push(request, usize::MAX).map_err(|_| ReadError::Closed)
    }

    fn join(&self) {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The fatal hook runs on the writer's thread and may drop the ledger there.
        if let Some(writer) = writer.filter(|writer| writer.thread().id() != std::thread::current().id()) {
            // A panic of the writer has been reported by the panic hook.
            let _ = writer.join();
        }
    }
}

impl Ledger for EmbeddedLedger {
    fn submit(&self, entry: Entry) -> Pending {
        let refused = |refusal| Pending::ready(Outcome::NotCommitted(refusal));
        // Acquire pairs with the store in `close`: an entry that comes after it is refused as closed. One that
        // comes at the same time is committed, or refused like this as well.
        if self.is_closing.load(Ordering::Acquire) {
            return refused(Refusal::Closed);
        }
        if !batch::within_bounds(&entry) {
            return refused(Refusal::OutOfBounds);
        }
        let (tell, pending) = Pending::channel();
        match self.requests.push(Request::Commit(entry, tell), QUEUE_ENTRIES_MAX) {
            Ok(()) => pending,
            Err(Refused::Full(_)) => refused(Refusal::Busy),
            Err(Refused::Closed(_)) => refused(Refusal::Closed),
        }
    }

    fn load_each(&self, each: &mut dyn FnMut(Stored)) -> Result<(), ReadError> {
        let mut from = Some(CredentialId([0; 16]));
        while let Some(first) = from {
            let credentials = self.ask(move |writer| Ok(writer.credentials(first)))?;
            from = credentials.last().and_then(|last| following(last.id));
            credentials.into_iter().for_each(|credential| each(Stored::Credential(credential)));
        }
        let mut after = None;
        loop {
            let (records, last) = self.ask(move |writer| writer.records_after(after.as_ref()))?;
            records.into_iter().for_each(|record| each(Stored::Record(record)));
            if last.is_none() {
                return Ok(());
            }
            after = last;
        }
    }

    fn record(&self, kind: u8, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        let key = (kind, key.to_vec());
        self.ask(move |writer| writer.record(&key))
    }

    fn figures(&self) -> Figures {
        self.shown.read()
    }

    /// Gives at most 1,024 lines at a time.
    fn audit_after(&self, after: u64, limit: usize) -> Result<Vec<AuditLine>, ReadError> {
        let limit = limit.min(reads::AUDIT_LINES_MAX);
        let (mut lines, mut after) = (Vec::new(), after);
        loop {
            let wanted = limit - lines.len();
            let piece = self.ask(move |writer| writer.audit_piece(after, wanted))?;
            lines.extend(piece.lines);
            if piece.is_last || lines.len() >= limit {
                return Ok(lines);
            }
            after = piece.through;
        }
    }

    fn audit_around_damage(&self, after: u64, limit: usize) -> Result<AuditStretch, ReadError> {
        match self.audit_after(after, limit) {
            Err(ReadError::Damaged { .. }) => {}
            read => return Ok(AuditStretch { lines: read?, damaged: None }),
        }
        let (piece, fault) = self.ask(move |writer| writer.audit_up_to_damage(after, limit))?;
        let AuditPiece { lines, through, .. } = piece;
        if fault.is_none() {
            return Ok(AuditStretch { lines, damaged: None });
        }
        let (mut last, mut is_past) = (through, false);
        while !is_past {
            (last, is_past) = self.ask(move |writer| writer.audit_behind_damage(last))?;
        }
        Ok(AuditStretch { lines, damaged: Some(through + 1..=last) })
    }

    fn audit_holds(&self, sequence: u64, head: [u8; 32]) -> Result<bool, ReadError> {
        self.ask(move |writer| writer.audit_holds(sequence, &head))
    }

    fn audit_remove(&self, sequences: Vec<u64>) -> Result<u64, ReadError> {
        self.ask(move |writer| writer.audit_remove(&sequences))
    }

    fn settle_loss(&self) -> Result<(), ReadError> {
        self.ask(Writer::settle_loss)
    }

    fn audit_newest(&self) -> Result<u64, ReadError> {
        self.ask(|writer| Ok(writer.audit.sequence))
    }

    fn audit_by_reference(&self, reference: [u8; 8]) -> Result<Option<AuditLine>, ReadError> {
        self.ask(move |writer| writer.audit_by_reference(reference))
    }

    fn audit_verify(&self) -> Result<AuditReport, ReadError> {
        let mut walk = Walk::default();
        loop {
            let (gone, report) = self.ask(move |writer| {
                let report = writer.audit_walk(&mut walk)?;
                Ok((walk, report))
            })?;
            if let Some(report) = report {
                return Ok(report);
            }
            walk = gone;
        }
    }

    fn close(&self) -> Result<(), ReadError> {
        if self.is_closing.swap(true, Ordering::AcqRel) {
            return Err(ReadError::Closed);
        }
        let (tell, told) = sync_channel(1);
        self.send(Request::Close(tell))?;
        let closed = told.recv().unwrap_or(Err(ReadError::Closed));
        self.join();
        closed
    }
}

impl Drop for EmbeddedLedger {
    fn drop(&mut self) {
        // It fails where the writer has ended already.
        let _ = self.send(Request::Abandon);
        self.join();
    }
}

impl fmt::Debug for EmbeddedLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedLedger")
            .field("start_state", &self.start_state)
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}

/// The id after an id, where there is one.
fn following(id: CredentialId) -> Option<CredentialId> {
    u128::from_be_bytes(id.0).checked_add(1).map(|next| CredentialId(next.to_be_bytes()))
}
