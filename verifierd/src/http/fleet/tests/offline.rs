//! Offline passwords between an agent, its verifier and an administrator: real handshakes, the routes of the command.

use data_encoding::BASE64;
use hyper::{Method, StatusCode};
use offline_password::{Asked, HostCode, HostKey, Redeemed, Refusal, Typed};
use serde_json::{Value, json};
use wire::offline::OFFLINE_PATH;
use zeroize::Zeroizing;

use super::message;
use super::stand::{Agent, Stand};
use crate::clock::Clock as _;
use crate::config::Config;
use crate::hosts::HostId;
use crate::http::roles::{Caller, Who};
use wire::admin::Role;

async fn report(agent: &mut Agent, more: &Value) -> (StatusCode, Value) {
    let mut body = json!({ "api_version": 1 });
    for (name, value) in more.as_object().expect("an object") {
        body[name] = value.clone();
    }
    agent.post(OFFLINE_PATH, &body).await.unwrap()
}

/// Reports, and is answered.
async fn said(agent: &mut Agent, more: &Value) -> Value {
    let (status, told) = report(agent, more).await;
    assert_eq!(status, StatusCode::OK, "{told}");
    told
}

fn key_of(told: &Value) -> HostKey {
    let bytes = BASE64.decode(told["key"]["key"].as_str().expect("a key").as_bytes()).unwrap();
    HostKey::new(Zeroizing::new(bytes.try_into().unwrap()))
}

async fn ask(stand: &Stand, method: Method, path: &str, body: &Value) -> (StatusCode, Value) {
    use http_body_util::BodyExt as _;
    let ann = Caller { who: Who::Account(7), name: "ann".into(), role: Role::Admin, key: None };
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    let administration = stand.trial.service.administration.clone();
    let reply = administration.ask(ann, method, path.parse().unwrap(), Zeroizing::new(body)).await;
    let (head, body) = reply.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (head.status, serde_json::from_slice(&body).unwrap())
}

/// What a host finds that alone checks what was typed.
fn check(stand: &Stand, key: &HostKey, typed: &str, user: &str, redeemed: &Redeemed) -> Result<u64, Refusal> {
    let now = stand.trial.clock.now();
    let asked = Asked { user, service: "sshd", is_file_transfer: false, now };
    Ok(Typed::read(typed).expect("a password").check(key, &asked, redeemed)?.grant.counter)
}

// covers: N1, N2, N3, N12, N14, D01, D09, D10
#[tokio::test]
async fn a_host_is_given_its_key_opens_by_what_an_administrator_made_and_tells_of_it() {
    let stand = Stand::new().await;
    let (web1, web2) = (stand.join("web1").await, stand.join("web2").await);
    let (mut one, mut two) = (stand.agent(&web1).await, stand.agent(&web2).await);
    let code = HostCode::of(&HostId::parse(&web1.id).unwrap().bytes()).to_string();
    let wish = json!({"host": code, "user": "alice", "scope": "all_services", "valid_for": "2h", "why": "the line is cut"});
    let early = ask(&stand, Method::POST, "/v1/offline", &wish).await;
    assert_eq!(early.0, StatusCode::CONFLICT);
    assert!(message(&early.1).contains("web1 has no key for offline passwords yet"), "{early:?}");
    let (first, other) = (said(&mut one, &json!({})).await, said(&mut two, &json!({})).await);
    assert_eq!((&first["is_enabled"], &first["host"]), (&json!(true), &json!(web1.id)));
    assert!(key_of(&first).expose() != key_of(&other).expose(), "no key opens another host");
    let held = json!({"epoch": 1, "generation": 4, "time_zone": "Europe/Helsinki"});
    assert_eq!(said(&mut one, &held).await["key"], Value::Null);
    let (status, made) = ask(&stand, Method::POST, "/v1/offline", &wish).await;
    assert_eq!(status, StatusCode::OK, "{made}");
    let (password, made) = (made["password"].as_str().unwrap().to_owned(), made["made"].clone());
    assert_eq!(
        (&made["id"], &made["state"], &made["minutes"]),
        (&json!("1-1@web1"), &json!("open"), &json!(120))
    );
    // Midnight of the host, which said where it is.
    assert!(made["until"]["host"].as_str().unwrap().ends_with("T00:00:00+02:00"), "{made}");
    let (key, nothing) = (key_of(&first), Redeemed::default());
    assert_eq!(check(&stand, &key, &password, "alice", &nothing), Ok(1));
    for (key, user) in [(&key, "bob"), (&key_of(&other), "alice")] {
        assert!(check(&stand, key, &password, user, &nothing).is_err(), "{user}");
    }
    assert!(check(&stand, &key, &password, "alice", &nothing.with(1)).is_err(), "once");
    // Told twice, since the first answer did not come.
    let now = stand.trial.clock.now();
    let used = json!({"epoch": 1, "generation": 6, "time_zone": "Europe/Helsinki", "uses": [
        {"counter": 1, "user": "alice", "service": "sshd", "at": now, "until": now + 7_200}]});
    for _ in 0..2 {
        assert_eq!(said(&mut one, &used).await["noted"], json!([1]));
    }
    let shown = ask(&stand, Method::GET, "/v1/offline/1-1@web1", &Value::Null).await.1;
    assert_eq!((&shown["state"], &shown["used"]["user"]), (&json!("used"), &json!("alice")));
    let events: Vec<_> = stand.trial.audit().into_iter().map(|record| record.event).collect();
    let count = |event: &str| events.iter().filter(|known| *known == event).count();
    assert_eq!((count("offline_password_made"), count("offline_password_used")), (1, 1));
    assert!(!format!("{:?}", stand.trial.audit()).contains(&password), "it is told once");
}

// covers: D09, N1
#[tokio::test]
async fn a_revoked_password_is_told_to_its_host_and_one_of_a_former_key_is_void() {
    let stand = Stand::new().await;
    let web1 = stand.join("web1").await;
    let mut agent = stand.agent(&web1).await;
    said(&mut agent, &json!({})).await;
    said(&mut agent, &json!({"epoch": 1})).await;
    let wish = json!({"host": "web1", "scope": "service", "service": "sshd", "valid_for": "15m"});
    for _ in 0..2 {
        assert_eq!(ask(&stand, Method::POST, "/v1/offline", &wish).await.0, StatusCode::OK);
    }
    let revoked = ask(&stand, Method::POST, "/v1/offline/1-1@web1/revoke", &json!(null)).await;
    assert_eq!((revoked.0, &revoked.1["state"]), (StatusCode::OK, &json!("revoked")));
    assert_eq!(said(&mut agent, &json!({"epoch": 1})).await["revoked"], json!([1]));
    // Its state is lost: another key, after a while.
    assert_eq!(said(&mut agent, &json!({})).await["key"], Value::Null);
    stand.trial.advance(std::time::Duration::from_secs(60));
    assert_eq!(said(&mut agent, &json!({})).await["key"]["epoch"], json!(2));
    let list = ask(&stand, Method::GET, "/v1/offline?host=web1", &Value::Null).await.1;
    let states: Vec<_> = list["items"].as_array().unwrap().iter().map(|item| item["state"].clone()).collect();
    assert_eq!(states, ["void", "revoked"]);
    for id in ["1-2@web1", "1-9@web1", "1-1@web2", "x", "1-1"] {
        let refused = ask(&stand, Method::POST, &format!("/v1/offline/{id}/revoke"), &json!(null)).await;
        assert!(refused.0 == StatusCode::CONFLICT || refused.0 == StatusCode::NOT_FOUND, "{id}: {refused:?}");
    }
}

// covers: N9, N11
#[tokio::test]
async fn what_is_turned_off_is_not_made_and_where_a_reason_is_needed_none_is_made_without() {
    let stand = Stand::new().await;
    let web1 = stand.join("web1").await;
    let mut agent = stand.agent(&web1).await;
    said(&mut agent, &json!({})).await;
    said(&mut agent, &json!({"epoch": 1})).await;
    let set = |more: &str| {
        let text = format!("{}{more}", super::stand::FLEET);
        stand.trial.service.dialogue.config.store(Config::parse(&text).unwrap().into());
    };
    let wish = |scope: &str| json!({"host": "web1", "scope": scope, "why": " "});
    let refused = ask(&stand, Method::POST, "/v1/offline", &wish("lockout_reset")).await;
    assert!(
        refused.0 == StatusCode::CONFLICT && message(&refused.1).contains("offline.lockout_reset"),
        "{refused:?}"
    );
    set("\n[offline]\nlockout_reset = true\njustification = \"required\"\ncontact = \"call 4711\"");
    let refused = ask(&stand, Method::POST, "/v1/offline", &wish("lockout_reset")).await;
    assert!(refused.0 == StatusCode::BAD_REQUEST && message(&refused.1).contains("say why"), "{refused:?}");
    let mut with_reason = wish("lockout_reset");
    with_reason["why"] = json!("she typed it wrong");
    assert_eq!(ask(&stand, Method::POST, "/v1/offline", &with_reason).await.0, StatusCode::OK);
    let orders = said(&mut agent, &json!({"epoch": 1})).await;
    assert_eq!((&orders["has_resets"], &orders["contact"]), (&json!(true), &json!("call 4711")));
    set("\n[offline]\nenabled = false");
    let refused = ask(&stand, Method::POST, "/v1/offline", &with_reason).await;
    assert!(
        refused.0 == StatusCode::CONFLICT && message(&refused.1).contains("offline.enabled"),
        "{refused:?}"
    );
    let orders = said(&mut agent, &json!({})).await;
    assert_eq!((&orders["is_enabled"], &orders["key"]), (&json!(false), &Value::Null));
}

// covers: D09
#[tokio::test]
async fn a_report_with_anything_out_of_bounds_is_refused() {
    let stand = Stand::new().await;
    let web1 = stand.join("web1").await;
    let mut agent = stand.agent(&web1).await;
    let used = |user: &str| json!({"counter": 1, "user": user, "service": "sshd", "at": 1, "until": 2});
    for more in [
        json!({"api_version": 2}),
        json!({"epoch": "1"}),
        json!({"zone": "UTC"}),
        json!({"time_zone": "a b"}),
        json!({"time_zone": "x".repeat(65)}),
        json!({"uses": [used("alice")]}),
        json!({"epoch": 1, "uses": vec![used("alice"); 257]}),
        json!({"epoch": 1, "uses": [used("a\nb")]}),
        json!({"epoch": 1, "uses": [used(&"x".repeat(256))]}),
    ] {
        let (status, told) = report(&mut agent, &more).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{more}: {told}");
    }
    assert!(stand.trial.audit().iter().all(|record| !record.event.starts_with("offline")));
}
