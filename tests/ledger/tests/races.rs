//! Many claim the same at one moment: the history checker over the store itself.

use std::sync::Barrier;
use std::thread;

use ledger::{Ledger as _, Outcome};
use ledger_harness::{accept, accepted, evidence, make_store, open};
use system_tests::history::SharedHistory;

// covers: A05
#[test]
fn of_many_who_claim_one_value_at_one_moment_one_is_told_that_it_is_his() {
    const CLAIMANTS: u8 = 16;
    const ROUNDS: u64 = 50;
    let room = tempfile::tempdir().expect("a folder for the test");
    make_store(room.path());
    let ledger = open(room.path()).expect("it opens");
    let history = SharedHistory::default();
    let barrier = Barrier::new(CLAIMANTS.into());
    thread::scope(|scope| {
        for claimant in 0..CLAIMANTS {
            let (ledger, history, barrier) = (&ledger, &history, &barrier);
            scope.spawn(move || {
                for to in 1..=ROUNDS {
                    barrier.wait();
                    if ledger.submit(accept(0, to, claimant)).wait() == Outcome::Committed {
                        history.push(accepted(0, to, claimant));
                    }
                }
            });
        }
    });
    let evidence = evidence(&ledger).expect("a whole store");
    history.with(|history| {
        history.judge(&evidence);
        assert_eq!(history.accepted() as u64, ROUNDS, "one in each round");
    });
}
