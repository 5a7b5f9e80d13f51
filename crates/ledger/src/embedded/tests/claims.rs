//! A claim wins once.

use std::sync::Barrier;

use super::{add, audit_entry, claim, commit, new_store, open, standing, while_held};
use crate::embedded::QUEUE_ENTRIES_MAX;
use crate::{Entry, Ledger, Outcome, Refusal};

// covers: G01
#[test]
fn of_many_threads_that_claim_the_same_value_one_wins() {
    let dir = new_store();
    let ledger = open(dir.path());
    commit(&ledger, add(1, 0));
    for to in 1..=20 {
        let barrier = Barrier::new(16);
        let wins = std::thread::scope(|scope| {
            let race = |id| {
                let (ledger, barrier) = (&ledger, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    ledger.submit(claim(1, to, to * 100 + id)).wait()
                })
            };
            let racers: Vec<_> = (0..16).map(race).collect();
            let outcomes = racers.into_iter().map(|racer| racer.join().expect("no racer panics"));
            outcomes.filter(|outcome| *outcome == Outcome::Committed).count()
        });
        assert_eq!(wins, 1);
    }
    assert_eq!(standing(&ledger, 1), Some(20));
}

// covers: G01
#[test]
fn a_claim_under_the_same_id_is_committed_again_and_writes_nothing() {
    let dir = new_store();
    let ledger = open(dir.path());
    commit(&ledger, add(1, 0));
    let entry = Entry { audit: Some(audit_entry(7)), ..claim(1, 5, 1) };
    commit(&ledger, entry.clone());
    let last = ledger.last();
    commit(&ledger, entry.clone());
    assert_eq!(ledger.last(), last);
    drop(ledger);
    let ledger = open(dir.path());
    commit(&ledger, entry);
    assert_eq!(ledger.last(), last);
    assert_eq!(ledger.audit_after(0, 10).expect("the trail can be read").len(), 1);
    let other = ledger.submit(claim(1, 5, 2)).wait();
    let by = claim(1, 5, 1).claim.expect("it is a claim").id;
    assert_eq!(other, Outcome::NotCommitted(Refusal::Superseded { value: 5, by }));
    assert_eq!(ledger.submit(claim(2, 1, 1)).wait(), Outcome::NotCommitted(Refusal::NoSuchCredential));
}

#[test]
fn an_entry_outside_its_bounds_is_refused() {
    let dir = new_store();
    let ledger = open(dir.path());
    let entry =
        Entry { changes: vec![crate::Change::Delete { kind: 1, key: Vec::new() }], ..Entry::default() };
    assert_eq!(ledger.submit(entry).wait(), Outcome::NotCommitted(Refusal::OutOfBounds));
}

#[test]
fn entries_of_one_batch_see_each_other_in_order() {
    let dir = new_store();
    let ledger = open(dir.path());
    let entries = [add(1, 3), claim(1, 4, 1), claim(1, 4, 1), claim(1, 4, 2), claim(1, 5, 3), add(1, 0)];
    // Held up, the writer takes all of them at once.
    let submitted = while_held(&ledger, || entries.map(|entry| ledger.submit(entry)));
    let outcomes = submitted.map(crate::Pending::wait);
    let by = claim(1, 4, 1).claim.expect("it is a claim").id;
    let refused = Outcome::NotCommitted;
    assert_eq!(
        outcomes,
        [
            Outcome::Committed,
            Outcome::Committed,
            Outcome::Committed,
            refused(Refusal::Superseded { value: 4, by }),
            Outcome::Committed,
            refused(Refusal::CredentialExists),
        ]
    );
}

#[test]
fn a_full_queue_refuses_at_once() {
    let dir = new_store();
    let ledger = open(dir.path());
    let pending: Vec<_> = while_held(&ledger, || {
        let pending = (0..QUEUE_ENTRIES_MAX).map(|_| ledger.submit(Entry::default())).collect();
        assert_eq!(ledger.submit(add(1, 0)).wait(), Outcome::NotCommitted(Refusal::Busy));
        pending
    });
    assert!(pending.into_iter().all(|pending| pending.wait() == Outcome::Committed));
}

#[test]
fn a_closed_ledger_refuses() {
    let dir = new_store();
    let ledger = open(dir.path());
    ledger.close().expect("it can be closed");
    assert_eq!(ledger.submit(add(1, 0)).wait(), Outcome::NotCommitted(Refusal::Closed));
    assert!(ledger.load().is_err());
    assert!(ledger.close().is_err());
    open(dir.path());
}
