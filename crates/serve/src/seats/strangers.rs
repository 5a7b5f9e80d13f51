//! Those who have a seat and have not said who they are.
//!
//! Anybody who reaches the listener can be one, silently and as often as he likes. So they have half of the seats, and
//! nobody is turned away for them: who was a stranger for the longest time goes when another comes. Who has come through
//! the handshake may be about to join, so others go before him, until half of the strangers are like him. Whoever has a
//! name to show needs a few round trips for it, and in that time half as many others would have to come as strangers have
//! seats.

use std::collections::BTreeMap;
use std::collections::btree_map::Range;
use std::sync::Arc;

use tokio::sync::Notify;

use crate::listener::Peer;

/// Seats of one source's strangers, of 16 of all seats: at the fleet's listener 1,024, so that more hosts than one address
/// can hide come back at once after an outage, and four addresses are needed to take all that strangers have.
const OF_ONE_SOURCE_SIXTEENTHS: usize = 2;

/// Seats of all strangers, of 16 of all seats: half. The others are for those who said who they are.
const OF_ALL_SIXTEENTHS: usize = 8;

/// The strangers at a listener.
#[derive(Debug)]
pub(super) struct Strangers {
    most: usize,
    most_of_one_source: usize,
    /// With those who were told to go and are not gone.
    all: usize,
    /// In the order in which they came, those behind who have come through the handshake; without those who were told to go.
    staying: BTreeMap<Place, (Peer, Arc<Notify>)>,
    /// How many of those have come through the handshake.
    met: usize,
    next: u64,
}

/// A stranger's place in the order of those who have come through the handshake, or of those who have not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    is_met: bool,
    number: u64,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Stranger {
    place: Place,
    call: Arc<Notify>,
}

impl Stranger {
    pub(super) fn call(&self) -> Arc<Notify> {
        Arc::clone(&self.call)
    }
}

impl Strangers {
    /// None yet.
    ///
    /// * `seats`: of the listener.
    pub(super) fn of(seats: usize) -> Self {
        let part = |sixteenths: usize| (seats * sixteenths / 16).max(1);
        Self {
            most: part(OF_ALL_SIXTEENTHS),
            most_of_one_source: part(OF_ONE_SOURCE_SIXTEENTHS),
            all: 0,
            staying: BTreeMap::new(),
            met: 0,
            next: 0,
        }
    }

    /// Whether there is room for one more. Where there is not, whoever has been here longest is told to go: of the same
    /// source, where that has all it may have.
    ///
    /// * `own`: how many of the source are here.
    /// * `is_full`: whether no seat is free at all.
    pub(super) fn make_room(&mut self, peer: Peer, own: usize, is_full: bool) -> bool {
        let oldest = if own >= self.most_of_one_source {
            self.oldest_of(peer)
        } else if is_full || self.all >= self.most {
            let met = Place { is_met: true, number: 0 };
            let first =
                |mut places: Range<'_, Place, (Peer, Arc<Notify>)>| places.next().map(|(place, _)| *place);
            let (unmet, met) = (first(self.staying.range(..met)), first(self.staying.range(met..)));
            who_goes(unmet, met, self.met, self.staying.len())
        } else {
            return true;
        };
        if let Some((_, call)) = oldest.and_then(|place| self.take_out(place)) {
            call.notify_one();
        }
        false
    }

    /// The one who has to go of a source that has all it may have.
    fn oldest_of(&self, peer: Peer) -> Option<Place> {
        let own = self.staying.iter().filter(|(_, (other, _))| *other == peer).map(|(place, _)| *place);
        let (met, unmet): (Vec<Place>, Vec<Place>) = own.partition(|place| place.is_met);
        who_goes(unmet.first().copied(), met.first().copied(), met.len(), met.len() + unmet.len())
    }

    fn take_out(&mut self, place: Place) -> Option<(Peer, Arc<Notify>)> {
        let taken = self.staying.remove(&place)?;
        self.met -= usize::from(place.is_met);
        Some(taken)
    }

    /// One more.
    pub(super) fn admit(&mut self, peer: Peer) -> Stranger {
        let place = Place { is_met: false, number: self.next };
        let call = Arc::new(Notify::new());
        (self.next, self.all) = (self.next + 1, self.all + 1);
        self.staying.insert(place, (peer, Arc::clone(&call)));
        Stranger { place, call }
    }

    /// He has come through the handshake.
    pub(super) fn meet(&mut self, stranger: &mut Stranger) {
        // Who was told to go in the meantime is not here any more.
        let known = self.take_out(stranger.place);
        stranger.place.is_met = true;
        if let Some(known) = known {
            self.staying.insert(stranger.place, known);
            self.met += 1;
        }
    }

    /// He is gone, or known by a better name.
    pub(super) fn forget(&mut self, stranger: &Stranger) {
        self.all = self.all.saturating_sub(1);
        self.take_out(stranger.place);
    }

    /// Whether one of them can be told to go.
    pub(super) fn can_go(&self) -> bool {
        !self.staying.is_empty()
    }
}

/// Of the first of those who have not come through the handshake and the first of those who have: the former, unless the
/// latter are more than half.
fn who_goes(unmet: Option<Place>, met: Option<Place>, met_count: usize, count: usize) -> Option<Place> {
    if 2 * met_count > count { met } else { unmet }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seats::{FLEET_CONNECTIONS_MAX, Found, Seats, Share};

    const SEATS: usize = 160;
    const ALL: usize = 80;
    const OF_ONE: usize = 20;

    fn source(number: usize) -> Peer {
        let [.., high, low] = number.to_be_bytes();
        Peer::Source([192, 0, high, low].into())
    }

    /// Takes a seat, for which others may have to go, and gives theirs back for them.
    fn sit_down(seats: &Arc<Seats>, peer: Peer, sitting: &mut Vec<Share>) {
        loop {
            if let Found::Seat(share) = seats.try_take(peer) {
                return sitting.push(share);
            }
            let told = |share: &Share| {
                let call = share.call_to_go().expect("a stranger");
                std::pin::pin!(call.notified()).enable()
            };
            let before = sitting.len();
            sitting.retain(|share| !told(share));
            assert_eq!(sitting.len(), before - 1, "one goes for one that comes");
            seats.leave();
        }
    }

    fn of(sitting: &[Share], peer: Peer) -> usize {
        sitting.iter().filter(|share| share.peer == peer).count()
    }

    // covers: F06
    #[test]
    fn strangers_have_half_of_the_seats_and_the_one_who_came_first_goes_for_the_next() {
        let (seats, mut sitting) = (Arc::new(Seats::for_strangers(SEATS)), Vec::new());
        for number in 0..3 * ALL {
            sit_down(&seats, source(number), &mut sitting);
        }
        assert_eq!(sitting.len(), ALL);
        let here: Vec<Peer> = sitting.iter().map(|share| share.peer).collect();
        assert_eq!(here, (2 * ALL..3 * ALL).map(source).collect::<Vec<_>>());
    }

    // covers: F06
    #[test]
    fn who_came_through_the_handshake_goes_after_all_who_have_not() {
        let (seats, mut sitting) = (Arc::new(Seats::for_strangers(SEATS)), Vec::new());
        for number in 0..2 {
            sit_down(&seats, source(number), &mut sitting);
            sitting[number].meet();
        }
        for number in 2..3 * ALL {
            sit_down(&seats, source(number), &mut sitting);
        }
        let first: Vec<Peer> = sitting.iter().take(2).map(|share| share.peer).collect();
        assert_eq!(first, [source(0), source(1)]);
        sitting.iter_mut().for_each(Share::meet);
        sit_down(&seats, source(0), &mut sitting);
        assert_eq!(sitting[0].peer, source(1), "of those the first one");
    }

    // covers: F06
    #[test]
    fn who_came_through_the_handshake_leaves_half_to_those_who_are_about_to() {
        for sources in [ALL, 1] {
            let (seats, mut sitting) = (Arc::new(Seats::for_strangers(SEATS)), Vec::new());
            let most = if sources == 1 { OF_ONE } else { ALL };
            for number in 0..2 * ALL {
                sit_down(&seats, source(number % sources), &mut sitting);
                sitting.last_mut().unwrap().meet();
            }
            assert_eq!(sitting.len(), most);
            let newcomers = most / 2;
            for number in 0..newcomers {
                sit_down(&seats, source(number % sources), &mut sitting);
            }
            let unmet = |share: &&Share| !share.stranger.as_ref().unwrap().place.is_met;
            assert_eq!((sitting.len(), sitting.iter().filter(unmet).count()), (most, newcomers));
        }
    }

    // covers: F06
    #[test]
    fn one_source_pushes_out_its_own_alone() {
        let (seats, mut sitting) = (Arc::new(Seats::for_strangers(SEATS)), Vec::new());
        sit_down(&seats, source(1), &mut sitting);
        for _ in 0..10 * SEATS {
            sit_down(&seats, source(2), &mut sitting);
        }
        assert_eq!((of(&sitting, source(1)), of(&sitting, source(2))), (1, OF_ONE));
    }

    // covers: F06
    #[test]
    fn who_is_known_has_the_other_half_whatever_strangers_do_and_can_have_it_all() {
        let (seats, mut sitting) = (Arc::new(Seats::for_strangers(SEATS)), Vec::new());
        // All of one address: a host's share ends with its name, and so does the address's.
        for known in 1..SEATS {
            for stranger in 0..ALL {
                sit_down(&seats, source(stranger), &mut sitting);
            }
            sit_down(&seats, source(ALL), &mut sitting);
            drop(sitting.pop());
            assert_eq!(sitting.len(), ALL.min(SEATS + 1 - known) - 1);
        }
        sit_down(&seats, source(0), &mut sitting);
        drop(sitting.pop());
        assert!(sitting.is_empty(), "all are known");
        assert!(matches!(seats.try_take(source(0)), Found::Nothing));
        seats.leave();
        assert!(matches!(seats.try_take(source(0)), Found::Seat(_)));
    }

    // covers: F06
    #[tokio::test]
    async fn who_waits_for_a_strangers_seat_gets_it_when_he_goes_or_is_known() {
        let seats = Arc::new(Seats::for_strangers(2));
        for is_known in [false, true] {
            let share = seats.take(source(1)).await.expect("a share");
            let call = share.call_to_go().expect("a stranger");
            let leaving = async {
                call.notified().await;
                drop(share);
                if !is_known {
                    seats.leave();
                }
            };
            let (next, ()) = tokio::join!(biased; seats.take(source(2)), leaving);
            drop(next.expect("a share"));
            seats.leave();
        }
        tokio::join!(seats.has_one_free());
    }

    #[test]
    fn few_seats_have_room_for_a_stranger() {
        assert_eq!((Strangers::of(1).most, Strangers::of(1).most_of_one_source), (1, 1));
        let fleet = Strangers::of(FLEET_CONNECTIONS_MAX);
        assert_eq!((fleet.most, fleet.most_of_one_source), (4_096, 1_024));
    }
}
