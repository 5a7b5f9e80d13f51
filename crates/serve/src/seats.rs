//! How many connections one listener serves at once, and how many of them one caller may have.
//!
//! Each listener has seats of its own, so that a crowd at one of them keeps nobody from another. Where callers show who
//! they are only after they sat down, those who have not are `strangers`: they have a part of the seats, and the one who
//! came first gives way to the next.

mod strangers;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::listener::Peer;
use strangers::{Stranger, Strangers};

/// Connections served at once on each listener. sshd alone keeps to 100 unauthenticated ones (MaxStartups); a
/// busy machine's sudo adds some; beyond this, callers wait in the listen queue. `verifierd.service` allows
/// descriptors for all listeners.
pub const CONNECTIONS_MAX: usize = 1_024;

/// Connections served at once on the listener of the fleet. Each host keeps one open; a host that lost its verifier
/// may have a second for a while, until the first is given up here. A connection takes some 60 KiB.
pub const FLEET_CONNECTIONS_MAX: usize = 8_192;

/// Listeners that a daemon may have: login, admin, user, api, fleet.
pub const LISTENERS_MAX: usize = 5;

/// Descriptors that a daemon with all listeners asks for; one for each question that is at the name service.
pub const DESCRIPTORS_WANTED: usize =
    (LISTENERS_MAX - 1) * CONNECTIONS_MAX + FLEET_CONNECTIONS_MAX + DESCRIPTORS_KEPT + 64;

/// Descriptors that connections never use: some 35 for the store, the listeners and the threads, the rest for
/// commands, the name service and the program that is told of events.
pub const DESCRIPTORS_KEPT: usize = 48;

/// Connections of one account at once, but for root's. A person's commands make one at a time; eight leave
/// room for a script that runs some beside each other, and it takes 128 accounts to fill a socket.
pub const CONNECTIONS_PER_ACCOUNT_MAX: usize = 8;

/// Connections of one source of the network at once. A gateway with a pool of connections has some dozens; it takes
/// eight sources to fill the listener.
pub const CONNECTIONS_PER_SOURCE_MAX: usize = 128;

/// How many connections a listener can have, where the process may open so many descriptors: at most `most`, and so
/// many that the store keeps its own and no listener takes what another needs.
pub fn connections_possible(descriptors: u64, most: usize) -> usize {
    let free = usize::try_from(descriptors).unwrap_or(usize::MAX).saturating_sub(DESCRIPTORS_KEPT);
    let small = (free / LISTENERS_MAX).min(CONNECTIONS_MAX);
    let large = free.saturating_sub((LISTENERS_MAX - 1) * small);
    let share = if most > CONNECTIONS_MAX { large } else { small };
    share.clamp(1, most)
}

/// The seats of one listener.
#[derive(Debug)]
pub struct Seats {
    most: usize,
    taken: Mutex<Taken>,
    left: Notify,
}

/// Locked once when a connection comes, when it is known by a better name, and when it goes.
#[derive(Debug, Default)]
struct Taken {
    by_peer: HashMap<Peer, usize>,
    all: usize,
    /// Where callers become known by a better name than where they come from: those who have not yet.
    strangers: Option<Strangers>,
}

/// What somebody finds who wants a seat.
enum Found {
    /// One for him, and what he keeps of it.
    Seat(Share),
    /// He has as many as he may have.
    Enough,
    /// None is free. Where that is because of strangers, one of them was told to go.
    Nothing,
}

impl Seats {
    /// So many, all free.
    pub fn new(most: usize) -> Self {
        Self { most, taken: Mutex::default(), left: Notify::new() }
    }

    /// The same where whoever comes is a stranger, until he is known by a better name.
    pub fn for_strangers(most: usize) -> Self {
        let taken = Taken { strangers: Some(Strangers::of(most)), ..Taken::default() };
        Self { most, taken: Mutex::new(taken), left: Notify::new() }
    }

    /// Takes a seat for a caller, once there is one, and a part of his share; none when he has as many as he may have.
    pub async fn take(self: &Arc<Self>, peer: Peer) -> Option<Share> {
        loop {
            // Before the look: who leaves in between is noticed.
            let left = self.left.notified();
            match self.try_take(peer) {
                Found::Seat(share) => return Some(share),
                Found::Enough => return None,
                // Somebody who came by another thread was faster, or a stranger is about to go.
                Found::Nothing => left.await,
            }
        }
    }

    /// The same at once.
    fn try_take(self: &Arc<Self>, peer: Peer) -> Found {
        let mut taken = self.lock();
        let Taken { by_peer, all, strangers } = &mut *taken;
        let own = by_peer.get(&peer).copied().unwrap_or_default();
        let stranger = match strangers {
            None if *all >= self.most => return Found::Nothing,
            None if own >= most_of(peer) => return Found::Enough,
            None => None,
            Some(strangers) => match strangers.make_room(peer, own, *all >= self.most) {
                false => return Found::Nothing,
                true => Some(strangers.admit(peer)),
            },
        };
        *by_peer.entry(peer).or_default() += 1;
        *all += 1;
        Found::Seat(Share { seats: Arc::clone(self), peer, stranger })
    }

    /// Gives a seat back. The caller's share is another matter.
    pub fn leave(&self) {
        let is_for_everybody = {
            let mut taken = self.lock();
            taken.all = taken.all.saturating_sub(1);
            taken.all == 0 || taken.strangers.is_some()
        };
        // One seat is for one of those who wait for it; that all have left is for everybody, and so is a stranger's seat,
        // which not everybody may take.
        if is_for_everybody {
            self.left.notify_waiters();
        }
        self.left.notify_one();
    }

    /// Waits until somebody else can sit down, if need be in the place of a stranger.
    pub async fn has_one_free(&self) {
        self.wait_until(|taken| {
            taken.all < self.most || taken.strangers.as_ref().is_some_and(Strangers::can_go)
        })
        .await;
    }

    /// Waits until all have left.
    pub async fn are_empty(&self) {
        self.wait_until(|taken| taken.all == 0).await;
    }

    async fn wait_until(&self, holds: impl Fn(&Taken) -> bool) {
        loop {
            let left = self.left.notified();
            if holds(&self.lock()) {
                return;
            }
            left.await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A part of what one caller may have, given back when it is dropped. It may end before the connection does: who is known
/// by a better name than his address is counted by that, and is no stranger any more.
#[derive(Debug)]
pub struct Share {
    seats: Arc<Seats>,
    peer: Peer,
    stranger: Option<Stranger>,
}

impl Share {
    /// The caller has come through the handshake, and may have something to ask.
    pub(crate) fn meet(&mut self) {
        if let Some(stranger) = &mut self.stranger
            && let Some(strangers) = &mut self.seats.lock().strangers
        {
            strangers.meet(stranger);
        }
    }

    /// Told when the caller has to make room for another. Nobody tells it of one whose share has ended.
    pub(crate) fn call_to_go(&self) -> Option<Arc<Notify>> {
        self.stranger.as_ref().map(Stranger::call)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        {
            let mut taken = self.seats.lock();
            if let Some(own) = taken.by_peer.get_mut(&self.peer) {
                *own = own.saturating_sub(1);
                if *own == 0 {
                    taken.by_peer.remove(&self.peer);
                }
            }
            let Some(stranger) = &self.stranger else { return };
            if let Some(strangers) = &mut taken.strangers {
                strangers.forget(stranger);
            }
        }
        self.seats.left.notify_waiters();
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

    /// As many as one caller gets, his shares kept.
    fn all_taken(seats: &Arc<Seats>, peer: Peer) -> Vec<Share> {
        (0..2 * CONNECTIONS_MAX).filter_map(|_| taken(seats, peer)).collect()
    }

    fn taken(seats: &Arc<Seats>, peer: Peer) -> Option<Share> {
        match seats.try_take(peer) {
            Found::Seat(share) => Some(share),
            Found::Enough | Found::Nothing => None,
        }
    }

    // covers: I05
    #[test]
    fn one_account_has_eight_seats_and_another_has_its_own() {
        let seats = Arc::new(Seats::new(CONNECTIONS_MAX));
        let mut own = all_taken(&seats, Peer::Account(1000));
        assert_eq!(own.len(), CONNECTIONS_PER_ACCOUNT_MAX);
        let _other = taken(&seats, Peer::Account(1001)).unwrap();
        own.pop();
        let _next = taken(&seats, Peer::Account(1000)).unwrap();
        assert!(matches!(seats.try_take(Peer::Account(1000)), Found::Enough));
    }

    // covers: F06
    #[test]
    fn one_source_has_an_eighth_of_the_seats_and_another_has_its_own() {
        let seats = Arc::new(Seats::new(CONNECTIONS_MAX));
        let source = |last: u8| Peer::Source([192, 0, 2, last].into());
        let crowd = all_taken(&seats, source(1));
        assert_eq!(crowd.len(), CONNECTIONS_PER_SOURCE_MAX);
        assert!(taken(&seats, source(2)).is_some());
    }

    #[test]
    fn root_may_have_them_all_and_no_more() {
        let seats = Arc::new(Seats::new(CONNECTIONS_MAX));
        let crowd = all_taken(&seats, Peer::Account(0));
        assert_eq!(crowd.len(), CONNECTIONS_MAX);
        assert!(matches!(seats.try_take(Peer::Account(1000)), Found::Nothing));
        seats.leave();
        assert!(taken(&seats, Peer::Account(1000)).is_some());
    }

    #[test]
    fn nothing_is_kept_of_who_is_gone() {
        let seats = Arc::new(Seats::new(CONNECTIONS_MAX));
        for uid in 1..=500 {
            assert!(taken(&seats, Peer::Account(uid)).is_some());
            seats.leave();
        }
        let taken = seats.lock();
        assert_eq!((taken.by_peer.len(), taken.all), (0, 0));
    }

    // covers: F06
    #[tokio::test]
    async fn who_is_known_by_a_better_name_leaves_his_share_to_others_and_keeps_his_seat() {
        let seats = Arc::new(Seats::new(CONNECTIONS_MAX));
        let gateway = Peer::Source([192, 0, 2, 1].into());
        for _ in 0..2 * CONNECTIONS_PER_SOURCE_MAX {
            drop(seats.take(gateway).await.expect("a share that was given back is free"));
        }
        assert_eq!(seats.lock().all, 2 * CONNECTIONS_PER_SOURCE_MAX);
    }

    // covers: F08
    #[test]
    fn few_descriptors_mean_few_seats_and_the_store_keeps_its_own() {
        let possible = |descriptors| {
            [CONNECTIONS_MAX, FLEET_CONNECTIONS_MAX].map(|most| connections_possible(descriptors, most))
        };
        assert_eq!(possible(u64::MAX), [CONNECTIONS_MAX, FLEET_CONNECTIONS_MAX]);
        assert_eq!(possible(DESCRIPTORS_WANTED as u64), [CONNECTIONS_MAX, FLEET_CONNECTIONS_MAX]);
        assert_eq!(possible(5 * 1_024 + 48), [CONNECTIONS_MAX, 1_024]);
        assert_eq!(possible(64), [3, 4]);
        assert_eq!(possible(10), [1, 1]);
    }

    // covers: F08
    #[tokio::test]
    async fn whoever_waits_for_a_seat_gets_the_next_one() {
        let seats = Arc::new(Seats::new(1));
        let _first = taken(&seats, Peer::Account(0)).unwrap();
        let waiting = || async { assert!(seats.take(Peer::Account(0)).await.is_some()) };
        let leaving = async {
            seats.leave();
            tokio::task::yield_now().await;
            seats.leave();
        };
        tokio::join!(biased; waiting(), waiting(), leaving);
        seats.leave();
        tokio::join!(biased; seats.are_empty(), seats.are_empty());
    }
}
