//! What happens in quiet moments, and what does not wait for one.

use super::{add, audit_entry, claim, commit, new_store, open, standing};
use crate::embedded::EmbeddedLedger;
use crate::{Change, Entry, StartState};

#[test]
fn in_quiet_moments_the_mark_moves_the_journal_is_folded_and_space_is_kept_back() {
    let dir = new_store();
    let ledger = open(dir.path());
    commit(&ledger, Entry { audit: Some(audit_entry(1)), ..add(1, 0) });
    commit(&ledger, Entry { audit: Some(audit_entry(2)), ..claim(1, 4, 1) });
    let chores = (0..).take_while(|_| do_chore(&ledger)).count();
    assert!(chores <= 3, "each of four chores is done once");
    let (marked, folded, last) =
        ledger.with_writer(|writer| Ok((writer.mark.last, writer.meta.folded, writer.last)));
    assert_eq!((marked, folded), (last, last));
    assert!(dir.path().join("reserve").exists());
    drop(ledger);
    std::fs::remove_file(dir.path().join("store-wal")).expect("there is a log");
    let ledger = open(dir.path());
    assert_eq!((ledger.start_state(), standing(&ledger, 1)), (StartState::Unclean, Some(4)));
}

// covers: T8
#[test]
fn a_deleted_record_leaves_nothing_on_disk_once_it_is_quiet() {
    const SEALED: &[u8] = b"a sealed secret that nobody needs any more";
    let dir = new_store();
    let ledger = open(dir.path());
    let key = b"token".to_vec();
    let put = Change::Put { kind: 2, key: key.clone(), value: SEALED.to_vec() };
    commit(&ledger, Entry { changes: vec![put], ..Entry::default() });
    while do_chore(&ledger) {}
    assert!(is_on_disk(dir.path(), SEALED), "or the search finds nothing anyway");
    commit(&ledger, Entry { changes: vec![Change::Delete { kind: 2, key }], ..Entry::default() });
    while do_chore(&ledger) {}
    assert!(!is_on_disk(dir.path(), SEALED));
}

// covers: T8
#[test]
fn a_record_that_was_deleted_before_a_stop_leaves_nothing_on_disk_after_it() {
    const SEALED: &[u8] = b"a sealed secret that nobody needs any more";
    let dir = new_store();
    let ledger = open(dir.path());
    let key = b"token".to_vec();
    let put = Change::Put { kind: 2, key: key.clone(), value: SEALED.to_vec() };
    commit(&ledger, add(1, 0));
    for to in 1..=100 {
        commit(&ledger, claim(1, to, to));
    }
    commit(&ledger, Entry { changes: vec![put], ..Entry::default() });
    while do_chore(&ledger) {}
    commit(&ledger, Entry { changes: vec![Change::Delete { kind: 2, key }], ..Entry::default() });
    drop(ledger);
    assert!(is_on_disk(dir.path(), SEALED), "or the search finds nothing anyway");
    let ledger = open(dir.path());
    while do_chore(&ledger) {}
    assert!(!is_on_disk(dir.path(), SEALED));
}

fn is_on_disk(dir: &std::path::Path, wanted: &[u8]) -> bool {
    ["store", "store-wal"].iter().any(|name| {
        let bytes = std::fs::read(dir.join(name)).unwrap_or_default();
        bytes.windows(wanted.len()).any(|window| window == wanted)
    })
}

#[test]
fn without_quiet_moments_the_mark_stays_close() {
    let dir = new_store();
    let ledger = open(dir.path());
    commit(&ledger, add(1, 0));
    for to in 1..=600 {
        commit(&ledger, claim(1, to, to));
    }
    let (marked, last) = ledger.with_writer(|writer| Ok((writer.mark.last, writer.last)));
    assert!(last - marked < 256, "{marked} of {last}");
}

/// Does the next chore, and tells whether there is another.
fn do_chore(ledger: &EmbeddedLedger) -> bool {
    ledger.with_writer(|writer| {
        writer.do_chore();
        Ok(writer.chores.next(writer).is_some())
    })
}
