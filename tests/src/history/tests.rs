//! Histories that keep every rule, and histories that break each of them.

use wire::admin::AuditRecord;
use wire::login::Verdict;

use super::{Answer, Evidence, History, Rule, Standing};

const TOKEN: &str = "2600000000001";

fn answer(reference: &str, verdict: Verdict) -> Answer {
    Answer { user: "alice".into(), code: "111111".into(), verdict, reference: reference.into() }
}

fn allow(reference: &str, step: u64) -> AuditRecord {
    AuditRecord {
        reference: reference.into(),
        event: "login".into(),
        verdict: Some("allow".into()),
        reason: "accepted".into(),
        user: Some("alice".into()),
        token: Some(TOKEN.into()),
        detail: Some(format!("step {step}")),
        ..AuditRecord::default()
    }
}

fn wrong(reference: &str) -> AuditRecord {
    let verdict = Some("deny".into());
    AuditRecord { verdict, reason: "wrong_code".into(), detail: None, token: None, ..allow(reference, 0) }
}

/// * `told`: references that clients got, with an accept or a refusal.
/// * `trail`: the records, which are numbered here.
/// * `next`, `failures`: what is stored.
/// * `expected`: the rules that are broken.
#[track_caller]
fn check(told: &[(&str, Verdict)], trail: &[AuditRecord], next: u64, failures: u32, expected: &[Rule]) {
    let mut history = History::default();
    told.iter().for_each(|(reference, verdict)| history.push(answer(reference, *verdict)));
    let evidence = evidence(trail, next, failures);
    let found = history.contradictions(&evidence);
    assert_eq!(found.iter().map(|it| it.rule).collect::<Vec<_>>(), expected, "{found:?}");
}

fn evidence(trail: &[AuditRecord], next: u64, failures: u32) -> Evidence {
    let numbered = trail.iter().zip(1..).map(|(record, sequence)| AuditRecord { sequence, ..record.clone() });
    let standing = Standing { user: Some("alice".into()), next, failures };
    Evidence { trail: numbered.collect(), standings: [(TOKEN.to_owned(), standing)].into() }
}

use Verdict::{Allow, Deny, Unavailable};

#[test]
fn accepts_and_refusals_that_are_recorded_pass() {
    let trail = [allow("A", 1), wrong("W"), allow("B", 2), wrong("X"), allow("C", 3), wrong("Y")];
    check(&[("A", Allow), ("W", Deny), ("B", Allow), ("Y", Deny)], &trail, 4, 1, &[]);
}

#[test]
fn a_reply_that_was_lost_breaks_nothing() {
    check(&[], &[allow("A", 1), wrong("W")], 2, 1, &[]);
    check(&[("U", Unavailable)], &[], 0, 0, &[]);
}

#[test]
fn a_password_accepted_twice_is_found_in_the_trail() {
    check(&[("A", Allow)], &[allow("A", 1), allow("B", 1)], 2, 0, &[Rule::Once]);
}

#[test]
fn a_password_accepted_twice_under_one_reference_is_found() {
    check(&[("A", Allow), ("A", Allow)], &[allow("A", 1)], 2, 0, &[Rule::Once]);
}

#[test]
fn an_accept_without_a_record_is_found() {
    check(&[("A", Allow)], &[allow("B", 1)], 2, 0, &[Rule::Durable]);
}

#[test]
fn an_accept_that_is_recorded_as_a_refusal_or_for_somebody_else_is_found() {
    check(&[("A", Allow)], &[wrong("A")], 0, 1, &[Rule::Durable]);
    let other = AuditRecord { user: Some("bob".into()), ..allow("A", 1) };
    check(&[("A", Allow)], &[other], 2, 0, &[Rule::Durable]);
}

#[test]
fn a_step_that_falls_in_the_trail_is_found() {
    check(&[], &[allow("A", 1), allow("B", 7), allow("C", 3)], 8, 0, &[Rule::Upwards]);
}

#[test]
fn a_stored_step_below_an_accepted_one_is_found() {
    check(&[], &[allow("A", 7)], 7, 0, &[Rule::Upwards]);
}

#[test]
fn a_stored_step_below_what_was_seen_before_is_found() {
    let mut history = History::default();
    history.saw(&evidence(&[], 9, 0));
    let found = history.contradictions(&evidence(&[allow("A", 1)], 8, 0));
    assert_eq!(found.iter().map(|it| it.rule).collect::<Vec<_>>(), [Rule::Upwards]);
    history.saw(&evidence(&[], 5, 0));
    let found = history.contradictions(&evidence(&[allow("A", 1)], 9, 0));
    assert_eq!(found.iter().map(|it| it.rule).collect::<Vec<_>>(), [Rule::Upwards], "it fell in between");
}

#[test]
fn a_refusal_without_a_record_is_found() {
    check(&[("W", Deny)], &[], 0, 0, &[Rule::Counted]);
}

#[test]
fn a_refusal_missing_in_the_count_is_found() {
    let trail = [wrong("V"), allow("A", 1), wrong("W"), wrong("X")];
    check(&[("V", Deny), ("W", Deny), ("X", Deny)], &trail, 2, 1, &[Rule::Counted]);
    check(&[("V", Deny), ("W", Deny), ("X", Deny)], &trail, 2, 2, &[]);
}

#[test]
fn a_gap_in_the_trail_is_found() {
    let mut gap = evidence(&[allow("A", 1), allow("B", 2), allow("C", 3)], 4, 0);
    gap.trail.remove(1);
    let found = History::default().contradictions(&gap);
    assert_eq!(found.iter().map(|it| it.rule).collect::<Vec<_>>(), [Rule::Whole]);
}
