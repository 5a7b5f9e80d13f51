//! The ledger from outside, for scenarios in which it dies, loses power, or finds its files damaged.
//!
//! Speaks to the ledger by its public interface only, and says in the words of the history checker what a store
//! holds: a credential is a token, a claim is an accept with its record, a counted wrong code is a refusal. Its
//! entries are large on purpose, so that a commit is several pages and half of one can be seen.
//!
//! Not part of `system-tests`, because these scenarios need neither root nor a sandbox, and because a changed
//! ledger must not build every test of the whole system anew.

#![forbid(unsafe_code)]

pub mod script;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use ledger::embedded::{EmbeddedLedger, LedgerOpenError};
use ledger::{
    AuditEntry, Change, Claim, ClaimId, Contents, CredentialId, Entry, Ledger, Outcome, Refusal, StartState,
};
use system_tests::history::{Answer, Evidence, History, Standing};
use wire::admin::AuditRecord;
use wire::login::Verdict;

/// The key of every store here.
pub const KEY: [u8; 32] = [42; 32];

/// How many credentials there are, so that a batch holds claims on several.
pub const TOKENS: u8 = 8;

/// How many records are written beside a claim, and how long each is: together more than two pages.
const PARTS: u8 = 20;
const PART_BYTES: usize = 500;

/// Sorts of records: what goes beside a claim, and counts of wrong codes.
const PART: u8 = 1;
const FAILURES: u8 = 2;

/// Makes a store with [`TOKENS`] credentials at 0, and closes it.
///
/// # Panics
/// When that fails.
pub fn make_store(dir: &Path) {
    EmbeddedLedger::create(dir, &KEY).expect("an empty folder takes a store");
    let ledger = open(dir).expect("a new store opens");
    let changes = (0..TOKENS).map(|token| Change::AddCredential { credential: credential(token), value: 0 });
    let made = ledger.submit(Entry { changes: changes.collect(), ..Entry::default() }).wait();
    assert_eq!(made, Outcome::Committed);
    ledger.close().expect("it closes");
}

/// Opens a store. A commit that fails aborts the process, as the daemon does.
///
/// # Errors
/// As the ledger says.
pub fn open(dir: &Path) -> Result<EmbeddedLedger, LedgerOpenError> {
    loop {
        match EmbeddedLedger::open(dir, &KEY, Box::new(|message| panic!("fatal: {message}"))) {
            // A process that another test is starting has all that was open here until it runs its own program.
            Err(LedgerOpenError::InUse { .. }) => wait_until_free(dir),
            opened => return opened,
        }
    }
}

fn wait_until_free(dir: &Path) {
    let lock = File::open(dir.join("lock")).expect("whoever uses a store has made it");
    lock.lock().expect("it can be waited for");
}

/// An accept: the claim, what is written beside it, and its record.
///
/// * `attempt`: tells apart those who try the same.
pub fn accept(token: u8, to: u64, attempt: u8) -> Entry {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&to.to_be_bytes());
    id[8..10].copy_from_slice(&[token, attempt]);
    let parts = (0..PARTS).map(|part| put(PART, vec![token, part], to, PART_BYTES));
    let record = AuditRecord {
        verdict: Some("allow".into()),
        reason: "accepted".into(),
        detail: Some(format!("step {to}")),
        token: Some(serial(token)),
        ..record(token)
    };
    Entry {
        claim: Some(Claim { credential: credential(token), to, id: ClaimId(id) }),
        changes: parts.chain([put(FAILURES, vec![token], 0, 8)]).collect(),
        audit: Some(audit([b'A', attempt, token], to, &record)),
    }
}

/// A wrong code: the count, and its record.
///
/// * `nth`: unique among the token's refusals.
/// * `failures`: the new count.
pub fn refusal(token: u8, nth: u64, failures: u64) -> Entry {
    let record = AuditRecord { verdict: Some("deny".into()), reason: "wrong_code".into(), ..record(token) };
    Entry {
        claim: None,
        changes: vec![put(FAILURES, vec![token], failures, 8)],
        audit: Some(audit([b'W', 0, token], nth, &record)),
    }
}

/// What a client is told about an accept.
pub fn accepted(token: u8, to: u64, attempt: u8) -> Answer {
    answer(token, Verdict::Allow, reference([b'A', attempt, token], to))
}

/// What a client is told about a wrong code.
pub fn refused(token: u8, nth: u64) -> Answer {
    answer(token, Verdict::Deny, reference([b'W', 0, token], nth))
}

/// What a store says in the end.
///
/// # Errors
/// What is not whole, or cannot be read.
pub fn evidence(ledger: &EmbeddedLedger) -> Result<Evidence, String> {
    let contents = ledger.load().map_err(|error| said(&error))?;
    let mut trail = Vec::new();
    loop {
        let after = trail.len() as u64;
        let lines = ledger.audit_after(after, 1_000).map_err(|error| said(&error))?;
        if lines.is_empty() {
            break;
        }
        for line in lines {
            let record: AuditRecord =
                serde_json::from_slice(&line.body).map_err(|error| error.to_string())?;
            let reference = reference_text(line.reference);
            trail.push(AuditRecord { sequence: line.sequence, reference, ..record });
        }
    }
    let report = ledger.audit_verify().map_err(|error| said(&error))?;
    if report.broken_at.is_some() || report.records != trail.len() as u64 {
        return Err(format!("the audit chain: {report:?}, and {} lines", trail.len()));
    }
    Ok(Evidence { trail, standings: standings(&contents)? })
}

/// Everything that a store must show after a fault.
///
/// * `history`: what clients were told before.
///
/// # Errors
/// What is wrong, in one line.
pub fn judge(dir: &Path, history: &History) -> Result<(), String> {
    let ledger = open(dir).map_err(|error| said(&error))?;
    if let state @ StartState::Short { .. } = ledger.start_state() {
        return Err(format!("commits are missing: {state:?}"));
    }
    let found = evidence(&ledger)?;
    if let Some(contradiction) = history.contradictions(&found).first() {
        return Err(contradiction.to_string());
    }
    resubmit(&ledger, &found)?;
    ledger.close().map_err(|error| said(&error))?;
    let again = open(dir).map_err(|error| said(&error))?;
    match again.start_state() {
        StartState::Clean => Ok(()),
        state => Err(format!("closed in order, and found {state:?}")),
    }
}

/// Sends everything that was ever accepted once more, in another login's name, and then what comes next.
fn resubmit(ledger: &EmbeddedLedger, found: &Evidence) -> Result<(), String> {
    for token in 0..TOKENS {
        let next = found.standings.get(&serial(token)).ok_or("a credential is gone")?.next;
        for to in 1..=next {
            let expected = to == next;
            let outcome = ledger.submit(accept(token, to, AFTER)).wait();
            let is_refused = matches!(outcome, Outcome::NotCommitted(Refusal::Superseded { .. }));
            if expected != (outcome == Outcome::Committed) || expected == is_refused {
                return Err(format!("token {token} at {next}: {to} sent once more was {outcome:?}"));
            }
        }
    }
    Ok(())
}

/// The attempt of who comes after the fault.
const AFTER: u8 = 99;

/// Where the tokens stand; each with all that was written beside its last claim.
fn standings(contents: &Contents) -> Result<BTreeMap<String, Standing>, String> {
    let values: BTreeMap<CredentialId, u64> =
        contents.credentials.iter().map(|credential| (credential.id, credential.value)).collect();
    let records: BTreeMap<(u8, &[u8]), u64> = contents
        .records
        .iter()
        .map(|record| ((record.kind, record.key.as_slice()), number(&record.value)))
        .collect();
    let mut standings = BTreeMap::new();
    for token in 0..TOKENS {
        let value = *values.get(&credential(token)).ok_or(format!("token {token} is gone"))?;
        for part in 0..PARTS {
            let beside = records.get(&(PART, &[token, part][..])).copied().unwrap_or_default();
            if beside != value {
                return Err(format!(
                    "token {token} stands at {value}, and part {part} beside it at {beside}"
                ));
            }
        }
        let failures = records.get(&(FAILURES, &[token][..])).copied().unwrap_or_default() as u32;
        let standing = Standing { user: Some(user(token)), next: value + 1, failures };
        standings.insert(serial(token), standing);
    }
    Ok(standings)
}

fn put(kind: u8, key: Vec<u8>, number: u64, length: usize) -> Change {
    let mut value = vec![0; length];
    value[..8].copy_from_slice(&number.to_be_bytes());
    Change::Put { kind, key, value }
}

fn number(value: &[u8]) -> u64 {
    let head = value[..8].try_into().expect("eight bytes");
    u64::from_be_bytes(head)
}

fn credential(token: u8) -> CredentialId {
    CredentialId([token + 1; 16])
}

fn serial(token: u8) -> String {
    format!("token{token}")
}

fn user(token: u8) -> String {
    format!("user{token}")
}

fn record(token: u8) -> AuditRecord {
    AuditRecord { event: "login".into(), user: Some(user(token)), ..AuditRecord::default() }
}

fn answer(token: u8, verdict: Verdict, reference: [u8; 8]) -> Answer {
    Answer { user: user(token), code: String::new(), verdict, reference: reference_text(reference) }
}

fn audit(kind: [u8; 3], number: u64, record: &AuditRecord) -> AuditEntry {
    let body = serde_json::to_vec(record).expect("texts and numbers");
    AuditEntry { reference: reference(kind, number), body }
}

fn reference(kind: [u8; 3], number: u64) -> [u8; 8] {
    let mut bytes = number.to_be_bytes();
    bytes[..3].copy_from_slice(&kind);
    bytes
}

fn reference_text(bytes: [u8; 8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An error with its causes.
fn said(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
