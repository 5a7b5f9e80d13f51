//! The load tool against the real daemon: it finds nothing wrong, and it would.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use system_tests::machine::{Machine, folder};
use system_tests::programs;
use system_tests::verifier::Verifier;

/// Runs it; `{}` in an argument is the rig's folder.
fn loadtest(arguments: &str) -> Output {
    let place = folder().display().to_string();
    let mut command = Command::new(programs::ours("loadtest"));
    command.args(arguments.split_whitespace().map(|argument| argument.replace("{}", &place)));
    command.output().expect("loadtest")
}

#[track_caller]
fn assert_code(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
}

fn report(name: &str) -> Value {
    let text = fs::read_to_string(folder().join(name)).expect("the report");
    serde_json::from_str(&text).expect("JSON")
}

fn count(report: &Value, name: &str) -> u64 {
    report["correctness"][name].as_u64().unwrap_or_else(|| panic!("no {name}: {report}"))
}

// covers: P15
#[test]
fn against_a_daemon_of_its_own_it_counts_nothing_wrong() {
    let _machine = Machine::new();
    for over in ["unix", "tls"] {
        let output = loadtest(&format!(
            "run --embedded --over {over} --closed --seconds 2 --connections 8 --users 200 --hotp-percent 50 \
             --replay-percent 20 --wrong-percent 10 --json {{}}/report.json --html {{}}/report.html"
        ));
        assert_code(&output, 0);
        let report = report("report.json");
        assert_eq!(report["verdict"], "right", "{over}");
        let sent = ["valid_sent", "replays_sent", "guesses_sent"].map(|name| count(&report, name));
        assert!(sent.iter().all(|sent| *sent > 0), "{over}: {sent:?}");
        let wrong = ["accepted_twice", "replays_accepted", "guesses_accepted"];
        assert_eq!(wrong.map(|name| count(&report, name)), [0; 3], "{over}");
        let miscounts = report["correctness"]["miscounts"].as_object().expect("a list of them");
        assert!(miscounts.values().all(|count| count == 0), "{over}: {miscounts:?}");
        assert_eq!(count(&report, "valid_sent"), count(&report, "valid_accepted"), "{over}");
        assert!(fs::read_to_string(folder().join("report.html")).expect("the page").contains("<svg"));
    }
    assert!(
        !Path::new("/tmp").read_dir().expect("/tmp").flatten().any(|entry| {
            entry.file_name().to_string_lossy().starts_with("loadtest-")
                && entry.path().join("verifierd.toml").exists()
        }),
        "its daemon's folder is gone"
    );
}

// covers: P15
#[test]
fn a_daemon_that_knows_other_secrets_is_caught() {
    let _machine = Machine::new();
    let _verifier = Verifier::start_in_real_time();
    let secrets = folder().join("secrets");
    assert_code(&loadtest("enrol --users 10 --hotp-percent 100 --secrets {}/secrets"), 0);
    let right = fs::read_to_string(&secrets).expect("the secrets");
    let run = format!(
        "run --to unix:{} --secrets {{}}/secrets --closed --seconds 1 --connections 2 --replay-percent 0 \
         --wrong-percent 0 --json {{}}/report.json",
        wire::LOGIN_SOCKET
    );
    assert_code(&loadtest(&run), 0);
    let (first, rest) = right.split_once('\n').expect("two users");
    let (name, secret) = first.split_once(' ').expect("a name and a secret");
    let other = if secret.starts_with('A') { 'B' } else { 'A' };
    let counted = fs::read_to_string(&secrets).expect("the secrets, with where their counters stand");
    let counted = counted.lines().skip(1).map(|line| format!("{line}\n")).collect::<String>();
    assert_eq!(counted.lines().count(), rest.lines().count());
    fs::write(&secrets, format!("{name} {other}{}\n{counted}", &secret[1..])).expect("the secrets");
    assert_code(&loadtest(&run), 1);
    let report = report("report.json");
    assert_eq!(report["verdict"], "miscounted");
    assert!(report["correctness"]["miscounts"]["valid_refused"].as_u64() > Some(0), "{report}");
}
