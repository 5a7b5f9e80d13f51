//! What a start reads: in pieces, wherever it stands at that moment, and with its progress told.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::{KEY, add, claim, commit, new_store, open};
use crate::embedded::reads::RECORDS_MAX;
use crate::embedded::{EmbeddedLedger, Progress};
use crate::{Change, CredentialId, Entry, Figures, Ledger, Record, Stored};

#[test]
fn records_are_loaded_whole_wherever_they_stand() {
    let dir = new_store();
    let ledger = open(dir.path());
    let mut model = BTreeMap::new();
    let count = 3 * RECORDS_MAX + 17;
    // In the table, in a generation that is folded half, and in the backlog; each rewrites and deletes some.
    for round in 0..3_u8 {
        let changes: Vec<Change> = (0..count)
            .filter(|n| n % 3 == usize::from(round) || n % 5 == 0)
            .map(|n| change(&mut model, n, round))
            .collect();
        for part in changes.chunks(500) {
            commit(&ledger, Entry { changes: part.to_vec(), ..Entry::default() });
        }
        match round {
            0 => ledger.rest(),
            1 => ledger.fold_some(count / 4),
            _ => {}
        }
        check_records(&ledger, &model);
    }
    drop(ledger);
    check_records(&open(dir.path()), &model);
}

#[test]
fn credentials_come_before_records_and_in_order() {
    let dir = new_store();
    let ledger = open(dir.path());
    let put = Change::Put { kind: 1, key: vec![1], value: vec![2] };
    commit(&ledger, Entry { changes: vec![put], ..Entry::default() });
    let id = |n: u32| CredentialId((u128::from(n) << 96).to_be_bytes());
    let adds = (0..9_000).map(|n| Change::AddCredential { credential: id(n), value: u64::from(n) });
    let adds: Vec<Change> =
        adds.chain([Change::AddCredential { credential: CredentialId([255; 16]), value: 7 }]).collect();
    for part in adds.chunks(1000) {
        commit(&ledger, Entry { changes: part.to_vec(), ..Entry::default() });
    }
    let mut found = Vec::new();
    ledger.load_each(&mut |stored| found.push(stored)).expect("an open ledger can be loaded");
    let is_record = |stored: &Stored| matches!(stored, Stored::Record(_));
    assert_eq!(found.iter().position(is_record), Some(9_001));
    let ids = found.iter().filter_map(|stored| match stored {
        Stored::Credential(credential) => Some(credential.id),
        Stored::Record(_) => None,
    });
    assert!(ids.eq((0..9_000).map(id).chain([CredentialId([255; 16])])));
}

#[test]
fn a_start_tells_how_far_it_is_and_ends_at_the_end() {
    let dir = new_store();
    let ledger = open(dir.path());
    let put = |n: u8| Change::Put { kind: 1, key: vec![n], value: vec![n] };
    commit(&ledger, add(1, 0));
    commit(&ledger, Entry { changes: (1..=9).map(put).collect(), ..Entry::default() });
    ledger.close().expect("it can be closed");
    let told = RefCell::new(Vec::new());
    let tell = |progress: Progress| told.borrow_mut().push(progress);
    EmbeddedLedger::open_with(dir.path(), &KEY, Box::new(|_| {}), &tell).expect("the store opens");
    // Nine records, and one row of credentials.
    assert_eq!(told.into_inner(), [Progress { rows: 10, of: 10 }]);
}

#[test]
fn figures_tell_what_was_done() {
    let dir = new_store();
    let ledger = open(dir.path());
    assert_eq!(ledger.figures(), Figures::default());
    commit(&ledger, add(1, 0));
    commit(&ledger, claim(1, 1, 1));
    // A question that comes after it is answered when the figures are shown.
    ledger.last();
    ledger.last();
    let figures = ledger.figures();
    assert_eq!((figures.commits, figures.entries, figures.largest_batch), (2, 2, 1));
    assert_eq!((figures.backlog_rows, figures.folds), (2, 0));
    assert!(figures.backlog_bytes > 0 && figures.log_pages > 0);
    ledger.rest();
    ledger.last();
    let figures = ledger.figures();
    assert_eq!((figures.backlog_rows, figures.backlog_bytes, figures.log_pages, figures.folds), (0, 0, 0, 1));
}

fn change(model: &mut BTreeMap<(u8, Vec<u8>), Vec<u8>>, n: usize, round: u8) -> Change {
    let kind = u8::try_from(n % 2).expect("it is 0 or 1");
    let key = (n as u64).to_be_bytes().to_vec();
    if n % 7 == usize::from(round) {
        model.remove(&(kind, key.clone()));
        return Change::Delete { kind, key };
    }
    let value = vec![round; 5];
    model.insert((kind, key.clone()), value.clone());
    Change::Put { kind, key, value }
}

fn check_records(ledger: &EmbeddedLedger, model: &BTreeMap<(u8, Vec<u8>), Vec<u8>>) {
    let contents = ledger.load().expect("an open ledger can be loaded");
    let expected = model.iter().map(|((kind, key), value)| Record {
        kind: *kind,
        key: key.clone(),
        value: value.clone(),
    });
    assert!(contents.records.into_iter().eq(expected));
}
