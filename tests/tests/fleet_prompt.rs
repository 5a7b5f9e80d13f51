//! A join secret that is typed at a terminal is not shown, and a verifier of two names is found out.

use std::process::Command;

use system_tests::agent::{Agent, enrol, fleet_section, verifier};
use system_tests::machine::Machine;
use system_tests::postern::said;
use system_tests::programs;
use system_tests::terminal::{INTERRUPT, Terminal};
use system_tests::verifier::{Verifier, config};

/// Two names of one verifier.
const NAMES: [&str; 2] = ["127.0.0.1", "127.0.0.2"];

const QUESTION: &str = "Join secret (not shown): ";

/// `postern-agent join` in a shell that says afterwards how it ended, and goes on.
fn join(agent: &Agent) -> Terminal {
    let mut command = Command::new("sh");
    command.args(["-c", "\"$@\"; echo \"ended with $?\"; cat", "sh"]);
    command.arg(programs::ours("postern-agent")).args(["join", "--config"]).arg(agent.config());
    command.args(["--verifier", &verifier(NAMES[0])]);
    Terminal::start(command)
}

// covers: E24
#[test]
fn what_is_typed_as_a_join_secret_is_not_shown_and_the_terminal_is_left_as_it_was() {
    let _machine = Machine::new();
    let _verifier = Verifier::start_with(&config(&fleet_section(&NAMES)));
    let agent = Agent::beside("web1");
    agent.configure(&[verifier(NAMES[0])], "");
    let secret = enrol("web1", &[]);

    let mut terminal = join(&agent);
    terminal.expect(QUESTION);
    assert!(!terminal.shows_typing());
    terminal.type_bytes(&[&secret.as_bytes()[..20], &[INTERRUPT]].concat());
    let shown = terminal.expect("ended with 2");
    assert!(shown.contains("interrupted") && !shown.contains(&secret[..8]), "{shown}");
    assert!(terminal.shows_typing(), "it is as it was before");

    let mut terminal = join(&agent);
    terminal.expect(QUESTION);
    terminal.type_line(&secret);
    let shown = terminal.expect("ended with 0");
    assert!(shown.contains("joined as web1") && !shown.contains(&secret[..8]), "{shown}");
    assert!(terminal.shows_typing());
}

// covers: F15
#[test]
fn two_names_of_one_verifier_are_told_to_whoever_joins() {
    let _machine = Machine::new();
    let _verifier = Verifier::start_with(&config(&fleet_section(&NAMES)));
    let agent = Agent::beside("web1");
    let [first, second] = NAMES.map(verifier);
    let join = ["join", "--verifier", &first, "--verifier", &second];
    let joined = agent.command(&join, &enrol("web1", &[]));
    let said = said(&joined);
    assert!(joined.status.success(), "{said}");
    assert!(said.contains(&format!("{second} is another name of the verifier {first}")), "{said}");
}
