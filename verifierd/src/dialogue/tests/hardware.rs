//! Hardware tokens at the prompt: association, look-ahead, re-sync, several tokens.

use std::time::Duration;

use ledger::StartState;
use wire::admin::{DisabledBy, EnrolWith, TokenState};
use wire::login::Verdict;

use crate::accounts::{Actor, UserName};
use crate::trial::{Asked, Fob, NOON, Trial, ended, root};

const SERIAL: &str = "2600123456789";

fn name(user: &str) -> UserName {
    UserName::new(user).unwrap()
}

/// A service with a HOTP token that is alice's, who has shown its code of counter 0.
async fn holder() -> (Trial, Fob) {
    let trial = Trial::new().await;
    let fob = Fob::hotp(SERIAL);
    trial.add(&fob, Some("alice")).await;
    assert_eq!(trial.login("alice", "sshd", &fob.code(0)).await.verdict, Verdict::Allow);
    (trial, fob)
}

/// A login whose code starts a re-sync.
async fn out_of_step(trial: &Trial, code: &str) -> Asked {
    let asked = trial.ask("alice", "sshd", None).await;
    let next = trial.go_on(&asked, code).await;
    assert_eq!(next.question, "Your token is out of step; type its next code: ");
    next
}

// covers: A3, A7
#[tokio::test]
async fn the_first_code_of_an_assigned_token_associates_it_and_shows_no_secret() {
    let trial = Trial::new().await;
    let fob = Fob::hotp(SERIAL);
    trial.add(&fob, Some("alice")).await;
    assert_eq!(trial.token_of(SERIAL).state(), TokenState::Assigned);
    let asked = trial.ask("alice", "sshd", None).await;
    assert_eq!((asked.show.as_str(), asked.empty_allowed), ("", false));
    let end = trial.answer(&asked, &fob.code(0)).await;
    assert_eq!((end.verdict, trial.reason(&end).as_str()), (Verdict::Allow, "activated"));
    assert_eq!(trial.token_of(SERIAL).state(), TokenState::Associated);
    assert_eq!(trial.token_of(SERIAL).value(), 1);
}

// covers: A7, A09
#[tokio::test]
async fn lost_presses_within_the_window_are_absorbed_and_never_work_again() {
    let (trial, fob) = holder().await;
    let end = trial.login("alice", "sshd", &fob.code(10)).await;
    assert_eq!(trial.explain(&end.reference).detail.as_deref(), Some("counter 10"));
    assert_eq!(trial.token_of(SERIAL).value(), 11);
    for counter in 0..=10 {
        let end = trial.login("alice", "sshd", &fob.code(counter)).await;
        assert_eq!((counter, end.verdict), (counter, Verdict::Deny));
    }
    assert_eq!(trial.token_of(SERIAL).value(), 11);
    assert_eq!(trial.login("alice", "sshd", &fob.code(11)).await.verdict, Verdict::Allow);
}

// covers: A8, A10
#[tokio::test]
async fn beyond_the_window_two_successive_codes_bring_the_token_back_into_step() {
    let (trial, fob) = holder().await;
    let next = out_of_step(&trial, &fob.code(11)).await;
    assert_eq!(trial.token_of(SERIAL).value(), 1, "nothing is used up yet");
    let end = trial.answer(&next, &fob.code(12)).await;
    assert_eq!((end.verdict, end.text.as_str()), (Verdict::Allow, "Your token is in step again."));
    assert_eq!(trial.token_of(SERIAL).value(), 13);
    for counter in [11, 12] {
        assert_eq!(trial.login("alice", "sshd", &fob.code(counter)).await.verdict, Verdict::Deny);
    }
    let next = out_of_step(&trial, &fob.code(13 + 1_000 - 1)).await;
    assert_eq!(trial.answer(&next, &fob.code(13 + 1_000)).await.verdict, Verdict::Allow);
    let end = trial.login("alice", "sshd", &fob.wrong_code()).await;
    assert_eq!((end.verdict, trial.reason(&end).as_str()), (Verdict::Deny, "wrong_code"));
}

// covers: A10
#[tokio::test]
async fn a_resync_needs_the_very_next_code_counts_as_attempts_and_never_goes_back() {
    let (trial, fob) = holder().await;
    for second in [20, 22, 19] {
        let next = out_of_step(&trial, &fob.code(20)).await;
        trial.advance(Duration::from_secs(60));
        let end = trial.answer(&next, &fob.code(second)).await;
        assert_eq!((second, end.verdict), (second, Verdict::Deny));
        trial.advance(Duration::from_secs(3600));
    }
    assert_eq!(trial.token_of(SERIAL).failures(), 6, "each code counts");
    let next = out_of_step(&trial, &fob.code(20)).await;
    trial.advance(Duration::from_secs(60));
    let late = out_of_step(&trial, &fob.code(15)).await;
    trial.advance(Duration::from_secs(60));
    assert_eq!(trial.answer(&next, &fob.code(21)).await.verdict, Verdict::Allow);
    assert_eq!(trial.answer(&late, &fob.code(16)).await.verdict, Verdict::Deny, "behind what was accepted");
    assert_eq!(trial.token_of(SERIAL).value(), 22);
}

// covers: A10
#[tokio::test]
async fn the_answers_of_a_resync_serve_one_login() {
    let (trial, fob) = holder().await;
    let next = out_of_step(&trial, &fob.code(20)).await;
    assert_eq!(trial.answer(&next, &fob.code(21)).await.verdict, Verdict::Allow);
    assert_eq!(trial.answer(&next, &fob.code(21)).await.verdict, Verdict::Deny);
}

// covers: A4, A9
#[tokio::test]
async fn a_serial_and_a_code_associate_a_token_at_the_prompt() {
    let trial = Trial::new().await;
    let fob = Fob::hotp(SERIAL);
    trial.add(&fob, None).await;
    let steward = &trial.service.dialogue.steward;
    steward.set_otp(name("alice"), true, EnrolWith::Token, root()).await.unwrap();
    let serial = trial.ask("alice", "sshd", None).await;
    assert_eq!(serial.question, "Serial number of your token: ");
    let code = trial.go_on(&serial, " 2600-1234 56789 ").await;
    assert_eq!(code.question, "One-time password: ");
    let end = trial.answer(&code, &fob.code(3)).await;
    let text = "Token 2600123456789 is yours now. From now on every login asks for a one-time password.";
    assert_eq!((end.verdict, end.text.as_str()), (Verdict::Allow, text));
    assert_eq!(trial.token_of(SERIAL).state(), TokenState::Associated);
    assert_eq!(trial.login("alice", "sshd", &fob.code(3)).await.verdict, Verdict::Deny);
    assert_eq!(trial.login("alice", "sshd", &fob.code(4)).await.verdict, Verdict::Allow);
    let trial = trial.restart(StartState::Clean).await;
    assert_eq!(trial.login("alice", "sshd", &fob.code(4)).await.verdict, Verdict::Deny);
    assert_eq!(trial.login("alice", "sshd", &fob.code(5)).await.verdict, Verdict::Allow);
}

// covers: A4, A8
#[tokio::test]
async fn a_token_far_out_of_step_is_associated_with_two_codes() {
    let trial = Trial::new().await;
    let fob = Fob::hotp(SERIAL);
    trial.add(&fob, None).await;
    let steward = &trial.service.dialogue.steward;
    steward.set_otp(name("alice"), true, EnrolWith::Token, root()).await.unwrap();
    let serial = trial.ask("alice", "sshd", None).await;
    let code = trial.go_on(&serial, SERIAL).await;
    let next = trial.go_on(&code, &fob.code(77)).await;
    assert_eq!(trial.answer(&next, &fob.code(78)).await.verdict, Verdict::Allow);
    assert_eq!(trial.token_of(SERIAL).value(), 79);
}

// covers: A4
#[tokio::test]
async fn wrong_serials_and_wrong_codes_are_refused_alike() {
    let trial = Trial::new().await;
    let (free, taken) = (Fob::hotp(SERIAL), Fob::hotp("2600000000001"));
    trial.add(&free, None).await;
    trial.add(&taken, Some("bob")).await;
    assert_eq!(trial.login("bob", "sshd", &taken.code(0)).await.verdict, Verdict::Allow);
    let steward = &trial.service.dialogue.steward;
    steward.set_otp(name("alice"), true, EnrolWith::Token, root()).await.unwrap();
    let far = free.wrong_code();
    let tries = [
        ("9999999999999", free.code(0), "serial_unknown"),
        ("2600000000001", taken.code(1), "token_taken"),
        (SERIAL, far, "wrong_code"),
    ];
    for (serial, code, reason) in tries {
        let asked = trial.ask("alice", "sshd", None).await;
        let question = trial.go_on(&asked, serial).await;
        assert_eq!((question.question.as_str(), question.show.as_str()), ("One-time password: ", ""));
        let end = trial.answer(&question, &code).await;
        assert_eq!((end.verdict, trial.reason(&end).as_str()), (Verdict::Deny, reason));
        assert_eq!(end.text, format!("Access denied. Reference {}.", end.reference));
    }
    assert_eq!(trial.token_of("2600000000001").failures(), 0, "nobody slows somebody else's token");
    assert_eq!(trial.login("bob", "sshd", &taken.code(1)).await.verdict, Verdict::Allow);
}

// covers: P2
#[tokio::test]
async fn several_tokens_have_their_own_counters_and_failures() {
    let (trial, fob) = holder().await;
    let second = Fob::hotp("2600000000002");
    trial.advance(Duration::from_secs(1));
    trial.add(&second, Some("alice")).await;
    assert_eq!(trial.login("alice", "sshd", &second.code(0)).await.verdict, Verdict::Allow);
    assert_eq!(trial.login("alice", "sshd", &fob.code(1)).await.verdict, Verdict::Allow);
    assert_eq!((trial.token_of(SERIAL).value(), trial.token_of("2600000000002").value()), (2, 1));
    trial.login("alice", "sshd", "000").await;
    assert_eq!(trial.login("alice", "sshd", &fob.code(2)).await.verdict, Verdict::Allow);
    assert_eq!((trial.token_of(SERIAL).failures(), trial.token_of("2600000000002").failures()), (0, 1));
}

// covers: A9, P2
#[tokio::test]
async fn without_his_last_token_a_user_needs_no_code_and_cannot_bring_that_about_himself() {
    let (trial, fob) = holder().await;
    let steward = &trial.service.dialogue.steward;
    let own = steward
        .disassociate(SERIAL.into(), trial.token_of(SERIAL).record.user, Actor::owner("alice (user)"))
        .await;
    assert!(own.unwrap_err().to_string().contains("your last one"));
    let gone = steward.disassociate(SERIAL.into(), None, root()).await.unwrap();
    assert_eq!((gone.wiped, gone.otp_on), (false, false));
    assert_eq!(ended(trial.begin("alice", "sshd", None).await).verdict, Verdict::NotRequired);
    assert_eq!(trial.token_of(SERIAL).state(), TokenState::Available);
    // In the next hand its counter goes on.
    let steward = &trial.service.dialogue.steward;
    steward.assign(SERIAL.into(), name("bob"), root()).await.unwrap();
    assert_eq!(trial.login("bob", "sshd", &fob.code(0)).await.verdict, Verdict::Deny);
    assert_eq!(trial.login("bob", "sshd", &fob.code(1)).await.verdict, Verdict::Allow);
}

// covers: A9
#[tokio::test]
async fn where_a_token_is_required_the_next_login_associates_one() {
    let trial = Trial::with_config("version = 1\n[access]\nrequire_token = true").await;
    let fob = Fob::hotp(SERIAL);
    trial.add(&fob, Some("alice")).await;
    assert_eq!(trial.login("alice", "sshd", &fob.code(0)).await.verdict, Verdict::Allow);
    trial.service.dialogue.steward.disassociate(SERIAL.into(), None, root()).await.unwrap();
    let serial = trial.ask("alice", "sshd", None).await;
    let code = trial.go_on(&serial, SERIAL).await;
    assert_eq!(trial.answer(&code, &fob.code(1)).await.verdict, Verdict::Allow);
}

// covers: A2, A16
#[tokio::test]
async fn a_disabled_or_lost_token_opens_nothing_until_it_is_enabled() {
    let (trial, fob) = holder().await;
    let waiting = trial.ask("alice", "sshd", None).await;
    let steward = &trial.service.dialogue.steward;
    steward.lose(SERIAL.into(), None, root()).await.unwrap();
    let end = trial.answer(&waiting, &fob.code(1)).await;
    assert_eq!((end.verdict, trial.reason(&end).as_str()), (Verdict::Deny, "token_lost"));
    assert!(steward.disable(SERIAL.into(), root()).await.is_err(), "lost is more than disabled");
    steward.enable(SERIAL.into(), root()).await.unwrap();
    assert_eq!(trial.login("alice", "sshd", &fob.code(1)).await.verdict, Verdict::Allow);
    steward.disable(SERIAL.into(), root()).await.unwrap();
    let end = trial.login("alice", "sshd", &fob.code(2)).await;
    assert_eq!((end.verdict, trial.reason(&end).as_str()), (Verdict::Deny, "token_disabled"));
    assert_eq!(trial.token_of(SERIAL).disabled_by(), Some(DisabledBy::Administrator));
    assert_eq!(trial.token_of(SERIAL).value(), 2);
}

// covers: A21
#[tokio::test]
async fn wrong_codes_lock_a_token_without_moving_it_and_unlock_brings_it_back() {
    let (trial, fob) = holder().await;
    for _ in 0..100 {
        trial.advance(Duration::from_secs(3600));
        trial.login("alice", "sshd", &fob.wrong_code()).await;
        trial.login("alice", "sshd", "00000").await;
    }
    assert_eq!(trial.token_of(SERIAL).disabled_by(), Some(DisabledBy::WrongCodes));
    assert_eq!(trial.token_of(SERIAL).value(), 1);
    trial.advance(Duration::from_secs(3600));
    assert_eq!(trial.login("alice", "sshd", &fob.code(1)).await.verdict, Verdict::Deny);
    trial.advance(Duration::from_secs(3600));
    let unlocked = trial.service.dialogue.engine.unlock(name("alice"), root()).await.unwrap();
    assert_eq!(unlocked.tokens_enabled, [SERIAL]);
    assert!(unlocked.counts_cleared >= 1);
    assert_eq!(trial.login("alice", "sshd", &fob.code(1)).await.verdict, Verdict::Allow);
    let trial = trial.restart(StartState::Clean).await;
    assert_eq!(trial.login("alice", "sshd", &fob.code(2)).await.verdict, Verdict::Allow);
}

// covers: B11
#[tokio::test]
async fn prompts_that_were_open_when_the_token_was_locked_accept_nothing() {
    let (trial, fob) = holder().await;
    for _ in 0..97 {
        trial.advance(Duration::from_secs(3600));
        trial.login("alice", "sshd", "00000").await;
    }
    trial.advance(Duration::from_secs(3600));
    let mut waiting = Vec::new();
    for _ in 0..5 {
        waiting.push(trial.ask("alice", "sshd", None).await);
    }
    for _ in 0..3 {
        trial.login_from("alice", "sshd", Some("192.0.2.7"), "00000").await;
    }
    assert_eq!(trial.token_of(SERIAL).state(), TokenState::Disabled);
    for asked in waiting {
        assert_eq!(trial.answer(&asked, &fob.code(1)).await.verdict, Verdict::Deny);
    }
}

// covers: A11
#[tokio::test]
async fn a_token_whose_clock_is_off_is_resynchronized_and_its_drift_kept() {
    let trial = Trial::new().await;
    let fob = Fob::totp(SERIAL);
    trial.add(&fob, Some("alice")).await;
    let now = NOON / 30;
    let next = out_of_step(&trial, &fob.code(now + 8)).await;
    assert_eq!(trial.answer(&next, &fob.code(now + 9)).await.verdict, Verdict::Allow);
    assert_eq!(trial.token_of(SERIAL).record.time_drift, 9);
    assert_eq!(trial.login("alice", "sshd", &fob.code(now + 9)).await.verdict, Verdict::Deny);
    assert_eq!(trial.login("alice", "sshd", &fob.code(now + 10)).await.verdict, Verdict::Allow);
    let trial = trial.restart(StartState::Clean).await;
    trial.advance(Duration::from_secs(60));
    assert_eq!(trial.login("alice", "sshd", &fob.code(now + 11)).await.verdict, Verdict::Allow);
    let end = trial.login("alice", "sshd", &fob.code(now + 30)).await;
    assert_eq!((end.verdict, trial.reason(&end).as_str()), (Verdict::Deny, "wrong_code"));
}

// covers: A8
#[tokio::test]
async fn after_an_unclean_stop_a_counting_token_needs_two_codes_once() {
    let (trial, fob) = holder().await;
    let trial = trial.restart(StartState::Unclean).await;
    let trial = trial.restart(StartState::Clean).await;
    let next = out_of_step(&trial, &fob.code(1)).await;
    assert_eq!(trial.answer(&next, &fob.code(2)).await.verdict, Verdict::Allow);
    assert_eq!(trial.login("alice", "sshd", &fob.code(3)).await.verdict, Verdict::Allow);
    let trial = trial.restart(StartState::Clean).await;
    assert_eq!(trial.login("alice", "sshd", &fob.code(4)).await.verdict, Verdict::Allow);
}

// covers: I11
#[tokio::test]
async fn enrolment_at_the_prompt_ends_when_policy_says_so() {
    let trial = Trial::with_config("version = 1\n[enrolment]\nopen_for = \"1h\"").await;
    trial.set_otp("alice", true).await;
    trial.advance(Duration::from_secs(3599));
    let shown = trial.ask("alice", "sshd", None).await;
    trial.advance(Duration::from_secs(1));
    // Asked like everybody else; even the right code of the secret that was shown opens nothing any more.
    let key = crate::trial::secret_shown(&shown.show);
    let end = trial.login("alice", "sshd", &trial.code(&key, 0)).await;
    assert_eq!((end.verdict, trial.reason(&end).as_str()), (Verdict::Deny, "enrolment_closed"));
    trial.set_otp("alice", false).await;
    trial.set_otp("alice", true).await;
    assert!(trial.ask("alice", "sshd", None).await.show.contains("Secret key: "));
}

// covers: I11
#[tokio::test]
async fn a_token_that_he_was_given_works_also_when_the_time_to_enrol_an_app_is_over() {
    let trial = Trial::with_config("version = 1\n[enrolment]\nopen_for = \"1h\"").await;
    trial.set_otp("alice", true).await;
    trial.advance(Duration::from_secs(7200));
    let fob = Fob::hotp(SERIAL);
    trial.add(&fob, Some("alice")).await;
    assert_eq!(trial.login("alice", "sshd", &fob.code(0)).await.verdict, Verdict::Allow);
}

// covers: I11
#[tokio::test]
async fn whoever_has_a_token_is_shown_no_secret_of_a_second_one() {
    let (trial, _fob) = holder().await;
    let app = crate::accounts::NewToken {
        user: Some(name("alice")),
        serial: None,
        parameters: crate::accounts::TokenParameters::default(),
        secret: None,
        counter: 0,
    };
    let refused = trial.service.dialogue.steward.add_token(app, root()).await.unwrap_err();
    assert!(refused.to_string().contains("alice has a token already"), "{refused}");
}

// covers: A08
#[tokio::test]
async fn codes_at_the_same_moment_and_out_of_order_are_each_accepted_at_most_once() {
    let (trial, fob) = holder().await;
    let mut next = 1;
    for round in 0..100 {
        let mut asked = Vec::new();
        for _ in 0..6 {
            asked.push(trial.ask("alice", "sshd", None).await);
        }
        let codes: Vec<_> = [2, 0, 1, 0, 1, 2].iter().map(|ahead| fob.code(next + ahead)).collect();
        let (a, b, c, d, e, f) = tokio::join!(
            trial.answer(&asked[0], &codes[0]),
            trial.answer(&asked[1], &codes[1]),
            trial.answer(&asked[2], &codes[2]),
            trial.answer(&asked[3], &codes[3]),
            trial.answer(&asked[4], &codes[4]),
            trial.answer(&asked[5], &codes[5]),
        );
        let mut accepted: Vec<_> = [a, b, c, d, e, f]
            .iter()
            .zip(&codes)
            .filter(|(end, _)| end.verdict == Verdict::Allow)
            .map(|(_, code)| code.clone())
            .collect();
        let count = accepted.len();
        accepted.sort();
        accepted.dedup();
        assert_eq!((round, accepted.len()), (round, count), "no code twice");
        assert!(count >= 1);
        let value = trial.token_of(SERIAL).value();
        assert!(value > next && value <= next + 3, "{next} then {value}");
        next = value;
        trial.advance(Duration::from_secs(60));
    }
}
