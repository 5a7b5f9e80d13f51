use serde_json::json;

use super::*;
use crate::journal::Sent;

fn told(user: &str, step: Option<u64>, verdict: Verdict, reference: &str) -> Line {
    Line {
        user: user.to_owned(),
        step,
        request_id: "r".to_owned(),
        sent: if step.is_some() { Sent::Valid } else { Sent::Wrong },
        sent_at_ms: 0,
        verdict,
        reference: (verdict != Verdict::Unknown).then(|| reference.to_owned()),
    }
}

fn recorded(sequence: u64, user: &str, step: u64, verdict: &str, reference: &str) -> AuditRecord {
    let record = json!({
        "sequence": sequence, "at": "", "reference": reference, "event": "login", "verdict": verdict,
        "reason": "accepted", "detail": format!("step {step}"), "user": user, "token": format!("PT-{user}"),
    });
    serde_json::from_value(record).unwrap()
}

#[track_caller]
fn check(journal: &[Line], trail: &[AuditRecord], expected: &[&str]) {
    let found = compare(journal, trail);
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found}");
    }
}

#[test]
fn accepts_of_different_steps_with_their_records_agree() {
    let journal = [
        told("alice", Some(1), Verdict::Allow, "A"),
        told("alice", Some(1), Verdict::Deny, "B"),
        told("alice", Some(2), Verdict::Allow, "C"),
        told("bob", Some(1), Verdict::Allow, "D"),
        told("bob", None, Verdict::Deny, "E"),
    ];
    let trail = [
        recorded(1, "alice", 1, "allow", "A"),
        recorded(2, "alice", 2, "allow", "C"),
        recorded(3, "bob", 1, "allow", "D"),
    ];
    check(&journal, &trail, &[]);
}

#[test]
fn a_step_that_was_accepted_twice_is_named() {
    let journal = [told("alice", Some(1), Verdict::Allow, "A"), told("alice", Some(1), Verdict::Allow, "B")];
    let trail = [recorded(1, "alice", 1, "allow", "A"), recorded(2, "alice", 1, "allow", "B")];
    let expected = [
        "accepted twice: \"alice\", step 1, request r, reference A and \"alice\", step 1, request r, reference B",
        "accepted twice: audit records 1 and 2, both step 1 of \"alice\"",
    ];
    check(&journal, &trail, &expected);
}

#[test]
fn an_accept_whose_reply_was_lost_counts_as_one() {
    let journal = [told("alice", Some(1), Verdict::Unknown, ""), told("alice", Some(1), Verdict::Allow, "B")];
    check(&journal, &[recorded(2, "alice", 1, "allow", "B")], &[]);
    let both = [recorded(1, "alice", 1, "allow", "A"), recorded(2, "alice", 1, "allow", "B")];
    check(&journal, &both, &["accepted twice: audit records 1 and 2"]);
}

#[test]
fn an_accept_without_its_record_is_named() {
    let journal = [told("alice", Some(1), Verdict::Allow, "A")];
    let expected = ["accepted without a record: \"alice\", step 1, request r, reference A"];
    check(&journal, &[], &expected);
    check(&journal, &[recorded(1, "alice", 1, "deny", "A")], &expected);
    check(&journal, &[recorded(1, "bob", 1, "allow", "A")], &expected);
    check(&journal, &[recorded(1, "alice", 1, "allow", "B")], &expected);
}

#[test]
fn a_wrong_code_that_was_accepted_is_named() {
    let journal = [told("alice", None, Verdict::Allow, "A")];
    check(
        &journal,
        &[recorded(1, "alice", 1, "allow", "A")],
        &["a wrong code was accepted: \"alice\", no step"],
    );
}

#[test]
fn a_new_token_may_use_a_step_again() {
    let mut second = recorded(2, "alice", 1, "allow", "B");
    second.token = Some("PT-new".to_owned());
    check(&[], &[recorded(1, "alice", 1, "allow", "A"), second], &[]);
}

#[test]
fn a_trail_is_one_page_or_several() {
    let page = |sequence| {
        let items = [recorded(sequence, "alice", sequence, "allow", "A")];
        json!({"api_version": 1, "kind": "audit_page", "items": items, "newest": 2}).to_string()
    };
    assert_eq!(parse_trail(&page(1)).unwrap().len(), 1);
    assert_eq!(parse_trail(&format!("{}\n{}\n", page(1), page(2))).unwrap().len(), 2);
    assert!(parse_trail(&page(1).replace("\"api_version\":1", "\"api_version\":2")).is_err());
    assert!(parse_trail("[]").is_err());
    assert!(parse_trail("").is_err(), "an export that failed is not an empty trail");
}
