//! Recovery codes: told once, in a block that can be printed.

use serde_json::{Value, json};

use crate::fake::{Fake, by_line};

pub fn recovery_status(waiting: bool) -> Value {
    json!({"user": "alice", "left": 7, "made": "2026-11-01T08:00:00Z", "waiting": waiting})
}

pub fn recovery_codes() -> Value {
    let codes: Vec<String> = (0..10).map(|number| format!("ABC{number}-DEFG-HJKM-NPQR")).collect();
    json!({"user": "alice", "codes": codes})
}

#[test]
fn the_status_says_how_many_are_left_and_whether_they_wait() {
    let fake = Fake::saying(200, &recovery_status(false).to_string());
    let ended = fake.run(&["recovery", "status", "alice"]);
    let table = "user     alice\nleft     7\nmade     2026-11-01T08:00:00Z\nwaiting  no\n";
    assert_eq!((ended.exit, ended.stdout.as_str(), ended.stderr.as_str()), (0, table, ""));
    assert_eq!(fake.next().line, "GET /v1/users/alice/recovery");
    let waiting = Fake::saying(200, &recovery_status(true).to_string()).run(&["recovery", "status", "alice"]);
    assert_eq!(waiting.stderr, "they wait for an administrator: `postern store settle`\n");
}

#[test]
fn without_a_name_it_is_about_the_caller() {
    let fake = by_line(&[
        ("GET /v1/self", 200, json!({"name": "alice", "role": "user"})),
        ("GET /v1/users/alice/recovery", 200, recovery_status(false)),
        ("POST /v1/users/alice/recovery", 200, recovery_codes()),
    ]);
    assert_eq!(fake.run(&["recovery", "status"]).exit, 0);
    assert_eq!(fake.lines(), ["GET /v1/self", "GET /v1/users/alice/recovery"]);
    let words = ["recovery", "regenerate", "--yes"];
    assert_eq!(fake.run_with_input(&words, b"123456\n").exit, 0);
    assert_eq!(fake.next().line, "GET /v1/self");
    let asked = fake.next();
    let line = "POST /v1/users/alice/recovery";
    assert_eq!((asked.line.as_str(), asked.body.as_str()), (line, r#"{"code":"123456"}"#));
}

#[test]
fn new_codes_are_printed_one_a_line_with_name_host_and_date() {
    let fake = by_line(&[
        ("GET /v1/self", 200, json!({"name": "root", "role": "super"})),
        ("POST /v1/users/alice/recovery", 200, recovery_codes()),
    ]);
    let ended = fake.run(&["recovery", "regenerate", "alice", "--yes"]);
    assert_eq!(ended.exit, 0, "{}", ended.stderr);
    let lines: Vec<&str> = ended.stdout.lines().collect();
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    assert!(lines[1].starts_with(&format!("Recovery codes of alice on {host}, 20")), "{}", lines[1]);
    assert_eq!(lines[2], "Each works once.");
    assert_eq!((lines[4], lines[13]), ("    ABC0-DEFG-HJKM-NPQR", "    ABC9-DEFG-HJKM-NPQR"));
    assert_eq!(lines.len(), 15);
    assert!(ended.stderr.contains("not shown again"), "{}", ended.stderr);
    assert_eq!(fake.next().line, "GET /v1/self");
    assert_eq!(fake.next().body, "{}");
}

#[test]
fn json_holds_the_same() {
    let fake = by_line(&[
        ("GET /v1/self", 200, json!({"name": "root", "role": "super"})),
        ("POST /v1/users/alice/recovery", 200, recovery_codes()),
    ]);
    let ended = fake.run(&["recovery", "regenerate", "alice", "--yes", "--json"]);
    let document: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!((&document["user"], &document["codes"]), (&json!("alice"), &recovery_codes()["codes"]));
    assert!(document["host"].is_string());
    // The same form as in the status: 2026-11-01T08:00:00Z.
    let made = document["made"].as_str().expect("a time");
    let shape: String = made.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "0000-00-00T00:00:00Z", "{made}");
}

#[test]
fn whoami_shows_role_and_tokens() {
    let own = json!({"name": "alice", "role": "user", "user": crate::forms::alice()});
    let ended = Fake::saying(200, &own.to_string()).run(&["whoami"]);
    let table = "name            alice\nrole            user\notp             on\n\
                 tokens          PT1 (totp, assigned)\nrecovery codes  9 left\n";
    assert_eq!((ended.exit, ended.stdout.as_str()), (0, table));
    let stranger = json!({"name": "bo", "role": "helpdesk"});
    let ended = Fake::saying(200, &stranger.to_string()).run(&["whoami"]);
    assert!(ended.stdout.contains("role            helpdesk\notp             -\n"), "{}", ended.stdout);
}
