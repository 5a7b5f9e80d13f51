//! A try that may be looked at, and how it ends.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use ledger::Change;

use super::bans::Whose;
use super::count::{Count, HOST_FAILURES_MAX, Stored, is_due, put};
use super::{Throttles, USUAL_MAX};
use crate::accounts::kind;
use crate::clock::{Clock, UnixTime};
use crate::expiry::Key;

/// A try that may be looked at. Dropped without an end, it counts as not made.
#[derive(Debug)]
pub struct Admission {
    pub(super) throttles: Arc<Throttles>,
    pub(super) pair: Key,
    /// Inside, every place is usual, and nothing needs to be remembered.
    pub(super) is_inside: bool,
    pub(super) lanes: Lanes,
    /// What counts all tries for the user at this host, if it is one of the fleet.
    pub(super) at_host: Option<Key>,
    /// Whose try it is, in words, if somebody will want to know.
    pub(super) whose: Option<Box<Whose>>,
}

/// The counts that a try is counted in: at most one of each lane, those of the source last.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    keys: [Key; 6],
    length: usize,
    /// The first so many count this try among those in flight.
    held: usize,
    /// How many of them, the last ones, are those of the source.
    of_source: usize,
}

impl Lanes {
    pub(super) fn push(&mut self, key: Key) {
        self.keys[self.length] = key;
        self.length += 1;
        self.held = self.length;
    }

    pub(super) fn push_source(&mut self, key: Key) {
        self.push(key);
        self.of_source += 1;
    }

    fn take(&mut self) -> Self {
        std::mem::take(self)
    }

    fn iter(&self) -> impl Iterator<Item = &Key> {
        self.keys[..self.length].iter()
    }

    fn held(&self) -> impl Iterator<Item = &Key> {
        self.keys[..self.held].iter()
    }
}

impl Admission {
    /// For a request that comes again after its code was found right: it is no guess, and no count hinders it.
    pub fn of_a_retry(throttles: &Arc<Throttles>) -> Self {
        Self::new(throttles, Key::default(), false)
    }

    pub(super) fn new(throttles: &Arc<Throttles>, pair: Key, is_inside: bool) -> Self {
        let throttles = Arc::clone(throttles);
        Self { throttles, pair, is_inside, lanes: Lanes::default(), at_host: None, whose: None }
    }

    /// Whether a failure counts against the user's tokens, which a hundred in a row disable: of one host, a quarter of
    /// them do, wherever it says that they come from.
    pub fn is_charged(&self) -> bool {
        let failures = self.at_host.and_then(|key| self.throttles.counts.look(&key, |count| count.failures));
        failures.is_none_or(|failures| failures < HOST_FAILURES_MAX)
    }

    /// The code is right: no guess, and so none of those that its source may make at once. Many may log in at one
    /// moment from one address.
    pub fn matched(&mut self) {
        let without_source = self.lanes.length - self.lanes.of_source;
        while self.lanes.held > without_source {
            self.lanes.held -= 1;
            release(&self.throttles, &self.lanes.keys[self.lanes.held]);
        }
    }

    /// Says in words whose try it is, for whoever is made to wait by it.
    pub fn named(mut self, whose: Whose) -> Self {
        self.whose = Some(Box::new(whose));
        self
    }

    /// The code was wrong: counts it in every lane. `submit` gets what to write and hands it to the ledger.
    pub fn fail<T>(mut self, clock: &dyn Clock, submit: impl FnOnce(Vec<Change>) -> T) -> T {
        let throttles = Arc::clone(&self.throttles);
        let _in_order = throttles.order.lock().unwrap_or_else(PoisonError::into_inner);
        let now = clock.elapsed();
        let mut changes = Vec::new();
        let lanes = self.lanes.take();
        for (place, key) in lanes.iter().enumerate() {
            let failed = throttles.counts.change(key, |count| {
                count.in_flight = count.in_flight.saturating_sub(u32::from(place < lanes.held));
                count.failures = count.failures.saturating_add(1);
                count.last_failure = now;
                let wait = count.lane.wait_after(count.failures);
                count.wait_until = count.wait_until.max(now + wait);
                (count.lane, count.failures, !wait.is_zero())
            });
            if let (Some((lane, failures, true)), Some(whose)) = (failed, &self.whose) {
                throttles.note_ban(*key, lane, failures, whose, now);
            }
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
            let known = *key != self.pair || !self.is_news(count.usual, now);
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
                self.throttles.bans.forget(key);
                // As long as the ledger does not say it anew, the memory does not either.
                if *key == self.pair && self.is_news(count.usual_since, clock.now()) {
                    let is_first = count.usual_since.replace(clock.now()).is_none();
                    self.throttles.usual.fetch_add(usize::from(is_first), Ordering::Relaxed);
                }
            });
        }
    }

    /// Whether it is to be remembered that the user logs in from here.
    fn is_news(&self, since: Option<UnixTime>, now: UnixTime) -> bool {
        let is_due = match since {
            Some(since) => is_due(since, now),
            None => self.throttles.usual.load(Ordering::Relaxed) < USUAL_MAX,
        };
        is_due && !self.is_inside
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.lanes.held().for_each(|key| release(&self.throttles, key));
    }
}

/// One try fewer is in flight.
fn release(throttles: &Throttles, key: &Key) {
    let ended = throttles.counts.change(key, |count| {
        count.in_flight = count.in_flight.saturating_sub(1);
        count.is_empty()
    });
    if ended == Some(true) {
        throttles.counts.forget_if(key, Count::is_empty);
    }
}
