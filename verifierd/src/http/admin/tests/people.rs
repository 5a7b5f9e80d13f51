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
