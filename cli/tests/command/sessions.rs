//! `postern session list`: what is asked, and how it is shown.

use serde_json::{Value, json};

use crate::fake::{Fake, by_line};
use crate::forms::list;

pub fn session() -> Value {
    json!({"id": "00112233445566778899aabbccddeeff", "user": "alice", "service": "sshd", "host": "web1",
        "rhost": "192.0.2.7", "tty": "ssh", "ruser": "alice", "since": "2026-11-22T20:00:00Z",
        "login": {"reference": "7QK2-9ZB4", "reason": "accepted", "token": "PT1"}})
}

/// covers: R10
#[test]
fn sessions_are_listed_with_where_from_since_when_and_by_which_login() {
    let without_a_login = json!({"id": "ff", "user": "root", "service": "sudo", "ruser": "bob", "since": "2026-11-22T21:00:00Z"});
    let fake = Fake::saying(200, &list("session_list", &[session(), without_a_login]));
    let ended = fake.run(&["session", "list"]);
    let table = "\
USER           SERVICE  HOST  FROM       TERMINAL  SINCE                 WITH       LOGIN
alice          sshd     web1  192.0.2.7  ssh       2026-11-22T20:00:00Z  token PT1  7QK2-9ZB4
root (by bob)  sudo     -     -          -         2026-11-22T21:00:00Z  -          -
";
    assert_eq!((ended.exit, ended.stdout.as_str()), (0, table), "{}", ended.stderr);
    assert_eq!(fake.next().line, "GET /v1/sessions");
    fake.run(&["session", "list", "--user", "alice", "--host", "web1"]);
    assert_eq!(fake.next().line, "GET /v1/sessions?user=alice&host=web1");
    let lines = fake.run(&["session", "list", "-o", "ndjson"]).stdout;
    let first: Value = serde_json::from_str(lines.lines().next().expect("a line")).expect("JSON");
    assert_eq!((first, lines.lines().count()), (session(), 2));
}

/// covers: R10
#[test]
fn a_list_in_pages_is_shown_as_one_and_long_names_are_cut() {
    let long = "x".repeat(255);
    let other =
        json!({"id": "ff", "user": long, "service": "su", "ruser": "bob", "since": "2026-11-22T21:00:00Z"});
    let page = |item: Value, next: Option<&str>| json!({"api_version": 1, "kind": "session_list", "items": [item], "next": next});
    let fake = by_line(&[
        ("GET /v1/sessions?after=7-a-b", 200, page(other, None)),
        ("GET /v1/sessions", 200, page(session(), Some("7-a-b"))),
    ]);
    let ended = fake.run(&["session", "list"]);
    assert_eq!((ended.exit, ended.stdout.lines().count()), (0, 3), "{}", ended.stderr);
    let last = ended.stdout.lines().last().expect("a line");
    assert!(last.starts_with(&format!("{}... (by bob)  su", "x".repeat(48))), "{last}");
    let asked = [fake.next().line, fake.next().line];
    assert_eq!(asked, ["GET /v1/sessions", "GET /v1/sessions?after=7-a-b"]);
}
