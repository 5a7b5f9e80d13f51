//! The daemon dies at any moment: what was accepted is in the store, and nothing is accepted again.

use std::time::Duration;

use system_tests::flows::{activated, ssh_login};
use system_tests::login_socket::{Login, verdict};
use system_tests::machine::{ALICE, Machine};
use system_tests::scenario::Scenario;
use system_tests::sshd::Sshd;
use system_tests::verifier::{Verifier, config};
use system_tests::{postern, rounds, time};
use wire::login::Verdict;

/// How many users log in at once while the daemon is killed.
const USERS: usize = 8;

// covers: A05, B02
#[test]
fn a_killed_daemon_still_refuses_what_it_accepted_before() {
    let _machine = Machine::new();
    let mut verifier = Verifier::start();
    let _sshd = Sshd::start();
    let phone = activated(&verifier, "alice");
    let code = verifier.code(&phone);
    ssh_login(ALICE, &code).logged_in();
    verifier.kill();
    verifier.launch();
    let shown = ssh_login(ALICE, &code).refused();
    assert!(shown.contains("already used") || shown.contains("just started"), "{shown}");
    verifier.clock.advance(120);
    ssh_login(ALICE, &verifier.code(&phone)).logged_in();
}

// covers: B02
#[test]
fn failures_are_counted_across_a_kill() {
    let _machine = Machine::new();
    let mut verifier = Verifier::prepare(&config("")).with_stepped_waits();
    verifier.initialise();
    verifier.launch();
    let phone = activated(&verifier, "alice");
    let login = Login::by_ssh("alice");
    for _ in 0..7 {
        assert_eq!(login.verdict(&verifier.wrong_code(&phone)), Verdict::Deny);
        verifier.clock.advance(10);
    }
    let serial = postern::only_token("alice").serial;
    assert_eq!(postern::token(&serial).failures, 7);

    verifier.crash_and_return();
    assert_eq!(postern::token(&serial).failures, 7, "counts are durable");
    assert_eq!(login.verdict(&verifier.wrong_code(&phone)), Verdict::Deny);
    let reply = login.attempt(&verifier.code(&phone)).expect("an answer");
    assert_eq!(verdict(&reply), Verdict::Deny, "the 8th failure in a row costs 8 s");
    assert!(reply.show.concat().contains("Too many attempts. Try again in "), "{reply:?}");
    verifier.clock.advance(30);
    assert_eq!(login.verdict(&verifier.code(&phone)), Verdict::Allow);
}

// covers: G01, A05, A08, B02
#[test]
fn every_accept_outlives_a_kill_at_any_moment() {
    let mut scenario = Scenario::start(USERS);
    let kills = rounds("POSTERN_KILLS", 10);
    for kill in 0..kills {
        // 5 to 45 ms of load, spread over the kills in an order that looks random and is the same every time.
        let moment = Duration::from_micros(5_000 + (kill as u64 * 7919) % 40_000);
        scenario.strike(|verifier| {
            // Steps of the clock make fresh codes all the while.
            time::wait_at_most(moment, || {
                verifier.clock.advance(30);
                None::<()>
            });
            verifier.kill();
        });
        scenario.recover();
    }
    scenario.finish(kills);
}
