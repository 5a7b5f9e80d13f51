//! What is known of a host since the verifier started: connections, reports, renewals. Never kept.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::window::Window;
use crate::clock::UnixTime;

/// Connections of one host at once. Its agent keeps one, and a second one while it changes its certificate; two more
/// are what a host leaves behind that was cut off and came back.
pub const CONNECTIONS_PER_HOST_MAX: usize = 4;

/// Renewals of one host within [`RENEWALS_WITHIN`]. One in three days is usual; eight let somebody try things out, and
/// a host in foreign hands writes some two hundred records a day and not more.
pub const RENEWALS_MAX: u32 = 8;

/// See [`RENEWALS_MAX`].
pub const RENEWALS_WITHIN: Duration = Duration::from_secs(3_600);

/// Requests about logins of one host at once, after a while without any: a bastion's morning. A login takes two or three.
pub const ASKED_MAX: u32 = 1_500;

/// And from then on in each second. Twenty logins a second is a machine with tens of thousands of users; a host in foreign
/// hands that asks without end writes some 50 records a second and not more, and leaves the name service, the throttles
/// and the disk to the others.
pub const ASKED_PER_SECOND_MAX: u32 = 50;

/// What one host may tell of sessions at once: all that can wait at its agent (`WAITING_MAX` there).
pub const TOLD_MAX: u32 = 1_024;

/// And from then on in each second: as many as it may ask about logins, for the same reason. Counted apart, so that
/// sessions take nothing of what logins have.
pub const TOLD_PER_SECOND_MAX: u32 = 50;

/// What is known of one host.
#[derive(Debug, Default)]
pub struct Presence {
    /// When it asked last; 0 for never.
    seen: AtomicU64,
    /// The next number of a connection.
    next: AtomicU64,
    moving: Mutex<Moving>,
    /// Told whenever something changed that may end a connection.
    changed: watch::Sender<()>,
}

/// Locked for one look or one change.
#[derive(Debug, Default)]
struct Moving {
    /// Its connections, oldest first; at most [`CONNECTIONS_PER_HOST_MAX`].
    open: VecDeque<u64>,
    said: Option<Said>,
    renewals: Window,
    asked: Bucket<ASKED_MAX, ASKED_PER_SECOND_MAX>,
    told: Bucket<TOLD_MAX, TOLD_PER_SECOND_MAX>,
}

/// Requests of late, as a bucket that holds `MOST` and runs dry by so many each second.
#[derive(Debug, Default)]
struct Bucket<const MOST: u32, const PER_SECOND: u32> {
    /// Thousandths of a request that the bucket holds.
    level: u64,
    at: Duration,
}

impl<const MOST: u32, const PER_SECOND: u32> Bucket<MOST, PER_SECOND> {
    /// Takes so many more, unless they are too many.
    fn take(&mut self, now: Duration, count: u32) -> bool {
        let passed = u64::try_from(now.saturating_sub(self.at).as_millis()).unwrap_or(u64::MAX);
        (self.at, self.level) = (now, self.level.saturating_sub(passed.saturating_mul(PER_SECOND.into())));
        let level = self.level + 1_000 * u64::from(count);
        let fits = level <= 1_000 * u64::from(MOST);
        if fits {
            self.level = level;
        }
        fits
    }
}

/// What a host said of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The agent's version.
    pub agent_version: String,
    /// How far its clock was ahead of ours, in seconds.
    pub clock_ahead: i64,
}

impl Presence {
    /// Takes a seat for a connection. The oldest one of too many loses its own: a host that was cut off gets in again
    /// at once, and hurts nobody but itself.
    pub fn enter(self: &Arc<Self>) -> Seat {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let is_crowded = {
            let mut moving = self.lock();
            moving.open.push_back(number);
            let is_crowded = moving.open.len() > CONNECTIONS_PER_HOST_MAX;
            if is_crowded {
                moving.open.pop_front();
            }
            is_crowded
        };
        if is_crowded {
            self.tell();
        }
        Seat { presence: Arc::clone(self), number }
    }

    /// How many connections it has.
    pub fn connections(&self) -> usize {
        self.lock().open.len()
    }

    /// When it asked last.
    pub fn seen(&self) -> Option<UnixTime> {
        match self.seen.load(Ordering::Relaxed) {
            0 => None,
            seen => Some(seen),
        }
    }

    /// It asks.
    pub fn see(&self, now: UnixTime) {
        self.seen.store(now, Ordering::Relaxed);
    }

    /// What it said last.
    pub fn said(&self) -> Option<Said> {
        self.lock().said.clone()
    }

    /// It says something.
    pub fn say(&self, said: Said) {
        self.lock().said = Some(said);
    }

    /// Counts a renewal; `false` when there were too many.
    ///
    /// * `now`: of a clock that never goes back.
    pub fn may_renew(&self, now: Duration) -> bool {
        self.lock().renewals.count(now, RENEWALS_WITHIN) <= RENEWALS_MAX
    }

    /// Counts so many requests about logins; `false` when there were too many.
    ///
    /// * `now`: of a clock that never goes back.
    pub fn may_ask(&self, now: Duration, count: u32) -> bool {
        self.lock().asked.take(now, count)
    }

    /// Counts what is told of a session; `false` when it was too much.
    ///
    /// * `now`: of a clock that never goes back.
    pub fn may_tell(&self, now: Duration) -> bool {
        self.lock().told.take(now, 1)
    }

    /// Has everybody who waits look again.
    pub fn tell(&self) {
        self.changed.send_replace(());
    }

    fn lock(&self) -> MutexGuard<'_, Moving> {
        self.moving.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's seat, given back when it is dropped.
#[derive(Debug)]
pub struct Seat {
    presence: Arc<Presence>,
    number: u64,
}

impl Seat {
    /// Whether a newer connection has not taken it.
    pub fn is_held(&self) -> bool {
        self.presence.lock().open.contains(&self.number)
    }

    /// Waits until the seat is lost, or until `holds` is `false`, which is asked whenever the host's record changed.
    pub async fn is_lost(&self, holds: impl Fn() -> bool) {
        let mut changes = self.presence.changed.subscribe();
        while self.is_held() && holds() {
            // The sender lives as long as `self`.
            if changes.changed().await.is_err() {
                return;
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.presence.lock().open.retain(|open| *open != self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // covers: F06
    #[tokio::test]
    async fn a_host_has_four_connections_and_the_oldest_gives_way_to_a_fifth() {
        let presence = Arc::new(Presence::default());
        let first = presence.enter();
        let others: Vec<Seat> = (1..CONNECTIONS_PER_HOST_MAX).map(|_| presence.enter()).collect();
        assert!(first.is_held());
        let waiting = first.is_lost(|| true);
        let coming = async { presence.enter() };
        let ((), last) = tokio::join!(biased; waiting, coming);
        assert!(!first.is_held() && last.is_held() && others.iter().all(Seat::is_held));
        drop(first);
        assert_eq!(presence.connections(), CONNECTIONS_PER_HOST_MAX);
        drop((others, last));
        assert_eq!(presence.connections(), 0);
    }

    #[test]
    fn a_host_renews_a_few_times_an_hour() {
        let presence = Presence::default();
        let at = Duration::from_secs;
        assert!((0..RENEWALS_MAX).all(|_| presence.may_renew(at(1))));
        assert!(!presence.may_renew(at(3_600)));
        assert!(presence.may_renew(at(3_601)));
    }

    // covers: B08, B09
    #[test]
    fn a_host_asks_as_much_as_a_morning_needs_and_no_more_for_long() {
        let (presence, at) = (Presence::default(), Duration::from_millis);
        let asked = |now: Duration| (0..10_000).take_while(|_| presence.may_ask(now, 1)).count();
        assert_eq!(asked(at(5_000)), 1_500);
        assert_eq!(asked(at(6_000)), 50);
        assert_eq!(asked(at(6_020)), 1);
        assert!(
            !presence.may_ask(at(9_000), 256) && presence.may_ask(at(9_000), 140),
            "what is refused is not counted"
        );
        assert_eq!(asked(at(1_000_000)), 1_500);
    }

    // covers: R10
    #[test]
    fn what_a_host_tells_of_sessions_takes_nothing_of_what_it_asks_about_logins() {
        let (presence, at) = (Presence::default(), Duration::from_secs);
        let told = |now: Duration| (0..10_000).take_while(|_| presence.may_tell(now)).count();
        assert_eq!((told(at(5)), told(at(6))), (1_024, 50));
        assert!(presence.may_ask(at(6), ASKED_MAX) && !presence.may_ask(at(6), 1));
        assert_eq!(told(at(7)), 50);
    }
}
