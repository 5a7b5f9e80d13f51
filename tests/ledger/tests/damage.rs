//! The store's files cut off at every byte and changed at every byte of its last commits.

use std::path::Path;

use ledger::{Ledger as _, Outcome, StartState};
use ledger_harness::{KEY, accept, accepted, evidence, make_store, open};
use system_tests::faults::Folder;
use system_tests::history::History;
use system_tests::rounds;

/// How many claims the store holds in its log; the last three are cut and changed.
const CLAIMS: u64 = 6;

/// A store as a crash leaves it, with claims in its log, and what clients were told of it.
struct Live {
    files: Folder,
    history: History,
    /// Where the log ended before the last three claims.
    from: usize,
}

fn live() -> Live {
    let room = scratch();
    make_store(room.path());
    let ledger = open(room.path()).expect("it opens");
    let mut history = History::default();
    let mut from = 0;
    for to in 1..=CLAIMS {
        assert_eq!(ledger.submit(accept(0, to, 0)).wait(), Outcome::Committed);
        history.push(accepted(0, to, 0));
        if to + 3 == CLAIMS {
            from = Folder::read(room.path()).expect("its files").get(LOG).map_or(0, Vec::len);
        }
    }
    // While it is open: closing folds the log into the store.
    let files = Folder::read(room.path()).expect("its files");
    Live { files, history, from }
}

/// Every how manyth byte is cut at or changed: each one when `POSTERN_DAMAGE_STRIDE` is 1.
fn stride(usual: usize) -> usize {
    rounds("POSTERN_DAMAGE_STRIDE", usual)
}

/// SQLite's name for the log beside `store`.
const LOG: &str = "store-wal";

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder for the test")
}

/// What a damaged store came to.
#[derive(Debug, PartialEq, Eq)]
enum Came {
    /// It is refused.
    Refused,
    /// All is there.
    Whole,
    /// Something is missing, and the start was not clean: quarantine keeps a lost claim from being used again.
    Quarantined,
}

/// # Panics
/// When something is missing and the start was clean, or what is there is not whole.
fn open_damaged(live: &Live, name: &str, bytes: Vec<u8>, dir: &Path, what: &str) -> Came {
    let mut files = live.files.clone();
    files.put(name, bytes);
    files.write(dir).expect("a folder in memory");
    let Ok(ledger) = ledger::embedded::EmbeddedLedger::open(dir, &KEY, Box::new(|_| {})) else {
        return Came::Refused;
    };
    let state = ledger.start_state();
    let found = match evidence(&ledger) {
        Ok(found) => found,
        // Older audit lines are looked at when they are read.
        Err(_) if state != StartState::Clean => return Came::Quarantined,
        Err(defect) => panic!("{what}: {defect}"),
    };
    if live.history.contradictions(&found).is_empty() {
        return Came::Whole;
    }
    assert_ne!(state, StartState::Clean, "{what}: claims are missing, and nothing says so");
    Came::Quarantined
}

// covers: G05
#[test]
fn a_log_cut_anywhere_in_its_last_commits_loses_nothing_silently() {
    let live = live();
    let log = live.files.get(LOG).expect("there is a log").clone();
    assert!(live.from > 0 && live.from < log.len(), "{} of {}", live.from, log.len());
    let dir = scratch();
    let mut quarantined = 0;
    for cut in (live.from..log.len()).step_by(stride(331)) {
        let came = open_damaged(&live, LOG, log[..cut].to_vec(), dir.path(), &format!("cut at {cut}"));
        quarantined += usize::from(came == Came::Quarantined);
    }
    assert!(quarantined > 0, "no cut ever cost anything: nothing was cut");
}

// covers: G05
#[test]
fn a_bit_changed_anywhere_in_the_logs_last_commits_loses_nothing_silently() {
    let live = live();
    let log = live.files.get(LOG).expect("there is a log").clone();
    let dir = scratch();
    let mut quarantined = 0;
    for at in (live.from..log.len()).step_by(stride(337)) {
        let mut bytes = log.clone();
        bytes[at] ^= 1 << (at % 8);
        let came = open_damaged(&live, LOG, bytes, dir.path(), &format!("changed at {at}"));
        quarantined += usize::from(came == Came::Quarantined);
    }
    assert!(quarantined > 0, "no change ever cost anything");
}

// covers: G05
#[test]
fn a_bit_changed_anywhere_in_a_closed_store_is_refused_or_does_no_harm() {
    let room = scratch();
    make_store(room.path());
    let ledger = open(room.path()).expect("it opens");
    let mut history = History::default();
    for to in 1..=CLAIMS {
        assert_eq!(ledger.submit(accept(0, to, 0)).wait(), Outcome::Committed);
        history.push(accepted(0, to, 0));
    }
    ledger.close().expect("it closes");
    drop(ledger);
    let live = Live { files: Folder::read(room.path()).expect("its files"), history, from: 0 };
    let store = live.files.get("store").expect("the store").clone();
    let (mut refused, mut whole) = (0, 0);
    for at in (0..store.len()).step_by(stride(409)) {
        let mut bytes = store.clone();
        bytes[at] ^= 1 << (at % 8);
        // A copy of a folder is never clean, so that is no excuse here.
        match open_damaged(&live, "store", bytes, room.path(), &format!("changed at {at}")) {
            Came::Refused => refused += 1,
            Came::Whole => whole += 1,
            Came::Quarantined => {}
        }
    }
    assert!(refused > 0 && whole > 0, "{refused} refused, {whole} whole");
}
