//! The embedded engine from outside, with crashes, damage and faults. Helpers for all of its tests are here.

mod around;
mod audit;
mod claims;
mod crash;
mod damage;
mod faults;
mod files;
mod format1;
mod handover;
mod loading;
mod model;
mod moves;
mod quiet;
mod removal;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

use super::fold::Folding;
use super::store::{Checkpoint, Failure};
use super::writer::Writer;
use crate::embedded::EmbeddedLedger;
use crate::{AuditEntry, Change, Claim, ClaimId, CredentialId, Entry, Ledger, Outcome};

/// The key of every store in these tests.
const KEY: [u8; 32] = [42; 32];

/// A directory in memory where there is one: most of these tests are about what is written, not where.
fn scratch() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a directory for the test")
}

/// A directory with an empty store in it.
fn new_store() -> TempDir {
    let dir = scratch();
    EmbeddedLedger::create(dir.path(), &KEY).expect("an empty directory takes a store");
    dir
}

/// Opens a store that must open; a fault ends the test.
fn open(dir: &Path) -> EmbeddedLedger {
    EmbeddedLedger::open(dir, &KEY, Box::new(|message| panic!("fatal: {message}"))).expect("the store opens")
}

/// Opens a store and collects what the fatal hook is told.
fn open_with_faults(dir: &Path) -> (EmbeddedLedger, Arc<Mutex<Vec<String>>>) {
    let faults = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&faults);
    let hook =
        Box::new(move |message: &str| told.lock().expect("no test panics with it").push(message.to_owned()));
    (EmbeddedLedger::open(dir, &KEY, hook).expect("the store opens"), faults)
}

fn credential(n: u8) -> CredentialId {
    CredentialId([n; 16])
}

fn add(n: u8, value: u64) -> Entry {
    let change = Change::AddCredential { credential: credential(n), value };
    Entry { changes: vec![change], ..Entry::default() }
}

fn claim(n: u8, to: u64, id: u64) -> Entry {
    let mut claim_id = [1; 16];
    claim_id[8..].copy_from_slice(&id.to_be_bytes());
    let claim = Claim { credential: credential(n), to, id: ClaimId(claim_id) };
    Entry { claim: Some(claim), ..Entry::default() }
}

fn commit(ledger: &EmbeddedLedger, entry: Entry) {
    assert_eq!(ledger.submit(entry).wait(), Outcome::Committed);
}

/// Where a credential stands, if there is one.
fn standing(ledger: &EmbeddedLedger, n: u8) -> Option<u64> {
    let contents = ledger.load().expect("an open ledger can be loaded");
    contents.credentials.iter().find(|stored| stored.id == credential(n)).map(|stored| stored.value)
}

/// Copies the files of a store, except its lock.
fn copy_store(from: &Path, to: &Path) {
    for name in ["store", "store-wal", "mark"] {
        match std::fs::read(from.join(name)) {
            Ok(bytes) => write_file(to, name, &bytes),
            Err(_) => drop(std::fs::remove_file(to.join(name))),
        }
    }
}

/// Writes a file as private as those of a store.
fn write_file(dir: &Path, name: &str, bytes: &[u8]) {
    let path = dir.join(name);
    std::fs::write(&path, bytes).expect("a file can be written");
    std::fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("our own file");
}

/// Does something while the writer is held up, so that what it submits is one batch.
fn while_held<T>(ledger: &EmbeddedLedger, work: impl FnOnce() -> T) -> T {
    let (begun, has_begun) = channel();
    let (go, wait) = channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            ledger.ask(move |_| {
                begun.send(()).expect("the test waits for it");
                wait.recv().expect("the test lets go");
                Ok(())
            })
        });
        has_begun.recv().expect("the writer begins");
        let done = work();
        go.send(()).expect("the writer waits");
        done
    })
}

fn audit_entry(n: u8) -> AuditEntry {
    AuditEntry { reference: [n; 8], body: vec![n; 20] }
}

impl EmbeddedLedger {
    /// The number of the last batch.
    fn last(&self) -> u64 {
        self.ask(|writer| Ok(writer.last)).expect("an open ledger answers")
    }

    /// Has SQL done on the writer's connection.
    fn execute(&self, sql: &'static str) {
        self.ask(move |writer| Ok(writer.db.execute_batch(sql)?)).expect("the statements are right");
    }

    /// Does something with the writer that must not fail.
    fn with_writer<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Writer) -> Result<T, Failure> + Send + 'static,
    ) -> T {
        let done = self.ask(move |writer| work(writer).map_err(|failure| failure.unreadable("a test")));
        done.expect("nothing fails here")
    }

    /// Folds what has gathered and empties the log, as in a quiet moment.
    fn rest(&self) {
        self.with_writer(|writer| {
            writer.fold_all()?;
            writer.empty_log(Checkpoint::Keep)
        });
    }

    /// Folds some leaves and records.
    fn fold_some(&self, units: usize) {
        self.with_writer(move |writer| writer.fold_slice(units));
    }

    /// Brings the mark up to date.
    fn mark_now(&self) {
        self.with_writer(|writer| writer.write_mark(false));
    }

    /// Puts space aside.
    fn take_reserve_now(&self) {
        self.with_writer(Writer::take_reserve);
    }

    /// How many rows wait to be folded.
    fn backlog_rows(&self) -> usize {
        self.with_writer(|writer| {
            let folding = writer.folding.as_ref().map(Folding::weight).unwrap_or_default();
            let backlog = writer.backlog.weight();
            Ok(backlog.moves + backlog.records + folding.moves + folding.records)
        })
    }
}
