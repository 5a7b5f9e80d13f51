//! Two thousand agents lose their verifier in one second, and it comes back a minute later.

use std::time::Duration;

use agent::backoff::LONGEST_MAX;
use fleet_harness::{BySecond, Crowd, addresses};
use system_tests::agent::fleet_section;
use system_tests::flows::associated;
use system_tests::fob::Fob;
use system_tests::machine::Machine;
use system_tests::time::wait_at_most;
use system_tests::verifier::{Verifier, config};

/// How many agents there are.
const AGENTS: usize = 2_000;

/// From so many failures on an agent's back-off has stopped growing: half a second doubled six times is 32 s.
const FAILURES_AT_CAP: u32 = 7;

/// Longest wait for what a whole fleet does: it has some minutes of work, and two cores.
const PATIENCE: Duration = Duration::from_secs(300);

/// Users who log in afterwards, and how often each of them.
const USERS: usize = 10;
const LOGINS: usize = 30;

/// Longest that all but a hundredth of the logins may take. Source: check H12.
const LOGIN_MAX: Duration = Duration::from_secs(2);

fn wait(what: &str, mut holds: impl FnMut() -> bool) {
    let held = wait_at_most(PATIENCE, || holds().then_some(()));
    assert!(held.is_some(), "waited {PATIENCE:?} in vain: {what}");
}

// covers: H12
#[test]
fn two_thousand_agents_come_back_without_a_crowd_and_logins_are_quick() {
    let machine = Machine::new();
    let addresses = addresses();
    let names: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let mut verifier = Verifier::start_with(&config(&fleet_section(&names)));
    let users = machine.add_bare_users("user", USERS);
    let mut fobs: Vec<Fob> = (0..USERS).map(|number| Fob::with_button(&format!("88{number:08}"))).collect();
    for (fob, user) in fobs.iter_mut().zip(&users) {
        associated(fob, user);
    }
    let crowd = Crowd::join(AGENTS, &addresses);
    wait("all agents to be connected", || crowd.connected() == AGENTS);

    verifier.stop();
    wait("every agent to have failed until its back-off grows no more", || {
        crowd.failures_min() >= FAILURES_AT_CAP
    });
    assert_eq!(crowd.connected(), 0);
    verifier.launch();
    let (mut by_second, mut before) = (BySecond::default(), 0);
    wait("all agents to be back", || {
        let connected = crowd.connected();
        by_second.add(connected.saturating_sub(before));
        before = before.max(connected);
        connected == AGENTS
    });
    let (peak, mean) = (by_second.peak(), by_second.mean(LONGEST_MAX));
    println!("{AGENTS} agents: mean {mean:.0} connections a second, peak {peak}: {by_second:?}");
    assert!(peak as f64 <= 3.0 * mean, "peak {peak}, mean {mean:.0}: {by_second:?}");

    let mut times = Vec::new();
    for round in 0..LOGINS {
        for (number, (fob, user)) in fobs.iter_mut().zip(&users).enumerate() {
            // 7 and the number of agents have no common divisor: another host each time.
            times.push(crowd.log_in(7 * (round * USERS + number), user, &fob.press()));
        }
    }
    times.sort();
    let p99 = times[times.len() * 99 / 100];
    println!("{} logins: p99 {p99:?}", times.len());
    assert!(p99 <= LOGIN_MAX, "p99 {p99:?}");
}
