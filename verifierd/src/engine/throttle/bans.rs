//! Counts that make somebody wait, in words, for administrators.
//!
//! A count is known by a keyed hash, which tells nobody whose it is. Those that make somebody wait are few; for them what
//! they stand for is kept beside, and in their record.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use super::count::Lane;
use crate::expiry::Key;

/// Most that are kept in words, some 0.3 kB each. Beyond, counts make people wait all the same, and are not listed.
pub const BANS_MAX: usize = 10_000;

/// Bytes of a key that stand in a ban's id: of ten thousand, two share one in one of eighty thousand cases.
const ID_BYTES: usize = 5;

/// Whose tries a count counts, as far as it tells them apart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Whose {
    /// The account that is tried; none where it counts all users.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The host of the fleet; none where it counts all of them, or none is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Where the tries come from; none where it counts all places.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
}

impl Whose {
    /// What a count of this sort tells apart.
    pub(super) fn seen_by(&self, lane: Lane) -> Self {
        let Self { user, host, place } = self.clone();
        match lane {
            Lane::Pair | Lane::HostPair => Self { user, host, place },
            Lane::Elsewhere => Self { user, host: None, place: None },
            Lane::Host | Lane::HostTotal => Self { user, host, place: None },
            Lane::Source => Self { user: None, host, place },
            Lane::FleetSource => Self { user: None, host: None, place },
        }
    }
}

/// A count that makes somebody wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ban {
    /// Which: ten hexadecimal digits.
    pub id: String,
    /// Whose tries it counts.
    pub whose: Whose,
    /// How many failed in a row.
    pub failures: u32,
    /// How long the next one has to wait.
    pub wait: Duration,
}

/// The words of those counts.
#[derive(Debug, Default)]
pub(super) struct Bans {
    words: Mutex<HashMap<Key, Whose>>,
    /// How many there are, so that a login that ends none takes no lock.
    length: AtomicUsize,
}

impl Bans {
    /// Keeps the words of a count; `false` where there is no room.
    pub(super) fn keep(&self, key: Key, whose: Whose) -> bool {
        let mut words = self.lock();
        let has_room = words.len() < BANS_MAX || words.contains_key(&key);
        if has_room {
            words.insert(key, whose);
        }
        self.length.store(words.len(), Ordering::Relaxed);
        has_room
    }

    /// Forgets those of which something holds.
    pub(super) fn forget_where(&self, is_so: impl Fn(&Key) -> bool) {
        let mut words = self.lock();
        words.retain(|key, _| !is_so(key));
        self.length.store(words.len(), Ordering::Relaxed);
    }

    /// The count makes nobody wait any more.
    pub(super) fn forget(&self, key: &Key) {
        if self.length.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut words = self.lock();
        words.remove(key);
        self.length.store(words.len(), Ordering::Relaxed);
    }

    pub(super) fn of(&self, key: &Key) -> Option<Whose> {
        if self.length.load(Ordering::Relaxed) == 0 {
            return None;
        }
        self.lock().get(key).cloned()
    }

    pub(super) fn all(&self) -> Vec<(Key, Whose)> {
        self.lock().iter().map(|(key, whose)| (*key, whose.clone())).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Whose>> {
        self.words.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What administrators call a count.
pub(super) fn id(key: &Key) -> String {
    HEXLOWER.encode(&key[..ID_BYTES])
}
