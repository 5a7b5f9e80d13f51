//! Recovery codes: ten, each good once, for the day when the token is gone.

use std::collections::BTreeSet;
use std::sync::Barrier;
use std::thread;

use system_tests::flows::{
    LOGGED_IN, NEW_SET_QUESTION, Outcome, QUESTION, SAY_WHO, WRITTEN_DOWN_QUESTION, activated, associated,
    reference_in, ssh_dialogue, ssh_login, ssh_outcome, sudo,
};
use system_tests::fob::Fob;
use system_tests::login_socket::{Dialogue, Login, verdict};
use system_tests::machine::{ALICE, BOB, Machine};
use system_tests::sshd::{self, Sshd};
use system_tests::verifier::{Verifier, config};
use system_tests::{notices, postern};
use wire::login::Verdict;

fn start() -> (Machine, Verifier, Sshd, Fob) {
    let machine = Machine::new();
    let verifier = Verifier::start_with(&config(&notices::install()));
    let mut fob = Fob::with_button("2600123456789");
    associated(&mut fob, "alice");
    (machine, verifier, Sshd::start(), fob)
}

fn left() -> u32 {
    postern::recovery_status("alice").left
}

// covers: P1
#[test]
fn ten_codes_let_in_once_each_beside_the_token_and_not_in_its_place() {
    let (machine, _verifier, _sshd, mut fob) = start();
    assert_eq!(left(), 0);
    let codes = postern::recovery_codes("alice");
    assert_eq!(codes.iter().collect::<BTreeSet<_>>().len(), 10, "ten different ones");
    for code in &codes {
        // 16 characters of base 32 are 80 bits; the hyphens help whoever reads them.
        let groups: Vec<&str> = code.split('-').collect();
        assert_eq!(groups.iter().map(|group| group.len()).collect::<Vec<_>>(), [4; 4]);
        let plain = |it: char| it.is_ascii_digit() || (it.is_ascii_uppercase() && !"ILOU".contains(it));
        assert!(groups.iter().all(|group| group.chars().all(plain)), "Crockford's base 32");
    }
    assert_eq!((left(), postern::user("alice").recovery_codes_left), (10, Some(10)));

    ssh_login(ALICE, &codes[0]).logged_in();
    let shown = ssh_login(ALICE, &codes[0]).refused();
    assert!(shown.contains("Reference "), "{shown}");
    assert_ne!(postern::explain(&reference_in(&shown)).reason, "recovery_code");
    let shown = sudo(&machine, ALICE, &codes[1]).logged_in();
    assert!(shown.contains("Recovery code accepted. 8 are left."), "{shown}");
    assert_eq!(left(), 8);
    ssh_login(ALICE, &fob.press()).logged_in();
    assert_eq!(left(), 8, "a login with the token uses none up");

    let record = notices::expect_told("recovery_code", "alice");
    assert_eq!(record.verdict.as_deref(), Some("allow"));
    notices::expect_told("recovery_codes_made", "alice");
    let trail = serde_json::to_string(&postern::audit()).expect("JSON");
    for code in &codes {
        assert!(!trail.contains(code) && !trail.contains(&code.replace('-', "")), "no code in the trail");
    }
}

// covers: P1
#[test]
fn a_code_may_be_typed_as_people_write_it() {
    let (_machine, _verifier, _sshd, _fob) = start();
    let codes = postern::recovery_codes("alice");
    let as_written: [&dyn Fn(&str) -> String; 5] = [
        &str::to_lowercase,
        &|code| code.replace('-', ""),
        &|code| code.replace('-', " "),
        &|code| code.replace('0', "O").replace('1', "I"),
        &|code| code.replace('0', "o").replace('1', "l").to_lowercase(),
    ];
    for (code, written) in codes.iter().zip(as_written) {
        let text = written(code);
        ssh_login(ALICE, &text).logged_in();
        ssh_login(ALICE, code).refused();
    }
    assert_eq!(left(), 5, "no other spelling of a used code is a second one");
}

// covers: A14
#[test]
fn one_code_from_fifty_connections_lets_one_in() {
    const CONNECTIONS: usize = 50;
    let (_machine, _verifier, _sshd, _fob) = start();
    let codes = postern::recovery_codes("alice");
    for (round, code) in codes[..5].iter().enumerate() {
        let prompts: Vec<Dialogue> = (0..CONNECTIONS)
            .map(|number| {
                let login = Login::by_ssh("alice").from(&format!("192.0.{round}.{number}"));
                login.to(["sshd", "sudo", "su", "login"][number % 4]).begin().expect("a question")
            })
            .collect();
        let barrier = Barrier::new(CONNECTIONS);
        let accepted: usize = thread::scope(|scope| {
            let answers: Vec<_> = prompts
                .iter()
                .map(|prompt| {
                    scope.spawn(|| {
                        barrier.wait();
                        let reply = prompt.answer(code).expect("an answer");
                        usize::from(verdict(&reply) == Verdict::Allow)
                    })
                })
                .collect();
            answers.into_iter().map(|answer| answer.join().expect("no panic")).sum()
        });
        assert_eq!(accepted, 1, "round {round}");
        postern::unlock("alice");
    }
    assert_eq!(left(), 5);
    let allowed = postern::audit().into_iter().filter(|record| record.reason == "recovery_code").count();
    assert_eq!(allowed, 5, "the trail has each of them once");
}

// covers: A14
#[test]
fn a_code_is_its_users_and_nobody_elses() {
    let (_machine, _verifier, _sshd, _fob) = start();
    let mut bobs = Fob::with_button("2600123456790");
    associated(&mut bobs, "bob");
    let codes = postern::recovery_codes("alice");
    let bob_codes = postern::recovery_codes("bob");
    ssh_login(BOB, &codes[0]).refused();
    assert_eq!((left(), postern::recovery_status("bob").left), (10, 10), "nothing is used up");
    ssh_login(ALICE, &codes[0]).logged_in();
    ssh_login(BOB, &bob_codes[0]).logged_in();
    assert_eq!((left(), postern::recovery_status("bob").left), (9, 9));
}

// covers: A15, P1
#[test]
fn each_use_says_how_many_are_left_and_the_last_one_offers_ten_new_ones() {
    let (_machine, _verifier, _sshd, mut fob) = start();
    let codes = postern::recovery_codes("alice");
    let login = Login::by_ssh("alice");
    for (used, code) in codes[..9].iter().enumerate() {
        let reply = login.attempt(code).expect("an answer");
        let text = reply.show.concat();
        let number = 9 - used;
        assert!(text.contains("Recovery code accepted. ") && text.contains(&format!(" {number} ")), "{text}");
        assert_eq!(verdict(&reply), Verdict::Allow);
    }
    // Nothing is used up before the last answer: whoever hangs up has his last code still.
    let mut terminal = sshd::login_up_to_password(ALICE, SAY_WHO);
    terminal.expect(QUESTION);
    terminal.type_line(&codes[9]);
    terminal.expect(NEW_SET_QUESTION);
    terminal.hang_up();
    assert_eq!(left(), 1);

    let mut terminal = sshd::login_up_to_password(ALICE, SAY_WHO);
    terminal.expect(QUESTION);
    terminal.type_line(&codes[9]);
    let said = terminal.expect(NEW_SET_QUESTION);
    assert!(said.contains("This is your last recovery code."), "{said}");
    terminal.type_line("y");
    let block = terminal.expect(WRITTEN_DOWN_QUESTION);
    let new: Vec<String> =
        block.lines().map(str::trim).filter(|line| is_code(line)).map(Into::into).collect();
    assert_eq!(new.len(), 10, "ten, one to a line: {block}");
    terminal.type_line("yes");
    ssh_outcome(terminal).logged_in();

    assert_eq!(left(), 10);
    ssh_login(ALICE, &codes[9]).refused();
    ssh_login(ALICE, &new[0]).logged_in();
    ssh_login(ALICE, &fob.press()).logged_in();
    notices::expect_told("recovery_codes_made", "alice");
}

fn is_code(line: &str) -> bool {
    line.len() == 19 && line.split('-').all(|group| group.len() == 4)
}

// covers: A15
#[test]
fn whoever_wants_no_new_ones_logs_in_with_the_last_and_has_none() {
    let (machine, _verifier, _sshd, _fob) = start();
    for (answer, surface) in [("n", "sshd"), ("no", "sshd"), ("maybe", "sudo")] {
        let codes = postern::recovery_codes("alice");
        let login = Login::by_ssh("alice");
        codes[..9].iter().for_each(|code| assert_eq!(login.verdict(code), Verdict::Allow));
        let answers = [(QUESTION, codes[9].as_str()), (NEW_SET_QUESTION, answer)];
        let shown = if surface == "sudo" {
            let outcome = system_tests::flows::sudo_dialogue(&machine, ALICE, &answers);
            let shown = outcome.logged_in();
            let words = "That was your last recovery code. Ask your administrator for new ones.";
            assert!(shown.contains(words), "{shown}");
            shown
        } else {
            ssh_dialogue(ALICE, &answers).logged_in()
        };
        assert!(!shown.contains(WRITTEN_DOWN_QUESTION), "{shown}");
        assert_eq!(left(), 0);
        assert!(matches!(ssh_login(ALICE, &codes[9]), Outcome::Refused(_)));
        postern::unlock("alice");
    }
}

// covers: A15
#[test]
fn beside_a_recovery_code_the_token_of_that_moment_still_serves() {
    // The other factor may well be in the same pocket: the two are claimed apart, as documented.
    let _machine = Machine::new();
    let verifier = Verifier::start();
    let _sshd = Sshd::start();
    let phone = activated(&verifier, "alice");
    let codes = postern::recovery_codes("alice");
    let code = verifier.code(&phone);
    ssh_login(ALICE, &codes[0]).logged_in();
    ssh_login(ALICE, &code).logged_in();
    ssh_login(ALICE, &code).refused();
}

// covers: P1
#[test]
fn new_codes_and_the_end_of_the_demand_void_the_old_ones() {
    let (_machine, verifier, _sshd, mut fob) = start();
    let old = postern::recovery_codes("alice");
    let new = postern::recovery_codes("alice");
    ssh_login(ALICE, &old[0]).refused();
    ssh_login(ALICE, &new[0]).logged_in();
    assert_eq!(left(), 9, "the token is the same as before");
    ssh_login(ALICE, &fob.press()).logged_in();

    postern::otp_off("alice");
    ssh_outcome(sshd::login_up_to_password(ALICE, SAY_WHO)).logged_in();
    notices::expect_told("user_otp_off", "alice");
    assert_eq!(left(), 0);
    let code = fob.press();
    assert!(postern::associate(&fob.serial, "alice", &code).status.success());
    ssh_login(ALICE, &new[1]).refused();
    drop(verifier);
}

// covers: P1, G01
#[test]
fn after_an_unclean_stop_the_codes_wait_for_an_administrator() {
    let (_machine, mut verifier, _sshd, _fob) = start();
    let codes = postern::recovery_codes("alice");
    ssh_login(ALICE, &codes[0]).logged_in();
    verifier.kill();
    verifier.launch();
    assert!(postern::recovery_status("alice").waiting);
    assert!(!postern::status().reasons.is_empty(), "the status tells of it");
    let shown = ssh_login(ALICE, &codes[1]).refused();
    assert!(shown.contains("Recovery codes wait for your administrator. Reference "), "{shown}");
    assert_eq!(postern::explain(&reference_in(&shown)).reason, "recovery_waiting");

    postern::done(&["store", "settle", "--yes"]);
    assert!(!postern::recovery_status("alice").waiting);
    assert!(postern::run(&["status"]).status.success());
    let shown = ssh_login(ALICE, &codes[1]).logged_in();
    assert!(shown.contains(LOGGED_IN));
    ssh_login(ALICE, &codes[0]).refused();
    assert_eq!(left(), 8);
}

// covers: P1
#[test]
fn the_command_that_tells_gets_a_record_and_a_clean_environment() {
    let (_machine, _verifier, _sshd, mut fob) = start();
    let told = notices::expect_told("token_associated", "alice");
    assert_eq!(told.token.as_deref(), Some(fob.serial.as_str()));
    // The shell adds names of its own.
    let names = notices::environment();
    let of_a_shell = ["PATH", "PWD", "SHLVL", "OLDPWD", "_"];
    assert!(names.iter().all(|name| of_a_shell.contains(&name.as_str())), "{names:?}");

    postern::done(&["token", "disable", &fob.serial, "--yes"]);
    notices::expect_told("token_disabled", "alice");
    postern::done(&["token", "enable", &fob.serial]);
    postern::lost(&fob.serial);
    notices::expect_told("token_lost", "alice");
    postern::done(&["token", "enable", &fob.serial]);
    ssh_login(ALICE, &fob.press()).logged_in();
    Login::by_ssh("alice").attempt("0").expect("an answer");
    postern::unlock("alice");
    notices::expect_told("user_unlocked", "alice");
    postern::disassociate(&fob.serial);
    notices::expect_told("token_disassociated", "alice");
    let codes_or_logins = notices::told().into_iter().filter(|record| record.reason == "accepted").count();
    assert_eq!(codes_or_logins, 0, "an ordinary login is no news");
}
