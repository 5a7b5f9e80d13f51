//! Damage: whatever byte is changed in whatever file, a claim's value is never silently wrong.

use std::path::Path;

use rusqlite::Connection;

use super::{
    KEY, add, audit_entry, claim, commit, copy_store, new_store, open, scratch, standing, write_file,
};
use crate::embedded::{EmbeddedLedger, LedgerOpenError};
use crate::{Change, Entry, Ledger, Outcome, StartState};

/// Where the claims of these tests stand at last.
const VALUE: u64 = 9;

// covers: G05
#[test]
fn a_byte_changed_in_a_closed_store_is_refused_or_does_no_harm() {
    let dir = busy_store();
    open(dir.path()).close().expect("it can be closed");
    let flips = flip_everywhere(dir.path(), "store", 17);
    assert!(flips.refused > 0 && flips.harmless > 0, "{flips:?}");
    assert_eq!(flips.noticed, 0, "damage that is not refused must not cost a claim: {flips:?}");
}

// covers: G05
#[test]
fn a_byte_changed_in_the_log_never_costs_a_claim_silently() {
    let flips = flip_everywhere(busy_store().path(), "store-wal", 41);
    assert!(flips.noticed > 0, "{flips:?}");
}

// covers: G05
#[test]
fn any_byte_changed_in_the_mark_is_refused() {
    let flips = flip_everywhere(busy_store().path(), "mark", 1);
    assert_eq!((flips.harmless, flips.noticed), (0, 0), "{flips:?}");
}

#[derive(Debug, Default)]
struct Flips {
    /// The store does not open.
    refused: usize,
    /// All values are right.
    harmless: usize,
    /// A value is missing or too low, and the start was not clean.
    noticed: usize,
}

fn flip_everywhere(live: &Path, name: &str, stride: usize) -> Flips {
    let bytes = std::fs::read(live.join(name)).expect("the file is there");
    let dir = scratch();
    let mut flips = Flips::default();
    for at in (0..bytes.len()).step_by(stride) {
        copy_store(live, dir.path());
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at / stride % 8);
        write_file(dir.path(), name, &changed);
        match try_open(dir.path()) {
            Err(_) => flips.refused += 1,
            Ok(ledger) => {
                if standing(&ledger, 1) == Some(VALUE) && standing(&ledger, 2) == Some(0) {
                    flips.harmless += 1;
                } else {
                    assert_ne!(
                        ledger.start_state(),
                        StartState::Clean,
                        "{name} changed at {at}: {:?}",
                        ledger.load()
                    );
                    flips.noticed += 1;
                }
                check_later(ledger, dir.path(), at);
            }
        }
    }
    flips
}

/// What a damaged store that opened does later: it may end, but not with a claim taken back.
fn check_later(ledger: EmbeddedLedger, dir: &Path, at: usize) {
    let before = standing(&ledger, 1);
    // Either may fail in a page that is damaged, and end the ledger.
    let outcome = ledger.submit(claim(1, VALUE + 1, 99)).wait();
    let _ = ledger.audit_verify();
    let claimed = (outcome == Outcome::Committed).then_some(VALUE + 1);
    drop(ledger);
    if let (Ok(ledger), Some(claimed)) = (try_open(dir), claimed.or(before)) {
        assert!(standing(&ledger, 1) >= Some(claimed), "changed at {at}");
    }
}

// covers: G05
#[test]
fn garbage_after_the_end_does_no_harm() {
    for name in ["store", "store-wal"] {
        let dir = busy_store();
        let mut bytes = std::fs::read(dir.path().join(name)).expect("the file is there");
        bytes.extend_from_slice(&[0xa5; 9000]);
        write_file(dir.path(), name, &bytes);
        let ledger = open(dir.path());
        assert_eq!(standing(&ledger, 1), Some(VALUE));
        assert_eq!(ledger.start_state(), StartState::Unclean);
    }
}

// covers: G05
#[test]
fn an_empty_cut_or_foreign_file_is_refused_and_left_alone() {
    let whole = std::fs::read(busy_store().path().join("store")).expect("the file is there");
    for content in [&b""[..], &[0; 99], &[0; 8192], &whole[..4096], &whole[..whole.len() - 4096]] {
        let dir = busy_store();
        let log = std::fs::read(dir.path().join("store-wal")).expect("there is a log");
        write_file(dir.path(), "store", content);
        let opened = try_open(dir.path());
        // The log holds all pages of this little store, so cutting the end off may do no harm.
        if let Ok(ledger) = opened {
            assert_eq!(standing(&ledger, 1), Some(VALUE));
        } else {
            assert_eq!(std::fs::read(dir.path().join("store")).expect("it is there"), content);
            assert_eq!(std::fs::read(dir.path().join("store-wal")).expect("it is there"), log);
        }
    }
}

// covers: G05
#[test]
fn a_missing_file_is_never_a_fresh_start() {
    let dir = busy_store();
    std::fs::remove_file(dir.path().join("mark")).expect("there is a mark");
    assert!(matches!(try_open(dir.path()), Err(LedgerOpenError::NoMark { .. })));
    let dir = busy_store();
    std::fs::remove_file(dir.path().join("store")).expect("there is a store");
    assert!(matches!(try_open(dir.path()), Err(LedgerOpenError::NoStore { .. })));
    let nowhere = dir.path().join("nowhere");
    assert!(matches!(try_open(&nowhere), Err(LedgerOpenError::NoStore { .. })));
}

// covers: G05
#[test]
fn rows_that_somebody_else_changed_are_refused_by_name() {
    let changes = [
        ("UPDATE leaves SET body = zeroblob(length(body))", "credentials"),
        ("UPDATE leaves SET body = substr(body, 1, 16) || substr(body, 57)", "credentials"),
        ("UPDATE leaves SET body = ''", "credentials"),
        ("UPDATE leaves SET body = 5", "credentials"),
        ("UPDATE leaves SET number = 1", "credentials"),
        ("INSERT INTO leaves SELECT number + 1, body FROM leaves", "credentials"),
        ("DELETE FROM leaves", "table"),
        ("DELETE FROM records", "table"),
        ("UPDATE records SET value = x'00'", "record"),
        ("UPDATE records SET key = zeroblob(300)", "record"),
        ("UPDATE records SET value = 'text', mac = 5", "record"),
        ("UPDATE records SET kind = 'text'", "a column"),
        ("UPDATE trail SET body = x'00' WHERE first = (SELECT max(first) FROM trail)", "audit line"),
        ("DELETE FROM trail WHERE first = (SELECT max(first) FROM trail)", "audit line"),
        ("INSERT INTO trail SELECT first + 1, body FROM trail ORDER BY first DESC LIMIT 1", "audit line"),
    ];
    for (sql, part) in changes {
        let dir = busy_store();
        open(dir.path()).close().expect("it can be closed");
        execute(dir.path(), sql);
        match try_open(dir.path()) {
            Err(LedgerOpenError::Damaged { what, .. }) => assert_eq!(what, part, "{sql}"),
            other => panic!("{sql}: {other:?}"),
        }
    }
}

// covers: G05
#[test]
fn an_older_row_in_the_place_of_a_newer_one_is_refused() {
    for (table, column) in [("leaves", "body"), ("records", "value || mac")] {
        let dir = new_store();
        let put = |n| Change::Put { kind: 1, key: vec![1], value: vec![n; 9] };
        let older = scratch();
        for (n, entry) in [(1, add(1, 0)), (2, claim(1, 5, 1))] {
            let ledger = open(dir.path());
            commit(&ledger, Entry { changes: [entry.changes, vec![put(n)]].concat(), ..entry });
            ledger.close().expect("it can be closed");
            if n == 1 {
                copy_store(dir.path(), older.path());
            }
        }
        let rows = || {
            let db = Connection::open(dir.path().join("store")).expect("nobody else has it open");
            let sql = format!("SELECT hex({column}) FROM {table}");
            db.query_row(&sql, [], |row| row.get::<_, String>(0)).expect("there is a row")
        };
        let newer = rows();
        let older = older.path().join("store");
        let back = format!(
            "ATTACH '{}' AS older; REPLACE INTO {table} SELECT * FROM older.{table}; DETACH older",
            older.display()
        );
        execute(dir.path(), &back);
        assert_ne!(rows(), newer, "or nothing was put back");
        assert!(
            matches!(try_open(dir.path()), Err(LedgerOpenError::Damaged { what: "table", .. })),
            "{table}"
        );
    }
}

// covers: G05
#[test]
fn a_journal_batch_that_was_duplicated_changed_or_removed_is_refused() {
    let changes = [
        "INSERT INTO journal SELECT seq + 1, body FROM journal ORDER BY seq DESC LIMIT 1",
        "DELETE FROM journal WHERE seq = (SELECT min(seq) FROM journal)",
        "DELETE FROM journal WHERE seq = (SELECT max(seq) - 1 FROM journal)",
        "UPDATE journal SET body = zeroblob(length(body))",
        "UPDATE journal SET body = ''",
        "UPDATE journal SET seq = seq + 1 WHERE seq = (SELECT max(seq) FROM journal)",
        "UPDATE journal SET seq = -1 WHERE seq = (SELECT max(seq) FROM journal)",
        "UPDATE meta SET body = zeroblob(248)",
        "DELETE FROM meta",
    ];
    for sql in changes {
        let dir = busy_store();
        execute(dir.path(), sql);
        assert!(try_open(dir.path()).is_err(), "{sql}");
    }
    // The batch alone is missed by the trail; with its audit line, by the mark.
    let dir = busy_store();
    execute(dir.path(), "DELETE FROM journal WHERE seq = (SELECT max(seq) FROM journal)");
    assert!(matches!(try_open(dir.path()), Err(LedgerOpenError::Damaged { what: "audit line", .. })));
    execute(dir.path(), "DELETE FROM trail WHERE first = (SELECT max(first) FROM trail)");
    let ledger = open(dir.path());
    assert!(matches!(ledger.start_state(), StartState::Short { .. }));
}

// covers: G12
#[test]
fn a_newer_format_and_foreign_tables_are_refused() {
    let dir = busy_store();
    execute(dir.path(), "PRAGMA user_version = 3");
    assert!(matches!(try_open(dir.path()), Err(LedgerOpenError::Newer { found: 3, known: 2, .. })));
    for sql in [
        "CREATE TRIGGER t AFTER INSERT ON journal BEGIN DELETE FROM leaves; END",
        "CREATE TABLE more(x)",
        "DROP TABLE trail_references",
        "PRAGMA user_version = 1",
        "PRAGMA user_version = 0",
        "PRAGMA application_id = 1",
        "PRAGMA journal_mode = DELETE",
    ] {
        let dir = busy_store();
        execute(dir.path(), sql);
        assert!(matches!(try_open(dir.path()), Err(LedgerOpenError::NotAStore { .. })), "{sql}");
    }
}

// covers: G05
#[test]
fn another_key_or_another_stores_mark_is_refused() {
    let dir = busy_store();
    let other = EmbeddedLedger::open(dir.path(), &[1; 32], Box::new(|_| {}));
    assert!(matches!(other, Err(LedgerOpenError::WrongKey { .. })));
    std::fs::copy(busy_store().path().join("mark"), dir.path().join("mark")).expect("it can be copied");
    assert!(matches!(try_open(dir.path()), Err(LedgerOpenError::Damaged { what: "the mark", .. })));
}

fn try_open(dir: &Path) -> Result<EmbeddedLedger, LedgerOpenError> {
    EmbeddedLedger::open(dir, &KEY, Box::new(|_| {}))
}

/// Changes a store behind the engine's back.
fn execute(dir: &Path, sql: &str) {
    let db = Connection::open(dir.join("store")).expect("nobody else has it open");
    db.execute_batch(sql).expect("the statements are right");
}

/// A store as a crash leaves it, with something in every table, in the journal, and in the log.
fn busy_store() -> tempfile::TempDir {
    let dir = new_store();
    let copy = scratch();
    let ledger = open(dir.path());
    commit(&ledger, add(1, 0));
    let put = |n: u8| Change::Put { kind: n, key: vec![n; 3], value: vec![n; 100] };
    commit(&ledger, add(2, 0));
    commit(&ledger, Entry { changes: vec![put(1), put(2)], audit: Some(audit_entry(1)), ..Entry::default() });
    for to in 1..=VALUE {
        commit(&ledger, Entry { audit: Some(audit_entry(2)), ..claim(1, to, to) });
        if to == 5 {
            ledger.rest();
        }
    }
    ledger.mark_now();
    copy_store(dir.path(), copy.path());
    copy
}
