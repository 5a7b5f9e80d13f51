//! Reports that wait, and a verifier that hears them or not.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use serde_json::{Value, json};
use tokio::sync::mpsc;
use wire::session::Leader;

use super::waiting::WAITING_MAX;
use super::*;
use crate::identity::tests::Authority;
use crate::verifiers::tests::{Act, Fake, verifiers};

fn open(number: usize) -> Report {
    open_by(number, "alice")
}

/// A session of root that somebody asked for.
fn open_by(number: usize, asker: &str) -> Report {
    let said =
        json!({"api_version": 1, "session": name(number), "user": "root", "ruser": asker, "service": "sudo"});
    Report::Open(serde_json::from_value(said).unwrap())
}

fn close(number: usize) -> Report {
    let (session, is_lost, ago_seconds) = (name(number), false, 0);
    Report::Close(CloseSession { api_version: 1, session, is_lost, ago_seconds, is_unrecorded: false })
}

fn name(number: usize) -> String {
    format!("{number:032x}")
}

/// Any path: a report connects to nobody.
const CONNECT: &str = "/connect";

/// What a verifier was told, in its order: the path's last word and the session.
type Heard = mpsc::UnboundedReceiver<(String, Value)>;

/// Sessions that are told to a verifier with this status.
async fn telling(status: &Arc<AtomicU16>) -> (Arc<Sessions>, Heard, Fake) {
    let authority = Authority::generate();
    let (tell, heard) = mpsc::unbounded_channel();
    let status = Arc::clone(status);
    let fake = Fake::start(&authority, move |path, said| {
        if path == CONNECT {
            return Act::Answer(200, json!({}));
        }
        let _ = tell.send((path.to_owned(), said.clone()));
        Act::Answer(status.load(Ordering::SeqCst), json!({"error": {"code": "conflict", "message": "no"}}))
    })
    .await;
    let (sessions, verifiers) = (Arc::new(Sessions::default()), verifiers(&authority, vec![fake.verifier()]));
    let until = Instant::now() + Duration::from_secs(5);
    // Somebody else has asked before.
    verifiers.ask_one(0, CONNECT, &Bytes::from_static(b"{}"), until).await.expect("it answers");
    let telling = Arc::clone(&sessions);
    tokio::spawn(async move { telling.tell(&verifiers).await });
    (sessions, heard, fake)
}

async fn next(heard: &mut Heard) -> (String, Value) {
    let (path, said) = heard.recv().await.expect("the verifier lives as long as the test");
    (path, said["session"].clone())
}

async fn until_nothing_waits(sessions: &Sessions) {
    while sessions.waiting() > 0 {
        tokio::task::yield_now().await;
    }
}

// covers: R10
#[tokio::test]
async fn what_is_taken_is_told_in_its_order_and_once() {
    let (sessions, mut heard, _fake) = telling(&Arc::new(AtomicU16::new(200))).await;
    for report in [open(1), open(2), close(1)] {
        assert!(sessions.take(report));
    }
    for (path, number) in [(OPEN_PATH, 1), (OPEN_PATH, 2), (CLOSE_PATH, 1)] {
        assert_eq!(next(&mut heard).await, (path.into(), json!(name(number))));
    }
    until_nothing_waits(&sessions).await;
    assert!(sessions.take(close(2)));
    assert_eq!(next(&mut heard).await, (CLOSE_PATH.into(), json!(name(2))));
}

// covers: R10
#[tokio::test]
async fn what_no_verifier_hears_waits_until_one_answers_again() {
    for refusal in [403, 429] {
        let status = Arc::new(AtomicU16::new(refusal));
        let (sessions, mut heard, _fake) = telling(&status).await;
        assert!(sessions.take(open(1)));
        assert_eq!(next(&mut heard).await.1, json!(name(1)));
        // What comes meanwhile asks nobody.
        assert!(sessions.take(close(1)));
        status.store(200, Ordering::SeqCst);
        sessions.note_answer();
        for path in [OPEN_PATH, CLOSE_PATH] {
            assert_eq!(next(&mut heard).await, (path.into(), json!(name(1))));
        }
        until_nothing_waits(&sessions).await;
    }
}

// covers: R10
#[tokio::test]
async fn what_a_verifier_will_never_take_is_in_nobodys_way() {
    let (sessions, mut heard, _fake) = telling(&Arc::new(AtomicU16::new(409))).await;
    for number in 0..3 {
        assert!(sessions.take(open(number)));
    }
    for number in 0..3 {
        assert_eq!(next(&mut heard).await.1, json!(name(number)));
    }
    until_nothing_waits(&sessions).await;
}

// covers: R10
#[tokio::test]
async fn what_becomes_of_a_report_changes_nothing_for_logins() {
    let authority = Authority::generate();
    for act in [|| Act::Answer(403, json!({})), || Act::Answer(503, json!({})), || Act::Hang] {
        let fake = Fake::start(
            &authority,
            move |path, _| {
                if path == CONNECT { Act::Answer(200, json!({})) } else { act() }
            },
        )
        .await;
        let verifiers = verifiers(&authority, vec![fake.verifier()]);
        let body = Bytes::from_static(b"{}");
        let until = |seconds| Instant::now() + Duration::from_secs(seconds);
        assert!(verifiers.tell(OPEN_PATH, &body, until(5)).await.is_err(), "nobody is connected");
        verifiers.ask_one(0, CONNECT, &body, until(5)).await.unwrap();
        let before = verifiers.stands();
        drop(verifiers.tell(OPEN_PATH, &body, Instant::now() + Duration::from_millis(50)).await);
        assert!(verifiers.stands() == before && before[0].is_connected, "{:?}", verifiers.stands());
        assert_eq!(fake.connections.load(Ordering::SeqCst), 1);
    }
}

fn names(waiting: &Waiting) -> Vec<Report> {
    waiting.reports.iter().map(|(_, report)| report.clone()).collect()
}

/// As many reports as can wait: bob's sudo in a loop, each session of his over at once.
fn flooded(now: Instant) -> Waiting {
    let mut waiting = Waiting::default();
    for number in 0..WAITING_MAX / 2 {
        assert!(waiting.take(now, open_by(number, "bob")) && waiting.take(now, close(number)));
    }
    waiting
}

// covers: R10
#[test]
fn who_fills_the_place_hides_neither_what_others_do_nor_what_he_does_then() {
    let now = Instant::now();
    for asker in ["bob", "alice"] {
        let mut waiting = flooded(now);
        assert!(waiting.take(now, open_by(9_000, asker)), "{asker}");
        let last = WAITING_MAX / 2 - 1;
        assert!(names(&waiting).contains(&open_by(9_000, asker)));
        assert!(!names(&waiting).contains(&open_by(last, "bob")) && !names(&waiting).contains(&close(last)));
        for number in 10_000..10_000 + WAITING_MAX {
            waiting.take(now, open_by(number, "bob"));
            waiting.take(now, close(number));
        }
        assert!(names(&waiting).contains(&open_by(9_000, asker)), "{asker}: it is still to be told");
        let of_bob = names(&waiting).iter().filter(|report| report.asker() == Some("bob")).count();
        let of_bob = of_bob - usize::from(asker == "bob");
        assert!((WAITING_MAX / 2 - 2..=WAITING_MAX / 2).contains(&of_bob), "{of_bob}");
        let left_out = u64::try_from(WAITING_MAX / 2 + WAITING_MAX - of_bob).unwrap();
        assert_eq!(waiting.left_out(now).map(|said| (said.count, said.user)), Some((left_out, "bob".into())));
    }
}

// covers: R10
#[test]
fn where_all_that_waits_is_open_the_caller_is_told_that_his_is_left_out() {
    let (mut waiting, now) = (Waiting::default(), Instant::now());
    for number in 0..WAITING_MAX {
        assert!(waiting.take(now, open_by(number, "bob")));
    }
    assert!(!waiting.take(now, open_by(WAITING_MAX, "bob")));
    assert!(waiting.take(now, close(WAITING_MAX)), "of what was left out nobody hears the end");
    assert_eq!((waiting.reports.len(), waiting.left_out(now).unwrap().count), (WAITING_MAX, 1));
    assert!(waiting.take(now, open_by(9_000, "alice")));
    assert!(!names(&waiting).contains(&open_by(WAITING_MAX - 1, "bob")));
    // The end of a session that was told before, or of one whose begin waits.
    assert!(waiting.take(now, close(9_001)) && waiting.take(now, close(5)));
    let left = names(&waiting);
    assert!(left.contains(&open_by(9_000, "alice")) && left.contains(&close(9_001)));
    assert_eq!((left.len(), left.first()), (WAITING_MAX, Some(&open_by(0, "bob"))));
    let (mut waiting, ends) = (Waiting::default(), WAITING_MAX);
    for number in 0..ends {
        assert!(waiting.take(now, close(number)));
    }
    assert!(!waiting.take(now, open(ends)) && !waiting.take(now, close(ends + 1)), "nothing gives way");
}

// covers: R10
#[test]
fn that_sessions_are_left_out_is_told_once_a_minute() {
    let now = Instant::now();
    let mut waiting = flooded(now);
    assert_eq!((waiting.left_out(now), waiting.due(now)), (None, None));
    waiting.take(now, open(9_000));
    assert_eq!(waiting.left_out(now).map(|said| said.count), Some(1));
    waiting.take(now, open(9_001));
    waiting.take(now, open(9_002));
    waiting.told_left_out(now, 1);
    let minute = now + Duration::from_secs(60);
    assert_eq!((waiting.left_out(now), waiting.due(now)), (None, Some(minute)));
    let told = waiting.left_out(minute).map(|said| said.count);
    assert!(told.is_some_and(|count| count >= 1), "{told:?}");
}

// covers: R10
#[tokio::test]
async fn how_many_were_left_out_is_told_before_what_waits() {
    let (sessions, mut heard, _fake) = telling(&Arc::new(AtomicU16::new(200))).await;
    *sessions.lock() = flooded(Instant::now());
    assert!(sessions.take(open(9_000)));
    let (path, said) = heard.recv().await.unwrap();
    assert_eq!((path.as_str(), said), (LEFT_OUT_PATH, json!({"api_version": 1, "count": 1, "user": "bob"})));
    assert_eq!(next(&mut heard).await, (OPEN_PATH.into(), json!(name(0))));
}

// covers: R10
#[tokio::test]
async fn of_the_sessions_that_a_verifier_asks_about_those_that_are_over_are_told_once() {
    let sessions = Sessions::default();
    let pid = i32::try_from(std::process::id()).unwrap();
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let start = stat.rsplit_once(')').unwrap().1.split_ascii_whitespace().nth(19).unwrap().parse().unwrap();
    let named = |number, leader, boot: Option<&str>| NamedSession {
        session: name(number),
        boot: boot.map(Into::into),
        leader,
    };
    let asked = [
        named(0, Some(Leader { pid, start }), None),
        named(1, Some(Leader { pid, start: start + 1 }), None),
        named(2, None, None),
        named(3, None, Some("another start")),
    ];
    for _ in 0..2 {
        sessions.answer(&asked);
        let waiting = sessions.lock().reports.clone();
        let lost: Vec<_> = waiting.iter().map(|(_, report)| report.session().to_owned()).collect();
        assert_eq!(lost, [name(1), name(3)]);
        let is_lost = |report: &Report| matches!(report, Report::Close(CloseSession { is_lost: true, .. }));
        assert!(waiting.iter().all(|(_, report)| is_lost(report)));
    }
}

// covers: R10
#[test]
fn what_is_told_late_says_how_late() {
    let waited = Duration::from_secs(77);
    for (report, path) in [(open(1), OPEN_PATH), (close(1), CLOSE_PATH)] {
        let (at, body) = report.request(waited);
        let said: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((at, &said["ago_seconds"], &said["session"]), (path, &json!(77), &json!(name(1))));
    }
}
