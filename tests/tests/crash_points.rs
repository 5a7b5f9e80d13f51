//! The daemon is killed at one system call: before and after a write, a sync, an answer.

use system_tests::faults::Injector;
use system_tests::rounds;
use system_tests::scenario::{Scenario, pass_steps};

/// Kills the daemon again and again, each time at a later call of some kinds.
///
/// * `calls`: the system calls with commas; strace counts those of each thread.
fn check(calls: &str) {
    let mut scenario = Scenario::start(6);
    let kills = rounds("POSTERN_KILL_POINTS", 5);
    for kill in 1..=kills {
        scenario.strike(|verifier| {
            let injector = Injector::attach(verifier.id(), &format!("{calls}:signal=KILL:when={kill}"));
            let clock = verifier.clock.clone();
            pass_steps(&clock, "the daemon to be killed", || (!verifier.is_running()).then_some(()));
            drop(injector);
        });
        scenario.recover();
    }
    scenario.finish(kills);
}

// covers: G01
#[test]
fn killed_around_a_write_of_the_store_the_daemon_loses_nothing_that_it_told() {
    check("pwrite64");
}

// covers: G01
#[test]
fn killed_around_a_sync_the_daemon_loses_nothing_that_it_told() {
    check("fsync,fdatasync");
}

// covers: G01
#[test]
fn killed_around_an_answer_the_daemon_loses_nothing_that_it_told() {
    check("write,writev,sendto,sendmsg");
}
