use super::*;
use crate::access::tests::stand::{Stand, login};
use crate::access::{How, RequestRecord};

async fn decide(stand: &Stand, who: &Caller, request: &RequestRecord, what: &str) -> (StatusCode, Value) {
    let body = format!("{{\"number\":{}}}", request.number);
    ask(&stand.trial, who, Method::POST, &format!("/v1/requests/{}/{what}", request.id), &body).await
}

async fn get(stand: &Stand, who: &Caller, path: &str) -> (StatusCode, Value) {
    ask(&stand.trial, who, Method::GET, path, "").await
}

fn somebody(name: &str) -> Caller {
    caller(name, Role::User)
}

// covers: E3, E2
#[tokio::test]
async fn an_approver_decides_from_his_own_account_with_the_number() {
    let stand = Stand::new().await;
    let request = stand.request("alice", How::Approval).await;
    let carol = somebody("carol");
    let listed = get(&stand, &carol, "/v1/requests").await;
    let item = &listed.1["items"][0];
    assert_eq!((&item["person"], &item["is_yours_to_decide"]), (&json!("alice"), &json!(true)));
    assert!(!listed.1.to_string().contains("number"), "he has to ask for it");
    let mut wrong = request.clone();
    wrong.number = 10 + (request.number - 9) % 90;
    assert_eq!(decide(&stand, &carol, &wrong, "approve").await.0, StatusCode::FORBIDDEN);
    let approved = decide(&stand, &carol, &request, "approve").await;
    assert_eq!((approved.0, &approved.1["state"]), (StatusCode::OK, &json!("issued")), "{approved:?}");
    assert_eq!((&approved.1["approved_by"], &approved.1["password"]), (&json!("carol"), &Value::Null));
    let late = decide(&stand, &somebody("dave"), &request, "deny").await;
    assert_eq!(late.0, StatusCode::CONFLICT);
    assert!(message(&late).starts_with("already approved by carol at "), "{late:?}");
    assert_eq!(stand.type_in("alice", &stand.password(request.id)).await, "issued_password");
    let shown = get(&stand, &carol, &format!("/v1/requests/{}", request.id)).await;
    assert_eq!(shown.1["state"], json!("used"));
}

// covers: C05
#[tokio::test]
async fn nobody_approves_his_own_request_whatever_his_role_and_root_is_no_person() {
    let stand = Stand::new().await;
    let mine = stand.request("carol", How::Approval).await;
    for role in Role::ALL {
        let answer = decide(
            &stand,
            &Caller { who: Who::Account(4_000_000), ..caller("carol", role) },
            &mine,
            "approve",
        )
        .await;
        assert_eq!(answer.0, StatusCode::FORBIDDEN, "{role:?}");
        assert!(message(&answer).contains("is your own"), "{answer:?}");
    }
    let root = decide(&stand, &caller("root", Role::Super), &mine, "approve").await;
    assert_eq!(root.0, StatusCode::FORBIDDEN);
    assert!(message(&root).starts_with("root is no person"), "{root:?}");
    // An account that two persons share is nobody's in particular.
    stand.add("frank", "frank@example.org", &["carol"]).await;
    let shared = decide(&stand, &somebody("carol"), &mine, "approve").await;
    assert!(message(&shared).contains("not the account of exactly one person"), "{shared:?}");
    assert_eq!(stand.told("access_approved").len(), 0);
}

// covers: C18
#[tokio::test]
async fn a_request_that_is_not_his_affair_is_not_there() {
    let stand = Stand::new().await;
    let db = stand.host("db1", Some("db")).await;
    stand.wish(login("alice", Some(db)), "alice", How::Approval).await;
    let request = stand.newest();
    for who in ["carol", "bob", "nobody"].map(somebody) {
        let path = format!("/v1/requests/{}", request.id);
        assert_eq!(get(&stand, &who, &path).await.0, StatusCode::NOT_FOUND);
        assert_eq!(get(&stand, &who, "/v1/requests").await.1["items"], json!([]));
        let cancelled = ask(&stand.trial, &who, Method::POST, &format!("{path}/cancel"), "").await;
        assert_eq!(cancelled.0, StatusCode::NOT_FOUND);
    }
    for what in ["approve", "deny"] {
        assert_eq!(decide(&stand, &somebody("carol"), &request, what).await.0, StatusCode::NOT_FOUND);
    }
    for id in ["00000000000000000000000000", "x", "..%2f..", "%0a"] {
        assert_eq!(
            get(&stand, &somebody("erin"), &format!("/v1/requests/{id}")).await.0,
            StatusCode::NOT_FOUND
        );
    }
    assert_eq!(
        get(&stand, &somebody("alice"), &format!("/v1/requests/{}", request.id)).await.0,
        StatusCode::OK
    );
    let auditor = get(&stand, &caller("ulla", Role::Auditor), "/v1/requests").await;
    assert_eq!(auditor.1["items"].as_array().unwrap().len(), 1);
    let taken_back = decide(&stand, &somebody("alice"), &request, "cancel").await;
    assert_eq!((taken_back.0, &taken_back.1["state"]), (StatusCode::OK, &json!("cancelled")));
}

// covers: E3
#[tokio::test]
async fn in_the_strict_profile_the_approver_is_shown_the_password() {
    let strict =
        crate::access::tests::stand::CONFIG.replace("[group.db]", "profile = \"strict\"\n[group.db]");
    let stand = Stand::with(&strict).await;
    let request = stand.request("alice", How::Approval).await;
    let approved = decide(&stand, &somebody("carol"), &request, "approve").await;
    let password = approved.1["password"].as_str().expect("he tells it").to_owned();
    let shown = get(&stand, &somebody("carol"), &format!("/v1/requests/{}", request.id)).await;
    assert!(!shown.1.to_string().contains(&password), "once");
    assert_eq!(stand.type_in("alice", &password).await, "issued_password");
}
