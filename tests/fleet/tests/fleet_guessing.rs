//! One host tries wrong codes for everybody, a thousand a second, while fifty others do honest work.

use std::thread;
use std::time::Duration;

use fleet_harness::{Crowd, addresses};
use system_tests::agent::fleet_section;
use system_tests::flows::associated;
use system_tests::fob::Fob;
use system_tests::machine::Machine;
use system_tests::time::{self, wait_at_most};
use system_tests::verifier::{Verifier, config};
use system_tests::{postern, rounds};

/// Honest hosts, and as many users. Source: check B08.
const HOSTS: usize = 50;

/// Guesses a second. Source: check B08.
const GUESSES: u32 = 1_000;

/// For how many seconds the guesses go on at least, where nobody says otherwise.
const GUESSING_SECONDS: usize = 5;

/// How often each user logs in at a time.
const LOGINS: usize = 4;

/// Users who do so at the same time.
const AT_ONCE: usize = 2;

/// Logins a second at each host, where the rig is quick enough: those of a machine with tens of thousands of users, and
/// fewer than a host may ask for.
const LOGINS_A_SECOND: usize = 20;

const PATIENCE: Duration = Duration::from_secs(120);

/// Every user logs in at one host after the other, some users at a time; how long each verdict took, the longest last.
fn logins(crowd: &Crowd, fobs: &mut [Fob], users: &[String]) -> Vec<Duration> {
    let each = HOSTS / AT_ONCE;
    let every = Duration::from_secs(1) * AT_ONCE as u32 / (HOSTS * LOGINS_A_SECOND) as u32;
    let one_after_the_other = |first: usize, fobs: &mut [Fob], users: &[String]| {
        let mut beat = crowd.beat(every);
        let rounds = (0..LOGINS).flat_map(|round| (0..users.len()).map(move |number| (round, number)));
        rounds
            .map(|(round, number)| {
                beat.next();
                // Allowed, or this ends the test.
                crowd.log_in((first + number + round) % HOSTS, &users[number], &fobs[number].press())
            })
            .collect::<Vec<_>>()
    };
    let mut times = thread::scope(|scope| {
        let some: Vec<_> = fobs
            .chunks_mut(each)
            .zip(users.chunks(each))
            .enumerate()
            .map(|(chunk, (fobs, users))| scope.spawn(move || one_after_the_other(chunk * each, fobs, users)))
            .collect();
        some.into_iter().flat_map(|logins| logins.join().expect("logins")).collect::<Vec<_>>()
    });
    times.sort();
    times
}

// covers: B08
#[test]
fn a_host_that_guesses_for_everybody_keeps_nobody_out_elsewhere() {
    let machine = Machine::new();
    let addresses = addresses();
    let names: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let _verifier = Verifier::start_with(&config(&fleet_section(&names)));
    let users = machine.add_bare_users("user", HOSTS);
    let mut fobs: Vec<Fob> = (0..HOSTS).map(|number| Fob::with_button(&format!("88{number:08}"))).collect();
    for (fob, user) in fobs.iter_mut().zip(&users) {
        associated(fob, user);
    }
    let crowd = Crowd::join(HOSTS + 1, &addresses);
    let connected = wait_at_most(PATIENCE, || (crowd.connected() > HOSTS).then_some(()));
    assert!(connected.is_some(), "{} hosts are connected", crowd.connected());

    let seconds = rounds("POSTERN_GUESSING_SECONDS", GUESSING_SECONDS);
    let quiet = (0..8).flat_map(|_| logins(&crowd, &mut fobs, &users));
    let mut quiet: Vec<_> = quiet.collect();
    quiet.sort();
    let (meanwhile, guesses) = crowd.guessing_at(HOSTS, GUESSES, &users, || {
        let (begun, mut times) = (time::now(), Vec::new());
        while begun.elapsed() < Duration::from_secs(seconds as u64) {
            times.extend(logins(&crowd, &mut fobs, &users));
        }
        times.sort();
        times
    });
    let p99 = |times: &[Duration]| times[times.len() * 99 / 100];
    // Told, not judged: the rig's own work for the guesses is in it.
    println!("{guesses:?}; p99 of a login {:?}, without them {:?}", p99(&meanwhile), p99(&quiet));
    assert_eq!(guesses.allowed, 0);
    assert!(guesses.asked > GUESSES as usize, "{guesses:?}");
    // Nor afterwards: nothing is left at the users or their tokens.
    logins(&crowd, &mut fobs, &users);
    for user in &users {
        let shown = postern::user(user);
        assert!(
            shown.tokens.iter().all(|token| token.state == wire::admin::TokenState::Associated),
            "{shown:?}"
        );
    }
    let alarm = postern::audit().into_iter().find(|record| record.event == "guesses_from_one_source");
    assert!(alarm.is_some(), "nobody is told of it");
}
