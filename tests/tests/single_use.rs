//! One valid password and many who offer it at one instant: exactly one gets in.

use std::sync::Barrier;
use std::thread;

use system_tests::flows::activated;
use system_tests::login_socket::{Dialogue, Login, verdict};
use system_tests::machine::Machine;
use system_tests::postern;
use system_tests::rounds;
use system_tests::verifier::Verifier;
use wire::login::Verdict;

/// How many connections offer the password at once.
const CONNECTIONS: usize = 200;

// covers: A05, A13
#[test]
fn of_200_connections_with_one_valid_password_exactly_one_is_accepted() {
    let machine = Machine::new();
    let verifier = Verifier::start_in_real_time();
    let rounds = rounds("POSTERN_RACE_ROUNDS", 20);
    // A user for each round: a token has one password in 30 s, and the clock is real.
    for (round, user) in machine.add_bare_users("racer", rounds).iter().enumerate() {
        let phone = activated(&verifier, user);
        let accepted = race(user, &verifier.code(&phone));
        assert_eq!(accepted, 1, "round {round} of {rounds}");
    }
    let allowed =
        postern::audit().into_iter().filter(|record| record.verdict.as_deref() == Some("allow")).count();
    assert_eq!(allowed, 2 * rounds, "the audit trail has each accept and each activation once");
    println!("{rounds} rounds of {CONNECTIONS} connections, one accept each");
}

/// Begins all dialogues first, so that only the answers race. From several addresses and for several services,
/// so that no limit but single use decides.
fn race(user: &str, code: &str) -> usize {
    let dialogues: Vec<Dialogue> = (0..CONNECTIONS)
        .map(|number| {
            let service = ["sshd", "sudo", "su", "login"][number % 4];
            let login = Login::by_ssh(user).from(&format!("192.0.2.{number}")).to(service);
            login.begin().expect("a question")
        })
        .collect();
    let barrier = Barrier::new(CONNECTIONS);
    thread::scope(|scope| {
        let attempts: Vec<_> = dialogues
            .iter()
            .map(|dialogue| {
                scope.spawn(|| {
                    barrier.wait();
                    let reply = dialogue.answer(code).expect("an answer");
                    usize::from(verdict(&reply) == Verdict::Allow)
                })
            })
            .collect();
        attempts.into_iter().map(|attempt| attempt.join().expect("no panic")).sum()
    })
}
