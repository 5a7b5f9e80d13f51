//! Slows guesses: per user and source, per user from anywhere unusual, and per source.
//!
//! A try is admitted before its code is looked at, so that many tries at once cannot outrun the count. What
//! is refused here was not evaluated, is no failure and lengthens no wait. Counts are durable; waits run on
//! the monotonic clock and begin anew after a restart, so no step of the wall clock shortens them.
//!
//! From a source where the user logged in before, only the failures of that user from that source count:
//! strangers elsewhere cannot slow the owner at his usual place.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ledger::{Change, Record};
use otp_core::ThrottleRules;
use serde::{Deserialize, Serialize};

use super::telling::{Repeat, Telling, ToTell};
use crate::accounts::{UserId, kind};
use crate::audit::Reference;
use crate::clock::{Clock, UnixTime};
use crate::engine::Source;
use crate::expiry::{Fate, Figures, Key, Swept, Table};
use crate::keys::IndexHasher;

/// Counts kept at once: enough for the users and sources of a large site, and a bound on memory (some 0.2 kB each).
/// Later ones share 65,536 counts of each sort until old ones are forgotten, so a full table slows few who did nothing.
const ENTRIES_MAX: usize = 1_000_000;

/// How soon a sweep looks at a new count, which has mostly ended by then.
const FIRST_LOOK: Duration = Duration::from_secs(1);

/// How often it looks at one that counts failures.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// How often it looks at one that only remembers that a source is usual.
const LOOK_AT_USUAL_EVERY: Duration = Duration::from_secs(3600);

/// A count is forgotten this long after its last failure: no guesser who waits so long gets far.
const FORGET_AFTER: Duration = Duration::from_secs(24 * 3600);

/// A source stays usual this long after the last login from it.
const USUAL_SECONDS: u64 = 90 * 24 * 3600;

/// What a count stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Lane {
    /// One user from one source.
    #[default]
    Pair,
    /// One user from everywhere unusual.
    Elsewhere,
    /// One source, for all users new to it.
    Source,
}

impl Lane {
    fn rules(self) -> ThrottleRules {
        let rules = ThrottleRules::default();
        match self {
            // Typing errors are free, then the wait doubles up to a quarter of an hour.
            Self::Pair => rules,
            // Up to an hour, so that strangers need days, not hours, to use up a token's hundred failures.
            Self::Elsewhere => ThrottleRules { wait_max: Duration::from_secs(3600), ..rules },
            // An office behind one address makes many typing errors.
            Self::Source => ThrottleRules { free_failures: 50, wait_max: Duration::from_secs(60), ..rules },
        }
    }

    /// What is left of a row of failures after an accepted login.
    fn after_success(self, failures: u32) -> u32 {
        match self {
            Self::Pair | Self::Elsewhere => 0,
            Self::Source => failures.saturating_sub(SOURCE_CREDIT),
        }
    }
}

/// How much of a source's count one accepted login takes away.
const SOURCE_CREDIT: u32 = 5;

#[derive(Debug, Default)]
struct Count {
    lane: Lane,
    failures: u32,
    in_flight: u32,
    wait_until: Duration,
    last_failure: Duration,
    usual_since: Option<UnixTime>,
    /// Apart, because few counts ever refuse.
    refusals: Option<Box<Telling>>,
    /// Whose try it counts; none for a source's.
    who: Option<Key>,
}

/// A count as kept in the ledger.
#[derive(Serialize, Deserialize)]
struct Stored {
    lane: Lane,
    failures: u32,
    usual: Option<UnixTime>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    who: Option<Key>,
}

/// All counts.
#[derive(Debug)]
pub struct Throttles {
    counts: Table<Count>,
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

/// A try that may be looked at. Dropped without an end, it counts as not made.
#[derive(Debug)]
pub struct Admission {
    throttles: Arc<Throttles>,
    pair: Key,
    /// Inside, every place is usual, and nothing needs to be remembered.
    is_inside: bool,
    lanes: Lanes,
}

/// The counts that a try is counted in: at most one of each [`Lane`].
#[derive(Debug, Default)]
struct Lanes {
    keys: [Key; 3],
    length: usize,
}

impl Lanes {
    fn push(&mut self, key: Key) {
        self.keys[self.length] = key;
        self.length += 1;
    }

    fn take(&mut self) -> Self {
        std::mem::take(self)
    }

    fn iter(&self) -> impl Iterator<Item = &Key> {
        self.keys[..self.length].iter()
    }
}

impl Throttles {
    /// No failures yet.
    pub fn new(hasher: IndexHasher) -> Self {
        Self { counts: Table::new("throttles"), hasher, order: Mutex::new(()) }
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
        self.counts.enter(key, now + FIRST_LOOK, || count, |_| ());
    }

    /// Asks whether a try may be looked at.
    ///
    /// # Errors
    /// [`Refused`] with the longest wait of all counts that refuse.
    pub fn admit(
        self: &Arc<Self>,
        subject: Subject<'_>,
        source: &Source,
        clock: &dyn Clock,
    ) -> Result<Admission, Refused> {
        let who = self.name(subject);
        let owner = || self.hasher.key(&[b"who", &who]);
        let pair = self.key(&[b"pair", &who, source.as_bytes()]);
        let usual = source.is_inside() || self.is_usual(&pair, clock.now());
        let is_inside = source.is_inside();
        let mut admission =
            Admission { throttles: Arc::clone(self), pair, is_inside, lanes: Lanes::default() };
        self.enter(pair, Lane::Pair, owner, clock)?;
        admission.lanes.push(pair);
        if !usual {
            for (key, lane) in [
                (self.key(&[b"elsewhere", &who]), Lane::Elsewhere),
                (self.key(&[b"source", source.as_bytes()]), Lane::Source),
            ] {
                self.enter(key, lane, owner, clock)?;
                admission.lanes.push(key);
            }
        }
        Ok(admission)
    }

    /// What makes it durable that the counts of a user's wrong codes, from wherever, begin anew.
    pub fn counts_of(&self, subject: Subject<'_>) -> Vec<Change> {
        let owner = self.hasher.key(&[b"who", &self.name(subject)]);
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
        let owner = self.hasher.key(&[b"who", &self.name(subject)]);
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
        let swept = self.counts.sweep(elapsed, most, |count| count.fate(elapsed, now), gone);
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

    fn enter(&self, key: Key, lane: Lane, owner: impl Fn() -> Key, clock: &dyn Clock) -> Result<(), Refused> {
        let (now, rules) = (clock.elapsed(), lane.rules());
        let who = || (lane != Lane::Source).then(&owner);
        let new = || Count { lane, who: who(), ..Count::default() };
        self.counts.enter(key, now + FIRST_LOOK, new, |count| {
            let wait = count.wait_until.saturating_sub(now);
            let free = rules.free_failures.saturating_add(1).saturating_sub(count.failures).max(1);
            if wait.is_zero() && count.in_flight < free {
                count.in_flight += 1;
                return Ok(());
            }
            let repeat = count.refusals.get_or_insert_default().ask(now);
            Err(Refused { wait: wait.max(rules.first_wait), key, repeat })
        })
    }

    fn is_usual(&self, pair: &Key, now: UnixTime) -> bool {
        self.counts.look(pair, |count| is_usual(count.usual_since, now)).unwrap_or(false)
    }

    fn key(&self, parts: &[&[u8]]) -> Key {
        let key = self.hasher.key(parts);
        if self.counts.len() < ENTRIES_MAX || self.counts.contains(&key) {
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

impl Count {
    /// What is to become of it when a sweep comes.
    fn fate(&self, elapsed: Duration, now: UnixTime) -> Fate {
        let is_quiet = self.failures == 0 || elapsed.saturating_sub(self.last_failure) > FORGET_AFTER;
        let is_told = self.refusals.as_ref().is_none_or(|refusals| refusals.is_over(elapsed));
        if is_quiet && is_told && self.in_flight == 0 && !is_usual(self.usual_since, now) {
            return Fate::Forget;
        }
        let is_busy = self.in_flight > 0 || self.failures > 0;
        Fate::Keep(elapsed + if is_busy { LOOK_EVERY } else { LOOK_AT_USUAL_EVERY })
    }

    /// Whether nothing would be different without it.
    fn is_empty(&self) -> bool {
        self.failures == 0
            && self.in_flight == 0
            && self.wait_until.is_zero()
            && self.usual_since.is_none()
            && self.refusals.is_none()
    }

    fn stored(&self) -> Stored {
        Stored { lane: self.lane, failures: self.failures, usual: self.usual_since, who: self.who }
    }
}

fn put(key: Key, stored: &Stored) -> Change {
    let value = serde_json::to_vec(stored).expect("a count holds only numbers");
    Change::Put { kind: kind::THROTTLE, key: key.into(), value }
}

/// Whether a usual source is to be written down anew.
fn is_due(since: UnixTime, now: UnixTime) -> bool {
    const REFRESH_SECONDS: u64 = 24 * 3600;
    now.saturating_sub(since) >= REFRESH_SECONDS
}

fn is_usual(since: Option<UnixTime>, now: UnixTime) -> bool {
    since.is_some_and(|since| now.saturating_sub(since) < USUAL_SECONDS)
}

impl Admission {
    /// The code was wrong: counts it in every lane. `submit` gets what to write and hands it to the ledger.
    pub fn fail<T>(mut self, clock: &dyn Clock, submit: impl FnOnce(Vec<Change>) -> T) -> T {
        let throttles = Arc::clone(&self.throttles);
        let _in_order = throttles.order.lock().unwrap_or_else(PoisonError::into_inner);
        let now = clock.elapsed();
        let mut changes = Vec::new();
        for key in self.lanes.take().iter() {
            throttles.counts.change(key, |count| {
                count.in_flight = count.in_flight.saturating_sub(1);
                count.failures = count.failures.saturating_add(1);
                count.last_failure = now;
                count.wait_until = count.wait_until.max(now + count.lane.rules().wait_after(count.failures));
            });
            changes.extend(throttles.change(*key));
        }
        submit(changes)
    }

    /// What an accepted login will write: rows of failures end and its source becomes usual. Nothing when
    /// nothing would change, which is the rule.
    pub fn success_changes(&self, clock: &dyn Clock) -> Vec<Change> {
        let now = clock.now();
        let change = |key: &Key| {
            let count = self.throttles.counts.look(key, Count::stored)?;
            let failures = count.lane.after_success(count.failures);
            let known =
                *key != self.pair || self.is_inside || count.usual.is_some_and(|since| !is_due(since, now));
            let usual = if known { count.usual } else { Some(now) };
            let is_changed = !known || failures != count.failures;
            if !is_changed {
                return None;
            }
            if failures == 0 && usual.is_none() {
                return Some(Change::Delete { kind: kind::THROTTLE, key: (*key).into() });
            }
            Some(put(*key, &Stored { failures, usual, ..count }))
        };
        self.lanes.iter().filter_map(change).collect()
    }

    /// The login was accepted, and that is durable.
    pub fn succeed(self, clock: &dyn Clock) {
        for key in self.lanes.iter() {
            self.throttles.counts.change(key, |count| {
                count.failures = count.lane.after_success(count.failures);
                count.wait_until = Duration::ZERO;
                // As long as the ledger does not say it anew, the memory does not either.
                let is_known = count.usual_since.is_some_and(|since| !is_due(since, clock.now()));
                if *key == self.pair && !self.is_inside && !is_known {
                    count.usual_since = Some(clock.now());
                }
            });
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        for key in self.lanes.iter() {
            let counts = &self.throttles.counts;
            let ended = counts.change(key, |count| {
                count.in_flight = count.in_flight.saturating_sub(1);
                count.is_empty()
            });
            if ended == Some(true) {
                counts.forget_if(key, Count::is_empty);
            }
        }
    }
}

#[cfg(test)]
mod tests;
