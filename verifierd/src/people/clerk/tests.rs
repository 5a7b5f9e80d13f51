use super::*;
use crate::people::{Desk, People, Person};
use crate::trial::Trial;

fn people(trial: &Trial) -> &People {
    &trial.service.dialogue.people
}

fn account(name: &str) -> UserName {
    UserName::new(name).unwrap()
}

fn by(role: Role) -> By {
    By { actor: Actor::administrator("ann (admin)"), role }
}

fn somebody(login: &str, email: &str) -> NewPerson {
    NewPerson {
        login: account(login),
        email: EmailAddress::parse(email).unwrap(),
        name: None,
        role: Role::User,
        accounts: None,
        password: Some(secret("correct horse battery")),
    }
}

fn secret(text: &str) -> Zeroizing<String> {
    Zeroizing::new(text.into())
}

async fn add(trial: &Trial, login: &str, email: &str) -> Arc<PersonRecord> {
    people(trial).clerk().add(somebody(login, email), by(Role::Admin)).await.unwrap()
}

async fn signed_in(trial: &Trial, login: &str, password: &str) -> Option<Arc<Person>> {
    people(trial).check_password(login, &secret(password), Desk::Prompt).await.unwrap()
}

fn logins(persons: &[Arc<Person>]) -> Vec<&str> {
    persons.iter().map(|person| person.login.as_str()).collect()
}

// covers: C11
#[tokio::test]
async fn a_person_is_found_by_what_is_his_and_by_nothing_like_it() {
    let trial = Trial::new().await;
    let carol = add(&trial, "carol", "Carol@example.org").await;
    let people = people(&trial);
    let id = |found: Result<Option<Arc<Person>>, _>| found.unwrap().map(|person: Arc<Person>| person.id);
    for right in ["carol@example.org", "CAROL@EXAMPLE.ORG"] {
        assert_eq!(id(people.by_email(right).await), Some(carol.id), "{right}");
    }
    for wrong in [
        "carol+x@example.org",
        "carol@example.org.",
        " carol@example.org",
        "c\u{430}rol@example.org",
        "carol",
    ] {
        assert_eq!(id(people.by_email(wrong).await), None, "{wrong}");
    }
    assert_eq!(id(people.by_login("Carol").await), Some(carol.id));
    assert_eq!(id(people.by_login("carol ").await), None);
    assert_eq!(id(people.by_id(carol.id).await), Some(carol.id));
    assert_eq!(id(people.by_id(PersonId(carol.id.0 ^ 1)).await), None);
    assert_eq!(logins(&people.of_account(&account("carol")).await.unwrap()), ["carol"]);
    assert!(people.of_account(&account("Carol")).await.unwrap().is_empty());
}

// covers: E6, E1
#[tokio::test]
async fn a_password_is_checked_and_an_empty_or_missing_one_is_never_right() {
    let trial = Trial::new().await;
    add(&trial, "carol", "carol@example.org").await;
    let without = NewPerson { password: None, ..somebody("dave", "dave@example.org") };
    people(&trial).clerk().add(without, by(Role::Admin)).await.unwrap();
    assert_eq!(signed_in(&trial, "carol", "correct horse battery").await.unwrap().login, "carol");
    for (login, password) in [
        ("carol", "correct horse batterz"),
        ("carol", ""),
        ("dave", ""),
        ("dave", "correct horse battery"),
        ("erin", "correct horse battery"),
        ("", ""),
    ] {
        assert!(signed_in(&trial, login, password).await.is_none(), "{login:?} {password:?}");
    }
}

// covers: I07
#[tokio::test]
async fn whoever_is_disabled_is_not_found_and_his_sign_ins_end() {
    let trial = Trial::new().await;
    let carol = add(&trial, "carol", "carol@example.org").await;
    let clerk = people(&trial).clerk();
    let version = || async { people(&trial).by_id(carol.id).await.unwrap().map(|person| person.version()) };
    let first = version().await.unwrap();
    clerk.set_password("carol", secret("another horse battery"), by(Role::Admin)).await.unwrap();
    assert!(signed_in(&trial, "carol", "correct horse battery").await.is_none());
    assert!(signed_in(&trial, "carol", "another horse battery").await.is_some());
    let second = version().await.unwrap();
    let role = PersonChanges { role: Some(Role::Auditor), ..PersonChanges::default() };
    clerk.set("carol", role, by(Role::Admin)).await.unwrap();
    let third = version().await.unwrap();
    let enabled = |enabled| PersonChanges { enabled: Some(enabled), ..PersonChanges::default() };
    clerk.set("carol", enabled(false), by(Role::Admin)).await.unwrap();
    assert_eq!(version().await, None);
    assert!(people(&trial).by_login("carol").await.unwrap().is_none());
    assert!(people(&trial).by_email("carol@example.org").await.unwrap().is_none());
    assert!(people(&trial).of_account(&account("carol")).await.unwrap().is_empty());
    assert!(signed_in(&trial, "carol", "another horse battery").await.is_none());
    clerk.set("carol", enabled(true), by(Role::Admin)).await.unwrap();
    let versions = [first, second, third, version().await.unwrap()];
    assert!(versions.windows(2).all(|pair| pair[0] != pair[1]), "{versions:?}");
}

// covers: C05, I10
#[tokio::test]
async fn a_removed_persons_login_name_is_free_and_his_id_is_not() {
    let trial = Trial::new().await;
    let first = add(&trial, "carol", "carol@example.org").await;
    people(&trial).clerk().remove("CAROL", by(Role::Admin)).await.unwrap();
    assert!(people(&trial).by_login("carol").await.unwrap().is_none());
    let second = add(&trial, "carol", "carol@example.org").await;
    assert_ne!(first.id, second.id);
    assert!(people(&trial).by_id(first.id).await.unwrap().is_none());
    let trial = trial.restart_with("version = 1").await;
    assert!(people(&trial).by_id(first.id).await.unwrap().is_none());
    assert_eq!(people(&trial).by_login("carol").await.unwrap().unwrap().id, second.id);
}

// covers: C05
#[tokio::test]
async fn two_persons_share_neither_login_name_nor_address_also_when_they_come_at_once() {
    let trial = Trial::new().await;
    add(&trial, "carol", "carol@example.org").await;
    let clerk = people(&trial).clerk();
    let refused = |login, email| clerk.add(somebody(login, email), by(Role::Admin));
    assert!(matches!(refused("Carol", "x@example.org").await, Err(PersonError::LoginTaken { .. })));
    let taken = refused("dave", "CAROL@example.org").await.unwrap_err();
    assert!(taken.to_string().contains("is the address of carol"), "{taken}");
    add(&trial, "dave", "carol+x@example.org").await;
    let email = Some(EmailAddress::parse("carol@Example.org").unwrap());
    let set = clerk.set("dave", PersonChanges { email, ..PersonChanges::default() }, by(Role::Admin)).await;
    assert!(matches!(set, Err(PersonError::AddressTaken { .. })), "{set:?}");
    let at_once = tokio::join!(refused("erin", "e@example.org"), refused("fred", "e@example.org"));
    assert_eq!([at_once.0, at_once.1].iter().filter(|added| added.is_ok()).count(), 1);
}

// covers: E1
#[tokio::test]
async fn an_account_is_shared_and_taken_back() {
    let trial = Trial::new().await;
    for login in ["carol", "dave"] {
        add(&trial, login, &format!("{login}@example.org")).await;
        people(&trial).clerk().share(login, account("deploy"), by(Role::Admin)).await.unwrap();
    }
    let trial = trial.restart_with("version = 1").await;
    let clerk = people(&trial).clerk();
    let mut sharing = people(&trial).of_account(&account("deploy")).await.unwrap();
    sharing.sort_by(|one, other| one.login.cmp(&other.login));
    assert_eq!(logins(&sharing), ["carol", "dave"]);
    assert_eq!(sharing[0].accounts, [account("carol"), account("deploy")]);
    let again = clerk.share("carol", account("deploy"), by(Role::Admin)).await;
    assert!(matches!(again, Err(PersonError::SharedAlready { .. })));
    clerk.unshare("carol", account("deploy"), by(Role::Admin)).await.unwrap();
    assert_eq!(logins(&people(&trial).of_account(&account("deploy")).await.unwrap()), ["dave"]);
    let twice = clerk.unshare("carol", account("deploy"), by(Role::Admin)).await;
    assert!(matches!(twice, Err(PersonError::NotShared { .. })));
}

// covers: I05
#[tokio::test]
async fn nobody_gives_or_takes_rights_that_he_has_not() {
    let trial = Trial::new().await;
    let clerk = people(&trial).clerk();
    let chief = NewPerson { role: Role::Super, ..somebody("chief", "chief@example.org") };
    let refused = clerk.add(chief.clone(), by(Role::Admin)).await;
    assert!(matches!(refused, Err(PersonError::MoreRights { .. })), "{refused:?}");
    clerk.add(chief, by(Role::Super)).await.unwrap();
    add(&trial, "carol", "carol@example.org").await;
    let admin = || by(Role::Admin);
    let higher = PersonChanges { role: Some(Role::Super), ..PersonChanges::default() };
    let off = PersonChanges { enabled: Some(false), ..PersonChanges::default() };
    let tries = [
        clerk.set("carol", higher, admin()).await,
        clerk.set("chief", off, admin()).await,
        clerk.set_password("chief", secret("another horse battery"), admin()).await,
        clerk.share("chief", account("deploy"), admin()).await,
        clerk.unshare("chief", account("chief"), admin()).await,
        clerk.remove("chief", admin()).await,
    ];
    for (number, refused) in tries.iter().enumerate() {
        assert!(matches!(refused, Err(PersonError::MoreRights { .. })), "{number}: {refused:?}");
    }
    assert!(signed_in(&trial, "chief", "correct horse battery").await.is_some());
}

// covers: C13, P7
#[tokio::test]
async fn each_change_is_on_record_and_no_password_is() {
    let trial = Trial::new().await;
    add(&trial, "carol", "carol@example.org").await;
    let clerk = people(&trial).clerk();
    let email = Some(EmailAddress::parse("c@example.org").unwrap());
    clerk.set("carol", PersonChanges { email, ..PersonChanges::default() }, by(Role::Admin)).await.unwrap();
    clerk.set_password("carol", secret("another horse battery"), by(Role::Admin)).await.unwrap();
    let nothing = clerk.set("carol", PersonChanges::default(), by(Role::Admin)).await;
    assert!(matches!(nothing, Err(PersonError::Nothing)));
    clerk.remove("carol", by(Role::Admin)).await.unwrap();
    let told: Vec<_> =
        trial.audit().into_iter().filter(|record| record.event.starts_with("person_")).collect();
    let events: Vec<_> = told.iter().map(|record| record.event.as_str()).collect();
    assert_eq!(events, ["person_added", "person_changed", "person_changed", "person_removed"]);
    assert!(told.iter().all(|record| record.person.as_deref() == Some("carol")));
    assert!(told.iter().all(|record| record.actor.as_deref() == Some("ann (admin)")));
    let detail = told[1].detail.as_deref().unwrap();
    assert!(detail.ends_with("address c@example.org instead of carol@example.org"), "{detail}");
    let all = format!("{:?}", trial.audit());
    assert!(!all.contains("horse") && !all.contains("argon2"), "{all}");
}

#[tokio::test]
async fn what_is_too_much_is_refused_by_name() {
    let trial = Trial::new().await;
    let clerk = people(&trial).clerk();
    let add = |new| clerk.add(new, by(Role::Admin));
    let long = add(somebody(&"a".repeat(65), "a@example.org")).await;
    assert!(matches!(long, Err(PersonError::LoginTooLong { .. })));
    for name in ["", " ", "a\u{1b}[2J", "a\u{202e}b", &"x".repeat(129)] {
        let odd = NewPerson { name: Some(name.into()), ..somebody("carol", "carol@example.org") };
        assert!(matches!(add(odd).await, Err(PersonError::Name)), "{name:?}");
    }
    let short = NewPerson { password: Some(secret("short")), ..somebody("carol", "carol@example.org") };
    assert!(matches!(add(short).await, Err(PersonError::Password(_))));
    let many = (0..=ACCOUNTS_MAX).map(|number| account(&format!("a{number}"))).collect();
    let many = NewPerson { accounts: Some(many), ..somebody("carol", "carol@example.org") };
    assert!(matches!(add(many).await, Err(PersonError::TooManyAccounts)));
    for number in 0..SHARING_MAX {
        let accounts = Some(vec![account("deploy")]);
        let new = somebody(&format!("p{number}"), &format!("p{number}@example.org"));
        add(NewPerson { accounts, password: None, ..new }).await.unwrap();
    }
    let more =
        NewPerson { accounts: Some(vec![account("deploy")]), ..somebody("carol", "carol@example.org") };
    assert!(matches!(add(more).await, Err(PersonError::TooManySharing { .. })));
    assert_eq!(people(&trial).of_account(&account("deploy")).await.unwrap().len(), SHARING_MAX);
}
