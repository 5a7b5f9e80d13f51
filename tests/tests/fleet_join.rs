//! How a host joins, what it has then, and what it refuses to start with.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::Path;

use system_tests::agent::{Agent, enrol, fleet_section, verifier};
use system_tests::machine::{Machine, run};
use system_tests::postern::{self, said};
use system_tests::time::wait_for;
use system_tests::verifier::{Verifier, config};

/// Where the verifier is.
const VERIFIER: &str = "127.0.0.1";

/// Exit statuses of `postern-agent`, as its manual page has them.
const CONFIGURATION: i32 = 2;
const NOT_RUNNING: i32 = 3;
const REFUSED: i32 = 5;
const NOT_READY: i32 = 7;

fn start() -> (Machine, Verifier) {
    (Machine::new(), Verifier::start_with(&config(&fleet_section(&[VERIFIER]))))
}

/// Runs the agent's command, and shows how it ended and that it said why.
#[track_caller]
fn check(agent: &Agent, arguments: &[&str], input: &str, status: i32, why: &str) {
    let output = agent.command(arguments, input);
    let said = said(&output);
    assert_eq!(output.status.code(), Some(status), "{arguments:?}: {said}");
    assert!(said.contains(why), "{said:?} does not say {why:?}");
}

/// The same authority, and a secret that nobody gave out.
fn another(secret: &str) -> String {
    let first = if secret.starts_with('A') { "B" } else { "A" };
    format!("{first}{}", &secret[1..])
}

// covers: F15
#[test]
fn a_host_joins_with_its_secret_once_and_has_all_it_needs() {
    let (_machine, _verifier) = start();
    let mut agent = Agent::beside("web1");
    let secret = enrol("web1", &["--group", "web"]);
    let join = ["join", "--verifier", &verifier(VERIFIER)];
    check(&agent, &join, "", CONFIGURATION, "this is not a join secret");
    check(&agent, &join, &another(&secret), REFUSED, "refused: ");
    let nobody = ["join", "--verifier", "https://127.0.0.1:9"];
    check(&agent, &nobody, &secret, NOT_READY, "https://127.0.0.1:9: no connection to");
    let other_name = ["join", "--verifier", &verifier("localhost")];
    check(&agent, &other_name, &secret, NOT_READY, "not valid for name");
    // The file's default is another folder than the rig's.
    agent.configure(&[verifier(VERIFIER)], "");
    check(&agent, &["run"], "", NOT_READY, "this host has not joined a fleet");
    check(&agent, &["status"], "", NOT_RUNNING, "this host has not joined a fleet");
    check(&agent, &["status"], "", NOT_RUNNING, "run `postern-agent join --verifier");
    check(&agent, &["join"], &secret.to_lowercase(), 0, "joined as web1 (");
    check(&agent, &["join"], &secret, REFUSED, "refused: ");
    check(&agent, &["config", "check"], "", 0, "is a configuration");
    let mode = |path: &Path| fs::metadata(path).expect("made by join").mode() & 0o777;
    assert_eq!((mode(agent.state()), mode(&agent.state().join("identity.pem"))), (0o700, 0o600));
    agent.launch_ready();
    let status = agent.status().expect("it runs");
    assert_eq!((&status["name"], &status["group"]), (&"web1".into(), &"web".into()));
    assert!(agent.stop().success());
    check(&agent, &["status"], "", NOT_RUNNING, "no agent answers");
}

#[test]
fn where_there_is_no_configuration_joining_writes_one() {
    let (_machine, _verifier) = start();
    let agent = Agent::beside("web1");
    let _ = fs::remove_dir_all("/var/lib/postern-agent");
    check(&agent, &["join"], "", CONFIGURATION, "no verifier is named");
    check(
        &agent,
        &["join", "--verifier", &verifier(VERIFIER)],
        &enrol("web1", &[]),
        0,
        "made /etc/postern/web1.toml",
    );
    check(&agent, &["config", "show"], "", 0, "verifiers = [\"https://127.0.0.1:7443\"]");
    check(&agent, &["config", "check"], "", 0, "is a configuration");
}

// covers: E24
#[test]
fn a_join_secret_among_the_arguments_is_refused_and_not_repeated() {
    let (_machine, _verifier) = start();
    let agent = Agent::beside("web1");
    let secret = enrol("web1", &[]);
    let url = verifier(VERIFIER);
    let (lower, equals) = (secret.to_lowercase(), format!("--secret={secret}"));
    for words in [
        &["join", &*secret][..],
        &["join", "--verifier", &url, &secret],
        &["join", &lower, "--verifier", &url],
        &["join", "--verifier", &url, "--secret-file", &secret],
        &["join", "--verifier", &url, "--secret", &secret],
        &["join", "--verifier", &url, &equals],
    ] {
        let output = agent.command(words, "");
        let said = said(&output);
        assert_eq!(output.status.code(), Some(CONFIGURATION), "{words:?}: {said}");
        let letters = |text: &str| text.to_uppercase().replace('-', "");
        assert!(!letters(&said).contains(&letters(&secret)), "{said:?} repeats the secret");
    }
    check(&agent, &["join", &secret], "", CONFIGURATION, "give the new one on standard input");
}

// covers: E25
#[test]
fn an_agent_starts_with_nothing_that_others_can_change_or_read() {
    let (_machine, _verifier) = start();
    let agent = Agent::beside("web1");
    agent.join(&[verifier(VERIFIER)], &enrol("web1", &[]));
    let (config, key) = (agent.config().to_owned(), agent.state().join("identity.pem"));
    let spoil = [
        ("chmod", "0666", &config, "0644"),
        ("chown", "alice", &config, "root"),
        ("chmod", "0640", &key, "0600"),
        ("chown", "alice", &key, "root"),
        ("chmod", "0777", &agent.state().to_owned(), "0700"),
    ];
    for (program, wrong, path, right) in spoil {
        let path = path.display().to_string();
        run(program, &[wrong, &path]);
        check(&agent, &["run"], "", CONFIGURATION, &path);
        run(program, &[right, &path]);
    }
    let elsewhere = agent.state().join("elsewhere.pem");
    fs::rename(&key, &elsewhere).expect("moved");
    symlink(&elsewhere, &key).expect("a link");
    check(&agent, &["run"], "", CONFIGURATION, "has a symbolic link in its path");
    fs::remove_file(&key).expect("the link");
    fs::hard_link(&elsewhere, &key).expect("a second name");
    check(&agent, &["run"], "", CONFIGURATION, "has a second name");
    fs::remove_file(&elsewhere).expect("the first name");
    check(&agent, &["config", "check"], "", 0, "is a configuration");
}

// covers: F12
#[test]
fn a_host_that_was_installed_anew_joins_again_and_what_it_had_before_is_refused() {
    let (_machine, _verifier) = start();
    let mut before = Agent::beside("web1");
    before.join(&[verifier(VERIFIER)], &enrol("web1", &[]));
    before.launch_ready();
    let again = postern::run(&["host", "enrol", "web1"]);
    assert_eq!(again.status.code(), Some(postern::CONFLICT), "{}", said(&again));
    let mut after = Agent::beside("web1-anew");
    after.join(&[verifier(VERIFIER)], &enrol("web1", &["--again"]));
    after.launch_ready();
    let id = |agent: &Agent| agent.status().expect("it runs")["host"].clone();
    assert_eq!(id(&before), id(&after), "a host keeps its id");
    before.wait_until("refused", |status| {
        let problem = status["verifiers"][0]["problem"].as_str().unwrap_or_default();
        status["ready"] == false && problem.contains("one of its fleet")
    });
}

// covers: F03
#[test]
fn a_certificate_is_renewed_when_half_of_its_life_is_over_and_the_one_before_is_of_no_use() {
    const DAY_SECONDS: i64 = 24 * 3_600;
    let (_machine, daemon) = start();
    let mut agent = Agent::beside("web1");
    agent.set_environment(daemon.clock.environment(false));
    agent.join(&[verifier(VERIFIER)], &enrol("web1", &[]));
    agent.launch_ready();
    let key = agent.state().join("identity.pem");
    let before = fs::read(&key).expect("a key");
    // A copy that somebody took.
    let mut thief = Agent::beside("thief");
    thief.set_environment(daemon.clock.environment(false));
    thief.configure(&[verifier(VERIFIER)], "");
    run("cp", &["-a", &agent.state().display().to_string(), &thief.state().display().to_string()]);
    agent.stop();
    agent.launch_ready();
    assert_eq!(fs::read(&key).expect("a key"), before, "nothing is renewed in the first half");
    // Half of seven days, and a random part of at most a tenth.
    daemon.clock.advance(5 * DAY_SECONDS);
    agent.stop();
    agent.launch();
    wait_for("another certificate", || (fs::read(&key).ok()? != before).then_some(()));
    agent.wait_until_ready();
    assert_eq!(fs::metadata(&key).expect("a key").mode() & 0o777, 0o600);
    for event in ["host_certified", "host_key_changed"] {
        let times = postern::audit().iter().filter(|record| record.event == event).count();
        assert_eq!(times, 1, "{event}");
    }
    thief.launch();
    thief.wait_until("refused", |status| {
        let problem = status["verifiers"][0]["problem"].as_str().unwrap_or_default();
        problem.contains("one of its fleet")
    });
}
