//! System calls around a commit fail: names that cannot be changed, lengths, room, descriptors.
//!
//! `storage.rs` has the writes and syncs of a commit itself, after which nothing more may be accepted. What fails
//! here may or may not end the daemon; it must not take back what was told.

use system_tests::faults::Injector;
use system_tests::scenario::{Scenario, pass_steps};

/// What fails, as strace wants it; `when=3+5` is every fifth from the third.
const FAULTS: [&str; 6] = [
    "rename,renameat,renameat2:error=EIO",
    "ftruncate,fallocate:error=EIO",
    "pwrite64:error=ENOSPC:when=3+5",
    "fsync,fdatasync:error=EIO:when=4",
    "openat:error=EMFILE:when=2+2",
    "read,readv,recvfrom,recvmsg:error=EINTR:when=2+3",
];

/// How often the clock goes on a step under each fault.
const STEPS: usize = 40;

// covers: G02, G03
#[test]
fn whatever_call_fails_nothing_that_was_told_is_taken_back() {
    let mut scenario = Scenario::start(4);
    for fault in FAULTS {
        scenario.strike(|verifier| {
            let injector = Injector::attach(verifier.id(), fault);
            let clock = verifier.clock.clone();
            let mut steps = 0;
            pass_steps(&clock, "some steps, or the daemon's end", || {
                steps += 1;
                (steps >= STEPS || !verifier.is_running()).then_some(())
            });
            drop(injector);
            if verifier.is_running() {
                verifier.kill();
            }
        });
        scenario.recover();
    }
    scenario.finish(FAULTS.len());
}
