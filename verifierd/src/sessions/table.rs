//! The open sessions in memory, and how many there may be.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use super::record::{Session, SessionId};
use crate::hosts::HostId;

/// Open sessions of one host: a terminal server with a thousand users, each of whom has some and runs sudo in them.
pub const SESSIONS_PER_HOST_MAX: usize = 4_096;

/// Open sessions of all hosts: 32 at each of 2,000, or sixteen terminal servers that are full. Half a kilobyte each, at
/// most 2: some 32 MB of memory, 130 at most.
pub const SESSIONS_MAX: usize = 65_536;

/// Names of sessions that ended last, for each host: what was begun before them and arrives after them, because it was
/// sent twice, begins nothing. An agent says one thing at a time. As many names again of sessions that were not open:
/// apart, since whoever makes names up must not have real ones forgotten.
const ENDED_MAX: usize = 64;

/// The open sessions.
#[derive(Debug)]
pub(super) struct Table {
    /// By host; none is this machine.
    places: HashMap<Option<HostId>, Place>,
    length: usize,
    /// How many there may be; a constant but for tests.
    most: usize,
}

/// What is known of one host.
#[derive(Debug, Default)]
struct Place {
    open: BTreeMap<SessionId, Arc<Session>>,
    /// Oldest first.
    ended: VecDeque<SessionId>,
    /// The same of those that had not begun.
    unknown: VecDeque<SessionId>,
    /// The last one that the host was asked about.
    asked: Option<SessionId>,
}

/// Whether a session has a place.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// It has one.
    New {
        /// Whose place it took: one of the host that has most.
        displaced: Option<Arc<Session>>,
    },
    /// It has had one, or is over.
    Known,
    /// It has none.
    Full,
}

impl Default for Table {
    fn default() -> Self {
        Self { places: HashMap::new(), length: 0, most: SESSIONS_MAX }
    }
}

impl Table {
    /// Gives a session a place. Where all are taken, the host with most sessions gives up its newest, unless it is the
    /// one that asks: a host in foreign hands takes no place of others.
    pub(super) fn admit(&mut self, session: &Arc<Session>) -> Admission {
        let host = session.place();
        if self.knows(host, session.id) {
            return Admission::Known;
        }
        let own = self.count_of(host);
        if own >= SESSIONS_PER_HOST_MAX {
            return Admission::Full;
        }
        let mut displaced = None;
        if self.length >= self.most {
            let fullest = self.places.iter().max_by_key(|(_, place)| place.open.len());
            // The asking host would have one more.
            let Some((&fullest, place)) = fullest.filter(|(_, place)| place.open.len() > own + 1) else {
                return Admission::Full;
            };
            let newest = place.open.values().max_by_key(|session| session.since).map(|session| session.id);
            displaced = newest.and_then(|newest| self.end(fullest, newest));
        }
        self.restore(Arc::clone(session));
        Admission::New { displaced }
    }

    /// Puts a session where it was.
    pub(super) fn restore(&mut self, session: Arc<Session>) {
        let place = self.places.entry(session.place()).or_default();
        for over in [&mut place.ended, &mut place.unknown] {
            over.retain(|ended| *ended != session.id);
        }
        if place.open.insert(session.id, session).is_none() {
            self.length += 1;
        }
    }

    /// Takes a session away that never was one.
    pub(super) fn remove(&mut self, host: Option<HostId>, id: SessionId) -> Option<Arc<Session>> {
        let removed = self.places.get_mut(&host)?.open.remove(&id)?;
        self.length -= 1;
        Some(removed)
    }

    /// Takes a session away for good; also one that has not begun yet.
    pub(super) fn end(&mut self, host: Option<HostId>, id: SessionId) -> Option<Arc<Session>> {
        let removed = self.remove(host, id);
        let place = self.places.entry(host).or_default();
        if !place.is_over(id) {
            let over = if removed.is_some() { &mut place.ended } else { &mut place.unknown };
            over.push_back(id);
            if over.len() > ENDED_MAX {
                over.pop_front();
            }
        }
        removed
    }

    /// Whether a session is open, or ended a moment ago.
    pub(super) fn knows(&self, host: Option<HostId>, id: SessionId) -> bool {
        self.places.get(&host).is_some_and(|place| place.open.contains_key(&id) || place.is_over(id))
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.length
    }

    /// All of them.
    pub(super) fn each(&self) -> impl Iterator<Item = &Arc<Session>> {
        self.places.values().flat_map(|place| place.open.values())
    }

    /// Up to `most` of a host's, after those of the last time.
    pub(super) fn next_of(&mut self, host: HostId, most: usize) -> Vec<Arc<Session>> {
        let Some(place) = self.places.get_mut(&Some(host)) else { return Vec::new() };
        let after = place.asked.map_or(Bound::Unbounded, Bound::Excluded);
        let later = place.open.range((after, Bound::Unbounded));
        let next: Vec<_> = later.take(most).map(|(_, session)| Arc::clone(session)).collect();
        // From the first one again, once the last one was among them.
        place.asked = next.last().filter(|_| next.len() == most).map(|session| session.id);
        next
    }

    fn count_of(&self, host: Option<HostId>) -> usize {
        self.places.get(&host).map_or(0, |place| place.open.len())
    }
}

impl Place {
    fn is_over(&self, id: SessionId) -> bool {
        self.ended.contains(&id) || self.unknown.contains(&id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hosts::{HostIdentity, HostName};

    fn id(number: usize) -> SessionId {
        SessionId::parse(&format!("{number:032x}")).unwrap()
    }

    fn host(byte: u8) -> HostId {
        HostId::from_random([byte; 16])
    }

    /// A session of a host, begun in the second of its number.
    fn session(byte: u8, number: usize) -> Arc<Session> {
        let identity = HostIdentity { id: host(byte), name: HostName::new("web1").unwrap(), group: None };
        Arc::new(Session::new(id(number), Some(identity), number as u64))
    }

    fn new() -> Admission {
        Admission::New { displaced: None }
    }

    // covers: R10
    #[test]
    fn a_host_has_so_many_sessions_and_no_more() {
        let mut table = Table::default();
        for number in 0..SESSIONS_PER_HOST_MAX {
            assert_eq!(table.admit(&session(1, number)), new());
        }
        assert_eq!(table.admit(&session(1, SESSIONS_PER_HOST_MAX)), Admission::Full);
        assert_eq!(table.admit(&session(2, 0)), new(), "another host's");
        assert!(table.end(Some(host(1)), id(0)).is_some());
        assert_eq!(table.admit(&session(1, SESSIONS_PER_HOST_MAX)), new());
        assert_eq!(table.len(), SESSIONS_PER_HOST_MAX + 1);
    }

    // covers: R10
    #[test]
    fn where_all_places_are_taken_the_host_with_most_gives_up_its_newest() {
        let mut table = Table { most: 10, ..Table::default() };
        for number in 0..8 {
            table.admit(&session(1, number));
        }
        table.admit(&session(2, 0));
        table.admit(&session(2, 1));
        assert_eq!(table.admit(&session(1, 8)), Admission::Full, "it has most itself");
        for (number, expected) in [(2, 7), (3, 6), (4, 5)] {
            let displaced = Some(session(1, expected));
            assert_eq!(table.admit(&session(2, number)), Admission::New { displaced });
        }
        assert_eq!(table.admit(&session(2, 5)), Admission::Full, "both have the same");
        assert!(matches!(table.admit(&session(3, 0)), Admission::New { displaced: Some(_) }));
        assert_eq!(table.len(), 10);
    }

    // covers: R10
    #[test]
    fn a_session_begins_once_and_not_after_its_end() {
        let mut table = Table::default();
        assert_eq!([0, 1].map(|_| table.admit(&session(1, 0))), [new(), Admission::Known]);
        assert_eq!(table.end(Some(host(1)), id(0)), Some(session(1, 0)));
        assert_eq!(table.end(Some(host(1)), id(0)), None);
        assert_eq!(table.admit(&session(1, 0)), Admission::Known, "it came late");
        for number in 1..=ENDED_MAX {
            table.end(Some(host(1)), id(number));
        }
        let place = &table.places[&Some(host(1))];
        assert_eq!((place.ended.len(), place.unknown.len()), (1, ENDED_MAX));
        assert_eq!(table.admit(&session(1, 0)), Admission::Known, "names that were made up push it out");
        table.end(Some(host(1)), id(ENDED_MAX + 1));
        assert_eq!(table.places[&Some(host(1))].unknown.len(), ENDED_MAX);
        assert_eq!(table.admit(&session(1, ENDED_MAX)), Admission::Known, "its end was told first");
        assert_eq!(table.admit(&session(2, ENDED_MAX)), new(), "no end of another host's");
        assert_eq!(table.len(), 1);
    }

    // covers: R10
    #[test]
    fn a_host_is_asked_about_all_its_sessions_by_and_by() {
        let mut table = Table::default();
        for number in 0..5 {
            table.admit(&session(1, number));
            table.admit(&session(2, number + 10));
        }
        let mut asked = || table.next_of(host(1), 2).iter().map(|session| session.id).collect::<Vec<_>>();
        assert_eq!([asked(), asked(), asked()], [vec![id(0), id(1)], vec![id(2), id(3)], vec![id(4)]]);
        assert_eq!(asked(), [id(0), id(1)]);
        assert_eq!(table.next_of(host(3), 2), []);
    }
}
