//! Hosts of the fleet: the join secret, its command, and the other verbs.

use serde_json::{Value, json};

use crate::fake::Fake;
use crate::forms::list;

pub fn host() -> Value {
    json!({"api_version": 1, "kind": "host", "id": "01234567-89ab-4def-8123-456789abcdef", "name": "web1",
        "former_names": ["old1"], "group": "web", "state": "active", "created": "2026-11-01T08:00:00Z",
        "joined": "2026-11-01T08:05:00Z", "revoked": null, "join_until": null,
        "certificate_until": "2026-11-08T08:05:00Z", "last_seen": "2026-11-02T09:00:00Z", "connections": 1,
        "agent_version": "0.5.0", "clock_ahead_seconds": -40,
        "host_code": "6KNEJ-Z4YPJ", "frozen_until": null})
}

pub fn join_secret() -> Value {
    json!({"api_version": 1, "kind": "join_secret", "host": host(), "secret": "AAISEM2E-IVLGO6AX",
        "until": "2026-11-01T08:15:00Z",
        "verifiers": ["https://otp1.example.org:7443", "https://192.0.2.5:7443"]})
}

fn check(words: &[&str], body: &Value, asked: (&str, &str), table: &str) {
    let fake = Fake::saying(200, &body.to_string());
    let ended = fake.run(words);
    assert_eq!((ended.exit, ended.stdout.as_str()), (0, table), "{words:?}: {}", ended.stderr);
    let heard = fake.next();
    assert_eq!((heard.line.as_str(), heard.body.as_str()), asked);
}

const SHOWN: &str = "name               web1
id                 01234567-89ab-4def-8123-456789abcdef
former names       old1
group              web
state              active
created            2026-11-01T08:00:00Z
joined             2026-11-01T08:05:00Z
revoked            -
may join until     -
certificate until  2026-11-08T08:05:00Z
last seen          2026-11-02T09:00:00Z
connections        1
agent              0.5.0
clock              40 s behind
code when cut off  6KNEJ-Z4YPJ
frozen until       -
";

#[test]
fn enrolling_prints_the_secret_and_the_command_that_takes_it() {
    let table = "Join secret of web1, good for one join until 2026-11-01T08:15:00Z:\n\n    AAISEM2E-IVLGO6AX\n\n\
                 Run there, as root, and type it in when it is asked for:\n\n    postern-agent join \
                 --verifier https://otp1.example.org:7443 --verifier https://192.0.2.5:7443\n";
    let asked = |body| ("POST /v1/hosts", body);
    let plain = r#"{"name":"web1","again":false}"#;
    check(&["host", "enrol", "web1"], &join_secret(), asked(plain), table);
    let all = r#"{"name":"web1","group":"web","again":true}"#;
    check(&["host", "enrol", "web1", "--group", "web", "--again"], &join_secret(), asked(all), table);
    let ended = Fake::saying(200, &join_secret().to_string()).run(&["host", "enrol", "web1", "--json"]);
    let document: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(
        (&document["kind"], &document["secret"]),
        (&json!("join_secret"), &json!("AAISEM2E-IVLGO6AX"))
    );
    assert_eq!(ended.stderr, "the secret is not shown again\n");
}

#[test]
fn hosts_are_listed_in_columns_and_shown_one_by_one() {
    let rows = "HOST  GROUP  STATE   LAST SEEN             CERTIFICATE UNTIL     AGENT  CLOCK\n\
                web1  web    active  2026-11-02T09:00:00Z  2026-11-08T08:05:00Z  0.5.0  40 s behind\n";
    let all: Value = serde_json::from_str(&list("host_list", &[host()])).unwrap();
    check(&["host", "list"], &all, ("GET /v1/hosts", ""), rows);
    check(&["host", "show", "web1"], &host(), ("GET /v1/hosts/web1", ""), SHOWN);
}

#[test]
fn a_host_is_renamed_grouped_and_revoked() {
    let rename = ("POST /v1/hosts/web1/rename", r#"{"name":"web2"}"#);
    check(&["host", "rename", "web1", "web2"], &host(), rename, SHOWN);
    let group = |body| ("PUT /v1/hosts/web1/group", body);
    check(&["host", "group", "web1", "db"], &host(), group(r#"{"group":"db"}"#), SHOWN);
    check(&["host", "group", "web1", "--none"], &host(), group(r#"{"group":null}"#), SHOWN);
    check(&["host", "revoke", "web1", "--yes"], &host(), ("POST /v1/hosts/web1/revoke", ""), SHOWN);
}

#[test]
fn revoking_asks_first_and_a_group_is_named_or_none() {
    let fake = Fake::saying(200, &host().to_string());
    let ended = fake.run(&["host", "revoke", "web1"]);
    assert_eq!(ended.exit, 2, "{}", ended.stderr);
    assert!(ended.stderr.contains("`host revoke`"), "{}", ended.stderr);
    assert_eq!(fake.run(&["host", "group", "web1"]).exit, 2);
    assert_eq!(fake.run(&["host", "group", "web1", "db", "--none"]).exit, 2);
    assert_eq!(fake.lines(), Vec::<String>::new());
}
