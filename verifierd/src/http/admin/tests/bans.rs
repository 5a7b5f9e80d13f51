use super::*;

// covers: P3
#[tokio::test]
async fn a_ban_is_listed_in_words_and_lifted_once_and_on_record() {
    let trial = Trial::new().await;
    let key = trial.activate("alice").await;
    for _ in 0..5 {
        trial.login_from("alice", "sshd", Some("192.0.2.9"), &trial.wrong_code(&key)).await;
    }
    let dora = caller("dora", Role::Helpdesk);
    let listed = ask(&trial, &dora, Method::GET, "/v1/bans", "").await;
    let items = listed.1["items"].as_array().unwrap();
    assert_eq!((listed.0, items.len()), (StatusCode::OK, 2));
    let here = items.iter().find(|ban| ban["from"] == json!("address 192.0.2.9")).unwrap();
    assert_eq!((&here["user"], &here["failures"]), (&json!("alice"), &json!(5)));
    let code = trial.code(&key, 1);
    let refused = trial.login_from("alice", "sshd", Some("192.0.2.9"), &code).await;
    assert_eq!(trial.reason(&refused), "throttled");

    for ban in items {
        let path = format!("/v1/bans/{}/lift", ban["id"].as_str().unwrap());
        let lifted = ask(&trial, &dora, Method::POST, &path, "").await;
        assert_eq!((lifted.0, &lifted.1["user"]), (StatusCode::OK, &json!("alice")));
        let again = ask(&trial, &dora, Method::POST, &path, "").await;
        assert!(
            again.0 == StatusCode::NOT_FOUND && message(&again).contains("postern ban list"),
            "{again:?}"
        );
    }
    let lifted: Vec<_> = trial.audit().into_iter().filter(|record| record.event == "ban_lifted").collect();
    assert_eq!(lifted.len(), 2);
    assert_eq!(lifted[0].actor.as_deref(), Some("dora (helpdesk)"));
    let let_in = trial.login_from("alice", "sshd", Some("192.0.2.9"), &code).await;
    assert_eq!(trial.reason(&let_in), "accepted");
}

// covers: I05
#[tokio::test]
async fn the_help_desk_lifts_no_ban_of_somebody_with_more_rights() {
    let trial = Trial::with_config("version = 1\non_unenrolled = \"deny\"").await;
    for _ in 0..5 {
        trial.login("root", "sshd", "000000").await;
    }
    let listed = ask(&trial, &caller("dora", Role::Helpdesk), Method::GET, "/v1/bans", "").await;
    let id = listed.1["items"][0]["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/bans/{id}/lift");
    let denied = ask(&trial, &caller("dora", Role::Helpdesk), Method::POST, &path, "").await;
    assert!(
        denied.0 == StatusCode::FORBIDDEN && message(&denied).contains("more rights than you"),
        "{denied:?}"
    );
    let lifted = ask(&trial, &caller("root", Role::Super), Method::POST, &path, "").await;
    assert_eq!(lifted.0, StatusCode::OK);
}
