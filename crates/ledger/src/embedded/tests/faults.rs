//! A full disk is survived, any other fault is the end.

use super::{add, audit_entry, claim, commit, new_store, open, open_with_faults, standing, while_held};
use crate::embedded::writer::Writer;
use crate::{Change, Entry, Ledger, Outcome, Refusal, StartState};

// covers: G03
#[test]
fn with_a_full_disk_everything_is_refused_and_works_again_when_there_is_room() {
    let dir = new_store();
    let (ledger, faults) = open_with_faults(dir.path());
    commit(&ledger, add(1, 0));
    commit(&ledger, claim(1, 3, 3));
    // The limit cannot be under what is there, so this is the limit that is reached first.
    ledger.execute("PRAGMA max_page_count = 1");
    let full = Outcome::NotCommitted(Refusal::StorageFull);
    let big = |to| Entry { changes: vec![large()], ..claim(1, to, to) };
    let mut to = 4;
    while ledger.submit(big(to)).wait() == Outcome::Committed {
        to += 1;
        assert!(to < 100, "the disk does not become full");
    }
    assert_eq!(standing(&ledger, 1), Some(to - 1));
    let batch = while_held(&ledger, || {
        [big(to), big(to + 1), claim(1, 2, 9), claim(1, to - 1, to - 1)].map(|e| ledger.submit(e))
    });
    // The last one has been durable all along.
    assert_eq!(
        batch.map(crate::Pending::wait),
        [full.clone(), full.clone(), full.clone(), Outcome::Committed]
    );
    assert_eq!(standing(&ledger, 1), Some(to - 1), "values do not move with a batch that failed");
    ledger.execute("PRAGMA max_page_count = 100000");
    commit(&ledger, big(to));
    ledger.close().expect("it can be closed");
    let ledger = open(dir.path());
    assert_eq!((ledger.start_state(), standing(&ledger, 1)), (StartState::Clean, Some(to)));
    assert!(faults.lock().expect("no test panics with it").is_empty());
}

// covers: G03
#[test]
fn a_full_disk_releases_the_reserve_and_a_quiet_moment_takes_it_again() {
    let dir = new_store();
    let ledger = open(dir.path());
    let reserve = dir.path().join("reserve");
    ledger.take_reserve_now();
    assert!(reserve.exists());
    ledger.with_writer(|writer| {
        writer.relieve();
        Ok(())
    });
    assert!(!reserve.exists());
    ledger.take_reserve_now();
    assert!(reserve.exists());
}

// covers: G02
#[test]
fn any_other_fault_leaves_doubt_and_ends_the_ledger() {
    let dir = new_store();
    let (ledger, faults) = open_with_faults(dir.path());
    commit(&ledger, add(1, 0));
    commit(&ledger, claim(1, 1, 1));
    ledger.execute("ALTER TABLE journal RENAME TO lost");
    assert_eq!(ledger.submit(claim(1, 2, 2)).wait(), Outcome::Unknown);
    // What had not been begun is refused; it is not retried, and nothing is accepted any more.
    for to in 3..6 {
        let outcome = ledger.submit(claim(1, to, to)).wait();
        assert!(matches!(outcome, Outcome::NotCommitted(Refusal::Closed) | Outcome::Unknown), "{outcome:?}");
    }
    assert!(ledger.load().is_err());
    assert!(ledger.close().is_err());
    assert_eq!(faults.lock().expect("no test panics with it").len(), 1);
}

// covers: G02
#[test]
fn a_fault_while_folding_ends_the_ledger_too() {
    let dir = new_store();
    let (ledger, faults) = open_with_faults(dir.path());
    commit(&ledger, Entry { audit: Some(audit_entry(1)), ..add(1, 0) });
    ledger.execute("ALTER TABLE leaves RENAME TO lost");
    let do_chore = |writer: &mut Writer| {
        writer.do_chore();
        Ok(())
    };
    while ledger.ask(do_chore).is_ok() {}
    assert!(ledger.load().is_err());
    assert_eq!(faults.lock().expect("no test panics with it").len(), 1);
}

// covers: G01
#[test]
fn a_long_backlog_is_folded_while_entries_keep_coming() {
    let dir = new_store();
    let ledger = open(dir.path());
    let add = |n: u32| {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&n.to_be_bytes());
        let change = Change::AddCredential { credential: crate::CredentialId(id), value: 0 };
        Entry { changes: vec![change], ..Entry::default() }
    };
    let count = 40_000;
    let mut rows_max = 0;
    for first in (0..count).step_by(1000) {
        let pending =
            while_held(&ledger, || (first..first + 1000).map(|n| ledger.submit(add(n))).collect::<Vec<_>>());
        assert!(pending.into_iter().all(|pending| pending.wait() == Outcome::Committed));
        rows_max = rows_max.max(ledger.backlog_rows());
    }
    assert!((8_000..18_000).contains(&rows_max), "{rows_max} rows have gathered");
    assert!(ledger.figures().folds >= 3);
    drop(ledger);
    let contents = open(dir.path()).load().expect("an open ledger can be loaded");
    assert_eq!(contents.credentials.len(), count as usize);
}

fn large() -> Change {
    Change::Put { kind: 1, key: vec![1], value: vec![7; crate::RECORD_BYTES_MAX] }
}
