//! Hosts through the routes: what is asked, what is told, who is recorded.

use super::*;

const FLEET: &str =
    "version = 1\n[fleet]\nlisten = \"0.0.0.0:7443\"\nnames = [\"otp1.example.org\", \"192.0.2.5\"]";

async fn enrol(trial: &Trial, body: &str) -> (StatusCode, Value) {
    ask(trial, &caller("ann", Role::Admin), Method::POST, "/v1/hosts", body).await
}

// covers: E24
#[tokio::test]
async fn a_join_secret_is_told_once_with_the_verifiers_that_take_it() {
    let trial = Trial::with_config(FLEET).await;
    let (status, told) = enrol(&trial, r#"{"name":"web1","group":"web"}"#).await;
    assert_eq!((status, &told["kind"]), (StatusCode::OK, &json!("join_secret")));
    assert_eq!(told["verifiers"], json!(["https://otp1.example.org:7443", "https://192.0.2.5:7443"]));
    let secret = told["secret"].as_str().unwrap();
    assert!(secret.len() == 77 + 9 && secret.split('-').all(|group| group.len() == 8 || group.len() == 5));
    assert_eq!((&told["host"]["state"], &told["host"]["group"]), (&json!("pending"), &json!("web")));
    assert_eq!(told["until"], told["host"]["join_until"]);
    let root = caller("root", Role::Super);
    let shown = ask(&trial, &root, Method::GET, "/v1/hosts/web1", "").await;
    assert_eq!((shown.0, &shown.1["id"]), (StatusCode::OK, &told["host"]["id"]));
    let all = ask(&trial, &root, Method::GET, "/v1/hosts", "").await;
    assert_eq!(all.1["items"], json!([shown.1]));
    let everything = format!("{:?}{all:?}{shown:?}", trial.audit());
    assert!(!everything.contains(&secret[..8]));
    let record = trial.audit().into_iter().find(|record| record.event == "host_enrolled").unwrap();
    assert_eq!((record.actor.as_deref(), record.host.as_deref()), (Some("ann (admin)"), Some("web1")));
}

// covers: I10
#[tokio::test]
async fn a_name_is_changed_and_a_host_revoked_for_ever() {
    let trial = Trial::with_config(FLEET).await;
    enrol(&trial, r#"{"name":"web1"}"#).await;
    let ann = caller("ann", Role::Admin);
    let renamed = ask(&trial, &ann, Method::POST, "/v1/hosts/web1/rename", r#"{"name":"web2"}"#).await;
    assert_eq!((renamed.0, &renamed.1["former_names"]), (StatusCode::OK, &json!(["web1"])));
    let group = ask(&trial, &ann, Method::PUT, "/v1/hosts/web2/group", r#"{"group":"db"}"#).await;
    assert_eq!((group.0, &group.1["group"]), (StatusCode::OK, &json!("db")));
    let none = ask(&trial, &ann, Method::PUT, "/v1/hosts/web2/group", r#"{"group":null}"#).await;
    assert_eq!((none.0, &none.1["group"]), (StatusCode::OK, &Value::Null));
    let revoked = ask(&trial, &ann, Method::POST, "/v1/hosts/web2/revoke", "").await;
    assert_eq!((revoked.0, &revoked.1["state"]), (StatusCode::OK, &json!("revoked")));
    for (body, expected) in [
        (r#"{"name":"web1"}"#, "web1 is a name of host web2, or was one"),
        (r#"{"name":"web2","again":true}"#, "web2 was revoked, for ever"),
    ] {
        let refused = enrol(&trial, body).await;
        assert_eq!(refused.0, StatusCode::CONFLICT);
        assert!(message(&refused).contains(expected), "{refused:?}");
    }
}

#[tokio::test]
async fn what_is_wrong_is_told_with_what_would_be_right() {
    let trial = Trial::with_config(FLEET).await;
    let ann = caller("ann", Role::Admin);
    for name in ["Web1", "web1.", "*", "", "a b"] {
        let refused = enrol(&trial, &json!({ "name": name }).to_string()).await;
        assert_eq!(refused.0, StatusCode::BAD_REQUEST, "{name}");
        assert!(message(&refused).contains("not a name of a host or a group"), "{refused:?}");
    }
    assert_eq!(enrol(&trial, r#"{"name":"web1","group":"Web"}"#).await.0, StatusCode::BAD_REQUEST);
    let missing = ask(&trial, &ann, Method::GET, "/v1/hosts/web1", "").await;
    assert_eq!((missing.0, message(&missing).as_str()), (StatusCode::NOT_FOUND, "no host \"web1\""));
    let alone = Trial::new().await;
    let refused = enrol(&alone, r#"{"name":"web1"}"#).await;
    assert_eq!(refused.0, StatusCode::CONFLICT);
    assert!(message(&refused).contains("no [fleet] section"), "{refused:?}");
}
