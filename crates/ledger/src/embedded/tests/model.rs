//! The engine against plain maps: any entries, with the store closed, dropped and folded at any moment.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{new_store, open};
use crate::batch::tests::{any_credential, any_entry};
use crate::embedded::EmbeddedLedger;
use crate::{
    AuditEntry, Change, ClaimId, Contents, CredentialId, Entry, Ledger, Outcome, Pending, Refusal, StartState,
};

#[derive(Clone, Debug)]
enum Step {
    Submit(Vec<Entry>),
    Fold,
    Slice(usize),
    Close,
    Drop,
}

#[derive(Clone, Default)]
struct Model {
    credentials: BTreeMap<CredentialId, (u64, ClaimId)>,
    records: BTreeMap<(u8, Vec<u8>), Vec<u8>>,
    audit: Vec<AuditEntry>,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    // covers: G01, G05
    #[test]
    fn the_ledger_does_what_plain_maps_do(steps in prop::collection::vec(any_step(), 1..24)) {
        let dir = new_store();
        let mut ledger = open(dir.path());
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Submit(entries) => {
                    let expected: Vec<_> = entries.iter().map(|entry| model.decide(entry)).collect();
                    let pending: Vec<_> = entries.into_iter().map(|entry| ledger.submit(entry)).collect();
                    let outcomes: Vec<_> = pending.into_iter().map(Pending::wait).collect();
                    prop_assert_eq!(outcomes, expected);
                }
                Step::Fold => ledger.rest(),
                Step::Slice(rows) => ledger.fold_some(rows),
                Step::Close => {
                    ledger.close().expect("nothing keeps it from closing");
                    ledger = open(dir.path());
                    prop_assert_eq!(ledger.start_state(), StartState::Clean);
                }
                Step::Drop => {
                    drop(ledger);
                    ledger = open(dir.path());
                    prop_assert_eq!(ledger.start_state(), StartState::Unclean);
                }
            }
            model.check(&ledger)?;
        }
        model.check_audit(&ledger)?;
        drop(ledger);
        model.check_audit(&open(dir.path()))?;
    }
}

impl Model {
    fn decide(&mut self, entry: &Entry) -> Outcome {
        let before = self.clone();
        let outcome = self.attempt(entry);
        if outcome != Outcome::Committed {
            *self = before;
        }
        outcome
    }

    fn attempt(&mut self, entry: &Entry) -> Outcome {
        if let Some(claim) = entry.claim {
            let Some((value, by)) = self.credentials.get_mut(&claim.credential) else {
                return Outcome::NotCommitted(Refusal::NoSuchCredential);
            };
            if (*value, *by) == (claim.to, claim.id) {
                return Outcome::Committed;
            }
            if *value >= claim.to {
                return Outcome::NotCommitted(Refusal::Superseded { value: *value, by: *by });
            }
            (*value, *by) = (claim.to, claim.id);
        }
        for change in entry.changes.clone() {
            match change {
                Change::AddCredential { credential, value } => {
                    if self.credentials.insert(credential, (value, ClaimId([0; 16]))).is_some() {
                        return Outcome::NotCommitted(Refusal::CredentialExists);
                    }
                }
                Change::MoveCredential { from, to } => {
                    let Some((value, _)) = self.credentials.get(&from).copied() else {
                        return Outcome::NotCommitted(Refusal::NoSuchCredential);
                    };
                    if self.credentials.contains_key(&to) {
                        return Outcome::NotCommitted(Refusal::CredentialExists);
                    }
                    self.credentials.remove(&from);
                    self.credentials.insert(to, (value, ClaimId([0; 16])));
                }
                Change::RemoveCredential { credential } => drop(self.credentials.remove(&credential)),
                Change::Put { kind, key, value } => drop(self.records.insert((kind, key), value)),
                Change::Delete { kind, key } => drop(self.records.remove(&(kind, key))),
            }
        }
        self.audit.extend(entry.audit.clone());
        Outcome::Committed
    }

    fn check(&self, ledger: &EmbeddedLedger) -> Result<(), TestCaseError> {
        let Contents { credentials, records } = ledger.load().expect("an open ledger can be loaded");
        let credentials: BTreeMap<_, _> =
            credentials.into_iter().map(|stored| (stored.id, (stored.value, stored.by))).collect();
        let records: BTreeMap<_, _> =
            records.into_iter().map(|stored| ((stored.kind, stored.key), stored.value)).collect();
        prop_assert_eq!(&credentials, &self.credentials);
        prop_assert_eq!(&records, &self.records);
        for ((kind, key), value) in &self.records {
            let found = ledger.record(*kind, key).expect("an open ledger can be read");
            prop_assert_eq!(found.as_ref(), Some(value));
        }
        prop_assert_eq!(ledger.record(9, &[9]).expect("an open ledger can be read"), None);
        Ok(())
    }

    fn check_audit(&self, ledger: &EmbeddedLedger) -> Result<(), TestCaseError> {
        let lines = ledger.audit_after(0, usize::MAX).expect("the trail can be read");
        prop_assert!(lines.iter().map(|line| line.sequence).eq(1..=self.audit.len() as u64));
        let entries: Vec<_> = lines
            .iter()
            .map(|line| AuditEntry { reference: line.reference, body: line.body.clone() })
            .collect();
        prop_assert_eq!(&entries, &self.audit);
        let report = ledger.audit_verify().expect("the trail can be walked");
        prop_assert_eq!((report.records, report.broken_at), (self.audit.len() as u64, None));
        if let Some(line) = lines.last() {
            prop_assert_eq!(line.chain, report.head);
            let found = ledger.audit_by_reference(line.reference).expect("the trail can be searched");
            prop_assert_eq!(found.as_ref(), Some(line));
        }
        Ok(())
    }
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => prop::collection::vec(any_entry_with_moves(), 1..6).prop_map(Step::Submit),
        1 => Just(Step::Fold),
        2 => (1..6_usize).prop_map(Step::Slice),
        1 => Just(Step::Close),
        2 => Just(Step::Drop),
    ]
}

/// Entries with moves among their changes; the batches on disk know none.
fn any_entry_with_moves() -> impl Strategy<Value = Entry> {
    let a_move = (any_credential(), any_credential(), any::<prop::sample::Index>());
    (any_entry(), prop::collection::vec(a_move, 0..3)).prop_map(|(mut entry, moves)| {
        for (from, to, at) in moves {
            let at = at.index(entry.changes.len() + 1);
            entry.changes.insert(at, Change::MoveCredential { from, to });
        }
        entry
    })
}
