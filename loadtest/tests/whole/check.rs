use std::path::Path;

use serde_json::{Value, json};

use crate::fake::{Fake, Fault};
use crate::loadtest;

const CHECK: &str = "check --journal {}/journal --audit {}/audit";

/// A journal of a real run, and the accepts in it.
fn journal(fault: Fault) -> (Fake, Vec<Value>) {
    let fake = Fake::start(5, fault);
    loadtest(
        fake.path(),
        "steady --socket {}/socket --secrets {}/secrets --seconds 1 --connections 4 --journal {}/journal",
    );
    let text = std::fs::read_to_string(fake.path().join("journal")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let accepts = lines.filter(|line| line["verdict"] == "allow").collect();
    (fake, accepts)
}

/// Writes the audit trail that a verifier would have kept of these accepts.
fn write_audit(folder: &Path, accepts: &[Value]) {
    let record = |(sequence, line): (usize, &Value)| {
        json!({
            "sequence": sequence + 1, "at": "", "reference": line["reference"], "event": "login",
            "verdict": "allow", "reason": "accepted", "detail": format!("step {}", line["step"]),
            "user": line["user"], "token": line["user"],
        })
    };
    let items: Vec<_> = accepts.iter().enumerate().map(record).collect();
    let page = json!({ "api_version": 1, "kind": "audit_page", "items": items, "newest": items.len() });
    std::fs::write(folder.join("audit"), page.to_string()).unwrap();
}

#[test]
fn a_run_and_its_audit_trail_agree() {
    let (fake, accepts) = journal(Fault::None);
    assert!(!accepts.is_empty());
    write_audit(fake.path(), &accepts);
    loadtest(fake.path(), CHECK).with_code(0).saying("they agree");
}

#[test]
fn an_accept_that_is_not_in_the_trail_is_named() {
    let (fake, accepts) = journal(Fault::None);
    write_audit(fake.path(), &accepts[1..]);
    let reference = accepts[0]["reference"].as_str().unwrap();
    loadtest(fake.path(), CHECK).with_code(1).saying("accepted without a record").saying(reference);
}

#[test]
fn a_step_that_was_accepted_twice_is_named() {
    let (fake, accepts) = journal(Fault::AcceptsTwice);
    write_audit(fake.path(), &accepts);
    loadtest(fake.path(), CHECK)
        .with_code(1)
        .saying("accepted twice: \"user")
        .saying("accepted twice: audit records");
}

#[test]
fn a_file_that_is_something_else_is_refused() {
    let (fake, _) = journal(Fault::None);
    std::fs::write(fake.path().join("audit"), "SEQUENCE  AT\n").unwrap();
    loadtest(fake.path(), CHECK).with_code(2).saying("is not an audit trail");
}
