//! Slows guesses: per user and source, per user from anywhere unusual, and per source.
//!
//! A try is admitted before its code is looked at, so that many tries at once cannot outrun the count. What
//! is refused here was not evaluated, is no failure and lengthens no wait. Counts are durable; waits run on
//! the monotonic clock and begin anew after a restart, so no step of the wall clock shortens them.
//!
//! From a source where the user logged in before, only the failures of that user from that source count:
//! strangers elsewhere cannot slow the owner at his usual place.

mod admission;
mod count;
mod glance;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ledger::{Change, Record};

pub use admission::Admission;
use admission::Lanes;
use count::{Count, Lane, Stored, is_usual, put};
pub use glance::Glance;

use super::telling::{Repeat, Telling, ToTell};
use crate::accounts::{Gate, UserId, kind};
use crate::audit::Reference;
use crate::clock::{Clock, UnixTime};
use crate::engine::Source;
use crate::expiry::{Fate, Figures, Key, Swept, Table};
use crate::keys::IndexHasher;

/// Counts kept at once: enough for the users and sources of a large site, and a bound on memory (some 0.2 kB each).
/// Later ones share 65,536 counts of each sort until old ones are forgotten, so a full table slows few who did nothing.
const ENTRIES_MAX: usize = 1_000_000;

/// Usual sources kept at once, besides: only who logs in makes one, but nobody makes them without end. Whoever logs in
/// from a further one is slowed there as everybody new to it.
const USUAL_MAX: usize = 8_000_000;

/// How soon a sweep looks at a new count, which has mostly ended by then.
const FIRST_LOOK: Duration = Duration::from_secs(1);

/// All counts.
#[derive(Debug)]
pub struct Throttles {
    counts: Table<Count>,
    /// How many of them remember that a source is usual.
    usual: AtomicUsize,
    hasher: IndexHasher,
    /// Held from a change of counts until its record stands in the ledger's queue, so that records of one
    /// count are written in the order of its values.
    order: Mutex<()>,
}

/// Whose try it is.
#[derive(Clone, Copy, Debug)]
pub enum Subject<'a> {
    /// A user Postern knows.
    User(UserId),
    /// A name it does not know; counted like a known one, so that nothing tells the two apart.
    Unknown(&'a str),
}

/// Why a try was not looked at.
#[derive(Debug)]
pub struct Refused {
    /// How long to wait.
    pub wait: Duration,
    /// Which count refuses.
    pub key: Key,
    /// Whether this refusal needs a record of its own.
    pub repeat: Repeat,
}

impl Throttles {
    /// No failures yet.
    pub fn new(hasher: IndexHasher) -> Self {
        let (counts, usual) = (Table::new("throttles"), AtomicUsize::new(0));
        Self { counts, usual, hasher, order: Mutex::new(()) }
    }

    /// Takes over a record of the ledger's, if it is one of a count. Waits begin anew.
    pub fn take(&self, record: &Record, clock: &dyn Clock) {
        if record.kind != kind::THROTTLE {
            return;
        }
        let (Ok(key), Ok(stored)) =
            (Key::try_from(record.key.as_slice()), serde_json::from_slice(&record.value))
        else {
            tracing::warn!("a throttle's record is damaged and was left out");
            return;
        };
        let Stored { lane, failures, usual, who } = stored;
        let now = clock.elapsed();
        let wait_until = now + lane.rules().wait_after(failures);
        let (last_failure, usual_since) = (now, usual);
        let count = Count { lane, failures, wait_until, last_failure, usual_since, who, ..Count::default() };
        let new = || {
            self.usual.fetch_add(usize::from(usual.is_some()), Ordering::Relaxed);
            count
        };
        self.counts.enter(key, now + FIRST_LOOK, new, |_| ());
    }

    /// Asks whether a try may be looked at.
    ///
    /// * `gate`: the user's, if he has one: a look that is not counted counts here.
    ///
    /// # Errors
    /// [`Refused`] with the longest wait of all counts that refuse.
    pub fn admit(
        self: &Arc<Self>,
        subject: Subject<'_>,
        source: &Source,
        gate: Option<&Gate>,
        clock: &dyn Clock,
    ) -> Result<Admission, Refused> {
        let who = self.name(subject);
        let owner = || self.owner(&who);
        let pair = self.pair(&who, source);
        let usual = source.is_inside() || self.is_usual(&pair, clock.now());
        let is_inside = source.is_inside();
        let mut admission =
            Admission { throttles: Arc::clone(self), pair, is_inside, lanes: Lanes::default() };
        self.enter(pair, Lane::Pair, owner, gate, clock)?;
        admission.lanes.push(pair);
        if !usual {
            for (key, lane) in [
                (self.key(&[b"elsewhere", &who]), Lane::Elsewhere),
                (self.key(&[b"source", source.as_bytes()]), Lane::Source),
            ] {
                self.enter(key, lane, owner, None, clock)?;
                admission.lanes.push(key);
            }
        }
        Ok(admission)
    }

    /// What makes it durable that the counts of a user's wrong codes, from wherever, begin anew.
    pub fn counts_of(&self, subject: Subject<'_>) -> Vec<Change> {
        let owner = self.owner(&self.name(subject));
        let mut changes = Vec::new();
        self.counts.each(|key, count| {
            if count.who == Some(owner) && count.failures > 0 {
                changes.push(put(*key, &Stored { failures: 0, ..count.stored() }));
            }
        });
        changes
    }

    /// The same in memory, once it is durable: nobody waits any more.
    pub fn clear(&self, subject: Subject<'_>) {
        let owner = self.owner(&self.name(subject));
        self.counts.each(|_, count| {
            if count.who == Some(owner) {
                (count.failures, count.wait_until) = (0, Duration::ZERO);
            }
        });
    }

    /// Remembers which record tells of a refusal, once it is in the ledger.
    pub fn recorded(&self, key: &Key, reference: Reference, duty: ToTell, clock: &dyn Clock) {
        let now = clock.elapsed();
        self.counts.change(key, |count| {
            count.refusals.get_or_insert_default().tell(now, reference, duty);
        });
    }

    /// Asks once more whether a refusal needs a record, after the one it waited for came to nothing.
    pub fn ask_again(&self, key: &Key, clock: &dyn Clock) -> Repeat {
        let now = clock.elapsed();
        let ask = |count: &mut Count| count.refusals.get_or_insert_default().ask(now);
        self.counts.change(key, ask).unwrap_or_else(|| Telling::default().ask(now))
    }

    /// Forgets up to `most` counts that are old. `submit` gets what to remove from the ledger.
    pub fn sweep<T>(
        &self,
        clock: &dyn Clock,
        most: usize,
        submit: impl FnOnce(Vec<Change>) -> T,
    ) -> (Swept, T) {
        let _in_order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        let (elapsed, now) = (clock.elapsed(), clock.now());
        let mut changes = Vec::new();
        let gone = |key: Key| changes.push(Change::Delete { kind: kind::THROTTLE, key: key.into() });
        let fate = |count: &mut Count| {
            let fate = count.fate(elapsed, now);
            let is_gone = fate == Fate::Forget && count.usual_since.is_some();
            self.usual.fetch_sub(usize::from(is_gone), Ordering::Relaxed);
            fate
        };
        let swept = self.counts.sweep(elapsed, most, fate, gone);
        self.counts.took(clock.elapsed().saturating_sub(elapsed));
        (swept, submit(changes))
    }

    /// Does something in turn with whoever counts a wrong code.
    pub fn in_order<T>(&self, work: impl FnOnce() -> T) -> T {
        let _in_order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        work()
    }

    /// What was counted about the counts.
    pub fn figures(&self) -> Figures {
        self.counts.figures()
    }

    fn name(&self, subject: Subject<'_>) -> [u8; 16] {
        match subject {
            Subject::User(id) => id.0.to_be_bytes(),
            Subject::Unknown(name) => self.hasher.key(&[b"unknown", name.as_bytes()]),
        }
    }

    fn pair(&self, who: &Key, source: &Source) -> Key {
        self.key(&[b"pair", who, source.as_bytes()])
    }

    /// What a count says of whose it is.
    fn owner(&self, who: &Key) -> Key {
        self.hasher.key(&[b"who", who])
    }

    fn enter(
        &self,
        key: Key,
        lane: Lane,
        owner: impl Fn() -> Key,
        gate: Option<&Gate>,
        clock: &dyn Clock,
    ) -> Result<(), Refused> {
        let (now, rules) = (clock.elapsed(), lane.rules());
        self.counts.enter(key, now + FIRST_LOOK, new_count(lane, owner), |count| {
            let wait = count.wait_until.saturating_sub(now);
            let free = rules.free_failures.saturating_add(1).saturating_sub(count.failures).max(1);
            // Under the count's lock: whoever passes after this looks at the count, and sees this try in flight.
            let passing = u32::from(gate.is_some_and(Gate::spoil));
            if wait.is_zero() && count.in_flight.saturating_add(passing) < free {
                count.in_flight += 1;
                return Ok(());
            }
            let repeat = count.refusals.get_or_insert_default().ask(now);
            Err(Refused { wait: wait.max(rules.first_wait), key, repeat })
        })
    }

    /// Counts a try that has been looked at, whatever the count says.
    fn count_in_flight(&self, key: Key, lane: Lane, owner: impl Fn() -> Key, clock: &dyn Clock) {
        let due = clock.elapsed() + FIRST_LOOK;
        self.counts.enter(key, due, new_count(lane, owner), |count| count.in_flight += 1);
    }

    fn is_usual(&self, pair: &Key, now: UnixTime) -> bool {
        self.counts.look(pair, |count| is_usual(count.usual_since, now)).unwrap_or(false)
    }

    fn key(&self, parts: &[&[u8]]) -> Key {
        let key = self.hasher.key(parts);
        let counting = self.counts.len().saturating_sub(self.usual.load(Ordering::Relaxed));
        if counting < ENTRIES_MAX || self.counts.contains(&key) {
            return key;
        }
        let [first, second, ..] = key;
        self.hasher.key(&[b"overflow", parts[0], &[first, second]])
    }

    fn change(&self, key: Key) -> Option<Change> {
        let stored = self.counts.look(&key, Count::stored)?;
        Some(put(key, &stored))
    }
}

fn new_count(lane: Lane, owner: impl Fn() -> Key) -> impl FnOnce() -> Count {
    move || Count { lane, who: (lane != Lane::Source).then(owner), ..Count::default() }
}

#[cfg(test)]
mod tests;
