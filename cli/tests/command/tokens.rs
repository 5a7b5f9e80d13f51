//! The verbs for tokens: what is asked of the daemon, and what is said about it.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::fake::{Fake, by_line};
use crate::forms::{alice, list, token};
use crate::json::unlocked;

pub fn taken() -> Value {
    json!({"serial": "PT1", "user": "alice", "wiped": true, "otp": "off"})
}

pub fn code_check(right: bool) -> Value {
    json!({"serial": "PT1", "right": right, "reason": if right { "accepted" } else { "replayed" },
        "detail": "used 12 s ago", "reference": "7K2M-9QXD"})
}

/// A hardware token that lies in a drawer.
pub fn box_fresh() -> Value {
    json!({"serial": "2600123456789", "type": "hotp", "algorithm": "SHA1", "digits": 6, "counter": 0,
        "state": "available", "failures": 0, "created": "2026-11-01T08:00:00Z"})
}

/// Runs one verb; compares the request, its body and the words on stderr.
fn check(words: &[&str], answer: &Value, line: &str, body: &str, said: &str) {
    let fake = Fake::saying(200, &answer.to_string());
    let ended = fake.run(words);
    assert_eq!((ended.exit, ended.stderr.as_str()), (0, said), "{words:?}");
    let asked = fake.next();
    assert_eq!((asked.line.as_str(), asked.body.as_str()), (line, body), "{words:?}");
}

#[test]
fn a_list_is_asked_for_by_state_and_user() {
    let none = serde_json::from_str(&list("token_list", &[])).expect("JSON");
    let check =
        |words: &[&str], line: &str| check(&[&["token", "list"], words].concat(), &none, line, "", "");
    check(&[], "GET /v1/tokens");
    check(&["--state", "lost"], "GET /v1/tokens?state=lost");
    check(&["--user", "a b&c"], "GET /v1/tokens?user=a%20b%26c");
    check(&["--state", "available", "--user", "bo"], "GET /v1/tokens?state=available&user=bo");
}

#[test]
fn a_hardware_token_shows_its_counter() {
    let ended = Fake::saying(200, &box_fresh().to_string()).run(&["token", "show", "2600123456789"]);
    let table = "serial         2600123456789\nuser           -\ntype           hotp SHA1/6\nnext counter   0\n\
                 time drift     -\nstate          available\nfailures       0\n\
                 created        2026-11-01T08:00:00Z\nassociated     -\nlast accepted  -\n";
    assert_eq!(ended.stdout, table);
}

#[test]
fn a_token_is_assigned_disabled_lost_and_enabled() {
    let post = |verb: &str| format!("POST /v1/tokens/PT1/{verb}");
    let said = "the next login of alice asks for a code of token PT1\n";
    let words = ["token", "assign", "PT1", "--user", "alice"];
    check(&words, &token(), &post("assign"), r#"{"user":"alice"}"#, said);
    let all = [("disable", "is disabled"), ("lost", "is marked as lost"), ("enable", "is enabled")];
    for (verb, done) in all {
        let said = format!("token PT1 of alice {done}\n");
        check(&["token", verb, "PT1", "--yes"], &token(), &post(verb), "", &said);
    }
}

#[test]
fn a_token_without_a_user_is_not_said_to_be_anybodys() {
    let said = "token 2600123456789 is disabled\n";
    let line = "POST /v1/tokens/2600123456789/disable";
    check(&["token", "disable", "2600123456789", "--yes"], &box_fresh(), line, "", said);
}

#[test]
fn a_new_token_for_an_app_needs_a_user_only() {
    let body = r#"{"user":"alice","type":"totp"}"#;
    let said = "the next login of alice shows the QR code\n";
    check(&["token", "add", "--user", "alice"], &token(), "POST /v1/tokens", body, said);
    let words =
        ["token", "add", "--user", "alice", "--algorithm", "sha256", "--digits", "8", "--period", "60"];
    let body = r#"{"user":"alice","type":"totp","algorithm":"SHA256","digits":8,"time_interval":60}"#;
    check(&words, &token(), "POST /v1/tokens", body, said);
}

/// covers: I12
#[test]
fn a_hardware_tokens_secret_comes_from_a_file_or_stdin() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("secret");
    let file = path.to_str().expect("UTF-8");
    let words =
        ["token", "add", "--serial", "2600123456789", "--type", "hotp", "--counter", "7", "--secret-file"];
    let body = r#"{"serial":"2600123456789","type":"hotp","secret":"3132333435363738393031323334353637383930","counter":7}"#;
    for secret in ["3132333435363738393031323334353637383930\n", "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\n"] {
        std::fs::write(&path, secret).expect("write");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("chmod");
        let fake = Fake::saying(200, &box_fresh().to_string());
        let named = fake.run(&[&words[..], &[file]].concat());
        assert_eq!((named.exit, named.stderr.as_str()), (0, "token 2600123456789 is available\n"));
        assert_eq!(fake.next().body, body);
        let piped = fake.run_with_input(&[&words[..], &["-"]].concat(), secret.as_bytes());
        assert_eq!(piped.exit, 0, "{}", piped.stderr);
        assert_eq!(fake.next().body, body);
    }
}

#[test]
fn a_secret_that_is_none_is_refused_here_and_not_repeated() {
    let words = ["token", "add", "--serial", "S1", "--type", "hotp", "--secret-file", "-"];
    let long = "41".repeat(129);
    for secret in ["", "zzzz!", "3132", "GEZDGNBV", long.as_str()] {
        let fake = Fake::saying(200, &box_fresh().to_string());
        let ended = fake.run_with_input(&words, secret.as_bytes());
        assert_eq!(ended.exit, 2, "{secret:?}: {}", ended.stderr);
        assert!(secret.is_empty() || !ended.stderr.contains(secret), "{}", ended.stderr);
        assert_eq!(fake.lines(), [""; 0], "nothing was asked of the daemon");
    }
}

#[test]
fn an_administrator_takes_a_token_away_without_a_code() {
    for role in ["super", "admin"] {
        let fake = by_line(&[
            ("GET /v1/self", 200, json!({"name": "ann", "role": role})),
            ("POST /v1/tokens/PT1/disassociate", 200, taken()),
        ]);
        let ended = fake.run(&["token", "disassociate", "PT1", "--yes"]);
        let said = "token PT1 is gone with its secret; no one-time password is demanded of alice\n";
        assert_eq!((ended.exit, ended.stderr.as_str()), (0, said));
        assert_eq!(fake.next().line, "GET /v1/self");
        assert_eq!(fake.next().body, "{}");
    }
}

/// covers: I11
#[test]
fn below_an_administrator_a_token_of_ones_own_is_taken_away_with_a_code() {
    for role in ["user", "auditor", "helpdesk"] {
        let fake = by_line(&[
            ("GET /v1/self", 200, json!({"name": "alice", "role": role})),
            ("POST /v1/tokens/PT1/disassociate", 200, taken()),
        ]);
        let words = ["token", "disassociate", "PT1", "--yes"];
        let without = fake.run(&words);
        let said = "postern: a one-time password of yours is missing: it is a line of stdin\n";
        assert_eq!((without.exit, without.stderr.as_str()), (2, said));
        assert_eq!(fake.lines(), ["GET /v1/self"]);
        assert_eq!(fake.run_with_input(&words, b"123456\n").exit, 0);
        assert_eq!(fake.next().line, "GET /v1/self");
        assert_eq!(fake.next().body, r#"{"code":"123456"}"#);
    }
}

#[test]
fn a_token_that_nobody_has_is_removed() {
    let said = "token 2600123456789 is removed with its secret\n";
    let words = ["token", "remove", "2600123456789", "--yes"];
    check(&words, &box_fresh(), "DELETE /v1/tokens/2600123456789", "", said);
    let body = json!({"error": {"code": "conflict", "message": "token PT1 is alice's"}}).to_string();
    let ended = Fake::saying(409, &body).run(&["token", "remove", "PT1", "--yes"]);
    assert_eq!((ended.exit, ended.stderr.as_str()), (6, "postern: token PT1 is alice's\n"));
}

#[test]
fn a_disabled_token_says_by_whom_in_words_and_as_json() {
    for (by, words) in [
        ("administrator", "state          disabled (by an administrator)\n"),
        ("wrong_codes", "state          disabled (too many wrong codes: postern user unlock alice)\n"),
    ] {
        let mut disabled = token();
        disabled["state"] = json!("disabled");
        disabled["disabled_by"] = json!(by);
        let fake = Fake::saying(200, &disabled.to_string());
        let ended = fake.run(&["token", "show", "PT1"]);
        assert!(ended.stdout.contains(words), "{}", ended.stdout);
        let document: Value =
            serde_json::from_str(&fake.run(&["token", "show", "PT1", "--json"]).stdout).expect("JSON");
        assert_eq!(document["disabled_by"], json!(by));
    }
}

#[test]
fn a_serial_number_is_checked_here_as_an_import_does() {
    let long = "9z".repeat(33);
    for (serial, problem) in [
        ("=1+1", "the serial begins with =, +, - or @, which a spreadsheet takes for a formula"),
        ("-1", "the serial begins with =, +, - or @, which a spreadsheet takes for a formula"),
        ("a\u{1b}b", "the serial holds control or invisible characters"),
        (" ", "the serial is missing"),
        (&long, "the serial is longer than 64 characters"),
        (
            "3132333435363738393031323334353637383930",
            "the serial number looks like a secret: are the columns swapped?",
        ),
    ] {
        let fake = Fake::saying(200, &token().to_string());
        let ended = fake.run(&["token", "add", "--user", "alice", &format!("--serial={serial}")]);
        assert_eq!((ended.exit, ended.stderr), (2, format!("postern: --serial: {problem}\n")));
        assert_eq!(fake.lines(), [""; 0], "nothing was asked of the daemon");
    }
}

#[test]
fn a_token_without_user_and_secret_is_refused_with_both_flags_named() {
    let ended = Fake::saying(200, "{}").run(&["token", "add", "--serial", "n2"]);
    assert_eq!((ended.exit, ended.stderr.as_str()), (2, "postern: --user or --secret-file is needed\n"));
}

#[test]
fn a_refused_association_says_how_to_learn_why() {
    let message = "the serial number or the code is wrong. Reference 7K2M-9QXD";
    let body = json!({"error": {"code": "wrong_code", "message": message}}).to_string();
    let words = ["token", "associate", "PT1", "--user", "alice"];
    let ended = Fake::saying(422, &body).run_with_input(&words, b"123456\n");
    let said = format!("postern: {message}; `postern explain 7K2M-9QXD` tells which\n");
    assert_eq!((ended.exit, ended.stderr), (8, said));
}

#[test]
fn a_user_is_unlocked_and_set_to_his_way_of_enrolling() {
    check(&["user", "unlock", "alice"], &unlocked(), "POST /v1/users/alice/unlock", "", "");
    let table = "user            alice\ncounts cleared  2\ntokens enabled  PT1\n";
    let ended = Fake::saying(200, &unlocked().to_string()).run(&["user", "unlock", "alice"]);
    assert_eq!(ended.stdout, table);
    let mut fresh = alice();
    fresh["tokens"] = json!([]);
    let words = ["user", "set", "alice", "--otp", "on", "--with", "token"];
    let body = r#"{"otp":"on","enrol_with":"token"}"#;
    let said = "the next login of alice asks for the serial number of a token\n";
    check(&words, &fresh, "PUT /v1/users/alice/otp", body, said);
}
