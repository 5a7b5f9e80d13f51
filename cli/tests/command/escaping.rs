//! Nothing that a stranger chose can draw on the administrator's terminal.

use serde_json::{Value, json};

use crate::asking::on_a_terminal;
use crate::fake::{Ended, Fake, by_line};
use crate::forms::{alice, decision, list, record, status, token};
use crate::hosts::{host, join_secret};
use crate::json::unlocked;
use crate::persons::person;
use crate::policy::{policy, policy_trial, rollout_status};
use crate::recovery::{recovery_codes, recovery_status};
use crate::sessions::session;
use crate::tokens::{code_check, taken};

/// Screen, clipboard, link, bell, carriage return, C1, bidirectional, separator.
const NASTY: &[&str] = &[
    "\u{1b}[2J",
    "\u{1b}]52;c;cm0gLXJm\u{7}",
    "\u{1b}]8;;http://192.0.2.1\u{1b}\\click\u{1b}]8;;\u{1b}\\",
    "a\rb",
    "a\nroot on",
    "\u{9b}31m",
    "\u{202e}toor",
    "\u{2028}",
    "\u{7f}",
];

/// A copy with every text replaced by the nasty one, where the shape does not demand another.
fn poisoned(value: &Value, nasty: &str) -> Value {
    const FIXED: &[&str] = &[
        "otp",
        "state",
        "kind",
        "api_version",
        "type",
        "role",
        "then",
        "mode",
        "rollout",
        "demand",
        "origin",
    ];
    match value {
        Value::String(_) => json!(nasty),
        Value::Array(items) => items.iter().map(|item| poisoned(item, nasty)).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, field)| {
                let fixed = FIXED.contains(&name.as_str());
                (name.clone(), if fixed { field.clone() } else { poisoned(field, nasty) })
            })
            .collect(),
        other => other.clone(),
    }
}

/// Every verb with an answer to it.
fn verbs() -> Vec<(&'static [&'static str], Value)> {
    let parse = |text: String| serde_json::from_str(&text).expect("JSON");
    let mut records = record(1, "alice");
    records["tty"] = json!("pts/1");
    records["ruser"] = json!("bob");
    records["token"] = json!("PT1");
    records["actor"] = json!("dora (helpdesk)");
    let page = json!({"api_version": 1, "kind": "audit_page", "items": [records.clone()], "newest": 1});
    let check = json!({"api_version": 1, "kind": "audit_check", "whole": false, "records": 9, "broken": "here",
        "head": "ab12"});
    vec![
        (&["user", "list"], parse(list("user_list", &[alice()]))),
        (&["user", "show", "x"], alice()),
        (&["user", "set", "x", "--otp", "on"], alice()),
        (&["session", "list"], parse(list("session_list", &[session()]))),
        (&["host", "list"], parse(list("host_list", &[host()]))),
        (&["host", "show", "x"], host()),
        (&["host", "enrol", "x"], join_secret()),
        (&["person", "list"], parse(list("person_list", &[person()]))),
        (&["person", "show", "x"], person()),
        (&["token", "list"], parse(list("token_list", &[token()]))),
        (&["token", "show", "x"], token()),
        (&["token", "disable", "x", "--yes"], token()),
        (&["token", "remove", "x", "--yes"], token()),
        (&["token", "assign", "x", "--user", "x"], token()),
        (&["token", "add", "--user", "x"], token()),
        (&["user", "unlock", "x"], unlocked()),
        (&["policy", "show"], policy()),
        (&["policy", "try", "--user", "x"], policy_trial()),
        (&["rollout", "status"], rollout_status()),
        (&["recovery", "status", "x"], recovery_status(true)),
        (&["whoami"], json!({"name": "x", "role": "user", "user": alice()})),
        (&["explain", "7K2M-9QXD"], parse(decision(records))),
        (&["audit", "show"], page),
        (&["audit", "verify"], check),
        (&["status"], status(false, &["because"])),
    ]
}

/// covers: I01
#[test]
fn no_verb_prints_a_control_character_in_any_form() {
    for (words, answer) in verbs() {
        for nasty in NASTY {
            let fake = Fake::saying(200, &poisoned(&answer, nasty).to_string());
            for form in ["table", "json", "ndjson"] {
                let ended = fake.run(&[words, &["-o", form]].concat());
                assert!(
                    ended.stdout.contains(r"\x")
                        || ended.stdout.contains(r"\u")
                        || ended.stdout.contains(r"\r")
                        || ended.stdout.contains(r"\n"),
                    "{words:?} {form}: it was printed: {ended:?}"
                );
                assert_harmless(&ended);
            }
        }
    }
}

/// covers: I01
#[test]
fn no_verb_that_takes_a_code_prints_a_control_character() {
    for nasty in NASTY {
        let own = json!({"name": nasty, "role": "user"});
        let poisoned = |answer: Value| poisoned(&answer, nasty);
        let fake = by_line(&[
            ("GET /v1/self", 200, own),
            ("POST /v1/tokens/x/disassociate", 200, poisoned(taken())),
            ("POST /v1/tokens/x/test", 200, poisoned(code_check(false))),
            ("POST /v1/tokens/x/associate", 200, poisoned(token())),
            ("POST /v1/tokens/x/resync", 200, poisoned(token())),
            ("POST /v1/users/x/recovery", 200, poisoned(recovery_codes())),
        ]);
        for words in [
            &["token", "disassociate", "x", "--yes"][..],
            &["token", "test", "x"],
            &["token", "associate", "x", "--user", "x"],
            &["token", "resync", "x"],
            &["recovery", "regenerate", "x", "--yes"],
        ] {
            for form in ["table", "json", "ndjson"] {
                let ended = fake.run_with_input(&[words, &["-o", form]].concat(), b"123456\n654321\n");
                assert!(ended.stdout.contains('\\'), "{words:?} {form}: it was printed: {ended:?}");
                assert_harmless(&ended);
            }
        }
    }
}

/// covers: I01
#[test]
fn no_error_prints_a_control_character() {
    for nasty in NASTY {
        let body = json!({"error": {"code": "not_found", "message": nasty}});
        let fake = Fake::saying(404, &body.to_string());
        for form in ["table", "json"] {
            assert_harmless(&fake.run(&["-v", "user", "show", nasty, "-o", form]));
            for wrong in [
                &["explain", nasty][..],
                &[nasty],
                &["user", "set", "x", "--otp", nasty],
                &["user", "list", nasty],
            ] {
                assert_harmless(&fake.run(&[wrong, &["-o", form]].concat()));
            }
        }
    }
}

/// covers: I01
#[test]
fn a_name_that_the_daemon_has_escaped_is_not_escaped_again() {
    let message = "no token \"a\\u{1b}[2J\"";
    let body = json!({"error": {"code": "not_found", "message": message}}).to_string();
    let ended = Fake::saying(404, &body).run(&["token", "show", "x"]);
    assert_eq!(ended.stderr, format!("postern: {message}\n"));
}

/// covers: I01
#[test]
fn a_terminal_gets_the_same_as_a_pipe() {
    for (words, answer) in verbs() {
        let fake = Fake::saying(200, &poisoned(&answer, "\u{1b}[2J\u{9b}31m\u{202e}").to_string());
        let mut command = on_a_terminal(&fake, &[words, &["-q"]].concat());
        let seen = command.exp_eof().expect("it ends").replace("\r\n", "\n");
        let piped = fake.run(&[words, &["-q"]].concat());
        assert_eq!(seen, piped.stdout + &piped.stderr, "{words:?}");
    }
}

/// covers: I01
#[test]
fn json_gives_the_value_back_unchanged() {
    for nasty in NASTY {
        let mut user = alice();
        user["name"] = json!(nasty);
        let ended = Fake::saying(200, &user.to_string()).run(&["user", "show", "x", "--json"]);
        let document: Value = serde_json::from_str(&ended.stdout).expect("JSON");
        assert_eq!(document["name"], json!(nasty));
    }
}

fn assert_harmless(ended: &Ended) {
    for text in [&ended.stdout, &ended.stderr] {
        let risky = |character: char| {
            (character.is_control() && character != '\n')
                || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
        };
        assert!(!text.contains(risky), "{text:?}");
        assert!(!text.contains("\nroot on"), "a value started a line: {text:?}");
    }
}
