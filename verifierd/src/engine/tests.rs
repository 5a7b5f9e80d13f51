use std::sync::Arc;
use std::time::Duration;

use ledger::memory::Fate;
use ledger::{Ledger, Refusal, StartState};
use proptest::prelude::*;
use wire::login::Verdict;

use crate::audit::AuditRecord;
use crate::trial::{STEP, Trial};

fn check_replayed(trial: &Trial, end: &crate::trial::End) {
    assert_eq!(end.verdict, Verdict::Deny);
    assert_eq!(trial.explain(&end.reference).reason, "replayed");
    assert!(end.text.starts_with("That one-time password was already used. Wait "), "{}", end.text);
}

// covers: A01, P5
#[tokio::test]
async fn a_code_is_accepted_once_and_refused_with_its_own_words_after() {
    let trial = Trial::new().await;
    let key = trial.activate("alice").await;
    let code = trial.code(&key, 0);
    assert_eq!(trial.login("alice", "sshd", &code).await.verdict, Verdict::Allow);
    trial.advance(Duration::from_secs(1));
    check_replayed(&trial, &trial.login("alice", "sshd", &code).await);
    check_replayed(&trial, &trial.login("alice", "sudo", &code).await);
}

// covers: A02
#[tokio::test]
async fn a_code_accepted_late_is_refused_while_its_window_lasts() {
    let trial = Trial::new().await;
    let key = trial.activate("alice").await;
    trial.advance(Duration::from_secs(15));
    let code = trial.code(&key, 0);
    trial.advance(Duration::from_secs(29));
    assert_eq!(trial.login("alice", "sshd", &code).await.verdict, Verdict::Allow);
    for seconds in [2, 28] {
        trial.advance(Duration::from_secs(seconds));
        assert_eq!(trial.login("alice", "sshd", &code).await.verdict, Verdict::Deny);
    }
}

// covers: A03
#[tokio::test]
async fn after_a_later_code_the_earlier_ones_are_dead() {
    let trial = Trial::new().await;
    let key = trial.activate("alice").await;
    trial.advance(STEP * 3);
    assert_eq!(trial.login("alice", "sshd", &trial.code(&key, 1)).await.verdict, Verdict::Allow);
    for offset in [1, 0, -1] {
        check_replayed(&trial, &trial.login("alice", "sshd", &trial.code(&key, offset)).await);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    // covers: A03
    #[test]
    fn in_any_order_accepted_steps_only_rise(tries in prop::collection::vec((0_u64..90, -2_i64..=2), 1..30)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let trial = Trial::new().await;
            let key = trial.activate("alice").await;
            let mut accepted = 0;
            for (seconds, offset) in tries {
                trial.advance(Duration::from_secs(seconds));
                let end = trial.login("alice", "sshd", &trial.code(&key, offset)).await;
                if end.verdict == Verdict::Allow {
                    let step = trial.token().value();
                    assert!(step > accepted);
                    accepted = step;
                }
            }
        });
    }
}

// covers: A04
#[tokio::test]
async fn other_forms_of_a_code_are_the_code_or_one_failure_and_never_a_second_accept() {
    let same = |code: &str| {
        vec![
            format!(" {code}"),
            format!("{code} "),
            format!("{} {}", &code[..3], &code[3..]),
            format!("{}-{}", &code[..3], &code[3..]),
        ]
    };
    let malformed = |code: &str| {
        let fullwidth = |text: &str| -> String {
            text.chars().map(|c| char::from_u32(c as u32 - 0x30 + 0xff10).unwrap()).collect()
        };
        vec![
            format!("{code}\n"),
            format!("{code}\r"),
            format!("\t{code}"),
            code[1..].to_owned(),
            format!("0{code}"),
            format!("+{}", &code[1..]),
            format!("0x{}", &code[..4]),
            "1.2345e4".into(),
            format!("{code}\0x"),
            fullwidth(code),
            format!("{}{}", fullwidth(&code[..1]), &code[1..]),
            format!("{}\u{ad}{}", &code[..3], &code[3..]),
            code.chars().map(|c| char::from_u32(c as u32 - 0x30 + 0x660).unwrap()).collect(),
            String::new(),
        ]
    };
    let trial = Trial::new().await;
    let key = trial.activate("alice").await;
    let failures = || trial.token().failures();
    for used in [false, true] {
        let code = trial.code(&key, 0);
        if used {
            assert_eq!(trial.login("alice", "sshd", &code).await.verdict, Verdict::Allow);
            for form in same(&code) {
                check_replayed(&trial, &trial.login("alice", "sshd", &form).await);
            }
        }
        for form in malformed(&code) {
            let before = failures();
            // Out of the way of the waits between failures, but within the code's step.
            trial.clock.advance(Duration::from_secs(3600));
            trial.clock.set_wall(crate::trial::NOON + 30 + 3600 * u64::from(used));
            let end = trial.login_from("alice", "sshd", None, &form).await;
            assert_eq!(end.verdict, Verdict::Deny, "{form:?}");
            assert_eq!(
                (trial.explain(&end.reference).reason.as_str(), failures()),
                ("malformed", before + 1),
                "{form:?}"
            );
        }
        trial.clock.advance(Duration::from_secs(3600));
        trial.clock.set_wall(crate::trial::NOON + 3630);
    }
}

// covers: A05
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_submissions_of_one_code_at_once_exactly_one_is_accepted() {
    let trial = Arc::new(Trial::new().await);
    let key = trial.activate("alice").await;
    for round in 0..50 {
        let code = trial.code(&key, 0);
        let barrier = Arc::new(tokio::sync::Barrier::new(200));
        let mut logins = tokio::task::JoinSet::new();
        for _ in 0..200 {
            let (trial, barrier, code) = (Arc::clone(&trial), Arc::clone(&barrier), code.clone());
            logins.spawn(async move {
                let asked = trial.ask("alice", "sshd", None).await;
                barrier.wait().await;
                trial.answer(&asked, &code).await.verdict
            });
        }
        let accepted =
            logins.join_all().await.into_iter().filter(|verdict| *verdict == Verdict::Allow).count();
        assert_eq!(accepted, 1, "round {round}");
        trial.advance(STEP);
    }
}

// covers: A07
#[tokio::test]
async fn a_second_login_within_one_step_is_told_when_to_come_back_and_counts_as_no_failure() {
    let trial = Trial::new().await;
    let key = trial.activate("alice").await;
    let code = trial.code(&key, 0);
    assert_eq!(trial.login_from("alice", "sshd", Some("192.0.2.1"), &code).await.verdict, Verdict::Allow);
    let second = trial.login_from("alice", "sshd", Some("192.0.2.2"), &code).await;
    assert_eq!(
        second.text,
        format!(
            "That one-time password was already used. Wait 15 s for the next one. Reference {}.",
            second.reference
        )
    );
    assert_eq!(trial.token().failures(), 0);
    trial.advance(Duration::from_secs(15));
    assert_eq!(
        trial.login_from("alice", "sshd", Some("192.0.2.2"), &trial.code(&key, 0)).await.verdict,
        Verdict::Allow
    );
}

// covers: A16
#[tokio::test]
async fn a_claim_on_a_token_that_the_ledger_does_not_know_any_more_is_refused() {
    let trial = Trial::new().await;
    let key = trial.activate("alice").await;
    let token = trial.token();
    // The change is durable, and memory has not heard of it yet.
    let gone = ledger::Change::RemoveCredential { credential: token.credential() };
    trial.ledger.submit(ledger::Entry { changes: vec![gone], ..Default::default() }).await;
    let end = trial.login("alice", "sshd", &trial.code(&key, 0)).await;
    assert_eq!(
        (end.verdict, trial.explain(&end.reference).reason.as_str()),
        (Verdict::Deny, "token_missing")
    );
}

// covers: B01
#[tokio::test]
async fn after_a_hundred_wrong_codes_in_a_row_the_right_one_is_refused_too() {
    let trial = Trial::new().await;
    let key = trial.activate("alice").await;
    for failure in 1..=100 {
        trial.advance(Duration::from_secs(3600));
        let end = trial.login("alice", "sshd", &trial.wrong_code(&key)).await;
        assert_eq!((failure, trial.explain(&end.reference).reason.as_str()), (failure, "wrong_code"));
    }
    trial.advance(Duration::from_secs(3600));
    let right = trial.login("alice", "sshd", &trial.code(&key, 0)).await;
    assert_eq!((right.verdict, right.text.starts_with("Access denied.")), (Verdict::Deny, true));
    let trial = trial.restart(StartState::Clean).await;
    trial.advance(Duration::from_secs(3600));
    let right = trial.login("alice", "sudo", &trial.code(&key, 0)).await;
    assert_eq!(
        (right.verdict, trial.explain(&right.reference).reason.as_str()),
        (Verdict::Deny, "token_disabled")
    );
    let disabled = |record: &&AuditRecord| record.event == "token_disabled";
    assert_eq!(trial.audit().iter().filter(disabled).count(), 1, "administrators are told once");
    let notes: Vec<_> = trial.audit().into_iter().filter_map(|record| record.detail).collect();
    assert_eq!(notes.iter().filter(|note| note.contains("disabled from now on")).count(), 1);
}

// covers: B02
#[tokio::test]
async fn failures_count_on_after_a_restart() {
    let trial = Trial::new().await;
    let key = trial.activate("alice").await;
    for _ in 0..4 {
        trial.login("alice", "sshd", &trial.wrong_code(&key)).await;
    }
    let trial = trial.restart(StartState::Clean).await;
    trial.login("alice", "sshd", &trial.wrong_code(&key)).await;
    let end = trial.login("alice", "sshd", &trial.code(&key, 0)).await;
    assert!(end.text.starts_with("Too many attempts. Try again in 1 s."), "{}", end.text);
    let token = trial.token();
    assert_eq!(token.failures(), 5);
}

// covers: B03
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_wrong_codes_at_once_few_are_looked_at_and_others_are_not_slowed() {
    let trial = Arc::new(Trial::new().await);
    let key = trial.activate("alice").await;
    let mut others = Vec::new();
    for other in 0..20 {
        others.push((format!("user{other}"), trial.activate(&format!("user{other}")).await));
    }
    let (before, wrong) = (trial.evaluated(), trial.wrong_code(&key));
    let barrier = Arc::new(tokio::sync::Barrier::new(1_000));
    let mut guesses = tokio::task::JoinSet::new();
    for _ in 0..1_000 {
        let (trial, barrier, wrong) = (Arc::clone(&trial), Arc::clone(&barrier), wrong.clone());
        guesses.spawn(async move {
            let asked = trial.ask("alice", "sshd", Some("192.0.2.1")).await;
            barrier.wait().await;
            trial.answer(&asked, &wrong).await.verdict
        });
    }
    assert!(guesses.join_all().await.into_iter().all(|verdict| verdict == Verdict::Deny));
    assert!(trial.evaluated() - before <= 5, "{} were looked at", trial.evaluated() - before);
    for (user, key) in others {
        assert_eq!(
            trial.login_from(&user, "sshd", Some("192.0.2.1"), &trial.code(&key, 0)).await.verdict,
            Verdict::Allow
        );
    }
}

// covers: B04
#[tokio::test]
async fn nothing_but_the_tokens_own_success_ends_its_row_of_failures() {
    let trial = Trial::new().await;
    let key = trial.activate("alice").await;
    let bob = trial.activate("bob").await;
    let failures = || {
        trial
            .service
            .dialogue
            .accounts
            .find(&crate::accounts::UserName::new("alice").unwrap())
            .unwrap()
            .tokens[0]
            .failures()
    };
    for count in 1..=4 {
        trial.login("alice", "sshd", &trial.wrong_code(&key)).await;
        trial.ask("alice", "sshd", None).await;
        trial.ask("alice", "sudo", None).await;
        assert_eq!(trial.login("bob", "sshd", &trial.code(&bob, 0)).await.verdict, Verdict::Allow);
        trial.advance(STEP);
        assert_eq!(failures(), count);
    }
    trial.login("alice", "sshd", &trial.wrong_code(&key)).await;
    let slowed = trial.login("alice", "sshd", &trial.code(&key, 0)).await;
    assert!(slowed.text.starts_with("Too many attempts."), "{}", slowed.text);
    trial.advance(Duration::from_secs(1));
    assert_eq!(trial.login("alice", "sshd", &trial.code(&key, 0)).await.verdict, Verdict::Allow);
    assert_eq!(failures(), 0);
}

// covers: B10
#[tokio::test]
async fn while_locked_right_wrong_and_used_codes_get_the_same_answer_and_are_not_consumed() {
    let trial = Trial::new().await;
    let key = trial.activate("alice").await;
    let used = trial.code(&key, -1);
    for _ in 0..5 {
        trial.login("alice", "sshd", &trial.wrong_code(&key)).await;
    }
    let before = trial.evaluated();
    let right = trial.code(&key, 0);
    for code in [right.as_str(), &trial.wrong_code(&key), &used] {
        let end = trial.login("alice", "sshd", code).await;
        assert!(end.text.starts_with("Too many attempts. Try again in 1 s. Reference "), "{}", end.text);
    }
    assert_eq!(trial.evaluated(), before);
    trial.advance(Duration::from_secs(1));
    assert_eq!(trial.login("alice", "sshd", &right).await.verdict, Verdict::Allow);
}

#[tokio::test]
async fn refusals_of_a_throttle_share_one_record_in_a_second() {
    let trial = Trial::new().await;
    let key = trial.activate("alice").await;
    for _ in 0..8 {
        trial.advance(Duration::from_secs(60));
        trial.login("alice", "sshd", &trial.wrong_code(&key)).await;
    }
    let first = trial.login("alice", "sshd", "000000").await;
    let before = trial.audit().len();
    for _ in 0..100 {
        assert_eq!(trial.login("alice", "sshd", "000000").await.reference, first.reference);
    }
    assert_eq!(trial.audit().len(), before);
    trial.advance(Duration::from_millis(1_000));
    let next = trial.login("alice", "sshd", "000000").await;
    assert_eq!(trial.explain(&next.reference).repeats, Some(100));
}

// covers: P5
#[tokio::test]
async fn a_wrong_clock_is_named_in_the_record() {
    let trial = Trial::new().await;
    let key = trial.activate("alice").await;
    for (offset, expected) in [(3, "clock +90 s"), (-4, "clock -120 s")] {
        let end = trial.login("alice", "sshd", &trial.code(&key, offset)).await;
        assert_eq!(trial.explain(&end.reference).detail.as_deref(), Some(expected));
        assert!(end.text.starts_with("Access denied. Reference "), "{}", end.text);
    }
}

#[tokio::test]
async fn after_an_unclean_stop_codes_of_that_moment_are_refused_and_later_ones_are_not() {
    let trial = Trial::new().await;
    let key = trial.activate("alice").await;
    let trial = trial.restart(StartState::Unclean).await;
    for offset in [0, 1] {
        let end = trial.login("alice", "sshd", &trial.code(&key, offset)).await;
        assert_eq!(
            (end.verdict, trial.explain(&end.reference).reason.as_str()),
            (Verdict::Deny, "quarantined")
        );
        assert!(end.text.starts_with("The service has just started. Wait 45 s"), "{}", end.text);
    }
    trial.advance(STEP);
    assert_eq!(trial.login("alice", "sshd", &trial.code(&key, 1)).await.verdict, Verdict::Allow);
}

// covers: G03
#[tokio::test]
async fn a_full_store_denies_and_recovers() {
    let trial = Trial::new().await;
    let key = trial.activate("alice").await;
    trial.ledger.set_fate(Fate::Refuse(Refusal::StorageFull));
    let end = trial.login("alice", "sshd", &trial.code(&key, 0)).await;
    assert_eq!(end.verdict, Verdict::Unavailable);
    assert!(end.text.starts_with("One-time passwords cannot be checked at the moment."), "{}", end.text);
    trial.ledger.set_fate(Fate::Decide);
    assert_eq!(trial.login("alice", "sshd", &trial.code(&key, 0)).await.verdict, Verdict::Allow);
}

// covers: P6
#[tokio::test]
async fn an_outcome_nobody_knows_is_no_accept_and_no_replay_and_its_retry_settles_it() {
    let trial = Trial::new().await;
    let key = trial.activate("alice").await;
    let (asked, request, code) =
        (trial.ask("alice", "sshd", None).await, trial.request_id(), trial.code(&key, 0));
    trial.ledger.set_fate(Fate::LoseAnswers);
    let first = crate::trial::ended(trial.proceed(&request, &asked.state, &code).await.unwrap());
    assert_eq!(first.verdict, Verdict::Unavailable);
    trial.ledger.set_fate(Fate::Decide);
    let other = trial.login("alice", "sudo", &code).await;
    assert_eq!(other.verdict, Verdict::Deny, "the claim did take effect");
    let trial = trial.restart(StartState::Clean).await;
    let again = crate::trial::ended(trial.proceed(&request, &asked.state, &code).await.unwrap());
    assert_eq!(again.verdict, Verdict::Allow);
}

// covers: E14
#[tokio::test]
async fn a_code_that_was_sent_is_used_even_when_the_caller_goes_away() {
    let trial = Arc::new(Trial::new().await);
    let key = trial.activate("alice").await;
    let (asked, code) = (trial.ask("alice", "sshd", None).await, trial.code(&key, 0));
    trial.ledger.set_fate(Fate::Hold);
    let caller = {
        let (trial, code) = (Arc::clone(&trial), code.clone());
        tokio::spawn(async move { trial.answer(&asked, &code).await })
    };
    while trial.ledger.held() == 0 {
        tokio::task::yield_now().await;
    }
    caller.abort();
    trial.ledger.set_fate(Fate::Decide);
    trial.ledger.release();
    while trial.token().value() * 30 + 30 <= crate::trial::NOON + 15 {
        tokio::task::yield_now().await;
    }
    assert_eq!(trial.login("alice", "sshd", &code).await.verdict, Verdict::Deny);
}

#[tokio::test]
async fn the_value_of_a_token_only_rises() {
    let trial = Trial::new().await;
    trial.activate("alice").await;
    let token = trial.token();
    token.set_value(5);
    assert!(token.value() > 5);
}

#[tokio::test]
async fn a_used_code_sent_again_and_again_makes_one_record_a_second() {
    let trial = Trial::new().await;
    let key = trial.activate("alice").await;
    let code = trial.code(&key, 0);
    assert_eq!(trial.login("alice", "sshd", &code).await.verdict, Verdict::Allow);
    let first = trial.login("alice", "sshd", &code).await;
    let before = trial.audit().len();
    for _ in 0..100 {
        assert_eq!(trial.login("alice", "sshd", &code).await, first);
    }
    assert_eq!(trial.audit().len(), before);
    trial.advance(Duration::from_secs(1));
    let later = trial.login("alice", "sshd", &code).await;
    assert_eq!(trial.explain(&later.reference).repeats, Some(100));
}
