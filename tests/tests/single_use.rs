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
    let _machine = Machine::new();
    let verifier = Verifier::start();
    let phone = activated(&verifier, "alice");
    let rounds = rounds("POSTERN_RACE_ROUNDS", 20);
    for round in 0..rounds {
        let code = verifier.next_code(&phone);
        let accepted = race(&code);
        assert_eq!(accepted, 1, "round {round} of {rounds}");
    }
    let allowed = postern::audit().into_iter().filter(|record| record.verdict.as_deref() == Some("allow")).count();
    assert_eq!(allowed, rounds + 1, "the audit trail has each accept once, and the activation");
    println!("{rounds} rounds of {CONNECTIONS} connections, one accept each");
}

/// Begins all dialogues first, so that only the answers race. From several addresses and for several services,
/// so that no limit but single use decides.
fn race(code: &str) -> usize {
    let dialogues: Vec<Dialogue> = (0..CONNECTIONS)
        .map(|number| {
            let service = ["sshd", "sudo", "su", "login"][number % 4];
            let login = Login::by_ssh("alice").from(&format!("192.0.2.{number}")).to(service);
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
