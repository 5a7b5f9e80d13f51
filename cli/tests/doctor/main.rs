//! Runs the built `postern doctor` on the machine that tests run on, whatever that is.
//!
//! What it finds there is not the test's to say. That it asks, reads, says it in every form and ends with the right
//! code is. The findings themselves are tested beside the code, on machines in folders.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver};

use serde_json::{Value, json};

/// A `verifierd` that is well and knows ann alone, who has lost her token; returns what it is asked.
fn verifierd(socket: &Path) -> Receiver<String> {
    let status = json!({"api_version": 1, "kind": "status", "version": "0.1.0", "ready": true, "reasons": [],
        "started": "2026-11-01T00:00:00Z", "users": 0, "tokens": 0, "codes_evaluated": 0, "accepted": 0,
        "refused": 0, "store_start": "short"});
    let token = json!({"serial": "1", "type": "hotp", "is_app": false, "state": "lost"});
    let ann =
        json!({"name": "ann", "otp": "on", "activated": true, "tokens": [token], "recovery_codes_left": 9});
    let recovery = json!({"user": "ann", "left": 9, "waiting": true});
    let all = json!({"api_version": 1, "kind": "user_list", "items": [ann]});
    let nobody = json!({"error": {"code": "not_found", "message": "there is no such user"}});
    let listener = UnixListener::bind(socket).expect("bind");
    let (sender, asked) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("accept");
            let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
            let mut first = String::new();
            reader.read_line(&mut first).expect("a request line");
            let mut header = String::new();
            while reader.read_line(&mut header).is_ok_and(|length| length > 2) {
                header.clear();
            }
            let (code, body) = match first.split(' ').nth(1).expect("a path") {
                "/v1/status" => (200, &status),
                "/v1/users" => (200, &all),
                "/v1/users/ann" => (200, &ann),
                "/v1/users/ann/recovery" => (200, &recovery),
                _ => (404, &nobody),
            };
            let body = body.to_string();
            let length = body.len();
            let head =
                format!("HTTP/1.1 {code} Status\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
            stream.write_all((head + &body).as_bytes()).expect("answer");
            // The test may have ended.
            let _unheard = sender.send(first.trim_end().to_owned());
        }
    });
    asked
}

fn doctor(socket: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_postern"));
    command.env_clear().env("POSTERN_SOCKET", socket).stdin(Stdio::null());
    command.arg("doctor").args(words).output().expect("postern runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

#[test]
fn the_report_is_one_document_and_the_exit_code_follows_from_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let socket = folder.path().join("admin.sock");
    let asked = verifierd(&socket);
    let ended = doctor(&socket, &["--user", "nobody", "--service", "su", "--service", "other", "--json"]);
    let report: Value = serde_json::from_slice(&ended.stdout).expect("one JSON document");
    assert_eq!((&report["api_version"], &report["kind"]), (&json!(1), &json!("doctor_report")));
    assert_eq!(report["user"], "nobody");
    let verdicts = report["verdicts"].as_array().expect("verdicts");
    let services: Vec<&Value> = verdicts.iter().map(|verdict| &verdict["service"]).collect();
    assert_eq!(services, ["su", "other"]);
    let findings = report["findings"].as_array().expect("findings");
    let problems = findings.iter().filter(|finding| finding["level"] == "problem").count();
    assert_eq!(report["problems"], json!(problems));
    assert_eq!(ended.status.code(), Some(i32::from(problems > 0)), "{}", text(&ended.stderr));
    assert!(findings.iter().any(|finding| finding["code"] == "store_ended_early"), "{report}");
    let lines: Vec<String> = asked.try_iter().collect();
    assert!(lines.contains(&"GET /v1/users/nobody HTTP/1.1".to_owned()), "{lines:?}");
    assert!(lines.iter().all(|line| line.starts_with("GET ")), "it only asks: {lines:?}");
}

#[test]
fn without_verifierd_there_is_a_report_all_the_same() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let ended = doctor(&folder.path().join("none.sock"), &["--service", "su"]);
    let said = text(&ended.stdout);
    assert!(said.starts_with("su  "), "{said}");
    assert!(said.contains("verifierd") && said.contains("none.sock"), "{said}");
    assert!(matches!(ended.status.code(), Some(0 | 1)), "{}", text(&ended.stderr));
}

#[test]
fn names_that_could_be_something_else_are_refused_before_anything_is_asked() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let socket = folder.path().join("admin.sock");
    let asked = verifierd(&socket);
    let long = "x".repeat(257);
    for name in ["", "-U", "a,addr=::1", "a b", "../x", "a:b", "a=b", "a\u{1b}[2J", "..", long.as_str()] {
        for flag in ["--user", "--service"] {
            let ended = doctor(&socket, &[&format!("{flag}={name}")]);
            assert_eq!(ended.status.code(), Some(2), "{flag} {name:?}");
            assert!(ended.stdout.is_empty(), "{flag} {name:?}");
            assert!(!text(&ended.stderr).contains('\u{1b}'), "{flag} {name:?}");
        }
    }
    assert_eq!(asked.try_iter().count(), 0);
}

#[test]
fn verifierd_is_asked_for_what_the_report_rests_on() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let socket = folder.path().join("admin.sock");
    let asked = verifierd(&socket);
    let table: [(&[&str], &[&str]); 3] = [
        (&["--user", "ann"], &["/v1/status", "/v1/users/ann", "/v1/users/ann/recovery"]),
        (&["--user", "bob"], &["/v1/status", "/v1/users/bob"]),
        (&[], &["/v1/status", "/v1/users"]),
    ];
    for (words, expected) in table {
        doctor(&socket, words);
        let paths: Vec<String> = asked.try_iter().collect();
        let expected: Vec<String> = expected.iter().map(|path| format!("GET {path} HTTP/1.1")).collect();
        assert_eq!(paths, expected, "{words:?}");
    }
}

/// Asks the doctor about a configuration that `verifierd` has this to say of; returns what it finds in it.
fn about_configuration(verifierd: &str) -> Vec<Value> {
    // In the same file system as the command, of which a second name is made.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a temporary folder");
    let own = folder.path().join("postern");
    std::fs::hard_link(env!("CARGO_BIN_EXE_postern"), &own).expect("a link");
    std::fs::write(folder.path().join("my.toml"), "version = 1\n").expect("a configuration");
    // Another process writes it: a file that is open here for writing could not be run.
    let write = "printf '%s' \"$1\" > verifierd; chmod 755 verifierd";
    let mut shell = Command::new("/bin/sh");
    shell.current_dir(folder.path()).args(["-c", write, "sh", verifierd]);
    assert!(shell.status().expect("a shell").success());
    let mut command = Command::new(own);
    command.env_clear().env("POSTERN_SOCKET", "/nowhere.sock").stdin(Stdio::null());
    command.current_dir(folder.path()).args(["--config", "my.toml", "doctor", "--service", "su", "--json"]);
    let ended = command.output().expect("postern runs");
    let report: Value = serde_json::from_slice(&ended.stdout).expect("one JSON document");
    let findings = report["findings"].as_array().expect("findings");
    let is_about_it = |finding: &&Value| {
        finding["code"] == "config_refused"
            || finding["message"].as_str().is_some_and(|it| it.contains("my.toml"))
    };
    findings.iter().filter(is_about_it).cloned().collect()
}

#[test]
fn a_configuration_that_verifierd_would_not_start_with_is_a_problem() {
    let refusing = "#!/bin/sh\necho \"verifierd: $*\" >&2\necho '  x: \"y\" is no setting' >&2\nexit 2\n";
    let findings = about_configuration(refusing);
    let [finding] = findings.as_slice() else { panic!("{findings:#?}") };
    assert_eq!((&finding["code"], &finding["level"]), (&json!("config_refused"), &json!("problem")));
    let message = finding["message"].as_str().expect("a text");
    let lines: Vec<&str> = message.lines().skip(1).collect();
    let [first, second] = lines.as_slice() else { panic!("{message}") };
    assert!(
        first.starts_with("verifierd: config check --config /") && first.ends_with("/my.toml"),
        "{first}"
    );
    assert_eq!(*second, "  x: \"y\" is no setting");

    assert_eq!(about_configuration("#!/bin/sh\nexit 0\n"), Vec::<Value>::new());
    for code in [1, 2] {
        let broken = about_configuration(&format!("#!/bin/sh\nexit {code}\n"));
        let [finding] = broken.as_slice() else { panic!("{broken:#?}") };
        assert_eq!(finding["code"], "not_checked");
        let message = finding["message"].as_str().expect("a text");
        assert!(message.ends_with(&format!("it ended with {code}")), "{message}");
    }
}
