//! The audit trail read around what is not as it was written.

use super::audit::change_byte;
use super::removal::commit_together;
use super::{new_store, open};
use crate::embedded::EmbeddedLedger;
use crate::{AuditLine, AuditStretch, Ledger};

/// Rows of 1, 3, 1, 4 and 1 lines, the fourth line removed: lines 1 to 10.
fn trail() -> (tempfile::TempDir, EmbeddedLedger, Vec<AuditLine>) {
    let dir = new_store();
    let ledger = open(dir.path());
    [1, 3, 1, 4, 1].into_iter().for_each(|lines| commit_together(&ledger, lines));
    assert_eq!(ledger.audit_remove(vec![4]).expect("it can be written"), 1);
    let written = ledger.audit_after(0, 99).expect("the trail is whole");
    (dir, ledger, written)
}

/// Goes through the whole trail, so many lines at a time. What was read, and what was passed over.
fn go_through(ledger: &EmbeddedLedger, limit: usize) -> (Vec<AuditLine>, Vec<u64>) {
    let (mut lines, mut passed, mut after) = (Vec::new(), Vec::new(), 0);
    loop {
        let stretch = ledger.audit_around_damage(after, limit).expect("the store can be read");
        let AuditStretch { lines: read, damaged } = stretch;
        let reached = read.last().map(|line| line.sequence);
        lines.extend(read);
        if let Some(damaged) = &damaged {
            assert!(*damaged.start() > reached.unwrap_or(after), "{damaged:?} after {after}");
            passed.extend(damaged.clone());
        }
        match damaged.map(|damaged| *damaged.end()).or(reached) {
            Some(next) => {
                assert!(next > after, "it goes on");
                after = next;
            }
            None => return (lines, passed),
        }
    }
}

// covers: P7, G05
#[test]
fn whatever_is_changed_in_a_row_the_others_are_read_and_it_is_told() {
    let (_dir, ledger, written) = trail();
    assert_eq!(go_through(&ledger, 2), (written.clone(), vec![]));
    for (row, row_lines) in [(1_i64, 1..=1_u64), (2, 2..=4), (5, 5..=5), (6, 6..=9), (10, 10..=10)] {
        let length = ledger.ask_length(row);
        for at in 0..length {
            change_byte(&ledger, row, at);
            for limit in [1, 99] {
                let (lines, passed) = go_through(&ledger, limit);
                assert!(lines.iter().all(|line| written.contains(line)), "row {row}, byte {at}");
                assert!(
                    passed.iter().any(|line| row_lines.contains(line)),
                    "row {row}, byte {at}: {passed:?}"
                );
                // The line behind cannot be told from it where the chain value itself was changed.
                let near = *row_lines.start()..=row_lines.end() + 1;
                assert!(passed.iter().all(|line| near.contains(line)), "row {row}, byte {at}: {passed:?}");
                let is_there = |line: &&AuditLine| passed.contains(&line.sequence) || lines.contains(line);
                assert!(written.iter().all(|line| is_there(&line)), "row {row}, byte {at}: one is missing");
            }
            change_byte(&ledger, row, at);
        }
    }
}

// covers: P7, G05
#[test]
fn rows_that_are_gone_are_passed_over_and_told() {
    for (sql, gone) in [
        ("DELETE FROM trail WHERE first = 1", vec![1]),
        ("DELETE FROM trail WHERE first IN (2, 5)", vec![2, 3, 4, 5]),
        ("DELETE FROM trail WHERE first = 10", vec![10]),
        ("UPDATE trail SET body = x'00' WHERE first = 6", vec![6, 7, 8, 9]),
    ] {
        let (_dir, ledger, written) = trail();
        ledger.execute(sql);
        let (lines, passed) = go_through(&ledger, 99);
        let is_passed = |line: &&AuditLine| passed.contains(&line.sequence);
        assert!(gone.iter().all(|line| passed.contains(line)), "{sql}: {passed:?}");
        // The first behind a gap follows from what is not there.
        assert!(passed.len() <= gone.len() + 1, "{sql}: {passed:?}");
        let whole: Vec<_> = written.iter().filter(|line| !is_passed(line)).cloned().collect();
        assert_eq!(lines, whole, "{sql}");
    }
}

// covers: P7
#[test]
fn a_long_stretch_that_is_damaged_has_an_end() {
    let dir = new_store();
    let ledger = open(dir.path());
    (0..200).for_each(|_| commit_together(&ledger, 1));
    ledger.execute("UPDATE trail SET body = x'00' WHERE first BETWEEN 20 AND 180");
    let (lines, passed) = go_through(&ledger, 256);
    assert_eq!((lines.len(), passed.len()), (200 - 162, 162));
    assert_eq!((passed.first(), passed.last()), (Some(&20), Some(&181)));
}

impl EmbeddedLedger {
    /// How many bytes a row of the trail has.
    fn ask_length(&self, first: i64) -> usize {
        let (tell, told) = std::sync::mpsc::channel();
        self.with_writer(move |writer| {
            let sql = "SELECT length(body) FROM trail WHERE first = ?1";
            let length = writer.db.query_row(sql, [first], |row| row.get::<_, u32>(0))?;
            tell.send(length as usize).expect("the test waits");
            Ok(())
        });
        told.recv().expect("the writer answers")
    }
}
