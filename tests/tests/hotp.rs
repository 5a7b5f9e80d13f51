//! Tokens with a button: presses that got lost, codes that come back, and the way back into step.

use std::sync::Barrier;
use std::thread;

use system_tests::flows::{
    IN_STEP_AGAIN, NEXT_CODE_QUESTION, Outcome, QUESTION, associated, console_dialogue, reference_in,
    ssh_dialogue, ssh_login, sudo_dialogue,
};
use system_tests::fob::Fob;
use system_tests::history::{Answer, Evidence, History};
use system_tests::login_socket::{Dialogue, Login, reference, verdict};
use system_tests::machine::{ALICE, DORA, Machine, run};
use system_tests::postern::{self, WRONG_CODE, resync, said};
use system_tests::sshd::Sshd;
use system_tests::verifier::{Verifier, config};
use wire::admin::{AuditRecord, TokenState};
use wire::login::{Next, Verdict};

const SERIAL: &str = "2600123456789";

fn start() -> (Machine, Verifier, Sshd, Fob) {
    let (machine, verifier, sshd) = (Machine::new(), Verifier::start(), Sshd::start());
    let mut fob = Fob::with_button(SERIAL);
    associated(&mut fob, "alice");
    (machine, verifier, sshd, fob)
}

fn counter() -> u64 {
    postern::token(SERIAL).counter.expect("a counter")
}

/// What a login over the socket comes to, where more may be asked.
fn outcome(dialogue: &Dialogue) -> Option<Verdict> {
    match dialogue.reply.next {
        Next::Done { verdict, .. } => Some(verdict),
        Next::Ask { .. } => None,
    }
}

// covers: A7
#[test]
fn nine_lost_presses_are_absorbed_and_each_login_is_in_step_again() {
    let (_machine, _verifier, _sshd, mut fob) = start();
    for lost in [0, 1, 9, 9, 0] {
        fob.press_and_lose(lost);
        ssh_login(ALICE, &fob.press()).logged_in();
        assert_eq!(counter(), fob.counter(), "{lost} lost presses");
    }
    let record = postern::audit().into_iter().rfind(|record| record.reason == "accepted").expect("a record");
    assert_eq!(record.detail, Some(format!("counter {}", fob.counter() - 1)));
    assert_eq!(record.token.as_deref(), Some(SERIAL));
}

// covers: A8
#[test]
fn beyond_the_window_ssh_sudo_and_the_console_ask_for_the_next_code() {
    let (machine, _verifier, _sshd, mut fob) = start();
    let surfaces: [(&str, u64, Surface<'_>); 4] = [
        ("sshd", 10, &|answers| ssh_dialogue(ALICE, answers)),
        ("sudo", 37, &|answers| sudo_dialogue(&machine, ALICE, answers)),
        ("login", 500, &|answers| console_dialogue(ALICE, answers)),
        ("sshd", 990, &|answers| ssh_dialogue(ALICE, answers)),
    ];
    for (surface, lost, log_in) in surfaces {
        fob.press_and_lose(lost);
        let (first, second) = (fob.press(), fob.press());
        let shown = log_in(&[(QUESTION, &first), (NEXT_CODE_QUESTION, &second)]).logged_in();
        // sshd shows a text only in front of a question, and this one comes after the last.
        assert!(surface == "sshd" || shown.contains(IN_STEP_AGAIN), "{surface}: {shown}");
        assert_eq!(counter(), fob.counter(), "{surface}");
        let last = postern::audit().into_iter().rfind(|record| record.reason == "resynchronized");
        assert_eq!(last.and_then(|record| record.service).as_deref(), Some(surface));
        for old in [first, second] {
            let shown = ssh_login(ALICE, &old).refused();
            assert!(shown.contains("already used"), "{surface}, used codes: {shown}");
        }
        ssh_login(ALICE, &fob.press()).logged_in();
    }
    let asked: Vec<String> = postern::audit()
        .into_iter()
        .filter(|record| record.reason == "out_of_step")
        .filter_map(|record| record.detail)
        .collect();
    assert!(asked.iter().any(|detail| detail.contains("out of sync by 37")), "{asked:?}");
}

/// Logs in with answers to questions.
type Surface<'a> = &'a dyn Fn(&[(&str, &str)]) -> Outcome;

// covers: A10, A8
#[test]
fn two_codes_that_do_not_follow_each_other_bring_nothing_back() {
    let (_machine, verifier, _sshd, fob) = start();
    let begun = counter();
    let far = begun + 50;
    let wrong = fob.wrong_code(verifier.now());
    let pairs = [
        ("a wrong one", fob.value(far), wrong.clone()),
        ("the same again", fob.value(far), fob.value(far)),
        ("one left out", fob.value(far), fob.value(far + 2)),
        ("the other way round", fob.value(far + 1), fob.value(far)),
        ("none", fob.value(far), String::new()),
    ];
    for (number, (name, first, second)) in pairs.iter().enumerate() {
        let login = Login::by_ssh("alice").from(&format!("198.51.100.{number}"));
        let asked = login.begin().expect("a question").follow(first);
        assert_eq!(asked.question(), NEXT_CODE_QUESTION, "{name}");
        let failures = postern::token(SERIAL).failures;
        assert_eq!(outcome(&asked.follow(second)), Some(Verdict::Deny), "{name}");
        assert_eq!(counter(), begun, "{name}: the counter stands");
        assert!(postern::token(SERIAL).failures > failures, "{name}: an attempt counts");
        postern::unlock("alice");
    }
    for first in [wrong, fob.value(begun + 1_100), fob.value(begun.saturating_sub(1))] {
        let login = Login::by_ssh("alice").from("192.0.2.77");
        let after = login.begin().expect("a question").follow(&first);
        assert_eq!(outcome(&after), Some(Verdict::Deny), "no second question for what is no code of it");
        postern::unlock("alice");
    }
    ssh_login(ALICE, &fob.value(begun)).logged_in();
}

// covers: A10
#[test]
fn the_first_of_two_codes_buys_one_question_only() {
    let (_machine, _verifier, _sshd, fob) = start();
    let far = counter() + 100;
    let asked = Login::by_ssh("alice").begin().expect("a question").follow(&fob.value(far));
    assert_eq!(asked.question(), NEXT_CODE_QUESTION);
    assert_eq!(outcome(&asked.follow("00000000")), Some(Verdict::Deny));
    // The state of the question is answered again: the dialogue was used up by its first answer.
    let again = asked.answer(&fob.value(far + 1));
    let let_in = again.is_ok_and(|reply| matches!(reply.next, Next::Done { verdict: Verdict::Allow, .. }));
    let now = counter();
    assert!(now == far - 100 || (let_in && now == far + 2), "the counter follows an accept: {now}");
    let allowed = postern::audit().into_iter().filter(|record| record.reason == "resynchronized").count();
    assert_eq!(allowed, usize::from(let_in), "each accept is in the trail");
}

// covers: A8, A10
#[test]
fn help_desk_and_holder_bring_a_token_back_with_two_codes() {
    let machine = Machine::new();
    machine.add_staff();
    let _verifier = Verifier::start_with(&config("[roles]\nhelpdesk = [\"dora\"]\n"));
    let mut fob = Fob::with_button(SERIAL);
    associated(&mut fob, "alice");
    let by = |account, first: &str, second: &str| {
        let line = ["token", "resync", SERIAL];
        postern::run_by(&machine, account, &line, &format!("{first}\n{second}\n"))
    };

    for account in [DORA, ALICE] {
        fob.press_and_lose(400);
        let (first, second) = (fob.press(), fob.press());
        let output = by(account, &first, &second);
        assert!(output.status.success(), "{}: {}", account.name, said(&output));
        assert_eq!(counter(), fob.counter());
        for (first, second) in [(&first, &second), (&second, &first)] {
            let again = by(account, first, second);
            assert_eq!(again.status.code(), Some(WRONG_CODE), "{}: {}", account.name, said(&again));
            assert_eq!(counter(), fob.counter(), "never backwards");
        }
    }
    let (far, next) = (fob.value(fob.counter() + 1_100), fob.value(fob.counter() + 1_101));
    assert_eq!(resync(SERIAL, &far, &next).status.code(), Some(WRONG_CODE), "beyond 1,000");
    assert_eq!(counter(), fob.counter());
    let done =
        |record: &AuditRecord| record.event == "token_resynchronized" && record.reason == "resynchronized";
    let event = postern::audit().into_iter().rfind(done);
    assert_eq!(event.and_then(|record| record.actor).as_deref(), Some("alice (user)"));
}

// covers: A09
#[test]
fn the_window_holds_as_many_codes_as_the_configuration_says() {
    let _machine = Machine::new();
    for look_ahead in [1, 10, 100] {
        let _verifier = Verifier::start_with(&config(&format!("[token]\nlook_ahead = {look_ahead}\n")));
        let mut fob = Fob::with_button(SERIAL);
        associated(&mut fob, "alice");
        let login = Login::by_ssh("alice");
        let next = counter();
        let begin = || login.begin().expect("a question");
        let outside = begin().follow(&fob.value(next + look_ahead));
        assert_eq!(outside.question(), NEXT_CODE_QUESTION, "{look_ahead}: c+s is out");
        assert_eq!(login.verdict(&fob.value(next - 1)), Verdict::Deny, "{look_ahead}: c-1 is out");
        assert_eq!(counter(), next);
        assert_eq!(login.verdict(&fob.value(next + look_ahead - 1)), Verdict::Allow, "{look_ahead}: c+s-1");
        assert_eq!(counter(), next + look_ahead);
    }
}

// covers: A09
#[test]
fn a_window_that_is_none_or_too_wide_is_refused_when_the_file_is_read() {
    let _machine = Machine::new();
    let check = |look_ahead: &str| {
        let _verifier = Verifier::prepare(&config(&format!("[token]\nlook_ahead = {look_ahead}\n")));
        let mut command = std::process::Command::new(system_tests::programs::ours("verifierd"));
        command.args(["config", "check", "--config", system_tests::verifier::CONFIG]);
        let output = command.output().expect("verifierd");
        (output.status.success(), said(&output))
    };
    for right in ["1", "10", "100"] {
        assert!(check(right).0, "{right}: {}", check(right).1);
    }
    for wrong in
        ["0", "101", "-1", "4294967296", "4294967297", "9223372036854775808", "1e1", "\"10\"", "10.0"]
    {
        let (accepted, words) = check(wrong);
        assert!(!accepted, "look_ahead = {wrong}: {words}");
        assert!(words.contains("look_ahead"), "names the setting: {words}");
    }
}

// covers: A08
#[test]
fn of_three_codes_at_once_none_is_accepted_twice_and_the_counter_never_falls() {
    const ROUNDS: usize = 500;
    let _machine = Machine::new();
    let _verifier = Verifier::start();
    // Eight digits, because among six some code of these 1,500 is another one's too.
    let mut fob = Fob::with_button(SERIAL).shaped(otp_core::Algorithm::Sha1, 8);
    associated(&mut fob, "alice");
    let mut history = History::default();
    let mut before = counter();
    for round in 0..ROUNDS {
        let codes = [fob.press(), fob.press(), fob.press()];
        let mut accepted = [0; 3];
        for _ in 0..2 {
            for (index, answer) in at_once(&codes, round) {
                accepted[index] += usize::from(answer.verdict == Verdict::Allow);
                history.push(answer);
            }
            let now = counter();
            assert!(now >= before, "round {round}: the counter fell from {before} to {now}");
            before = now;
        }
        assert!(accepted.iter().all(|times| *times <= 1), "round {round}: {accepted:?}");
        assert!(accepted.iter().sum::<usize>() >= 1, "round {round}: one of them is right");
        // The last one is right whatever came before it, so all three are used up or skipped.
        assert_eq!(before, fob.counter(), "round {round}: {accepted:?}");
    }
    history.judge(&Evidence::of_daemon());
    println!("{ROUNDS} rounds of three codes, {} accepts, none twice", history.accepted());
}

/// Offers three codes from three connections at one instant, in another order each round.
fn at_once(codes: &[String; 3], round: usize) -> Vec<(usize, Answer)> {
    let order = [[0, 1, 2], [2, 1, 0], [1, 2, 0], [2, 0, 1], [0, 2, 1], [1, 0, 2]][round % 6];
    let prompts = order.map(|index| (index, Login::by_ssh("alice").begin().expect("a question")));
    let barrier = Barrier::new(prompts.len());
    thread::scope(|scope| {
        let answers = prompts.map(|(index, prompt)| {
            let (barrier, code) = (&barrier, &codes[index]);
            scope.spawn(move || {
                barrier.wait();
                let reply = prompt.answer(code).expect("an answer");
                let (verdict, reference) = (verdict(&reply), reference(&reply));
                (index, Answer { user: "alice".into(), code: code.clone(), verdict, reference })
            })
        });
        answers.into_iter().map(|answer| answer.join().expect("no panic")).collect()
    })
}

// covers: A21
#[test]
fn after_a_thousand_wrong_codes_and_an_unlock_the_next_code_works() {
    let machine = Machine::new();
    let mut verifier = Verifier::prepare(&config("")).with_stepped_waits();
    verifier.initialise();
    verifier.launch();
    let mut fob = Fob::with_button(SERIAL);
    associated(&mut fob, "alice");
    let begun = counter();
    let wrong = fob.wrong_code(verifier.now());
    for guess in 0..1_000 {
        let login = Login::by_ssh("alice").from(&format!("198.51.{}.{}", guess / 250, guess % 250));
        assert_eq!(login.verdict(&wrong), Verdict::Deny, "guess {guess}");
        verifier.clock.advance(3_700);
    }
    assert_eq!(counter(), begun, "failures do not move it");
    assert_eq!(postern::token(SERIAL).state, TokenState::Disabled);
    assert_eq!(Login::by_ssh("alice").verdict(&fob.value(begun)), Verdict::Deny, "disabled is disabled");

    let unlocked = postern::unlock("alice");
    assert_eq!(unlocked.tokens_enabled, [SERIAL]);
    assert!(unlocked.counts_cleared >= 1, "{unlocked:?}");
    assert_eq!(postern::token(SERIAL).state, TokenState::Associated);
    let _sshd = Sshd::start();
    ssh_login(ALICE, &fob.press()).logged_in();
    // A second unlock has nothing to do, and a stranger's account is no user.
    assert!(postern::unlock("alice").tokens_enabled.is_empty());
    let nobody = machine.add_bare_users("nobody-of-postern", 1);
    assert!(!postern::run(&["user", "unlock", &nobody[0], "--yes"]).status.success());
}

// covers: G01, A8
#[test]
fn after_an_unclean_stop_a_button_token_is_asked_for_two_codes_once() {
    let (_machine, mut verifier, _sshd, mut fob) = start();
    ssh_login(ALICE, &fob.press()).logged_in();
    run("sync", &[]);
    verifier.kill();
    verifier.launch();

    let (first, second) = (fob.press(), fob.press());
    ssh_dialogue(ALICE, &[(QUESTION, &first), (NEXT_CODE_QUESTION, &second)]).logged_in();
    let shown = ssh_login(ALICE, &second).refused();
    assert_ne!(postern::explain(&reference_in(&shown)).reason, "accepted");
    ssh_login(ALICE, &fob.press()).logged_in();
    assert_eq!(verifier.stop().code(), Some(0));
    verifier.launch();
    ssh_login(ALICE, &fob.press()).logged_in();
}
