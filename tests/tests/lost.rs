//! A token that is lost, and a user who is locked while prompts of his stand open.

use system_tests::flows::{
    GRACE_QUESTION, LOGGED_IN, QUESTION, SAY_WHO, SERIAL_QUESTION, activated, associated, reference_in,
    ssh_login, ssh_outcome,
};
use system_tests::fob::{Fob, drawer};
use system_tests::login_socket::{Login, verdict};
use system_tests::machine::{ALICE, Machine};
use system_tests::sshd::{self, Sshd};
use system_tests::terminal::Terminal;
use system_tests::verifier::{Verifier, config};
use system_tests::{notices, postern};
use wire::admin::TokenState;
use wire::login::Verdict;

const SERIAL: &str = "2600123456789";

/// Five prompts that wait for a code.
fn five_prompts() -> Vec<Terminal> {
    (0..5)
        .map(|_| {
            let mut terminal = sshd::login_up_to_password(ALICE, SAY_WHO);
            terminal.expect(QUESTION);
            terminal
        })
        .collect()
}

// covers: B11, A16
#[test]
fn prompts_that_were_open_before_a_lock_let_nobody_in_after_it() {
    let _machine = Machine::new();
    let _verifier = Verifier::start();
    let _sshd = Sshd::start();
    let mut fob = Fob::with_button(SERIAL);
    associated(&mut fob, "alice");
    let locks: [(&str, &str); 2] = [("disable", "token_disabled"), ("lost", "token_lost")];
    for (verb, reason) in locks {
        let prompts = five_prompts();
        postern::done(&["token", verb, SERIAL, "--yes"]);
        let begun = fob.counter();
        for mut terminal in prompts {
            terminal.type_line(&fob.press());
            let shown = ssh_outcome(terminal).refused();
            assert!(shown.contains("Access denied. Reference ") && !shown.contains(LOGGED_IN), "{shown}");
            assert_eq!(postern::explain(&reference_in(&shown)).reason, reason);
        }
        assert_eq!(postern::token(SERIAL).counter, Some(begun), "{verb}: no code is used up");
        postern::done(&["token", "enable", SERIAL]);
        // Its owner does not wait for what was typed while it was locked; those presses are lost ones now.
        postern::unlock("alice");
        ssh_login(ALICE, &fob.press()).logged_in();
    }
}

// covers: B11, A16
#[test]
fn a_prompt_outlives_neither_the_token_nor_the_user() {
    let _machine = Machine::new();
    let verifier = Verifier::start();
    let _sshd = Sshd::start();
    let mut fobs = drawer(2);
    let [first, second] = &mut fobs[..] else { panic!("two tokens") };
    associated(first, "alice");
    let prompts = five_prompts();
    let mut prompts = prompts.into_iter();
    let mut answer = |code: &str| {
        let mut terminal = prompts.next().expect("a prompt");
        terminal.type_line(code);
        ssh_outcome(terminal)
    };
    // Taken from her and given to bob: the code is right, and not hers.
    postern::disassociate(&first.serial);
    answer(&first.press()).refused();
    let code = first.press();
    assert!(postern::associate(&first.serial, "bob", &code).status.success());
    answer(&first.press()).refused();
    // The demand is off by now, and a prompt that asked for a code still does not let in without one.
    answer("000000").refused();
    // Hers again is another token: it counts as any code of hers.
    associated(second, "alice");
    answer(&first.press()).refused();
    answer(&second.press()).logged_in();
    drop(verifier);
}

// covers: B11
#[test]
fn a_question_for_the_next_code_outlives_no_lock() {
    let _machine = Machine::new();
    let _verifier = Verifier::start();
    let mut fob = Fob::with_button(SERIAL);
    associated(&mut fob, "alice");
    let begun = fob.counter();
    fob.press_and_lose(50);
    let asked = Login::by_ssh("alice").begin().expect("a question").follow(&fob.press());
    assert_eq!(asked.question(), system_tests::flows::NEXT_CODE_QUESTION);
    postern::lost(SERIAL);
    let reply = asked.answer(&fob.press()).expect("an answer");
    assert_eq!(verdict(&reply), Verdict::Deny);
    assert_eq!(postern::token(SERIAL).counter, Some(begun));
}

// covers: I11, A16
#[test]
fn with_a_password_alone_nobody_enrols_anything() {
    let _machine = Machine::new();
    let _verifier =
        Verifier::start_with(&config(&format!("{}[access]\nrequire_token = true\n", notices::install())));
    let _sshd = Sshd::start();
    let mut fobs = drawer(2);
    let [own, other] = &mut fobs[..] else { panic!("two tokens") };
    associated(own, "alice");
    notices::expect_told("token_associated", "alice");
    postern::add_token(other, None);
    // Who has a token is asked for a code of it: in service, disabled or lost.
    for verb in ["enable", "disable", "lost"] {
        let _ = postern::run(&["token", verb, &own.serial, "--yes"]);
        let mut terminal = sshd::login_up_to_password(ALICE, SAY_WHO);
        let (which, shown) = terminal.expect_any(&[QUESTION, SERIAL_QUESTION, GRACE_QUESTION]);
        assert_eq!(which, 0, "{verb}: {shown}");
        assert!(!shown.contains("otpauth://"), "{verb}: {shown}");
        terminal.type_line(&other.value(other.counter()));
        ssh_outcome(terminal).refused();
        assert_eq!(postern::token(&other.serial).state, TokenState::Available, "{verb}");
    }
}

// covers: I11
#[test]
fn an_enrolment_that_nobody_began_in_time_is_closed_until_an_administrator_opens_it() {
    let _machine = Machine::new();
    let verifier = Verifier::start_with(&config("[enrolment]\nopen_for = \"30d\"\n"));
    let _sshd = Sshd::start();
    postern::otp_on("alice");
    let mut terminal = sshd::login_up_to_password(ALICE, SAY_WHO);
    assert!(terminal.expect(GRACE_QUESTION).contains("otpauth://"), "open at first");
    drop(terminal);

    verifier.clock.advance(31 * 86_400);
    let mut terminal = sshd::login_up_to_password(ALICE, SAY_WHO);
    let (_, shown) = terminal.expect_any(&[QUESTION, system_tests::flows::PRESS_ENTER]);
    assert!(!shown.contains("otpauth://") && !shown.contains("Secret key"), "{shown}");
    drop(terminal);
    let shown = match verdict_after("000000") {
        (Verdict::Deny, reference) => reference,
        (verdict, _) => panic!("{verdict:?}"),
    };
    assert_eq!(postern::explain(&shown).reason, "enrolment_closed");

    postern::otp_off("alice");
    let phone = activated(&verifier, "alice");
    ssh_login(ALICE, &verifier.next_code(&phone)).logged_in();
}

/// A login over the socket: its verdict and reference.
fn verdict_after(answer: &str) -> (Verdict, String) {
    let reply = Login::by_ssh("alice").attempt(answer).expect("an answer");
    (verdict(&reply), system_tests::login_socket::reference(&reply))
}
