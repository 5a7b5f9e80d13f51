//! A credential that takes another name.

use super::{add, audit_entry, claim, commit, copy_store, credential, new_store, open, scratch, standing};
use crate::embedded::EmbeddedLedger;
use crate::{Change, ClaimId, Entry, Ledger, Outcome, Pending, Refusal};

// covers: G01
#[test]
fn a_moved_credential_takes_its_value_along_and_leaves_nothing() {
    let dir = new_store();
    let ledger = open(dir.path());
    commit(&ledger, add(1, 3));
    commit(&ledger, claim(1, 7, 1));
    commit(&ledger, Entry { audit: Some(audit_entry(1)), ..a_move(1, 2) });
    check_moved(&ledger);
    // The login that had won under the old name is told nothing else than anybody.
    let again = ledger.submit(claim(1, 7, 1)).wait();
    assert_eq!(again, Outcome::NotCommitted(Refusal::NoSuchCredential));
    commit(&ledger, claim(2, 8, 2));
    assert_eq!(standing(&ledger, 2), Some(8));
}

#[test]
fn a_move_without_its_old_name_or_onto_another_credential_is_refused_whole() {
    let dir = new_store();
    let ledger = open(dir.path());
    commit(&ledger, add(1, 3));
    commit(&ledger, add(2, 4));
    let refused = |entry| match ledger.submit(entry).wait() {
        Outcome::NotCommitted(refusal) => refusal,
        other => panic!("{other:?} instead of a refusal"),
    };
    assert_eq!(refused(a_move(1, 2)), Refusal::CredentialExists);
    assert_eq!(refused(a_move(1, 1)), Refusal::CredentialExists);
    assert_eq!(refused(a_move(3, 4)), Refusal::NoSuchCredential);
    assert_eq!(refused(Entry { claim: claim(2, 9, 1).claim, ..a_move(3, 4) }), Refusal::NoSuchCredential);
    assert_eq!((standing(&ledger, 1), standing(&ledger, 2)), (Some(3), Some(4)));
}

// covers: G01
#[test]
fn claims_of_the_same_batch_count_before_a_move_and_fail_after_it() {
    let dir = new_store();
    let ledger = open(dir.path());
    commit(&ledger, add(1, 3));
    let entries =
        [claim(1, 7, 1), a_move(1, 2), claim(1, 9, 2), claim(2, 7, 3), claim(2, 8, 4), a_move(2, 1)];
    let submitted = super::while_held(&ledger, || entries.map(|entry| ledger.submit(entry)));
    let refused = Outcome::NotCommitted;
    assert_eq!(
        submitted.map(Pending::wait),
        [
            Outcome::Committed,
            Outcome::Committed,
            refused(Refusal::NoSuchCredential),
            refused(Refusal::Superseded { value: 7, by: ClaimId([0; 16]) }),
            Outcome::Committed,
            Outcome::Committed,
        ]
    );
    drop(ledger);
    let ledger = open(dir.path());
    assert_eq!((standing(&ledger, 1), standing(&ledger, 2)), (Some(8), None));
}

// covers: G01, G05
#[test]
fn a_move_outlives_a_crash_at_any_point_of_its_folding() {
    for rows in 0..4 {
        let (dir, crashed) = (new_store(), scratch());
        let ledger = open(dir.path());
        commit(&ledger, add(1, 3));
        ledger.rest();
        commit(&ledger, Entry { claim: claim(1, 7, 1).claim, ..a_move(1, 2) });
        // The journal is read again on top of as many folded rows.
        ledger.fold_some(rows);
        copy_store(dir.path(), crashed.path());
        check_moved(&open(crashed.path()));
        ledger.rest();
        ledger.close().expect("it can be closed");
        check_moved(&open(dir.path()));
    }
}

/// Number 1 has become number 2, which stands at 7 by no claim.
fn check_moved(ledger: &EmbeddedLedger) {
    let credentials = ledger.load().expect("an open ledger can be loaded").credentials;
    let found: Vec<_> = credentials.iter().map(|stored| (stored.id, stored.value, stored.by)).collect();
    assert_eq!(found, [(credential(2), 7, ClaimId([0; 16]))]);
    assert_eq!(ledger.submit(claim(1, 9, 9)).wait(), Outcome::NotCommitted(Refusal::NoSuchCredential));
    let superseded = Refusal::Superseded { value: 7, by: ClaimId([0; 16]) };
    assert_eq!(ledger.submit(claim(2, 7, 9)).wait(), Outcome::NotCommitted(superseded));
}

fn a_move(from: u8, to: u8) -> Entry {
    let change = Change::MoveCredential { from: credential(from), to: credential(to) };
    Entry { changes: vec![change], ..Entry::default() }
}
