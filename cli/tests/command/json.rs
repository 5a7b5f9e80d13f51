//! `--json`: one document for each verb, with its version and kind.

use serde_json::{Value, json};

use crate::fake::{Fake, by_line};
use crate::forms::{alice, decision, list, record, status, token};
use crate::hosts::{host, join_secret};
use crate::persons::person;
use crate::policy::{policy, policy_trial, rollout_status};
use crate::recovery::{recovery_codes, recovery_status};
use crate::sessions::session;
use crate::tokens::{code_check, taken};

/// Runs one verb against one answer; compares the kind.
fn check(words: &[&str], body: &Value, kind: &str) {
    check_with(&Fake::saying(200, &body.to_string()), words, kind);
}

fn check_with(fake: &Fake, words: &[&str], kind: &str) {
    let ended = fake.run_with_input(&[words, &["--json"]].concat(), b"123456\n654321\n");
    let document: Value = serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{ended:?}"));
    assert_eq!((ended.exit, &document["api_version"], &document["kind"]), (0, &json!(1), &json!(kind)));
}

#[test]
fn json_is_one_document_with_version_and_kind() {
    let parse = |text: String| serde_json::from_str(&text).expect("JSON");
    check(&["user", "list"], &parse(list("user_list", &[alice()])), "user_list");
    check(&["user", "show", "alice"], &alice(), "user");
    check(&["user", "set", "alice", "--otp", "on"], &alice(), "user");
    check(&["user", "unlock", "alice"], &unlocked(), "unlocked");
    check(&["token", "list"], &parse(list("token_list", &[token()])), "token_list");
    for verb in ["show", "resync", "disable", "lost", "enable", "remove"] {
        check(&["token", verb, "PT1", "--yes"], &token(), "token");
    }
    check(&["token", "add", "--user", "alice"], &token(), "token");
    check(&["token", "assign", "PT1", "--user", "alice"], &token(), "token");
    check(&["token", "associate", "PT1", "--user", "alice"], &token(), "token");
    check(&["token", "test", "PT1"], &code_check(true), "code_check");
    check(&["token", "export-template"], &Value::Null, "import_template");
    check(&["recovery", "status", "alice"], &recovery_status(false), "recovery_status");
    check(&["host", "enrol", "web1"], &join_secret(), "join_secret");
    check(&["host", "show", "web1"], &host(), "host");
    check(&["host", "revoke", "web1", "--yes"], &host(), "host");
    check(&["session", "list"], &parse(list("session_list", &[session()])), "session_list");
    check(&["host", "list"], &parse(list("host_list", &[host()])), "host_list");
    check(&["person", "show", "carol"], &person(), "person");
    check(&["person", "list"], &parse(list("person_list", &[person()])), "person_list");
    check(&["policy", "show", "--host", "web1"], &policy(), "policy");
    check(&["policy", "try", "--user", "alice"], &policy_trial(), "policy_trial");
    check(&["rollout", "status"], &rollout_status(), "rollout_status");
    check(&["explain", "7K2M-9QXD"], &parse(decision(record(7, "alice"))), "decision");
    check(&["status"], &status(true, &[]), "status");
    check(&["version"], &Value::Null, "version");
}

#[test]
fn json_of_what_asks_who_we_are_is_one_document_too() {
    let own = ("GET /v1/self", 200, json!({"name": "root", "role": "super", "user": alice()}));
    let fake = by_line(&[
        own,
        ("POST /v1/tokens/PT1/disassociate", 200, taken()),
        ("POST /v1/users/root/recovery", 200, recovery_codes()),
    ]);
    check_with(&fake, &["whoami"], "self");
    check_with(&fake, &["token", "disassociate", "PT1", "--yes"], "disassociated");
    check_with(&fake, &["recovery", "regenerate", "--yes"], "recovery_codes");
}

pub fn unlocked() -> Value {
    json!({"user": "alice", "counts_cleared": 2, "tokens_enabled": ["PT1"]})
}
