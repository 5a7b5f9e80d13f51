//! Tokens with a clock: every hash, length and period, and clocks that are off.

use otp_core::Algorithm;
use system_tests::flows::{
    IN_STEP_AGAIN, NEXT_CODE_QUESTION, QUESTION, reference_in, ssh_login, ssh_outcome, sudo_up_to_code,
};
use system_tests::fob::{Fob, Pace};
use system_tests::login_socket::{Login, verdict};
use system_tests::machine::{ALICE, Machine};
use system_tests::postern::{self, WRONG_CODE, resync, said};
use system_tests::sshd::{self, Sshd};
use system_tests::verifier::Verifier;
use wire::admin::TokenState;
use wire::login::{Next, Verdict};

const SERIAL: &str = "2700123456789";

const ALGORITHMS: [Algorithm; 3] = [Algorithm::Sha1, Algorithm::Sha256, Algorithm::Sha512];

/// From a quarter of a minute to the longest: a day.
const INTERVALS: [u32; 6] = [15, 30, 60, 90, 3_600, 86_400];

fn clock(serial: &str, interval: u32, ahead: i64) -> Fob {
    Fob::with_clock(serial).paced(Pace::Clock { interval, ahead })
}

/// Makes sure that the present step of a token lasts for some more seconds.
fn leave_end_of_step(verifier: &Verifier, interval: u32) {
    const ENOUGH_SECONDS: u64 = 5;
    let interval = u64::from(interval);
    if verifier.now() % interval >= interval - ENOUGH_SECONDS {
        verifier.clock.advance(ENOUGH_SECONDS as i64);
    }
}

// covers: A1
#[test]
fn every_hash_length_and_period_is_accepted_once_for_each_step() {
    let machine = Machine::new();
    let verifier = Verifier::start();
    let kinds: Vec<_> = ALGORITHMS
        .into_iter()
        .flat_map(|algorithm| (6..=8).map(move |digits| (algorithm, digits)))
        .flat_map(|(algorithm, digits)| INTERVALS.map(|interval| (algorithm, digits, interval)))
        .collect();
    let users = machine.add_bare_users("kind", kinds.len());
    for (number, (user, kind)) in users.iter().zip(&kinds).enumerate() {
        let (algorithm, digits, interval) = *kind;
        let fob = clock(&format!("27{number:011}"), interval, 0).shaped(algorithm, digits);
        postern::add_token(&fob, Some(user));
        let login = Login::by_ssh(user).from(&format!("192.0.2.{number}"));
        leave_end_of_step(&verifier, interval);
        let code = fob.shown(verifier.now());
        assert_eq!(login.verdict(&code), Verdict::Allow, "{kind:?}");
        assert_eq!(login.verdict(&code), Verdict::Deny, "{kind:?}: the same step again");
        assert_eq!(login.verdict(&fob.wrong_code(verifier.now())), Verdict::Deny, "{kind:?}");
        verifier.clock.advance(interval.into());
        assert_eq!(login.verdict(&fob.shown(verifier.now())), Verdict::Allow, "{kind:?}: the next step");
        let token = postern::only_token(user);
        let shown = (token.algorithm.as_str(), token.digits, token.time_interval, token.state);
        assert_eq!(shown, (algorithm.name(), digits, Some(interval), TokenState::Associated));
    }
}

// covers: A1
#[test]
fn one_user_logs_in_by_ssh_with_tokens_of_several_kinds() {
    let _machine = Machine::new();
    let verifier = Verifier::start();
    let _sshd = Sshd::start();
    let fobs = [
        clock("2700000000001", 30, 0),
        clock("2700000000002", 60, 0).shaped(Algorithm::Sha256, 8),
        clock("2700000000003", 15, 0).shaped(Algorithm::Sha512, 7),
        clock("2700000000004", 300, 0).shaped(Algorithm::Sha512, 8),
        clock("2700000000005", 90, 0).shaped(Algorithm::Sha256, 6),
    ];
    fobs.iter().for_each(|fob| postern::add_token(fob, Some("alice")));
    let mut button = Fob::with_button("2600000000006").shaped(Algorithm::Sha512, 8).at_counter(41);
    postern::add_token(&button, Some("alice"));
    for fob in &fobs {
        let Pace::Clock { interval, .. } = fob.pace else { panic!("a clock") };
        leave_end_of_step(&verifier, interval);
        let code = fob.shown(verifier.now());
        ssh_login(ALICE, &code).logged_in();
        let shown = ssh_login(ALICE, &code).refused();
        assert!(shown.contains("already used"), "{}: {shown}", fob.serial);
    }
    ssh_login(ALICE, &button.press()).logged_in();
    let states: Vec<TokenState> = postern::user("alice").tokens.into_iter().map(|it| it.state).collect();
    assert_eq!(states, [TokenState::Associated; 6]);
}

// covers: A11
#[test]
fn of_every_period_one_step_each_way_is_in_and_two_are_out() {
    let machine = Machine::new();
    let verifier = Verifier::start();
    let users = machine.add_bare_users("drift", INTERVALS.len() * 5);
    let mut users = users.iter().enumerate();
    for interval in INTERVALS {
        for off in -2_i64..=2 {
            let (number, user) = users.next().expect("a user");
            let fob = clock(&format!("28{number:011}"), interval, off * i64::from(interval));
            postern::add_token(&fob, Some(user));
            leave_end_of_step(&verifier, interval);
            let login = Login::by_ssh(user).from(&format!("192.0.2.{number}"));
            let reply = login.attempt(&fob.shown(verifier.now())).expect("an answer");
            let allowed = matches!(reply.next, Next::Done { verdict: Verdict::Allow, .. });
            assert_eq!(allowed, off.abs() <= 1, "{interval} s, {off} steps off: {reply:?}");
            if allowed {
                check_window_after_drift(&verifier, user, &fob, interval);
            }
        }
    }
}

/// Around the drift that the token is known to have by now, the window is as wide as before.
fn check_window_after_drift(verifier: &Verifier, user: &str, fob: &Fob, interval: u32) {
    let login = Login::by_ssh(user).from("192.0.2.250");
    let drift = i64::from(postern::token(&fob.serial).time_drift.unwrap_or(0));
    verifier.clock.advance(4 * i64::from(interval));
    leave_end_of_step(verifier, interval);
    let plain = clock(&fob.serial, interval, 0);
    let middle = plain.step(verifier.now()).checked_add_signed(drift).expect("after 1970");
    let outside = login.attempt(&plain.value(middle + 2)).expect("an answer");
    assert!(
        !matches!(outside.next, Next::Done { verdict: Verdict::Allow, .. }),
        "{interval} s, known drift {drift}: two steps ahead of it"
    );
    assert_eq!(login.verdict(&plain.value(middle + 1)), Verdict::Allow, "{interval} s, known drift {drift}");
}

// covers: A8, A11
#[test]
fn a_clock_ten_steps_off_is_asked_for_its_next_code_and_eleven_are_refused() {
    let machine = Machine::new();
    let verifier = Verifier::start();
    let _sshd = Sshd::start();
    for (number, (interval, steps)) in [(30, 10), (30, -10), (60, 7)].into_iter().enumerate() {
        let fob = clock(&format!("29{number:011}"), interval, steps * i64::from(interval));
        postern::add_token(&clock(&fob.serial, interval, 0), None);
        let right = clock(&fob.serial, interval, 0);
        leave_end_of_step(&verifier, interval);
        // Associated while its clock was right; since then it has gone off.
        let code = right.shown(verifier.now());
        assert!(postern::associate(&fob.serial, "alice", &code).status.success());
        verifier.clock.advance(20 * i64::from(interval));
        leave_end_of_step(&verifier, interval);

        let mut terminal = sudo_up_to_code(&machine, ALICE);
        terminal.expect(QUESTION);
        terminal.type_line(&fob.shown(verifier.now()));
        terminal.expect(NEXT_CODE_QUESTION);
        verifier.clock.advance(interval.into());
        terminal.type_line(&fob.shown(verifier.now()));
        terminal.expect(IN_STEP_AGAIN);
        terminal.expect("root\r\n");
        assert_eq!(postern::token(&fob.serial).time_drift, Some(steps as i32));
        verifier.clock.advance(interval.into());
        ssh_login(ALICE, &fob.shown(verifier.now())).logged_in();
        postern::disassociate(&fob.serial);
    }

    let right = clock(SERIAL, 30, 0);
    postern::add_token(&right, Some("alice"));
    leave_end_of_step(&verifier, 30);
    ssh_login(ALICE, &right.shown(verifier.now())).logged_in();
    verifier.clock.advance(20 * 30);
    leave_end_of_step(&verifier, 30);
    let far = clock(SERIAL, 30, 11 * 30);
    let shown = ssh_login(ALICE, &far.shown(verifier.now())).refused();
    assert_eq!(postern::explain(&reference_in(&shown)).reason, "wrong_code");
}

// covers: A8, A10
#[test]
fn the_help_desk_finds_a_clock_that_is_hours_off_and_never_goes_back() {
    let _machine = Machine::new();
    let mut verifier = Verifier::start();
    let _sshd = Sshd::start();
    let fob = clock(SERIAL, 30, 900 * 30);
    let right = clock(SERIAL, 30, 0);
    postern::add_token(&right, Some("alice"));
    leave_end_of_step(&verifier, 30);
    ssh_login(ALICE, &right.shown(verifier.now())).logged_in();
    verifier.clock.advance(90);
    leave_end_of_step(&verifier, 30);

    let (first, second) = (fob.shown(verifier.now() - 30), fob.shown(verifier.now()));
    let output = resync(SERIAL, &first, &second);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(postern::token(SERIAL).time_drift, Some(900));
    for (first, second) in [(&first, &second), (&second, &first)] {
        assert_eq!(resync(SERIAL, first, second).status.code(), Some(WRONG_CODE), "both codes are used up");
    }
    // The clock is set right again: its codes lie before the last one accepted, and stay there for hours.
    let reply = Login::by_ssh("alice").attempt(&right.shown(verifier.now())).expect("an answer");
    assert_eq!(verdict(&reply), Verdict::Deny, "a step never goes back");
    let back = resync(SERIAL, &right.shown(verifier.now() - 30), &right.shown(verifier.now()));
    assert_eq!(back.status.code(), Some(WRONG_CODE), "{}", said(&back));

    verifier.stop();
    verifier.launch();
    verifier.clock.advance(30);
    let mut terminal = sshd::login_up_to_password(ALICE, system_tests::flows::SAY_WHO);
    terminal.expect(QUESTION);
    terminal.type_line(&fob.shown(verifier.now()));
    ssh_outcome(terminal).logged_in();
}
