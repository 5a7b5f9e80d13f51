//! Slows guesses: per user and source, per user from anywhere unusual, and per source; at a host of the fleet, also per
//! user at that host.
//!
//! A try is admitted before its code is looked at, so that many tries at once cannot outrun the count. What
//! is refused here was not evaluated, is no failure and lengthens no wait. Counts are durable; waits run on
//! the monotonic clock and begin anew after a restart, so no step of the wall clock shortens them.
//!
//! From a source where the user logged in before, only the failures of that user from that source count:
//! strangers elsewhere cannot slow the owner at his usual place.
//!
//! What a host says is believed of that host alone. Of a user's wrong codes it can add `HOST_SHARE` to what all hosts
//! look at, which is fewer than make anybody wait; and after `HOST_FAILURES_MAX` from one place it is not
//! listened to about him for a day, so that one host alone does not come near the hundred that disable his token.

mod admission;
mod bans;
mod count;
mod glance;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dashmap::DashMap;
use ledger::{Change, Record};

pub use admission::Admission;
use bans::Bans;
pub use bans::{BANS_MAX, Ban, Whose};
use count::{Count, Lane, Stored, is_usual, put};
pub use glance::Glance;

use super::telling::{Repeat, Telling, ToTell};
use crate::accounts::{Gate, UserId, kind};
use crate::audit::Reference;
use crate::clock::{Clock, UnixTime};
use crate::engine::Source;
use crate::expiry::{Fate, Figures, Key, Swept, Table};
use crate::hosts::{HostId, Window};
use crate::keys::IndexHasher;

/// Counts kept at once: enough for the users and sources of a large site, and a bound on memory (some 0.2 kB each).
/// Later ones share 65,536 counts of each sort until old ones are forgotten, so a full table slows few who did nothing.
const ENTRIES_MAX: usize = 1_000_000;

/// Usual sources kept at once, besides: only who logs in makes one, but nobody makes them without end. Whoever logs in
/// from a further one is slowed there as everybody new to it.
const USUAL_MAX: usize = 8_000_000;

/// How many of a user's wrong codes one host can add to what all hosts look at. One fewer than are free: what one host
/// says makes him wait at no other.
const HOST_SHARE: u32 = 3;

/// New counts that one host makes in a day: users who come to it from places new to them, and names that nobody has.
/// To further ones all its places are one and unknown names share 256 counts, so that a host in foreign hands fills the
/// table for nobody else.
const HOST_COUNTS_MAX: u32 = 20_000;

/// See [`HOST_COUNTS_MAX`].
const HOST_COUNTS_WITHIN: Duration = Duration::from_secs(24 * 3600);

/// How many of a source's wrong codes one host can add to what all hosts look at: a fifth of those that are free. Six
/// hosts see a source that sprays; one host that says so slows nobody's address elsewhere.
const HOST_SOURCE_SHARE: u32 = 10;

/// Alarms that wait to be told. They are taken after each wrong code; more come only when a disk stands still.
const SPRAYED_MAX: usize = 64;

/// One alarm of what one host saw in this time.
const SPRAYED_EVERY: Duration = Duration::from_secs(60);

/// How soon a sweep looks at a new count, which has mostly ended by then.
const FIRST_LOOK: Duration = Duration::from_secs(1);

/// All counts.
#[derive(Debug)]
pub struct Throttles {
    counts: Table<Count>,
    /// How many of them remember that a source is usual.
    usual: AtomicUsize,
    hasher: IndexHasher,
    bans: Bans,
    /// New counts of each host of late.
    made_by: DashMap<HostId, Window>,
    /// Sources that began to be slowed, until somebody has told of them.
    sprayed: Mutex<Alarms>,
    /// Held from a change of counts until its record stands in the ledger's queue, so that records of one
    /// count are written in the order of its values.
    order: Mutex<()>,
}

/// Alarms of sprayed sources.
#[derive(Debug, Default)]
struct Alarms {
    waiting: Vec<Sprayed>,
    /// When there was one last, by the host that saw it; none for the verifier's own machine and the API.
    last: HashMap<Option<String>, Duration>,
}

/// Whose try it is.
#[derive(Clone, Copy, Debug)]
pub enum Subject<'a> {
    /// A user Postern knows.
    User(UserId),
    /// A name it does not know; counted like a known one, so that nothing tells the two apart.
    Unknown(&'a str),
    /// A person by what somebody says is his login name, whether or not there is one.
    Person(&'a str),
}

/// A source that began to be slowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sprayed {
    /// Which.
    pub whose: Whose,
    /// How many wrong codes came from it.
    pub failures: u32,
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
        let (bans, made_by, sprayed, order) = Default::default();
        Self { counts, usual, hasher, bans, made_by, sprayed, order }
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
        let Stored { lane, failures, usual, who, whose } = stored;
        let now = clock.elapsed();
        let wait_until = now + lane.wait_after(failures);
        let (last_failure, usual_since) = (now, usual);
        let count = Count { lane, failures, wait_until, last_failure, usual_since, who, ..Count::default() };
        let new = || {
            self.usual.fetch_add(usize::from(usual.is_some()), Ordering::Relaxed);
            count
        };
        self.counts.enter(key, now + FIRST_LOOK, new, |_| ());
        if let Some(whose) = whose {
            self.bans.keep(key, whose);
        }
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
        let is_inside = source.is_inside();
        if let Some(host) = source.host().filter(|_| !self.counts.contains(&pair)) {
            let now = clock.elapsed();
            if self.made_by.entry(host).or_default().count(now, HOST_COUNTS_WITHIN) > HOST_COUNTS_MAX {
                return self.admit_in_a_crowd(host, subject, gate, clock);
            }
        }
        let usual = is_inside || self.is_usual(&pair, clock.now());
        let mut admission = Admission::new(self, pair, is_inside);
        self.enter(pair, Lane::of_pair(source), owner, gate, clock)?;
        admission.lanes.push(pair);
        if let Some(host) = source.host() {
            self.count_for_host(&mut admission, &who, host, clock);
        }
        if usual {
            return Ok(admission);
        }
        let elsewhere = self.key(&[b"elsewhere", &who]);
        let mut is_heard = true;
        if let Some(host) = source.host().map(HostId::bytes) {
            let at_host = self.key(&[b"at host", &who, &host]);
            let tries = self.enter(at_host, Lane::Host, owner, None, clock)?;
            admission.lanes.push(at_host);
            is_heard = tries <= HOST_SHARE;
        }
        if is_heard {
            self.enter(elsewhere, Lane::Elsewhere, owner, None, clock)?;
            admission.lanes.push(elsewhere);
        } else {
            self.look_at(elsewhere, Lane::Elsewhere, clock)?;
        }
        let place = self.source(source);
        let tries = self.enter(place, Lane::Source, owner, None, clock)?;
        admission.lanes.push_source(place);
        if source.host().is_some() {
            let everywhere = self.key(&[b"source of the fleet", source.place().as_bytes()]);
            if tries <= HOST_SOURCE_SHARE {
                self.enter(everywhere, Lane::FleetSource, owner, None, clock)?;
                admission.lanes.push_source(everywhere);
            } else {
                self.look_at(everywhere, Lane::FleetSource, clock)?;
            }
        }
        Ok(admission)
    }

    /// A try that was admitted before, and found right: no count hinders it. Those of its source are left alone: the step
    /// that found it right has its own.
    pub fn of_proven(
        self: &Arc<Self>,
        subject: Subject<'_>,
        source: &Source,
        clock: &dyn Clock,
    ) -> Admission {
        let who = self.name(subject);
        let pair = self.pair(&who, source);
        let mut admission = Admission::new(self, pair, source.is_inside());
        let elsewhere = self.key(&[b"elsewhere", &who]);
        for (key, lane) in [(pair, Lane::of_pair(source)), (elsewhere, Lane::Elsewhere)] {
            self.count_in_flight(key, lane, || self.owner(&who), clock);
            admission.lanes.push(key);
        }
        admission
    }

    /// A try at a host that has made as many counts as it may: all places are one to it, and all names that nobody has
    /// share a few. A user has his own count there all the same, and the fleet's hear nothing of it.
    fn admit_in_a_crowd(
        self: &Arc<Self>,
        host: HostId,
        subject: Subject<'_>,
        gate: Option<&Gate>,
        clock: &dyn Clock,
    ) -> Result<Admission, Refused> {
        let mut who = self.name(subject);
        if let Subject::Unknown(_) | Subject::Person(_) = subject {
            who[1..].fill(0);
        }
        let shared = self.hasher.key(&[b"crowd", &who, &host.bytes()]);
        // What is shared says nothing of which place is usual.
        let mut admission = Admission::new(self, shared, true);
        self.enter(shared, Lane::HostPair, || self.owner(&who), gate, clock)?;
        admission.lanes.push(shared);
        self.count_for_host(&mut admission, &who, host, clock);
        Ok(admission)
    }

    /// Counts all tries for a user at one host together, for [`Admission::is_charged`]. Makes nobody wait.
    fn count_for_host(&self, admission: &mut Admission, who: &Key, host: HostId, clock: &dyn Clock) {
        let all = self.key(&[b"all at host", who, &host.bytes()]);
        self.count_in_flight(all, Lane::HostTotal, || self.owner(who), clock);
        admission.lanes.push(all);
        admission.at_host = Some(all);
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
        self.counts.each(|key, count| {
            if count.who == Some(owner) {
                (count.failures, count.wait_until) = (0, Duration::ZERO);
                self.bans.forget(key);
            }
        });
    }

    /// Counts that make somebody wait at the present, the longest wait first.
    pub fn bans(&self, clock: &dyn Clock) -> Vec<Ban> {
        let now = clock.elapsed();
        let mut bans: Vec<_> = self
            .bans
            .all()
            .into_iter()
            .filter_map(|(key, whose)| {
                let standing = |count: &Count| (count.failures, count.wait_until.saturating_sub(now));
                let (failures, wait) = self.counts.look(&key, standing)?;
                (!wait.is_zero()).then(|| Ban { id: bans::id(&key), whose, failures, wait })
            })
            .collect();
        bans.sort_by(|a, b| b.wait.cmp(&a.wait).then_with(|| a.id.cmp(&b.id)));
        bans
    }

    /// Ends a count that makes somebody wait, whichever has this id. `submit` gets what to write, before anybody is let
    /// in by it; none where there is no such count.
    pub fn lift<T>(&self, id: &str, submit: impl FnOnce(Whose, Change) -> T) -> Option<T> {
        let _in_order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        let (key, whose) = self.bans.all().into_iter().find(|(key, _)| bans::id(key) == id)?;
        let stored = self.counts.change(&key, |count| {
            (count.failures, count.wait_until) = (0, Duration::ZERO);
            count.stored()
        });
        self.bans.forget(&key);
        Some(submit(whose, put(key, &stored?)))
    }

    /// Sources that began to be slowed since somebody asked last: many wrong codes for users new to them.
    pub fn take_sprayed(&self) -> Vec<Sprayed> {
        std::mem::take(&mut self.sprayed.lock().unwrap_or_else(PoisonError::into_inner).waiting)
    }

    fn note_ban(&self, key: Key, lane: Lane, failures: u32, whose: &Whose, now: Duration) {
        let whose = whose.seen_by(lane);
        if lane.is_of_a_source() && failures == lane.rules().free_failures + 1 {
            let mut sprayed = self.sprayed.lock().unwrap_or_else(PoisonError::into_inner);
            // One of each host in a while: it may make up as many sources as it likes.
            let is_due = sprayed.last.get(&whose.host).is_none_or(|last| now >= *last + SPRAYED_EVERY);
            if sprayed.waiting.len() < SPRAYED_MAX && is_due {
                sprayed.last.insert(whose.host.clone(), now);
                sprayed.waiting.push(Sprayed { whose: whose.clone(), failures });
            }
        }
        if !self.bans.keep(key, whose.clone()) {
            // Words of those who wait no longer make room.
            let is_over = |key: &Key| self.counts.look(key, |count| count.wait_until <= now).unwrap_or(true);
            self.bans.forget_where(is_over);
            self.bans.keep(key, whose);
        }
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
        let gone = |key: Key| {
            self.bans.forget(&key);
            changes.push(Change::Delete { kind: kind::THROTTLE, key: key.into() });
        };
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
            Subject::Person(login) => self.hasher.key(&[b"person", login.as_bytes()]),
        }
    }

    fn pair(&self, who: &Key, source: &Source) -> Key {
        match source.host().map(HostId::bytes) {
            None => self.key(&[b"pair", who, source.place().as_bytes()]),
            Some(host) => self.key(&[b"pair", who, source.place().as_bytes(), &host]),
        }
    }

    fn source(&self, source: &Source) -> Key {
        match source.host().map(HostId::bytes) {
            None => self.key(&[b"source", source.place().as_bytes()]),
            Some(host) => self.key(&[b"source", source.place().as_bytes(), &host]),
        }
    }

    /// What a count says of whose it is.
    fn owner(&self, who: &Key) -> Key {
        self.hasher.key(&[b"who", who])
    }

    /// Counts a try in flight, where the count permits it; the tries that count so far, this one included.
    fn enter(
        &self,
        key: Key,
        lane: Lane,
        owner: impl Fn() -> Key,
        gate: Option<&Gate>,
        clock: &dyn Clock,
    ) -> Result<u32, Refused> {
        let (now, rules) = (clock.elapsed(), lane.rules());
        self.counts.enter(key, now + FIRST_LOOK, new_count(lane, owner), |count| {
            let wait = count.wait_until.saturating_sub(now);
            let free = rules.free_failures.saturating_add(1).saturating_sub(count.failures).max(1);
            // Under the count's lock: whoever passes after this looks at the count, and sees this try in flight.
            let passing = u32::from(gate.is_some_and(Gate::spoil));
            if wait.is_zero() && count.in_flight.saturating_add(passing) < free {
                count.in_flight += 1;
                return Ok(count.failures.saturating_add(count.in_flight));
            }
            let repeat = count.refusals.get_or_insert_default().ask(now);
            Err(Refused { wait: wait.max(rules.first_wait), key, repeat })
        })
    }

    /// Whether a count makes anybody wait, for a try that it does not count.
    fn look_at(&self, key: Key, lane: Lane, clock: &dyn Clock) -> Result<(), Refused> {
        let now = clock.elapsed();
        let refused = self.counts.change(&key, |count| {
            let wait = count.wait_until.saturating_sub(now);
            (!wait.is_zero()).then(|| (wait, count.refusals.get_or_insert_default().ask(now)))
        });
        match refused.flatten() {
            Some((wait, repeat)) => Err(Refused { wait: wait.max(lane.rules().first_wait), key, repeat }),
            None => Ok(()),
        }
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
        Some(put(key, &Stored { whose: self.bans.of(&key), ..stored }))
    }
}

fn new_count(lane: Lane, owner: impl Fn() -> Key) -> impl FnOnce() -> Count {
    move || Count { lane, who: (!lane.is_of_a_source()).then(owner), ..Count::default() }
}

#[cfg(test)]
mod tests;
