//! Who decides, about what, and who was faster.

use std::sync::Arc;

use ledger::Refusal;
use ledger::memory::Fate;
use tokio::sync::Barrier;

use super::stand::{CONFIG, MINUTE, Stand, login};
use crate::access::{
    Asked, Canceller, DecideError, Decider, Ending, How, IssuedPassword, OPEN_AT_PLACE_MAX,
    REQUESTS_PER_HOST_MAX, RequestId, RequestRecord, Standing,
};
use crate::accounts::UserName;
use crate::clock::Clock;
use crate::people::{EmailAddress, PersonChanges};

fn is_no_such<T: std::fmt::Debug>(result: Result<T, DecideError>) -> bool {
    matches!(result, Err(DecideError::NoSuchRequest { .. }))
}

fn how<T: std::fmt::Debug>(result: Result<T, DecideError>) -> String {
    match result {
        Err(DecideError::Decided { how }) => how,
        other => panic!("it was decided before: {other:?}"),
    }
}

// covers: C05, E2
#[tokio::test]
async fn nobody_decides_about_his_own_request() {
    let stand = Stand::new().await;
    let own = |result: Result<_, DecideError>| matches!(result, Err(DecideError::OwnRequest { .. }));
    // The same person, from his own account, from another one of his, and from a page.
    let mine = stand.request("carol", How::Approval).await;
    assert!(own(stand.approve("carol", &mine).await));
    for account in ["carol", "deploy"] {
        let by = Decider { account: UserName::new(account).ok(), ..stand.decider("carol").await };
        assert!(own(stand.requests().approve(mine.id, by, mine.number).await), "{account}");
    }
    assert!(matches!(stand.deny("carol", mine.id).await, Err(DecideError::OwnRequest { .. })));
    // Another person with the same mailbox: an alias, in other letters too.
    stand.add("dave2", "Dave+x@example.org", &["dave2"]).await;
    let alias = stand.request("dave2", How::Approval).await;
    assert!(own(stand.approve("dave", &alias).await));
    // From the account that is to be opened, whosever it is.
    let other = stand.request("alice", How::Approval).await;
    let by = Decider { account: UserName::new("alice").ok(), ..stand.decider("dave").await };
    assert!(own(stand.requests().approve(other.id, by, other.number).await));
    assert!(stand.told("access_approved").is_empty());
    assert!(stand.approve("dave", &mine).await.is_ok());
}

// covers: C06
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_who_decide_at_one_moment_one_does_and_the_other_hears_of_it() {
    for _ in 0..20 {
        let stand = Arc::new(Stand::new().await);
        let request = stand.request("alice", How::Approval).await;
        let barrier = Arc::new(Barrier::new(2));
        let approving = {
            let (stand, barrier, request) = (Arc::clone(&stand), Arc::clone(&barrier), request.clone());
            tokio::spawn(async move {
                barrier.wait().await;
                stand.approve("carol", &request).await.map(drop)
            })
        };
        let denying = {
            let (stand, barrier) = (Arc::clone(&stand), Arc::clone(&barrier));
            tokio::spawn(async move {
                barrier.wait().await;
                stand.deny("dave", request.id).await.map(drop)
            })
        };
        let (approved, denied) = (approving.await.unwrap(), denying.await.unwrap());
        let at = crate::audit::rfc3339(stand.trial.clock.now());
        match (approved, denied) {
            (Ok(()), late) => assert_eq!(how(late), format!("approved by carol at {at}")),
            (late, Ok(())) => assert_eq!(how(late), format!("denied by dave at {at}")),
            both => panic!("one of them decides: {both:?}"),
        }
        let ends = stand.told("access_approved").len() + stand.told("access_denied").len();
        assert_eq!(ends, 1);
    }
}

// covers: C06
#[tokio::test]
async fn a_request_that_is_decided_is_not_decided_again() {
    let stand = Stand::new().await;
    let request = stand.request("alice", How::Approval).await;
    stand.approve("carol", &request).await.unwrap();
    assert!(how(stand.approve("carol", &request).await).starts_with("approved by carol"));
    assert!(how(stand.deny("dave", request.id).await).starts_with("approved by carol"));
    stand.type_in("alice", &stand.password(request.id)).await;
    assert!(how(stand.approve("dave", &request).await).starts_with("approved by carol"));
    assert!(
        how(stand.requests().cancel(request.id, Canceller::Holder).await).starts_with("approved by carol")
    );

    let request = stand.request("bob", How::Approval).await;
    stand.deny("dave", request.id).await.unwrap();
    assert!(how(stand.approve("carol", &request).await).starts_with("denied by dave"));

    let request = stand.request("bob", How::Approval).await;
    let bob = Canceller::Person(stand.person("bob").await);
    stand.requests().cancel(request.id, bob).await.unwrap();
    assert!(how(stand.approve("carol", &request).await).starts_with("cancelled by bob"));

    let request = stand.request("bob", How::Approval).await;
    stand.trial.advance(30 * MINUTE);
    assert!(how(stand.approve("carol", &request).await).starts_with("expired at"));
    assert_eq!(stand.told("access_approved").len(), 1);
    assert_eq!(stand.told("access_expired").len(), 1);
}

// covers: C17, E2
#[tokio::test]
async fn who_may_decide_is_looked_at_when_he_decides() {
    let stand = Stand::new().await;
    let request = stand.request("alice", How::Approval).await;
    assert!(is_no_such(stand.approve("bob", &request).await));
    let carol = stand.decider("carol").await;
    stand.change("carol", PersonChanges { enabled: Some(false), ..PersonChanges::default() }).await;
    assert!(is_no_such(stand.requests().approve(request.id, carol, request.number).await));
    let stand = stand.restart_with(&CONFIG.replace(", \"dave\"", "")).await;
    assert!(is_no_such(stand.approve("dave", &request).await));
    assert_eq!(stand.requests().find(request.id).unwrap().standing(), Standing::Pending);
}

// covers: C18, E2
#[tokio::test]
async fn a_request_of_another_group_is_as_one_that_is_not_there() {
    let stand = Stand::new().await;
    let db = stand.host("db1", Some("db")).await;
    stand.wish(login("alice", Some(db)), "alice", How::Approval).await;
    let request = stand.newest();
    let unknown = RequestRecord { id: RequestId::from_random([7; 16]), ..request.clone() };
    let texts: Vec<String> = [
        stand.approve("carol", &request).await.map(drop),
        stand.deny("carol", request.id).await.map(drop),
        stand.approve("carol", &unknown).await.map(drop),
        stand.deny("carol", unknown.id).await.map(drop),
        stand.requests().cancel(request.id, Canceller::Person(stand.person("carol").await)).await.map(drop),
    ]
    .into_iter()
    .map(|result| result.unwrap_err().to_string().replace(&unknown.id.to_string(), &request.id.to_string()))
    .collect();
    assert!(texts.iter().all(|text| *text == texts[0]), "{texts:?}");
    assert!(stand.approve("erin", &request).await.is_ok());
}

// covers: C07
#[tokio::test]
async fn what_is_not_any_more_what_was_shown_cannot_be_approved() {
    let stand = Stand::new().await;
    let request = stand.request("alice", How::Approval).await;
    let email = Some(EmailAddress::parse("other@example.org").unwrap());
    stand.change("alice", PersonChanges { email, ..PersonChanges::default() }).await;
    assert!(matches!(stand.approve("carol", &request).await, Err(DecideError::Changed { .. })));
    assert!(how(stand.approve("carol", &request).await).starts_with("void at"));

    let stand = Stand::new().await;
    let web1 = stand.host("web1", None).await;
    stand.wish(login("alice", Some(web1.clone())), "alice", How::Approval).await;
    let request = stand.newest();
    let registrar = &stand.trial.service.administration.registrar;
    let name = crate::hosts::HostName::new("web9").unwrap();
    registrar.rename(web1.name, name, crate::trial::root()).await.unwrap();
    assert!(matches!(stand.approve("carol", &request).await, Err(DecideError::Changed { .. })));
    assert_eq!(stand.told("access_voided").len(), 1);
}

// covers: E3
#[tokio::test]
async fn the_number_that_the_requester_sees_has_to_be_told() {
    let stand = Stand::new().await;
    let request = stand.request("alice", How::Approval).await;
    assert!((10..=99).contains(&request.number));
    let wrong = RequestRecord { number: 10 + (request.number - 9) % 90, ..request.clone() };
    for left in [2, 1] {
        let Err(DecideError::WrongNumber { left: told }) = stand.approve("carol", &wrong).await else {
            panic!("the number is wrong");
        };
        assert_eq!(told, left);
    }
    assert!(how(stand.approve("carol", &wrong).await).starts_with("denied by carol"));
    assert!(how(stand.approve("carol", &request).await).starts_with("denied by carol"));
    assert!(stand.told("access_approved").is_empty());
    // It stands in no record: who reads the trail is not told it.
    let number = format!("number {}", request.number);
    assert!(
        !stand
            .trial
            .audit()
            .iter()
            .any(|record| record.detail.as_deref().is_some_and(|told| told.contains(&number)))
    );
}

// covers: R5
#[tokio::test]
async fn a_request_of_somebody_unknown_goes_the_way_of_all_others() {
    let stand = Stand::new().await;
    let asked = stand.wish(login("alice", None), "mallory", How::Approval).await;
    let Asked::Sent { number, until } = asked else { panic!("it is taken: {asked:?}") };
    assert_eq!(until, stand.trial.clock.now() + 1_800);
    let again = stand.wish(login("alice", None), "MALLORY", How::Approval).await;
    assert_eq!(again, Asked::OpenAlready { number, until });
    let request = stand.newest();
    assert!(matches!(stand.approve("carol", &request).await, Err(DecideError::NobodyAsked { .. })));
    assert!(stand.requests().waiting_for(None, &UserName::new("alice").unwrap(), 0).is_some());
    stand.trial.advance(30 * MINUTE);
    assert_eq!(stand.requests().sweep(100).await, 1);
    assert_eq!(stand.told("access_expired")[0].reason, "not_decided");
    // In an automatic mode he is told the same as everybody, and nothing that is ever typed opens anything.
    let asked = stand.wish(login("bob", None), "mallory", How::Automatic).await;
    assert!(matches!(asked, Asked::Sent { .. }));
    let request = stand.newest();
    assert_eq!(stand.type_in("bob", &stand.password(request.id)).await, "wrong_code");
    assert!(matches!(stand.wish(login("bob", None), "mallory", How::Automatic).await, Asked::TooSoon { .. }));
}

// covers: C12
#[tokio::test]
async fn a_host_has_its_share_of_requests_and_one_account_one_open_request() {
    let stand = Stand::new().await;
    let first = stand.ask("alice", How::Approval).await;
    let Asked::Sent { number, until } = first else { panic!("{first:?}") };
    for _ in 0..1_000 {
        assert_eq!(stand.ask("alice", How::Approval).await, Asked::OpenAlready { number, until });
    }
    assert_eq!((stand.requests().count(), stand.told("access_requested").len()), (1, 1));
    for place in 1..REQUESTS_PER_HOST_MAX {
        let login = login(&format!("user{place}"), None);
        assert!(matches!(stand.wish(login, "mallory", How::Approval).await, Asked::Sent { .. }));
    }
    let rules = crate::access::AccessRules::from(&crate::policy::RequestTerms::at(
        None,
        &stand.trial.service.dialogue.config.load(),
    ));
    let wish = crate::access::Wish {
        login: login("more", None),
        typed: String::new(),
        person: None,
        how: How::Approval,
        rules,
    };
    assert!(matches!(stand.requests().ask(wish).await, Err(crate::access::AskError::Full)));
    let web1 = stand.host("web1", None).await;
    assert!(matches!(
        stand.wish(login("alice", Some(web1)), "alice", How::Approval).await,
        Asked::Sent { .. }
    ));
    // Forgotten an hour after the end.
    stand.trial.advance(30 * MINUTE);
    while stand.requests().sweep(100).await > 0 {}
    stand.trial.advance(60 * MINUTE);
    while stand.requests().sweep(100).await > 0 {}
    assert_eq!(stand.requests().count(), 0);
    let kept = ledger::Ledger::load(&*stand.trial.ledger).unwrap();
    let requests =
        |record: &&ledger::Record| record.kind == crate::accounts::kind::REQUEST && record.key.len() == 16;
    assert_eq!(kept.records.iter().filter(requests).count(), 0);
    assert!(kept.credentials.is_empty());
}

// covers: R5, C15
#[tokio::test]
async fn whoever_has_the_mail_takes_the_password_back_and_a_made_up_link_does_not() {
    let stand = Stand::new().await;
    let password = stand.issued("alice").await;
    let request = stand.newest();
    let proof = stand.requests().shelf.passwords.disowning(request.id);
    assert!(is_no_such(stand.requests().disown(request.id, proof ^ 1).await));
    stand.requests().disown(request.id, proof).await.unwrap();
    assert_eq!(stand.told("access_cancelled")[0].reason, "not_me");
    assert_eq!(stand.type_in("alice", &password).await, "issued_void");
    assert!(stand.requests().disown(request.id, proof).await.is_err(), "once");
}

// covers: A16, C06
#[tokio::test]
async fn what_the_store_does_not_take_has_not_happened() {
    let stand = Stand::new().await;
    let request = stand.request("alice", How::Approval).await;
    stand.trial.ledger.set_fate(Fate::Refuse(Refusal::StorageFull));
    assert!(matches!(stand.approve("carol", &request).await, Err(DecideError::NotStored { .. })));
    assert_eq!(stand.requests().find(request.id).unwrap().standing(), Standing::Pending);
    stand.trial.ledger.set_fate(Fate::Decide);
    stand.approve("carol", &request).await.unwrap();
    let password = stand.password(request.id);
    stand.trial.ledger.set_fate(Fate::Refuse(Refusal::StorageFull));
    assert_eq!(stand.type_in("alice", &password).await, "storage_full");
    // Nobody can tell whether it is used up: it is no accept, and no second one can follow.
    stand.trial.ledger.set_fate(Fate::LoseAnswers);
    assert_eq!(stand.type_in("alice", &password).await, "outcome_unknown");
    stand.trial.ledger.set_fate(Fate::Decide);
    assert_eq!(stand.type_in("alice", &password).await, "issued_used");
    assert_eq!(stand.requests().find(request.id).unwrap().standing(), Standing::Ended(Ending::Used));
}

// covers: R8
#[tokio::test]
async fn after_a_loss_every_password_that_waits_is_void() {
    let stand = Stand::new().await;
    let (one, other) = (stand.issued("alice").await, stand.request("bob", How::Approval).await);
    stand.requests().void_all_passwords("root").await.unwrap();
    assert_eq!(stand.type_in("alice", &one).await, "issued_void");
    let told = stand.told("access_voided");
    assert_eq!(
        (told.len(), told[0].reason.as_str(), told[0].actor.as_deref()),
        (1, "store_loss", Some("root"))
    );
    assert!(stand.approve("carol", &other).await.is_ok(), "what waits for a decision was used by nobody");
}

// covers: R8
#[tokio::test]
async fn what_a_lost_store_lets_somebody_approve_again_is_another_password() {
    let stand = Stand::new().await;
    let request = stand.request("alice", How::Approval).await;
    let before = ledger::Ledger::load(&*stand.trial.ledger).unwrap();
    stand.approve("carol", &request).await.unwrap();
    let first = stand.password(request.id);
    assert_eq!(stand.type_in("alice", &first).await, "issued_password");
    // The store as it was before, as after a disk that forgot its last commits.
    let older = ledger::memory::MemoryLedger::new();
    for record in before.records {
        let put = ledger::Change::Put { kind: record.kind, key: record.key, value: record.value };
        drop(ledger::Ledger::submit(&older, ledger::Entry { changes: vec![put], ..Default::default() }));
    }
    for credential in before.credentials {
        let add = ledger::Change::AddCredential { credential: credential.id, value: credential.value };
        drop(ledger::Ledger::submit(&older, ledger::Entry { changes: vec![add], ..Default::default() }));
    }
    let stand = Stand { trial: stand.trial.restart_on(older, CONFIG).await };
    stand.approve("carol", &request).await.unwrap();
    assert_eq!(stand.type_in("alice", &first).await, "wrong_code");
    let second = stand.password(request.id);
    assert!(IssuedPassword::from_typed(&second).is_some());
    assert_ne!(first, second);
    assert_eq!(stand.type_in("alice", &second).await, "issued_password");
}

// covers: C05, E2
#[tokio::test]
async fn whoever_would_be_told_the_password_of_an_account_of_his_own_does_not_approve() {
    let stand = Stand::with(&CONFIG.replace("[group.db]", "profile = \"strict\"\n[group.db]")).await;
    stand.add("erin2", "erin2@example.org", &["deploy"]).await;
    stand.add("frank", "frank@example.org", &["deploy"]).await;
    stand.wish(login("deploy", None), "erin2", How::Approval).await;
    let asked = stand.newest();
    let config = CONFIG.replace("\"dave\"]", "\"dave\", \"frank\"]");
    let stand = stand.restart_with(&config.replace("[group.db]", "profile = \"strict\"\n[group.db]")).await;
    // He shares the account, so he could have asked in her name.
    assert!(matches!(stand.approve("frank", &asked).await, Err(DecideError::OwnRequest { .. })));
    assert!(stand.approve("dave", &asked).await.is_ok());
}

// covers: E2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_takes_its_time_holds_up_no_other_decision() {
    // It takes connections, and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let trust = folder.path().join("authority.pem");
    std::fs::write(&trust, rcgen::generate_simple_self_signed(["localhost".into()]).unwrap().cert.pem())
        .unwrap();
    let stand = Stand::with(&format!(
        "{CONFIG}[directory]\nurl = \"ldaps://localhost:{}\"\nbase = \"dc=x\"\ntrust_file = \"{}\"\n",
        silent.local_addr().unwrap().port(),
        trust.display()
    ))
    .await;
    let (slow, quick) =
        (stand.request("alice", How::Approval).await, stand.request("bob", How::Approval).await);
    let dave = stand.decider("dave").await;
    // Our own records have him no more, so only the directory can tell.
    let by = crate::people::By { actor: crate::trial::root(), role: wire::admin::Role::Super };
    stand.trial.service.dialogue.people.clerk().remove("dave", by).await.unwrap();
    // Whoever came before is none of those who are waited for.
    while silent_has_a_guest(&silent) {}
    let requests = Arc::clone(stand.requests());
    let slow = tokio::spawn(async move { requests.approve(slow.id, dave, slow.number).await });
    while !silent_has_a_guest(&silent) {
        tokio::task::yield_now().await;
    }
    assert!(stand.approve("carol", &quick).await.is_ok());
    // Were it at its end, it would say so by then.
    for _ in 0..20_000 {
        tokio::task::yield_now().await;
    }
    assert!(!slow.is_finished(), "it waits for the directory still");
    assert!(matches!(slow.await.unwrap(), Err(DecideError::People(_))));
}

/// Whether somebody has connected.
fn silent_has_a_guest(silent: &std::net::TcpListener) -> bool {
    silent.set_nonblocking(true).unwrap();
    // The connection stays open as long as the process.
    silent.accept().map(|(guest, _)| std::mem::forget(guest)).is_ok()
}

// covers: C12, R5
#[tokio::test]
async fn a_typing_error_holds_up_nobody_and_made_up_addresses_reach_no_approver() {
    let stand = Stand::new().await;
    let asked = async |who: &str| stand.wish(login("alice", None), who, How::Approval).await;
    assert!(matches!(asked("allice").await, Asked::Sent { .. }));
    assert!(matches!(asked("alice").await, Asked::Sent { .. }), "at once");
    for number in 2..OPEN_AT_PLACE_MAX {
        assert!(matches!(asked(&format!("made-up{number}")).await, Asked::Sent { .. }));
    }
    for who in ["one-more", "bob"] {
        assert!(matches!(asked(who).await, Asked::Busy { .. }), "somebody or nobody, it is full");
    }
    assert!(matches!(asked("alice").await, Asked::OpenAlready { .. }));
    assert_eq!(stand.requests().mail_figures().waiting, 2, "hers alone, to Carol and Dave");
}

// covers: R5
#[tokio::test]
async fn where_nothing_is_typed_nothing_tells_whether_an_account_has_a_person() {
    let stand = Stand::new().await;
    let rules = || {
        let config = stand.trial.service.dialogue.config.load();
        crate::access::AccessRules::from(&crate::policy::RequestTerms::at(None, &config))
    };
    let mut told = Vec::new();
    for user in ["alice", "bob", "nobody1", "nobody2"] {
        let person = stand.trial.service.dialogue.people.by_login(user).await.unwrap();
        let wish = crate::access::Wish {
            login: login(user, None),
            typed: String::new(),
            person,
            how: How::Automatic,
            rules: rules(),
        };
        let asked = stand.requests().ask(wish).await.unwrap();
        assert!(matches!(asked, Asked::Sent { .. }), "{user}: {asked:?}");
        told.push(stand.requests().waiting_for(None, &UserName::new(user).unwrap(), 0));
    }
    assert!(told.iter().all(|other| other.as_deref() == Some("your address on record")), "{told:?}");
}
