//! Lets one code of a user at a time be compared before it is counted, and remembers for which place nothing speaks
//! against that (see `engine::throttle`). `tests/gate.rs` counts, in all interleavings it can find, how many codes are
//! compared.

use super::sync::{AtomicU64, Ordering};

/// Nobody passes, and nothing is known.
const CLOSED: u64 = 0;

/// Somebody passes.
const PASSING: u64 = 1;

/// Somebody passes, and what he learns is no longer so.
const SPOILED: u64 = 2;

/// A gate. Everything else that it holds is a [`Place`] that is known to be quiet.
#[derive(Debug, Default)]
pub struct Gate(AtomicU64);

/// A place of a user, on one day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(u64);

impl Place {
    /// * `key`: the count of the user and the place, a keyed hash: 48 bits of it are compared.
    /// * `day`: since the Unix epoch; on another day it is asked for anew.
    pub fn new(key: &[u8; 16], day: u64) -> Self {
        const OPEN: u64 = 1 << 63;
        let hash = u64::from_be_bytes(*key.first_chunk().expect("16 bytes hold 8"));
        Self(OPEN | (hash >> 1) & !0x7fff | day & 0x7fff)
    }
}

/// One who has passed. Dropped, he makes room for the next.
#[derive(Debug)]
pub struct Passing<'a> {
    gate: &'a Gate,
    before: u64,
    after: u64,
}

impl Gate {
    /// Passes, if nobody does.
    pub fn pass(&self) -> Option<Passing<'_>> {
        let before = self.0.load(Ordering::Relaxed);
        if before == PASSING || before == SPOILED {
            return None;
        }
        let passed = self.0.compare_exchange(before, PASSING, Ordering::AcqRel, Ordering::Relaxed);
        passed.ok().map(|before| Passing { gate: self, before, after: CLOSED })
    }

    /// A try of the user is counted from now on: what is known of a place is no longer so. Whether somebody passes.
    pub fn spoil(&self) -> bool {
        let spoilt = |state| match state {
            PASSING | SPOILED => SPOILED,
            _ => CLOSED,
        };
        let spoiled = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |state| Some(spoilt(state)));
        spoiled.is_ok_and(|before| spoilt(before) == SPOILED)
    }
}

impl Passing<'_> {
    /// Whether it is known that nothing speaks against this place.
    pub fn knows(&self, place: Place) -> bool {
        self.before == place.0
    }

    /// Nothing speaks against this place, as long as nobody spoils it.
    pub fn learn(&mut self, place: Place) {
        self.after = place.0;
    }

    /// Nothing is known from now on.
    pub fn forget(&mut self) {
        self.after = CLOSED;
    }
}

impl Drop for Passing<'_> {
    fn drop(&mut self) {
        let ended = self.gate.0.compare_exchange(PASSING, self.after, Ordering::AcqRel, Ordering::Relaxed);
        if ended.is_err() {
            self.gate.0.store(CLOSED, Ordering::Release);
        }
    }
}
