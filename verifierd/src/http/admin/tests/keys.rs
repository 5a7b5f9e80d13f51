//! Keys of persons through the routes: who makes, sees and ends them.

use std::time::Duration;

use super::*;
use crate::http::roles::ShownKey;
use crate::people::Person;

const DAY: u64 = 86_400;

fn wish(login: &str, name: &str, more: &str) -> String {
    format!(r#"{{"login":"{login}","name":"{name}","valid_seconds":{DAY}{more}}}"#)
}

async fn person(trial: &Trial, login: &str, role: &str) -> Arc<Person> {
    let body = json!({"login": login, "email": format!("{login}@example.org"), "role": role}).to_string();
    let root = caller("root", Role::Super);
    assert_eq!(ask(trial, &root, Method::POST, "/v1/persons", &body).await.0, StatusCode::OK);
    trial.service.dialogue.people.by_login(login).await.unwrap().unwrap()
}

/// Whom a secret opens to, and how far.
async fn opens(trial: &Trial, secret: &str) -> Option<Role> {
    let held = trial.service.administration.keys.find(secret.as_bytes())?;
    let person = trial.service.dialogue.people.by_id(held.record.person).await.unwrap()?;
    held.caller_role(&person)
}

// covers: I05, C13
#[tokio::test]
async fn a_key_is_told_once_and_is_its_persons() {
    let trial = Trial::new().await;
    person(&trial, "carol", "helpdesk").await;
    let ann = caller("ann", Role::Admin);
    let made = ask(&trial, &ann, Method::POST, "/v1/keys", &wish("carol", "nightly", "")).await;
    let secret = made.1["secret"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("postern_") && secret.len() == 51, "{secret}");
    assert_eq!((&made.1["key"]["role"], &made.1["key"]["is_his_own"]), (&json!("helpdesk"), &json!(false)));
    assert_eq!(opens(&trial, &secret).await, Some(Role::Helpdesk));
    let listed = ask(&trial, &ann, Method::GET, "/v1/keys?person=CAROL", "").await;
    assert_eq!(listed.1["items"], json!([made.1["key"]]));
    assert!(!listed.1.to_string().contains(&secret));
    let trail = format!("{:?}", trial.audit());
    assert!(trail.contains("person_key_added") && !trail.contains(&secret), "{trail}");
    // One letter else, and nothing opens.
    let other = format!("{}{}", &secret[..50], if secret.ends_with('A') { 'B' } else { 'A' });
    assert_eq!((opens(&trial, &other).await, opens(&trial, "").await), (None, None));
}

// covers: I05
#[tokio::test]
async fn a_key_ends_when_it_is_revoked_with_its_time_and_with_its_person() {
    let trial = Trial::new().await;
    person(&trial, "carol", "auditor").await;
    let ann = caller("ann", Role::Admin);
    let key = async |name: &str| {
        let made = ask(&trial, &ann, Method::POST, "/v1/keys", &wish("carol", name, "")).await.1;
        (made["key"]["id"].as_str().unwrap().to_owned(), made["secret"].as_str().unwrap().to_owned())
    };
    let (id, revoked) = key("revoked").await;
    let path = format!("/v1/keys/{id}");
    assert_eq!(ask(&trial, &ann, Method::DELETE, &path, "").await.0, StatusCode::OK);
    assert_eq!(opens(&trial, &revoked).await, None);
    assert_eq!(ask(&trial, &ann, Method::DELETE, &path, "").await.0, StatusCode::NOT_FOUND);
    let (_, old) = key("old").await;
    let change = r#"{"role":"admin"}"#;
    let root = caller("root", Role::Super);
    assert_eq!(ask(&trial, &root, Method::PUT, "/v1/persons/carol", change).await.0, StatusCode::OK);
    assert_eq!(opens(&trial, &old).await, None, "another role");
    let (_, disabled) = key("disabled").await;
    for change in [r#"{"enabled":false}"#, r#"{"enabled":true}"#] {
        assert!(opens(&trial, &old).await.is_none());
        ask(&trial, &root, Method::PUT, "/v1/persons/carol", change).await;
        assert_eq!(opens(&trial, &disabled).await, None, "{change}");
    }
    let (_, late) = key("late").await;
    trial.clock.advance(Duration::from_secs(DAY - 1));
    assert!(opens(&trial, &late).await.is_some());
    trial.clock.advance(Duration::from_secs(1));
    assert_eq!(opens(&trial, &late).await, None);
    let states = ask(&trial, &ann, Method::GET, "/v1/keys", "").await;
    let states: Vec<_> =
        states.1["items"].as_array().unwrap().iter().map(|key| key["state"].clone()).collect();
    assert_eq!(states, ["expired"; 3]);
    // The next one takes their place.
    key("new").await;
    assert_eq!(ask(&trial, &ann, Method::GET, "/v1/keys", "").await.1["items"].as_array().unwrap().len(), 1);
}

// covers: I05
#[tokio::test]
async fn a_key_opens_no_further_than_it_was_made_to() {
    let trial = Trial::new().await;
    person(&trial, "carol", "admin").await;
    let root = caller("root", Role::Super);
    let lesser = wish("carol", "reads", r#","role":"auditor""#);
    let made = ask(&trial, &root, Method::POST, "/v1/keys", &lesser).await.1;
    assert_eq!(opens(&trial, made["secret"].as_str().unwrap()).await, Some(Role::Auditor));
}

// covers: I05
#[tokio::test]
async fn a_key_outlives_a_restart() {
    let trial = Trial::new().await;
    person(&trial, "carol", "auditor").await;
    let ann = caller("ann", Role::Admin);
    let made = ask(&trial, &ann, Method::POST, "/v1/keys", &wish("carol", "nightly", "")).await.1;
    let trial = trial.restart_with("version = 1").await;
    assert_eq!(opens(&trial, made["secret"].as_str().unwrap()).await, Some(Role::Auditor));
}

// covers: I05
#[tokio::test]
async fn nobody_makes_a_key_with_more_rights_than_his_own() {
    let trial = Trial::new().await;
    let [carol, chief] = [person(&trial, "carol", "helpdesk").await, person(&trial, "chief", "super").await];
    let ann = caller("ann", Role::Admin);
    let status = async |who: &Caller, body: String| ask(&trial, who, Method::POST, "/v1/keys", &body).await.0;
    assert_eq!(status(&ann, wish("chief", "x", r#","role":"user""#)).await, StatusCode::FORBIDDEN);
    assert_eq!(status(&ann, wish("carol", "x", r#","role":"admin""#)).await, StatusCode::FORBIDDEN);
    assert_eq!(status(&ann, wish("carol", "x", r#","role":"user""#)).await, StatusCode::OK);
    assert_eq!(status(&ann, wish("carol", "x", "")).await, StatusCode::CONFLICT);
    assert_eq!(status(&ann, wish("nobody", "x", "")).await, StatusCode::NOT_FOUND);
    for odd in
        [wish("carol", "", ""), wish("carol", "a\\u202eb", ""), r#"{"login":"carol","name":"y"}"#.into()]
    {
        assert_eq!(status(&ann, odd.clone()).await, StatusCode::BAD_REQUEST, "{odd}");
    }
    for seconds in [0, 59, 366 * DAY + 1, u64::MAX] {
        let body = json!({"login": "carol", "name": "y", "valid_seconds": seconds}).to_string();
        assert_eq!(status(&ann, body).await, StatusCode::BAD_REQUEST, "{seconds}");
    }
    // The help desk makes none for others, and ends none of somebody with more rights.
    let dora = caller("dora", Role::Helpdesk);
    assert_eq!(status(&dora, wish("carol", "y", "")).await, StatusCode::FORBIDDEN);
    let root = caller("root", Role::Super);
    let made = ask(&trial, &root, Method::POST, "/v1/keys", &wish("chief", "x", "")).await.1;
    let path = format!("/v1/keys/{}", made["key"]["id"].as_str().unwrap());
    assert_eq!(ask(&trial, &dora, Method::DELETE, &path, "").await.0, StatusCode::FORBIDDEN);
    // A key makes no keys, whoever made it.
    for person in [&carol, &chief] {
        let key = Some(ShownKey { name: "x".into(), is_his_own: true });
        let by_key = Caller { key, ..Caller::from(person) };
        let refused = ask(&trial, &by_key, Method::POST, "/v1/keys", &wish(&person.login, "z", "")).await;
        assert_eq!(
            (refused.0, message(&refused).as_str()),
            (StatusCode::FORBIDDEN, "a key makes no keys: ask without one")
        );
    }
}

// covers: I05
#[tokio::test]
async fn whoever_makes_his_own_shows_a_code_and_sees_no_others() {
    let trial = Trial::new().await;
    let carol = Caller::from(&person(&trial, "carol", "user").await);
    person(&trial, "dave", "user").await;
    let ann = caller("ann", Role::Admin);
    let others = ask(&trial, &ann, Method::POST, "/v1/keys", &wish("dave", "x", "")).await.1;
    let refused = ask(&trial, &carol, Method::POST, "/v1/keys", &wish("carol", "mine", "")).await;
    assert_eq!(refused.0, StatusCode::BAD_REQUEST);
    assert!(message(&refused).contains("`code` is missing"));
    for body in [wish("carol", "mine", r#","code":"000000""#), wish("dave", "mine", r#","code":"000000""#)] {
        assert!(ask(&trial, &carol, Method::POST, "/v1/keys", &body).await.0.is_client_error());
    }
    let code = trial.code(&trial.activate("carol").await, 0);
    let body = wish("carol", "mine", &format!(r#","code":"{code}""#));
    let made = ask(&trial, &carol, Method::POST, "/v1/keys", &body).await;
    assert_eq!((made.0, &made.1["key"]["is_his_own"]), (StatusCode::OK, &json!(true)), "{made:?}");
    let again = wish("carol", "more", &format!(r#","code":"{code}""#));
    assert_eq!(
        ask(&trial, &carol, Method::POST, "/v1/keys", &again).await.0,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    let seen = ask(&trial, &carol, Method::GET, "/v1/keys", "").await.1;
    assert_eq!(seen["items"].as_array().unwrap().len(), 1);
    assert_eq!(ask(&trial, &carol, Method::GET, "/v1/keys?person=dave", "").await.1["items"], json!([]));
    for id in [others["key"]["id"].as_str().unwrap(), "00000000000000000000000007", "x"] {
        let refused = ask(&trial, &carol, Method::DELETE, &format!("/v1/keys/{id}"), "").await;
        assert_eq!(
            (refused.0, message(&refused).as_str()),
            (StatusCode::FORBIDDEN, "this is not yours, or does not exist")
        );
    }
}

// covers: I05
#[tokio::test]
async fn a_person_has_sixteen_keys() {
    let trial = Trial::new().await;
    person(&trial, "carol", "user").await;
    let ann = caller("ann", Role::Admin);
    for number in 0..crate::person_keys::KEYS_PER_PERSON_MAX {
        let body = wish("carol", &format!("key {number}"), "");
        assert_eq!(ask(&trial, &ann, Method::POST, "/v1/keys", &body).await.0, StatusCode::OK);
    }
    let refused = ask(&trial, &ann, Method::POST, "/v1/keys", &wish("carol", "one more", "")).await;
    assert_eq!(refused.0, StatusCode::CONFLICT);
    assert!(message(&refused).contains("carol has 16 keys"));
}

// covers: I05
#[tokio::test]
async fn a_key_that_somebody_else_made_decides_no_request() {
    let trial = Trial::new().await;
    let carol = person(&trial, "carol", "user").await;
    for (is_his_own, expected) in [(false, StatusCode::FORBIDDEN), (true, StatusCode::NOT_FOUND)] {
        let by_key = Caller { key: Some(ShownKey { name: "x".into(), is_his_own }), ..Caller::from(&carol) };
        for (what, body) in [("approve", r#"{"number":42}"#), ("deny", "")] {
            let path = format!("/v1/requests/00000000000000000000000007/{what}");
            let answer = ask(&trial, &by_key, Method::POST, &path, body).await;
            assert_eq!(answer.0, expected, "{answer:?}");
        }
    }
}
