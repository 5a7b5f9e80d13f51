//! The clock jumps while people log in: nothing is accepted twice, no step falls, and the daemon lives.

use system_tests::postern;
use system_tests::scenario::Scenario;
use system_tests::time::{unix_now, wait_for};

/// Jumps in seconds: as time servers correct, as summer time and a wrong zone do, as somebody types.
const JUMPS: [i64; 10] = [-1, 1, -30, 30, -90, 90, -3_600, 3_600, -86_400, 86_400];

/// How many logins are decided between two jumps.
const LOGINS: u64 = 20;

fn decided() -> u64 {
    let status = postern::status();
    status.accepted + status.refused
}

// covers: G11
#[test]
fn while_the_clock_jumps_to_and_fro_nothing_is_accepted_twice() {
    let mut scenario = Scenario::start_with_real_waits(6);
    scenario.strike(|verifier| {
        for jump in JUMPS {
            verifier.clock.advance(jump);
            let before = decided();
            wait_for("logins to go on", || (decided() >= before + LOGINS).then_some(()));
            assert!(verifier.is_running(), "a jump of {jump} s ended the daemon");
        }
    });
    scenario.recover();
    scenario.finish(JUMPS.len());
}

// covers: G11
#[test]
fn a_clock_at_the_ends_of_time_ends_nothing() {
    const DAY: u64 = 86_400;
    // The last second of 32 bits, and one past it.
    const YEAR_2106: u64 = 1 << 32;
    let mut scenario = Scenario::start_with_real_waits(4);
    let moments = [DAY, YEAR_2106 - 1, YEAR_2106 + 1, DAY];
    scenario.strike(|verifier| {
        for moment in moments {
            let before = decided();
            verifier.clock.advance(moment as i64 - verifier.now() as i64);
            wait_for("logins to go on", || (decided() >= before + LOGINS).then_some(()));
            assert!(verifier.is_running(), "the daemon ended at {moment}");
        }
        verifier.clock.advance(unix_now() as i64 - verifier.now() as i64);
    });
    scenario.recover();
    scenario.finish(1);
}
