//! Sessions as agents tell of them.

use hyper::StatusCode;
use ledger::Refusal;
use ledger::memory::Fate;
use serde_json::{Value, json};
use wire::session::{CLOSE_PATH, LEFT_OUT_PATH, NAMED_MAX, OPEN_PATH};

use super::stand::Stand;
use crate::hosts::HostName;
use crate::hosts::presence::{ASKED_MAX, TOLD_MAX};
use crate::sessions::chores::is_of_revoked;
use crate::trial::root;

fn opening(number: usize) -> Value {
    json!({"api_version": 1, "session": name(number), "user": "alice", "service": "sshd",
        "leader": {"pid": 7, "start": 9}})
}

/// One that takes as much room as any.
fn long(number: usize) -> Value {
    let mut long = opening(number);
    (long["boot"], long["leader"]) = (json!(uuid_of("f")), json!({"pid": i32::MAX, "start": u64::MAX}));
    long
}

fn uuid_of(digit: &str) -> String {
    [8, 4, 4, 4, 12].map(|count| digit.repeat(count)).join("-")
}

fn closing(number: usize) -> Value {
    json!({"api_version": 1, "session": name(number), "is_lost": true})
}

fn name(number: usize) -> String {
    format!("{number:032x}")
}

/// The sessions that a report's answer asks about.
fn asked_about(answer: &Value) -> Vec<&str> {
    let named = answer["sessions"].as_array().map(Vec::as_slice).unwrap_or_default();
    named.iter().map(|named| named["session"].as_str().expect("a name")).collect()
}

// covers: R10
#[tokio::test]
async fn a_host_is_asked_about_its_own_sessions_and_ends_no_other() {
    let stand = Stand::new().await;
    let (web1, web2) = (stand.join("web1").await, stand.join("web2").await);
    let (mut one, mut two) = (stand.agent(&web1).await, stand.agent(&web2).await);
    for _ in 0..2 {
        let (status, told) = one.post(OPEN_PATH, &opening(1)).await.unwrap();
        let expected = json!({"api_version": 1, "session": name(1), "recording": "off"});
        assert_eq!((status, told), (StatusCode::OK, expected));
    }
    assert_eq!(
        one.report().await.unwrap().1["sessions"],
        json!([
            {"session": name(1), "leader": {"pid": 7, "start": 9}}
        ])
    );
    assert_eq!(asked_about(&two.report().await.unwrap().1), [""; 0]);
    assert_eq!(two.post(CLOSE_PATH, &closing(1)).await.unwrap().0, StatusCode::OK);
    let sessions = &stand.trial.service.dialogue.sessions;
    assert_eq!(sessions.count(), 1, "another host's word ends nothing");
    assert_eq!(one.post(CLOSE_PATH, &closing(1)).await.unwrap().0, StatusCode::OK);
    assert_eq!(sessions.count(), 0);
    let records = stand.trial.audit();
    let hosts: Vec<_> = records.iter().filter(|record| record.event.starts_with("session_")).collect();
    assert_eq!(hosts.len(), 2);
    assert!(hosts.iter().all(|record| record.host.as_deref() == Some("web1")), "{hosts:?}");
    let mut strange = opening(2);
    strange["host"] = json!(web2.id);
    assert_eq!(one.post(OPEN_PATH, &strange).await.unwrap().0, StatusCode::BAD_REQUEST, "a host names none");
    assert_eq!(one.post(OPEN_PATH, &json!({})).await.unwrap().0, StatusCode::BAD_REQUEST);
}

// covers: R10
#[tokio::test]
async fn a_report_asks_about_so_many_sessions_and_the_next_one_about_others() {
    let stand = Stand::new().await;
    let web1 = stand.join("web1").await;
    let mut agent = stand.agent(&web1).await;
    for number in 0..=NAMED_MAX {
        assert_eq!(agent.post(OPEN_PATH, &long(number)).await.unwrap().0, StatusCode::OK);
    }
    let (first, second) = (agent.report().await.unwrap().1, agent.report().await.unwrap().1);
    assert_eq!(
        (asked_about(&first).len(), asked_about(&second)),
        (NAMED_MAX, vec![name(NAMED_MAX).as_str()])
    );
    assert_eq!(first["sessions"][0]["boot"], json!(uuid_of("f")));
    let bytes = first.to_string().len();
    assert!(bytes <= wire::BODY_BYTES_MAX / 3 * 2, "{bytes}");
}

// covers: R10
#[tokio::test]
async fn the_sessions_of_a_host_that_was_revoked_are_known_to_be_so() {
    let stand = Stand::new().await;
    let (web1, web2) = (stand.join("web1").await, stand.join("web2").await);
    for member in [&web1, &web2] {
        assert_eq!(stand.agent(member).await.post(OPEN_PATH, &opening(1)).await.unwrap().0, StatusCode::OK);
    }
    let revoked = || {
        let all = stand.trial.service.dialogue.sessions.all();
        let revoked = all.iter().filter(|session| is_of_revoked(stand.registrar().hosts(), session));
        revoked.map(|session| session.host.as_ref().unwrap().name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(revoked(), [""; 0]);
    stand.registrar().revoke(HostName::new("web1").unwrap(), root()).await.unwrap();
    assert_eq!(revoked(), ["web1"]);
}

// covers: R10
#[tokio::test]
async fn what_cannot_be_written_down_now_is_put_off_without_a_word_that_concerns_logins() {
    let stand = Stand::new().await;
    let web1 = stand.join("web1").await;
    let mut agent = stand.agent(&web1).await;
    stand.trial.ledger.set_fate(Fate::Refuse(Refusal::Busy));
    let (status, told) = agent.post(OPEN_PATH, &opening(1)).await.unwrap();
    // 503 would have the agent leave this verifier alone for a while.
    assert_eq!((status, &told["error"]["code"]), (StatusCode::TOO_MANY_REQUESTS, &json!("throttled")));
    stand.trial.ledger.set_fate(Fate::Decide);
    assert_eq!(agent.post(OPEN_PATH, &opening(1)).await.unwrap().0, StatusCode::OK);
    assert_eq!(stand.trial.service.dialogue.sessions.count(), 1);
}

// covers: R10, B08
#[tokio::test]
async fn who_tells_too_much_of_sessions_is_put_off_and_asks_about_logins_as_before() {
    let stand = Stand::new().await;
    let web1 = stand.join("web1").await;
    let mut agent = stand.agent(&web1).await;
    let left_out = json!({"api_version": 1, "count": 3, "user": "bob"});
    let told = agent.post(LEFT_OUT_PATH, &left_out).await.unwrap();
    assert_eq!(told, (StatusCode::OK, json!({"api_version": 1})));
    assert_eq!(stand.trial.audit().pop().unwrap().host.as_deref(), Some("web1"));
    let presence = &stand.registrar().hosts().owner_of(&HostName::new("web1").unwrap()).unwrap().presence;
    let now = stand.registrar().clock().elapsed();
    let left = (0..=TOLD_MAX).take_while(|_| presence.may_tell(now)).count();
    assert_eq!(left, TOLD_MAX as usize - 1, "one was told");
    for path in [OPEN_PATH, CLOSE_PATH, LEFT_OUT_PATH] {
        assert_eq!(agent.post(path, &closing(1)).await.unwrap().0, StatusCode::TOO_MANY_REQUESTS, "{path}");
    }
    assert!(presence.may_ask(now, ASKED_MAX), "all of it is left to logins");
}
