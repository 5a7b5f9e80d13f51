//! Signals and changes of the configuration while people log in.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use system_tests::flows::activated;
use system_tests::login_socket::{Login, verdict};
use system_tests::machine::Machine;
use system_tests::verifier::{CONFIG, Verifier, config, log_text};
use system_tests::{postern, time};
use wire::login::{Next, Verdict};

/// Longest time from SIGTERM to the end. Source: check G16.
const DRAIN: Duration = Duration::from_secs(5);

// covers: G16
#[test]
fn a_broken_configuration_keeps_the_old_one_and_says_so() {
    let _machine = Machine::new();
    let verifier = Verifier::start();
    // bob is unknown to Postern: the configuration says "ignore", the default would be "deny".
    let login = Login::by_ssh("bob");
    for broken in
        ["version = 1\nnonsense = true\n", "", "version = 2\n", "on_unenrolled = \"deny\"\nversion = 1\n[[["]
    {
        let before = log_text().len();
        fs::write(CONFIG, broken).expect("the configuration");
        verifier.signal(Signal::HUP);
        time::wait_for("a word about the broken file", || (log_text().len() > before).then_some(()));
        assert_eq!(login.verdict(""), Verdict::NotRequired, "{broken:?}");
    }
    fs::write(CONFIG, config("").replace("\"ignore\"", "\"deny\"")).expect("the configuration");
    verifier.signal(Signal::HUP);
    time::wait_for("the new configuration", || (login.verdict("") == Verdict::Deny).then_some(()));
}

// covers: G16
#[test]
fn a_thousand_reloads_under_load_leave_no_moment_with_defaults() {
    let _machine = Machine::new();
    let verifier = Verifier::start_in_real_time();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    assert_eq!(Login::by_ssh("bob").verdict(""), Verdict::NotRequired);
                }
            });
        }
        for number in 0..1_000 {
            let text = if number % 3 == 0 { "version = 1\nbroken".to_owned() } else { config("") };
            fs::write(CONFIG, text).expect("the configuration");
            verifier.signal(Signal::HUP);
        }
        done.store(true, Ordering::Relaxed);
    });
    fs::write(CONFIG, config("")).expect("the configuration");
    assert_eq!(Login::by_ssh("bob").verdict(""), Verdict::NotRequired);
    assert!(postern::status().ready);
}

// covers: G16
#[test]
fn an_asked_end_comes_in_time_and_forgets_nothing() {
    let _machine = Machine::new();
    let mut verifier = Verifier::start();
    let phone = activated(&verifier, "alice");
    let code = verifier.code(&phone);
    // One login is at its question, one is being decided, others come in.
    let open = Login::by_ssh("alice").begin().expect("a question");
    let done = AtomicBool::new(false);
    let (accepted, took) = thread::scope(|scope| {
        let load = scope.spawn(|| {
            let mut accepted = 0;
            while !done.load(Ordering::Relaxed) {
                let Ok(reply) = Login::by_ssh("alice").attempt(&code) else { continue };
                accepted += u32::from(matches!(reply.next, Next::Done { verdict: Verdict::Allow, .. }));
            }
            accepted
        });
        time::wait_for("the accept", || (postern::status().accepted >= 2).then_some(()));
        let begun = time::now();
        let status = verifier.stop();
        let took = begun.elapsed();
        done.store(true, Ordering::Relaxed);
        assert!(status.success(), "{status}: {}", log_text());
        (load.join().expect("no panic"), took)
    });
    assert_eq!(accepted, 1);
    assert!(took <= DRAIN, "ended after {took:?}");

    verifier.launch();
    assert_eq!(postern::status().store_start, "clean");
    assert_eq!(Login::by_ssh("alice").verdict(&code), Verdict::Deny, "what was used stays used");
    // A dialogue outlives the daemon that began it: its state is sealed, not kept.
    let reply = open.answer(&verifier.next_code(&phone)).expect("an answer");
    assert_eq!(verdict(&reply), Verdict::Allow);
}

// covers: G16
#[test]
fn other_signals_do_not_end_the_daemon_halfway() {
    let _machine = Machine::new();
    let mut verifier = Verifier::start();
    let phone = activated(&verifier, "alice");
    verifier.signal(Signal::PIPE);
    verifier.signal(Signal::HUP);
    let code = verifier.code(&phone);
    assert_eq!(Login::by_ssh("alice").verdict(&code), Verdict::Allow);
    // Not handled: it may end the daemon, but a supervisor starts it anew and nothing is forgotten.
    verifier.signal(Signal::USR1);
    verifier.signal(Signal::USR2);
    if time::wait_at_most(Duration::from_secs(1), || (!verifier.is_running()).then_some(())).is_some() {
        verifier.wait_for_end();
        verifier.launch();
    }
    assert_eq!(Login::by_ssh("alice").verdict(&code), Verdict::Deny);
}
