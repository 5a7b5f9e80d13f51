//! Recovery codes at the prompt.

use std::time::Duration;

use ledger::StartState;
use wire::login::Verdict;

use crate::accounts::UserName;
use crate::trial::{STEP, Trial, root};

/// New recovery codes for a user.
async fn codes(trial: &Trial, user: &str) -> Vec<String> {
    let made = trial.service.dialogue.steward.make_recovery_codes(UserName::new(user).unwrap(), root()).await;
    made.unwrap().iter().map(|code| code.expose().to_string()).collect()
}

// covers: A14, P1
#[tokio::test]
async fn each_of_ten_codes_works_once_also_after_a_restart() {
    let trial = Trial::new().await;
    trial.activate("alice").await;
    let codes = codes(&trial, "alice").await;
    assert_eq!(codes.len(), 10);
    let end = trial.login("alice", "sshd", &codes[0]).await;
    assert_eq!((end.verdict, end.text.as_str()), (Verdict::Allow, "Recovery code accepted. 9 are left."));
    let again = trial.login("alice", "sshd", &codes[0].to_lowercase()).await;
    assert_eq!((again.verdict, trial.reason(&again).as_str()), (Verdict::Deny, "recovery_used"));
    let trial = trial.restart(StartState::Clean).await;
    trial.advance(Duration::from_secs(60));
    assert_eq!(trial.login("alice", "sudo", &codes[0]).await.verdict, Verdict::Deny);
    trial.advance(Duration::from_secs(60));
    assert_eq!(trial.login("alice", "sudo", &codes[1]).await.verdict, Verdict::Allow);
}

// covers: A14
#[tokio::test]
async fn of_many_logins_with_one_code_one_is_let_in() {
    let trial = Trial::new().await;
    trial.activate("alice").await;
    let codes = codes(&trial, "alice").await;
    let mut asked = Vec::new();
    for _ in 0..4 {
        asked.push(trial.ask("alice", "sshd", None).await);
    }
    let (a, b, c, d) = tokio::join!(
        trial.answer(&asked[0], &codes[0]),
        trial.answer(&asked[1], &codes[0]),
        trial.answer(&asked[2], &codes[0]),
        trial.answer(&asked[3], &codes[0]),
    );
    let accepted = [a, b, c, d].iter().filter(|end| end.verdict == Verdict::Allow).count();
    assert_eq!(accepted, 1);
}

// covers: A14
#[tokio::test]
async fn a_code_opens_only_its_users_account() {
    let trial = Trial::new().await;
    trial.activate("alice").await;
    trial.activate("bob").await;
    let (alice, _bob) = (codes(&trial, "alice").await, codes(&trial, "bob").await);
    let end = trial.login("bob", "sshd", &alice[0]).await;
    assert_eq!((end.verdict, trial.reason(&end).as_str()), (Verdict::Deny, "wrong_code"));
    assert_eq!(trial.login("nobody-here", "sshd", &alice[0]).await.verdict, Verdict::Deny);
    assert_eq!(trial.login("alice", "sshd", &alice[0]).await.verdict, Verdict::Allow);
}

// covers: P1
#[tokio::test]
async fn new_codes_and_the_end_of_the_demand_make_the_old_ones_void() {
    let trial = Trial::new().await;
    trial.activate("alice").await;
    let old = codes(&trial, "alice").await;
    let new = codes(&trial, "alice").await;
    assert_eq!(trial.login("alice", "sshd", &old[0]).await.verdict, Verdict::Deny);
    assert_eq!(trial.login("alice", "sshd", &new[0]).await.verdict, Verdict::Allow);
    trial.set_otp("alice", false).await;
    trial.activate("alice").await;
    assert_eq!(trial.login("alice", "sshd", &new[1]).await.verdict, Verdict::Deny);
}

// covers: A15
#[tokio::test]
async fn the_last_code_offers_a_new_set_and_is_used_up_with_the_answer_only() {
    let trial = Trial::new().await;
    trial.activate("alice").await;
    let codes = codes(&trial, "alice").await;
    for code in &codes[..9] {
        assert_eq!(trial.login("alice", "sshd", code).await.verdict, Verdict::Allow);
    }
    let asked = trial.ask("alice", "sshd", None).await;
    let wish = trial.go_on(&asked, &codes[9]).await;
    assert_eq!(wish.show, "This is your last recovery code.");
    assert_eq!(wish.question, "Make ten new ones now? [y/n]: ");
    let shown = trial.go_on(&wish, "y").await;
    let new: Vec<_> = shown.show.lines().filter_map(|line| line.strip_prefix("    ")).collect();
    assert_eq!(new.len(), 10);
    assert_eq!(trial.login("alice", "sshd", new[0]).await.verdict, Verdict::Deny, "not good yet");
    let shown = trial.go_on(&shown, "not yet").await;
    let end = trial.answer(&shown, "yes").await;
    assert_eq!((end.verdict, end.text.as_str()), (Verdict::Allow, "Recovery code accepted. 10 are left."));
    assert_eq!(trial.answer(&shown, "yes").await.verdict, Verdict::Deny);
    assert_eq!(trial.login("alice", "sshd", new[0]).await.verdict, Verdict::Allow);
}

// covers: A15
#[tokio::test]
async fn whoever_wants_no_new_set_is_let_in_and_told_that_none_is_left() {
    let trial = Trial::new().await;
    trial.activate("alice").await;
    let codes = codes(&trial, "alice").await;
    for code in &codes[..9] {
        trial.login("alice", "sshd", code).await;
    }
    let asked = trial.ask("alice", "sshd", None).await;
    let wish = trial.go_on(&asked, &codes[9]).await;
    assert!(!wish.empty_allowed, "a terminal that is gone answers nothing");
    let end = trial.answer(&wish, "n").await;
    let text = "That was your last recovery code. Ask your administrator for new ones.";
    assert_eq!((end.verdict, end.text.as_str()), (Verdict::Allow, text));
    assert_eq!(trial.answer(&wish, "no").await.verdict, Verdict::Deny);
}

// covers: A15
#[tokio::test]
async fn a_recovery_code_leaves_the_tokens_codes_as_they_are() {
    let trial = Trial::new().await;
    let key = trial.activate("alice").await;
    let codes = codes(&trial, "alice").await;
    assert_eq!(trial.login("alice", "sshd", &codes[0]).await.verdict, Verdict::Allow);
    assert_eq!(trial.login("alice", "sshd", &trial.code(&key, 0)).await.verdict, Verdict::Allow);
}

// covers: B01
#[tokio::test]
async fn a_hundred_wrong_recovery_codes_disable_the_set_and_not_the_token() {
    let trial = Trial::new().await;
    let key = trial.activate("alice").await;
    let codes = codes(&trial, "alice").await;
    for _ in 0..100 {
        trial.advance(Duration::from_secs(3600));
        trial.login("alice", "sshd", "0000-0000-0000-0000").await;
    }
    trial.advance(Duration::from_secs(3600));
    let end = trial.login("alice", "sshd", &codes[0]).await;
    assert_eq!((end.verdict, trial.reason(&end).as_str()), (Verdict::Deny, "token_disabled"));
    let trial = trial.restart(StartState::Clean).await;
    trial.advance(Duration::from_secs(3600));
    assert_eq!(trial.login("alice", "sshd", &codes[0]).await.verdict, Verdict::Deny);
    trial.advance(Duration::from_secs(3600));
    assert_eq!(trial.login("alice", "sshd", &trial.code(&key, 0)).await.verdict, Verdict::Allow);
    trial.service.dialogue.engine.unlock(UserName::new("alice").unwrap(), root()).await.unwrap();
    assert_eq!(trial.login("alice", "sshd", &codes[0]).await.verdict, Verdict::Allow);
}

// covers: A14
#[tokio::test]
async fn after_an_unclean_stop_recovery_codes_wait_for_an_administrator() {
    let trial = Trial::new().await;
    trial.activate("alice").await;
    let codes = codes(&trial, "alice").await;
    let trial = trial.restart(StartState::Unclean).await;
    let trial = trial.restart(StartState::Clean).await;
    trial.advance(STEP * 4);
    let end = trial.login("alice", "sshd", &codes[0]).await;
    assert_eq!((end.verdict, trial.reason(&end).as_str()), (Verdict::Deny, "recovery_waiting"));
    assert!(end.text.starts_with("Recovery codes wait for your administrator."), "{}", end.text);
    let wrong = trial.login("alice", "sshd", "0000-0000-0000-0000").await;
    assert_eq!(trial.reason(&wrong), "recovery_waiting", "right and wrong ones are told the same");
    trial.service.dialogue.steward.settle(root()).await.unwrap();
    assert_eq!(trial.login("alice", "sshd", &codes[0]).await.verdict, Verdict::Allow);
}

// covers: B06
#[tokio::test]
async fn codes_that_wait_are_counted_and_told_alike_whoever_types_them() {
    let trial = Trial::new().await;
    trial.activate("alice").await;
    codes(&trial, "alice").await;
    let trial = trial.restart(StartState::Unclean).await;
    trial.advance(STEP * 4);
    trial.activate("bob").await;
    let fresh = codes(&trial, "bob").await;
    for user in ["nobody-here", "bob", "alice"] {
        let end = trial.login(user, "sshd", "0000-0000-0000-0000").await;
        assert_eq!((user, trial.reason(&end).as_str()), (user, "recovery_waiting"));
    }
    assert_eq!(trial.login("bob", "sshd", &fresh[0]).await.verdict, Verdict::Allow, "made since then");
    let before = trial.audit().len();
    for _ in 0..200 {
        trial.login_from("nobody-here", "sshd", Some("192.0.2.9"), "0000-0000-0000-0000").await;
    }
    assert!(trial.audit().len() < before + 10, "{} records", trial.audit().len() - before);
}

// covers: B06
#[tokio::test]
async fn where_nobody_has_recovery_codes_nothing_waits_after_an_unclean_stop() {
    let trial = Trial::new().await;
    trial.activate("alice").await;
    let trial = trial.restart(StartState::Unclean).await;
    let end = trial.login("alice", "sshd", "0000-0000-0000-0000").await;
    assert_eq!(trial.reason(&end), "wrong_code");
}
