//! Who sees who is in.

use wire::admin::SESSIONS_PAGE_MAX;
use wire::session::OpenSession;

use super::*;
use crate::hosts::{HostId, HostIdentity, HostName};

async fn open(trial: &Trial, number: usize, user: &str, host: Option<&HostIdentity>) {
    let said = json!({"api_version": 1, "session": format!("{number:032x}"), "user": user, "service": "sshd",
        "rhost": "192.0.2.7", "tty": "ssh"});
    let said: OpenSession = serde_json::from_value(said).unwrap();
    trial.service.dialogue.sessions.open(said, host).await.unwrap();
}

fn users(answer: &(StatusCode, Value)) -> Vec<&str> {
    assert_eq!((answer.0, &answer.1["kind"]), (StatusCode::OK, &json!("session_list")), "{answer:?}");
    answer.1["items"].as_array().unwrap().iter().map(|item| item["user"].as_str().unwrap()).collect()
}

// covers: R10, I05
#[tokio::test]
async fn the_staff_sees_all_sessions_and_a_user_his_own() {
    let trial = Trial::new().await;
    let name = HostName::new("web1").unwrap();
    let web1 = HostIdentity { id: HostId::from_random([1; 16]), name, group: None };
    open(&trial, 1, "alice", None).await;
    open(&trial, 2, "bob", Some(&web1)).await;
    let list = async |who: &Caller, query: &str| {
        ask(&trial, who, Method::GET, &format!("/v1/sessions{query}"), "").await
    };
    for role in [Role::Auditor, Role::Helpdesk, Role::Admin, Role::Super] {
        assert_eq!(users(&list(&caller("ann", role), "").await), ["alice", "bob"], "{role:?}");
    }
    let (ann, alice) = (caller("ann", Role::Admin), caller("alice", Role::User));
    let of_bob = list(&ann, "?user=bob").await;
    assert_eq!(users(&of_bob), ["bob"]);
    let item = &of_bob.1["items"][0];
    assert_eq!((&item["host"], &item["rhost"]), (&json!("web1"), &json!("192.0.2.7")));
    assert_eq!((&item["since"], &item["login"]), (&json!("2027-01-15T08:00:15Z"), &Value::Null));
    assert_eq!(users(&list(&alice, "").await), ["alice"]);
    assert_eq!(users(&list(&alice, "?user=alice").await), ["alice"]);
    for (who, query) in [(&alice, "?user=bob"), (&alice, "?user=nobody"), (&caller("uid 7", Role::User), "")]
    {
        let refused = list(who, query).await;
        assert_eq!(
            (refused.0, message(&refused)),
            (StatusCode::FORBIDDEN, "this is not yours, or does not exist".to_owned())
        );
    }
    let unknown = list(&ann, "?host=web1").await;
    assert_eq!((unknown.0, message(&unknown).as_str()), (StatusCode::NOT_FOUND, "no host \"web1\""));
    assert!(users(&list(&alice, "?host=web1").await).is_empty(), "which hosts there are is not hers to know");
    for query in ["?who=bob", "?host=Web1"] {
        assert_eq!(list(&ann, query).await.0, StatusCode::BAD_REQUEST, "{query}");
    }
    let metrics = ask(&trial, &ann, Method::GET, "/metrics", "").await;
    let metrics = metrics.1.as_str().unwrap();
    assert!(metrics.contains("postern_sessions{kind=\"open\"} 2"), "{metrics}");
}

// covers: R10
#[tokio::test]
async fn a_long_list_comes_in_pages_that_leave_out_nobody() {
    let trial = Trial::new().await;
    for number in 0..=2 * SESSIONS_PAGE_MAX {
        open(&trial, number, &format!("user{number}"), None).await;
    }
    let (ann, mut query, mut seen) = (caller("ann", Role::Admin), String::new(), Vec::new());
    for length in [SESSIONS_PAGE_MAX, SESSIONS_PAGE_MAX, 1] {
        let page = ask(&trial, &ann, Method::GET, &format!("/v1/sessions{query}"), "").await;
        assert_eq!(users(&page).len(), length);
        seen.extend(users(&page).into_iter().map(str::to_owned));
        query = page.1["next"].as_str().map(|next| format!("?after={next}")).unwrap_or_default();
    }
    assert_eq!(query, "", "that was the last one");
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 2 * SESSIONS_PAGE_MAX + 1);
}

// covers: P13, R10, I05
#[tokio::test]
async fn that_a_session_is_somebody_elses_its_own_user_says_and_it_goes_on_record() {
    let trial = Trial::new().await;
    let name = HostName::new("web1").unwrap();
    let web1 = HostIdentity { id: HostId::from_random([1; 16]), name, group: None };
    open(&trial, 1, "alice", Some(&web1)).await;
    open(&trial, 2, "bob", None).await;
    let report = async |who: &Caller, id: &str| {
        ask(&trial, who, Method::POST, &format!("/v1/sessions/{id}/report"), "").await
    };
    let alice = caller("alice", Role::User);
    let (hers, his) = (format!("{:032x}", 1), format!("{:032x}", 2));
    for (who, id) in
        [(&alice, his.as_str()), (&alice, "1"), (&alice, "x"), (&caller("ann", Role::Super), &hers)]
    {
        let refused = report(who, id).await;
        let told = (refused.0, message(&refused));
        assert_eq!(told, (StatusCode::NOT_FOUND, format!("you have no open session {id:?}")));
    }
    let reported = |trial: &Trial| {
        let records = trial.audit().into_iter().filter(|record| record.event == "session_reported");
        records.collect::<Vec<_>>()
    };
    assert!(reported(&trial).is_empty());
    let (status, answer) = report(&alice, &hers).await;
    assert_eq!((status, &answer["session"]["host"]), (StatusCode::OK, &json!("web1")), "{answer}");
    let records = reported(&trial);
    let [record] = &records[..] else { panic!("{records:?}") };
    assert_eq!(answer["reference"], json!(record.reference));
    let told =
        [&record.user, &record.host, &record.rhost, &record.actor].map(|text| text.as_deref().unwrap_or("-"));
    assert_eq!(told, ["alice", "web1", "192.0.2.7", "alice (user)"]);
    assert_eq!((record.reason.as_str(), trial.service.dialogue.sessions.count()), ("not_me", 2));
}
