//! Logins by ssh with a one-time password: once, and never again.

use system_tests::flows::{QUESTION, SAY_WHO, activated, ssh_login, ssh_outcome};
use system_tests::machine::{ALICE, Account, BOB, Machine};
use system_tests::postern;
use system_tests::sshd::{self, Sshd};
use system_tests::terminal::Terminal;
use system_tests::verifier::Verifier;

fn start() -> (Machine, Verifier, Sshd) {
    (Machine::new(), Verifier::start(), Sshd::start())
}

// covers: T2, P5, A01
#[test]
fn a_used_code_is_refused_with_its_own_words_and_a_reference() {
    let (_machine, verifier, _sshd) = start();
    let phone = activated(&verifier, "alice");
    let code = verifier.code(&phone);
    ssh_login(ALICE, &code).logged_in();

    let refused = ssh_login(ALICE, &code);
    let shown = refused.refused();
    assert!(shown.contains("That one-time password was already used. Wait "), "{shown}");
    let record = postern::explain(&system_tests::flows::reference_in(&shown));
    assert_eq!((record.reason.as_str(), record.verdict.as_deref()), ("replayed", Some("deny")));
    assert_eq!((record.user.as_deref(), record.service.as_deref()), (Some("alice"), Some("sshd")));
    assert_eq!(record.rhost.as_deref(), Some("127.0.0.1"));

    ssh_login(ALICE, &verifier.next_code(&phone)).logged_in();
}

// covers: T2, P5
#[test]
fn a_wrong_code_is_refused_without_saying_why_and_the_reference_tells() {
    let (_machine, verifier, _sshd) = start();
    let phone = activated(&verifier, "alice");
    let shown = ssh_login(ALICE, &verifier.wrong_code(&phone)).refused();
    assert!(shown.contains("Access denied. Reference "), "{shown}");
    let record = postern::explain(&system_tests::flows::reference_in(&shown));
    assert_eq!(record.reason, "wrong_code");
    ssh_login(ALICE, &verifier.code(&phone)).logged_in();
}

// covers: T2
#[test]
fn the_code_does_not_replace_the_password() {
    let (_machine, verifier, _sshd) = start();
    let phone = activated(&verifier, "alice");
    let code = verifier.code(&phone);
    let wrong = Account { password: "wrong", ..ALICE };
    let ended = sshd::login_up_to_password(wrong, SAY_WHO).finish();
    assert!(!ended.transcript.contains(QUESTION), "a wrong password ends the login: {}", ended.transcript);
    assert!(!ended.status.success());
    ssh_login(ALICE, &code).logged_in();
}

// covers: T2, E12
#[test]
fn a_key_is_followed_by_the_code_and_a_wrong_key_asks_nothing() {
    let machine = Machine::new();
    machine.protect_without_password("sshd");
    let verifier = Verifier::start();
    let _sshd = Sshd::start_for_keys();
    let phone = activated(&verifier, "alice");

    let mut terminal = Terminal::start(sshd::key_client(ALICE, &[SAY_WHO]));
    terminal.expect(QUESTION);
    terminal.type_line(&verifier.code(&phone));
    ssh_outcome(terminal).logged_in();

    let evaluated = postern::status().codes_evaluated;
    let stranger = Terminal::start(sshd::key_client(BOB, &[SAY_WHO])).finish();
    assert!(!stranger.status.success());
    assert!(!stranger.transcript.contains("One-time password"), "{}", stranger.transcript);
    assert_eq!(postern::status().codes_evaluated, evaluated);
}

// covers: E08
#[test]
fn a_user_whom_sshd_refuses_costs_no_try() {
    let machine = Machine::new();
    machine.protect_without_password("sshd");
    let verifier = Verifier::start();
    let phone = activated(&verifier, "alice");
    for setting in [("AllowUsers", "bob"), ("DenyUsers", "alice")] {
        let _sshd = Sshd::start_with(&[setting]);
        let evaluated = postern::status().codes_evaluated;
        let mut terminal = Terminal::start(sshd::client(ALICE, SAY_WHO));
        terminal.expect(QUESTION);
        terminal.type_line(&verifier.code(&phone));
        let ended = terminal.finish();
        assert!(!ended.status.success(), "{}", ended.transcript);
        assert_eq!(postern::status().codes_evaluated, evaluated, "sshd's junk is no try");
    }
    assert_eq!(postern::only_token("alice").failures, 0);
    let _sshd = Sshd::start();
    let mut terminal = Terminal::start(sshd::client(ALICE, SAY_WHO));
    terminal.expect(QUESTION);
    terminal.type_line(&verifier.code(&phone));
    ssh_outcome(terminal).logged_in();
}

// covers: E08
#[test]
fn root_is_refused_where_sshd_refuses_root() {
    let machine = Machine::new();
    machine.protect_without_password("sshd");
    let verifier = Verifier::start();
    let root = Account { name: "root", password: "" };
    let phone = activated(&verifier, "root");
    let _sshd = Sshd::start_with(&[("PermitRootLogin", "no")]);
    let mut terminal = Terminal::start(sshd::client(root, SAY_WHO));
    terminal.expect(QUESTION);
    terminal.type_line(&verifier.code(&phone));
    assert!(!terminal.finish().status.success());
    assert_eq!(postern::only_token("root").failures, 0);
    machine.expect_logged(&["pam_postern"]);
}
