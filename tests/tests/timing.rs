//! How long a refusal takes tells nothing about the account.

use std::cmp::Ordering;
use std::path::Path;
use std::sync::atomic::{self, AtomicUsize};
use std::thread;
use std::time::Duration;

use serde_json::json;
use system_tests::fob::Fob;
use system_tests::login_socket::{exchange, random_id};
use system_tests::machine::Machine;
use system_tests::postern;
use system_tests::time;
use system_tests::verifier::Verifier;
use wire::verify::VERIFY_PATH;

/// Logins of each kind of account.
const LOGINS: usize = 100;

/// Logins at the same time, where their time is not looked at.
const AT_ONCE: usize = 20;

/// Wrong codes after which a user is throttled wherever he comes from, and some more.
const FAILURES: usize = 12;

/// How far the chance that a login of one kind takes longer than one of another may be from a half. With 100 of each it
/// is off by 0.04 at random (the standard deviation of the Mann-Whitney statistic): this is five times that.
const DISTANCE_MAX: f64 = 0.2;

/// One wrong code from an address of its own, since a source that tries many accounts is refused for all alike; and how
/// long its refusal took.
fn refused(user: &str, number: usize) -> Duration {
    let (id, from) = (random_id().expect("an id"), format!("10.0.{}.{}", number / 250, number % 250 + 1));
    let asked = json!({"request_id": id, "user": user, "service": "sshd", "rhost": from, "code": "000000"});
    let begun = time::now();
    let answer = exchange(Path::new(wire::LOGIN_SOCKET), VERIFY_PATH, asked.to_string().as_bytes());
    let took = begun.elapsed();
    let answer = answer.expect("a verdict");
    assert!(String::from_utf8_lossy(&answer).contains("\"deny\""), "{user}");
    took
}

/// Does that for many, so many at a time, and in this order.
fn refuse_all(users: &[&str], at_once: usize) -> Vec<Duration> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut times = Vec::new();
        loop {
            let number = next.fetch_add(1, atomic::Ordering::Relaxed);
            let Some(user) = users.get(number) else { return times };
            times.push((number, refused(user, number)));
        }
    };
    let mut times = thread::scope(|scope| {
        let threads: Vec<_> = (0..at_once).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("refusals")).collect::<Vec<_>>()
    });
    times.sort();
    times.into_iter().map(|(_, took)| took).collect()
}

/// The chance that one of the first takes longer than one of the second; a half where it cannot be told.
fn chance_of_longer(first: &[Duration], second: &[Duration]) -> f64 {
    let pairs = first.iter().flat_map(|a| second.iter().map(move |b| (a, b)));
    let halves: usize = pairs
        .map(|(a, b)| match a.cmp(b) {
            Ordering::Equal => 1,
            Ordering::Greater => 2,
            Ordering::Less => 0,
        })
        .sum();
    halves as f64 / (2 * first.len() * second.len()) as f64
}

// covers: E07
#[test]
fn refusals_of_all_kinds_of_accounts_take_as_long() {
    let machine = Machine::new();
    let _verifier = Verifier::start_with("version = 1\nkey_file = \"/etc/postern/master.key\"\n");
    let users = machine.add_bare_users("user", 4 * LOGINS);
    let mut kinds = users.chunks(LOGINS);
    let mut kind = || kinds.next().expect("users").to_vec();
    let (enrolled, disabled, locked, unenrolled) = (kind(), kind(), kind(), kind());
    let unknown: Vec<String> = (0..LOGINS).map(|number| format!("ghost{number}")).collect();
    for (number, user) in enrolled.iter().chain(&disabled).chain(&locked).enumerate() {
        postern::add_token(&Fob::with_button(&format!("47{number:08}")), Some(user));
    }
    for (number, _) in disabled.iter().enumerate() {
        postern::done(&["token", "disable", "--yes", &format!("47{:08}", LOGINS + number)]);
    }
    for _ in 0..FAILURES {
        refuse_all(&locked.iter().map(String::as_str).collect::<Vec<_>>(), AT_ONCE);
    }
    let kinds = [enrolled, disabled, locked, unenrolled, unknown];
    // One of each in turns, so that whatever else the machine does befalls all alike; each kind follows each other as
    // often, because what one leaves to do may slow the next.
    let kinds_of = |round: usize| (0..kinds.len()).map(move |place| (round + place * (1 + round % 4)) % 5);
    let turns: Vec<(usize, usize)> =
        (0..LOGINS).flat_map(|round| kinds_of(round).map(move |kind| (kind, round))).collect();
    let order: Vec<&str> = turns.iter().map(|(kind, round)| &*kinds[*kind][*round]).collect();
    // One at a time: among many the wait for each other hides what is looked for.
    let times = refuse_all(&order, 1);
    let of_kind = |kind: usize| {
        turns.iter().zip(&times).filter(|((of, _), _)| *of == kind).map(|(_, took)| *took).collect::<Vec<_>>()
    };
    for (first, second) in (0..kinds.len()).flat_map(|second| (0..second).map(move |first| (first, second))) {
        let chance = chance_of_longer(&of_kind(first), &of_kind(second));
        println!("{} over {}: {chance:.3}", kinds[first][0], kinds[second][0]);
        assert!(
            (chance - 0.5).abs() <= DISTANCE_MAX,
            "{} over {}: {chance}",
            kinds[first][0],
            kinds[second][0]
        );
    }
}
