//! The audit trail tells what was done to it.

use super::{add, audit_entry, commit, new_store, open, while_held};
use crate::embedded::EmbeddedLedger;
use crate::embedded::trail::RUN_LINES;
use crate::{AuditEntry, AuditLine, Entry, Ledger, Outcome, ReadError};

// covers: G05, P7
#[test]
fn a_row_that_was_removed_or_moved_breaks_the_chain_there() {
    let changes = [
        ("DELETE FROM trail WHERE first = 4", 4),
        ("DELETE FROM trail WHERE first = 1", 1),
        ("DELETE FROM trail WHERE first = 10", 10),
        ("DELETE FROM trail WHERE first >= 7", 7),
        ("UPDATE trail SET body = '' WHERE first = 4", 4),
        ("UPDATE trail SET body = 5 WHERE first = 4", 4),
        (
            "UPDATE trail SET first = -1 WHERE first = 4;
          UPDATE trail SET first = 4 WHERE first = 5; UPDATE trail SET first = 5 WHERE first = -1",
            4,
        ),
        ("DELETE FROM trail WHERE first = 4; UPDATE trail SET first = first - 1 WHERE first > 4", 4),
        ("INSERT INTO trail SELECT 11, body FROM trail WHERE first = 10", 11),
    ];
    for (sql, at) in changes {
        let dir = new_store();
        let ledger = open(dir.path());
        write_trail(&ledger);
        assert_eq!(ledger.audit_verify().expect("the trail can be walked").broken_at, None);
        ledger.execute(sql);
        check_broken(&ledger, at, sql);
    }
}

// covers: G05
#[test]
fn any_byte_changed_in_a_row_of_many_lines_breaks_the_chain_at_its_line() {
    let dir = new_store();
    let ledger = open(dir.path());
    let pending = while_held(&ledger, || {
        [1, 2, 3, 4].map(|n| ledger.submit(Entry { audit: Some(audit_entry(n)), ..Entry::default() }))
    });
    assert!(pending.into_iter().all(|pending| pending.wait() == Outcome::Committed));
    commit(&ledger, Entry { audit: Some(audit_entry(5)), ..Entry::default() });
    // Reference, length, body and chain value.
    let line = 8 + 4 + 20 + 32;
    for at in 0..4 * line {
        change_byte(&ledger, 1, at);
        check_broken(&ledger, (at / line) as u64 + 1, &format!("byte {at}"));
        change_byte(&ledger, 1, at);
    }
    assert_eq!(ledger.audit_verify().expect("the trail can be walked").broken_at, None);
}

#[test]
fn a_list_of_references_that_is_damaged_or_missing_is_told() {
    let dir = new_store();
    let ledger = open(dir.path());
    let entry = |n: u64| {
        let audit = AuditEntry { reference: n.to_be_bytes(), body: n.to_le_bytes().to_vec() };
        Entry { audit: Some(audit), ..Entry::default() }
    };
    let lines = 3 * RUN_LINES as u64 + 40;
    let pending: Vec<_> = (1..=lines).map(|n| ledger.submit(entry(n))).collect();
    assert!(pending.into_iter().all(|pending| pending.wait() == Outcome::Committed));
    // The last run is written with the commit after the one that fills it.
    commit(&ledger, entry(lines + 1));
    let find = |ledger: &EmbeddedLedger, n: u64| {
        let found = ledger.audit_by_reference(n.to_be_bytes()).expect("the trail can be searched");
        found.map(|line| line.sequence)
    };
    for n in 1..=lines {
        assert_eq!(find(&ledger, n), Some(n));
    }
    assert_eq!(find(&ledger, 0), None);
    drop(ledger);
    let ledger = open(dir.path());
    for n in [1, RUN_LINES as u64, lines, lines + 1] {
        assert_eq!(find(&ledger, n), Some(n));
    }
    commit(&ledger, entry(5));
    assert_eq!(find(&ledger, 5), Some(lines + 2), "the newest is found");
    for sql in ["UPDATE trail_references SET body = zeroblob(length(body))", "DELETE FROM trail_references"] {
        ledger.execute(sql);
        assert!(
            matches!(ledger.audit_by_reference(7_u64.to_be_bytes()), Err(ReadError::Damaged { .. })),
            "{sql}"
        );
    }
}

pub(super) fn check_broken(ledger: &EmbeddedLedger, at: u64, what: &str) {
    let report = ledger.audit_verify().expect("the trail can be walked");
    assert_eq!((report.broken_at, report.records + report.removed), (Some(at), at - 1), "{what}");
    if at <= ledger.audit_newest().expect("an open ledger answers") {
        let read = ledger.audit_after(at - 1, 3);
        assert!(matches!(read, Err(ReadError::Damaged { .. })), "{what}: {read:?}");
    }
}

pub(super) fn change_byte(ledger: &EmbeddedLedger, first: i64, at: usize) {
    ledger.with_writer(move |writer| {
        let read = |row: &rusqlite::Row<'_>| row.get::<_, Vec<u8>>(0);
        let mut body = writer.db.query_row("SELECT body FROM trail WHERE first = ?1", [first], read)?;
        body[at] ^= 0x40;
        writer.db.execute("UPDATE trail SET body = ?2 WHERE first = ?1", rusqlite::params![first, body])?;
        Ok(())
    });
}

#[test]
fn lines_are_read_in_pieces_and_found_by_their_newest_reference() {
    let dir = new_store();
    let ledger = open(dir.path());
    assert_eq!(ledger.audit_after(0, 5).expect("the trail can be read"), []);
    write_trail(&ledger);
    let sequences = |lines: Vec<AuditLine>| lines.iter().map(|line| line.sequence).collect::<Vec<_>>();
    assert_eq!(sequences(ledger.audit_after(0, 3).expect("the trail can be read")), [1, 2, 3]);
    assert_eq!(sequences(ledger.audit_after(8, 5).expect("the trail can be read")), [9, 10]);
    assert_eq!(ledger.audit_after(10, 5).expect("the trail can be read"), []);
    assert_eq!(ledger.audit_after(u64::MAX, 5).expect("the trail can be read"), []);
    let audit = AuditEntry { reference: [3; 8], body: b"again".to_vec() };
    commit(&ledger, Entry { audit: Some(audit), ..Entry::default() });
    let found =
        ledger.audit_by_reference([3; 8]).expect("the trail can be searched").expect("it was written");
    assert_eq!((found.sequence, found.body.as_slice()), (11, &b"again"[..]));
    assert_eq!(ledger.audit_by_reference([99; 8]).expect("the trail can be searched"), None);
}

#[test]
fn a_long_trail_is_walked_in_pieces() {
    let dir = new_store();
    let ledger = open(dir.path());
    let entry = || Entry { audit: Some(audit_entry(1)), ..Entry::default() };
    let pending: Vec<_> = (0..3000).map(|_| ledger.submit(entry())).collect();
    assert!(pending.into_iter().all(|pending| pending.wait() == Outcome::Committed));
    let report = ledger.audit_verify().expect("the trail can be walked");
    assert_eq!((report.records, report.broken_at), (3000, None));
}

/// Ten lines.
fn write_trail(ledger: &EmbeddedLedger) {
    for n in 1..=10 {
        commit(ledger, Entry { audit: Some(audit_entry(n)), ..add(n, 0) });
    }
    ledger.rest();
}
