//! What opens, when, where, and how often.

use std::sync::Arc;
use std::time::Duration;

use ledger::StartState;
use tokio::sync::Barrier;

use super::stand::{CONFIG, MINUTE, Stand, by_service, login, reason, wrong};
use crate::access::{Asked, Ending, How, Resent, Standing};
use crate::accounts::UserName;
use crate::clock::Clock;
use crate::keys::random_bytes;
use crate::people::{EmailAddress, PersonChanges};

// covers: R7, R8
#[tokio::test]
async fn an_approved_password_opens_its_account_once() {
    let stand = Stand::new().await;
    let password = stand.issued("alice").await;
    assert_eq!(stand.type_in("alice", &password.to_lowercase()).await, "issued_password");
    let record = stand.told("login").pop().unwrap();
    assert_eq!(record.person.as_deref(), Some("alice"));
    assert_eq!(stand.type_in("alice", &password).await, "issued_used");
    let stand = stand.restart().await;
    assert_eq!(stand.type_in("alice", &password).await, "issued_used");
    assert_eq!(stand.accepted(), 1);
}

// covers: A16, R8
#[tokio::test]
async fn the_same_login_asked_again_is_the_same_accept_and_another_one_is_none() {
    let stand = Stand::new().await;
    let password = stand.issued("alice").await;
    let decide = |key| stand.decide(login("alice", None), key, &password);
    let first = decide([1; 16]).await;
    assert_eq!(reason(&first), "issued_password");
    assert_eq!(reason(&decide([1; 16]).await), "issued_password");
    assert_eq!(reason(&decide([2; 16]).await), "issued_used");
    assert_eq!(stand.accepted(), 1, "the retry is no second record");
    let password = password.clone();
    let stand = stand.restart().await;
    assert_eq!(reason(&stand.decide(login("alice", None), [1; 16], &password).await), "issued_password");
    assert_eq!(reason(&stand.decide(login("alice", None), [3; 16], &password).await), "issued_used");
    assert_eq!(stand.accepted(), 1);
}

// covers: A06, R8
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_hundred_uses_at_one_moment_one_is_accepted() {
    let stand = Arc::new(Stand::new().await);
    let password = stand.issued("alice").await;
    let barrier = Arc::new(Barrier::new(200));
    let mut tasks = Vec::new();
    for place in 0..200_u32 {
        let (stand, barrier, password) = (Arc::clone(&stand), Arc::clone(&barrier), password.clone());
        let mut login = login("alice", None);
        login.rhost = Some(format!("192.0.2.{place}"));
        tasks.push(tokio::spawn(async move {
            barrier.wait().await;
            stand.decide(login, random_bytes().unwrap(), &password).await
        }));
    }
    let mut accepted = 0;
    for task in tasks {
        let reason = reason(&task.await.unwrap());
        assert!(["issued_password", "issued_used", "throttled"].contains(&reason.as_str()), "{reason}");
        accepted += usize::from(reason == "issued_password");
    }
    assert_eq!(accepted, 1);
    assert_eq!(stand.accepted(), 1);
}

// covers: C01, R8
#[tokio::test]
async fn a_password_is_usable_for_half_an_hour_from_its_issue_whatever_the_clocks_do() {
    let used_after = |wait: Duration| async move {
        let stand = Stand::new().await;
        let password = stand.issued("alice").await;
        stand.trial.advance(wait);
        stand.type_in("alice", &password).await
    };
    let second = Duration::from_secs(1);
    assert_eq!(used_after(30 * MINUTE - second).await, "issued_password");
    assert_eq!(used_after(30 * MINUTE).await, "issued_expired");
    assert_eq!(used_after(30 * MINUTE + second).await, "issued_expired");

    // A step back prolongs nothing, a restart under a clock that was set back neither.
    let stand = Stand::new().await;
    let password = stand.issued("alice").await;
    stand.trial.advance(25 * MINUTE);
    stand.trial.clock.set_wall(stand.trial.clock.now() - 600);
    stand.trial.advance(5 * MINUTE);
    assert_eq!(stand.type_in("alice", &password).await, "issued_expired");

    let stand = Stand::new().await;
    let password = stand.issued("alice").await;
    stand.trial.advance(25 * MINUTE);
    assert_eq!(stand.type_in("alice", &wrong(1)).await, "wrong_code");
    stand.trial.clock.set_wall(stand.trial.clock.now() - 600);
    let stand = stand.restart().await;
    stand.trial.advance(5 * MINUTE - second);
    assert_eq!(stand.type_in("alice", &wrong(2)).await, "wrong_code");
    stand.trial.advance(second);
    assert_eq!(stand.type_in("alice", &password).await, "issued_expired");

    // Nor does a mail that is late: it is not even sent.
    let stand = Stand::new().await;
    let password = stand.issued("alice").await;
    stand.trial.advance(20 * MINUTE);
    let stand = stand.restart().await;
    stand.trial.advance(10 * MINUTE);
    assert_eq!(stand.type_in("alice", &password).await, "issued_expired");
}

// covers: C02, R7
#[tokio::test]
async fn a_password_opens_nothing_elsewhere_and_strangers_do_not_use_it_up() {
    let stand = Stand::new().await;
    let (web1, other) =
        (stand.host("web1.example.org", None).await, stand.host("web1.example.net", None).await);
    let asked = stand.wish(login("alice", Some(web1.clone())), "alice", How::Approval).await;
    assert!(matches!(asked, Asked::Sent { .. }));
    let request = stand.newest();
    stand.approve("carol", &request).await.unwrap();
    let password = stand.password(request.id);
    let typed = |login| stand.type_at(login, &password);
    assert_eq!(typed(login("alice", Some(other))).await, "wrong_host");
    assert_eq!(typed(login("alice", None)).await, "wrong_host");
    assert_eq!(typed(login("bob", Some(web1.clone()))).await, "wrong_user");
    assert_eq!(typed(by_service("alice", "sudo", Some(web1.clone()))).await, "wrong_service");
    let record = stand.told("login").pop().unwrap();
    assert_eq!(record.person.as_deref(), Some("alice"));
    assert!(record.detail.unwrap().contains("alice at web1.example.org, service sshd"));
    assert_eq!(typed(login("alice", Some(web1))).await, "issued_password");
}

// covers: C19
#[tokio::test]
async fn five_wrong_tries_make_a_password_void_also_after_a_restart() {
    for restarts in [false, true] {
        let mut stand = Stand::new().await;
        let password = stand.issued("alice").await;
        for n in 0..5 {
            assert_eq!(stand.type_in("alice", &wrong(n)).await, "wrong_code");
            if restarts {
                stand = stand.restart().await;
            }
        }
        stand.trial.advance(5 * MINUTE);
        assert_eq!(stand.type_in("alice", &password).await, "issued_void");
        assert_eq!(stand.told("access_voided").len(), 1);
        assert_eq!(stand.told("access_voided")[0].reason, "wrong_tries");
        assert!(
            stand
                .told("login")
                .iter()
                .any(|record| record.detail.as_deref().is_some_and(|told| told.contains("void")))
        );
    }
    let stand = Stand::new().await;
    let password = stand.issued("alice").await;
    for n in 0..4 {
        assert_eq!(stand.type_in("alice", &wrong(n)).await, "wrong_code");
    }
    // Something that no password looks like is a typing error.
    assert_eq!(stand.type_in("alice", "requst").await, "malformed");
    stand.trial.advance(5 * MINUTE);
    assert_eq!(stand.type_in("alice", &password).await, "issued_password");
}

// covers: B11
#[tokio::test]
async fn whoever_may_not_use_the_account_any_more_is_refused_though_he_was_approved() {
    let stand = Stand::new().await;
    let password = stand.issued("alice").await;
    stand.change("alice", PersonChanges { enabled: Some(false), ..PersonChanges::default() }).await;
    assert_eq!(stand.type_in("alice", &password).await, "issued_void");
    stand.change("alice", PersonChanges { enabled: Some(true), ..PersonChanges::default() }).await;
    assert_eq!(stand.type_in("alice", &password).await, "issued_void", "it is void for good");

    let stand = Stand::new().await;
    stand.add("frank", "frank@example.org", &["deploy"]).await;
    stand.wish(login("deploy", None), "frank", How::Approval).await;
    let request = stand.newest();
    stand.approve("carol", &request).await.unwrap();
    stand.unshare("frank", "deploy").await;
    assert_eq!(stand.type_in("deploy", &stand.password(request.id)).await, "issued_void");
    assert_eq!(stand.told("access_voided")[0].reason, "changed");
}

// covers: C07
#[tokio::test]
async fn what_changes_after_the_approval_makes_the_password_void() {
    let stand = Stand::new().await;
    let password = stand.issued("alice").await;
    let email = Some(EmailAddress::parse("other@example.org").unwrap());
    stand.change("alice", PersonChanges { email, ..PersonChanges::default() }).await;
    assert_eq!(stand.type_in("alice", &password).await, "issued_void");

    let stand = Stand::new().await;
    let web1 = stand.host("web1", None).await;
    stand.wish(login("alice", Some(web1.clone())), "alice", How::Approval).await;
    let request = stand.newest();
    stand.approve("carol", &request).await.unwrap();
    let registrar = &stand.trial.service.administration.registrar;
    let group = crate::hosts::GroupName::new("db").ok();
    registrar.set_group(web1.name.clone(), group, crate::trial::root()).await.unwrap();
    assert_eq!(stand.type_at(login("alice", Some(web1)), &stand.password(request.id)).await, "issued_void");
}

// covers: C16, R9
#[tokio::test]
async fn resend_sends_the_same_password_and_a_new_one_is_given_once_an_hour() {
    let stand = Stand::new().await;
    let user = UserName::new("alice").unwrap();
    let resend = || stand.requests().resend(None, &user);
    assert_eq!(resend().await.unwrap(), Resent::Nothing);
    let request = stand.request("alice", How::Approval).await;
    assert_eq!(resend().await.unwrap(), Resent::Nothing);
    stand.approve("carol", &request).await.unwrap();
    let (password, issued) = (stand.password(request.id), stand.trial.clock.now());
    let until = stand.requests().find(request.id).unwrap().issue.unwrap().until;
    assert_eq!(resend().await.unwrap(), Resent::NotYet { until: issued + 60 });
    assert_eq!(stand.type_in("alice", &wrong(1)).await, "wrong_code");
    stand.trial.advance(2 * MINUTE);
    assert_eq!(resend().await.unwrap(), Resent::Sent);
    assert!(matches!(resend().await.unwrap(), Resent::NotYet { .. }));
    assert_eq!(stand.told("access_resent").len(), 1);
    let after = stand.requests().find(request.id).unwrap();
    assert_eq!((after.issue.unwrap().until, stand.password(request.id)), (until, password.clone()));
    let item = stand.requests().shelf.find(request.id).unwrap();
    assert_eq!(item.moving.failures.load(std::sync::atomic::Ordering::SeqCst), 1);

    let hour = issued + 3_600;
    assert_eq!(stand.ask("alice", How::Approval).await, Asked::TooSoon { until: hour });
    assert_eq!(stand.type_in("alice", &password).await, "issued_password");
    assert_eq!(resend().await.unwrap(), Resent::Nothing);
    assert_eq!(stand.ask("alice", How::Approval).await, Asked::TooSoon { until: hour });
    let stand = stand.restart().await;
    assert_eq!(stand.ask("alice", How::Automatic).await, Asked::TooSoon { until: hour });
    stand.trial.advance(58 * MINUTE);
    assert!(matches!(stand.ask("alice", How::Approval).await, Asked::Sent { .. }));
}

// covers: E5, E6
#[tokio::test]
async fn in_the_automatic_modes_the_password_is_issued_at_once() {
    let stand = Stand::new().await;
    let request = stand.request("alice", How::Automatic).await;
    assert_eq!(request.standing(), Standing::Issued);
    assert_eq!(stand.told("access_issued").len(), 1);
    assert_eq!(stand.type_in("alice", &stand.password(request.id)).await, "issued_password");
    // An emergency goes to the approvers all the same.
    let request = stand.request("bob", How::Emergency { reason: "no mail".into() }).await;
    assert_eq!(request.standing(), Standing::Pending);
    assert!(stand.told("access_requested")[0].detail.as_ref().unwrap().contains("no mail"));
    // So does everything in the strict profile, where nothing is mailed.
    let stand = Stand::with(&CONFIG.replace("[group.db]", "profile = \"strict\"\n[group.db]")).await;
    let request = stand.request("alice", How::Automatic).await;
    assert_eq!(request.standing(), Standing::Pending);
    let approved = stand.approve("carol", &request).await.unwrap();
    assert_eq!(approved.record.issue.unwrap().mail, None);
    let told = approved.password.unwrap().expose();
    assert_eq!(stand.type_in("alice", &told).await, "issued_password");
}

// covers: R9
#[tokio::test]
async fn after_an_unclean_stop_passwords_wait_until_somebody_settles_it() {
    let stand = Stand::new().await;
    let (password, request) = (stand.issued("alice").await, stand.newest());
    let trial = stand.trial.restart(StartState::Unclean).await;
    let stand = Stand { trial };
    assert_eq!(stand.type_in("alice", &password).await, "issued_waiting");
    assert_eq!(stand.type_in("bob", &wrong(1)).await, "issued_waiting", "it tells nobody whose waits");
    stand.trial.service.dialogue.steward.settle(crate::trial::root()).await.unwrap();
    assert_eq!(stand.type_in("alice", &password).await, "issued_password");
    assert_eq!(stand.requests().find(request.id).unwrap().standing(), Standing::Ended(Ending::Used));
}
