//! All keys in memory. Read at every request with a key, changed by [`super::PersonKeys`].

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use ledger::Record;
use wire::admin::Role;

use super::{KeyId, KeyRecord, KeyRecordError};
use crate::accounts::kind;
use crate::clock::UnixTime;
use crate::people::Person;

/// How exactly the last use of a key is told, in seconds: enough to find keys that nobody uses.
const USE_STEP: u64 = 60;

/// A key that is kept.
#[derive(Debug)]
pub struct Held {
    /// What is kept of it.
    pub record: KeyRecord,
    /// The minute of its last use since the start; 0 before. Nothing is decided by it, so no order is needed.
    used: AtomicU64,
}

impl Held {
    /// Whether its time is over.
    pub fn is_over(&self, now: UnixTime) -> bool {
        now >= self.record.until
    }

    /// What may be done with it: the lesser of its own role and the person's, as he is now. `None` where he is not who it
    /// was made for any more.
    pub fn caller_role(&self, person: &Person) -> Option<Role> {
        let is_same = person.id == self.record.person && person.version() == self.record.version;
        is_same.then(|| self.record.role.min(person.role))
    }

    /// When it was last used since the start, to the minute.
    pub fn used(&self) -> Option<UnixTime> {
        Some(self.used.load(Ordering::Relaxed)).filter(|used| *used > 0)
    }

    pub(super) fn note_use(&self, now: UnixTime) {
        self.used.store(now - now % USE_STEP, Ordering::Relaxed);
    }
}

/// What a start finds in the ledger.
#[derive(Debug, Default)]
pub struct Loaded(Vec<KeyRecord>);

impl Loaded {
    /// Takes a record of the store in; those of other kinds are left alone.
    ///
    /// # Errors
    /// Where it cannot be understood.
    pub fn take(&mut self, record: &Record) -> Result<(), KeyRecordError> {
        if record.kind == kind::PERSON_KEY {
            self.0.push(KeyRecord::decode(&record.value)?);
        }
        Ok(())
    }

    pub(super) fn into_ring(self) -> Ring {
        let ring = Ring::default();
        for record in self.0 {
            ring.put(record);
        }
        ring
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Ring {
    /// By the keyed hash of the text. Held for one look or one change.
    keys: RwLock<HashMap<[u8; 16], Arc<Held>>>,
}

impl Ring {
    pub(super) fn by_hash(&self, hash: &[u8; 16]) -> Option<Arc<Held>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).get(hash).cloned()
    }

    pub(super) fn by_id(&self, id: KeyId) -> Option<Arc<Held>> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.values().find(|held| held.record.id == id).cloned()
    }

    /// By login name of the person and name of the key.
    pub(super) fn all(&self) -> Vec<Arc<Held>> {
        let mut all: Vec<_> =
            self.keys.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        all.sort_by(|one, other| {
            (&one.record.login, &one.record.name, one.record.id).cmp(&(
                &other.record.login,
                &other.record.name,
                other.record.id,
            ))
        });
        all
    }

    pub(super) fn len(&self) -> usize {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    pub(super) fn put(&self, record: KeyRecord) -> Arc<Held> {
        let held = Arc::new(Held { record, used: AtomicU64::new(0) });
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        keys.insert(held.record.hash, Arc::clone(&held));
        held
    }

    pub(super) fn remove(&self, id: KeyId) {
        self.keys.write().unwrap_or_else(PoisonError::into_inner).retain(|_, held| held.record.id != id);
    }
}
