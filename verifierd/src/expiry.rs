//! Things that are forgotten after a time: throttles' counts, requests' verdicts, records of refusals.
//!
//! Whoever reads an entry looks at its age himself: a sweep only frees memory. Each entry stands in one bucket, that
//! of the second in which it is to be looked at again; so a sweep pays for what is due and for nothing else, in
//! batches of a bounded size, and holds one small lock at a time, never across two entries.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

/// What an entry is known by: a keyed hash, or random from the start, so that nobody outside chooses where it lies.
pub type Key = [u8; 16];

/// Locks of the entries: many, so that a login rarely meets the one that a sweep holds.
const ENTRY_SHARDS: usize = 1024;

/// Locks of the buckets.
const BUCKET_SHARDS: usize = 64;

/// How many keys are taken out of a bucket at a time.
const TAKEN_MAX: usize = 256;

/// What is to become of an entry that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It goes.
    Forget,
    /// It stays, and is looked at again then.
    Keep(Duration),
}

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Entries that it looked at.
    pub seen: usize,
    /// Entries that went.
    pub forgotten: usize,
}

/// What a table counted, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figures {
    /// The table's name.
    pub table: &'static str,
    /// Entries that it holds.
    pub entries: usize,
    /// Entries that sweeps have forgotten.
    pub forgotten: u64,
    /// Time that sweeps took.
    pub sweeping: Duration,
}

/// An entry and the one bucket that counts for it: one that was taken away and came again may be named by others too.
struct Slot<V> {
    value: V,
    second: u64,
}

/// Keys by the second in which they are to be looked at.
type Buckets = BTreeMap<u64, Vec<Key>>;

/// A table of things that are forgotten after a time.
pub struct Table<V> {
    name: &'static str,
    entries: DashMap<Key, Slot<V>, BuildHasherDefault<Prefix>>,
    buckets: Box<[Mutex<Buckets>]>,
    // Asking the map would look at all its shards.
    length: AtomicUsize,
    forgotten: AtomicU64,
    sweeping_ns: AtomicU64,
}

impl<V> Table<V> {
    /// Nothing yet.
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            entries: DashMap::with_hasher_and_shard_amount(BuildHasherDefault::default(), ENTRY_SHARDS),
            buckets: (0..BUCKET_SHARDS).map(|_| Mutex::default()).collect(),
            length: AtomicUsize::new(0),
            forgotten: AtomicU64::new(0),
            sweeping_ns: AtomicU64::new(0),
        }
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.length.load(Ordering::Relaxed)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether there is an entry.
    pub fn contains(&self, key: &Key) -> bool {
        self.entries.contains_key(key)
    }

    /// Looks at an entry, if there is one.
    pub fn look<R>(&self, key: &Key, look: impl FnOnce(&V) -> R) -> Option<R> {
        self.entries.get(key).map(|entry| look(&entry.value))
    }

    /// Changes an entry, if there is one.
    pub fn change<R>(&self, key: &Key, change: impl FnOnce(&mut V) -> R) -> Option<R> {
        self.entries.get_mut(key).map(|mut entry| change(&mut entry.value))
    }

    /// Changes an entry; where there is none, `new` makes it, and it is due at `due`.
    pub fn enter<R>(
        &self,
        key: Key,
        due: Duration,
        new: impl FnOnce() -> V,
        change: impl FnOnce(&mut V) -> R,
    ) -> R {
        match self.entries.entry(key) {
            Entry::Occupied(mut known) => change(&mut known.get_mut().value),
            Entry::Vacant(vacant) => {
                let second = second_after(due);
                let mut entry = vacant.insert(Slot { value: new(), second });
                self.length.fetch_add(1, Ordering::Relaxed);
                let done = change(&mut entry.value);
                drop(entry);
                self.schedule(key, second);
                done
            }
        }
    }

    /// Takes an entry away before it is due, if it is so. Its bucket still names it; the sweep finds nothing there.
    pub fn forget_if(&self, key: &Key, is_so: impl FnOnce(&V) -> bool) -> bool {
        let gone = self.entries.remove_if(key, |_, entry| is_so(&entry.value)).is_some();
        if gone {
            self.length.fetch_sub(1, Ordering::Relaxed);
        }
        gone
    }

    /// Asks of up to `most` entries that are due what is to become of them.
    ///
    /// * `fate`: is asked under the entry's lock, and may change it.
    /// * `gone`: is told of each that went.
    pub fn sweep(
        &self,
        now: Duration,
        most: usize,
        mut fate: impl FnMut(&mut V) -> Fate,
        mut gone: impl FnMut(Key),
    ) -> Swept {
        let mut swept = Swept::default();
        for bucket in 0..self.buckets.len() {
            while swept.seen < most {
                let (second, due) = self.take_due(bucket, now, TAKEN_MAX.min(most - swept.seen));
                if due.is_empty() {
                    break;
                }
                swept.seen += due.len();
                for key in due {
                    if self.settle(key, second, &mut fate) {
                        swept.forgotten += 1;
                        gone(key);
                    }
                }
            }
        }
        self.forgotten.fetch_add(swept.forgotten as u64, Ordering::Relaxed);
        swept
    }

    /// Looks at one of the entries that are due next, whenever that is: what a full table does to make room.
    pub fn sweep_one_near(&self, key: &Key, mut fate: impl FnMut(&mut V) -> Fate) {
        let (second, due) = self.take_due(bucket_of(key), Duration::MAX, 1);
        for key in due {
            if self.settle(key, second, &mut fate) {
                self.forgotten.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Counts what a sweep took.
    pub fn took(&self, time: Duration) {
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.sweeping_ns.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// What was counted.
    pub fn figures(&self) -> Figures {
        Figures {
            table: self.name,
            entries: self.len(),
            forgotten: self.forgotten.load(Ordering::Relaxed),
            sweeping: Duration::from_nanos(self.sweeping_ns.load(Ordering::Relaxed)),
        }
    }

    /// All entries, one shard at a time: for what happens seldom.
    pub fn each(&self, mut each: impl FnMut(&Key, &mut V)) {
        for mut entry in self.entries.iter_mut() {
            let (key, entry) = entry.pair_mut();
            each(key, &mut entry.value);
        }
    }

    /// * `second`: the bucket that names the entry.
    fn settle(&self, key: Key, second: u64, fate: &mut impl FnMut(&mut V) -> Fate) -> bool {
        let Entry::Occupied(mut entry) = self.entries.entry(key) else { return false };
        if entry.get().second != second {
            return false;
        }
        match fate(&mut entry.get_mut().value) {
            Fate::Forget => {
                drop(entry.remove());
                self.length.fetch_sub(1, Ordering::Relaxed);
                true
            }
            Fate::Keep(until) => {
                let second = second_after(until).max(second.saturating_add(1));
                entry.get_mut().second = second;
                drop(entry);
                self.schedule(key, second);
                false
            }
        }
    }

    fn schedule(&self, key: Key, second: u64) {
        let mut buckets = self.buckets[bucket_of(&key)].lock().unwrap_or_else(PoisonError::into_inner);
        buckets.entry(second).or_default().push(key);
    }

    /// Keys of the first bucket that is due, and its second.
    fn take_due(&self, bucket: usize, now: Duration, most: usize) -> (u64, Vec<Key>) {
        let mut buckets = self.buckets[bucket].lock().unwrap_or_else(PoisonError::into_inner);
        let Some(mut first) = buckets.first_entry().filter(|first| *first.key() <= now.as_secs()) else {
            return (0, Vec::new());
        };
        let second = *first.key();
        let keys = first.get_mut();
        let taken = keys.split_off(keys.len().saturating_sub(most));
        if keys.is_empty() {
            first.remove();
        }
        (second, taken)
    }
}

impl<V> fmt::Debug for Table<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Table({}, {})", self.name, self.len())
    }
}

/// Rounded up: what is looked at in its bucket's second is due.
fn second_after(due: Duration) -> u64 {
    due.as_secs().saturating_add(1)
}

fn bucket_of(key: &Key) -> usize {
    usize::from(key[15]) % BUCKET_SHARDS
}

/// The first eight bytes of a key are as good as any hash of it.
#[derive(Default)]
pub struct Prefix(u64);

impl Hasher for Prefix {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_ne_bytes(*first);
        }
    }

    // The length that arrays write before their bytes is the same for all keys.
    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn key(number: u64) -> Key {
        let mut key = [0; 16];
        key[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        key[15] = number as u8;
        key
    }

    fn table(entries: u64, due: Duration) -> Table<u64> {
        let table = Table::new("test");
        (0..entries).for_each(|number| table.enter(key(number), due, || number, |_| ()));
        table
    }

    fn sweep(table: &Table<u64>, now: Duration, most: usize) -> Swept {
        table.sweep(now, most, |_| Fate::Forget, |_| ())
    }

    #[test]
    fn a_sweep_takes_what_is_due_and_leaves_the_rest() {
        let table = table(1_000, MINUTE);
        table.enter(key(5_000), 2 * MINUTE, || 5_000, |_| ());
        assert_eq!(sweep(&table, MINUTE, usize::MAX), Swept::default());
        let swept = sweep(&table, MINUTE + Duration::from_secs(1), usize::MAX);
        assert_eq!(swept, Swept { seen: 1_000, forgotten: 1_000 });
        assert_eq!((table.len(), table.look(&key(5_000), |value| *value)), (1, Some(5_000)));
    }

    #[test]
    fn a_sweep_looks_at_no_more_than_it_may() {
        let table = table(10_000, MINUTE);
        let mut left = 10_000;
        while left > 0 {
            let swept = sweep(&table, 2 * MINUTE, 700);
            assert_eq!(swept.seen, left.min(700));
            left -= swept.seen;
        }
        assert_eq!(table.len(), 0);
    }

    #[test]
    fn what_is_kept_is_looked_at_again_in_its_time() {
        let table = table(1, MINUTE);
        let kept = table.sweep(2 * MINUTE, 10, |_| Fate::Keep(5 * MINUTE), |_| ());
        assert_eq!(kept, Swept { seen: 1, forgotten: 0 });
        assert_eq!(sweep(&table, 5 * MINUTE, 10).seen, 0);
        assert_eq!(sweep(&table, 6 * MINUTE, 10).forgotten, 1);
    }

    #[test]
    fn what_was_forgotten_early_is_not_found_by_a_sweep() {
        let table = table(2, MINUTE);
        assert!(table.forget_if(&key(0), |value| *value == 0));
        assert!(!table.forget_if(&key(1), |value| *value == 0));
        let mut gone = Vec::new();
        table.sweep(2 * MINUTE, 10, |_| Fate::Forget, |key| gone.push(key));
        assert_eq!(gone, [key(1)]);
        assert_eq!(table.figures().forgotten, 1);
    }

    // covers: B06
    #[test]
    fn an_entry_that_came_again_and_again_is_looked_at_once_a_sweep() {
        let table = Table::new("test");
        for _ in 0..1_000 {
            table.enter(key(1), MINUTE, || 1_u64, |_| ());
            table.forget_if(&key(1), |_| true);
        }
        table.enter(key(1), MINUTE + Duration::from_secs(5), || 1, |_| ());
        let mut looks = 0;
        for minute in 2..6 {
            let keep = |_: &mut u64| {
                looks += 1;
                Fate::Keep((minute + 1) * MINUTE)
            };
            table.sweep(minute * MINUTE + Duration::from_secs(30), usize::MAX, keep, |_| ());
        }
        assert_eq!(looks, 4);
    }

    #[test]
    fn a_full_table_makes_room_with_what_is_due_next() {
        let table = Table::new("test");
        let [early, late] = [[1; 16], [1; 16]].map(|mut key: Key| {
            key[0] = 0;
            key
        });
        let late = {
            let mut key = late;
            key[1] = 9;
            key
        };
        table.enter(late, 9 * MINUTE, || 2, |_| ());
        table.enter(early, MINUTE, || 1, |_| ());
        table.sweep_one_near(&late, |_: &mut u64| Fate::Forget);
        assert_eq!((table.contains(&early), table.contains(&late)), (false, true));
    }

    #[test]
    fn an_entry_is_made_once_and_changed_after() {
        let table = Table::new("test");
        let add = |by: u64| {
            table.enter(
                key(1),
                MINUTE,
                || 0,
                |value| {
                    *value += by;
                    *value
                },
            )
        };
        assert_eq!((add(2), add(3), table.len()), (2, 5, 1));
        assert_eq!(table.change(&key(1), |value| *value), Some(5));
        assert_eq!(table.change(&key(2), |value| *value), None);
    }
}
