//! `postern session list`: what is asked, and how it is shown.

use serde_json::{Value, json};

use crate::fake::Fake;
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
