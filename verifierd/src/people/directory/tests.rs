//! What can be seen without a directory: what is never asked, how it is asked, and that no answer is an error. With a real
//! one: `tests/tests/people.rs`.

use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};

use wire::admin::Role;

use super::*;
use crate::accounts::Actor;
use crate::clock::ManualClock;
use crate::people::{By, NewPerson, PersonOrigin};
use crate::trial::{NOON, Trial};

/// Nobody listens there: it was ours a moment ago.
fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn config(folder: &tempfile::TempDir, port: u16) -> DirectoryConfig {
    let authority = rcgen::generate_simple_self_signed(["localhost".into()]).unwrap();
    let trust_file = folder.path().join("authority.pem");
    std::fs::write(&trust_file, authority.cert.pem()).unwrap();
    DirectoryConfig {
        url: format!("ldaps://localhost:{port}"),
        login: None,
        trust_file: Some(trust_file),
        base: "dc=example".into(),
        filter: "(objectClass=person)".into(),
        attributes: DirectoryAttributes::default(),
        roles: Default::default(),
    }
}

fn directory(port: u16) -> Directory {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(NOON));
    Directory::open(&config(&folder, port), &MasterKey::generate().unwrap(), clock).unwrap()
}

fn secret(text: &str) -> Zeroizing<String> {
    Zeroizing::new(text.into())
}

// covers: E1, E6
#[tokio::test]
async fn an_empty_password_is_wrong_before_the_directory_is_asked() {
    let directory = directory(closed_port());
    for empty in ["", "\0", "x\0y"] {
        assert_eq!(
            directory.check_password(Some("carol"), &secret(empty), Desk::Prompt).await.unwrap(),
            None,
            "{empty:?}"
        );
    }
    let asked = directory.check_password(Some("carol"), &secret("x"), Desk::Prompt).await;
    assert!(matches!(asked, Err(DirectoryError::Connection(_))), "{asked:?}");
}

// covers: E5
#[tokio::test]
async fn a_directory_that_does_not_answer_is_an_error_and_not_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let trust = config(&folder, 1).trust_file.unwrap();
    let (port, quoted) = (closed_port(), trust.display());
    let trial = Trial::with_config(&format!(
        "version = 1\n[directory]\nurl = \"ldaps://localhost:{port}\"\nbase = \"dc=x\"\ntrust_file = \"{quoted}\""
    ))
    .await;
    let people = &trial.service.dialogue.people;
    assert!(people.of_account(&UserName::new("carol").unwrap()).await.is_err());
    assert!(people.by_login("carol").await.is_err());
    assert!(people.by_email("carol@example.org").await.is_err());
    assert!(people.by_id(PersonId(7)).await.is_err());
    assert!(people.check_password("carol", &secret("x"), Desk::Prompt).await.is_err());
    assert!(people.by_email("not an address").await.unwrap().is_none());
}

/// A service with this directory, and Carol of our own records, who may use `deploy`.
async fn trial_with(port: u16) -> Trial {
    let folder = tempfile::tempdir().unwrap();
    let trust = config(&folder, 1).trust_file.unwrap();
    let trial = Trial::with_config(&format!(
        "version = 1\n[access]\nlogin_step = \"secondary\"\n[directory]\nurl = \"ldaps://localhost:{port}\"\n\
         base = \"dc=x\"\ntrust_file = \"{}\"",
        trust.display()
    ))
    .await;
    let name = |text: &str| UserName::new(text).unwrap();
    let new = NewPerson {
        login: name("carol"),
        email: EmailAddress::parse("carol@example.org").unwrap(),
        name: None,
        role: Role::User,
        accounts: Some(vec![name("deploy")]),
        password: Some(secret("correct horse battery")),
    };
    let by = By { actor: Actor::administrator("root"), role: Role::Super };
    trial.service.dialogue.people.clerk().add(new, by).await.unwrap();
    trial
}

// covers: E1, E6
#[tokio::test]
async fn a_directory_that_is_away_refuses_nobody_of_our_own_records() {
    let trial = trial_with(closed_port()).await;
    let log_in = async |account: &str, login: &str, password: &str| {
        let asked = trial.ask(account, "sshd", Some("192.0.2.1")).await;
        let asked = trial.go_on(&asked, login).await;
        let end = trial.answer(&asked, password).await;
        trial.reason(&end)
    };
    assert_eq!(log_in("deploy", "carol", "correct horse battery").await, "secondary");
    // Neither the reason nor the text says whose password was right.
    assert_eq!(log_in("other", "carol", "correct horse battery").await, "secondary_refused");
    assert_eq!(log_in("deploy", "carol", "a wrong password").await, "secondary_refused");
    assert_eq!(log_in("deploy", "nobody", "a wrong password").await, "people_unavailable");
}

// covers: C11
#[tokio::test]
async fn a_wrong_password_of_our_own_records_costs_a_question_too_and_tells_nothing_of_itself() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    // It ends with the process: nobody wakes it.
    std::thread::spawn(move || {
        while listener.accept().is_ok() {
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    let trial = trial_with(port).await;
    let people = &trial.service.dialogue.people;
    let check =
        async |login, password: &str| people.check_password(login, &secret(password), Desk::Prompt).await;
    assert!(check("carol", "correct horse battery").await.unwrap().is_some());
    assert_eq!(connections.load(Ordering::SeqCst), 0, "whoever is let in waits for nothing");
    assert!(check("carol", "a wrong password").await.unwrap().is_none());
    assert_eq!(connections.load(Ordering::SeqCst), 1);
    assert!(check("nobody", "a wrong password").await.is_err());
    assert_eq!(connections.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn what_was_answered_is_not_asked_for_again_within_the_minute() {
    let directory = directory(closed_port());
    let question = Question::Login("carol".into());
    directory.cache.put(question.clone(), Found::from([]), directory.clock.elapsed());
    assert!(directory.find(question).await.unwrap().is_empty());
    assert!(directory.find(Question::Login("dave".into())).await.is_err());
}

#[test]
fn nothing_that_is_typed_becomes_a_part_of_the_filter() {
    let directory = directory(1);
    let condition = |login: &str| directory.terms.condition(&Question::Login(login.into()));
    assert_eq!(condition("carol").unwrap(), "(uid=carol)");
    assert_eq!(condition("*").unwrap(), "(uid=\\2a)");
    assert_eq!(condition("x)(uid=*").unwrap(), "(uid=x\\29\\28uid=\\2a)");
    assert_eq!(condition("a\\b\0").unwrap(), "(uid=a\\5cb\\00)");
    assert_eq!((condition(""), condition(&"x".repeat(255))), (None, None));
    let email = EmailAddress::parse("o'brien+x@example.org").unwrap();
    assert_eq!(directory.terms.condition(&Question::Email(email)).unwrap(), "(mail=o'brien+x@example.org)");
}

// covers: C11
#[test]
fn what_a_directory_takes_for_the_same_is_compared_again() {
    let account = |name: &str| UserName::new(name).unwrap();
    let person = Person {
        id: PersonId(7),
        login: "mike".into(),
        email: EmailAddress::parse("Mike@example.org").ok(),
        name: "Mike".into(),
        origin: PersonOrigin::Directory,
        accounts: vec![account("mike")],
        role: Role::User,
        version: 0,
    };
    let email = |text: &str| Question::Email(EmailAddress::parse(text).unwrap());
    for right in [
        Question::Login("mike".into()),
        email("mike@EXAMPLE.org"),
        Question::Account(account("mike")),
        Question::Id(PersonId(7)),
    ] {
        assert!(fits(&person, &right), "{right:?}");
    }
    for wrong in [
        Question::Login("m\u{131}ke".into()),
        Question::Login("mike ".into()),
        email("mike+x@example.org"),
        Question::Account(account("Mike")),
        Question::Id(PersonId(8)),
    ] {
        assert!(!fits(&person, &wrong), "{wrong:?}");
    }
}

#[test]
fn files_that_are_missing_or_empty_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let (master, clock) = (MasterKey::generate().unwrap(), Arc::new(ManualClock::at(NOON)));
    let fault =
        |config: DirectoryConfig| Directory::open(&config, &master, clock.clone()).unwrap_err().to_string();
    let good = config(&folder, 1);
    let empty = folder.path().join("empty");
    std::fs::write(&empty, "\n").unwrap();
    std::fs::set_permissions(&empty, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let trust = |path: &std::path::Path| DirectoryConfig { trust_file: Some(path.into()), ..good.clone() };
    assert!(fault(trust(&folder.path().join("gone"))).contains("directory.trust_file"));
    assert!(fault(trust(&empty)).contains("no certificate of an authority"));
    let login = Some(("cn=postern".into(), empty.clone()));
    assert!(fault(DirectoryConfig { login, ..good.clone() }).contains("one line of text"));
}
