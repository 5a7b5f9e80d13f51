//! Where chance comes from: the kernel, and nowhere else.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use system_tests::faults::Injector;
use system_tests::flows::activated;
use system_tests::login_socket::Login;
use system_tests::machine::{Machine, folder};
use system_tests::time::wait_for;
use system_tests::verifier::{CONFIG, Verifier, config};
use system_tests::{postern, programs};
use wire::login::{Next, Verdict};

/// What a kernel without random numbers answers.
const NO_CHANCE: &str = "getrandom:error=EIO";

fn trace_file() -> PathBuf {
    folder().join("random.strace")
}

// covers: A19
#[test]
fn every_secret_and_code_is_drawn_from_the_kernel() {
    let _machine = Machine::new();
    let mut verifier = Verifier::prepare(&config(""));
    verifier.initialise();
    let trace = trace_file().display().to_string();
    // -D: the daemon stays the rig's own child, which can be asked to end.
    verifier.launch_under(&["strace", "-D", "-f", "-e", "trace=open,openat,getrandom", "-o", &trace]);
    let phone = activated(&verifier, "alice");
    let codes = postern::recovery_codes("alice");
    assert_eq!(Login::by_ssh("alice").verdict(&verifier.next_code(&phone)), Verdict::Allow);
    verifier.stop();
    let traced = wait_for("the end of the trace", || {
        fs::read_to_string(trace_file()).ok().filter(|text| text.contains("+++ exited with 0 +++"))
    });
    // Before the first secret, of 20 bytes, the store's engine opens a device for the names of its own files.
    let (_, traced) = traced.rsplit_once(", 20, 0) = 20").expect("a secret is drawn");
    // Ten codes of 10 bytes. What may be weak is for hash tables.
    let for_secrets = |line: &&str| line.contains("getrandom(") && !line.contains("GRND_INSECURE");
    let drawn: usize = traced.lines().filter(for_secrets).filter_map(bytes_drawn).sum();
    assert!(drawn >= 10 * codes.len(), "only {drawn} bytes were drawn");
    for device in ["/dev/urandom", "/dev/random", "/dev/hwrng"] {
        assert!(!traced.contains(device), "{device} is opened:\n{traced}");
    }
}

/// What `getrandom(...) = N` returned.
fn bytes_drawn(line: &str) -> Option<usize> {
    line.rsplit_once("= ")?.1.trim().parse().ok()
}

// covers: A19
#[test]
fn without_random_numbers_no_key_and_no_store_are_made() {
    let _machine = Machine::new();
    let verifier = Verifier::prepare(&config(""));
    let mut init = Command::new("strace");
    init.args(["-f", "-qq", "-e", "trace=getrandom", "-e", &format!("inject={NO_CHANCE}"), "-o"]);
    init.arg(trace_file()).arg(programs::ours("verifierd")).args(["init", "--config", CONFIG]);
    let output = init.output().expect("strace");
    assert!(!output.status.success(), "{output:?}");
    let key = Path::new("/etc/postern/master.key");
    assert!(!key.exists() || fs::read(key).is_ok_and(|text| text.is_empty()), "no key without chance");

    let _ = fs::remove_file(key);
    verifier.initialise();
}

// covers: A19
#[test]
fn without_random_numbers_a_running_daemon_draws_nothing_and_lets_nobody_in() {
    let _machine = Machine::new();
    let mut verifier = Verifier::start();
    let phone = activated(&verifier, "alice");
    let before = postern::recovery_codes("alice");
    let injector = Injector::attach(verifier.id(), NO_CHANCE);
    let made = postern::run(&["recovery", "regenerate", "alice", "--yes", "--json"]);
    let _ = postern::run(&["user", "set", "bob", "--otp", "on", "--yes"]);
    let let_in = Login::by_ssh("bob").attempt("000000").is_ok_and(|reply| {
        matches!(reply.next, Next::Done { verdict: Verdict::Allow, .. })
            || reply.show.concat().contains("otpauth://")
    });
    drop(injector);
    assert!(!made.status.success(), "codes without chance: {made:?}");
    assert!(!let_in, "a secret without chance");

    if !verifier.is_running() {
        verifier.wait_for_end();
        verifier.launch();
        postern::run(&["store", "settle", "--yes"]);
    }
    verifier.clock.advance(120);
    let login = Login::by_ssh("alice");
    assert_eq!(login.verdict(&before[0]), Verdict::Allow, "the old codes stand");
    assert_eq!(login.verdict(&verifier.next_code(&phone)), Verdict::Allow);
}
