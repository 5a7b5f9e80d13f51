//! Enrolment at the login prompt: QR code and secret until a code activates, grace, enforcement, a new start.

use system_tests::authenticator::{Authenticator, enrol, read_screen};
use system_tests::flows::{
    GRACE_QUESTION, QUESTION, SAY_WHO, activated, ssh_login, ssh_login_without_code, ssh_outcome,
    sudo_up_to_code,
};
use system_tests::machine::{ALICE, BOB, Machine};
use system_tests::postern;
use system_tests::sshd::{self, Sshd};
use system_tests::terminal::Terminal;
use system_tests::verifier::{Verifier, config};
use wire::admin::OnOff;

/// Machine, daemon and sshd, with the demand on for alice.
fn start(configuration: &str) -> (Machine, Verifier, Sshd) {
    let machine = Machine::new();
    let verifier = Verifier::start_with(&config(configuration));
    let sshd = Sshd::start();
    postern::otp_on("alice");
    (machine, verifier, sshd)
}

/// Logs in up to the enrolment's question; returns what was shown, and the terminal.
fn up_to_question(question: &str) -> (String, Terminal) {
    let mut terminal = sshd::login_up_to_password(ALICE, SAY_WHO);
    let shown = terminal.expect(question);
    (shown, terminal)
}

// covers: T1, T2, T3, T4, T5, T6
#[test]
fn an_ssh_login_shows_the_same_qr_code_until_a_code_activates() {
    let (_machine, verifier, _sshd) = start("");
    let state = postern::user("alice");
    assert_eq!((state.otp, state.activated), (OnOff::On, false));

    let (first, mut terminal) = up_to_question(GRACE_QUESTION);
    let phone = enrol(&first);
    terminal.type_line("");
    ssh_outcome(terminal).logged_in();
    assert!(!postern::user("alice").activated, "a login without a code activates nothing");

    let (second, mut terminal) = up_to_question(GRACE_QUESTION);
    assert_eq!(enrol(&second).secret(), phone.secret(), "the same secret until activation");
    terminal.type_line(&verifier.code(&phone));
    let shown = ssh_outcome(terminal).logged_in();
    assert!(!shown.contains("already used"), "{shown}");
    assert!(postern::user("alice").activated);

    let shown = ssh_login(ALICE, &verifier.next_code(&phone)).logged_in();
    assert!(!shown.contains("otpauth://") && !shown.contains("Secret key"), "never shown again:\n{shown}");
}

// covers: T4
#[test]
fn sudo_shows_the_enrolment_too_and_says_when_it_is_done() {
    let (machine, verifier, _sshd) = start("");
    let mut terminal = sudo_up_to_code(&machine, ALICE);
    let phone = enrol(&terminal.expect(GRACE_QUESTION));
    terminal.type_line(&verifier.code(&phone));
    terminal.expect("Activated. From now on every login asks for a one-time password.");
    terminal.expect("root\r\n");
    assert!(postern::user("alice").activated);
}

// covers: T4
#[test]
fn a_qr_code_is_never_wider_than_the_terminal() {
    let (machine, verifier, _sshd) = start("");
    for columns in [20, 40, 60, 80, 200] {
        let mut command = machine.as_user(ALICE, "sudo");
        command.args(["id", "-un"]);
        let mut terminal = Terminal::start_with_columns(command, columns);
        terminal.expect("password for alice: ");
        terminal.type_line(ALICE.password);
        let shown = read_screen(&terminal.expect(GRACE_QUESTION));
        assert!(shown.qr_columns <= usize::from(columns), "{} columns in {columns}", shown.qr_columns);
        assert_eq!(
            shown.qr_text.is_some(),
            columns >= 60,
            "drawn where it fits: {columns} columns, {shown:?}"
        );
        assert_eq!(Authenticator::scan(&shown.uri).secret(), shown.secret);
    }
    drop(verifier);
}

// covers: T6
#[test]
fn policy_can_demand_a_code_at_the_first_login() {
    let (_machine, verifier, _sshd) = start("[enrolment]\ngrace = \"none\"\n");
    let (shown, mut terminal) = up_to_question(QUESTION);
    let phone = enrol(&shown);
    terminal.type_line("");
    let ended = terminal.finish();
    assert!(!ended.status.success(), "an empty answer is no login: {}", ended.transcript);

    let (_, mut terminal) = up_to_question(QUESTION);
    terminal.type_line(&verifier.wrong_code(&phone));
    ssh_outcome(terminal).refused();
    let (_, mut terminal) = up_to_question(QUESTION);
    terminal.type_line(&verifier.code(&phone));
    ssh_outcome(terminal).logged_in();
}

// covers: T6
#[test]
fn grace_ends_after_the_number_of_logins_that_policy_sets() {
    let (_machine, _verifier, _sshd) = start("[enrolment]\ngrace = \"limited\"\ngrace_logins = 2\n");
    ssh_login_without_code(ALICE).logged_in();
    assert_eq!(postern::user("alice").grace_logins_left, Some(1));
    ssh_login_without_code(ALICE).logged_in();
    let (_, mut terminal) = up_to_question(QUESTION);
    terminal.type_line("");
    assert!(!terminal.finish().status.success(), "the third login needs a code");
}

// covers: T6
#[test]
fn grace_ends_at_the_deadline_that_policy_sets() {
    let (_machine, verifier, _sshd) = start("[enrolment]\ngrace = \"limited\"\ngrace_period = \"2d\"\n");
    ssh_login_without_code(ALICE).logged_in();
    assert!(postern::user("alice").grace_until.is_some());
    verifier.clock.advance(2 * 86_400 + 60);
    let (_, mut terminal) = up_to_question(QUESTION);
    terminal.type_line("");
    assert!(!terminal.finish().status.success(), "after two days a code is needed");
}

// covers: T9, A12
#[test]
fn the_code_that_activated_is_refused_for_a_login() {
    let (_machine, verifier, _sshd) = start("");
    let (shown, mut terminal) = up_to_question(GRACE_QUESTION);
    let phone = enrol(&shown);
    let code = verifier.code(&phone);
    terminal.type_line(&code);
    ssh_outcome(terminal).logged_in();

    let shown = ssh_login(ALICE, &code).refused();
    assert!(shown.contains("That one-time password was already used. Wait "), "{shown}");
    ssh_login(ALICE, &verifier.next_code(&phone)).logged_in();
}

// covers: T7, T8
#[test]
fn off_lifts_the_demand_and_on_again_gives_a_new_secret() {
    let (_machine, verifier, _sshd) = start("");
    postern::otp_off("alice");
    postern::otp_on("alice");
    let old = activated(&verifier, "alice");

    postern::otp_off("alice");
    ssh_outcome(sshd::login_up_to_password(ALICE, SAY_WHO)).logged_in();
    postern::otp_on("alice");
    let (shown, mut terminal) = up_to_question(GRACE_QUESTION);
    let new = enrol(&shown);
    assert_ne!(new.secret(), old.secret(), "a new start has a new secret");
    terminal.type_line(&verifier.next_code(&old));
    ssh_outcome(terminal).refused();
    let (_, mut terminal) = up_to_question(GRACE_QUESTION);
    terminal.type_line(&verifier.code(&new));
    ssh_outcome(terminal).logged_in();

    let events: Vec<String> = postern::audit().into_iter().map(|record| record.event).collect();
    assert!(events.iter().filter(|event| *event == "user_otp_off").count() >= 2, "{events:?}");
}

// covers: T3
#[test]
fn nothing_is_asked_of_a_user_for_whom_it_is_off() {
    let (_machine, _verifier, _sshd) = start("");
    ssh_outcome(sshd::login_up_to_password(BOB, SAY_WHO)).logged_in();
}
