//! A ledger in memory, for the tests of its users: the same decisions, and nothing durable.
//!
//! It can be told to hold its outcomes back, to refuse, or to end in doubt, which a real disk does only when it
//! fails. Not for anything but tests: what it holds ends with it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::batch::within_bounds;
use crate::decide::{Decision, Round, apply};
use crate::mac::MacKey;
use crate::standings::Standings;
use crate::{
    AuditLine, AuditReport, AuditStretch, Change, Entry, Figures, Ledger, Outcome, Pending, ReadError,
    Record, Refusal, Stored,
};

/// What becomes of entries that are submitted.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Fate {
    /// They are decided and answered at once.
    #[default]
    Decide,
    /// They are decided at once, and answered when [`MemoryLedger::release`] is called.
    Hold,
    /// They are refused for this reason, undecided.
    Refuse(Refusal),
    /// They are decided and written if they win, and all of them are answered with [`Outcome::Unknown`].
    LoseAnswers,
    /// Nothing of them is written, and they are answered with [`Outcome::Unknown`].
    LoseEntries,
}

/// Test support: a [`Ledger`] in memory.
#[derive(Debug, Default)]
pub struct MemoryLedger {
    // Held for one entry or one reading; protects everything.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    fate: Fate,
    standings: Standings,
    records: BTreeMap<(u8, Vec<u8>), Vec<u8>>,
    audit: Vec<AuditLine>,
    /// Chain values of lines that were removed.
    removed: BTreeMap<u64, [u8; 32]>,
    /// A line that is told to be not as it was written.
    damaged: Option<u64>,
    held: Vec<(oneshot::Sender<Outcome>, Outcome)>,
    /// Each entry is a commit of its own.
    figures: Figures,
    is_closed: bool,
}

impl MemoryLedger {
    /// An empty ledger that answers at once.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says what becomes of the entries that are submitted from now on.
    pub fn set_fate(&self, fate: Fate) {
        self.state().fate = fate;
    }

    /// Answers everything that is held, in order.
    pub fn release(&self) {
        let held = std::mem::take(&mut self.state().held);
        for (tell, outcome) in held {
            // A test may have stopped waiting.
            let _ = tell.send(outcome);
        }
    }

    /// Has a line of the audit trail be not as it was written.
    pub fn damage(&self, sequence: u64) {
        self.state().damaged = Some(sequence);
    }

    /// How many outcomes are held.
    pub fn held(&self) -> usize {
        self.state().held.len()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ledger for MemoryLedger {
    fn submit(&self, entry: Entry) -> Pending {
        let mut state = self.state();
        if state.is_closed {
            return Pending::ready(Outcome::NotCommitted(Refusal::Closed));
        }
        match state.fate.clone() {
            Fate::Decide => Pending::ready(state.write(entry)),
            Fate::Hold => {
                let outcome = state.write(entry);
                let (tell, pending) = Pending::channel();
                state.held.push((tell, outcome));
                pending
            }
            Fate::Refuse(refusal) => Pending::ready(Outcome::NotCommitted(refusal)),
            Fate::LoseAnswers => {
                state.write(entry);
                Pending::ready(Outcome::Unknown)
            }
            Fate::LoseEntries => Pending::ready(Outcome::Unknown),
        }
    }

    fn load_each(&self, each: &mut dyn FnMut(Stored)) -> Result<(), ReadError> {
        // The lock is not held while others' code runs.
        let (credentials, records): (Vec<_>, Vec<_>) = {
            let state = self.state();
            (state.standings.iter().copied().collect(), state.records.iter().map(record).collect())
        };
        credentials.into_iter().for_each(|credential| each(Stored::Credential(credential)));
        records.into_iter().for_each(|record| each(Stored::Record(record)));
        Ok(())
    }

    fn record(&self, kind: u8, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        Ok(self.state().records.get(&(kind, key.to_vec())).cloned())
    }

    fn figures(&self) -> Figures {
        let state = self.state();
        Figures { audit_newest: state.audit.last().map_or(0, |line| line.sequence), ..state.figures }
    }

    fn audit_after(&self, after: u64, limit: usize) -> Result<Vec<AuditLine>, ReadError> {
        let AuditStretch { lines, damaged } = self.audit_around_damage(after, limit)?;
        match damaged {
            Some(damaged) => Err(ReadError::Damaged { what: "audit line", row: damaged.start().to_string() }),
            None => Ok(lines),
        }
    }

    fn audit_around_damage(&self, after: u64, limit: usize) -> Result<AuditStretch, ReadError> {
        let state = self.state();
        let mut lines: Vec<_> =
            state.audit.iter().filter(|line| line.sequence > after).take(limit).cloned().collect();
        let bad = state.damaged.filter(|bad| lines.iter().any(|line| line.sequence == *bad));
        lines.retain(|line| bad.is_none_or(|bad| line.sequence < bad));
        Ok(AuditStretch { lines, damaged: bad.map(|bad| bad..=bad) })
    }

    fn audit_holds(&self, sequence: u64, head: [u8; 32]) -> Result<bool, ReadError> {
        let state = self.state();
        let line = state.audit.iter().find(|line| line.sequence == sequence).map(|line| line.chain);
        let first = (sequence == 0).then_some([0; 32]);
        Ok(first.or(line).or(state.removed.get(&sequence).copied()) == Some(head))
    }

    fn audit_remove(&self, sequences: Vec<u64>) -> Result<u64, ReadError> {
        let mut state = self.state();
        // The store rewrites whole rows: here one has two lines.
        if let Some(bad) = state.damaged.filter(|bad| sequences.iter().any(|one| one / 2 == bad / 2)) {
            return Err(ReadError::Damaged { what: "audit line", row: bad.to_string() });
        }
        let newest = state.audit.last().map_or(0, |line| line.sequence);
        let is_wanted = |line: &mut AuditLine| line.sequence < newest && sequences.contains(&line.sequence);
        let gone: Vec<_> = state.audit.extract_if(.., is_wanted).collect();
        state.removed.extend(gone.iter().map(|line| (line.sequence, line.chain)));
        Ok(gone.len() as u64)
    }

    fn settle_loss(&self) -> Result<(), ReadError> {
        Ok(())
    }

    fn audit_newest(&self) -> Result<u64, ReadError> {
        Ok(self.state().audit.last().map_or(0, |line| line.sequence))
    }

    fn audit_by_reference(&self, reference: [u8; 8]) -> Result<Option<AuditLine>, ReadError> {
        Ok(self.state().audit.iter().rfind(|line| line.reference == reference).cloned())
    }

    fn audit_verify(&self) -> Result<AuditReport, ReadError> {
        let state = self.state();
        let head = state.audit.last().map_or([0; 32], |line| line.chain);
        let (records, removed) = (state.audit.len() as u64, state.removed.len() as u64);
        Ok(AuditReport { records, removed, broken_at: None, head })
    }

    fn close(&self) -> Result<(), ReadError> {
        self.state().is_closed = true;
        self.release();
        Ok(())
    }
}

impl State {
    fn write(&mut self, mut entry: Entry) -> Outcome {
        if !within_bounds(&entry) {
            return Outcome::NotCommitted(Refusal::OutOfBounds);
        }
        let mut round = Round::new(&self.standings);
        match round.decide(&mut entry) {
            Decision::Write => {
                let moves = round.into_moves();
                apply(&mut self.standings, &moves);
                self.write_rest(entry);
                self.figures.commits += 1;
                self.figures.entries += 1;
                self.figures.largest_batch = 1;
                Outcome::Committed
            }
            Decision::Follow | Decision::Already => Outcome::Committed,
            Decision::Refuse(refusal) => Outcome::NotCommitted(refusal),
        }
    }

    fn write_rest(&mut self, entry: Entry) {
        for change in entry.changes {
            match change {
                Change::Put { kind, key, value } => {
                    self.records.insert((kind, key), value);
                }
                Change::Delete { kind, key } => {
                    self.records.remove(&(kind, key));
                }
                Change::AddCredential { .. }
                | Change::RemoveCredential { .. }
                | Change::MoveCredential { .. } => {}
            }
        }
        if let Some(audit) = entry.audit {
            let (sequence, before) =
                self.audit.last().map_or((1, [0; 32]), |line| (line.sequence + 1, line.chain));
            let chain = MacKey::derive(&[0; 32], "test audit", &[]).mac(&[
                &before,
                &sequence.to_be_bytes(),
                &audit.reference,
                &audit.body,
            ]);
            self.audit.push(AuditLine { sequence, reference: audit.reference, body: audit.body, chain });
        }
    }
}

fn record(((kind, key), value): (&(u8, Vec<u8>), &Vec<u8>)) -> Record {
    Record { kind: *kind, key: key.clone(), value: value.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AuditEntry, Claim, ClaimId, Credential, CredentialId};

    #[test]
    fn a_claim_wins_once_and_its_audit_line_is_chained() {
        let ledger = MemoryLedger::new();
        assert_eq!(ledger.submit(add()).wait(), Outcome::Committed);
        assert_eq!(ledger.submit(claim(1)).wait(), Outcome::Committed);
        assert_eq!(ledger.submit(claim(1)).wait(), Outcome::Committed);
        let by = ClaimId([1; 16]);
        let superseded = Outcome::NotCommitted(Refusal::Superseded { value: 5, by });
        assert_eq!(ledger.submit(claim(2)).wait(), superseded);
        assert_eq!(ledger.audit_verify().expect("it is in memory").records, 1);
        assert_eq!(ledger.load().expect("it is in memory").credentials[0].value, 5);
    }

    #[test]
    fn outcomes_are_held_refused_or_lost_as_told() {
        let ledger = MemoryLedger::new();
        ledger.set_fate(Fate::Hold);
        let pending = ledger.submit(add());
        assert_eq!(ledger.held(), 1);
        ledger.release();
        assert_eq!(pending.wait(), Outcome::Committed);
        ledger.set_fate(Fate::Refuse(Refusal::StorageFull));
        assert_eq!(ledger.submit(claim(1)).wait(), Outcome::NotCommitted(Refusal::StorageFull));
        ledger.set_fate(Fate::LoseEntries);
        assert_eq!(ledger.submit(claim(1)).wait(), Outcome::Unknown);
        assert_eq!(ledger.load().expect("it is in memory").credentials[0].value, 0);
        ledger.set_fate(Fate::LoseAnswers);
        assert_eq!(ledger.submit(claim(1)).wait(), Outcome::Unknown);
        assert_eq!(ledger.load().expect("it is in memory").credentials[0].value, 5);
        ledger.close().expect("it is in memory");
        assert_eq!(ledger.submit(claim(1)).wait(), Outcome::NotCommitted(Refusal::Closed));
    }

    #[test]
    fn a_credential_takes_its_value_to_another_name() {
        let ledger = MemoryLedger::new();
        assert_eq!(ledger.submit(add()).wait(), Outcome::Committed);
        let moved = CredentialId([2; 16]);
        let change = Change::MoveCredential { from: CREDENTIAL, to: moved };
        let entry = Entry { changes: vec![change], ..claim(1) };
        assert_eq!(ledger.submit(entry).wait(), Outcome::Committed);
        let stored = Credential { id: moved, value: 5, by: ClaimId([0; 16]) };
        assert_eq!(ledger.load().expect("it is in memory").credentials, [stored]);
        assert_eq!(ledger.submit(claim(2)).wait(), Outcome::NotCommitted(Refusal::NoSuchCredential));
    }

    const CREDENTIAL: CredentialId = CredentialId([1; 16]);

    fn add() -> Entry {
        let change = Change::AddCredential { credential: CREDENTIAL, value: 0 };
        Entry { changes: vec![change], ..Entry::default() }
    }

    fn claim(id: u8) -> Entry {
        let claim = Claim { credential: CREDENTIAL, to: 5, id: ClaimId([id; 16]) };
        let audit = AuditEntry { reference: [id; 8], body: Vec::new() };
        Entry { claim: Some(claim), audit: Some(audit), ..Entry::default() }
    }
}
