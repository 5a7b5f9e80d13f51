//! The engine for one machine: SQLite, one writer thread, one row in a journal for each commit.
//!
//! [`EmbeddedLedger`] is what others use. Below it, in the order in which an entry meets them:
//!
//! * `writer`: gathers entries, decides, commits, answers;
//! * `chores`, `fold`: what happens beside commits;
//! * `store`: the only file that speaks SQL; `meta`: what its tables must add up to;
//! * `mark`, `reserve`, `place`: the other files of the directory, their checks and the lock;
//! * `open`: making and opening, where everything is verified;
//! * `reads`: loading, and the audit trail.
//!
//! Does not make backups, and does not heal damage: a store in which something is not as it was written is
//! refused with the name of the row. Why SQLite, and why like this: decision record 0001.

mod chores;
mod error;
mod fold;
mod keys;
mod mark;
mod meta;
mod open;
mod place;
mod reads;
mod reserve;
mod store;
#[cfg(test)]
mod tests;
mod writer;

use std::fmt;
use std::path::Path;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

pub use self::error::LedgerOpenError;
use self::reads::AuditWalk;
pub use self::writer::FatalHook;
use self::writer::{Request, Writer};
use crate::{
    AuditLine, AuditReport, Contents, Entry, Ledger, Outcome, Pending, ReadError, Refusal, StartState, batch,
};

/// Most entries that may wait for the writer: eight full batches. With 8 ms for a slow fsync, the last one waits
/// under a tenth of a second; beyond that, callers are better served by a refusal.
pub const QUEUE_ENTRIES_MAX: usize = 8 * writer::BATCH_ENTRIES_MAX;

/// A store on this machine's disk, open.
///
/// Dropping it without [`Ledger::close`] commits what waits, but leaves the store as a crash would: the next start
/// is [`StartState::Unclean`].
pub struct EmbeddedLedger {
    requests: SyncSender<Request>,
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
        let (writer, start_state) = open::open(dir, mac_key, on_fatal)?;
        let (epoch, store_id) = (writer.meta.epoch, writer.meta.store_id);
        let last = writer.last;
        let (requests, receiver) = sync_channel(QUEUE_ENTRIES_MAX);
        let thread = std::thread::Builder::new()
            .name(String::from("ledger"))
            .spawn(move || writer.run(&receiver))
            .map_err(|source| LedgerOpenError::Io {
                action: "start a thread for",
                path: dir.into(),
                source,
            })?;
        tracing::info!(?start_state, epoch, last, dir = %dir.display(), "ledger open");
        Ok(Self {
            requests,
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
        self.requests.send(Request::Ask(question)).map_err(|_| ReadError::Closed)?;
        told.recv().map_err(|_| ReadError::Closed)?
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
        // comes at the same time may be dropped with the queue, and is then `Unknown`.
        if self.is_closing.load(Ordering::Acquire) {
            return refused(Refusal::Closed);
        }
        if !batch::within_bounds(&entry) {
            return refused(Refusal::OutOfBounds);
        }
        let (tell, pending) = Pending::channel();
        match self.requests.try_send(Request::Commit(entry, tell)) {
            Ok(()) => pending,
            Err(TrySendError::Full(_)) => refused(Refusal::Busy),
            Err(TrySendError::Disconnected(_)) => refused(Refusal::Closed),
        }
    }

    fn load(&self) -> Result<Contents, ReadError> {
        self.ask(|writer| writer.contents())
    }

    /// Gives at most 1,024 lines at a time.
    fn audit_after(&self, after: u64, limit: usize) -> Result<Vec<AuditLine>, ReadError> {
        self.ask(move |writer| writer.audit_after(after, limit))
    }

    fn settle_loss(&self) -> Result<(), ReadError> {
        self.ask(Writer::settle_loss)
    }

    fn audit_newest(&self) -> Result<u64, ReadError> {
        self.ask(Writer::audit_newest)
    }

    fn audit_by_reference(&self, reference: [u8; 8]) -> Result<Option<AuditLine>, ReadError> {
        self.ask(move |writer| writer.audit_by_reference(reference))
    }

    fn audit_verify(&self) -> Result<AuditReport, ReadError> {
        let mut walk = AuditWalk::default();
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
        self.requests.send(Request::Close(tell)).map_err(|_| ReadError::Closed)?;
        let closed = told.recv().unwrap_or(Err(ReadError::Closed));
        self.join();
        closed
    }
}

impl Drop for EmbeddedLedger {
    fn drop(&mut self) {
        // It fails where the writer has ended already.
        let _ = self.requests.send(Request::Abandon);
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
