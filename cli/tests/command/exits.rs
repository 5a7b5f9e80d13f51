//! Exit codes and errors, in words and as JSON.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::fake::{self, Fake, Reply};
use crate::forms::{alice, status};

fn error(code: &str) -> String {
    json!({"error": {"code": code, "message": "it is so"}}).to_string()
}

/// Runs `postern user show alice` against one answer; compares the exit code and the error's code.
fn check(status: u16, body: &str, exit: i32, code: &str) {
    let ended = Fake::saying(status, body).run(&["user", "show", "alice", "-o", "json"]);
    let document: Value = serde_json::from_str(&ended.stderr).expect("one JSON document on stderr");
    assert_eq!((ended.exit, &document["error"]["code"]), (exit, &json!(code)), "{status} {body}");
    assert_eq!(ended.stdout, "");
}

#[test]
fn every_refusal_has_its_exit_code() {
    check(400, &error("malformed"), 2, "malformed");
    check(403, &error("not_allowed"), 5, "not_allowed");
    check(404, &error("not_found"), 4, "not_found");
    check(409, &error("conflict"), 6, "conflict");
    check(413, &error("too_large"), 1, "too_large");
    check(422, &error("wrong_code"), 8, "wrong_code");
    check(429, &error("throttled"), 7, "throttled");
    check(503, &error("unavailable"), 7, "unavailable");
    check(500, &error("made_up_later"), 1, "unknown");
    check(404, "<html>", 4, "not_found");
    check(422, "<html>", 8, "wrong_code");
    check(429, "<html>", 7, "throttled");
    check(500, "", 1, "unknown");
}

#[test]
fn an_answer_that_makes_no_sense_is_exit_1() {
    check(200, "", 1, "garbled_answer");
    check(200, "{}", 1, "garbled_answer");
    check(200, r#"{"api_version":2,"kind":"user"}"#, 1, "garbled_answer");
    let mut newer = alice();
    newer["otp"] = json!("sideways");
    check(200, &newer.to_string(), 1, "garbled_answer");
}

#[test]
fn an_error_is_one_line_for_people() {
    let ended = Fake::saying(404, &error("not_found")).run(&["user", "show", "alice"]);
    assert_eq!((ended.exit, ended.stderr.as_str()), (4, "postern: it is so\n"));
}

#[test]
fn no_daemon_is_exit_3() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let missing = fake::run(fake::postern(&folder.path().join("none.sock")).arg("status"));
    assert_eq!(missing.exit, 3, "{}", missing.stderr);
    assert!(missing.stderr.contains("is it running?"), "{}", missing.stderr);

    let stale = folder.path().join("stale.sock");
    drop(std::os::unix::net::UnixListener::bind(&stale).expect("bind"));
    assert_eq!(fake::run(fake::postern(&stale).arg("status")).exit, 3);
}

#[test]
fn a_socket_that_is_closed_to_us_is_exit_5() {
    let fake = Fake::saying(200, "{}");
    std::fs::set_permissions(fake.socket(), PermissionsExt::from_mode(0o000)).expect("chmod");
    let ended = fake.run(&["status"]);
    // Root passes every mode; then the fake's answer, which makes no sense, is read.
    let expected = if is_root() { 1 } else { 5 };
    assert_eq!(ended.exit, expected, "{}", ended.stderr);
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().expect("id is part of every system");
    id.stdout == b"0\n"
}

#[test]
fn a_daemon_that_says_nothing_is_exit_3_in_time() {
    let ended = Fake::new(|_| Reply::Silence).run(&["status", "--timeout", "200ms"]);
    assert_eq!((ended.exit, ended.stderr.as_str()), (3, "postern: verifierd gave no answer within 200ms\n"));
}

#[test]
fn a_daemon_that_hangs_up_is_exit_1() {
    assert_eq!(Fake::new(|_| Reply::Hangup).run(&["status"]).exit, 1);
}

#[test]
fn not_ready_and_degraded_are_exit_7_with_the_data() {
    for (ready, word) in [(false, "not ready"), (true, "degraded")] {
        let ended = Fake::saying(200, &status(ready, &["store is read-only"]).to_string()).run(&["status"]);
        assert_eq!(ended.exit, 7);
        assert_eq!(ended.stderr, format!("postern: verifierd is {word}: store is read-only\n"));
        assert!(ended.stdout.contains("reasons          store is read-only\n"));
    }
}

#[test]
fn a_broken_audit_trail_is_exit_1_with_the_place() {
    let body = json!({"api_version": 1, "kind": "audit_check", "whole": false, "records": 9,
        "broken": "record 7 does not follow record 6", "head": "ab12"});
    let ended = Fake::saying(200, &body.to_string()).run(&["audit", "verify"]);
    assert_eq!(ended.exit, 1);
    assert_eq!(ended.stderr, "postern: the audit trail is broken: record 7 does not follow record 6\n");
    assert!(ended.stdout.starts_with("whole       no\n"));
}

// covers: P7
#[test]
fn a_trail_that_does_not_hold_what_a_witness_saw_is_exit_1() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("checkpoint");
    let path = file.to_str().unwrap();
    let check = |said: &str, exit: i32, words: &str| {
        let body = json!({"api_version": 1, "kind": "audit_check", "whole": true, "records": 9, "head": "ab12",
            "witness": said});
        let fake = Fake::saying(200, &body.to_string());
        let ended = fake.run(&["audit", "verify", "--witness", path]);
        assert_eq!((ended.exit, ended.stderr.contains(words)), (exit, exit != 0), "{said}: {}", ended.stderr);
        assert_eq!(fake.next().line, "GET /v1/audit/verify?witness=AAAA-_9");
    };
    std::fs::write(&file, "AAAA-_9\n").unwrap();
    check("held", 0, "-");
    check("settled", 0, "-");
    check("missing", 1, "the trail does not hold what the witness saw");
    check("foreign", 2, "holds no checkpoint that this installation signed");
    for odd in ["", "two words", "\u{e9}"] {
        std::fs::write(&file, odd).unwrap();
        let ended = Fake::saying(200, "{}").run(&["audit", "verify", "--witness", path]);
        assert!(ended.exit == 2 && ended.stderr.contains("holds no checkpoint"), "{}", ended.stderr);
    }
    std::fs::remove_file(&file).unwrap();
    let ended = Fake::saying(200, "{}").run(&["audit", "verify", "--witness", path]);
    assert!(ended.exit == 2 && ended.stderr.contains("cannot read"), "{}", ended.stderr);
}

#[test]
fn wrong_usage_is_exit_2_also_as_json() {
    let fake = Fake::saying(200, "{}");
    for words in [
        &["user", "show"][..],
        &["user", "show", ""],
        &["user", "set", "alice"],
        &["user", "set", "alice", "--otp", "maybe"],
        &["explain", "7K2M"],
        &["audit", "show", "--limit", "0"],
        &["status", "--timeout", "soon"],
        &["status", "--timeout", "0s"],
        &["user", "set", "alice", "--otp", "off", "--with", "app", "--yes"],
        &["token", "list", "--state", "burnt"],
        &["token", "add"],
        &["token", "add", "--user", "alice", "--type", "hotp", "--period", "30"],
        &["token", "add", "--user", "alice", "--counter", "7"],
        &["token", "add", "--user", "alice", "--digits", "9"],
        &["token", "assign", "PT1"],
        &["token", "associate", "PT1"],
        &["token", "associate", "PT1", "--user", "alice", "123456"],
        &["token", "test", "PT1", "123456"],
        &["token", "import"],
        &["nonsense"],
        &[],
    ] {
        assert_eq!(fake.run(words).exit, 2, "{words:?}");
    }
    let ended = fake.run(&["explain", "7K2M", "--json"]);
    let document: Value = serde_json::from_str(&ended.stderr).expect("JSON");
    assert_eq!((ended.exit, &document["error"]["code"]), (2, &json!("usage")));
    assert_eq!(fake.lines(), [""; 0], "nothing was asked of the daemon");
}

#[test]
fn a_broken_configuration_is_exit_2_and_a_good_one_names_the_socket() {
    let fake = Fake::saying(200, &status(true, &[]).to_string());
    let config = fake.socket().with_file_name("verifierd.toml");
    let run = |text: &str| {
        std::fs::write(&config, text).expect("write");
        let mut command = fake.command(&["status", "--config"]);
        fake::run(command.arg(&config).env_remove("POSTERN_SOCKET")).exit
    };
    assert_eq!(run("version = "), 2);
    // Root asks at one of them, everybody else at the other; the tests may be run by either.
    assert_eq!(run("[sockets]\nadmin = 1\nuser = 1\n"), 2);
    assert_eq!(run(&format!("[sockets]\nadmin = {0:?}\nuser = {0:?}\n", fake.socket())), 0);
    let (own, other) = if is_root() { ("admin", "user") } else { ("user", "admin") };
    assert_eq!(run(&format!("[sockets]\n{own} = {:?}\n{other} = \"/nowhere\"\n", fake.socket())), 0);
}

#[test]
fn a_configuration_that_is_named_must_exist() {
    let mut command = fake::postern("unused".as_ref());
    let ended =
        fake::run(command.env_remove("POSTERN_SOCKET").args(["status", "--config", "/nowhere/x.toml"]));
    assert_eq!(ended.exit, 2);
}

#[test]
fn help_and_version_are_exit_0_on_stdout() {
    let fake = Fake::saying(200, "{}");
    for word in ["--help", "--version"] {
        let ended = fake.run(&[word]);
        assert_eq!((ended.exit, ended.stderr.as_str()), (0, ""));
        assert!(ended.stdout.contains("postern") || ended.stdout.contains("Postern"));
    }
}

#[test]
fn ctrl_c_is_exit_130() {
    let fake = Fake::new(|_| Reply::Silence);
    let mut child = fake.command(&["status"]).stderr(Stdio::piped()).spawn().expect("postern runs");
    fake.next();
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill runs");
    assert!(kill.success());
    let mut words = String::new();
    child.stderr.take().expect("piped").read_to_string(&mut words).expect("UTF-8");
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
    assert_eq!(words, "postern: interrupted\n");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let fake = Fake::saying(200, &status(true, &[]).to_string());
    let mut child = fake.command(&["status"]).stdout(Stdio::piped()).spawn().expect("postern runs");
    drop(child.stdout.take());
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
}
