//! What is taken out of the audit trail, and what is found out about it.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::audit::{change_byte, check_broken};
use super::crash::commit_ends;
use super::{audit_entry, commit, copy_store, new_store, open, scratch, while_held, write_file};
use crate::embedded::EmbeddedLedger;
use crate::embedded::link::LINK_LINES_MAX;
use crate::embedded::reads::{AUDIT_LINES_MAX, Walk};
use crate::embedded::store::Checkpoint;
use crate::{AuditLine, AuditReport, Entry, Ledger, Outcome, ReadError};

/// Bytes of a link that stands for one line: number, ones, stump, chain value and MAC.
const LINK_BYTES: usize = 8 + 4 + 8 + 32 + 32;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    // covers: P7
    #[test]
    fn whatever_is_removed_in_whatever_order_the_rest_is_there_and_the_chain_holds(
        batches in prop::collection::vec(1..9_u8, 1..12),
        removals in prop::collection::vec(prop::collection::btree_set(0..70_u64, 0..40), 1..6),
    ) {
        let dir = new_store();
        let ledger = open(dir.path());
        batches.iter().for_each(|lines| commit_together(&ledger, *lines));
        let written = all_lines(&ledger);
        let newest = written.len() as u64;
        let mut gone = BTreeSet::new();
        for wanted in removals {
            let new: BTreeSet<u64> =
                wanted.iter().copied().filter(|n| (1..newest).contains(n) && !gone.contains(n)).collect();
            let removed = ledger.audit_remove(wanted.into_iter().collect());
            prop_assert_eq!(removed.expect("the trail can be written"), new.len() as u64);
            gone.extend(new);
            check(&ledger, &written, &gone);
        }
        drop(ledger);
        let ledger = open(dir.path());
        check(&ledger, &written, &gone);
        commit_together(&ledger, 2);
        prop_assert_eq!(all_lines(&ledger).len(), written.len() - gone.len() + 2);
    }
}

/// Everything that can be read tells of these lines without those that are gone.
fn check(ledger: &EmbeddedLedger, written: &[AuditLine], gone: &BTreeSet<u64>) {
    let kept: Vec<&AuditLine> = written.iter().filter(|line| !gone.contains(&line.sequence)).collect();
    let head = written.last().expect("there are lines").chain;
    let (records, removed) = (kept.len() as u64, gone.len() as u64);
    let report = ledger.audit_verify().expect("the trail can be walked");
    assert_eq!(report, AuditReport { records, removed, broken_at: None, head });
    for after in 0..=written.len() as u64 {
        let read = ledger.audit_after(after, 7).expect("the trail can be read");
        let expected: Vec<_> = kept.iter().filter(|line| line.sequence > after).take(7).collect();
        assert!(read.iter().eq(expected.into_iter().copied()), "after {after}: {read:?}");
    }
    for line in written {
        let holds = |head| ledger.audit_holds(line.sequence, head).expect("the trail can be read");
        assert!(holds(line.chain), "line {}", line.sequence);
        let mut other = line.chain;
        other[3] ^= 1;
        assert!(!holds(other), "line {}", line.sequence);
        let found = ledger.audit_by_reference(line.reference).expect("the trail can be searched");
        assert_eq!(found.as_ref(), kept.iter().copied().find(|kept| kept.sequence == line.sequence));
    }
    let beyond = written.len() as u64 + 1;
    assert!(!ledger.audit_holds(beyond, head).expect("the trail can be read"));
    assert!(ledger.audit_holds(0, [0; 32]).expect("the trail can be read"));
    assert!(!ledger.audit_holds(0, head).expect("the trail can be read"));
}

#[test]
fn lines_in_a_row_are_folded_into_few_links() {
    let dir = new_store();
    let ledger = open(dir.path());
    (0..100).for_each(|_| commit_together(&ledger, 1));
    for first in (1..100).step_by(3) {
        assert_eq!(ledger.audit_remove((first..first + 3).collect()).expect("it can be written"), 3);
    }
    let rows = ledger.with_writer(|writer| {
        Ok(writer.db.query_row("SELECT count(*) FROM trail", [], |row| row.get::<_, i64>(0))?)
    });
    // Three at a time leave one place of a link of sixteen free: 15 lines in each of seven links, and the newest line.
    assert_eq!((rows, LINK_LINES_MAX), (99_i64 / 15 + 2, 16));
    assert_eq!(all_lines(&ledger).len(), 1);
}

// covers: P7, G05
#[test]
fn what_is_done_to_a_trail_with_links_is_found() {
    // Rows 1 to 3 and 5 and 7 are links, the first of three lines; 4, 6 and 8 are lines.
    let changes = [
        ("DELETE FROM trail WHERE first = 6", 6, "a record is deleted without a link"),
        ("DELETE FROM trail WHERE first = 1", 1, "a link is deleted"),
        ("DELETE FROM trail WHERE first = 4", 4, "what stands behind a link is deleted"),
        ("UPDATE trail SET body = (SELECT body FROM trail WHERE first = 5) WHERE first = 6", 6, "a link is copied"),
        (
            "UPDATE trail SET body = (SELECT body FROM trail WHERE first = 1) WHERE first = 4;
             DELETE FROM trail WHERE first IN (5, 6)",
            4,
            "a link is put over other lines",
        ),
        (
            "UPDATE trail SET first = -1 WHERE first = 5; UPDATE trail SET first = 5 WHERE first = 6;
             UPDATE trail SET first = 6 WHERE first = -1",
            5,
            "a link is moved",
        ),
        (
            // One line, with a stump and a chain value that would fit, and a MAC of zeros.
            "UPDATE trail SET body = cast(x'0000000000000001ffffffff' || substr(body, -32, 8) || substr(body, -32)
             || zeroblob(32) AS BLOB) WHERE first = 6",
            6,
            "a link is made up",
        ),
    ];
    for (sql, at, what) in changes {
        let dir = new_store();
        let ledger = open(dir.path());
        (0..8).for_each(|_| commit_together(&ledger, 1));
        assert_eq!(ledger.audit_remove(vec![1, 2, 3, 5, 7]).expect("it can be written"), 5);
        assert_eq!(ledger.audit_verify().expect("the trail can be walked").broken_at, None);
        ledger.execute(sql);
        check_broken(&ledger, at, what);
    }
}

// covers: P7, G05
#[test]
fn no_byte_of_a_link_can_be_changed() {
    let dir = new_store();
    let ledger = open(dir.path());
    (0..5).for_each(|_| commit_together(&ledger, 1));
    assert_eq!(ledger.audit_remove(vec![3]).expect("it can be written"), 1);
    for at in 0..LINK_BYTES {
        change_byte(&ledger, 3, at);
        check_broken(&ledger, 3, &format!("byte {at}"));
        change_byte(&ledger, 3, at);
    }
    assert_eq!(ledger.audit_verify().expect("the trail can be walked").broken_at, None);
}

// covers: P7, G05
#[test]
fn a_link_that_was_made_up_hides_nothing_from_whoever_reads_from_its_middle() {
    let dir = new_store();
    let ledger = open(dir.path());
    (0..8).for_each(|_| commit_together(&ledger, 1));
    let written = all_lines(&ledger);
    // It stands for lines 3 to 6, with the chain value of the last, and stumps and a MAC of zeros.
    ledger.execute(
        "UPDATE trail SET body = cast(x'0000000000000004ffffffff' || zeroblob(32)
         || (SELECT substr(body, -32) FROM trail WHERE first = 6) || zeroblob(32) AS BLOB) WHERE first = 3;
         DELETE FROM trail WHERE first IN (4, 5, 6)",
    );
    for after in 2..=5 {
        let read = ledger.audit_after(after, 9);
        assert!(matches!(read, Err(ReadError::Damaged { .. })), "after {after}: {read:?}");
        let found = ledger.audit_by_reference(written[after as usize].reference);
        assert!(matches!(found, Err(ReadError::Damaged { .. })), "after {after}: {found:?}");
    }
    assert_eq!(ledger.audit_after(6, 9).expect("what follows is whole"), written[6..]);
}

// covers: P7
#[test]
fn a_walk_goes_on_where_lines_are_removed_on_both_sides_of_where_it_stands() {
    let dir = new_store();
    let ledger = open(dir.path());
    let at = AUDIT_LINES_MAX as u64;
    // A row begins three lines before the end of the first piece.
    [200, 200, 200, 200, 200, 20, 180].into_iter().for_each(|lines| commit_together(&ledger, lines));
    let piece = |walk: &mut Walk| {
        let mut gone = *walk;
        let (after, report) = ledger
            .ask(move |writer| writer.audit_walk(&mut gone).map(|report| (gone, report)))
            .expect("the trail can be walked");
        *walk = after;
        report
    };
    let mut walk = Walk::default();
    assert_eq!(piece(&mut walk), None);
    assert_eq!(ledger.audit_remove((at - 3..at + 4).collect()).expect("it can be written"), 7);
    let mut other = walk;
    assert_eq!(piece(&mut walk), None);
    let report = piece(&mut walk).expect("it has come to the end");
    assert_eq!((report.broken_at, report.records + report.removed, report.removed), (None, 1200, 3));
    // The bytes of the stump of the line where the walk stands.
    change_byte(&ledger, at.cast_signed() - 3, 12 + 8 * 3);
    let report = piece(&mut other).expect("it ends there");
    assert_eq!(report.broken_at, Some(at + 1));
}

// covers: P7
#[test]
fn no_link_is_made_where_a_line_is_not_as_it_was_written() {
    let dir = new_store();
    let ledger = open(dir.path());
    (0..6).for_each(|_| commit_together(&ledger, 1));
    change_byte(&ledger, 3, 20);
    let removed = ledger.audit_remove(vec![2, 3]);
    assert!(matches!(removed, Err(ReadError::Damaged { .. })), "{removed:?}");
    check_broken(&ledger, 3, "the line is still there");
    assert_eq!(ledger.audit_remove(vec![5]).expect("others are whole"), 1);
    check_broken(&ledger, 3, "the line is still there");
}

// covers: P7, G05
#[test]
fn a_crash_in_the_middle_of_a_removal_leaves_the_lines_or_the_links() {
    let dir = new_store();
    let ledger = open(dir.path());
    (0..40).for_each(|_| commit_together(&ledger, 3));
    ledger.rest();
    let written = all_lines(&ledger);
    commit_together(&ledger, 1);
    let gone: BTreeSet<u64> = (1..=90).filter(|n| n % 10 != 0).collect();
    assert_eq!(ledger.audit_remove(gone.iter().copied().collect()).expect("it can be written"), 81);
    let copied = scratch();
    copy_store(dir.path(), copied.path());
    drop(ledger);
    let log = std::fs::read(copied.path().join("store-wal")).expect("there is a log");
    let ends = commit_ends(&log);
    let [.., before, after] = ends[..] else { panic!("the log holds the line and the removal") };
    let (mut lines, mut links) = (0, 0);
    // Every commit ends with a frame, so a cut within one is as good as one at its start: a few in each suffice.
    for cut in (before..=after).step_by(701).chain([after - 1, after]) {
        let crashed = scratch();
        copy_store(copied.path(), crashed.path());
        write_file(crashed.path(), "store-wal", &log[..cut]);
        let ledger = open(crashed.path());
        let report = ledger.audit_verify().expect("the trail can be walked");
        assert_eq!((report.broken_at, report.records + report.removed), (None, 121), "cut at {cut}");
        match report.removed {
            0 => lines += 1,
            81 => links += 1,
            removed => panic!("cut at {cut}: {removed} lines are gone"),
        }
        let kept = all_lines(&ledger);
        let is_expected = |line: &&AuditLine| report.removed == 0 || !gone.contains(&line.sequence);
        assert!(kept.iter().take(kept.len() - 1).eq(written.iter().filter(is_expected)), "cut at {cut}");
    }
    assert!(lines > 0 && links == 1 + u32::from((after - before) % 701 == 0), "{lines} and {links}");
}

// covers: P7
#[test]
fn what_was_removed_is_nowhere_in_the_files_of_the_store() {
    let dir = new_store();
    let ledger = open(dir.path());
    let body = b"alice from 192.0.2.77".to_vec();
    let audit = crate::AuditEntry { reference: [7; 8], body: body.clone() };
    commit(&ledger, Entry { audit: Some(audit), ..Entry::default() });
    (0..3).for_each(|_| commit_together(&ledger, 1));
    let is_kept = || {
        let files =
            ["store", "store-wal"].map(|name| std::fs::read(dir.path().join(name)).unwrap_or_default());
        files.iter().any(|file| file.windows(body.len()).any(|bytes| bytes == body))
    };
    assert!(is_kept());
    assert_eq!(ledger.audit_remove(vec![1]).expect("it can be written"), 1);
    ledger.with_writer(|writer| writer.empty_log(Checkpoint::Empty));
    assert!(!is_kept());
}

/// One batch with so many lines, each with a reference of its own.
pub(super) fn commit_together(ledger: &EmbeddedLedger, lines: u8) {
    let newest = ledger.audit_newest().expect("an open ledger answers");
    let pending = while_held(ledger, || {
        let line = |n: u8| {
            let reference = (newest + u64::from(n)).to_be_bytes();
            Entry { audit: Some(crate::AuditEntry { reference, ..audit_entry(n) }), ..Entry::default() }
        };
        (1..=lines).map(|n| ledger.submit(line(n))).collect::<Vec<_>>()
    });
    assert!(pending.into_iter().all(|pending| pending.wait() == Outcome::Committed));
}

fn all_lines(ledger: &EmbeddedLedger) -> Vec<AuditLine> {
    ledger.audit_after(0, usize::MAX).expect("the trail can be read")
}

// covers: G05
#[test]
fn rows_whose_number_was_changed_to_any_are_told_and_nothing_else_happens() {
    for number in ["-1", "0", "9223372036854775807", "-9223372036854775808", "2"] {
        let dir = new_store();
        let ledger = open(dir.path());
        (0..6).for_each(|_| commit_together(&ledger, 1));
        assert_eq!(ledger.audit_remove(vec![1, 2, 3]).expect("it can be written"), 3);
        let sql = format!("UPDATE trail SET first = {number} WHERE first = 1");
        ledger.with_writer(move |writer| Ok(writer.db.execute_batch(&sql)?));
        assert_eq!(ledger.audit_verify().expect("the trail can be walked").broken_at, Some(1), "{number}");
        for sequence in 1..=3 {
            assert!(ledger.audit_holds(sequence, [1; 32]).is_err(), "{number}");
            assert!(ledger.audit_after(sequence - 1, 9).is_err(), "{number}");
        }
        assert!(ledger.audit_remove(vec![4]).is_err(), "{number}");
    }
}
