//! Times whole PAM transactions (start, authenticate, end) with our module and without, in turns.
//!
//! Runs in the sandbox with a real `verifierd`; prints one line of JSON for each repetition, as all programs of
//! `cargo xtask bench` do. The time is the machine's own, so each user
//! has two fresh passwords: the present one and the next, which the drift window admits.

#![forbid(unsafe_code)]

use std::fs;
use std::path::Path;

use pam_harness::application::Transaction;
use system_tests::authenticator::Authenticator;
use system_tests::flows::activated;
use system_tests::machine::{MODULE, Machine};
use system_tests::time::now;
use system_tests::verifier::Verifier;

/// Transactions in a row on one side before the other has its turn.
const TURN: usize = 100;

/// Users with a phone in one repetition; each logs in twice.
const USERS: usize = 20;

fn main() {
    let repetitions: usize = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(5);
    let machine = Machine::new();
    let verifier = Verifier::start_in_real_time();
    let permit = stack("/run/postern-rig/permit", "");
    let module =
        stack("/run/postern-rig/module", &format!("auth [success=ok ignore=ignore default=die] {MODULE}\n"));

    for repetition in 0..=repetitions {
        let users = machine.add_bare_users(&format!("r{repetition}u"), USERS);
        let phones: Vec<(String, Authenticator)> =
            users.into_iter().map(|user| (user.clone(), activated(&verifier, &user))).collect();
        let times = [
            mean_ms(TURN, |_| run(permit, "bob", "")),
            mean_ms(TURN, |_| run(module, "bob", "")),
            mean_ms(2 * USERS, |number| {
                let (user, phone) = &phones[number % USERS];
                let ahead = if number < USERS { 0 } else { 30 };
                run(module, user, &phone.code(verifier.now() + ahead));
            }),
        ];
        // The first repetition warms up the caches.
        if repetition > 0 {
            tell(times);
        }
    }
}

/// Differences within the same repetition, so that a busy moment weighs on both sides.
fn tell([permit, nothing_asked, with_code]: [f64; 3]) {
    let added = nothing_asked.max(with_code) - permit;
    let sides = serde_json::json!({
        "pam_permit, ms": permit,
        "module, nothing asked, ms": nothing_asked,
        "module, one-time password, ms": with_code,
    });
    println!("{}", serde_json::json!({ "row": "pam_added_ms", "value": added, "sides": sides }));
}

/// A folder of PAM files whose service has `lines` and then pam_permit.
fn stack(folder: &'static str, lines: &str) -> &'static Path {
    fs::create_dir_all(folder).expect("the folder");
    let folder = Path::new(folder);
    fs::write(folder.join("postern"), format!("{lines}auth required pam_permit.so\n")).expect("the service");
    fs::write(folder.join("other"), "auth required pam_deny.so\n").expect("the other service");
    folder
}

/// # Panics
/// When the transaction does not succeed: then its time means nothing.
fn run(folder: &Path, user: &str, code: &str) {
    let transaction = Transaction { user: Some(user.as_bytes()), ..Transaction::default() };
    let outcome = transaction.typing(folder, code.as_bytes());
    assert_eq!(outcome.code, 0, "{user}: {outcome:?}");
}

fn mean_ms(count: usize, mut transaction: impl FnMut(usize)) -> f64 {
    let begun = now();
    for number in 0..count {
        transaction(number);
    }
    begun.elapsed().as_secs_f64() * 1_000.0 / count as f64
}
