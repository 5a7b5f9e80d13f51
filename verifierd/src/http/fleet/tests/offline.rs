//! Offline passwords between an agent, its verifier and an administrator: real handshakes, the routes of the command.

use data_encoding::BASE64;
use hyper::{Method, StatusCode};
use offline_password::universal::Anchor;
use offline_password::{Asked, HostCode, HostKey, Redeemed, Refusal, Typed};
use serde_json::{Value, json};
use wire::offline::{OFFLINE_PATH, UNIVERSAL_FROM};
use zeroize::Zeroizing;

use super::message;
use super::stand::{Agent, Stand};
use crate::accounts::UserName;
use crate::clock::Clock as _;
use crate::config::Config;
use crate::hosts::HostId;
use crate::http::roles::{Caller, ShownKey, Who};
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

async fn say(stand: &Stand, who: &Caller, path: &str) -> (StatusCode, Value) {
    use http_body_util::BodyExt as _;
    let body = br#"{"why":"a flood"}"#.to_vec();
    let administration = stand.trial.service.administration.clone();
    let uri = format!("/v1/universal/{path}").parse().unwrap();
    let reply = administration.ask(who.clone(), Method::POST, uri, Zeroizing::new(body)).await;
    let (head, body) = reply.into_parts();
    (head.status, serde_json::from_slice(&body.collect().await.unwrap().to_bytes()).unwrap())
}

/// Two persons. Ann has a second account for her work as an administrator.
async fn persons(stand: &Stand) {
    for (login, accounts) in [("ann", &["ann", "ann-admin"][..]), ("eve", &["eve"])] {
        let new = crate::people::NewPerson {
            login: UserName::new(login).unwrap(),
            email: crate::people::EmailAddress::parse(&format!("{login}@example.org")).unwrap(),
            name: None,
            accounts: Some(accounts.iter().map(|name| UserName::new(name).unwrap()).collect()),
            role: Role::User,
            password: None,
        };
        let by =
            crate::people::By { actor: crate::accounts::Actor::administrator("root"), role: Role::Super };
        stand.trial.service.dialogue.people.clerk().add(new, by).await.unwrap();
    }
}

// covers: N8, D10, D11
#[tokio::test]
async fn a_universal_password_takes_two_administrators_by_name_and_hosts_are_given_only_what_checks_it() {
    let stand = Stand::new().await;
    let web1 = stand.join("web1").await;
    let mut agent = stand.agent(&web1).await;
    said(&mut agent, &json!({})).await;
    let caller =
        |uid, name: &str, role| Caller { who: Who::Account(uid), name: name.into(), role, key: None };
    persons(&stand).await;
    let [ann, eve] = [caller(7, "ann", Role::Admin), caller(8, "eve", Role::Admin)];
    assert_eq!(said(&mut agent, &json!({"epoch": 1})).await["universal"], Value::Null, "off");
    for (who, path) in [
        (caller(9, "dora", Role::Helpdesk), "enable"),
        (caller(9, "olaf", Role::OfflineAdmin), "release"),
        (caller(9, "otto", Role::Auditor), "disable"),
        (caller(0, "root", Role::Super), "enable"),
    ] {
        assert_eq!(say(&stand, &who, path).await.0, StatusCode::FORBIDDEN, "{} {path}", who.name);
    }
    assert_eq!(say(&stand, &ann, "release").await.0, StatusCode::CONFLICT);
    let (status, told) = say(&stand, &ann, "enable").await;
    assert_eq!((status, &told["universal"]["is_on"]), (StatusCode::OK, &json!(false)));
    // The same person with another uid, or another account.
    for name in ["ann", "ann-admin"] {
        let she = caller(77, name, Role::Admin);
        assert_eq!(say(&stand, &she, "enable").await.0, StatusCode::FORBIDDEN, "{name}");
    }
    // A key that somebody else made for eve.
    let key = Some(ShownKey { name: "x".into(), is_his_own: false });
    assert_eq!(say(&stand, &Caller { key, ..eve.clone() }, "enable").await.0, StatusCode::FORBIDDEN);
    // An account of nobody's.
    assert_eq!(say(&stand, &caller(9, "mallory", Role::Admin), "enable").await.0, StatusCode::FORBIDDEN);
    assert_eq!(said(&mut agent, &json!({"epoch": 1})).await["universal"], Value::Null);
    let (status, told) = say(&stand, &eve, "enable").await;
    assert_eq!((status, &told["universal"]["is_on"]), (StatusCode::OK, &json!(true)), "{told}");
    assert!(told["password"].is_null());
    let anchor = said(&mut agent, &json!({"epoch": 1})).await["universal"].clone();
    let bytes = |name: &str| {
        <[u8; 16]>::try_from(BASE64.decode(anchor[name].as_str().unwrap().as_bytes()).unwrap()).unwrap()
    };
    let hour = anchor["hour"].as_u64().unwrap();
    let checks = Anchor::new(bytes("fleet"), hour, u128::from_be_bytes(bytes("link")));
    assert!(say(&stand, &ann, "release").await.1["password"].is_null());
    let (_, told) = say(&stand, &eve, "release").await;
    let password = told["password"].as_str().expect("a password").to_owned();
    let now = stand.trial.clock.now();
    let typed = Typed::read(&password).unwrap();
    assert!(checks.is_right(&typed, now) && !checks.is_right(&typed, now + 3_600));
    // What a host tells of its use is on record once, however often it is told.
    let used = |number: u64| json!({"counter": UNIVERSAL_FROM | number, "user": "bob", "service": "sshd", "at": now, "until": now + 9});
    for uses in [vec![used(4)], vec![used(4), used(6)], vec![used(6)]] {
        let noted =
            said(&mut agent, &json!({"epoch": 1, "uses": uses})).await["noted"].as_array().map(Vec::len);
        assert_eq!(noted, Some(uses.len()));
    }
    let records = stand.trial.audit();
    assert_eq!(records.iter().filter(|record| record.event == "offline_universal_used").count(), 2);
    let released =
        records.iter().find(|record| record.event == "offline_universal_released").expect("a record");
    assert!(
        released.detail.as_deref().is_some_and(|told| told.contains("asked for by ann (admin): a flood")),
        "{released:?}"
    );
    assert!(records.iter().all(|record| !format!("{record:?}").contains(&password)));
}

// covers: N8, D11
#[tokio::test]
async fn a_universal_password_can_be_hidden_from_all_but_those_who_may_do_everything() {
    let stand = Stand::new().await;
    let web1 = stand.join("web1").await;
    let mut agent = stand.agent(&web1).await;
    said(&mut agent, &json!({})).await;
    persons(&stand).await;
    let caller =
        |uid, name: &str, role| Caller { who: Who::Account(uid), name: name.into(), role, key: None };
    let [ann, eve] = [caller(7, "ann", Role::Admin), caller(8, "eve", Role::Admin)];
    for who in [&ann, &eve] {
        assert_eq!(say(&stand, who, "enable").await.0, StatusCode::OK);
    }
    let text = format!("{}\n[offline]\nuniversal_visible_to = \"super\"", super::stand::FLEET);
    stand.trial.service.dialogue.config.store(Config::parse(&text).unwrap().into());
    for path in ["enable", "release", "disable"] {
        let (status, told) = say(&stand, &ann, path).await;
        assert!(status == StatusCode::FORBIDDEN && message(&told).contains("does not permit this"), "{told}");
    }
    assert_eq!(ask(&stand, Method::GET, "/v1/universal", &Value::Null).await.0, StatusCode::FORBIDDEN);
    let [ann, eve] = [ann, eve].map(|caller| Caller { role: Role::Super, ..caller });
    assert_eq!(say(&stand, &eve, "disable").await.1["universal"]["is_on"], json!(true));
    assert_eq!(say(&stand, &ann, "disable").await.1["universal"]["is_on"], json!(false));
    assert_eq!(said(&mut agent, &json!({"epoch": 1})).await["universal"], Value::Null);
}

// covers: D09
#[tokio::test]
async fn nothing_is_made_for_a_host_that_was_revoked() {
    let stand = Stand::new().await;
    let web1 = stand.join("web1").await;
    let mut agent = stand.agent(&web1).await;
    said(&mut agent, &json!({})).await;
    said(&mut agent, &json!({"epoch": 1})).await;
    let wish = json!({"host": "web1", "scope": "all_services", "valid_for": "1h"});
    assert_eq!(ask(&stand, Method::POST, "/v1/offline", &wish).await.0, StatusCode::OK);
    assert_eq!(ask(&stand, Method::POST, "/v1/hosts/web1/revoke", &Value::Null).await.0, StatusCode::OK);
    let (status, told) = ask(&stand, Method::POST, "/v1/offline", &wish).await;
    assert!(status == StatusCode::CONFLICT && message(&told).contains("web1 was revoked"), "{told}");
    let shown = ask(&stand, Method::GET, "/v1/offline/1-1@web1", &Value::Null).await.1;
    assert_eq!(shown["state"], "void");
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

// covers: N14
#[tokio::test]
async fn a_password_that_is_mailed_is_in_no_answer_and_needs_a_mail_server_and_an_address() {
    let stand = Stand::new().await;
    let web1 = stand.join("web1").await;
    let mut agent = stand.agent(&web1).await;
    said(&mut agent, &json!({})).await;
    said(&mut agent, &json!({"epoch": 1})).await;
    let wish = |to: &str| json!({"host": "web1", "scope": "all_services", "valid_for": "15m", "mail": to});
    let (status, told) = ask(&stand, Method::POST, "/v1/offline", &wish("alice@example.org")).await;
    assert!(status == StatusCode::CONFLICT && message(&told).contains("no mail server"), "{told}");
    let mail = "[mail]\nserver = \"127.0.0.1:9\"\ntls = \"none\"\nfrom = \"postern@example.org\"";
    let config = Config::parse(&format!("{}\n{mail}", super::stand::FLEET)).unwrap();
    stand.trial.service.dialogue.config.store(config.into());
    let long = "x".repeat(5_000);
    for to in ["", "alice", "alice@example.org, eve@example.org", "a@b.c\r\nBcc: eve@example.org", &long] {
        let (status, told) = ask(&stand, Method::POST, "/v1/offline", &wish(to)).await;
        let said = message(&told);
        assert!(
            status == StatusCode::BAD_REQUEST && said.contains("e-mail address") && said.len() < 300,
            "{to:?} {told}"
        );
    }
    assert!(stand.trial.service.outbox.figures().waiting == 0, "nothing was made");
    let (status, told) = ask(&stand, Method::POST, "/v1/offline", &wish("alice@example.org")).await;
    assert_eq!((status, &told["password"]), (StatusCode::OK, &Value::Null));
    let expected = json!({"to": "alice@example.org", "state": "waiting"});
    assert_eq!((&told["made"]["id"], &told["made"]["mail"]), (&json!("1-1@web1"), &expected));
    assert_eq!(stand.trial.service.outbox.figures().waiting, 1);
    let made = stand.trial.audit().into_iter().find(|record| record.event == "offline_password_made");
    let detail = made.unwrap().detail.unwrap();
    let parts =
        ["for all services, 15 minutes from its use on, used before ", ", mailed to alice@example.org"];
    assert!(
        detail.starts_with("password 1 under key 1, ") && parts.iter().all(|part| detail.contains(part)),
        "{detail}"
    );
    // Revoked before its mail was sent: it never is, and nobody is told that it may be.
    let (status, told) = ask(&stand, Method::POST, "/v1/offline/1-1@web1/revoke", &json!({})).await;
    assert_eq!((status, &told["mail"]["state"]), (StatusCode::OK, &json!("failed")));
}
