mod bans;
mod document;
mod hosts;
mod keys;
mod people;
mod policy;
mod requests;
mod sessions;
mod tokens;

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::*;
use crate::config::Config;
use crate::http::roles::{Right, Verb, right, verbs};
use crate::trial::Fob;
use crate::trial::Trial;

/// What a role that lacks a verb is told.
const DENIAL: &str = "does not permit this";

fn caller(name: &str, role: Role) -> Caller {
    let uid = if role == Role::Super { 0 } else { 4_000_000 };
    Caller { who: Who::Account(uid), name: name.into(), role, key: None }
}

fn request(method: &Method, path: &str, body: &str) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
    request.extensions_mut().insert(RequestBody::new(Zeroizing::new(body.as_bytes().to_vec())));
    request
}

async fn read(reply: Reply) -> (StatusCode, Value) {
    let (head, body) = reply.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let text = String::from_utf8_lossy(&body).into_owned();
    let is_text =
        head.headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/openm"));
    let said = if is_text { Ok(Value::String(text.clone())) } else { serde_json::from_slice(&body) };
    (head.status, said.unwrap_or_else(|_| panic!("not JSON: {text:?}")))
}

/// Asks as somebody, past the sockets.
async fn ask(trial: &Trial, who: &Caller, method: Method, path: &str, body: &str) -> (StatusCode, Value) {
    let mut request = request(&method, path, body);
    request.extensions_mut().insert(who.clone());
    read(Arc::clone(&trial.service.administration).route(request).await).await
}

/// Asks as a uid, whose name and role are looked up.
async fn ask_as(trial: &Trial, uid: u32, path: &str) -> (StatusCode, Value) {
    let request = request(&Method::GET, path, "");
    let administration = Arc::clone(&trial.service.administration);
    let role = administration.dialogue.config.load().roles.of(uid);
    read(administration.decide(uid, role, request).await).await
}

fn message(answer: &(StatusCode, Value)) -> String {
    answer.1["error"]["message"].as_str().unwrap_or_default().into()
}

/// A path with nobody's names in it.
fn filled(path: &str) -> String {
    path.replace("{name}", "nobody-here")
        .replace("{serial}", "NONE")
        .replace("{id}", "00")
        .replace("{reference}", "0A1B-Z9XK")
}

/// The serial number of a user's one token.
fn serial_of(trial: &Trial, user: &str) -> String {
    let name = crate::accounts::UserName::new(user).unwrap();
    trial.service.dialogue.accounts.find(&name).unwrap().tokens[0].record.serial.clone()
}

// covers: I05
#[test]
fn the_routes_are_those_of_the_wire_each_with_its_verb() {
    let documented: BTreeSet<String> = include_str!("../../../../../crates/wire/src/admin/mod.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("//! | `")?.split('`').next())
        .map(|request| request.split('?').next().unwrap_or_default().to_owned())
        .collect();
    let routes = table::routes();
    let added: BTreeSet<String> = routes.added().iter().map(|route| format!("{route:?}")).collect();
    assert_eq!(added, documented);
    for verb in verbs() {
        assert!(routes.added().iter().any(|route| route.verb == verb), "{verb:?} has no route");
    }
}

// covers: I05, I06
#[tokio::test]
async fn every_route_is_open_to_just_the_roles_that_have_its_verb() {
    let trial = Trial::new().await;
    for Route { verb, method, path, .. } in table::routes().added() {
        for role in Role::ALL {
            let answer = ask(&trial, &caller("ann", role), method.clone(), &filled(path), "").await;
            let denied = answer.0 == StatusCode::FORBIDDEN && message(&answer).contains(DENIAL);
            assert_eq!(
                denied,
                right(*verb, role) == Right::Nothing,
                "{method} {path} as {role:?}: {answer:?}"
            );
        }
        let nobody = request(method, &filled(path), "");
        let answer = read(Arc::clone(&trial.service.administration).route(nobody).await).await;
        assert_eq!(answer.0, StatusCode::FORBIDDEN, "{method} {path} by nobody");
    }
}

// covers: I05, I11
#[tokio::test]
async fn what_is_not_his_and_what_does_not_exist_are_the_same_to_a_user() {
    let trial = Trial::new().await;
    trial.set_otp("alice", true).await;
    trial.set_otp("bob", true).await;
    let (bobs, alice) = (serial_of(&trial, "bob"), caller("alice", Role::User));
    let stranger = caller("uid 4000000", Role::User);
    for Route { verb, method, path, .. } in table::routes().added() {
        // Other routes name nobody; requests have tests of their own.
        let names = path.contains("{name}") || path.contains("{serial}");
        if right(*verb, Role::User) != Right::Own || !names {
            continue;
        }
        let of = |name: &str, serial: &str| path.replace("{name}", name).replace("{serial}", serial);
        let body = match verb {
            Verb::TokenResync => r#"{"code":"123456","next_code":"654321"}"#,
            _ => r#"{"code":"123456"}"#,
        };
        let expected = (StatusCode::FORBIDDEN, "this is not yours, or does not exist".to_owned());
        for (who, path) in [
            (&alice, of("bob", &bobs)),
            (&alice, of("nobody-here", "NONE")),
            (&alice, of("%0a", "%0a")),
            (&stranger, of("alice", &serial_of(&trial, "alice"))),
            (&stranger, of("uid%204000000", "NONE")),
        ] {
            let answer = ask(&trial, who, method.clone(), &path, body).await;
            assert_eq!((answer.0, message(&answer)), expected, "{method} {path} as {}", who.name);
        }
    }
    assert_eq!(trial.audit().iter().filter(|record| record.event == "token_lost").count(), 0);
}

// covers: I11
#[tokio::test]
async fn a_user_sees_what_is_his_and_proves_what_he_changes() {
    let trial = Trial::new().await;
    trial.activate("alice").await;
    trial.add(&Fob::hotp("2600000000002"), Some("alice")).await;
    let (alice, serial) = (caller("alice", Role::User), serial_of(&trial, "alice"));
    let (status, own) = ask(&trial, &alice, Method::GET, "/v1/self", "").await;
    assert_eq!((status, &own["name"], &own["role"]), (StatusCode::OK, &json!("alice"), &json!("user")));
    assert_eq!(own["user"]["tokens"][0]["serial"], json!(serial));
    let token = ask(&trial, &alice, Method::GET, &format!("/v1/tokens/{serial}"), "").await;
    assert_eq!((token.0, &token.1["user"]), (StatusCode::OK, &json!("alice")));
    let recovery = ask(&trial, &alice, Method::GET, "/v1/users/alice/recovery", "").await;
    assert_eq!((recovery.0, &recovery.1["left"]), (StatusCode::OK, &json!(0)));
    for path in ["/v1/tokens/2600000000002/disassociate".to_owned(), "/v1/users/alice/recovery".into()] {
        for body in ["", "{}"] {
            let answer = ask(&trial, &alice, Method::POST, &path, body).await;
            assert_eq!(answer.0, StatusCode::BAD_REQUEST, "{path}");
            assert!(message(&answer).contains("a code of one of your tokens is needed"));
        }
        let wrong = ask(&trial, &alice, Method::POST, &path, r#"{"code":"0"}"#).await;
        assert_eq!(wrong.0, StatusCode::UNPROCESSABLE_ENTITY, "{path}: {wrong:?}");
    }
    assert_eq!(serial_of(&trial, "alice"), serial);
}

// covers: I05
#[tokio::test]
async fn a_changed_role_holds_from_the_next_request_on() {
    let trial = Trial::new().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("verifierd.toml");
    // Every Unix machine has an account of this name.
    let daemon = nix::unistd::User::from_name("daemon").unwrap().unwrap().uid.as_raw();
    for (roles, expected) in [
        ("helpdesk = [\"daemon\"]", "helpdesk"),
        ("auditor = [\"daemon\"]", "auditor"),
        ("helpdesk = []", "user"),
    ] {
        std::fs::write(&path, format!("version = 1\n[roles]\n{roles}\n")).unwrap();
        trial.service.dialogue.config.store(Arc::new(Config::load(&path).unwrap()));
        let (_, own) = ask_as(&trial, daemon, "/v1/self").await;
        assert_eq!((&own["name"], &own["role"]), (&json!("daemon"), &json!(expected)));
        let status = if expected == "user" { StatusCode::FORBIDDEN } else { StatusCode::OK };
        assert_eq!(ask_as(&trial, daemon, "/v1/users").await.0, status, "{roles}");
    }
    let (_, root) = ask_as(&trial, 0, "/v1/self").await;
    assert_eq!((&root["name"], &root["role"]), (&json!("root"), &json!("super")));
    let (_, nobody) = ask_as(&trial, 4_000_000, "/v1/self").await;
    assert_eq!((&nobody["name"], &nobody["role"]), (&json!("uid 4000000"), &json!("user")));
}

// covers: I05
#[tokio::test]
async fn a_crowd_of_users_keeps_nobody_else_out() {
    let trial = Trial::new().await;
    let all = u32::try_from(USER_REQUESTS_MAX).unwrap();
    let taken = trial.service.administration.user_requests.acquire_many(all).await.unwrap();
    let answer = ask_as(&trial, 4_000_000, "/v1/self").await;
    assert_eq!(
        (answer.0, message(&answer).as_str()),
        (StatusCode::SERVICE_UNAVAILABLE, "too many requests at once: try again")
    );
    assert_eq!(ask_as(&trial, 0, "/v1/self").await.0, StatusCode::OK);
    drop(taken);
    assert_eq!(ask_as(&trial, 4_000_000, "/v1/self").await.0, StatusCode::OK);
}

#[tokio::test]
async fn what_is_malformed_is_told_in_our_own_form_and_not_repeated() {
    let trial = Trial::new().await;
    let root = caller("root", Role::Super);
    for (method, path, body, expected) in [
        (Method::GET, "/v1/audit?after=x", "", "after=N, before=N and limit=N, whole numbers"),
        (Method::GET, "/v1/audit?since=yesterday", "", "is no time"),
        (Method::GET, "/v1/audit?reference=x", "", "is not a reference"),
        (Method::GET, "/v1/audit?order=any", "", "order=oldest or newest"),
        (Method::GET, "/v1/audit?limit=4294967296", "", "whole numbers"),
        (Method::GET, "/v1/tokens?state=gone", "", "state=available|assigned"),
        (Method::GET, "/v1/tokens?sate=lost", "", "state=available|assigned"),
        (Method::GET, "/v1/users/%ff", "", "not UTF-8 text"),
        (Method::GET, "/v1/users/a%20b", "", "not an account name"),
        (Method::GET, "/v1/decisions/x", "", "is not a reference"),
        (Method::PUT, "/v1/users/alice/otp", "", "see line 1, column 0"),
        (Method::PUT, "/v1/users/alice/otp", r#"{"otp":"maybe"}"#, "see line 1"),
        (Method::POST, "/v1/tokens/S/resync", r#"{"code":"987654"}"#, "see line 1"),
        (Method::POST, "/v1/tokens/S/resync", r#"{"code":987654,"next_code":""}"#, "see line 1"),
        (Method::POST, "/v1/tokens/S/test", r#"{"code":"987654","x":1}"#, "see line 1"),
        (Method::POST, "/v1/tokens", r#"{"secret":"987654","user":"alice"}"#, "at least 16 bytes"),
        (Method::POST, "/v1/tokens", r#"{"secret":"987654zz","user":"alice"}"#, "not hexadecimal"),
        (Method::POST, "/v1/tokens", "{}", "`user` or `secret` is missing"),
        (Method::POST, "/v1/tokens", r#"{"user":"alice","counter":1}"#, "a counter goes with an event-based"),
        (Method::POST, "/v1/tokens", r#"{"user":"alice","serial":"a b"}"#, "without spaces"),
        (Method::POST, "/v1/imports", r##"{"serial_format":"# #"}"##, "the serial format is"),
    ] {
        let answer = ask(&trial, &root, method, path, body).await;
        assert_eq!(
            (answer.0, &answer.1["error"]["code"]),
            (StatusCode::BAD_REQUEST, &json!("malformed")),
            "{path}"
        );
        assert!(
            message(&answer).contains(expected),
            "{path}: {:?} does not say {expected:?}",
            message(&answer)
        );
        assert!(!message(&answer).contains("987654"), "{path} repeats what was sent");
    }
    for (method, path) in [(Method::GET, "/v1/nothing"), (Method::DELETE, "/v1/users"), (Method::POST, "/")] {
        let answer = ask(&trial, &root, method, path, "").await;
        assert_eq!(
            (answer.0, &answer.1["error"]["code"]),
            (StatusCode::NOT_FOUND, &json!("not_found")),
            "{path}"
        );
    }
}

// covers: A2
#[tokio::test]
async fn the_help_desk_learns_no_serial_numbers_by_guessing() {
    let trial = Trial::new().await;
    trial.set_otp("alice", true).await;
    let dora = caller("dora", Role::Helpdesk);
    trial.set_otp("carol", true).await;
    let mut told = Vec::new();
    for serial in ["NONE".to_owned(), serial_of(&trial, "alice")] {
        let path = format!("/v1/tokens/{serial}/associate");
        let answer = ask(&trial, &dora, Method::POST, &path, r#"{"user":"carol","code":"1"}"#).await;
        let (text, reference) = message(&answer)
            .split_once(". Reference ")
            .map(|(text, it)| (text.to_owned(), it.len()))
            .unwrap();
        told.push((answer.0, text, reference));
    }
    let wrong = "the serial number or the code is wrong".to_owned();
    assert_eq!(told[0], (StatusCode::UNPROCESSABLE_ENTITY, wrong, 9));
    assert_eq!(told[0], told[1]);
}

fn rows(serials: &[&str], secret: &str) -> String {
    let row = |(number, serial): (usize, &&str)| {
        // Each token has a secret of its own.
        let secret = format!("{number:02x}{secret}");
        json!({"row": number + 2, "serial": serial, "type": "hotp", "secret": secret, "algorithm": "SHA1",
               "digits": 6, "counter": 0})
    };
    json!({"rows": serials.iter().enumerate().map(row).collect::<Vec<_>>()}).to_string()
}

// covers: A1, A18
#[tokio::test]
async fn an_import_is_stored_at_its_end_and_not_before() {
    let trial = Trial::new().await;
    let ann = caller("ann", Role::Admin);
    let begun = ask(&trial, &ann, Method::POST, "/v1/imports", r#"{"serial_format":"FT#"}"#).await;
    let id = begun.1["id"].as_str().unwrap().to_owned();
    let busy = ask(&trial, &caller("root", Role::Super), Method::POST, "/v1/imports", "").await;
    assert_eq!(busy.0, StatusCode::CONFLICT);
    assert!(message(&busy).contains("another import is on its way"));
    let path = format!("/v1/imports/{id}/rows");
    let secret = "ab".repeat(20);
    let check = ask(&trial, &ann, Method::POST, &path, &rows(&["FT1", "FT2"], &secret)).await;
    assert_eq!(check.1, json!({"faults": [], "staged": 2}));
    let many: Vec<_> = (0..=wire::admin::IMPORT_ROWS_MAX).map(|_| "FT3").collect();
    assert_eq!(
        ask(&trial, &ann, Method::POST, &path, &rows(&many, "00")).await.0,
        StatusCode::PAYLOAD_TOO_LARGE
    );
    assert!(trial.service.dialogue.accounts.tokens().is_empty());
    let done = ask(&trial, &ann, Method::POST, &format!("/v1/imports/{id}/finish"), "").await;
    assert_eq!(done, (StatusCode::OK, json!({"tokens": 2})));
    let free = ask(&trial, &ann, Method::GET, "/v1/tokens?state=available", "").await;
    let serials: Vec<_> =
        free.1["items"].as_array().unwrap().iter().map(|token| token["serial"].clone()).collect();
    assert_eq!(serials, [json!("FT1"), json!("FT2")]);
    assert_eq!((&free.1["items"][0]["type"], &free.1["items"][0]["counter"]), (&json!("hotp"), &json!(0)));
}

// covers: A1, A18
#[tokio::test]
async fn a_token_that_exists_already_keeps_an_import_out() {
    let trial = Trial::new().await;
    let ann = caller("ann", Role::Admin);
    let begin = async || {
        let begun = ask(&trial, &ann, Method::POST, "/v1/imports", r#"{"serial_format":"any"}"#).await;
        format!("/v1/imports/{}", begun.1["id"].as_str().unwrap())
    };
    let secret = "ab".repeat(20);
    let first = begin().await;
    ask(&trial, &ann, Method::POST, &format!("{first}/rows"), &rows(&["A"], &secret)).await;
    ask(&trial, &ann, Method::POST, &format!("{first}/finish"), "").await;
    let second = begin().await;
    let check = ask(&trial, &ann, Method::POST, &format!("{second}/rows"), &rows(&["B", "A"], &secret)).await;
    let fault = json!({"row": 3, "serial": "A", "reason": "a token with this serial number exists already"});
    assert_eq!(check.1, json!({"faults": [fault], "staged": 1}));
    let refused = ask(&trial, &ann, Method::POST, &format!("{second}/finish"), "").await;
    assert_eq!(refused.0, StatusCode::CONFLICT);
    assert_eq!(trial.service.dialogue.accounts.tokens().len(), 1);
    let third = begin().await;
    assert_eq!(ask(&trial, &ann, Method::DELETE, &third, "").await.1, json!({"tokens": 0}));
    assert_eq!(ask(&trial, &ann, Method::DELETE, &third, "").await.0, StatusCode::NOT_FOUND);
}

// covers: A14
#[tokio::test]
async fn there_is_nothing_to_settle_in_a_whole_store() {
    let trial = Trial::new().await;
    let root = caller("root", Role::Super);
    let answer = ask(&trial, &root, Method::POST, "/v1/store/settle", "").await;
    assert_eq!(answer.0, StatusCode::CONFLICT);
    assert!(message(&answer).contains("nothing to settle"));
    let status = ask(&trial, &root, Method::GET, "/v1/status", "").await;
    assert_eq!((&status.1["reasons"], &status.1["store_start"]), (&json!([]), &json!("clean")));
}

#[tokio::test]
async fn metrics_count_what_was_decided() {
    let trial = Trial::new().await;
    trial.activate("alice").await;
    trial.login("alice", "sshd", "000000").await;
    let (status, text) = ask(&trial, &caller("root", Role::Super), Method::GET, "/metrics", "").await;
    let text = text.as_str().unwrap();
    assert_eq!(status, StatusCode::OK);
    for line in [
        "postern_verifications_total{result=\"allow\"} 1",
        "postern_verifications_total{result=\"deny\"} 1",
        "postern_table_entries{table=\"users\"} 1",
        "postern_build_info{version=",
        "# EOF",
    ] {
        assert!(text.contains(line), "{line} is not in:\n{text}");
    }
}
