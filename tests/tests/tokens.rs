//! The life of a hardware token, as an administrator sees it and as its holder's logins show it.

use system_tests::flows::{
    QUESTION, SAY_WHO, SERIAL_QUESTION, activated, associated, reference_in, ssh_dialogue, ssh_login,
    ssh_outcome, sudo_dialogue,
};
use system_tests::fob::{Fob, drawer};
use system_tests::login_socket::{Login, verdict};
use system_tests::machine::{ALICE, BOB, Machine};
use system_tests::postern::{self, CONFLICT, WRONG_CODE, associate, said};
use system_tests::sshd::{self, Sshd};
use system_tests::verifier::{Verifier, config};
use wire::admin::{DisabledBy, Disassociated, OnOff, Token, TokenState};
use wire::login::Verdict;

/// The demand for a token, whoever the user.
const REQUIRED: &str = "[access]\nrequire_token = true\n";

fn start(configuration: &str) -> (Machine, Verifier, Sshd) {
    (Machine::new(), Verifier::start_with(&config(configuration)), Sshd::start())
}

/// What the list, the token and the user say of a token's place in its life; all three say the same.
fn state(fob: &Fob) -> TokenState {
    let token = postern::token(&fob.serial);
    let listed: Vec<Token> =
        postern::tokens().into_iter().filter(|listed| listed.serial == fob.serial).collect();
    assert_eq!(listed, std::slice::from_ref(&token), "the list shows what the token shows");
    if let Some(user) = &token.user {
        let shown = postern::user(user).tokens.into_iter().find(|shown| shown.serial == fob.serial);
        assert_eq!(shown.map(|shown| shown.state), Some(token.state), "the user shows his token");
    }
    token.state
}

// covers: A2, A3, A6
#[test]
fn a_token_is_shown_at_every_step_of_its_life() {
    let (_machine, _verifier, _sshd) = start("");
    let mut fob = Fob::with_button("2600123456789");
    postern::add_token(&fob, None);
    assert_eq!(state(&fob), TokenState::Available);
    assert_eq!(postern::token(&fob.serial).user, None);

    postern::done(&["token", "assign", &fob.serial, "--user", "alice"]);
    assert_eq!(state(&fob), TokenState::Assigned);
    assert_eq!(postern::token(&fob.serial).associated, None);
    let shown = postern::done(&["user", "show", "alice"]);
    assert!(shown.contains("2600123456789") && shown.contains("assigned"), "{shown}");

    ssh_login(ALICE, &fob.press()).logged_in();
    assert_eq!(state(&fob), TokenState::Associated);
    assert!(postern::token(&fob.serial).associated.is_some(), "when it was associated is shown");
    assert!(postern::user("alice").activated);

    postern::done(&["token", "disable", &fob.serial, "--yes"]);
    assert_eq!(state(&fob), TokenState::Disabled);
    assert_eq!(postern::token(&fob.serial).disabled_by, Some(DisabledBy::Administrator));
    let code = fob.press();
    let shown = ssh_login(ALICE, &code).refused();
    assert_eq!(postern::explain(&reference_in(&shown)).reason, "token_disabled");

    postern::done(&["token", "enable", &fob.serial]);
    assert_eq!(state(&fob), TokenState::Associated);
    ssh_login(ALICE, &code).logged_in();

    postern::lost(&fob.serial);
    assert_eq!(state(&fob), TokenState::Lost);
    let shown = ssh_login(ALICE, &fob.press()).refused();
    assert!(shown.contains("Access denied. Reference "), "{shown}");
    assert_eq!(postern::explain(&reference_in(&shown)).reason, "token_lost");

    postern::disassociate(&fob.serial);
    assert_eq!(state(&fob), TokenState::Lost, "it is nobody's, and still lost");
    ssh_outcome(sshd::login_up_to_password(ALICE, SAY_WHO)).logged_in();
    postern::done(&["token", "enable", &fob.serial]);
    assert_eq!(state(&fob), TokenState::Available);
    assert_events(
        &fob,
        &[
            "token_added",
            "token_assigned",
            "token_associated",
            "token_disabled",
            "token_enabled",
            "token_lost",
            "token_disassociated",
            "token_enabled",
        ],
    );
}

/// The trail tells the steps of a token's life in order; logins in between are other events.
fn assert_events(fob: &Fob, expected: &[&str]) {
    let records = postern::audit().into_iter().filter(|record| record.token.as_ref() == Some(&fob.serial));
    let mut steps: Vec<String> = records
        .map(|record| if record.event == "login" { record.reason } else { record.event })
        .map(|word| if word == "activated" { "token_associated".to_owned() } else { word })
        .filter(|word| word.starts_with("token_") && !is_refusal(word))
        .collect();
    steps.dedup();
    assert_eq!(steps, expected);
}

/// Words that a login is refused with and that are steps of a life too stand once in the trail as a step.
fn is_refusal(word: &str) -> bool {
    matches!(word, "token_taken" | "token_missing")
}

// covers: A3
#[test]
fn steps_that_a_life_does_not_have_are_refused_and_change_nothing() {
    use TokenState::{Assigned, Associated, Available, Disabled, Lost};
    let (_machine, _verifier, _sshd) = start("");
    let states = [Available, Assigned, Associated, Disabled, Lost];
    // One row for each verb: what becomes of a token in each of the states; nothing where it is refused.
    let table: [(&str, [Option<TokenState>; 5]); 5] = [
        ("assign", [Some(Assigned), None, None, None, None]),
        ("disassociate", [None, Some(Available), Some(Available), Some(Disabled), Some(Lost)]),
        ("disable", [Some(Disabled), Some(Disabled), Some(Disabled), Some(Disabled), None]),
        ("lost", [None, Some(Lost), Some(Lost), Some(Lost), Some(Lost)]),
        ("enable", [Some(Available), Some(Assigned), Some(Associated), Some(Associated), Some(Associated)]),
    ];
    let mut fobs = drawer(25).into_iter();
    for (verb, outcomes) in table {
        for (from, outcome) in states.into_iter().zip(outcomes) {
            let mut fob = fobs.next().expect("a token");
            bring_to(&mut fob, from);
            let mut line = vec!["token", verb, &fob.serial, "--yes"];
            if verb == "assign" {
                line.extend(["--user", "bob"]);
            }
            let output = postern::run(&line);
            assert_eq!(state(&fob), outcome.unwrap_or(from), "{verb} from {from:?}: {}", said(&output));
            match outcome {
                None => assert_eq!(output.status.code(), Some(CONFLICT), "{verb} from {from:?}"),
                // Asking for what is so already may be said to be needless.
                Some(to) if to != from => assert!(output.status.success(), "{verb} from {from:?}"),
                Some(_) => {}
            }
            if postern::token(&fob.serial).user.is_some() {
                postern::disassociate(&fob.serial);
            }
        }
    }
}

fn bring_to(fob: &mut Fob, state: TokenState) {
    match state {
        TokenState::Available => postern::add_token(fob, None),
        TokenState::Assigned => postern::add_token(fob, Some("alice")),
        TokenState::Associated | TokenState::Disabled | TokenState::Lost => {
            associated(fob, "alice");
            match state {
                TokenState::Disabled => drop(postern::done(&["token", "disable", &fob.serial, "--yes"])),
                TokenState::Lost => drop(postern::lost(&fob.serial)),
                _ => {}
            }
        }
    }
}

// covers: A4, A12
#[test]
fn the_help_desk_associates_with_a_serial_number_and_one_code() {
    let (_machine, verifier, _sshd) = start("");
    let mut fobs = drawer(2);
    associated(&mut fobs[1], "bob");
    let [fob, taken] = &mut fobs[..] else { panic!("two tokens") };
    postern::add_token(fob, None);

    let wrong = associate(&fob.serial, "alice", &fob.wrong_code(verifier.now()));
    let unknown = associate("2699999999999", "alice", &fob.value(fob.counter()));
    let others = associate(&taken.serial, "alice", &taken.value(taken.counter()));
    for output in [&wrong, &unknown, &others] {
        assert_eq!(output.status.code(), Some(WRONG_CODE), "{}", said(output));
        let plain = without_references(&said(output));
        assert_eq!(plain, without_references(&said(&wrong)), "nothing tells the three apart");
    }
    assert_eq!((state(fob), state(taken)), (TokenState::Available, TokenState::Associated));

    let code = fob.press();
    assert!(associate(&fob.serial, "alice", &code).status.success());
    assert_eq!(state(fob), TokenState::Associated);
    assert_eq!(postern::user("alice").otp, OnOff::On);
    let shown = ssh_login(ALICE, &code).refused();
    assert!(shown.contains("already used"), "the code that associated is used up: {shown}");
    ssh_login(ALICE, &fob.press()).logged_in();
}

// covers: A4, A9
#[test]
fn where_a_token_is_demanded_a_login_asks_for_serial_and_code_and_associates_it() {
    let (machine, _verifier, _sshd) = start(REQUIRED);
    let mut fobs = drawer(2);
    fobs.iter().for_each(|fob| postern::add_token(fob, None));
    postern::otp_on_with_token("alice");
    let [first, second] = &mut fobs[..] else { panic!("two tokens") };

    let serial = first.serial.clone();
    ssh_dialogue(ALICE, &[(SERIAL_QUESTION, &serial), (QUESTION, &first.press())]).logged_in();
    assert_eq!(state(first), TokenState::Associated);
    assert_eq!(postern::token(&serial).user.as_deref(), Some("alice"));
    ssh_login(ALICE, &first.press()).logged_in();

    postern::disassociate(&serial);
    assert_eq!(state(first), TokenState::Available);
    let serial = second.serial.clone();
    let answers = [(SERIAL_QUESTION, serial.as_str()), (QUESTION, &second.press())];
    let shown = sudo_dialogue(&machine, ALICE, &answers).logged_in();
    let words = format!("Token {serial} is yours now. From now on every login asks for a one-time password.");
    assert!(shown.contains(&words), "{shown}");
    ssh_login(ALICE, &second.press()).logged_in();
}

// covers: A4
#[test]
fn a_wrong_serial_a_wrong_code_and_somebody_elses_token_look_alike_at_the_prompt() {
    let (_machine, verifier, _sshd) = start(REQUIRED);
    let mut fobs = drawer(4);
    associated(&mut fobs[1], "bob");
    postern::add_token(&fobs[0], None);
    postern::add_token(&fobs[2], Some("bob"));
    postern::add_token(&fobs[3], None);
    postern::done(&["token", "disable", &fobs[3].serial, "--yes"]);
    postern::otp_on_with_token("alice");

    let right = |fob: &Fob| fob.value(fob.counter());
    let tries = [
        (fobs[0].serial.clone(), fobs[0].wrong_code(verifier.now()), "wrong_code"),
        ("2699999999999".to_owned(), right(&fobs[0]), "serial_unknown"),
        ("not a serial".to_owned(), right(&fobs[0]), "serial_unknown"),
        (fobs[1].serial.clone(), right(&fobs[1]), "token_taken"),
        (fobs[2].serial.clone(), right(&fobs[2]), "token_taken"),
        (fobs[3].serial.clone(), right(&fobs[3]), "token_disabled"),
    ];
    let mut seen = Vec::new();
    for (serial, code, reason) in &tries {
        let shown = ssh_dialogue(ALICE, &[(SERIAL_QUESTION, serial), (QUESTION, code)]).refused();
        assert_eq!(postern::explain(&reference_in(&shown)).reason, *reason, "{serial}");
        // What she typed is the only other difference.
        seen.push(without_references(&shown.replace(serial.as_str(), "SERIAL")));
        postern::unlock("alice");
    }
    assert!(seen[0].contains("Access denied. Reference "), "{}", seen[0]);
    assert!(seen.iter().all(|shown| *shown == seen[0]), "{seen:#?}");
    assert_eq!(postern::token(&fobs[1].serial).counter, Some(fobs[1].counter()), "bob's code is not used up");
    assert_eq!(state(&fobs[0]), TokenState::Available);
}

/// A text with every reference in it made the same.
fn without_references(text: &str) -> String {
    // Also where the command repeats it: `postern explain XXXX-XXXX`.
    ["eference ", "explain "].iter().fold(text.to_owned(), |text, before| {
        let mut parts = text.split(before);
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |text, part| {
            format!("{text}{before}XXXX-XXXX{}", part.chars().skip(9).collect::<String>())
        })
    })
}

// covers: A9
#[test]
fn without_his_last_token_a_user_needs_no_code_and_with_another_one_he_does() {
    let (_machine, _verifier, _sshd) = start("");
    let mut fobs = drawer(2);
    fobs.iter_mut().for_each(|fob| associated(fob, "alice"));
    let asked = postern::run(&["token", "disassociate", &fobs[0].serial]);
    assert_eq!(asked.status.code(), Some(2), "asks to confirm: {}", said(&asked));
    assert_eq!(state(&fobs[0]), TokenState::Associated);

    let gone: Disassociated = postern::ask(&["token", "disassociate", &fobs[0].serial, "--yes"]);
    assert_eq!((gone.user.as_str(), gone.wiped, gone.otp), ("alice", false, OnOff::On));
    ssh_login(ALICE, &fobs[0].press()).refused();
    ssh_login(ALICE, &fobs[1].press()).logged_in();

    let gone: Disassociated = postern::ask(&["token", "disassociate", &fobs[1].serial, "--yes"]);
    assert_eq!(gone.otp, OnOff::Off);
    ssh_outcome(sshd::login_up_to_password(ALICE, SAY_WHO)).logged_in();
}

// covers: A9
#[test]
fn a_disassociated_app_is_gone_and_a_disassociated_token_serves_another_user() {
    let (_machine, verifier, _sshd) = start("");
    let phone = activated(&verifier, "alice");
    let serial = postern::only_token("alice").serial;
    let gone: Disassociated = postern::ask(&["token", "disassociate", &serial, "--yes"]);
    assert!(gone.wiped, "{gone:?}");
    assert!(postern::tokens().iter().all(|token| token.serial != serial), "the secret went with it");
    postern::otp_on("alice");
    assert_ne!(activated(&verifier, "alice").secret(), phone.secret());

    let mut fob = Fob::with_button("2600123456789");
    associated(&mut fob, "alice");
    let old = fob.value(fob.counter() - 1);
    postern::disassociate(&fob.serial);
    assert_eq!(associate(&fob.serial, "bob", &old).status.code(), Some(WRONG_CODE), "a used code stays used");
    let code = fob.press();
    assert!(associate(&fob.serial, "bob", &code).status.success());
    ssh_login(BOB, &fob.press()).logged_in();
    ssh_login(ALICE, &fob.press()).refused();
}

// covers: P2
#[test]
fn each_of_a_users_tokens_has_its_own_counter() {
    let (_machine, verifier, _sshd) = start("");
    let mut fobs = drawer(3);
    fobs.iter_mut().for_each(|fob| associated(fob, "alice"));
    let clock = Fob::with_clock("2700000000001");
    postern::add_token(&clock, Some("alice"));
    let mut expected: Vec<_> = fobs.iter().map(|fob| Some(fob.counter())).collect();
    fobs[1].press_and_lose(5);
    for turn in [2, 0, 1, 1, 0, 2, 2] {
        ssh_login(ALICE, &fobs[turn].press()).logged_in();
        expected[turn] = Some(fobs[turn].counter());
        let counters: Vec<_> = fobs.iter().map(|fob| postern::token(&fob.serial).counter).collect();
        assert_eq!(counters, expected, "only the token that was used moves");
    }
    ssh_login(ALICE, &clock.shown(verifier.now())).logged_in();
    let used = fobs[0].value(fobs[0].counter() - 1);
    let shown = ssh_login(ALICE, &used).refused();
    assert!(shown.contains("already used"), "{shown}");
}

// covers: P2
#[test]
fn a_user_has_at_most_eight_tokens() {
    let (_machine, _verifier, _sshd) = start("");
    let mut fobs = drawer(9);
    fobs[..8].iter_mut().for_each(|fob| associated(fob, "alice"));
    postern::add_token(&fobs[8], None);
    let output = postern::run(&["token", "assign", &fobs[8].serial, "--user", "alice"]);
    assert_eq!(output.status.code(), Some(CONFLICT), "{}", said(&output));
    let code = fobs[8].press();
    assert!(!associate(&fobs[8].serial, "alice", &code).status.success());
    assert_eq!(state(&fobs[8]), TokenState::Available);
    // The last in the order is tried like the first.
    for turn in [7, 0] {
        let reply = Login::by_ssh("alice").attempt(&fobs[turn].press()).expect("an answer");
        assert_eq!(verdict(&reply), Verdict::Allow, "{reply:?}");
    }
}
