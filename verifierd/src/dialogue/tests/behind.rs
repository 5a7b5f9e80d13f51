use super::*;
use crate::audit::witness::Judged;

/// What a host has seen of a trail.
fn seen(trial: &Trial) -> String {
    let witness = &trial.service.dialogue.witness;
    witness.publish().unwrap();
    witness.newest().unwrap().text.clone()
}

// covers: G07, G08, H06
#[tokio::test]
async fn while_a_host_has_seen_more_nothing_is_decided_on_any_way() {
    let before = Trial::new().await;
    before.activate("alice").await;
    let shown = seen(&before);
    let trial = before.restart_empty().await;
    let key = trial.activate("alice").await;
    let prompt = trial.ask("alice", "sudo", None).await;
    assert_eq!(trial.service.dialogue.witness.judge(&shown, "web1").await.unwrap(), Judged::Lost);

    let code = trial.code(&key, 1);
    let behind = |end: &crate::trial::End| {
        (end.verdict, trial.reason(end)) == (Verdict::Unavailable, "store_behind".into())
    };
    assert!(behind(&ended(trial.begin("alice", "sudo", None).await)), "a new login");
    assert!(behind(&ended(trial.begin("nobody", "sudo", None).await)), "a stranger's");
    assert!(behind(&trial.answer(&prompt, &code).await), "a prompt that was open");
    let restarted = trial.restart(ledger::StartState::Clean).await;
    let end = ended(restarted.begin("alice", "sudo", None).await);
    assert_eq!(restarted.reason(&end), "store_behind", "after a restart");
    // Past the quarantine, and still: a code that nothing but this speaks against.
    restarted.advance(Duration::from_secs(120));
    let code = restarted.code(&key, 0);
    let (user, service) = ("alice".into(), "vpn".into());
    let request_id = restarted.request_id().into();
    let request = wire::verify::Verify { request_id, user, service, rhost: None, code: code.clone().into() };
    let told = restarted.service.dialogue.verify(request, None).await.unwrap();
    assert_eq!(told.verdict, Verdict::Unavailable, "the short way");
    let name = crate::accounts::UserName::new("alice").unwrap();
    let serial = restarted.token().record.serial.clone();
    let attempt = crate::engine::Attempt {
        occasion: crate::engine::Occasion::administration("token_tested", "alice", crate::trial::root()),
        request: [9; 16],
        user: restarted.service.dialogue.accounts.find(&name),
        typed: Zeroizing::new(code.clone()),
    };
    let decided = restarted.service.dialogue.engine.prove(attempt).await;
    assert_eq!(decided.reason, Reason::StoreBehind, "a code for {serial} that the help desk looks at");

    restarted.service.dialogue.witness.settle().await;
    let settled = restarted.login("alice", "sudo", &code).await;
    assert_eq!(restarted.reason(&settled), "accepted");
}
