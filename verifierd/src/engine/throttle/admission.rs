//! A try that may be looked at, and how it ends.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use ledger::Change;

use super::count::{Count, Stored, is_due, put};
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
}

/// The counts that a try is counted in: at most one of each lane, that of the source last.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    keys: [Key; 3],
    length: usize,
    /// The first so many count this try among those in flight.
    held: usize,
}

impl Lanes {
    pub(super) fn push(&mut self, key: Key) {
        self.keys[self.length] = key;
        self.length += 1;
        self.held = self.length;
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
        let (throttles, pair, lanes) = (Arc::clone(throttles), Key::default(), Lanes::default());
        Self { throttles, pair, is_inside: false, lanes }
    }

    /// The code is right: no guess, and so none of those that its source may make at once. Many may log in at one
    /// moment from one address.
    pub fn matched(&mut self) {
        const ALL: usize = 3;
        if self.lanes.held == ALL {
            self.lanes.held -= 1;
            release(&self.throttles, &self.lanes.keys[self.lanes.held]);
        }
    }

    /// The code was wrong: counts it in every lane. `submit` gets what to write and hands it to the ledger.
    pub fn fail<T>(mut self, clock: &dyn Clock, submit: impl FnOnce(Vec<Change>) -> T) -> T {
        let throttles = Arc::clone(&self.throttles);
        let _in_order = throttles.order.lock().unwrap_or_else(PoisonError::into_inner);
        let now = clock.elapsed();
        let mut changes = Vec::new();
        let lanes = self.lanes.take();
        for (place, key) in lanes.iter().enumerate() {
            throttles.counts.change(key, |count| {
                count.in_flight = count.in_flight.saturating_sub(u32::from(place < lanes.held));
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
