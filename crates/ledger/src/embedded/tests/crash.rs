//! Crashes: the log cut at every byte, and what is left of a store that was never closed.

use std::path::Path;

use super::{
    KEY, add, audit_entry, claim, commit, copy_store, new_store, open, scratch, standing, write_file,
};
use crate::embedded::EmbeddedLedger;
use crate::embedded::store::Checkpoint;
use crate::{Change, CredentialId, Entry, Ledger, StartState};

/// Lengths that SQLite gives the parts of its log. Source: sqlite.org/fileformat2.html, section 4.
const LOG_HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
const FRAME: usize = FRAME_HEADER + 4096;

/// How many claims the log holds in these tests.
const CLAIMS: u64 = 12;

// covers: G05
#[test]
fn a_log_cut_at_any_byte_of_the_last_three_commits_loses_nothing_silently() {
    let live = live_store();
    let log = std::fs::read(live.path().join("store-wal")).expect("there is a log");
    let commits = commit_ends(&log);
    let from = commits[commits.len() - 4];
    let cuts: Vec<usize> = (from..=log.len()).collect();
    let half = cuts.len() / 2;
    std::thread::scope(|scope| {
        for cuts in [&cuts[..half], &cuts[half..]] {
            scope.spawn(|| check_cuts(live.path(), &log, &commits, cuts));
        }
    });
}

fn check_cuts(live: &Path, log: &[u8], commits: &[usize], cuts: &[usize]) {
    let dir = scratch();
    for cut in cuts {
        copy_store(live, dir.path());
        write_file(dir.path(), "store-wal", &log[..*cut]);
        let lost = commits.iter().filter(|end| *end > cut).count() as u64;
        let ledger = open(dir.path());
        let value = standing(&ledger, 1).expect("the credential is in the database already");
        assert!(
            value + lost >= CLAIMS,
            "cut at {cut}: {lost} commits were cut off, but the value is {value}"
        );
        match ledger.start_state() {
            StartState::Clean => {
                panic!("cut at {cut}: a store that was not closed is taken for one that was")
            }
            StartState::Unclean => assert!(value >= MARKED, "cut at {cut}: silently below the mark"),
            StartState::Short { found, expected } => {
                assert!(
                    found < expected && value < MARKED,
                    "cut at {cut}: {found} of {expected}, value {value}"
                );
            }
        }
    }
}

// covers: G05, G07
#[test]
fn a_store_without_its_log_is_short_until_somebody_settles_it() {
    let live = live_store();
    std::fs::remove_file(live.path().join("store-wal")).expect("there is a log");
    let StartState::Short { found, expected } = open(live.path()).start_state() else {
        panic!("the log is gone");
    };
    assert!(found < expected);
    let ledger = open(live.path());
    assert_eq!(ledger.start_state(), StartState::Short { found, expected });
    let last = ledger.last();
    commit(&ledger, add(2, 0));
    assert_eq!(ledger.last(), last + 1);
    assert!(last >= expected, "the numbers of the missing batches are not used again");
    ledger.close().expect("it can be closed");
    let ledger = open(live.path());
    assert_eq!(ledger.start_state(), StartState::Short { found, expected });
    ledger.settle_loss().expect("the store can be written");
    ledger.close().expect("it can be closed");
    let ledger = open(live.path());
    assert_eq!(ledger.start_state(), StartState::Clean);
    assert_eq!(standing(&ledger, 2), Some(0));
}

// covers: G05
#[test]
fn a_short_store_whose_last_batches_say_nothing_opens_again() {
    let (dir, copy) = (new_store(), scratch());
    let ledger = open(dir.path());
    commit(&ledger, Entry::default());
    ledger.with_writer(|writer| writer.empty_log(Checkpoint::Keep));
    commit(&ledger, add(1, 0));
    ledger.mark_now();
    copy_store(dir.path(), copy.path());
    std::fs::remove_file(copy.path().join("store-wal")).expect("there is a log");
    for _ in 0..3 {
        assert_eq!(open(copy.path()).start_state(), StartState::Short { found: 1, expected: 2 });
    }
}

// covers: G07
#[test]
fn an_older_copy_of_the_store_under_the_newer_mark_is_short() {
    let dir = new_store();
    let old = scratch();
    let ledger = open(dir.path());
    commit(&ledger, add(1, 0));
    ledger.close().expect("it can be closed");
    copy_store(dir.path(), old.path());
    let ledger = open(dir.path());
    commit(&ledger, claim(1, 1, 1));
    ledger.close().expect("it can be closed");
    std::fs::copy(old.path().join("store"), dir.path().join("store")).expect("it can be copied");
    assert_eq!(open(dir.path()).start_state(), StartState::Short { found: 1, expected: 2 });
}

// covers: G07
#[test]
fn an_older_copy_without_a_missing_batch_is_unclean() {
    let dir = new_store();
    let old = scratch();
    copy_store(dir.path(), old.path());
    open(dir.path()).close().expect("it can be closed");
    std::fs::copy(old.path().join("store"), dir.path().join("store")).expect("it can be copied");
    assert_eq!(open(dir.path()).start_state(), StartState::Unclean);
}

// covers: G07
#[test]
fn a_whole_directory_that_was_put_back_from_a_copy_is_unclean() {
    let (dir, copy, back) = (new_store(), scratch(), scratch());
    open(dir.path()).close().expect("it can be closed");
    copy_store(dir.path(), copy.path());
    copy_store(copy.path(), back.path());
    assert_eq!(open(back.path()).start_state(), StartState::Unclean);
    assert_eq!(open(dir.path()).start_state(), StartState::Clean, "the original is where it was");
}

// covers: G10
#[test]
fn a_store_that_was_left_in_any_half_way_state_of_create_can_be_made_again() {
    let dir = scratch();
    write_file(dir.path(), "store.new", b"half a database");
    write_file(dir.path(), "store.new-wal", b"half a log");
    write_file(dir.path(), "mark.new", b"half a mark");
    assert!(EmbeddedLedger::open(dir.path(), &KEY, Box::new(|_| {})).is_err());
    EmbeddedLedger::create(dir.path(), &KEY).expect("what is left over does not matter");
    assert_eq!(open(dir.path()).start_state(), StartState::Clean);
}

// covers: G10, G09
#[test]
fn every_start_has_a_new_epoch_and_left_over_files_do_no_harm() {
    let dir = new_store();
    for epoch in 1..4 {
        write_file(dir.path(), "mark.new", b"half a mark");
        let ledger = open(dir.path());
        assert_eq!(ledger.epoch(), epoch);
        commit(&ledger, add(u8::try_from(epoch).expect("it is small"), 0));
    }
    let ledger = open(dir.path());
    assert!((1..4).all(|n| standing(&ledger, n) == Some(0)));
}

/// The value that the mark vouches for.
const MARKED: u64 = CLAIMS - 2;

// covers: G01
#[test]
fn a_stop_between_two_slices_of_folding_leaves_a_store_that_opens() {
    for slices in 1..8 {
        let dir = new_store();
        let ledger = open(dir.path());
        add_many(&ledger, 0..600);
        ledger.rest();
        // New ones fall between the old ones, so that leaves split in many places.
        add_many(&ledger, 600..1_000);
        (0..slices).for_each(|_| ledger.fold_some(1));
        drop(ledger);
        let ledger = open(dir.path());
        assert_eq!(ledger.start_state(), StartState::Unclean);
        let contents = ledger.load().expect("an open ledger can be loaded");
        assert_eq!(contents.credentials.len(), 1_000, "after {slices} slices");
    }
}

fn add_many(ledger: &EmbeddedLedger, numbers: std::ops::Range<u32>) {
    let spread = |number: u32| {
        let mut id = [7; 16];
        id[..4].copy_from_slice(&number.wrapping_mul(0x9e37_79b9).to_be_bytes());
        CredentialId(id)
    };
    let add = |number| Change::AddCredential { credential: spread(number), value: 0 };
    commit(ledger, Entry { changes: numbers.map(add).collect(), ..Entry::default() });
}

/// A copy of a store in the middle of its life: a credential in the database, claims in the log, and a mark that is
/// two commits behind.
fn live_store() -> tempfile::TempDir {
    let (dir, copy) = (new_store(), scratch());
    let ledger = open(dir.path());
    commit(&ledger, add(1, 0));
    commit(&ledger, Entry { changes: vec![put(b"record")], ..Entry::default() });
    ledger.rest();
    for to in 1..=CLAIMS {
        let audit = Some(audit_entry(u8::try_from(to).expect("it is small")));
        commit(&ledger, Entry { audit, ..claim(1, to, to) });
        if to == MARKED {
            ledger.mark_now();
            copy_store(dir.path(), copy.path());
        }
    }
    let mark = std::fs::read(copy.path().join("mark")).expect("it was copied");
    copy_store(dir.path(), copy.path());
    write_file(copy.path(), "mark", &mark);
    copy
}

fn put(key: &[u8]) -> Change {
    Change::Put { kind: 1, key: key.to_vec(), value: vec![5; 50] }
}

/// Where the commits in a log end. A frame that ends one says how large the database is.
pub(super) fn commit_ends(log: &[u8]) -> Vec<usize> {
    let salt = &log[16..24];
    let frames = log[LOG_HEADER..].chunks_exact(FRAME).enumerate();
    let commits = frames.filter(|(_, frame)| &frame[8..16] == salt && frame[4..8] != [0; 4]);
    commits.map(|(i, _)| LOG_HEADER + (i + 1) * FRAME).collect()
}
