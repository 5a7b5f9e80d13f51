//! Persons through the routes: what is asked, what is told, who is recorded.

use super::*;

const CAROL: &str = r#"{"login":"carol","email":"carol@example.org","password":"correct horse battery"}"#;

// covers: E6, C13
#[tokio::test]
async fn a_person_is_added_shown_changed_and_removed_and_no_answer_tells_a_password() {
    let trial = Trial::new().await;
    let ann = caller("ann", Role::Admin);
    let added = ask(&trial, &ann, Method::POST, "/v1/persons", CAROL).await;
    assert_eq!(
        (added.0, &added.1["kind"], &added.1["role"]),
        (StatusCode::OK, &json!("person"), &json!("user"))
    );
    assert_eq!((&added.1["accounts"], &added.1["has_password"]), (&json!(["carol"]), &json!(true)));
    let dora = caller("dora", Role::Helpdesk);
    let shown = ask(&trial, &dora, Method::GET, "/v1/persons/CAROL", "").await;
    assert_eq!(shown, added);
    let all = ask(&trial, &dora, Method::GET, "/v1/persons", "").await;
    assert_eq!((&all.1["kind"], &all.1["items"]), (&json!("person_list"), &json!([added.1])));
    assert_eq!(added.1["security_keys"], json!(0));
    let denied = ask(&trial, &dora, Method::DELETE, "/v1/persons/carol/keys", "").await;
    let none = ask(&trial, &ann, Method::DELETE, "/v1/persons/carol/keys", "").await;
    let nobody = ask(&trial, &ann, Method::DELETE, "/v1/persons/nobody/keys", "").await;
    assert_eq!(
        [denied.0, none.0, nobody.0],
        [StatusCode::FORBIDDEN, StatusCode::NOT_FOUND, StatusCode::NOT_FOUND]
    );
    for (method, path, body, field, value) in [
        (Method::PUT, "", r#"{"name":"Carol D","role":"auditor"}"#, "role", json!("auditor")),
        (Method::PUT, "/password", r#"{"password":"another horse battery"}"#, "has_password", json!(true)),
        (Method::POST, "/share", r#"{"account":"deploy"}"#, "accounts", json!(["carol", "deploy"])),
        (Method::POST, "/unshare", r#"{"account":"carol"}"#, "accounts", json!(["deploy"])),
        (Method::PUT, "", r#"{"enabled":false}"#, "enabled", json!(false)),
        (Method::DELETE, "", "", "login", json!("carol")),
    ] {
        let answer = ask(&trial, &ann, method, &format!("/v1/persons/carol{path}"), body).await;
        assert_eq!((answer.0, &answer.1[field]), (StatusCode::OK, &value), "{body}");
        assert!(!answer.1.to_string().contains("horse") && !answer.1.to_string().contains("argon"));
    }
    let gone = ask(&trial, &ann, Method::GET, "/v1/persons/carol", "").await;
    assert_eq!((gone.0, message(&gone).as_str()), (StatusCode::NOT_FOUND, "no person \"carol\""));
    let record = trial.audit().into_iter().find(|record| record.event == "person_added").unwrap();
    assert_eq!((record.actor.as_deref(), record.person.as_deref()), (Some("ann (admin)"), Some("carol")));
}

// covers: I05
#[tokio::test]
async fn what_is_wrong_is_told_with_what_would_be_right() {
    let trial = Trial::new().await;
    let ann = caller("ann", Role::Admin);
    ask(&trial, &ann, Method::POST, "/v1/persons", CAROL).await;
    for (body, status, words) in [
        (r#"{"login":"a b","email":"a@b"}"#, StatusCode::BAD_REQUEST, "not an account name"),
        (r#"{"login":"dave","email":"dave@\u0435x.org"}"#, StatusCode::BAD_REQUEST, "not an e-mail address"),
        (
            r#"{"login":"dave","email":"d@b","password":"short"}"#,
            StatusCode::BAD_REQUEST,
            "12 to 256 characters",
        ),
        (r#"{"login":"dave","email":"d@b","role":"super"}"#, StatusCode::FORBIDDEN, "more rights than you"),
        (r#"{"login":"Carol","email":"d@b"}"#, StatusCode::CONFLICT, "login name of a person already"),
        (r#"{"login":"dave","email":"CAROL@example.org"}"#, StatusCode::CONFLICT, "the address of carol"),
    ] {
        let refused = ask(&trial, &ann, Method::POST, "/v1/persons", body).await;
        assert_eq!(refused.0, status, "{refused:?}");
        assert!(message(&refused).contains(words), "{refused:?}");
    }
    let root = caller("root", Role::Super);
    let chief = r#"{"login":"chief","email":"chief@example.org","role":"super"}"#;
    assert_eq!(ask(&trial, &root, Method::POST, "/v1/persons", chief).await.0, StatusCode::OK);
}

/// A person who is signed in.
async fn person(trial: &Trial, login: &str) -> Caller {
    Caller::from(&trial.service.dialogue.people.by_login(login).await.unwrap().unwrap())
}

// covers: I05, I11
#[tokio::test]
async fn a_person_reaches_as_far_as_his_role_and_his_own_is_the_account_of_his_name() {
    let trial = Trial::new().await;
    let ann = caller("ann", Role::Admin);
    for body in [
        r#"{"login":"carol","email":"carol@example.org","role":"admin"}"#,
        r#"{"login":"dora","email":"dora@example.org","role":"helpdesk"}"#,
        r#"{"login":"erin","email":"erin@example.org","accounts":["deploy"]}"#,
    ] {
        assert_eq!(ask(&trial, &ann, Method::POST, "/v1/persons", body).await.0, StatusCode::OK);
    }
    for user in ["carol", "dora", "erin", "alice"] {
        trial.set_otp(user, true).await;
    }
    let (carol, dora, erin) =
        (person(&trial, "carol").await, person(&trial, "dora").await, person(&trial, "erin").await);
    let own = |account: &str| {
        trial.service.dialogue.accounts.find(&crate::accounts::UserName::new(account).unwrap())
    };
    assert!(own("erin").is_some());
    assert_eq!((carol.account().map(|name| name.to_string()), erin.account()), (Some("carol".into()), None));
    let turned = ask(&trial, &carol, Method::PUT, "/v1/users/alice/otp", r#"{"otp":"off"}"#).await;
    assert_eq!(turned.0, StatusCode::OK, "{turned:?}");
    let by_her = |record: &crate::audit::AuditRecord| record.actor.as_deref() == Some("person carol (admin)");
    assert_eq!(trial.audit().iter().filter(|record| by_her(record)).count(), 1);
    let unlock = async |who: &Caller, user: &str| {
        ask(&trial, who, Method::POST, &format!("/v1/users/{user}/unlock"), "").await
    };
    assert_eq!(unlock(&dora, "erin").await.0, StatusCode::OK);
    // Nobody below him looks after the account that an administrator signs in with, from a page or from a socket.
    for who in [&dora, &caller("dora", Role::Helpdesk)] {
        let refused = unlock(who, "carol").await;
        assert_eq!(refused.0, StatusCode::FORBIDDEN);
        assert!(message(&refused).contains("has more rights than you"), "{refused:?}");
    }
    // The account of his name is not his, where he may not use it.
    let serial = serial_of(&trial, "erin");
    let not_his = ask(&trial, &erin, Method::GET, &format!("/v1/tokens/{serial}"), "").await;
    assert_eq!(
        (not_his.0, message(&not_his)),
        (StatusCode::FORBIDDEN, "this is not yours, or does not exist".into())
    );
}

// With a real one: `people::the_help_desk_does_not_reach_an_administrator_of_the_directory_...` of the system's tests.
// covers: I05
#[tokio::test]
async fn whom_a_directory_may_know_better_the_help_desk_does_not_reach() {
    let folder = tempfile::tempdir().unwrap();
    let authority = folder.path().join("authority.pem");
    std::fs::write(&authority, rcgen::generate_simple_self_signed(["x".into()]).unwrap().cert.pem()).unwrap();
    let trial = Trial::with_config(&format!(
        "version = 1\n[directory]\nurl = \"ldaps://localhost:1\"\nbase = \"dc=x\"\ntrust_file = {authority:?}"
    ))
    .await;
    let (ann, dora) = (caller("ann", Role::Admin), caller("dora", Role::Helpdesk));
    assert_eq!(ask(&trial, &ann, Method::POST, "/v1/persons", CAROL).await.0, StatusCode::OK);
    for user in ["carol", "frank"] {
        trial.set_otp(user, true).await;
    }
    let unlock = async |who: &Caller, user: &str| {
        ask(&trial, who, Method::POST, &format!("/v1/users/{user}/unlock"), "").await
    };
    assert_eq!(unlock(&dora, "carol").await.0, StatusCode::OK, "our own records know her");
    let refused = unlock(&dora, "frank").await;
    assert_eq!(refused.0, StatusCode::SERVICE_UNAVAILABLE, "{refused:?}");
    assert!(message(&refused).contains("nobody can tell who frank is"), "{refused:?}");
    assert_eq!(unlock(&ann, "frank").await.0, StatusCode::OK);
}
