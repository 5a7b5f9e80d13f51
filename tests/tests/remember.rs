//! A code that counts for a while at the terminal where it was given.

use system_tests::flows::{QUESTION, activated};
use system_tests::machine::{ALICE, Machine};
use system_tests::postern;
use system_tests::terminal::Terminal;
use system_tests::verifier::{Verifier, config};

/// What a shell shows when it waits, and what sudo's program shows that ran.
const WAITS: &str = "shell> ";
const DONE: &str = "became root\r\n";

/// Alice's shell in a terminal of its own.
fn shell(machine: &Machine) -> Terminal {
    let mut command = machine.as_user(ALICE, "bash");
    command.args(["--norc", "--noprofile", "-i"]).env("PS1", WAITS);
    let mut shell = Terminal::start(command);
    shell.expect(WAITS);
    shell
}

/// Runs sudo up to the end of the password.
fn run_sudo(shell: &mut Terminal) {
    shell.type_line("sudo sh -c 'echo became $(id -un)'");
    shell.expect("password for alice: ");
    shell.type_line(ALICE.password);
}

// covers: P4
#[test]
fn sudo_asks_once_in_a_session_of_a_terminal_and_again_in_another() {
    let machine = Machine::new();
    let verifier = Verifier::start_with(&config("[remember]\nsudo = \"10m\"\n"));
    let phone = activated(&verifier, "alice");
    let mut first = shell(&machine);
    run_sudo(&mut first);
    first.expect(QUESTION);
    first.type_line(&verifier.next_code(&phone));
    first.expect(DONE);
    first.expect(WAITS);
    run_sudo(&mut first);
    let (which, shown) = first.expect_any(&[DONE, QUESTION]);
    assert_eq!(which, 0, "{shown}");
    let remembered = postern::audit().into_iter().filter(|record| record.reason == "remembered").count();
    assert_eq!(remembered, 1);

    let mut second = shell(&machine);
    run_sudo(&mut second);
    let (which, shown) = second.expect_any(&[QUESTION, DONE]);
    assert_eq!(which, 0, "another terminal is another session: {shown}");
    second.hang_up();

    postern::lost(&postern::only_token("alice").serial);
    first.expect(WAITS);
    run_sudo(&mut first);
    let (which, shown) = first.expect_any(&[QUESTION, DONE]);
    assert_eq!(which, 0, "the token was lost: {shown}");
    first.hang_up();
}

// covers: P4
#[test]
fn without_the_setting_every_sudo_asks() {
    let machine = Machine::new();
    let verifier = Verifier::start();
    let phone = activated(&verifier, "alice");
    let mut shell = shell(&machine);
    for _ in 0..2 {
        run_sudo(&mut shell);
        shell.expect(QUESTION);
        shell.type_line(&verifier.next_code(&phone));
        shell.expect(DONE);
        shell.expect(WAITS);
    }
    shell.hang_up();
}
