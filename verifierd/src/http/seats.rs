//! How many connections one listener serves at once, and how many of them one caller may have.
//!
//! Each listener has seats of its own, so that a crowd at one of them keeps nobody from another.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use super::listener::Peer;

/// Connections served at once on each listener. sshd alone keeps to 100 unauthenticated ones (MaxStartups); a
/// busy machine's sudo adds some; beyond this, callers wait in the listen queue. `verifierd.service` allows
/// descriptors for all four listeners.
pub const CONNECTIONS_MAX: usize = 1_024;

/// Listeners that a daemon may have: login, admin, user, api.
pub const LISTENERS_MAX: usize = 4;

/// Descriptors that connections never use: some 35 for the store, the listeners and the threads, the rest for
/// commands, the name service and the program that is told of events.
pub const DESCRIPTORS_KEPT: usize = 48;

/// Connections of one account at once, but for root's. A person's commands make one at a time; eight leave
/// room for a script that runs some beside each other, and it takes 128 accounts to fill a socket.
pub const CONNECTIONS_PER_ACCOUNT_MAX: usize = 8;

/// Connections of one source of the network at once. A gateway with a pool of connections has some dozens; it takes
/// eight sources to fill the listener.
pub const CONNECTIONS_PER_SOURCE_MAX: usize = 128;

/// How many connections each listener can have, where the process may open so many descriptors: at most
/// [`CONNECTIONS_MAX`], and so many that the store keeps its own.
pub fn connections_possible(descriptors: u64) -> usize {
    let free = usize::try_from(descriptors).unwrap_or(usize::MAX).saturating_sub(DESCRIPTORS_KEPT);
    (free / LISTENERS_MAX).clamp(1, CONNECTIONS_MAX)
}

/// The seats of one listener.
#[derive(Debug)]
pub struct Seats {
    most: usize,
    taken: Mutex<Taken>,
    left: Notify,
}

/// Locked once when a connection comes and once when it goes.
#[derive(Debug, Default)]
struct Taken {
    by_peer: HashMap<Peer, usize>,
    all: usize,
}

impl Seats {
    /// So many, all free.
    pub fn new(most: usize) -> Self {
        Self { most, taken: Mutex::default(), left: Notify::new() }
    }

    /// Takes a seat for a caller, once there is one; `false` when he has as many as he may have.
    pub async fn take(&self, peer: Peer) -> bool {
        loop {
            if let Some(is_taken) = self.try_take(peer) {
                return is_taken;
            }
            // Somebody who came by another thread was faster.
            self.has_one_free().await;
        }
    }

    /// The same at once; `None` when all are taken.
    fn try_take(&self, peer: Peer) -> Option<bool> {
        let mut taken = self.lock();
        if taken.all >= self.most {
            return None;
        }
        let own = taken.by_peer.entry(peer).or_default();
        if *own >= most_of(peer) {
            return Some(false);
        }
        *own += 1;
        taken.all += 1;
        Some(true)
    }

    /// Gives a seat back.
    pub fn leave(&self, peer: Peer) {
        let is_last = {
            let mut taken = self.lock();
            taken.all = taken.all.saturating_sub(1);
            if let Some(own) = taken.by_peer.get_mut(&peer) {
                *own = own.saturating_sub(1);
                if *own == 0 {
                    taken.by_peer.remove(&peer);
                }
            }
            taken.all == 0
        };
        // One seat is for one of those who wait for it; that all have left is for everybody.
        if is_last {
            self.left.notify_waiters();
        }
        self.left.notify_one();
    }

    /// Waits until somebody else can sit down.
    pub async fn has_one_free(&self) {
        self.wait_until(|taken| taken < self.most).await;
    }

    /// Waits until all have left.
    pub async fn are_empty(&self) {
        self.wait_until(|taken| taken == 0).await;
    }

    async fn wait_until(&self, holds: impl Fn(usize) -> bool) {
        loop {
            let left = self.left.notified();
            if holds(self.lock().all) {
                return;
            }
            left.await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many seats one caller may have.
fn most_of(peer: Peer) -> usize {
    match peer {
        Peer::Account(0) => CONNECTIONS_MAX,
        Peer::Account(_) => CONNECTIONS_PER_ACCOUNT_MAX,
        Peer::Source(_) => CONNECTIONS_PER_SOURCE_MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_taken(seats: &Seats, peer: Peer) -> usize {
        (0..2 * CONNECTIONS_MAX).filter(|_| seats.try_take(peer) == Some(true)).count()
    }

    // covers: I05
    #[test]
    fn one_account_has_eight_seats_and_another_has_its_own() {
        let seats = Seats::new(CONNECTIONS_MAX);
        assert_eq!(all_taken(&seats, Peer::Account(1000)), CONNECTIONS_PER_ACCOUNT_MAX);
        assert_eq!(seats.try_take(Peer::Account(1001)), Some(true));
        seats.leave(Peer::Account(1000));
        assert_eq!(seats.try_take(Peer::Account(1000)), Some(true));
        assert_eq!(seats.try_take(Peer::Account(1000)), Some(false));
    }

    // covers: F06
    #[test]
    fn one_source_has_an_eighth_of_the_seats_and_another_has_its_own() {
        let seats = Seats::new(CONNECTIONS_MAX);
        let source = |last: u8| Peer::Source([192, 0, 2, last].into());
        assert_eq!(all_taken(&seats, source(1)), CONNECTIONS_PER_SOURCE_MAX);
        assert_eq!(seats.try_take(source(2)), Some(true));
    }

    #[test]
    fn root_may_have_them_all_and_no_more() {
        let seats = Seats::new(CONNECTIONS_MAX);
        assert_eq!(all_taken(&seats, Peer::Account(0)), CONNECTIONS_MAX);
        assert_eq!(seats.try_take(Peer::Account(1000)), None);
        seats.leave(Peer::Account(0));
        assert_eq!(seats.try_take(Peer::Account(1000)), Some(true));
    }

    #[test]
    fn nothing_is_kept_of_who_is_gone() {
        let seats = Seats::new(CONNECTIONS_MAX);
        for uid in 1..=500 {
            assert_eq!(seats.try_take(Peer::Account(uid)), Some(true));
            seats.leave(Peer::Account(uid));
        }
        let taken = seats.lock();
        assert_eq!((taken.by_peer.len(), taken.all), (0, 0));
    }

    // covers: F08
    #[test]
    fn few_descriptors_mean_few_seats_and_the_store_keeps_its_own() {
        assert_eq!(connections_possible(u64::MAX), CONNECTIONS_MAX);
        assert_eq!(connections_possible(4 * 1_024 + 48), CONNECTIONS_MAX);
        assert_eq!(connections_possible(64), 4);
        assert_eq!(connections_possible(10), 1);
    }

    // covers: F08
    #[tokio::test]
    async fn whoever_waits_for_a_seat_gets_the_next_one() {
        let seats = Seats::new(1);
        assert_eq!(seats.try_take(Peer::Account(0)), Some(true));
        let waiting = || async { assert!(seats.take(Peer::Account(0)).await) };
        let leaving = async {
            seats.leave(Peer::Account(0));
            tokio::task::yield_now().await;
            seats.leave(Peer::Account(0));
        };
        tokio::join!(biased; waiting(), waiting(), leaving);
        seats.leave(Peer::Account(0));
        tokio::join!(biased; seats.are_empty(), seats.are_empty());
    }
}
