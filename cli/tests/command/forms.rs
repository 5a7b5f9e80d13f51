//! Every verb: what is asked of the daemon, and what is printed in each form.

use std::ops::RangeInclusive;

use serde_json::{Value, json};

use crate::fake::{Fake, Reply};

pub fn alice() -> Value {
    json!({"name": "alice", "otp": "on", "activated": false, "grace_logins_left": 4,
        "tokens": [{"serial": "PT1", "type": "totp", "is_app": true, "state": "assigned"}], "recovery_codes_left": 9})
}

pub fn token() -> Value {
    json!({"serial": "PT1", "user": "alice", "type": "totp", "algorithm": "SHA1", "digits": 6, "time_interval": 30,
        "state": "assigned", "failures": 0, "created": "2026-11-01T08:00:00Z"})
}

pub fn record(sequence: u64, user: &str) -> Value {
    json!({"sequence": sequence, "at": "2026-11-01T08:00:00Z", "reference": "7K2M-9QXD", "event": "login",
        "verdict": "deny", "reason": "replayed", "detail": "used 12 s ago", "user": user, "service": "sshd",
        "rhost": "192.0.2.1"})
}

pub fn status(ready: bool, reasons: &[&str]) -> Value {
    json!({"api_version": 1, "kind": "status", "version": "0.1.0", "ready": ready, "reasons": reasons,
        "started": "2026-11-01T08:00:00Z", "users": 2, "tokens": 1, "codes_evaluated": 9, "accepted": 3, "refused": 1,
        "store_start": "clean"})
}

pub fn list(kind: &str, items: &[Value]) -> String {
    json!({"api_version": 1, "kind": kind, "items": items}).to_string()
}

pub fn decision(record: Value) -> String {
    json!({"api_version": 1, "kind": "decision", "record": record}).to_string()
}

/// Runs one verb against one answer; compares the request, the exit code and the table.
fn check(words: &[&str], body: &str, asked: &str, table: &str) {
    let fake = Fake::saying(200, body);
    let ended = fake.run(words);
    assert_eq!((ended.exit, ended.stdout.as_str()), (0, table), "{words:?}: {}", ended.stderr);
    assert_eq!(fake.next().line, asked);
}

#[test]
fn users_are_listed_in_columns() {
    let table = "USER   OTP  ACTIVATED  GRACE          LAST LOGIN  TOKENS\n\
                 alice  on   no         4 logins left  -           PT1\n";
    check(&["user", "list"], &list("user_list", &[alice()]), "GET /v1/users", table);
}

#[test]
fn a_user_is_shown() {
    let table = "name            alice\notp             on\nactivated       no\ngrace           4 logins left\n\
                 last login      -\ntokens          PT1 (totp, assigned)\nrecovery codes  9 left\n";
    check(&["user", "show", "alice"], &alice().to_string(), "GET /v1/users/alice", table);
}

#[test]
fn tokens_are_listed_in_columns() {
    let table = "SERIAL  USER   TYPE             STATE     FAILURES  CREATED               LAST ACCEPTED\n\
                 PT1     alice  totp SHA1/6/30s  assigned  0         2026-11-01T08:00:00Z  -\n";
    check(&["token", "list"], &list("token_list", &[token()]), "GET /v1/tokens", table);
}

#[test]
fn a_token_is_shown() {
    let table = "serial         PT1\nuser           alice\ntype           totp SHA1/6/30s\nnext counter   -\n\
                 time drift     -\nstate          assigned\nfailures       0\n\
                 created        2026-11-01T08:00:00Z\nassociated     -\nlast accepted  -\n";
    check(&["token", "show", "PT1"], &token().to_string(), "GET /v1/tokens/PT1", table);
}

#[test]
fn a_decision_is_explained() {
    let table = "reference  7K2M-9QXD\nevent      login\nverdict    deny\nwhy        replayed, used 12 s ago\n\
                 rule       -\nroll-out   -\nat         2026-11-01T08:00:00Z\nuser       alice\nservice    sshd\n\
                 host       -\nfrom       192.0.2.1\n\
                 terminal   -\nasked by   -\ntoken      -\ndone by    -\nsequence   7\n";
    check(&["explain", "7k2m9qxd"], &decision(record(7, "alice")), "GET /v1/decisions/7K2M-9QXD", table);
}

#[test]
fn a_status_without_complaint_is_exit_0() {
    let table = "ready            yes\nreasons          -\nversion          0.1.0\n\
                 started          2026-11-01T08:00:00Z\nstore at start   clean\nusers            2\n\
                 tokens           1\ncodes evaluated  9\naccepted         3\nrefused          1\n\
                 audit sinks      -\nhosts            -\nmails            -\n";
    check(&["status"], &status(true, &[]).to_string(), "GET /v1/status", table);
}

#[test]
fn a_whole_audit_trail_is_exit_0() {
    let body = json!({"api_version": 1, "kind": "audit_check", "whole": true, "records": 9, "head": "ab12"});
    let table = "whole       yes\nrecords     9\nremoved     0\nbroken      -\nwitness     -\nhead        ab12\ncheckpoint  -\n";
    check(&["audit", "verify"], &body.to_string(), "GET /v1/audit/verify", table);
}

#[test]
fn turning_a_user_on_needs_no_consent_and_says_what_follows() {
    let fake = Fake::saying(200, &alice().to_string());
    let ended = fake.run(&["user", "set", "alice", "--otp", "on"]);
    assert_eq!((ended.exit, ended.stderr.as_str()), (0, "the next login of alice shows the QR code\n"));
    let asked = fake.next();
    assert_eq!((asked.line.as_str(), asked.body.as_str()), ("PUT /v1/users/alice/otp", r#"{"otp":"on"}"#));
}

#[test]
fn quiet_keeps_the_words_and_leaves_the_data() {
    let ended = Fake::saying(200, &alice().to_string()).run(&["-q", "user", "set", "alice", "--otp", "on"]);
    assert_eq!((ended.exit, ended.stderr.as_str()), (0, ""));
    assert!(ended.stdout.starts_with("name            alice\n"));
}

#[test]
fn verbose_says_what_was_asked() {
    let ended = Fake::saying(200, &alice().to_string()).run(&["-v", "user", "show", "alice"]);
    assert!(ended.stderr.contains("GET /v1/users/alice: 200"), "{}", ended.stderr);
}

#[test]
fn ndjson_has_one_line_for_each_item() {
    let ended =
        Fake::saying(200, &list("user_list", &[alice(), alice()])).run(&["user", "list", "-o", "ndjson"]);
    let lines: Vec<Value> =
        ended.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON in each line")).collect();
    assert_eq!(lines, [alice(), alice()]);
}

#[test]
fn an_empty_list_is_its_header_alone() {
    let ended = Fake::saying(200, &list("token_list", &[])).run(&["token", "list"]);
    assert_eq!(ended.stdout.lines().count(), 1);
}

/// A trail of 2,500 records, every tenth of them alice's; retention has removed some. It looks at 400 for each page.
fn trail_without(gone: RangeInclusive<u64>) -> Fake {
    Fake::new(move |line| {
        let (_, query) = line.split_once('?').expect("a query");
        let said = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        let number = |name: &str| said(name).map(|value| value.parse::<u64>().expect("a number"));
        let limit = number("limit").expect("a limit");
        assert!((1..=1_000).contains(&limit), "{line}");
        let is_newest = said("order").expect("an order") == "newest";
        let user = |sequence: u64| if sequence.is_multiple_of(10) { "alice" } else { "bob" };
        let range = number("after").unwrap_or(0) + 1..number("before").unwrap_or(2_501);
        let mut looked: Vec<u64> = range.filter(|sequence| !gone.contains(sequence)).collect();
        if is_newest {
            looked.reverse();
        }
        let end = looked.last().copied();
        looked.truncate(400);
        let wanted = |sequence: &u64| said("user").is_none_or(|name| name == user(*sequence));
        let found: Vec<u64> = looked.iter().copied().filter(wanted).take(limit as usize).collect();
        let last = if found.len() == limit as usize { found.last() } else { looked.last() }.copied();
        let items: Vec<Value> = found.iter().map(|sequence| record(*sequence, user(*sequence))).collect();
        let next = last.filter(|_| last != end);
        let page =
            json!({"api_version": 1, "kind": "audit_page", "items": items, "newest": 2_500, "next": next});
        Reply::Says(200, page.to_string())
    })
}

/// Runs `audit show`; compares the first and last sequence and how many there are.
fn check_trail(words: &[&str], first: u64, last: u64, count: usize) {
    check_trail_without(0..=0, words, first, last, count);
}

fn check_trail_without(gone: RangeInclusive<u64>, words: &[&str], first: u64, last: u64, count: usize) {
    let all = [&["audit", "show", "-o", "json"], words].concat();
    let ended = trail_without(gone).run(&all);
    let page: Value = serde_json::from_str(&ended.stdout).expect(&ended.stderr);
    let items = page["items"].as_array().expect("items");
    let edge = |item: Option<&Value>| item.map(|item| item["sequence"].clone());
    assert_eq!(edge(items.first()), Some(json!(first)), "{words:?}");
    assert_eq!(edge(items.last()), Some(json!(last)), "{words:?}");
    assert_eq!((items.len(), &page["newest"]), (count, &json!(2_500)), "{words:?}");
}

#[test]
fn audit_show_shows_the_newest_records_oldest_first() {
    check_trail(&[], 2_451, 2_500, 50);
    check_trail(&["--limit", "1"], 2_500, 2_500, 1);
    check_trail(&["--limit", "1700"], 801, 2_500, 1_700);
    check_trail(&["--limit", "9000"], 1, 2_500, 2_500);
}

#[test]
fn audit_show_after_a_sequence_goes_forward() {
    check_trail(&["--after", "0", "--limit", "2"], 1, 2, 2);
    check_trail(&["--after", "600", "--limit", "1500"], 601, 2_100, 1_500);
    check_trail(&["--after", "2490"], 2_491, 2_500, 10);
}

#[test]
fn audit_show_finds_one_user_across_pages() {
    check_trail(&["--user", "alice", "--limit", "120"], 1_310, 2_500, 120);
    check_trail(&["--user", "alice", "--after", "95", "--limit", "3"], 100, 120, 3);
}

// covers: P7
#[test]
fn audit_show_goes_over_what_retention_has_removed() {
    check_trail_without(41..=2_490, &["--limit", "30"], 21, 2_500, 30);
    check_trail_without(1..=2_499, &["--limit", "30"], 2_500, 2_500, 1);
    check_trail_without(41..=2_490, &["--after", "30", "--limit", "15"], 31, 2_495, 15);
    check_trail_without(11..=2_499, &["--user", "alice"], 10, 2_500, 2);
    check_trail_without(100..=1_700, &["--limit", "850"], 50, 2_500, 850);
}

// covers: P7
#[test]
fn audit_show_asks_for_a_host_an_event_a_text_and_a_time() {
    let page =
        json!({"api_version": 1, "kind": "audit_page", "items": [record(7, "x")], "newest": 9}).to_string();
    let check = |words: &[&str], query: &str| {
        let fake = Fake::saying(200, &page);
        let ended = fake.run(&[&["audit", "show", "-o", "json"], words].concat());
        assert_eq!(ended.exit, 0, "{}", ended.stderr);
        assert_eq!(fake.lines(), [format!("GET /v1/audit?{query}")], "{words:?}");
    };
    check(&[], "order=newest&limit=50");
    check(&["--host", "web1"], "order=newest&limit=50&host=web1");
    check(
        &["--host=-", "--event", "login", "--after", "0"],
        "order=oldest&after=0&limit=50&host=-&event=login",
    );
    check(&["--text", "a&b=c d"], "order=newest&limit=50&text=a%26b%3Dc%20d");
    check(
        &["--since", "2026-11-01T22:00:00+02:00", "--until", "2026-11-02", "--limit", "1"],
        "order=newest&limit=1&since=2026-11-01T20%3A00%3A00Z&until=2026-11-03T00%3A00%3A00Z",
    );
}

#[test]
fn audit_show_ends_where_the_daemon_goes_round_in_circles() {
    let page =
        json!({"api_version": 1, "kind": "audit_page", "items": [], "newest": 9, "next": 4}).to_string();
    for words in [&["audit", "show"][..], &["audit", "show", "--after", "4"]] {
        let fake = Fake::saying(200, &page);
        assert_eq!(fake.run(words).exit, 0);
        assert!(fake.lines().len() <= 2, "{words:?}");
    }
}

#[test]
fn audit_show_after_what_is_no_number_says_so_in_one_line() {
    let ended = Fake::new(|_| Reply::Hangup).run(&["audit", "show", "--after", "x"]);
    assert_eq!(ended.exit, 2);
    let first = ended.stderr.lines().next().unwrap_or_default();
    assert!(first.contains("'--after <SEQUENCE>': a whole number is needed"), "{first}");
}

#[test]
fn audit_show_of_an_empty_trail_is_empty() {
    let page = json!({"api_version": 1, "kind": "audit_page", "items": [], "newest": 0}).to_string();
    let ended = Fake::saying(200, &page).run(&["audit", "show"]);
    assert_eq!((ended.exit, ended.stdout.lines().count()), (0, 1));
}

#[test]
fn version_asks_nobody() {
    let ended = Fake::new(|_| Reply::Hangup).run(&["version"]);
    assert_eq!((ended.exit, ended.stdout), (0, format!("postern {}\n", env!("CARGO_PKG_VERSION"))));
}
