//! The rules, one function each.

use std::collections::{BTreeMap, BTreeSet};

use wire::admin::AuditRecord;
use wire::login::Verdict;

use super::{Answer, Contradiction, Evidence, History, Rule};

/// Reasons of a refusal that counts against the user's token.
const COUNTED: [&str; 3] = ["wrong_code", "out_of_step", "malformed"];

/// Events of administration that clear a user's count, or give him another token.
const CLEARING: [&str; 4] = ["user_unlocked", "user_otp_on", "user_otp_off", "token_assigned"];

/// All rules.
pub fn all(history: &History, evidence: &Evidence) -> Vec<Contradiction> {
    let records: BTreeMap<&str, &AuditRecord> =
        evidence.trail.iter().map(|record| (record.reference.as_str(), record)).collect();
    [
        once(history, evidence, &records),
        durable(history, &records),
        upwards(history, evidence),
        counted(history, evidence, &records),
        whole(evidence),
    ]
    .concat()
}

type Records<'a> = BTreeMap<&'a str, &'a AuditRecord>;

fn once(history: &History, evidence: &Evidence, records: &Records<'_>) -> Vec<Contradiction> {
    let by_trail = twice(evidence.trail.iter().filter(|record| is_allow(record)).map(password));
    let recorded = history.accepts().filter_map(|answer| record_of(answer, records));
    let by_clients = twice(recorded.map(password));
    let say = |who, passwords: Vec<[String; 3]>| {
        let lines = passwords.into_iter().map(move |[user, token, factor]| {
            contradiction(Rule::Once, format!("{factor} of {user}'s token {token}, {who}"))
        });
        lines.collect::<Vec<_>>()
    };
    [say("says the trail", by_trail), say("say the clients", by_clients)].concat()
}

fn durable(history: &History, records: &Records<'_>) -> Vec<Contradiction> {
    let lost = history.accepts().filter(|answer| record_of(answer, records).is_none());
    lost.map(|answer| contradiction(Rule::Durable, describe(answer))).collect()
}

fn upwards(history: &History, evidence: &Evidence) -> Vec<Contradiction> {
    let mut found = Vec::new();
    let mut newest: BTreeMap<&str, u64> = BTreeMap::new();
    for record in evidence.trail.iter().filter(|record| is_allow(record)) {
        let Some((token, factor)) = record.token.as_deref().zip(factor(record)) else { continue };
        if let Some(before) = newest.insert(token, factor).filter(|before| *before > factor) {
            found
                .push(contradiction(Rule::Upwards, format!("{token}: {factor} was accepted after {before}")));
        }
    }
    let mut floors: BTreeMap<&str, u64> =
        newest.into_iter().map(|(token, factor)| (token, factor + 1)).collect();
    // What was seen in between must not be undercut later, by what was seen next or by the end.
    for (token, standing) in history.seen.iter().flat_map(|seen| &seen.standings) {
        let floor = floors.entry(token).or_default();
        *floor = (*floor).max(standing.next);
    }
    for (token, floor) in floors {
        if let Some(standing) = evidence.standings.get(token).filter(|standing| standing.next < floor) {
            let text = format!("{token}: {} is next, where {floor} was reached", standing.next);
            found.push(contradiction(Rule::Upwards, text));
        }
    }
    found.extend(fell_in_between(history));
    found
}

fn fell_in_between(history: &History) -> Vec<Contradiction> {
    let mut reached: BTreeMap<&str, u64> = BTreeMap::new();
    let mut found = Vec::new();
    for (token, standing) in history.seen.iter().flat_map(|seen| &seen.standings) {
        let before = reached.insert(token, standing.next);
        if let Some(before) = before.filter(|before| *before > standing.next) {
            let text = format!("{token}: {} is next, where {before} was seen before", standing.next);
            found.push(contradiction(Rule::Upwards, text));
        }
    }
    found
}

fn counted(history: &History, evidence: &Evidence, records: &Records<'_>) -> Vec<Contradiction> {
    let refused = || history.answers.iter().filter(|answer| answer.verdict == Verdict::Deny);
    let lost = refused().filter(|answer| !records.contains_key(answer.reference.as_str()));
    let mut found: Vec<_> = lost.map(|answer| contradiction(Rule::Counted, describe(answer))).collect();

    // Counted since the user's last accept, by the trail, and told to a client.
    let told: BTreeSet<&str> = refused().map(|answer| answer.reference.as_str()).collect();
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for record in &evidence.trail {
        let Some(user) = record.user.as_deref() else { continue };
        if is_allow(record) || CLEARING.contains(&record.event.as_str()) {
            counts.remove(user);
        } else if COUNTED.contains(&record.reason.as_str()) && told.contains(record.reference.as_str()) {
            *counts.entry(user).or_default() += 1;
        }
    }
    for (user, count) in counts {
        let theirs = evidence.standings.values().filter(|it| it.user.as_deref() == Some(user));
        // Of several tokens a code counts against those it could have been a code of.
        let Some(stored) = theirs.map(|standing| standing.failures).max() else { continue };
        if stored < count {
            let text = format!("{user} was refused {count} times in a row, {stored} are stored");
            found.push(contradiction(Rule::Counted, text));
        }
    }
    found
}

fn whole(evidence: &Evidence) -> Vec<Contradiction> {
    let broken = evidence.trail.iter().zip(1..).find(|(record, expected)| record.sequence != *expected);
    let say = |(record, expected): (&AuditRecord, u64)| {
        contradiction(Rule::Whole, format!("{} stands where {expected} belongs", record.sequence))
    };
    broken.map(say).into_iter().collect()
}

fn contradiction(rule: Rule, found: String) -> Contradiction {
    Contradiction { rule, found }
}

fn describe(answer: &Answer) -> String {
    format!("{}, reference {}, {:?}", answer.user, answer.reference, answer.verdict)
}

fn is_allow(record: &AuditRecord) -> bool {
    record.verdict.as_deref() == Some("allow")
}

/// The record of an accept as it must be.
fn record_of<'a>(answer: &Answer, records: &Records<'a>) -> Option<&'a AuditRecord> {
    let record = records.get(answer.reference.as_str()).copied()?;
    (is_allow(record) && record.user.as_deref() == Some(answer.user.as_str())).then_some(record)
}

/// The user, the token and the step or counter of an accepted login: what may be accepted once.
fn password(record: &AuditRecord) -> [String; 3] {
    let factor =
        factor(record).map_or_else(|| record.detail.clone().unwrap_or_default(), |factor| factor.to_string());
    [record.user.clone().unwrap_or_default(), record.token.clone().unwrap_or_default(), factor]
}

/// The moving factor of an accepted code: `step 59844730`, `counter 17`.
fn factor(record: &AuditRecord) -> Option<u64> {
    let detail = record.detail.as_deref()?;
    let rest = ["step ", "counter "].iter().find_map(|mark| detail.split_once(mark))?.1;
    rest.split(|it: char| !it.is_ascii_digit()).next()?.parse().ok()
}

/// What occurs more than once.
fn twice<T: Ord>(all: impl Iterator<Item = T>) -> Vec<T> {
    let mut times = BTreeMap::new();
    all.for_each(|one| *times.entry(one).or_insert(0_u32) += 1);
    times.into_iter().filter(|(_, times)| *times > 1).map(|(one, _)| one).collect()
}
