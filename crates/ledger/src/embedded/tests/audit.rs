//! The audit trail tells what was done to it.

use super::{add, audit_entry, commit, new_store, open};
use crate::embedded::EmbeddedLedger;
use crate::{AuditEntry, AuditLine, Entry, Ledger, Outcome, ReadError};

// covers: G05
#[test]
fn a_line_that_was_changed_removed_or_moved_breaks_the_chain_there() {
    let changes = [
        ("UPDATE audit SET body = x'00' WHERE sequence = 4", 4),
        ("UPDATE audit SET reference = zeroblob(8) WHERE sequence = 4", 4),
        ("UPDATE audit SET chain = zeroblob(32) WHERE sequence = 4", 4),
        ("DELETE FROM audit WHERE sequence = 4", 4),
        ("DELETE FROM audit WHERE sequence = 1", 1),
        ("DELETE FROM audit WHERE sequence = 10", 10),
        ("DELETE FROM audit WHERE sequence >= 7", 7),
        ("UPDATE audit SET sequence = -1 WHERE sequence = 4;
          UPDATE audit SET sequence = 4 WHERE sequence = 5; UPDATE audit SET sequence = 5 WHERE sequence = -1", 4),
        ("DELETE FROM audit WHERE sequence = 4; UPDATE audit SET sequence = sequence - 1 WHERE sequence > 4", 4),
        ("INSERT INTO audit SELECT 11, reference, body, chain FROM audit WHERE sequence = 10", 11),
    ];
    for (sql, at) in changes {
        let dir = new_store();
        let ledger = open(dir.path());
        write_trail(&ledger);
        assert_eq!(ledger.audit_verify().expect("the trail can be walked").broken_at, None);
        ledger.execute(sql);
        let report = ledger.audit_verify().expect("the trail can be walked");
        assert_eq!((report.broken_at, report.records), (Some(at), at - 1), "{sql}");
        if at <= 10 {
            let read = ledger.audit_after(at - 1, 3);
            assert!(matches!(read, Err(ReadError::Damaged { .. })), "{sql}: {read:?}");
        }
    }
}

#[test]
fn a_column_of_the_wrong_length_is_damage_and_no_panic() {
    let dir = new_store();
    let ledger = open(dir.path());
    write_trail(&ledger);
    ledger.execute("UPDATE audit SET chain = x'00' WHERE sequence = 4");
    assert!(matches!(ledger.audit_after(2, 3), Err(ReadError::Damaged { .. })));
    assert!(matches!(ledger.audit_verify(), Err(ReadError::Damaged { .. })));
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
