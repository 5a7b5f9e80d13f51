//! Reports and renewals, with a verifier that says what a test wants.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use wire::offline::OFFLINE_PATH;

use super::*;
use crate::chance::SystemChance;
use crate::identity::Identity;
use crate::identity::tests::{Authority, HOST};
use crate::offline::messages::{Redeem, Redeemed};
use crate::offline::service::tests::{Running, key_of, orders};
use crate::offline::tries::Place;
use crate::verifiers::tests::{Act, Fake, verifiers};

const ANOTHER: &str = "76543210-89ab-4cde-8f01-23456789abcd";

#[derive(Debug)]
struct Hands(AtomicU64);

impl Clock for Hands {
    fn now(&self) -> UnixTime {
        self.0.load(Ordering::SeqCst)
    }
}

/// An agent without a login socket.
struct Rig {
    upkeep: Upkeep,
    hands: Arc<Hands>,
    folder: tempfile::TempDir,
}

impl Rig {
    fn new(authority: &Authority, fakes: &[&Fake]) -> Self {
        let verifiers = verifiers(authority, fakes.iter().map(|fake| fake.verifier()).collect());
        let identity = Arc::new(ArcSwap::from_pointee(authority.host()));
        let hands = Arc::new(Hands(AtomicU64::new(1_000)));
        let folder = tempfile::tempdir().unwrap();
        let upkeep = Upkeep {
            verifiers: Arc::new(verifiers),
            reporter: Reporter { identity, told: Arc::new(Mutex::default()) },
            state_dir: folder.path().join("state"),
            sessions: Arc::default(),
            checkpoints: Arc::default(),
            offline: Link::new(folder.path().join("offline.sock")),
            clock: hands.clone(),
            chance: Arc::new(SystemChance),
        };
        Self { upkeep, hands, folder }
    }
}

fn reported(host: &str) -> Value {
    json!({"api_version": 1, "host": host, "name": "web1", "group": "web", "clock": 990})
}

fn certified(authority: &Authority, asked: &Value, host: &str) -> Act {
    let request = asked["signing_request"].as_str().expect("a signing request");
    let certificate = authority.sign_request(request, host);
    Act::Answer(200, json!({"api_version": 1, "host": host, "certificate": certificate}))
}

// covers: F03
#[tokio::test]
async fn a_certificate_is_renewed_when_half_of_its_life_is_over_and_shown_at_once() {
    let authority = Arc::new(Authority::generate());
    let (told, mut seen) = mpsc::unbounded_channel();
    let signer = authority.clone();
    let fake = Fake::start(&authority, move |path, asked| {
        told.send(path.to_owned()).expect("the test lasts longer");
        if path == RENEW_PATH { certified(&signer, asked, HOST) } else { Act::Answer(200, reported(HOST)) }
    })
    .await;
    let rig = Rig::new(&authority, &[&fake]);
    let before = rig.upkeep.reporter.identity.load_full();
    // Later than any random part of the delay.
    let due = before.renew_at() + before.life() / RENEW_SPREAD;
    rig.hands.0.store(due, Ordering::SeqCst);
    let (state, identity) = (rig.upkeep.state_dir.clone(), rig.upkeep.reporter.identity.clone());
    let (_stop, stopping) = watch::channel(false);
    tokio::spawn(rig.upkeep.run(stopping));
    for expected in [REPORT_PATH, RENEW_PATH, REPORT_PATH] {
        assert_eq!(seen.recv().await.as_deref(), Some(expected));
    }
    assert_eq!(
        fake.connections.load(Ordering::SeqCst),
        2,
        "the next certificate needs a connection of its own"
    );
    let (kept, present) = (Identity::load(&state).unwrap(), identity.load_full());
    assert_eq!((&kept.chain, &kept.host[..]), (&present.chain, HOST));
    assert_ne!(kept.chain, before.chain);
    assert_ne!(kept.expose_key(), before.expose_key(), "each certificate has a key of its own");
    drop(rig.folder);
}

// covers: F03
#[tokio::test]
async fn a_certificate_for_another_host_or_of_another_authority_is_not_taken_over() {
    let (ours, theirs) = (Arc::new(Authority::generate()), Arc::new(Authority::generate()));
    let turn = AtomicUsize::new(0);
    let (signer, stranger) = (ours.clone(), theirs.clone());
    let fake = Fake::start(&ours, move |_, asked| match turn.fetch_add(1, Ordering::SeqCst) {
        0 => certified(&signer, asked, ANOTHER),
        1 => certified(&stranger, asked, HOST),
        2 => Act::Answer(403, json!({"error": {"code": "not_allowed", "message": "revoked"}})),
        _ => Act::Answer(200, json!({})),
    })
    .await;
    let rig = Rig::new(&ours, &[&fake]);
    let before = rig.upkeep.reporter.identity.load_full();
    for expected in ["for another host", "of another authority", "the verifier answered 403", "missing field"]
    {
        let error = format!("{:#}", rig.upkeep.renew().await.unwrap_err());
        assert!(error.contains(expected), "{error:?} does not say {expected:?}");
    }
    assert_eq!(rig.upkeep.reporter.identity.load().chain, before.chain);
    assert!(!rig.upkeep.state_dir.exists(), "nothing was written");
}

#[tokio::test]
async fn a_report_tells_the_host_its_name_its_group_and_how_far_its_clock_is_ahead() {
    let authority = Authority::generate();
    let fake = Fake::start(&authority, |_, asked| {
        assert_eq!((&asked["clock"], &asked["agent_version"]), (&json!(1_000), &json!(VERSION)));
        Act::Answer(200, reported(HOST))
    })
    .await;
    let rig = Rig::new(&authority, &[&fake]);
    assert_eq!(rig.upkeep.report().await, Some(0));
    rig.upkeep.note(true);
    let status = rig.upkeep.reporter.status(&rig.upkeep.verifiers);
    assert_eq!((status.name.as_deref(), status.group.as_deref()), (Some("web1"), Some("web")));
    assert_eq!((status.ready, status.clock_ahead_seconds), (true, Some(10)));
}

// covers: P7
#[tokio::test]
async fn a_verifier_that_decides_nothing_leaves_the_host_not_ready_and_says_why() {
    let authority = Authority::generate();
    let stands = Arc::new(AtomicBool::new(true));
    let still = stands.clone();
    let fake = Fake::start(&authority, move |path, _| {
        let mut answer = reported(HOST);
        if still.load(Ordering::SeqCst) {
            answer["standing_still"] = json!("its store is an older copy");
        }
        if path == REPORT_PATH { Act::Answer(200, answer) } else { Act::Answer(503, json!({})) }
    })
    .await;
    let rig = Rig::new(&authority, &[&fake]);
    let status = |rig: &Rig| rig.upkeep.reporter.status(&rig.upkeep.verifiers);
    assert_eq!(rig.upkeep.report().await, Some(0));
    rig.upkeep.note(true);
    assert!(!status(&rig).ready);
    let told = status(&rig).to_string();
    assert!(told.contains("DECIDES NOTHING") && told.contains("its store is an older copy"), "{told}");
    stands.store(false, Ordering::SeqCst);
    assert_eq!(rig.upkeep.report().await, Some(0));
    assert!(status(&rig).ready);
    let until = Instant::now() + Duration::from_secs(30);
    let busy = rig.upkeep.verifiers.ask_one(0, "/v1/x", &json(&0), until).await;
    assert!(busy.is_err() && !status(&rig).ready, "it answers reports and no login");
}

// covers: F13
#[tokio::test]
async fn a_verifier_that_takes_the_host_for_another_or_for_none_is_left_alone() {
    let refusal = json!({"error": {"code": "not_allowed", "message": "revoked"}});
    for (status, answer) in
        [(200, reported(ANOTHER)), (200, json!({})), (404, refusal.clone()), (403, refusal)]
    {
        let authority = Authority::generate();
        let fake = Fake::start(&authority, move |_, _| Act::Answer(status, answer.clone())).await;
        let rig = Rig::new(&authority, &[&fake]);
        assert_eq!(rig.upkeep.report().await, None, "{status}");
        let stand = rig.upkeep.verifiers.stands().remove(0);
        let problem = stand.problem.unwrap_or_default();
        assert!(problem.starts_with("it does not take this host for one of its fleet: "), "{problem}");
        assert_eq!(problem.ends_with("revoked"), status == 403, "{problem}");
    }
}

#[tokio::test]
async fn the_first_verifier_is_preferred_again_once_it_answers() {
    let authority = Authority::generate();
    let is_up = Arc::new(AtomicBool::new(false));
    let up = is_up.clone();
    let first = Fake::start(&authority, move |_, _| {
        if up.load(Ordering::SeqCst) { Act::Answer(200, reported(HOST)) } else { Act::Answer(503, json!({})) }
    })
    .await;
    let second = Fake::start(&authority, |_, _| Act::Answer(200, reported(HOST))).await;
    let rig = Rig::new(&authority, &[&first, &second]);
    assert_eq!(rig.upkeep.report().await, Some(1));
    is_up.store(true, Ordering::SeqCst);
    // While it rests, the second is asked.
    while rig.upkeep.report().await != Some(0) {}
    let connected: Vec<bool> = rig.upkeep.verifiers.stands().iter().map(|stand| stand.is_connected).collect();
    assert_eq!(connected, [true, false], "one connection is kept");
}

// covers: H09
#[tokio::test]
async fn where_clocks_differ_the_other_verifiers_are_heard_and_the_one_that_is_off_is_named() {
    let authority = Authority::generate();
    let off = Arc::new(AtomicU64::new(1_060));
    let its = off.clone();
    let first = Fake::start(&authority, move |_, _| {
        let mut answer = reported(HOST);
        answer["clock"] = json!(its.load(Ordering::SeqCst));
        Act::Answer(200, answer)
    })
    .await;
    let second = Fake::start(&authority, |_, _| Act::Answer(200, reported(HOST))).await;
    let rig = Rig::new(&authority, &[&first, &second]);
    let fault = |rig: &Rig| rig.upkeep.reporter.status(&rig.upkeep.verifiers).clock_fault;
    let mut due = Instant::now();
    assert_eq!(rig.upkeep.report().await, Some(0));
    assert!(fault(&rig).is_some_and(|said| said.contains("is not known")), "two clocks do not tell");
    rig.upkeep.compare_clocks(0, &mut due).await;
    let said = fault(&rig).unwrap();
    assert!(said.contains(&format!("verifier {} is 60 s ahead", first.verifier())), "{said}");
    let status = rig.upkeep.reporter.status(&rig.upkeep.verifiers);
    let ahead: Vec<_> = status.verifiers.iter().map(|verifier| verifier.clock_ahead_seconds).collect();
    assert_eq!((status.clock_ahead_seconds, &ahead[..]), (Some(-60), &[Some(-60), Some(10)][..]));
    assert_eq!(status.verifiers.iter().map(|one| one.connected).collect::<Vec<_>>(), [true, false]);
    assert!(status.to_string().contains(&said), "{status}");
    // Not again for a while.
    let heard = second.connections.load(Ordering::SeqCst);
    rig.upkeep.compare_clocks(0, &mut due).await;
    assert_eq!(second.connections.load(Ordering::SeqCst), heard);
    off.store(1_000, Ordering::SeqCst);
    assert_eq!(rig.upkeep.report().await, Some(0));
    rig.upkeep.compare_clocks(0, &mut due).await;
    assert_eq!(fault(&rig), None);
}

// covers: N1, D09
#[tokio::test]
async fn a_host_is_given_a_key_says_that_it_has_it_and_tells_of_each_use_until_it_is_noted() {
    let authority = Authority::generate();
    let (told, mut reports) = mpsc::unbounded_channel();
    let fake = Fake::start(&authority, move |path, asked| {
        if path != OFFLINE_PATH {
            return Act::Answer(200, reported(HOST));
        }
        told.send(asked.clone()).expect("the test lasts longer");
        let mut orders = orders();
        if asked["epoch"].is_null() {
            orders["key"] = key_of(1);
        }
        if asked["uses"][1]["user"] == "bob" {
            orders["noted"] = json!([2]);
        }
        Act::Answer(200, orders)
    })
    .await;
    let rig = Rig::new(&authority, &[&fake]);
    let offline = Running::start(rig.folder.path());
    let speak = async |due: &mut OfflinePlan| rig.upkeep.speak_of_offline(0, due).await;
    let mut due = OfflinePlan::at_once();
    speak(&mut due).await;
    let first = reports.recv().await.expect("a report");
    assert_eq!((&first["epoch"], &first["uses"]), (&Value::Null, &Value::Null));
    assert_eq!(reports.recv().await.expect("at once")["epoch"], json!(1), "it has it");
    speak(&mut due).await;
    assert!(reports.try_recv().is_err(), "there is nothing to tell");
    // One use that the verifier does not note, and one that it does.
    let link = Link::new(rig.folder.path().join("offline.sock"));
    for (user, counter, tells) in [("alice", 1, 1), ("bob", 2, 2)] {
        let typed = offline.password(Some(user), counter);
        let redeem = Redeem { user: user.into(), service: "sshd".into(), place: Place::Elsewhere, typed };
        assert!(matches!(link.redeem(&redeem).await.unwrap(), Redeemed::Access { .. }), "{user}");
        speak(&mut due).await;
        let uses = reports.recv().await.expect("it is told")["uses"].as_array().expect("uses").len();
        assert_eq!(uses, tells, "{user}");
    }
    let left = link.standing().await.unwrap().uses;
    assert_eq!(left.iter().map(|used| used.counter).collect::<Vec<_>>(), [1]);
}

// covers: D01
#[tokio::test]
async fn what_is_for_another_host_is_not_taken_over() {
    let authority = Authority::generate();
    let fake = Fake::start(&authority, move |_, _| {
        let mut orders = orders();
        (orders["host"], orders["key"]) = (json!(ANOTHER), key_of(1));
        Act::Answer(200, orders)
    })
    .await;
    let rig = Rig::new(&authority, &[&fake]);
    let _offline = Running::start(rig.folder.path());
    rig.upkeep.speak_of_offline(0, &mut OfflinePlan::at_once()).await;
    let standing = Link::new(rig.folder.path().join("offline.sock")).standing().await.unwrap();
    assert!(standing.epoch.is_none() && standing.contact.is_none());
}
