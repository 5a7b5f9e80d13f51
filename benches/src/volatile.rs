//! A ledger that keeps nothing: claims win or lose as in a real one, and end with the process.
//!
//! What a disk costs is the difference between this one and `EmbeddedLedger`. It keeps no audit trail and no records
//! that come after the start, and it never fails.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ledger::{
    AuditLine, AuditReport, Change, Claim, ClaimId, CredentialId, Entry, Figures, Ledger, Outcome, Pending,
    ReadError, Refusal, Stored,
};

use crate::population::Registrar;

/// Locks: more than threads by far, so that two rarely meet.
const SHARDS: usize = 1024;

/// Users whose records are in memory at once while they are loaded.
const USERS_AT_ONCE: u64 = 10_000;

/// Where a credential stands, and by whose claim.
type Standing = (u64, ClaimId);

/// Claims of a population, in memory.
#[derive(Debug)]
pub struct VolatileLedger {
    registrar: Registrar,
    users: u64,
    /// Each is held for one look and one update.
    shards: Vec<Mutex<HashMap<CredentialId, Standing>>>,
}

impl VolatileLedger {
    /// A ledger of the first `users` of the population: they are in it once it was loaded, as every service does.
    pub fn new(users: u64) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { registrar: Registrar::default(), users, shards }
    }

    fn shard(&self, credential: CredentialId) -> MutexGuard<'_, HashMap<CredentialId, Standing>> {
        let [first, second, ..] = credential.0;
        let shard = usize::from(u16::from_be_bytes([first, second])) % SHARDS;
        self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn make(&self, change: Change) {
        match change {
            Change::AddCredential { credential, value } => {
                self.shard(credential).insert(credential, (value, ClaimId([0; 16])));
            }
            Change::RemoveCredential { credential } => {
                self.shard(credential).remove(&credential);
            }
            Change::MoveCredential { from, to } => {
                let standing = self.shard(from).remove(&from);
                if let Some((value, _)) = standing {
                    self.shard(to).insert(to, (value, ClaimId([0; 16])));
                }
            }
            Change::Put { .. } | Change::Delete { .. } => {}
        }
    }

    fn claim(&self, claim: Claim) -> Outcome {
        let mut shard = self.shard(claim.credential);
        match shard.get_mut(&claim.credential) {
            None => Outcome::NotCommitted(Refusal::NoSuchCredential),
            Some(standing) if standing.0 < claim.to => {
                *standing = (claim.to, claim.id);
                Outcome::Committed
            }
            Some(&mut (value, by)) if value == claim.to && by == claim.id => Outcome::Committed,
            Some(&mut (value, by)) => Outcome::NotCommitted(Refusal::Superseded { value, by }),
        }
    }
}

impl Ledger for VolatileLedger {
    fn submit(&self, entry: Entry) -> Pending {
        let outcome = entry.claim.map_or(Outcome::Committed, |claim| self.claim(claim));
        if outcome == Outcome::Committed {
            entry.changes.into_iter().for_each(|change| self.make(change));
        }
        Pending::ready(outcome)
    }

    fn load_each(&self, each: &mut dyn FnMut(Stored)) -> Result<(), ReadError> {
        for first in (0..self.users).step_by(USERS_AT_ONCE as usize) {
            let contents = self.registrar.contents(first..self.users.min(first + USERS_AT_ONCE));
            for credential in contents.credentials {
                let first = (credential.value, ClaimId([0; 16]));
                self.shard(credential.id).entry(credential.id).or_insert(first);
                each(Stored::Credential(credential));
            }
            contents.records.into_iter().map(Stored::Record).for_each(&mut *each);
        }
        Ok(())
    }

    fn record(&self, _kind: u8, _key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        Ok(None)
    }

    fn figures(&self) -> Figures {
        Figures::default()
    }

    fn audit_after(&self, _after: u64, _limit: usize) -> Result<Vec<AuditLine>, ReadError> {
        Ok(Vec::new())
    }

    fn audit_newest(&self) -> Result<u64, ReadError> {
        Ok(0)
    }

    fn audit_holds(&self, sequence: u64, _head: [u8; 32]) -> Result<bool, ReadError> {
        Ok(sequence == 0)
    }

    fn audit_remove(&self, _sequences: Vec<u64>) -> Result<u64, ReadError> {
        Ok(0)
    }

    fn audit_by_reference(&self, _reference: [u8; 8]) -> Result<Option<AuditLine>, ReadError> {
        Ok(None)
    }

    fn audit_verify(&self) -> Result<AuditReport, ReadError> {
        Ok(AuditReport { records: 0, removed: 0, broken_at: None, head: [0; 32] })
    }

    fn settle_loss(&self) -> Result<(), ReadError> {
        Ok(())
    }

    fn close(&self) -> Result<(), ReadError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_wins_once_and_its_retry_is_known() {
        let ledger = VolatileLedger::new(3);
        let credential = ledger.load().unwrap().credentials[1].id;
        let claim = |to, id| {
            let claim = Claim { credential, to, id: ClaimId([id; 16]) };
            ledger.submit(Entry { claim: Some(claim), ..Entry::default() }).wait()
        };
        assert_eq!(claim(5, 1), Outcome::Committed);
        assert_eq!(claim(5, 1), Outcome::Committed);
        let by = ClaimId([1; 16]);
        assert_eq!(claim(5, 2), Outcome::NotCommitted(Refusal::Superseded { value: 5, by }));
        assert_eq!(claim(6, 2), Outcome::Committed);
    }
}
