//! A store of format 1, as the program left it that knew no other, becomes one of today's.
//!
//! The store in `format1/` was written by version 0.1.0 before format 2, and left as a crash leaves one: 150
//! credentials, of which 18 have been claimed and one was removed; records; 34 audit lines; a generation that is
//! folded half, with five of its audit lines in the table; and batches after it in the log.

use std::path::Path;

use super::{KEY, claim, commit, copy_store, credential, open, scratch, standing, write_file};
use crate::embedded::keys::RootKeys;
use crate::embedded::meta::Meta;
use crate::embedded::{EmbeddedLedger, LedgerOpenError, format1, store};
use crate::{AuditLine, Contents, Entry, Ledger, StartState};

// covers: G12
#[test]
fn a_store_of_format_1_holds_afterwards_what_it_held() {
    let dir = old_store();
    let ledger = open(dir.path());
    check_whole(&ledger);
    // What was claimed under the same id before is recognised.
    let last = ledger.last();
    commit(&ledger, claim(37, 1037, 37));
    assert_eq!(ledger.last(), last);
    commit(&ledger, Entry { audit: Some(super::audit_entry(7)), ..claim(37, 1038, 1) });
    ledger.close().expect("it can be closed");
    let ledger = open(dir.path());
    assert_eq!((ledger.start_state(), standing(&ledger, 37)), (StartState::Clean, Some(1038)));
    assert_eq!(ledger.audit_verify().expect("the trail can be walked").records, LINES + 1);
}

// covers: G01, G12
#[test]
fn a_change_of_format_that_was_broken_off_anywhere_loses_nothing() {
    let (old, new) = (old_store(), old_store());
    let before = std::fs::read(old.path().join("store-wal")).expect("there is a log");
    change_format(new.path());
    let after = std::fs::read(new.path().join("store-wal")).expect("there is a log");
    assert!(after.starts_with(&before) && after.len() > before.len() + 20_000);
    let (mut still_old, mut is_new) = (0, 0);
    let dir = scratch();
    for cut in (before.len()..after.len()).step_by(709).chain([after.len() - 1, after.len()]) {
        copy_store(old.path(), dir.path());
        write_file(dir.path(), "store-wal", &after[..cut]);
        match format(dir.path()) {
            1 => still_old += 1,
            2 => is_new += 1,
            other => panic!("cut at {cut}: format {other}"),
        }
        // Looking may have changed the log.
        copy_store(old.path(), dir.path());
        write_file(dir.path(), "store-wal", &after[..cut]);
        check_whole(&open(dir.path()));
    }
    assert!(still_old > 10 && is_new > 0, "{still_old} {is_new}");
}

// covers: G05, G12
#[test]
fn a_damaged_store_of_format_1_is_refused_and_left_as_it_was() {
    let changes = [
        ("UPDATE credentials SET value = value + 1 WHERE value = 5", "credential"),
        ("UPDATE credentials SET claim = 'text' WHERE value = 5", "credential"),
        ("DELETE FROM credentials WHERE value = 5", "table"),
        ("DELETE FROM audit WHERE sequence = (SELECT max(sequence) FROM audit)", "audit line"),
        (
            "UPDATE journal SET body = zeroblob(length(body)) WHERE seq = (SELECT max(seq) FROM journal)",
            "journal batch",
        ),
        ("DELETE FROM journal", "journal"),
        ("DELETE FROM records", "table"),
    ];
    for (sql, part) in changes {
        let dir = old_store();
        execute(dir.path(), sql);
        let before = std::fs::read(dir.path().join("store")).expect("it is there");
        match EmbeddedLedger::open(dir.path(), &KEY, Box::new(|_| {})) {
            Err(LedgerOpenError::Damaged { what, .. }) => assert_eq!(what, part, "{sql}"),
            other => panic!("{sql}: {other:?}"),
        }
        assert_eq!(std::fs::read(dir.path().join("store")).expect("it is there"), before, "{sql}");
        assert_eq!(format(dir.path()), 1);
    }
}

// covers: G05, G12
#[test]
fn an_audit_line_that_was_damaged_before_is_told_afterwards_too() {
    let changes = [
        ("UPDATE audit SET body = x'00' WHERE sequence = 4", 4),
        ("UPDATE audit SET reference = x'00', chain = 'text' WHERE sequence = 5", 5),
        ("UPDATE audit SET body = zeroblob(20000) WHERE sequence = 3", 3),
        ("DELETE FROM audit WHERE sequence = 4", 4),
        ("DELETE FROM audit WHERE sequence = 1", 1),
    ];
    for (sql, at) in changes {
        let dir = old_store();
        execute(dir.path(), sql);
        let ledger = open(dir.path());
        let report = ledger.audit_verify().expect("the trail can be walked");
        assert_eq!((report.broken_at, report.records), (Some(at), at - 1), "{sql}");
        assert_eq!(ledger.audit_newest().expect("an open ledger answers"), LINES);
    }
}

/// How many audit lines the store has.
const LINES: u64 = 34;

fn check_whole(ledger: &EmbeddedLedger) {
    assert_eq!(ledger.start_state(), StartState::Unclean);
    let Contents { credentials, records } = ledger.load().expect("an open ledger can be loaded");
    let claimed = 20..38;
    let expected =
        (0..149_u8).map(|n| (credential(n), u64::from(n) + if claimed.contains(&n) { 1000 } else { 0 }));
    assert!(credentials.iter().map(|stored| (stored.id, stored.value)).eq(expected));
    let keys: Vec<u8> = records.iter().map(|record| record.key[0]).collect();
    assert_eq!(keys, [0, 2, 4, 6, 8, 200, 3, 5, 7, 9]);
    assert!(records.iter().all(|record| record.value == [record.key[0]; 50]));
    let lines = ledger.audit_after(0, 100).expect("the trail can be read");
    let bodies: Vec<u8> = (0..15).chain(20..38).chain([99]).collect();
    let is_line = |(line, n): (&AuditLine, &u8)| line.reference == [*n; 8] && line.body == [*n; 20];
    assert!(lines.len() == bodies.len() && lines.iter().zip(&bodies).all(is_line));
    let report = ledger.audit_verify().expect("the trail can be walked");
    assert_eq!((report.records, report.broken_at), (LINES, None));
    for (sequence, n) in (1..).zip(bodies) {
        let found = ledger.audit_by_reference([n; 8]).expect("the trail can be searched");
        assert_eq!(found.map(|line| line.sequence), Some(sequence));
    }
}

/// A copy of the store.
fn old_store() -> tempfile::TempDir {
    let dir = scratch();
    let files: [(&str, &[u8]); 3] = [
        ("store", include_bytes!("format1/store")),
        ("store-wal", include_bytes!("format1/store-wal")),
        ("mark", include_bytes!("format1/mark")),
    ];
    for (name, bytes) in files {
        write_file(dir.path(), name, bytes);
    }
    dir
}

/// Changes the format, and leaves it at that.
fn change_format(dir: &Path) {
    let db = store::connect(&dir.join("store")).expect("it opens");
    let root_keys = RootKeys::derive(&KEY);
    let body = store::read_meta(&db).expect("it can be read").expect("there is a meta row");
    let meta = Meta::unseal(&body, &root_keys.meta).expect("it is whole");
    assert!(format1::migrate(&db, &meta, &KEY, &root_keys.meta).is_ok());
}

/// Which format a store says that it has. Leaves its log where it is.
fn format(dir: &Path) -> i64 {
    let db = store::connect(&dir.join("store")).expect("it opens");
    db.pragma_query_value(None, "user_version", |row| row.get(0)).expect("it can be read")
}

/// Changes a store behind the engine's back.
fn execute(dir: &Path, sql: &str) {
    let db = rusqlite::Connection::open(dir.join("store")).expect("nobody else has it open");
    db.execute_batch(sql).expect("the statements are right");
}
