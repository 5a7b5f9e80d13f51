//! What happens to a login when the user's tokens change around it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use ledger::StartState;
use wire::admin::EnrolWith;
use wire::login::Verdict;

use crate::accounts::UserName;
use crate::trial::{Fob, NOON, Trial, root, secret_shown};

const SERIAL: &str = "2600123456789";

fn name(user: &str) -> UserName {
    UserName::new(user).unwrap()
}

/// Alice has an app that she never activated, and then a hardware token that she uses.
async fn app_then_token() -> (Trial, Fob, otp_core::OtpKey) {
    let trial = Trial::new().await;
    let app = trial.enrol("alice").await;
    let fob = Fob::hotp(SERIAL);
    trial.add(&fob, Some("alice")).await;
    assert_eq!(trial.login("alice", "sshd", &fob.code(0)).await.verdict, Verdict::Allow);
    (trial, fob, app)
}

// covers: I11
#[tokio::test]
async fn the_first_proved_token_ends_an_enrolment_that_only_the_password_opened() {
    let (trial, _fob, app) = app_then_token().await;
    let tokens = &trial.service.dialogue.accounts.users()[0].tokens;
    assert_eq!(tokens.iter().map(|token| token.record.serial.as_str()).collect::<Vec<_>>(), [SERIAL]);
    trial.advance(Duration::from_secs(3 * 86_400));
    assert_eq!(trial.login("alice", "sshd", &trial.code(&app, 0)).await.verdict, Verdict::Deny);
}

// covers: I11, T5
#[tokio::test]
async fn no_secret_is_shown_and_no_grace_given_because_a_proved_token_stopped_working() {
    let (trial, fob, _app) = app_then_token().await;
    let steward = &trial.service.dialogue.steward;
    for round in 0..3 {
        match round {
            0 => steward.lose(SERIAL.into(), None, root()).await.map(drop).unwrap(),
            1 => steward.disable(SERIAL.into(), root()).await.map(drop).unwrap(),
            _ => {
                for _ in 0..100 {
                    trial.advance(Duration::from_secs(3600));
                    trial.login("alice", "sshd", "00000").await;
                }
                trial.advance(Duration::from_secs(3600));
            }
        }
        let asked = trial.ask("alice", "sshd", None).await;
        assert_eq!((round, asked.show.as_str(), asked.empty_allowed), (round, "", false));
        assert_eq!(trial.answer(&asked, &fob.code(1)).await.verdict, Verdict::Deny);
        trial.advance(Duration::from_secs(3600));
        let app = crate::accounts::NewToken {
            user: Some(name("alice")),
            serial: None,
            parameters: crate::accounts::TokenParameters::default(),
            secret: None,
            counter: 0,
        };
        assert!(steward.add_token(app, root()).await.is_err(), "a second grace, and a secret for a password");
        steward.enable(SERIAL.into(), root()).await.unwrap();
    }
}

// covers: I11, T6
#[tokio::test]
async fn a_question_with_grace_is_over_when_another_token_was_proved() {
    let trial = Trial::new().await;
    trial.enrol("alice").await;
    let waiting = trial.ask("alice", "sshd", None).await;
    assert!(waiting.empty_allowed);
    let fob = Fob::hotp(SERIAL);
    trial.add(&fob, Some("alice")).await;
    assert_eq!(trial.login("alice", "sshd", &fob.code(0)).await.verdict, Verdict::Allow);
    assert_eq!(trial.answer(&waiting, "").await.verdict, Verdict::Deny);
}

// covers: I11
#[tokio::test]
async fn a_question_for_a_serial_is_over_when_its_user_got_a_token() {
    let trial = Trial::new().await;
    let (mine, spare) = (Fob::hotp(SERIAL), Fob::hotp("2600000000002"));
    trial.add(&mine, None).await;
    trial.add(&spare, None).await;
    let steward = &trial.service.dialogue.steward;
    steward.set_otp(name("alice"), true, EnrolWith::Token, root()).await.unwrap();
    let held = trial.go_on(&trial.ask("alice", "sshd", None).await, "2600000000002").await;
    let own = trial.go_on(&trial.ask("alice", "sshd", None).await, SERIAL).await;
    assert_eq!(trial.answer(&own, &mine.code(0)).await.verdict, Verdict::Allow);
    assert_eq!(trial.answer(&held, &spare.code(0)).await.verdict, Verdict::Deny);
    assert_eq!(trial.token_of("2600000000002").record.user, None);
}

// covers: E24
#[tokio::test]
async fn what_is_typed_as_a_serial_number_stands_in_no_record() {
    let trial = Trial::new().await;
    let steward = &trial.service.dialogue.steward;
    steward.set_otp(name("alice"), true, EnrolWith::Token, root()).await.unwrap();
    let asked = trial.go_on(&trial.ask("alice", "sshd", None).await, "hunter2Passw0rd!").await;
    let end = trial.answer(&asked, "123456").await;
    assert_eq!(trial.reason(&end), "serial_unknown");
    let trail = serde_json::to_string(&trial.audit()).unwrap();
    assert!(!trail.contains("hunter2"), "{trail}");
}

// covers: A4
#[tokio::test]
async fn a_serial_with_dashes_can_be_typed_with_and_without_more_of_them() {
    for typed in ["FT-1 00", "FT-100", " FT-100 "] {
        let trial = Trial::new().await;
        let fob = Fob::hotp("FT-100");
        trial.add(&fob, None).await;
        let steward = &trial.service.dialogue.steward;
        steward.set_otp(name("alice"), true, EnrolWith::Token, root()).await.unwrap();
        let code = trial.go_on(&trial.ask("alice", "sshd", None).await, typed).await;
        let expected = if typed.contains("1 ") { Verdict::Deny } else { Verdict::Allow };
        assert_eq!(trial.answer(&code, &fob.code(0)).await.verdict, expected, "{typed}");
    }
}

// covers: A14
#[tokio::test]
async fn whoever_is_asked_for_a_serial_can_type_a_recovery_code() {
    let trial = Trial::new().await;
    let steward = &trial.service.dialogue.steward;
    steward.set_otp(name("alice"), true, EnrolWith::Token, root()).await.unwrap();
    let codes = steward.make_recovery_codes(name("alice"), root()).await.unwrap();
    let end = trial.login("alice", "sshd", &codes[0].expose()).await;
    assert_eq!((end.verdict, trial.reason(&end).as_str()), (Verdict::Allow, "recovery_code"));
}

// covers: G07
#[tokio::test]
async fn while_the_store_is_short_no_earlier_question_lets_in_without_a_code() {
    let trial = Trial::new().await;
    trial.enrol("alice").await;
    let waiting = trial.ask("alice", "sshd", None).await;
    assert!(waiting.empty_allowed);
    trial.service.dialogue.has_loss.store(true, Ordering::SeqCst);
    let end = trial.answer(&waiting, "").await;
    assert_eq!((end.verdict, trial.reason(&end).as_str()), (Verdict::Unavailable, "store_short"));
}

// covers: A11
#[tokio::test]
async fn a_token_of_known_drift_is_resynchronized_around_it() {
    let trial = Trial::new().await;
    let fob = Fob::totp(SERIAL);
    trial.add(&fob, Some("alice")).await;
    let now = NOON / 30;
    let wish = crate::engine::Resynchronization {
        occasion: crate::engine::Occasion::administration("token_resynchronized", "alice", root()),
        request: [7; 16],
        user: trial.service.dialogue.accounts.find(&name("alice")),
        serial: SERIAL.into(),
        code: zeroize::Zeroizing::new(fob.code(now + 100)),
        next_code: zeroize::Zeroizing::new(fob.code(now + 101)),
        reach: 1_000,
    };
    assert_eq!(trial.service.dialogue.engine.resynchronize(wish).await.verdict, Verdict::Allow);
    assert_eq!(trial.token_of(SERIAL).record.time_drift, 101);
    let next = trial.go_on(&trial.ask("alice", "sshd", None).await, &fob.code(now + 106)).await;
    assert_eq!(trial.answer(&next, &fob.code(now + 107)).await.verdict, Verdict::Allow);
    assert_eq!(trial.token_of(SERIAL).record.time_drift, 107);
}

// covers: P6
#[tokio::test]
async fn a_recovery_code_sent_again_after_a_restart_gets_its_first_verdict() {
    let trial = Trial::new().await;
    trial.activate("alice").await;
    let steward = &trial.service.dialogue.steward;
    let codes = steward.make_recovery_codes(name("alice"), root()).await.unwrap();
    let code = codes[0].expose();
    let (asked, id) = (trial.ask("alice", "sshd", None).await, trial.request_id());
    let first = trial.proceed(&id, &asked.state, &code).await.unwrap();
    assert_eq!(crate::trial::ended(first).verdict, Verdict::Allow);
    let trial = trial.restart(StartState::Clean).await;
    let again = trial.proceed(&id, &asked.state, &code).await.unwrap();
    assert_eq!(crate::trial::ended(again).verdict, Verdict::Allow);
    assert_eq!(trial.login("alice", "sshd", &code).await.verdict, Verdict::Deny);
}

// covers: T5
#[tokio::test]
async fn the_secret_that_is_shown_is_that_of_the_token_that_waits() {
    let trial = Trial::new().await;
    let key = trial.enrol("alice").await;
    let again = trial.ask("alice", "sshd", None).await;
    let factor = NOON / 30;
    assert_eq!(*secret_shown(&again.show).value(factor).expose(), *key.value(factor).expose());
}

// covers: A4
#[tokio::test]
async fn a_serial_of_the_form_of_a_recovery_code_is_a_serial() {
    let trial = Trial::new().await;
    let fob = Fob::hotp("2600123456789012");
    trial.add(&fob, None).await;
    let steward = &trial.service.dialogue.steward;
    steward.set_otp(name("alice"), true, EnrolWith::Token, root()).await.unwrap();
    steward.make_recovery_codes(name("alice"), root()).await.unwrap();
    let code = trial.go_on(&trial.ask("alice", "sshd", None).await, "2600123456789012").await;
    assert_eq!(trial.answer(&code, &fob.code(0)).await.verdict, Verdict::Allow);
}

// covers: I11
#[tokio::test]
async fn an_app_whose_time_is_over_stays_closed_when_a_token_is_assigned() {
    let trial = Trial::with_config("version = 1\n[enrolment]\nopen_for = \"1h\"").await;
    let app = trial.enrol("alice").await;
    trial.advance(Duration::from_secs(7200));
    let fob = Fob::hotp(SERIAL);
    trial.add(&fob, Some("alice")).await;
    assert_eq!(trial.login("alice", "sshd", &trial.code(&app, 0)).await.verdict, Verdict::Deny);
    assert_eq!(trial.login("alice", "sshd", &fob.code(0)).await.verdict, Verdict::Allow);
}

#[tokio::test]
async fn an_app_that_ends_with_another_tokens_first_code_leaves_a_record() {
    let (trial, _fob, _app) = app_then_token().await;
    let told = trial.audit().into_iter().find(|record| record.event == "token_disassociated").unwrap();
    assert_eq!((told.user.as_deref(), told.reason.as_str()), (Some("alice"), "policy"));
    assert!(told.detail.unwrap().contains("another token showed its first code"));
}
