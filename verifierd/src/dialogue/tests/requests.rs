//! What a login asks where a password is issued on request, or a person's own is wanted.

use super::*;
use crate::accounts::{Actor, UserName};
use crate::people::{By, EmailAddress, NewPerson};
use wire::admin::Role;

const PASSWORD: &str = "correct horse battery";

fn config(lines: &str) -> String {
    format!(
        "version = 1\n[mail]\nserver = \"127.0.0.1:9\"\ntls = \"none\"\nfrom = \"postern@example.org\"\n[access]\n{lines}\n"
    )
}

/// Alice, who has an account of her name and shares `deploy`, and Carol, who decides.
async fn trial(lines: &str) -> Trial {
    let trial = Trial::with_config(&config(lines)).await;
    for (login, accounts) in [("alice", &["alice", "deploy"][..]), ("carol", &["carol"])] {
        let name = |name: &&str| UserName::new(name).unwrap();
        let new = NewPerson {
            login: UserName::new(login).unwrap(),
            email: EmailAddress::parse(&format!("{login}@example.org")).unwrap(),
            name: None,
            role: Role::User,
            accounts: Some(accounts.iter().map(name).collect()),
            password: Some(PASSWORD.to_owned().into()),
        };
        let by = By { actor: Actor::administrator("root"), role: Role::Super };
        trial.service.dialogue.people.clerk().add(new, by).await.unwrap();
    }
    trial
}

const APPROVAL: &str = "login_step = \"request\"\napprovers = [\"carol\"]";
const INTERNAL: &str = "login_step = \"request\"\nrequest_mode = \"internal\"\napprovers = [\"carol\"]";
const SECONDARY: &str = "login_step = \"secondary\"";

/// A text without what differs each time: the request's number.
fn without_numbers(text: &str) -> String {
    text.split("number ").map(|part| part.trim_start_matches(|c: char| c.is_ascii_digit())).collect()
}

// covers: R2, R3, R5, R6
#[tokio::test]
async fn whoever_asks_reads_the_same_whether_or_not_he_is_somebody() {
    let trial = trial(APPROVAL).await;
    let mut told = Vec::new();
    for (user, address) in
        [("alice", "alice@example.org"), ("bob", "nobody@example.org"), ("nobody", "alice@example.org")]
    {
        let asked = trial.ask(user, "sshd", Some("192.0.2.1")).await;
        assert_eq!(asked.question, "One-time password: ", "{user}");
        let asked = trial.go_on(&asked, "Request").await;
        assert_eq!(asked.question, "Your e-mail address: ", "{user}");
        let sent = trial.go_on(&asked, address).await;
        assert_eq!(sent.question, format!("One-time password for {address}: "));
        told.push(without_numbers(&sent.show));
        // After a disconnect too.
        let again = trial.ask(user, "sshd", Some("192.0.2.1")).await;
        assert_eq!(again.question, format!("One-time password for {address}: "), "{user}");
    }
    assert!(told[0].starts_with("Sent. If you may log in here"), "{}", told[0]);
    assert!(told.iter().all(|other| *other == told[0]), "{told:?}");
    assert_eq!(trial.service.outbox.figures().waiting, 1, "one mail, to the one who decides");
}

// covers: C11, R3
#[tokio::test]
async fn an_address_is_asked_for_again_where_it_is_none_and_never_one_that_gets_mail() {
    let trial = trial(APPROVAL).await;
    let asked = trial.ask("alice", "sshd", None).await;
    let mut asked = trial.go_on(&asked, "request").await;
    for odd in ["alice", "m\u{131}ke@example.org", "alice@example.org\r\nBcc: x@y", "@", "a b@example.org"] {
        asked = trial.go_on(&asked, odd).await;
        assert_eq!(asked.show, "That is no e-mail address, such as alice@example.org.", "{odd}");
        assert_eq!(asked.question, "Your e-mail address: ", "{odd}");
    }
    let sent = trial.go_on(&asked, "alice@elsewhere.example").await;
    assert!(sent.show.starts_with("Sent."), "{}", sent.show);
    assert_eq!(trial.service.outbox.figures().waiting, 0, "nobody has this address");
}

// covers: R4, E2
#[tokio::test]
async fn an_emergency_asks_for_a_reason_and_goes_to_who_decides_also_where_nobody_need() {
    for lines in [APPROVAL, INTERNAL] {
        let trial = trial(lines).await;
        let asked = trial.ask("alice", "sshd", None).await;
        let asked = trial.go_on(&asked, "emergency").await;
        let asked = trial.go_on(&asked, "alice@example.org").await;
        assert_eq!(asked.question, "Reason: ");
        let again = trial.go_on(&asked, "  ").await;
        assert_eq!(again.question, "Reason: ", "a reason is needed");
        let sent = trial.go_on(&asked, "the disk is full").await;
        assert!(sent.show.starts_with("Sent."), "{}", sent.show);
        let requests = trial.service.dialogue.requests.seen(|_| true);
        assert_eq!(requests[0].reason.as_deref(), Some("the disk is full"));
        assert_eq!(trial.service.outbox.figures().waiting, 1, "to carol alone");
    }
}

// covers: E6, R3
#[tokio::test]
async fn a_person_of_our_own_records_gets_one_after_login_name_and_password_alone() {
    let trial = trial(INTERNAL).await;
    let asked = trial.ask("deploy", "sshd", Some("192.0.2.1")).await;
    let asked = trial.go_on(&asked, "request").await;
    assert_eq!(asked.question, "Your login name: ");
    let asked = trial.go_on(&asked, "alice").await;
    assert_eq!(asked.question, "Your password: ");
    let refused = trial.answer(&asked, "a wrong password").await;
    assert_eq!((refused.verdict, trial.reason(&refused).as_str()), (Verdict::Deny, "secondary_refused"));
    assert_eq!(trial.service.outbox.figures().waiting, 0);
    let asked = trial.ask("deploy", "sshd", Some("192.0.2.1")).await;
    let asked = trial.go_on(&asked, "request").await;
    let asked = trial.go_on(&asked, "alice").await;
    let sent = trial.go_on(&asked, PASSWORD).await;
    assert_eq!(sent.question, "One-time password for alice@example.org: ");
    assert_eq!(trial.service.outbox.figures().waiting, 1);
    // Carol is somebody, and may not use the account.
    let asked = trial.ask("deploy", "sshd", Some("192.0.2.1")).await;
    let asked = trial.go_on(&asked, "request").await;
    let asked = trial.go_on(&asked, "carol").await;
    let refused = trial.answer(&asked, PASSWORD).await;
    assert_eq!(trial.reason(&refused), "secondary_refused");
}

// covers: C13
#[tokio::test]
async fn no_line_of_the_log_holds_the_password_of_a_person() {
    let log = crate::trial::Log::listen();
    let trial = trial(INTERNAL).await;
    for password in ["5ec4e7 for another desk", PASSWORD] {
        let asked = trial.ask("deploy", "sshd", Some("192.0.2.1")).await;
        let asked = trial.go_on(&trial.go_on(&asked, "request").await, "alice").await;
        trial.proceed(&trial.request_id(), &asked.state, password).await.unwrap();
    }
    assert_eq!(trial.service.outbox.figures().waiting, 1, "for the right one");
    let log = log.end();
    assert!(log.contains("secondary_refused") && log.contains("access_issued"), "{log}");
    assert!(!log.contains("5ec4e7") && !log.contains(PASSWORD), "{log}");
}

// covers: R9, C12
#[tokio::test]
async fn resend_sends_what_there_is_and_a_new_one_is_not_given_within_the_hour() {
    let trial = trial(INTERNAL).await;
    let ask = async |word: &str| {
        let asked = trial.ask("alice", "sshd", None).await;
        trial.go_on(&asked, word).await
    };
    assert!(ask("resend").await.show.starts_with("There is no one-time password to send again"));
    let request = async || {
        let asked = trial.go_on(&ask("request").await, "alice").await;
        trial.go_on(&asked, PASSWORD).await
    };
    assert!(request().await.show.starts_with("Sent."));
    assert!(ask("resend").await.show.starts_with("It was sent a moment ago."));
    trial.advance(Duration::from_secs(61));
    assert!(ask("resend").await.show.starts_with("Sent again."));
    let soon = request().await.show;
    assert!(soon.starts_with("A new one-time password can be requested from 20"), "{soon}");
    assert_eq!(trial.service.outbox.figures().waiting, 2);
}

// covers: E1
#[tokio::test]
async fn a_secondary_login_takes_a_person_who_may_use_the_account_and_no_code() {
    let trial = trial(SECONDARY).await;
    let key = {
        // A token of the account opens nothing here.
        trial.set_otp("deploy", true).await;
        trial.wrong_code(&crate::trial::Fob::hotp("1").key)
    };
    let log_in = async |login: &str, password: &str| {
        let asked = trial.ask("deploy", "sshd", Some("192.0.2.9")).await;
        assert_eq!(asked.question, "Your login name: ");
        let asked = trial.go_on(&asked, login).await;
        assert_eq!(asked.question, "Your password: ");
        trial.answer(&asked, password).await
    };
    let end = log_in("alice", PASSWORD).await;
    assert_eq!((end.verdict, trial.reason(&end).as_str()), (Verdict::Allow, "secondary"));
    assert_eq!(trial.explain(&end.reference).person.as_deref(), Some("alice"));
    for (login, password) in
        [("carol", PASSWORD), ("nobody", PASSWORD), ("alice", "wrong password!"), ("alice", key.as_str())]
    {
        let end = log_in(login, password).await;
        let told = (end.verdict, trial.reason(&end));
        assert_eq!(told, (Verdict::Deny, "secondary_refused".into()), "{login} {password}");
    }
}

// covers: B01, E1
#[tokio::test]
async fn guesses_at_a_persons_password_are_slowed_and_no_other_persons() {
    let trial = trial(SECONDARY).await;
    let log_in = async |login: &str, password: &str| {
        let asked = trial.ask("deploy", "sshd", Some("192.0.2.9")).await;
        let asked = trial.go_on(&asked, login).await;
        let end = trial.answer(&asked, password).await;
        trial.reason(&end)
    };
    let mut reasons = Vec::new();
    for _ in 0..12 {
        reasons.push(log_in("alice", "a wrong password").await);
    }
    assert_eq!(reasons.last().map(String::as_str), Some("throttled"), "{reasons:?}");
    assert_eq!(log_in("alice", PASSWORD).await, "throttled", "the right one too");
    assert_eq!(log_in("carol", "a wrong password").await, "secondary_refused");
}

// covers: E1
#[tokio::test]
async fn where_no_step_is_nothing_is_asked_and_a_rule_asks_all_the_same() {
    let trial =
        trial("login_step = \"none\"\n[[access.rule]]\nname = \"r\"\nservice = [\"sudo\"]\nthen = \"deny\"")
            .await;
    let reply = trial.begin("nobody", "sshd", None).await;
    let Next::Done { verdict, reference, .. } = reply.next else { panic!("a question") };
    assert_eq!((verdict, trial.explain(&reference).reason.as_str()), (Verdict::NotRequired, "no_login_step"));
    let asked = trial.ask("nobody", "sudo", None).await;
    let end = trial.answer(&asked, "123456").await;
    assert_eq!((end.verdict, trial.reason(&end).as_str()), (Verdict::Deny, "denied_by_rule"));
}

// covers: B11
#[tokio::test]
async fn a_code_of_a_token_opens_nothing_where_a_password_is_issued_on_request() {
    let trial = Trial::new().await;
    let key = trial.activate("alice").await;
    let code = trial.code(&key, 0);
    let trial = trial.restart_with(&config(APPROVAL)).await;
    let end = trial.login("alice", "sshd", &code).await;
    assert_eq!(end.verdict, Verdict::Deny);
    assert!(["wrong_code", "malformed"].contains(&trial.reason(&end).as_str()), "{}", trial.reason(&end));
    let request = wire::verify::Verify {
        request_id: trial.request_id().into(),
        user: "alice".into(),
        service: "vpn".into(),
        rhost: None,
        code: code.as_str().into(),
    };
    let direct = trial.service.dialogue.verify(request, None).await.unwrap();
    assert_eq!(direct.verdict, Verdict::Deny);
}
