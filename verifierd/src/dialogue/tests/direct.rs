use std::borrow::Cow;

use wire::verify::{Verified, Verify};

use super::*;
use crate::accounts::UserName;
use crate::trial::Fob;

/// A request with an id of its own.
fn request<'a>(trial: &Trial, user: &'a str, code: &'a str) -> Verify<'a> {
    Verify {
        request_id: Cow::Owned(trial.request_id()),
        user: user.into(),
        service: "vpn".into(),
        rhost: Some("192.0.2.1".into()),
        code: code.into(),
    }
}

async fn verify<'a>(trial: &Trial, request: Verify<'a>) -> Verified<'a> {
    trial.service.dialogue.verify(request, None).await.unwrap()
}

async fn verdict(trial: &Trial, user: &str, code: &str) -> Verdict {
    verify(trial, request(trial, user, code)).await.verdict
}

// covers: T9, P5
#[tokio::test]
async fn a_code_is_accepted_once_and_both_answers_are_recorded() {
    let trial = Trial::new().await;
    let key = trial.activate("alice").await;
    let code = trial.code(&key, 0);
    let first = verify(&trial, request(&trial, "alice", &code)).await;
    assert_eq!((first.verdict, first.message), (Verdict::Allow, None));
    let record = trial.explain(&first.reference);
    assert_eq!((record.reason.as_str(), record.service.as_deref()), ("accepted", Some("vpn")));
    let again = verify(&trial, request(&trial, "alice", &code)).await;
    assert_eq!(again.verdict, Verdict::Deny);
    assert!(again.message.unwrap().starts_with("That one-time password was already used."));
    assert_eq!(trial.explain(&again.reference).reason, "replayed");
}

// covers: P6
#[tokio::test]
async fn a_request_that_comes_again_gets_its_first_verdict_and_claims_nothing() {
    let trial = Trial::new().await;
    let key = trial.activate("alice").await;
    let (code, wrong) = (trial.code(&key, 0), trial.wrong_code(&key));
    let accepted = request(&trial, "alice", &code);
    let first = verify(&trial, accepted.clone()).await;
    let records = trial.audit().len();
    let again = verify(&trial, accepted.clone()).await;
    assert_eq!((again.verdict, &again.reference), (Verdict::Allow, &first.reference));
    let refused = request(&trial, "alice", &wrong);
    let [one, other] =
        [verify(&trial, refused.clone()).await, verify(&trial, refused).await].map(|told| told.reference);
    assert_eq!((one, trial.audit().len()), (other, records + 1));
    // The same id with another code is another request.
    let altered = Verify { code: wrong.as_str().into(), ..accepted };
    assert_eq!(verify(&trial, altered).await.verdict, Verdict::Deny);
}

// covers: P6, F12
#[tokio::test]
async fn a_request_that_was_accepted_comes_again_though_guesses_came_between() {
    let trial = Trial::new().await;
    let key = trial.activate("alice").await;
    let code = trial.code(&key, 0);
    let accepted = request(&trial, "alice", &code);
    assert_eq!(verify(&trial, accepted.clone()).await.verdict, Verdict::Allow);
    for guess in guesses(&trial, &key, 6) {
        assert_eq!(verdict(&trial, "alice", &guess).await, Verdict::Deny);
    }
    assert_eq!(verify(&trial, accepted).await.verdict, Verdict::Allow);
    let next = trial.code(&key, 1);
    let told = verify(&trial, request(&trial, "alice", &next)).await;
    assert!(told.message.unwrap().starts_with("Too many attempts."), "the retry took nothing off the count");
}

// covers: P6, F12
#[tokio::test]
async fn a_request_twice_in_a_batch_behind_guesses_gets_one_verdict() {
    let trial = Trial::new().await;
    let key = trial.activate("alice").await;
    let (code, wrong) = (trial.code(&key, 0), guesses(&trial, &key, 4));
    let right = request(&trial, "alice", &code);
    let mut asked: Vec<_> = wrong.iter().map(|code| request(&trial, "alice", code)).collect();
    asked.extend([right.clone(), right]);
    let told = trial.service.dialogue.verify_batch(asked, None).await.unwrap();
    assert_eq!([4, 5].map(|which: usize| told[which].verdict), [Verdict::Allow; 2]);
}

// covers: P6
#[tokio::test]
async fn a_refusal_stays_one_when_its_request_comes_again_in_better_times() {
    let trial = Trial::new().await;
    let key = trial.activate("alice").await;
    for _ in 0..5 {
        assert_eq!(verdict(&trial, "alice", &trial.wrong_code(&key)).await, Verdict::Deny);
    }
    let code = trial.code(&key, 0);
    let throttled = request(&trial, "alice", &code);
    let told = verify(&trial, throttled.clone()).await;
    assert!(told.message.unwrap().starts_with("Too many attempts."));
    trial.advance(std::time::Duration::from_secs(2));
    assert_eq!(verify(&trial, throttled).await.verdict, Verdict::Deny);
    assert_eq!(verdict(&trial, "alice", &code).await, Verdict::Allow);
}

// covers: A05, A08
#[tokio::test]
async fn of_many_requests_at_once_each_code_wins_once() {
    let trial = Trial::new().await;
    let key = trial.activate("alice").await;
    let fob = Fob::hotp("H1");
    trial.add(&fob, Some("bob")).await;
    assert_eq!(verdict(&trial, "bob", &fob.code(0)).await, Verdict::Allow);
    let codes = [trial.code(&key, 0), fob.code(1), fob.code(2)];
    let users = ["alice", "bob", "bob"];
    let asked = (0..60).map(|n| request(&trial, users[n % 3], &codes[n % 3])).collect();
    let told = trial.service.dialogue.verify_batch(asked, None).await.unwrap();
    let wins = |which: usize| told.iter().skip(which).step_by(3).filter(|one| one.verdict == Verdict::Allow);
    assert_eq!([0, 1, 2].map(|which| wins(which).count()), [1, 1, 1]);
    assert!(told.iter().enumerate().all(|(n, one)| one.user == users[n % 3]));
    assert_eq!(trial.token_of("H1").value(), 3);
}

// covers: A20
#[tokio::test]
async fn whoever_is_unknown_or_needs_a_dialogue_is_denied_alike() {
    let trial = Trial::new().await;
    let key = trial.activate("alice").await;
    trial.set_otp("bob", true).await;
    let wrong = trial.wrong_code(&key);
    for user in ["alice", "bob", "carol", "alice ", ""] {
        let told = verify(&trial, request(&trial, user, &wrong)).await;
        assert_eq!(told.verdict, Verdict::Deny, "{user:?}");
        assert!(told.message.unwrap().starts_with("Access denied."), "{user:?}");
    }
}

#[tokio::test]
async fn a_batch_with_a_malformed_request_decides_nothing() {
    let trial = Trial::new().await;
    let key = trial.activate("alice").await;
    let code = trial.code(&key, 0);
    let malformed = Verify { request_id: "1".into(), ..request(&trial, "alice", &code) };
    let asked = vec![request(&trial, "alice", &code), malformed];
    assert!(trial.service.dialogue.verify_batch(asked, None).await.is_err());
    assert_eq!(verdict(&trial, "alice", &code).await, Verdict::Allow);
}

// covers: F10
#[tokio::test]
async fn a_batch_has_32_codes_on_the_long_way_at_once() {
    let trial = Trial::new().await;
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let asked = (0..100).map(|_| request(&trial, "nobody", "123456")).collect();
    let mut batch = std::pin::pin!(trial.service.dialogue.verify_batch(asked, None));
    tokio::select! {
        biased;
        _ = &mut batch => panic!("refusals take their time"),
        () = std::future::ready(()) => {}
    }
    assert_eq!(tasks() - before, 32);
    assert!(batch.await.unwrap().iter().all(|told| told.verdict == Verdict::Deny));
}

// covers: G02
#[tokio::test]
async fn what_the_ledger_does_not_answer_for_is_no_accept() {
    let trial = Trial::new().await;
    let key = trial.activate("alice").await;
    let code = trial.code(&key, 0);
    for (fate, told) in [
        (Fate::LoseEntries, Verdict::Unavailable),
        (Fate::Refuse(ledger::Refusal::StorageFull), Verdict::Unavailable),
        (Fate::Refuse(ledger::Refusal::Busy), Verdict::Unavailable),
        (Fate::Decide, Verdict::Allow),
    ] {
        trial.ledger.set_fate(fate);
        assert_eq!(verdict(&trial, "alice", &code).await, told);
    }
}

// covers: A16
#[tokio::test]
async fn a_token_that_is_disabled_while_its_code_is_on_its_way_lets_nobody_in() {
    let trial = Trial::new().await;
    let key = trial.activate("alice").await;
    let serial = trial.token().record.serial.clone();
    trial.service.dialogue.steward.disable(serial, root()).await.unwrap();
    let code = trial.code(&key, 0);
    let told = verify(&trial, request(&trial, "alice", &code)).await;
    assert_eq!(told.verdict, Verdict::Deny);
    assert_eq!(trial.explain(&told.reference).reason, "token_disabled");
}

// covers: G03, P5
#[tokio::test]
async fn a_refusal_that_could_not_be_recorded_is_not_told_of_again() {
    let trial = Trial::new().await;
    let key = trial.activate("alice").await;
    let (code, later) = (trial.code(&key, 0), trial.code(&key, 1));
    assert_eq!(verdict(&trial, "alice", &later).await, Verdict::Allow);
    trial.ledger.set_fate(Fate::Refuse(ledger::Refusal::StorageFull));
    assert_eq!(verdict(&trial, "alice", &code).await, Verdict::Unavailable);
    trial.ledger.set_fate(Fate::Decide);
    let told = verify(&trial, request(&trial, "alice", &code)).await;
    assert_eq!(told.verdict, Verdict::Deny);
    assert_eq!(trial.explain(&told.reference).reason, "replayed");
}

/// Wrong codes, many and each another.
fn guesses(trial: &Trial, key: &otp_core::OtpKey, count: usize) -> Vec<String> {
    let near: Vec<_> = (-15..15).map(|offset| trial.code(key, offset)).collect();
    (0..).map(|n| format!("{n:06}")).filter(|code| !near.contains(code)).take(count).collect()
}

// covers: B03
#[tokio::test]
async fn guesses_that_come_at_once_do_not_outrun_the_count() {
    let trial = Trial::new().await;
    let key = trial.activate("alice").await;
    let mut codes = guesses(&trial, &key, 200);
    // The right one comes last: it would be seen if the throttles let everything in.
    codes.push(trial.code(&key, 0));
    let before = trial.evaluated();
    let asked = codes.iter().map(|code| request(&trial, "alice", code)).collect();
    let told = trial.service.dialogue.verify_batch(asked, None).await.unwrap();
    assert!(told.iter().all(|one| one.verdict == Verdict::Deny));
    assert_eq!(trial.evaluated() - before, 5);
}

// covers: B03
#[tokio::test]
async fn many_right_codes_at_once_from_one_new_address_are_all_accepted() {
    let trial = Trial::new().await;
    let mut keys = Vec::new();
    for user in (0..60).map(|number| format!("user{number}")) {
        keys.push((trial.activate(&user).await, user));
    }
    let codes: Vec<_> = keys.iter().map(|(key, user)| (trial.code(key, 0), user)).collect();
    let asked = codes.iter().map(|(code, user)| request(&trial, user, code)).collect();
    let told = trial.service.dialogue.verify_batch(asked, None).await.unwrap();
    assert_eq!(told.iter().filter(|one| one.verdict == Verdict::Allow).count(), 60);
}

// covers: B15
#[tokio::test]
async fn refusals_at_once_are_told_by_one_record() {
    let trial = Trial::new().await;
    let key = trial.activate("alice").await;
    for code in guesses(&trial, &key, 5) {
        verdict(&trial, "alice", &code).await;
    }
    let records = trial.audit().len();
    let codes = guesses(&trial, &key, 250);
    let asked = codes.iter().map(|code| request(&trial, "alice", code)).collect();
    let told = trial.service.dialogue.verify_batch(asked, None).await.unwrap();
    assert!(told.iter().all(|one| one.verdict == Verdict::Deny && one.reference == told[0].reference));
    assert_eq!(trial.audit().len(), records + 1);
    trial.advance(std::time::Duration::from_secs(1));
    let next = verify(&trial, request(&trial, "alice", &codes[0])).await;
    assert_ne!(next.reference, told[0].reference);
}

// covers: P6, F12
#[tokio::test]
async fn a_code_that_was_too_early_is_not_right_when_its_request_comes_again() {
    let trial = Trial::new().await;
    let key = trial.activate("alice").await;
    let early = trial.code(&key, 2);
    let asked = request(&trial, "alice", &early);
    assert_eq!(verify(&trial, asked.clone()).await.verdict, Verdict::Deny);
    trial.service.dialogue.engine.unlock(UserName::new("alice").unwrap(), root()).await.unwrap();
    trial.advance(std::time::Duration::from_secs(50));
    assert_eq!(verify(&trial, asked).await.verdict, Verdict::Deny);
    assert_eq!(verdict(&trial, "alice", &early).await, Verdict::Allow);
}
