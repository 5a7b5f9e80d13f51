//! Records of the trail that are not as they were written: told loudly, and gone on behind.
//!
//! Whoever reads the trail for a purpose of its own (a sink, retention) comes upon them; that each of them would stop there for
//! ever helps nobody but who did the damage. Does not look for damage: `postern audit verify` does.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ledger::{Entry, Ledger, Outcome};

use super::{AuditRecord, Reference, rfc3339};
use crate::clock::UnixTime;

/// Places that are told one by one, in the log and in the trail itself; more of them are counted. A disk that goes bad has
/// many.
const PLACES_MAX: usize = 64;

/// What was come upon since the start. Whoever comes later finds nothing new.
#[derive(Debug, Default)]
pub struct Damage {
    /// First and last record of each place. Locked for a look or a change.
    places: Mutex<BTreeMap<u64, u64>>,
}

impl Damage {
    /// Tells of a place, once. Blocks for a commit.
    pub fn note(&self, damaged: &RangeInclusive<u64>, ledger: &dyn Ledger, now: UnixTime) {
        let (first, last) = (*damaged.start(), *damaged.end());
        let count = {
            let mut places = self.lock();
            if places.range(..=first).next_back().is_some_and(|(_, until)| *until >= last) {
                return;
            }
            // A place that was seen to begin later, or to end sooner, is the same.
            places.retain(|from, until| *from < first || *until > last);
            places.insert(first, last);
            // Joined without bound, the oldest ones are one place.
            while places.len() > PLACES_MAX + 1 {
                let (Some((from, _)), Some((_, until))) = (places.pop_first(), places.pop_first()) else {
                    break;
                };
                places.insert(from, until);
            }
            places.len()
        };
        if count > PLACES_MAX {
            return;
        }
        tracing::error!(
            first,
            last,
            "ALERT: records of the audit trail are not as they were written: sinks and retention leave them out"
        );
        let record = AuditRecord {
            at: rfc3339(now),
            event: "audit_damaged".into(),
            reason: "checksum".into(),
            detail: Some(format!("{} cannot be read, and are in no sink", named(first, last))),
            ..AuditRecord::default()
        };
        // Without randomness it has no name, and the log has it all the same.
        let audit = Reference::draw().ok().map(|reference| super::entry(&record, reference));
        let outcome = ledger.submit(Entry { audit, ..Entry::default() }).wait();
        if outcome != Outcome::Committed {
            tracing::warn!(first, last, ?outcome, "the store took no record of the damage");
        }
    }

    /// How many records cannot be read, as far as it was come upon.
    pub fn records(&self) -> u64 {
        self.lock().iter().map(|(first, last)| last - first + 1).sum()
    }

    /// What is to be said about it in the status, if anything is.
    pub fn alarm(&self) -> Option<String> {
        let places = self.lock();
        let (first, last) = places.first_key_value()?;
        let others = match places.len() - 1 {
            0 => String::new(),
            others => format!(" and others at {others} more places"),
        };
        Some(format!(
            "{}{others} of the audit trail are not as they were written: sinks and retention leave them out; find out who \
             wrote to the store, or whether its disk fails, and see `postern audit verify`",
            named(*first, *last)
        ))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, u64>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn named(first: u64, last: u64) -> String {
    format!("records {first} to {last}")
}

#[cfg(test)]
mod tests {
    use ledger::memory::MemoryLedger;

    use super::*;

    // covers: P7
    #[test]
    fn each_place_is_told_once_and_there_is_an_end_to_it() {
        let (damage, ledger) = (Damage::default(), MemoryLedger::new());
        assert_eq!((damage.alarm(), damage.records()), (None, 0));
        let check = |place: RangeInclusive<u64>, records: u64, told: u64| {
            damage.note(&place, &ledger, 1_800_000_000);
            let newest = ledger.audit_newest().expect("a ledger in memory");
            assert_eq!((damage.records(), newest), (records, told), "{place:?}");
        };
        check(7..=7, 1, 1);
        check(7..=7, 1, 1);
        check(20..=22, 4, 2);
        check(21..=22, 4, 2);
        check(19..=25, 8, 3);
        assert!(
            damage.alarm().is_some_and(|said| said.starts_with("records 7 to 7 and others at 1 more places"))
        );
        (100..1_000).step_by(2).for_each(|first| damage.note(&(first..=first), &ledger, 1_800_000_000));
        let told = ledger.audit_newest().expect("a ledger in memory");
        assert_eq!(told, 3 + PLACES_MAX as u64 - 2);
        assert_eq!(damage.lock().len(), PLACES_MAX + 1);
    }
}
