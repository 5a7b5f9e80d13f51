//! Keys from the page on which they are added to the sign-in that they end, with an authenticator made of software.

use std::time::Duration;

use hyper::{Method, StatusCode};
use ledger::StartState;
use serde_json::Value;

use super::authenticator::{Authenticator, PRESENT};
use crate::accounts::Actor;
use crate::people::keys::{KeyringError, NewKey};
use crate::people::{Person, PersonId};
use crate::web::tests::{Answer, BASE, Browser, DESK, PASSWORD, Site};

const SECOND: Duration = Duration::from_secs(1);

impl Browser<'_> {
    /// Adds a key with one-time password `code`.
    async fn add(&mut self, name: &str, code: &str, key: &Authenticator) -> Answer {
        let asked = self.post("/account/keys/begin", &[("name", name), ("code", code)]).await;
        if asked.status != StatusCode::OK {
            return asked;
        }
        self.post("/account/keys/finish", &[("answer", &key.make(&asked.json()))]).await
    }

    /// Half-way again, with a question for a key.
    async fn asked_for_key(&mut self) -> Value {
        assert_eq!(self.give_password(PASSWORD).await.status, StatusCode::SEE_OTHER);
        let asked = self.post("/sign-in/key/begin", &[]).await;
        assert_eq!(asked.status, StatusCode::OK, "{}", asked.body);
        asked.json()
    }

    async fn give_key(&mut self, answer: &str) -> Answer {
        self.post("/sign-in/key", &[("answer", answer)]).await
    }
}

impl Site {
    /// Carol with a key, and signed out.
    async fn with_key() -> (Self, Authenticator) {
        let site = Self::new().await;
        let key = Authenticator::new(BASE);
        let mut carol = site.carol().await;
        let added = carol.add("blue", &site.code(), &key).await;
        assert_eq!(added.json()["to"], "/account/keys", "{}", added.body);
        (site, key)
    }

    fn last_reason(&self) -> (String, Option<String>) {
        let record = self.trial.audit().pop().unwrap();
        (record.reason, record.detail)
    }
}

// covers: I07, I11
#[tokio::test]
async fn a_key_is_added_with_a_code_and_stands_for_one_after_the_password() {
    let (site, mut key) = Site::with_key().await;
    let mut carol = site.browser(DESK);
    let page = carol.send(Method::GET, "/sign-in", &[]).await;
    assert!(!page.body.contains("keys.js"), "before the password nothing tells whether she has a key");
    let question = carol.asked_for_key().await;
    assert_eq!(question["publicKey"]["rpId"], "otp.example.org");
    assert_eq!(question["publicKey"]["userVerification"], "required");
    assert!(carol.send(Method::GET, "/sign-in", &[]).await.body.contains("Use a security key"));
    let half_way = carol.cookie.clone();
    let answer = carol.give_key(&key.sign(&question)).await;
    assert_eq!((answer.status, &answer.json()["to"]), (StatusCode::OK, &Value::from("/")));
    assert!(carol.is_in().await && carol.cookie != half_way, "under another name");
    let records = site.trial.audit();
    let login = records.iter().rfind(|record| record.reason == "security_key").unwrap();
    assert_eq!((login.event.as_str(), login.person.as_deref()), ("login", Some("carol")));
    let added = records.iter().find(|record| record.event == "security_key_added").unwrap();
    assert_eq!(
        (added.reason.as_str(), added.actor.as_deref(), added.person.as_deref()),
        ("owner", Some("person carol (user)"), Some("carol"))
    );
    let page = carol.send(Method::GET, "/account/keys", &[]).await;
    assert!(page.status == StatusCode::OK && page.body.contains("blue"), "{}", page.body);
    // It is there after a restart.
    let site = site.restarted(StartState::Clean).await;
    let mut carol = site.browser(DESK);
    let question = carol.asked_for_key().await;
    assert_eq!(carol.give_key(&key.sign(&question)).await.status, StatusCode::OK);
}

// covers: I11
#[tokio::test]
async fn a_key_that_somebody_has_is_nobody_elses() {
    let (site, _) = Site::with_key().await;
    let people = &site.trial.service.dialogue.people;
    let carol = people.by_login("carol").await.unwrap().unwrap();
    let credential = people.keyring().of(carol.id)[0].credential.clone();
    let mut another = Person::clone(&carol);
    (another.id, another.login) = (PersonId(7), "dave".into());
    for person in [&another, &*carol] {
        let new = NewKey { name: "hers".into(), credential: credential.clone() };
        let refused = people.keyring().add(person, new, Actor::owner("x")).await;
        assert!(matches!(refused, Err(KeyringError::InUse)), "{refused:?}");
    }
    let mut other = credential;
    other["cred"]["cred_id"] = "AAAA".into();
    let new = NewKey { name: "other".into(), credential: other };
    people.keyring().add(&another, new, Actor::owner("x")).await.unwrap();
}

// covers: A01, I07
#[tokio::test]
async fn what_a_key_signed_counts_once_and_for_the_session_that_asked() {
    let (site, mut key) = Site::with_key().await;
    let mut carol = site.browser(DESK);
    let question = carol.asked_for_key().await;
    let answer = key.sign(&question);
    // A thief who knows the password and sees the answer has another question, or none.
    let mut thief = site.browser("203.0.113.9");
    thief.asked_for_key().await;
    assert_eq!(thief.give_key(&answer).await.status, StatusCode::FORBIDDEN);
    assert_eq!(thief.give_key(&answer).await.status, StatusCode::FORBIDDEN);
    let same_session = carol.cookie.clone();
    assert_eq!(carol.give_key(&answer).await.status, StatusCode::OK);
    for cookie in [same_session, carol.cookie.clone()] {
        let mut again = site.browser(DESK);
        again.cookie = cookie;
        assert_eq!(again.give_key(&answer).await.status, StatusCode::FORBIDDEN);
    }
    let mut later = site.browser(DESK);
    later.give_password(PASSWORD).await;
    assert_eq!(later.give_key(&answer).await.status, StatusCode::FORBIDDEN, "nothing was asked");
    assert_eq!(site.last_reason().0, "security_key_refused");
}

#[tokio::test]
async fn a_question_that_was_answered_wrongly_is_gone_and_one_is_good_for_five_minutes() {
    let (site, mut key) = Site::with_key().await;
    let mut carol = site.browser(DESK);
    let question = carol.asked_for_key().await;
    assert_eq!(carol.give_key("{}").await.status, StatusCode::FORBIDDEN);
    assert_eq!(carol.give_key(&key.sign(&question)).await.status, StatusCode::FORBIDDEN);
    let mut carol = site.carol().await;
    let asked = carol.post("/account/keys/begin", &[("name", "red"), ("code", &site.code())]).await;
    site.trial.advance(300 * SECOND);
    let late = carol
        .post("/account/keys/finish", &[("answer", &Authenticator::new(BASE).make(&asked.json()))])
        .await;
    assert_eq!(late.status, StatusCode::FORBIDDEN, "{}", late.body);
}

// covers: C04, I07
#[tokio::test]
async fn another_page_another_key_and_a_key_that_verified_nobody_open_nothing() {
    let (site, key) = Site::with_key().await;
    let mut carol = site.browser(DESK);
    let question = carol.asked_for_key().await;
    let mut elsewhere = key;
    elsewhere.origin = "https://otp.example.org.evil.example".into();
    assert_eq!(carol.give_key(&elsewhere.sign(&question)).await.status, StatusCode::FORBIDDEN);
    elsewhere.origin = BASE.into();
    elsewhere.flags = PRESENT;
    let question = carol.asked_for_key().await;
    assert_eq!(carol.give_key(&elsewhere.sign(&question)).await.status, StatusCode::FORBIDDEN);
    let question = carol.asked_for_key().await;
    assert_eq!(carol.give_key(&Authenticator::new(BASE).sign(&question)).await.status, StatusCode::FORBIDDEN);
    assert!(!carol.is_in().await);
}

#[tokio::test]
async fn a_key_that_has_signed_as_often_before_is_refused_and_told() {
    let site = Site::new().await;
    let mut key = Authenticator::new(BASE).counting_from(5);
    let mut carol = site.carol().await;
    carol.add("blue", &site.code(), &key).await;
    let mut browser = site.browser(DESK);
    let question = browser.asked_for_key().await;
    assert_eq!(browser.give_key(&key.sign(&question)).await.status, StatusCode::OK);
    key.counter = 5;
    let question = browser.asked_for_key().await;
    assert_eq!(browser.give_key(&key.sign(&question)).await.status, StatusCode::FORBIDDEN);
    let (reason, detail) = site.last_reason();
    assert!(
        reason == "security_key_refused" && detail.as_deref().unwrap().contains("a copy of it"),
        "{detail:?}"
    );
    // Two questions at once: the lower count loses, whichever question is the older one.
    let (mut one, mut other) = (site.browser(DESK), site.browser("198.51.100.7"));
    let (first, second) = (one.asked_for_key().await, other.asked_for_key().await);
    key.counter = 8;
    assert_eq!(other.give_key(&key.sign(&second)).await.status, StatusCode::OK);
    key.counter = 7;
    assert_eq!(one.give_key(&key.sign(&first)).await.status, StatusCode::FORBIDDEN);
}

// covers: B01, B03
#[tokio::test]
async fn failed_answers_slow_like_wrong_codes() {
    let (site, mut key) = Site::with_key().await;
    let mut guesser = site.browser("203.0.113.9");
    for _ in 0..5 {
        guesser.asked_for_key().await;
        assert_eq!(guesser.give_key("{}").await.status, StatusCode::FORBIDDEN);
    }
    let question = guesser.asked_for_key().await;
    assert_eq!(guesser.give_key(&key.sign(&question)).await.status, StatusCode::FORBIDDEN);
    assert_eq!(site.last_reason().0, "throttled");
    let mut carol = site.browser(DESK);
    let question = carol.asked_for_key().await;
    assert_eq!(carol.give_key(&key.sign(&question)).await.status, StatusCode::OK, "but not at her desk");
}

// covers: I11
#[tokio::test]
async fn a_session_alone_adds_and_removes_no_key() {
    let (site, mut blue) = Site::with_key().await;
    let mut carol = site.carol().await;
    let red = Authenticator::new(BASE);
    let keys = || site.trial.service.dialogue.people.keyring().of(site.carol_id());
    for fields in [&[("name", "red")][..], &[("name", "red"), ("code", "000000")]] {
        let refused = carol.post("/account/keys/begin", fields).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.body);
    }
    let unasked = carol.post("/account/keys/finish", &[("answer", "{}")]).await;
    assert_eq!(unasked.status, StatusCode::FORBIDDEN);
    let path = format!("/account/keys/{}/remove", keys()[0].id);
    assert_eq!(carol.post(&path, &[]).await.status, StatusCode::FORBIDDEN);
    let foreign = carol.send(Method::POST, &path, &[("code", &site.code())]).await;
    assert_eq!((foreign.status, keys().len()), (StatusCode::FORBIDDEN, 1), "no form of this session");
    // With the key that she has, she adds another, and with that one removes the first.
    let question = carol.post("/account/keys/challenge", &[]).await.json();
    let fields = [("name", "red"), ("answer", &*blue.sign(&question))];
    let asked = carol.post("/account/keys/begin", &fields).await.json();
    assert_eq!(
        carol.post("/account/keys/finish", &[("answer", &red.make(&asked))]).await.status,
        StatusCode::OK
    );
    let mut red = red;
    let question = carol.post("/account/keys/challenge", &[]).await.json();
    let removed = carol.post(&path, &[("answer", &red.sign(&question))]).await;
    assert_eq!((removed.status, keys().len()), (StatusCode::SEE_OTHER, 1));
    assert!(carol.is_in().await, "nothing else ends by it");
    let mut later = site.browser(DESK);
    let question = later.asked_for_key().await;
    assert_eq!(later.give_key(&blue.sign(&question)).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_person_has_eight_keys_each_with_a_name_that_can_be_shown() {
    let site = Site::new().await;
    let mut carol = site.carol().await;
    for name in ["", "\u{202e}red", &"x".repeat(41)] {
        let refused = carol.post("/account/keys/begin", &[("name", name), ("code", &site.code())]).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{name:?}");
    }
    for number in 0..8 {
        let added = carol.add(&format!("key {number}"), &site.code(), &Authenticator::new(BASE)).await;
        assert_eq!(added.status, StatusCode::OK, "{}", added.body);
        let twice =
            carol.post("/account/keys/begin", &[("name", &format!("key {number}")), ("code", "0")]).await;
        assert_eq!(twice.status, StatusCode::CONFLICT);
    }
    let ninth = carol.add("key 9", &site.code(), &Authenticator::new(BASE)).await;
    assert!(ninth.status == StatusCode::CONFLICT && ninth.body.contains("8 keys"), "{}", ninth.body);
}

// covers: I07, I11
#[tokio::test]
async fn a_key_that_is_removed_ends_the_sign_ins_that_it_made() {
    let (site, mut key) = Site::with_key().await;
    let (mut by_code, mut by_key) = (site.carol().await, site.browser(DESK));
    let question = by_key.asked_for_key().await;
    assert_eq!(by_key.give_key(&key.sign(&question)).await.status, StatusCode::OK);
    // Another password of her own leaves this one browser signed in, by the key as before.
    let next = "another battery, a better one";
    let fields = [("present", PASSWORD), ("password", next), ("again", next)];
    assert_eq!(by_key.post("/account/password", &fields).await.status, StatusCode::SEE_OTHER);
    assert!(by_key.is_in().await && !by_code.is_in().await);
    by_code.give_password(next).await;
    by_code.give_code(&site.code()).await;
    let people = &site.trial.service.dialogue.people;
    let carol = people.by_login("carol").await.unwrap().unwrap();
    people.keyring().remove(&carol, None, crate::accounts::Actor::administrator("root")).await.unwrap();
    assert!(!by_key.is_in().await && by_code.is_in().await);
}

// covers: I07, I11
#[tokio::test]
async fn whoever_removes_the_key_that_he_signed_in_with_stays_by_what_proves_him() {
    for is_same in [false, true] {
        let (site, mut blue) = Site::with_key().await;
        let path = format!(
            "/account/keys/{}/remove",
            site.trial.service.dialogue.people.keyring().of(site.carol_id())[0].id
        );
        let (mut here, mut thief) = (site.browser(DESK), site.browser("203.0.113.9"));
        let question = here.asked_for_key().await;
        here.give_key(&blue.sign(&question)).await;
        thief.cookie.clone_from(&here.cookie);
        let code = site.code();
        let proof = if is_same {
            let question = here.post("/account/keys/challenge", &[]).await.json();
            ("answer", blue.sign(&question))
        } else {
            ("code", code)
        };
        assert_eq!(here.post(&path, &[(proof.0, &proof.1)]).await.status, StatusCode::SEE_OTHER);
        assert_eq!(here.is_in().await, !is_same, "by the removed key alone nobody stays");
        assert!(!thief.is_in().await, "under another name");
    }
}

// covers: I10
#[tokio::test]
async fn whoever_is_removed_takes_his_keys_with_him() {
    let (site, _) = Site::with_key().await;
    let people = &site.trial.service.dialogue.people;
    let id = site.carol_id();
    people.clerk().remove("carol", crate::web::tests::root()).await.unwrap();
    assert!(people.keyring().of(id).is_empty());
    let site = site.restarted(StartState::Clean).await;
    assert!(site.trial.service.dialogue.people.keyring().of(id).is_empty());
}
