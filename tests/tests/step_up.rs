//! sudo, su and the console: another code for another purpose, and whose.

use std::process::Command;

use system_tests::flows::{
    LOGGED_IN, Outcome, QUESTION, SAY_WHO, activated, console, reference_in, ssh_login, sudo, sudo_up_to_code,
};
use system_tests::machine::{ALICE, Account, BOB, Machine};
use system_tests::postern;
use system_tests::sshd::Sshd;
use system_tests::terminal::{END, INTERRUPT, QUIT, SUSPEND, Terminal};
use system_tests::verifier::Verifier;

// covers: T10, A01, A13
#[test]
fn the_code_of_a_login_cannot_serve_sudo_su_or_the_console() {
    let machine = Machine::new();
    let verifier = Verifier::start();
    let _sshd = Sshd::start();
    let phone = activated(&verifier, "alice");
    let code = verifier.code(&phone);
    ssh_login(ALICE, &code).logged_in();

    for (surface, outcome) in [
        ("sudo", sudo(&machine, ALICE, &code)),
        ("su-l", su(&machine, BOB, ALICE, &code)),
        ("login", console(ALICE, &code)),
    ] {
        let shown = outcome.refused();
        assert!(shown.contains("already used"), "{surface}: {shown}");
        let record = postern::explain(&reference_in(&shown));
        assert_eq!((record.reason.as_str(), record.service.as_deref()), ("replayed", Some(surface)));
    }
    sudo(&machine, ALICE, &verifier.next_code(&phone)).logged_in();
}

// covers: T2, A13
#[test]
fn a_code_used_at_one_surface_is_used_at_every_other() {
    let machine = Machine::new();
    let verifier = Verifier::start();
    let _sshd = Sshd::start();
    let phone = activated(&verifier, "alice");
    let surfaces: [Surface<'_>; 4] = [
        ("sshd", &|code| ssh_login(ALICE, code)),
        ("sudo", &|code| sudo(&machine, ALICE, code)),
        ("su", &|code| su(&machine, BOB, ALICE, code)),
        ("login", &|code| console(ALICE, code)),
    ];
    for (first, use_first) in surfaces {
        for (second, use_second) in surfaces {
            let code = verifier.next_code(&phone);
            use_first(&code).logged_in();
            let shown = use_second(&code).refused();
            assert!(shown.contains("already used"), "{first} then {second}: {shown}");
        }
    }
}

// covers: E21
#[test]
fn sudo_asks_for_the_callers_code_and_su_for_the_targets() {
    let machine = Machine::new();
    let verifier = Verifier::start();
    let alice = activated(&verifier, "alice");
    let bob = activated(&verifier, "bob");

    // sudo -u bob by alice: alice's password and alice's code.
    let mut command = machine.as_user(ALICE, "sudo");
    command.args(["-u", "bob", "id", "-un"]);
    let mut terminal = Terminal::start(command);
    terminal.expect("password for alice: ");
    terminal.type_line(ALICE.password);
    terminal.expect(QUESTION);
    terminal.type_line(&verifier.next_code(&bob));
    terminal.expect("password for alice: ");
    assert!(!terminal.interrupt_until_end().0.status.success());
    sudo(&machine, ALICE, &verifier.next_code(&alice)).logged_in();

    // su - bob by alice: bob's password and bob's code.
    su(&machine, ALICE, BOB, &verifier.next_code(&alice)).refused();
    su(&machine, ALICE, BOB, &verifier.next_code(&bob)).logged_in();
}

// covers: T2
#[test]
fn a_console_login_asks_for_the_code() {
    let _machine = Machine::new();
    let verifier = Verifier::start();
    let phone = activated(&verifier, "alice");
    let shown = console(ALICE, &verifier.wrong_code(&phone)).refused();
    assert!(shown.contains("Access denied. Reference "), "{shown}");
    console(ALICE, &verifier.code(&phone)).logged_in();
    let record = postern::audit().into_iter().rfind(|record| record.reason == "accepted").expect("a record");
    assert_eq!(record.service.as_deref(), Some("login"));
    assert!(record.tty.is_some_and(|tty| tty.starts_with("/dev/pts/")), "the terminal is recorded");
}

// covers: E10
#[test]
fn keys_that_interrupt_give_no_access_use_no_code_and_restore_the_terminal() {
    let machine = Machine::new();
    let verifier = Verifier::start();
    let phone = activated(&verifier, "alice");
    let before = postern::status();
    for keys in [&[INTERRUPT; 5][..], &[QUIT], &[END], &[SUSPEND, INTERRUPT], &[INTERRUPT, SUSPEND, QUIT]] {
        let mut terminal = sudo_up_to_code(&machine, ALICE);
        terminal.expect(QUESTION);
        terminal.type_bytes(keys);
        let (ended, shows_typing) = terminal.interrupt_until_end();
        assert!(
            !ended.status.success() && !ended.transcript.contains("root\r\n"),
            "{keys:?}: {}",
            ended.transcript
        );
        assert!(shows_typing, "{keys:?} left a terminal that hides what is typed: {}", ended.transcript);
    }
    let mut terminal = sudo_up_to_code(&machine, ALICE);
    terminal.expect(QUESTION);
    terminal.hang_up();
    let mut terminal = sudo_up_to_code(&machine, ALICE);
    terminal.expect(QUESTION);
    assert!(!terminal.shows_typing(), "a code is not shown while it is typed");
    terminal.type_bytes(&[INTERRUPT]);
    let after = postern::status();
    assert_eq!((after.codes_evaluated, after.accepted), (before.codes_evaluated, before.accepted));
    drop(terminal);
    sudo(&machine, ALICE, &verifier.code(&phone)).logged_in();
}

// covers: E10
#[test]
fn sudo_without_a_terminal_or_a_question_gives_no_access() {
    let machine = Machine::new();
    let verifier = Verifier::start();
    let _phone = activated(&verifier, "alice");
    for arguments in [&["-n"][..], &["-S"], &["-A"]] {
        let mut command = machine.as_user(ALICE, "sudo");
        command.args(arguments).args(["id", "-un"]).stdin(std::process::Stdio::null());
        let output = command.output().expect("sudo");
        assert!(!output.status.success() && output.stdout.is_empty(), "{arguments:?}: {output:?}");
    }
    assert_eq!(postern::only_token("alice").failures, 0);
}

/// A way in, its name, and what a login there comes to.
type Surface<'a> = (&'a str, &'a dyn Fn(&str) -> Outcome);

/// `su - target` by a user, which PAM knows as the service `su-l`, with the target's password and a code.
fn su(machine: &Machine, by: Account, target: Account, code: &str) -> Outcome {
    let mut command: Command = machine.as_user(by, "su");
    command.args(["-", target.name, "-c", SAY_WHO]);
    let mut terminal = Terminal::start(command);
    terminal.expect("Password: ");
    terminal.type_line(target.password);
    terminal.expect(QUESTION);
    terminal.type_line(code);
    let ended = terminal.finish();
    if ended.transcript.contains(LOGGED_IN) {
        Outcome::LoggedIn(ended.transcript)
    } else {
        assert!(!ended.status.success(), "{}", ended.transcript);
        Outcome::Refused(ended.transcript)
    }
}
