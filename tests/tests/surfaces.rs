//! One code, wherever it is shown: at a login, to the help desk, as a proof of one's own.

use system_tests::flows::associated;
use system_tests::fob::Fob;
use system_tests::login_socket::{Login, verdict};
use system_tests::machine::{ALICE, Machine};
use system_tests::postern::{self, resync};
use system_tests::verifier::Verifier;
use wire::login::Verdict;

const SERIAL: &str = "2600123456789";

/// A place where a code is shown, its name, and whether the code and the one after it are accepted there.
type Surface<'a> = (&'a str, &'a dyn Fn(&str, &str) -> bool);

// covers: A13, A10
#[test]
fn a_code_that_served_anywhere_serves_nowhere_again() {
    let machine = Machine::new();
    let _verifier = Verifier::start();
    let mut fob = Fob::with_button(SERIAL);
    associated(&mut fob, "alice");
    let log_in = |service: &str, code: &str| {
        let reply = Login::by_ssh("alice").to(service).attempt(code).expect("an answer");
        verdict(&reply) == Verdict::Allow
    };
    let prove = |code: &str| {
        let line = ["recovery", "regenerate", "--yes"];
        postern::run_by(&machine, ALICE, &line, &format!("{code}\n")).status.success()
    };
    let surfaces: [Surface<'_>; 5] = [
        ("ssh", &|code, _| log_in("sshd", code)),
        ("sudo", &|code, _| log_in("sudo", code)),
        ("token test", &|code, _| postern::test(SERIAL, code).status.success()),
        ("a proof", &|code, _| prove(code)),
        ("token resync", &|code, next| resync(SERIAL, code, next).status.success()),
    ];
    for (first, use_first) in surfaces {
        for (second, use_second) in surfaces {
            let (code, next) = (fob.press(), fob.press());
            assert!(use_first(&code, &next), "{first} takes a fresh code");
            let counter = postern::token(SERIAL).counter;
            assert!(!use_second(&code, &next), "{first}, then {second}");
            assert_eq!(postern::token(SERIAL).counter, counter, "{first}, then {second}: the counter stands");
            // Two codes that followed each other, and were both used up.
            assert!(
                first != "token resync" || !use_second(&next, &next),
                "{first}, then {second}: the later one"
            );
            postern::unlock("alice");
        }
    }
    let mut twice = postern::audit();
    twice.retain(|record| record.verdict.as_deref() == Some("allow"));
    let count = twice.len();
    twice.sort_by(|a, b| a.detail.cmp(&b.detail));
    twice.dedup_by(|a, b| a.detail == b.detail);
    assert_eq!(twice.len(), count, "the trail has each counter once");
}
