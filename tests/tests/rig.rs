//! The rig by itself: without our module, sshd, sudo, su and login let in who knows the password, and nobody else.
//!
//! Where one of these fails, the failures of the other tests say nothing about Postern.

use std::process::Command;

use system_tests::machine::{ALICE, BOB, Machine};
use system_tests::sshd::{self, Sshd};
use system_tests::terminal::Terminal;

#[test]
fn ssh_without_our_module_asks_for_the_password_only() {
    let _machine = Machine::without_module();
    let _sshd = Sshd::start();
    let ended = sshd::login_up_to_password(ALICE, "id -un").finish();
    assert!(ended.status.success(), "{}", ended.transcript);
    assert!(ended.transcript.contains("alice\r\n"), "{}", ended.transcript);

    let wrong =
        sshd::login_up_to_password(system_tests::machine::Account { password: "wrong", ..ALICE }, "id -un");
    assert!(!wrong.finish().status.success());
}

#[test]
fn a_key_logs_in_without_any_question() {
    let _machine = Machine::without_module();
    let _sshd = Sshd::start_with(&[("AuthenticationMethods", "publickey")]);
    let ended = Terminal::start(sshd::key_client(ALICE, &["id -un"])).finish();
    assert!(ended.status.success() && ended.transcript.contains("alice"), "{}", ended.transcript);
    let stranger = Terminal::start(sshd::key_client(BOB, &["id -un"])).finish();
    assert!(!stranger.status.success(), "{}", stranger.transcript);
}

#[test]
fn sudo_su_and_login_ask_for_the_password() {
    let machine = Machine::without_module();
    let mut sudo = Terminal::start({
        let mut command = machine.as_user(ALICE, "sudo");
        command.args(["id", "-un"]);
        command
    });
    sudo.expect("password for alice: ");
    sudo.type_line(ALICE.password);
    sudo.expect("root\r\n");
    assert!(sudo.finish().status.success());

    let mut su = Terminal::start({
        let mut command = machine.as_user(ALICE, "su");
        command.args(["-", "bob", "-c", "id -un"]);
        command
    });
    su.expect("Password: ");
    su.type_line(BOB.password);
    su.expect("bob\r\n");
    assert!(su.finish().status.success());

    let mut login = Terminal::start(Command::new("login"));
    login.expect("login: ");
    login.type_line("alice");
    login.expect("Password: ");
    login.type_line(ALICE.password);
    login.expect("$ ");
    login.type_line("id -un; exit");
    login.expect("alice\r\n");
    login.finish();
}
