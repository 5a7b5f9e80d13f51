//! `postern policy` and `postern rollout`: what is asked, and how it is shown.

use serde_json::{Value, json};

use crate::fake::Fake;

pub fn policy() -> Value {
    json!({"api_version": 1, "kind": "policy", "host": "web1", "group": "web",
        "settings": [{"name": "require_token", "value": "true", "source": "group web"}],
        "rules": [{"name": "office", "then": "allow", "conditions": ["source 192.0.2.0/24", "service sudo"]},
            {"name": "last", "then": "require-any-otp", "conditions": []}]})
}

pub fn policy_trial() -> Value {
    json!({"api_version": 1, "kind": "policy_trial", "user": "alice", "host": "web1", "group": "web", "service": "sshd",
        "from": "192.0.2.7", "at": "2026-12-01T09:00:00Z", "rule": "office", "then": "deny", "rollout": "grace",
        "demand": "refusal", "reason": "denied_by_rule", "why": "because"})
}

pub fn rollout_status() -> Value {
    json!({"api_version": 1, "kind": "rollout_status", "since": "2026-11-01T00:00:00Z",
        "items": [{"place": "group web", "mode": "observe", "until": "2026-12-01", "days_left": 9, "users": 4,
            "with_token": 3, "would_be_refused": 17}]})
}

/// covers: A10
#[test]
fn a_policy_is_shown_with_who_says_what_and_each_rule_with_where_it_holds() {
    let ended = Fake::saying(200, &policy().to_string()).run(&["policy", "show", "--host", "web1"]);
    assert_eq!(ended.exit, 0, "{ended:?}");
    for line in [
        "host   web1",
        "require_token  true   group web",
        "office  allow            source 192.0.2.0/24; service sudo",
        "last    require-any-otp  always",
    ] {
        assert!(ended.stdout.lines().any(|shown| shown == line), "{ended:?} lacks {line:?}");
    }
}

/// covers: A10
#[test]
fn a_trial_is_asked_with_all_that_was_said_and_names_the_rule() {
    let fake = Fake::saying(200, &policy_trial().to_string());
    let words =
        ["policy", "try", "--user", "alice", "--host", "web1", "--service", "sshd", "--from", "192.0.2.7"];
    let ended = fake.run(&[&words[..], &["--at", "2026-12-01T09:00:00Z", "--verbose"]].concat());
    assert!(
        ended.stderr.contains(
            "GET /v1/policy/try?user=alice&host=web1&service=sshd&from=192%2E0%2E2%2E7&at=2026-12-01T09%3A00%3A00Z: 200"
        ),
        "{ended:?}"
    );
    for line in ["rule      office", "then      deny", "roll-out  grace", "why       denied_by_rule, because"]
    {
        assert!(ended.stdout.lines().any(|shown| shown == line), "{ended:?} lacks {line:?}");
    }
}

/// covers: A10
#[test]
fn a_host_that_nobody_knows_ends_with_4_and_a_time_that_is_none_with_2() {
    let unknown = json!({"error": {"code": "not_found", "message": "no host \"web9\""}});
    let fake = Fake::saying(404, &unknown.to_string());
    assert_eq!(fake.run(&["policy", "try", "--user", "alice", "--host", "web9"]).exit, 4);
    assert_eq!(fake.run(&["policy", "show", "--host", "web9"]).exit, 4);
    for wrong in [&["--at", "noon"][..], &["--user", ""], &["--until", "x"]] {
        let ended = fake.run(&[&["policy", "try", "--user", "alice"], wrong].concat());
        assert_eq!(ended.exit, 2, "{wrong:?}: {ended:?}");
    }
}

/// covers: P9
#[test]
fn a_roll_out_is_shown_by_place_with_since_when_it_was_counted() {
    let ended = Fake::saying(200, &rollout_status().to_string()).run(&["rollout", "status"]);
    let row = ended.stdout.lines().nth(1).unwrap_or_default();
    let cells: Vec<&str> = row.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
    assert_eq!(cells, ["group web", "observe", "2026-12-01", "9", "4", "3", "17"], "{ended:?}");
    assert!(ended.stderr.contains("logins since 2026-11-01T00:00:00Z"), "{ended:?}");
}
