//! Logins at hosts where an offline password was used, and prompts that say whom to call.

use super::*;
use crate::hosts::{HostId, HostName};

// covers: N10
#[tokio::test]
async fn where_an_offline_password_still_lets_in_nothing_more_is_asked_and_what_is_refused_stays_refused() {
    let trial = Trial::new().await;
    let key = trial.activate("alice").await;
    let web1 =
        HostIdentity { id: HostId::from_random([9; 16]), name: HostName::new("web1").unwrap(), group: None };
    let now = trial.clock.now();
    let begin = async |user: &str, until: Option<u64>, at: Option<&HostIdentity>| {
        let begin = Begin {
            api_version: 1,
            request_id: trial.request_id(),
            user: user.into(),
            service: "login".into(),
            rhost: None,
            ruser: None,
            tty: None,
            columns: None,
            session: None,
            offline_grant_until: until,
        };
        trial.service.dialogue.begin(begin, at.cloned()).await.unwrap()
    };
    let granted = begin("alice", Some(now + 9), Some(&web1)).await;
    let shown = granted.show.clone();
    assert!(shown.len() == 1 && shown[0].starts_with("Access until "), "{shown:?}");
    assert_eq!(ended(granted).verdict, Verdict::Allow);
    assert_eq!(trial.audit().last().unwrap().reason, "offline_grant");
    // What is over, and what nobody but a host may say.
    asked(begin("alice", Some(now), Some(&web1)).await);
    asked(begin("alice", Some(now + 9), None).await);
    asked(begin("alice", None, Some(&web1)).await);
    // What is refused now gets through.
    let denied = "version = 1\n[[access.rule]]\nname = \"left\"\nthen = \"deny\"\nuser = [\"alice\"]\n";
    trial.service.dialogue.config.store(Arc::new(Config::parse(denied).unwrap()));
    let prompt = asked(begin("alice", Some(now + 9), Some(&web1)).await);
    let code = trial.code(&key, 0);
    let answer =
        Continue { api_version: 1, request_id: trial.request_id(), state: prompt.state, answers: vec![code] };
    let reply = trial.service.dialogue.proceed(answer, Some(web1.clone())).await.unwrap();
    assert_eq!(ended(reply).verdict, Verdict::Deny);
    // An offline password may be for accounts that Postern does not know.
    let granted = begin("stranger", Some(now + 9), Some(&web1)).await;
    assert_eq!(ended(granted).verdict, Verdict::Allow);
}

// covers: N15
#[tokio::test]
async fn whoever_has_to_wait_reads_whom_to_call() {
    let trial = Trial::with_config("version = 1\n[offline]\ncontact = \"Call 4711\"").await;
    let key = trial.activate("alice").await;
    let mut last = Vec::new();
    for _ in 0..20 {
        let prompt = trial.ask("alice", "login", None).await;
        let reply = trial.proceed(&trial.request_id(), &prompt.state, &trial.wrong_code(&key)).await.unwrap();
        last = reply.show;
    }
    assert!(
        last.len() == 2 && last[0].starts_with("Too many attempts") && last[1] == "Call 4711",
        "{last:?}"
    );
}
