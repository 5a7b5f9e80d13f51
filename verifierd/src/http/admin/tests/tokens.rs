use wire::login::Verdict;

use super::*;
use crate::trial::Fob;

/// Posts JSON.
async fn post(trial: &Trial, who: &Caller, path: &str, body: Value) -> (StatusCode, Value) {
    ask(trial, who, Method::POST, path, &body.to_string()).await
}

fn is_error(answer: &(StatusCode, Value), status: StatusCode, code: &str, text: &str) {
    let is = answer.0 == status && answer.1["error"]["code"] == json!(code) && message(answer).contains(text);
    assert!(is, "{answer:?} is not {status} {code} with {text:?}");
}

// covers: A2, A4
#[tokio::test]
async fn the_help_desk_gives_out_a_token_and_brings_it_back_into_step() {
    let trial = Trial::new().await;
    let (dora, fob) = (caller("dora", Role::Helpdesk), Fob::hotp("2600123456789"));
    trial.add(&fob, None).await;
    let early = json!({"user": "alice", "code": fob.code(0)});
    let early = post(&trial, &dora, &format!("/v1/tokens/{}/associate", fob.serial), early).await;
    is_error(&early, StatusCode::CONFLICT, "conflict", "an administrator turns that on first");
    let steward = &trial.service.dialogue.steward;
    let name = crate::accounts::UserName::new("alice").unwrap();
    steward.set_otp(name, true, wire::admin::EnrolWith::Token, crate::trial::root()).await.unwrap();
    let path = |verb: &str| format!("/v1/tokens/{}/{verb}", fob.serial);
    let wrong =
        post(&trial, &dora, &path("associate"), json!({"user": "alice", "code": fob.wrong_code()})).await;
    is_error(
        &wrong,
        StatusCode::UNPROCESSABLE_ENTITY,
        "wrong_code",
        "the serial number or the code is wrong",
    );
    let given = post(&trial, &dora, &path("associate"), json!({"user": "alice", "code": fob.code(3)})).await;
    assert_eq!(
        (given.0, &given.1["user"], &given.1["state"]),
        (StatusCode::OK, &json!("alice"), &json!("associated"))
    );
    assert_eq!(given.1["counter"], json!(4));
    let codes = json!({"code": fob.code(500), "next_code": fob.code(501)});
    let back = post(&trial, &dora, &path("resync"), codes.clone()).await;
    assert_eq!((back.0, &back.1["counter"]), (StatusCode::OK, &json!(502)));
    let again = post(&trial, &dora, &path("resync"), codes).await;
    assert_eq!(again.0, StatusCode::UNPROCESSABLE_ENTITY);
    let actors: Vec<_> = trial.audit().into_iter().filter_map(|record| record.actor).collect();
    assert!(actors.iter().filter(|actor| *actor == "dora (helpdesk)").count() >= 4, "{actors:?}");
    let audit = serde_json::to_string(&trial.audit()).unwrap();
    assert!([3, 500, 501].iter().all(|counter| !audit.contains(&fob.code(*counter))));
}

// covers: A13
#[tokio::test]
async fn a_test_says_whether_a_code_is_right_and_uses_it_up() {
    let trial = Trial::new().await;
    let (dora, fob) = (caller("dora", Role::Helpdesk), Fob::hotp("2600123456789"));
    trial.add(&fob, None).await;
    let path = format!("/v1/tokens/{}/test", fob.serial);
    for (code, right, reason) in [
        (fob.code(0), true, "accepted"),
        (fob.code(0), false, "replayed"),
        (fob.wrong_code(), false, "wrong_code"),
    ] {
        let check = post(&trial, &dora, &path, json!({"code": code})).await;
        assert_eq!(
            (check.0, &check.1["right"], &check.1["reason"]),
            (StatusCode::OK, &json!(right), &json!(reason))
        );
        assert_eq!(check.1["reference"].as_str().unwrap().len(), 9);
    }
}

// covers: I11
#[tokio::test]
async fn a_user_gives_back_a_token_of_his_but_never_the_last() {
    let trial = Trial::new().await;
    let alice = caller("alice", Role::User);
    let (first, second) = (Fob::hotp("2600000000001"), Fob::hotp("2600000000002"));
    for fob in [&first, &second] {
        trial.add(fob, None).await;
        let path = format!("/v1/tokens/{}/associate", fob.serial);
        post(&trial, &caller("root", Role::Super), &path, json!({"user": "alice", "code": fob.code(0)}))
            .await;
    }
    let path = |fob: &Fob| format!("/v1/tokens/{}/disassociate", fob.serial);
    let done = post(&trial, &alice, &path(&first), json!({"code": second.code(1)})).await;
    assert_eq!((done.0, &done.1["wiped"], &done.1["otp"]), (StatusCode::OK, &json!(false), &json!("on")));
    let last = post(&trial, &alice, &path(&second), json!({"code": second.code(2)})).await;
    is_error(&last, StatusCode::CONFLICT, "conflict", "last one");
    assert_eq!(trial.token_of(&second.serial).value(), 2, "no code is used up for a refusal");
    let used = post(&trial, &alice, "/v1/users/alice/recovery", json!({"code": second.code(1)})).await;
    is_error(&used, StatusCode::UNPROCESSABLE_ENTITY, "wrong_code", "the code was used before");
    let gone = post(&trial, &alice, &path(&first), json!({"code": second.code(3)})).await;
    is_error(&gone, StatusCode::FORBIDDEN, "not_allowed", "this is not yours");
    let root = post(&trial, &caller("root", Role::Super), &path(&second), json!({})).await;
    assert_eq!((root.0, &root.1["otp"]), (StatusCode::OK, &json!("off")));
}

// covers: P1
#[tokio::test]
async fn new_recovery_codes_need_a_code_and_void_the_old_ones() {
    let trial = Trial::new().await;
    let key = trial.activate("alice").await;
    let (alice, path) = (caller("alice", Role::User), "/v1/users/alice/recovery");
    let made = post(&trial, &alice, path, json!({"code": trial.code(&key, 0)})).await;
    assert_eq!((made.0, made.1["codes"].as_array().unwrap().len()), (StatusCode::OK, 10));
    let status = ask(&trial, &alice, Method::GET, path, "").await;
    assert_eq!((&status.1["left"], &status.1["waiting"]), (&json!(10), &json!(false)));
    let old = made.1["codes"][0].as_str().unwrap().to_owned();
    let paper = post(&trial, &alice, path, json!({"code": old})).await;
    assert_eq!(paper.0, StatusCode::UNPROCESSABLE_ENTITY, "one code on paper does not make ten: {paper:?}");
    trial.advance(crate::trial::STEP);
    let again = post(&trial, &alice, path, json!({"code": trial.code(&key, 0)})).await;
    assert_eq!(again.0, StatusCode::OK, "{again:?}");
    assert_eq!(trial.login("alice", "sshd", &old).await.verdict, Verdict::Deny);
    let nobody =
        post(&trial, &caller("root", Role::Super), "/v1/users/nobody-here/recovery", json!({})).await;
    is_error(&nobody, StatusCode::NOT_FOUND, "not_found", "no user");
}

// covers: A21
#[tokio::test]
async fn too_many_wrong_codes_are_throttled_in_words_until_the_user_is_unlocked() {
    let trial = Trial::new().await;
    let key = trial.activate("alice").await;
    let alice = caller("alice", Role::User);
    let path = format!("/v1/tokens/{}/test", serial_of(&trial, "alice"));
    let wrong = json!({"code": trial.wrong_code(&key)});
    let mut answer = post(&trial, &alice, &path, wrong.clone()).await;
    for _ in 0..20 {
        if answer.0 != StatusCode::OK {
            break;
        }
        answer = post(&trial, &alice, &path, wrong.clone()).await;
    }
    is_error(&answer, StatusCode::TOO_MANY_REQUESTS, "throttled", "too many wrong codes: wait ");
    let dora = caller("dora", Role::Helpdesk);
    let unlocked = post(&trial, &dora, "/v1/users/alice/unlock", json!({})).await;
    assert_eq!(unlocked.0, StatusCode::OK);
    assert!(unlocked.1["counts_cleared"].as_u64().unwrap() > 0, "{unlocked:?}");
    let right = post(&trial, &alice, &path, json!({"code": trial.code(&key, 0)})).await;
    assert_eq!((right.0, &right.1["right"]), (StatusCode::OK, &json!(true)));
}

// covers: A3, A16
#[tokio::test]
async fn a_token_goes_through_its_life_and_nothing_goes_against_it() {
    let trial = Trial::new().await;
    let (root, fob) = (caller("root", Role::Super), Fob::totp("2600123456789"));
    let new = json!({"serial": fob.serial, "secret": "ab".repeat(20), "digits": 8, "time_interval": 60});
    let made = post(&trial, &root, "/v1/tokens", new.clone()).await;
    assert_eq!(
        (&made.1["state"], &made.1["digits"], &made.1["time_interval"]),
        (&json!("available"), &json!(8), &json!(60))
    );
    is_error(
        &post(&trial, &root, "/v1/tokens", new).await,
        StatusCode::CONFLICT,
        "conflict",
        "exists already",
    );
    let path = |verb: &str| format!("/v1/tokens/{}/{verb}", fob.serial);
    for (verb, body, state) in [
        ("assign", json!({"user": "alice"}), "assigned"),
        ("lost", json!({}), "lost"),
        ("enable", json!({}), "assigned"),
        ("disable", json!({}), "disabled"),
        ("enable", json!({}), "assigned"),
    ] {
        let moved = post(&trial, &root, &path(verb), body).await;
        assert_eq!((moved.0, &moved.1["state"]), (StatusCode::OK, &json!(state)), "{verb}: {moved:?}");
    }
    let twice = post(&trial, &root, &path("assign"), json!({"user": "bob"})).await;
    is_error(&twice, StatusCode::CONFLICT, "conflict", "is assigned");
    let own = ask(&trial, &root, Method::GET, "/v1/tokens?user=alice&state=assigned", "").await;
    assert_eq!(own.1["items"].as_array().unwrap().len(), 1);
    let others = ask(&trial, &root, Method::GET, "/v1/tokens?user=bob", "").await;
    assert_eq!(others.1["items"], json!([]));
}

// covers: A14
#[tokio::test]
async fn recovery_codes_that_wait_are_told_and_settled() {
    let trial = Trial::new().await;
    let key = trial.activate("alice").await;
    let alice = caller("alice", Role::User);
    let path = "/v1/users/alice/recovery";
    post(&trial, &alice, path, json!({"code": trial.code(&key, 0)})).await;
    let trial = trial.restart(StartState::Unclean).await;
    let root = caller("root", Role::Super);
    let status = ask(&trial, &root, Method::GET, "/v1/status", "").await;
    let reason = status.1["reasons"][0].as_str().unwrap();
    assert!(reason.contains("of 1 user wait") && reason.contains("`postern store settle`"), "{reason}");
    assert_eq!(ask(&trial, &alice, Method::GET, path, "").await.1["waiting"], json!(true));
    let settled = ask(&trial, &root, Method::POST, "/v1/store/settle", "").await;
    assert_eq!((settled.0, &settled.1["reasons"]), (StatusCode::OK, &json!([])));
    assert_eq!(ask(&trial, &alice, Method::GET, path, "").await.1["waiting"], json!(false));
    let again = ask(&trial, &root, Method::POST, "/v1/store/settle", "").await;
    is_error(&again, StatusCode::CONFLICT, "conflict", "nothing to settle");
}

// covers: I05
#[tokio::test]
async fn the_help_desk_changes_nothing_of_who_has_more_rights() {
    let trial = Trial::new().await;
    let (dora, fob) = (caller("dora", Role::Helpdesk), Fob::hotp("2600123456789"));
    trial.add(&fob, Some("root")).await;
    trial.add(&Fob::hotp("2600000000002"), None).await;
    for (path, body) in [
        ("/v1/users/root/unlock", json!({})),
        ("/v1/tokens/2600123456789/lost", json!({})),
        ("/v1/tokens/2600123456789/test", json!({"code": "123456"})),
        ("/v1/tokens/2600123456789/resync", json!({"code": "123456", "next_code": "123457"})),
        ("/v1/tokens/2600000000002/associate", json!({"user": "root", "code": "123456"})),
    ] {
        let answer = post(&trial, &dora, path, body.clone()).await;
        is_error(&answer, StatusCode::FORBIDDEN, "not_allowed", "root has more rights than you");
        let answer = post(&trial, &caller("root", Role::Super), path, body).await;
        assert_ne!(answer.0, StatusCode::FORBIDDEN, "{path}");
    }
}
