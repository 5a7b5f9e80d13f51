mod behind;
mod change;
mod cut_off;
mod direct;
mod hardware;
mod policy;
mod recovery;
mod remembered;
mod requests;

use ledger::StartState;
use ledger::memory::Fate;
use wire::login::Verdict;

use super::*;
use crate::trial::{STEP, Trial, asked, ended, root, secret_shown};

// covers: T3, T4, T5
#[tokio::test]
async fn until_a_code_was_shown_every_login_shows_the_same_secret() {
    let trial = Trial::new().await;
    trial.set_otp("alice", true).await;
    let first = trial.ask("alice", "sshd", Some("192.0.2.1")).await;
    let second = trial.ask("alice", "login", None).await;
    assert!(first.show.contains("otpauth://totp/Postern:alice"));
    assert_eq!(first.show, second.show);
    assert_eq!(first.question, "One-time password (Enter to continue without): ");
}

// covers: T2, T5
#[tokio::test]
async fn the_first_code_activates_and_the_secret_is_never_shown_again() {
    let trial = Trial::new().await;
    let key = trial.enrol("alice").await;
    let end = trial.login("alice", "sshd", &trial.code(&key, 0)).await;
    assert_eq!((end.verdict, end.text.as_str()), (Verdict::Allow, texts::ACTIVATED));
    assert_eq!(trial.explain(&end.reference).reason, "activated");
    let next = trial.ask("alice", "sshd", None).await;
    assert_eq!((next.show.as_str(), next.question.as_str()), ("", "One-time password: "));
    assert!(!next.empty_allowed);
    trial.advance(STEP);
    assert_eq!(trial.answer(&next, &trial.code(&key, 0)).await.verdict, Verdict::Allow);
}

// covers: A12, T9
#[tokio::test]
async fn the_code_that_activated_is_used_up() {
    let trial = Trial::new().await;
    let key = trial.enrol("alice").await;
    let code = trial.code(&key, 0);
    assert_eq!(trial.login("alice", "sshd", &code).await.verdict, Verdict::Allow);
    let again = trial.login("alice", "sshd", &code).await;
    assert_eq!(again.verdict, Verdict::Deny);
    assert!(
        again.text.starts_with("That one-time password was already used. Wait 15 s for the next one."),
        "{}",
        again.text
    );
}

/// Whether a question takes a code. Without a `_` arm, so that whoever adds a question has to say so, and to
/// add its row to `SURFACES` when it does.
fn takes_a_code(asked: &state::Asked) -> bool {
    match asked {
        state::Asked::Code { .. } | state::Asked::SerialCode { .. } | state::Asked::NextCode { .. } => true,
        // A code typed before is used up by these; they take none.
        state::Asked::NewCodesWish { .. } | state::Asked::NewCodesShown { .. } => false,
        state::Asked::Serial | state::Asked::Acknowledgement { .. } => false,
        // Issued passwords and persons' are of another kind: no code of a token is right there.
        state::Asked::Issued { .. }
        | state::Asked::RequestEmail { .. }
        | state::Asked::RequestReason { .. }
        | state::Asked::RequestConfirm
        | state::Asked::RequestLogin
        | state::Asked::RequestPassword { .. }
        | state::Asked::SecondaryLogin { .. }
        | state::Asked::SecondaryPassword { .. } => false,
    }
}

/// Where codes are taken: the login dialogue's one question for a code, under each sort of service.
const SURFACES: [&str; 5] = ["sshd", "sudo", "su", "login", "gdm-password"];

// covers: A13, T10
#[tokio::test]
async fn one_code_serves_one_purpose_whatever_the_surfaces() {
    assert!(takes_a_code(&state::Asked::Code { enrolling: None, grace: true }));
    for first in SURFACES {
        for second in SURFACES {
            let trial = Trial::new().await;
            let key = trial.activate("alice").await;
            let code = trial.code(&key, 0);
            let (one, other) =
                (trial.ask("alice", first, None).await, trial.ask("alice", second, None).await);
            assert_eq!(trial.answer(&one, &code).await.verdict, Verdict::Allow);
            assert_eq!(trial.answer(&other, &code).await.verdict, Verdict::Deny, "{first} then {second}");
        }
    }
}

// covers: T6
#[tokio::test]
async fn in_grace_a_login_goes_on_without_a_code() {
    let trial = Trial::new().await;
    trial.set_otp("alice", true).await;
    let asked = trial.ask("alice", "sshd", None).await;
    assert!(asked.empty_allowed);
    let end = trial.answer(&asked, "").await;
    assert_eq!(end.verdict, Verdict::NotRequired);
    assert_eq!(trial.explain(&end.reference).reason, "grace");
}

// covers: T6
#[tokio::test]
async fn grace_ends_after_its_number_of_logins_also_across_restarts() {
    let config = "version = 1\n[enrolment]\ngrace = \"limited\"\ngrace_logins = 2";
    let trial = Trial::with_config(config).await;
    trial.set_otp("alice", true).await;
    let early = trial.ask("alice", "sshd", None).await;
    for _ in 0..2 {
        let asked = trial.ask("alice", "sshd", None).await;
        assert_eq!(trial.answer(&asked, "").await.verdict, Verdict::NotRequired);
    }
    let asked = trial.ask("alice", "sshd", None).await;
    assert!(!asked.empty_allowed);
    assert!(asked.show.contains("Secret key: "));
    let late = trial.answer(&early, "").await;
    assert_eq!((late.verdict, trial.explain(&late.reference).reason.as_str()), (Verdict::Deny, "grace_over"));
}

// covers: T6
#[tokio::test]
async fn grace_ends_with_its_period() {
    let trial =
        Trial::with_config("version = 1\n[enrolment]\ngrace = \"limited\"\ngrace_period = \"1h\"").await;
    trial.set_otp("alice", true).await;
    trial.advance(std::time::Duration::from_secs(3599));
    assert!(trial.ask("alice", "sshd", None).await.empty_allowed);
    trial.advance(std::time::Duration::from_secs(1));
    assert!(!trial.ask("alice", "sshd", None).await.empty_allowed);
}

// covers: T6
#[tokio::test]
async fn without_grace_the_first_login_needs_a_code() {
    let trial = Trial::with_config("version = 1\n[enrolment]\ngrace = \"none\"").await;
    trial.set_otp("alice", true).await;
    let asked = trial.ask("alice", "sshd", None).await;
    assert!(!asked.empty_allowed);
    assert_eq!(trial.answer(&asked, "").await.verdict, Verdict::Deny);
}

// covers: T7, T8
#[tokio::test]
async fn off_lifts_the_demand_and_on_again_makes_a_new_secret() {
    let trial = Trial::new().await;
    let old = trial.activate("alice").await;
    trial.set_otp("alice", false).await;
    assert_eq!(ended(trial.begin("alice", "sshd", None).await).verdict, Verdict::NotRequired);
    trial.set_otp("alice", true).await;
    let asked = trial.ask("alice", "sshd", None).await;
    let new = secret_shown(&asked.show);
    assert_ne!(trial.code(&old, 0), trial.code(&new, 0));
    assert_eq!(trial.answer(&asked, &trial.code(&old, 0)).await.verdict, Verdict::Deny);
    let events: Vec<_> = trial.audit().into_iter().map(|record| record.event).collect();
    assert_eq!(events.iter().filter(|event| *event == "user_otp_on").count(), 2);
    assert_eq!(events.iter().filter(|event| *event == "user_otp_off").count(), 1);
}

// covers: A16
#[tokio::test]
async fn a_token_that_went_between_prompt_and_answer_is_refused() {
    let trial = Trial::new().await;
    let key = trial.activate("alice").await;
    let asked = trial.ask("alice", "sshd", None).await;
    trial.set_otp("alice", false).await;
    let end = trial.answer(&asked, &trial.code(&key, 0)).await;
    assert_eq!(
        (end.verdict, trial.explain(&end.reference).reason.as_str()),
        (Verdict::Deny, "token_missing")
    );
    assert!(end.text.starts_with("Access denied. Reference "), "{}", end.text);
}

// covers: A16
#[tokio::test]
async fn a_token_disabled_between_prompt_and_answer_is_refused() {
    let trial = Trial::new().await;
    let key = trial.activate("alice").await;
    let prompts = [trial.ask("alice", "sshd", None).await, trial.ask("alice", "sudo", None).await];
    let serial = trial.token().record.serial.clone();
    trial.service.dialogue.steward.disable(serial, root()).await.unwrap();
    for asked in prompts {
        let end = trial.answer(&asked, &trial.code(&key, 0)).await;
        assert_eq!(
            (end.verdict, trial.explain(&end.reference).reason.as_str()),
            (Verdict::Deny, "token_disabled")
        );
        assert!(end.text.starts_with("Access denied. Reference "), "{}", end.text);
    }
}

// covers: B05
#[tokio::test]
async fn other_spellings_of_a_name_are_unknown_users() {
    for policy in ["deny", "ignore", "enroll"] {
        let trial = Trial::with_config(&format!("version = 1\non_unenrolled = \"{policy}\"")).await;
        let key = trial.activate("alice").await;
        let names = [
            "Alice",
            "ALICE",
            "alice ",
            "alice@corp",
            "CORP\\alice",
            "alice\u{200b}",
            "\u{430}lice",
            "1000",
            "",
        ];
        for name in names {
            let asked = trial.ask(name, "sshd", Some("192.0.2.1")).await;
            assert_eq!(asked.show, "");
            trial.advance(STEP * 40);
            let end =
                trial.answer(&trial.ask(name, "sshd", Some("192.0.2.1")).await, &trial.code(&key, 0)).await;
            assert_eq!(
                (end.verdict, end.text.starts_with("Access denied.")),
                (Verdict::Deny, true),
                "{name:?}"
            );
        }
        assert_eq!(trial.service.dialogue.accounts.users().len(), 1);
    }
}

// covers: A20, B05
#[tokio::test]
async fn an_unknown_user_is_asked_and_refused_like_a_known_one() {
    let trial = Trial::new().await;
    let key = trial.activate("alice").await;
    let (known, unknown) = (trial.ask("alice", "sshd", None).await, trial.ask("mallory", "sshd", None).await);
    assert_eq!((known.show, known.question), (unknown.show.clone(), unknown.question.clone()));
    let refused = trial.login("alice", "sshd", &trial.wrong_code(&key)).await;
    let unknown = trial.login("mallory", "sshd", "000000").await;
    let words = |text: &str| text.split("Reference").next().unwrap().to_owned();
    assert_eq!(words(&refused.text), words(&unknown.text));
    assert_eq!(trial.evaluated(), 3, "each is looked at once");
}

#[tokio::test]
async fn users_without_a_record_are_ignored_or_enrolled_only_where_policy_says_so() {
    let ignoring = Trial::with_config("version = 1\non_unenrolled = \"ignore\"").await;
    assert_eq!(ended(ignoring.begin("root", "sshd", None).await).verdict, Verdict::NotRequired);
    let enrolling = Trial::with_config("version = 1\non_unenrolled = \"enroll\"").await;
    let key = secret_shown(&enrolling.ask("root", "sshd", None).await.show);
    assert_eq!(enrolling.login("root", "sshd", &enrolling.code(&key, 0)).await.verdict, Verdict::Allow);
}

// covers: P6
#[tokio::test]
async fn a_request_sent_again_gets_its_first_verdict_also_after_a_restart() {
    let trial = Trial::new().await;
    let key = trial.activate("alice").await;
    let (asked, request, code) =
        (trial.ask("alice", "sshd", None).await, trial.request_id(), trial.code(&key, 0));
    let first = ended(trial.proceed(&request, &asked.state, &code).await.unwrap());
    assert_eq!(first.verdict, Verdict::Allow);
    assert_eq!(ended(trial.proceed(&request, &asked.state, &code).await.unwrap()), first);
    let trial = trial.restart(StartState::Unclean).await;
    assert_eq!(ended(trial.proceed(&request, &asked.state, &code).await.unwrap()), first);
    let other_id = ended(trial.proceed(&trial.request_id(), &asked.state, &code).await.unwrap());
    assert_eq!(other_id.verdict, Verdict::Deny);
    let other_login = trial.ask("alice", "sudo", None).await;
    let other_state = ended(trial.proceed(&request, &other_login.state, &code).await.unwrap());
    assert_eq!(other_state.verdict, Verdict::Deny);
}

// covers: P5
#[tokio::test]
async fn under_sshd_a_refusal_is_shown_before_the_login_ends() {
    let trial = Trial::new().await;
    let key = trial.activate("alice").await;
    let begin = Begin {
        api_version: 1,
        request_id: trial.request_id(),
        user: "alice".into(),
        service: "sshd".into(),
        rhost: Some("192.0.2.1".into()),
        ruser: None,
        tty: Some("ssh".into()),
        columns: None,
        session: None,
        offline_grant_until: None,
    };
    let prompt = asked(trial.service.dialogue.begin(begin, None).await.unwrap());
    let reply = trial.proceed(&trial.request_id(), &prompt.state, &trial.wrong_code(&key)).await.unwrap();
    let shown = asked(reply);
    assert!(shown.show.starts_with("Access denied. Reference "), "{}", shown.show);
    assert_eq!((shown.question.as_str(), shown.empty_allowed), ("Press Enter to continue: ", true));
    let code = trial.code(&key, 0);
    let end = trial.answer(&shown, &code).await;
    assert_eq!(end.verdict, Verdict::Deny, "whatever is typed now");
    assert!(shown.show.contains(&end.reference));
    assert_eq!(trial.login("alice", "sshd", &code).await.verdict, Verdict::Allow, "it was not looked at");
}

#[tokio::test]
async fn requests_that_no_host_of_ours_sends_get_no_verdict() {
    let trial = Trial::new().await;
    let key = trial.activate("alice").await;
    let (asked, code) = (trial.ask("alice", "sshd", None).await, trial.code(&key, 0));
    let malformed = |result: Result<Reply, DialogueError>| {
        matches!(result, Err(DialogueError::Malformed(_) | DialogueError::State(_)))
    };
    assert!(malformed(trial.proceed("abc", &asked.state, &code).await));
    assert!(malformed(trial.proceed(&"A".repeat(32), &asked.state, &code).await));
    assert!(malformed(trial.proceed(&trial.request_id(), "forged", &code).await));
    let two = Continue {
        api_version: 1,
        request_id: trial.request_id(),
        state: asked.state.clone(),
        answers: vec![code.clone(), code.clone()],
    };
    assert!(malformed(trial.service.dialogue.proceed(two.clone(), None).await));
    let newer = Continue { api_version: 2, answers: vec![code.clone()], ..two };
    assert!(malformed(trial.service.dialogue.proceed(newer, None).await));
    trial.advance(STEP * 11);
    assert!(malformed(trial.proceed(&trial.request_id(), &asked.state, &trial.code(&key, 0)).await));
}

// covers: T6
#[tokio::test]
async fn of_many_logins_at_once_only_as_many_go_without_a_code_as_are_left() {
    let trial =
        Arc::new(Trial::with_config("version = 1\n[enrolment]\ngrace = \"limited\"\ngrace_logins = 1").await);
    trial.set_otp("alice", true).await;
    // That her secret is shown has a record, once a minute.
    trial.ask("alice", "sshd", None).await;
    trial.ledger.set_fate(Fate::Hold);
    let mut logins = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let asked = trial.ask("alice", "sshd", None).await;
        let trial = Arc::clone(&trial);
        logins.spawn(async move { trial.answer(&asked, "").await.verdict });
    }
    while trial.ledger.held() < 20 {
        tokio::task::yield_now().await;
    }
    trial.ledger.set_fate(Fate::Decide);
    trial.ledger.release();
    let verdicts = logins.join_all().await;
    assert_eq!(verdicts.iter().filter(|verdict| **verdict == Verdict::NotRequired).count(), 1);
    assert_eq!(verdicts.iter().filter(|verdict| **verdict == Verdict::Deny).count(), 19);
}

// covers: T6
#[tokio::test]
async fn who_has_activated_meanwhile_does_not_go_without_a_code() {
    let trial = Trial::new().await;
    let key = trial.enrol("alice").await;
    let early = trial.ask("alice", "sshd", None).await;
    assert_eq!(trial.login("alice", "sshd", &trial.code(&key, 0)).await.verdict, Verdict::Allow);
    assert_eq!(trial.answer(&early, "").await.verdict, Verdict::Deny);
}

// covers: G05
#[tokio::test]
async fn while_commits_are_missing_nobody_gets_in_without_a_code() {
    let trial = Trial::new().await;
    let key = trial.activate("alice").await;
    trial.set_otp("bob", true).await;
    trial.set_otp("bob", false).await;
    trial.set_otp("carol", true).await;
    let trial = trial.restart(StartState::Short { found: 1, expected: 2 }).await;
    for user in ["bob", "carol"] {
        let end = ended(trial.begin(user, "sshd", None).await);
        assert_eq!(
            (end.verdict, trial.explain(&end.reference).reason.as_str()),
            (Verdict::Unavailable, "store_short")
        );
    }
    trial.advance(STEP * 3);
    assert_eq!(trial.login("alice", "sshd", &trial.code(&key, 0)).await.verdict, Verdict::Allow);
    trial.service.dialogue.has_loss.store(false, Ordering::Relaxed);
    assert_eq!(ended(trial.begin("bob", "sshd", None).await).verdict, Verdict::NotRequired);
}
