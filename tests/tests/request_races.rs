//! One issued password and many who type it at one instant, at the running daemon: exactly one gets in.

use std::sync::Barrier;
use std::thread;

use system_tests::login_socket::{Dialogue, Login, verdict};
use system_tests::machine::Machine;
use system_tests::persons::{AUTOMATIC, add, ask_automatically};
use system_tests::site::Site;
use system_tests::{postern, rounds};
use wire::login::Verdict;

/// How many connections offer the password at once.
const CONNECTIONS: usize = 200;

// covers: R8, A05, A13
#[test]
fn of_200_connections_with_one_issued_password_exactly_one_is_accepted() {
    let machine = Machine::without_module();
    let site = Site::start_as(AUTOMATIC, "");
    let rounds = rounds("POSTERN_REQUEST_ROUNDS", 3);
    // An account for each round: a person gets one password in an hour, and those who come too late are counted.
    let users = machine.add_bare_users("racer", rounds);
    for (round, user) in users.iter().enumerate() {
        add(user);
        ask_automatically(user);
        let mail = site.server.expect(1, &format!("{user}@example.org"));
        let accepted = race(user, mail.password().expect("a password"));
        assert_eq!(accepted, 1, "round {round} of {rounds}");
    }
    let accepted = postern::audit().into_iter().filter(|record| record.verdict.as_deref() == Some("allow"));
    let accepted: Vec<_> = accepted.map(|record| (record.reason, record.person)).collect();
    let expected: Vec<_> = users.into_iter().map(|user| ("issued_password".to_owned(), Some(user))).collect();
    assert_eq!(accepted, expected, "the audit trail has each accept once, and no other");
    println!("{rounds} rounds of {CONNECTIONS} connections, one accept each");
}

/// Begins all dialogues first, so that only the answers race; from several addresses, so that no count of one of them
/// decides. How many were let in.
fn race(user: &str, password: &str) -> usize {
    let begin = |number| Login::by_ssh(user).from(&format!("192.0.2.{number}")).begin().expect("a question");
    let dialogues: Vec<Dialogue> = (0..CONNECTIONS).map(begin).collect();
    let barrier = Barrier::new(CONNECTIONS);
    thread::scope(|scope| {
        let attempts: Vec<_> = dialogues
            .iter()
            .map(|dialogue| {
                scope.spawn(|| {
                    barrier.wait();
                    let reply = dialogue.answer(password).expect("an answer");
                    usize::from(verdict(&reply) == Verdict::Allow)
                })
            })
            .collect();
        attempts.into_iter().map(|attempt| attempt.join().expect("no panic")).sum()
    })
}
