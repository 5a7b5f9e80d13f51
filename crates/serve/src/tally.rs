//! What happens at a listener, in numbers.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::pace::Overdue;

/// Counts since the start. They say nothing to each other, so `Relaxed` is enough.
#[derive(Debug, Default)]
pub struct Tally {
    accepted: AtomicU64,
    turned_away: AtomicU64,
    failures: AtomicU64,
    overdue: AtomicU64,
    without_key: AtomicU64,
}

/// The counts at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tallied {
    /// Connections that were served.
    pub accepted: u64,
    /// Connections of callers who had all that one caller may have, and of strangers who made room for others.
    pub turned_away: u64,
    /// Times that none could be taken, for want of descriptors or memory.
    pub failures: u64,
    /// Connections that were ended because their caller was too slow.
    pub overdue: u64,
    /// Requests without the key, and handshakes that failed.
    pub without_key: u64,
}

impl Tally {
    pub(crate) fn count_accepted(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_turned_away(&self) {
        self.turned_away.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_failure(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// Silence is not slowness: it costs nobody anything.
    pub(crate) fn count_overdue(&self, overdue: Overdue) {
        match overdue {
            Overdue::Head | Overdue::Request | Overdue::Reply | Overdue::Conversation => {
                self.overdue.fetch_add(1, Ordering::Relaxed);
            }
            Overdue::Idle => {}
        }
    }

    /// A request without the key, or a handshake that failed.
    pub fn count_without_key(&self) {
        self.without_key.fetch_add(1, Ordering::Relaxed);
    }

    /// The counts now.
    pub fn read(&self) -> Tallied {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Tallied {
            accepted: read(&self.accepted),
            turned_away: read(&self.turned_away),
            failures: read(&self.failures),
            overdue: read(&self.overdue),
            without_key: read(&self.without_key),
        }
    }
}
