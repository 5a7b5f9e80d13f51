//! The usual login, which has nothing to count: its code is compared before any count is touched.
//!
//! One look at a time for each user, and only where no count speaks against him. Who is admitted at the same moment
//! counts it, and a code that turns out wrong becomes an admitted try, however many there are by then: so as many
//! codes are compared as when each is admitted first, and each wrong one is counted. That no count speaks against a
//! place is remembered at the user's gate for the rest of the day, or until a try of his is counted anywhere.

use std::sync::Arc;

use super::count::{Lane, is_due};
use super::{Admission, Throttles};
use crate::accounts::{Gate, Passing, Place, UserId};
use crate::clock::Clock;
use crate::engine::Source;
use crate::expiry::Key;
use crate::hosts::HostId;

/// How long a place is remembered, at most.
const DAY_SECONDS: u64 = 24 * 3600;

/// Leave to compare one code.
#[derive(Debug)]
pub struct Glance<'a> {
    throttles: &'a Arc<Throttles>,
    /// Held until the code's try is counted.
    passing: Passing<'a>,
    pair: Key,
    who: Key,
    is_inside: bool,
    lane: Lane,
    host: Option<HostId>,
}

impl Throttles {
    /// Asks for a look that is not counted. `None` says nothing but that [`Throttles::admit`] must be asked: another
    /// look is under way, the source is new to the user, or something is to be counted or written down.
    ///
    /// * `gate`: the user's.
    pub fn glance<'a>(
        self: &'a Arc<Self>,
        user: UserId,
        gate: &'a Gate,
        source: &Source,
        clock: &dyn Clock,
    ) -> Option<Glance<'a>> {
        let mut passing = gate.pass()?;
        let who = user.0.to_be_bytes();
        let pair = self.pair(&who, source);
        let (is_inside, now) = (source.is_inside(), clock.now());
        let place = Place::new(&pair, now / DAY_SECONDS);
        if !passing.knows(place) {
            let is_quiet = self.counts.look(&pair, |count| {
                let is_usual = is_inside || count.usual_since.is_some_and(|since| !is_due(since, now));
                is_usual && count.failures == 0 && count.in_flight == 0
            });
            if !is_quiet.unwrap_or(is_inside) {
                return None;
            }
        }
        passing.learn(place);
        let lane = Lane::of_pair(source);
        Some(Glance { throttles: self, passing, pair, who, is_inside, lane, host: source.host() })
    }
}

impl Glance<'_> {
    /// The code was not the expected one: a try like any other, that goes on to be looked at from all sides.
    pub fn admitted(mut self, clock: &dyn Clock) -> Admission {
        self.passing.forget();
        let owner = || self.throttles.owner(&self.who);
        self.throttles.count_in_flight(self.pair, self.lane, owner, clock);
        let mut admission = Admission::new(self.throttles, self.pair, self.is_inside);
        admission.lanes.push(self.pair);
        if let Some(host) = self.host {
            self.throttles.count_for_host(&mut admission, &self.who, host, clock);
        }
        admission
    }
}
