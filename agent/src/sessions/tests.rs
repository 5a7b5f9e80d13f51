//! Reports that wait, and a verifier that hears them or not.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use serde_json::{Value, json};
use tokio::sync::mpsc;
use wire::session::Leader;

use super::*;
use crate::identity::tests::Authority;
use crate::verifiers::tests::{Act, Fake, verifiers};

fn open(number: usize) -> Report {
    let said = json!({"api_version": 1, "session": name(number), "user": "alice", "service": "sshd"});
    Report::Open(serde_json::from_value(said).unwrap())
}

fn close(number: usize) -> Report {
    let (session, is_lost, ago_seconds) = (name(number), false, 0);
    Report::Close(CloseSession { api_version: 1, session, is_lost, ago_seconds })
}

fn name(number: usize) -> String {
    format!("{number:032x}")
}

/// What a verifier was told, in its order: the path's last word and the session.
type Heard = mpsc::UnboundedReceiver<(String, Value)>;

/// Sessions that are told to a verifier with this status.
async fn telling(status: &Arc<AtomicU16>) -> (Arc<Sessions>, Heard, Fake) {
    let authority = Authority::generate();
    let (tell, heard) = mpsc::unbounded_channel();
    let status = Arc::clone(status);
    let fake = Fake::start(&authority, move |path, said| {
        let _ = tell.send((path.to_owned(), said.clone()));
        Act::Answer(status.load(Ordering::SeqCst), json!({"error": {"code": "conflict", "message": "no"}}))
    })
    .await;
    let (sessions, verifiers) = (Arc::new(Sessions::default()), verifiers(&authority, vec![fake.verifier()]));
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
        sessions.take(report);
    }
    for (path, number) in [(OPEN_PATH, 1), (OPEN_PATH, 2), (CLOSE_PATH, 1)] {
        assert_eq!(next(&mut heard).await, (path.into(), json!(name(number))));
    }
    until_nothing_waits(&sessions).await;
    sessions.take(close(2));
    assert_eq!(next(&mut heard).await, (CLOSE_PATH.into(), json!(name(2))));
}

// covers: R10
#[tokio::test]
async fn what_no_verifier_hears_waits_until_one_answers_again() {
    for refusal in [403, 429] {
        let status = Arc::new(AtomicU16::new(refusal));
        let (sessions, mut heard, _fake) = telling(&status).await;
        sessions.take(open(1));
        assert_eq!(next(&mut heard).await.1, json!(name(1)));
        // What comes meanwhile asks nobody.
        sessions.take(close(1));
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
        sessions.take(open(number));
    }
    for number in 0..3 {
        assert_eq!(next(&mut heard).await.1, json!(name(number)));
    }
    until_nothing_waits(&sessions).await;
}

// covers: R10
#[test]
fn for_an_end_a_begin_gives_way_and_never_the_other_way_round() {
    let (mut waiting, now) = (Waiting::default(), Instant::now());
    let names = |waiting: &Waiting| -> Vec<Report> {
        waiting.reports.iter().map(|(_, report)| report.clone()).collect()
    };
    for number in 0..WAITING_MAX {
        waiting.take(now, open(number));
    }
    waiting.take(now, open(WAITING_MAX));
    assert_eq!((waiting.reports.len(), waiting.left_out), (WAITING_MAX, 1));
    // Its own begin waits: nobody has to hear of either.
    waiting.take(now, close(5));
    assert_eq!(waiting.reports.len(), WAITING_MAX - 1);
    assert!(!names(&waiting).contains(&open(5)) && !names(&waiting).contains(&close(5)));
    waiting.take(now, open(5));
    // Its begin was told before: the newest begin gives way.
    waiting.take(now, close(WAITING_MAX + 1));
    assert_eq!(names(&waiting).last(), Some(&close(WAITING_MAX + 1)));
    assert!(!names(&waiting).contains(&open(5)) && names(&waiting).contains(&open(4)));
    for number in 0..2 * WAITING_MAX {
        waiting.take(now, close(2 * WAITING_MAX + number));
    }
    assert_eq!(waiting.reports.len(), WAITING_MAX);
    assert!(names(&waiting).iter().all(|report| matches!(report, Report::Close(_))));
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
