//! How often somebody may be wrong on a host that asks nobody: twenty wrong passwords in an hour, and twenty typing errors
//! besides. The console has a count of its own, so that nobody far away closes it.
//!
//! A try is counted, durably, before its password is looked at: many at once, or a process that is killed again and again,
//! have no more of them than one that waits.

use std::time::Duration;

use offline_password::TypingError;
use serde::{Deserialize, Serialize};

use super::moment::{Moment, Wait};

/// Passwords that are compared within [`WITHIN`]. Source: decision 0029, which reckons with this number.
pub const COMPARED_MAX: u32 = 20;

/// Typing errors that are told within [`WITHIN`]. They are compared with nothing; without a bound they would keep the disk
/// busy. Source: check D12.
pub const MISTYPED_MAX: u32 = 20;

/// Passwords that are compared within [`WITHIN`] where nobody is listened to any more, for one that ends the wait.
pub const BEYOND_MAX: u32 = 5;

/// The time of all.
pub const WITHIN: Duration = Duration::from_secs(3_600);

/// Where somebody sits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// At the machine.
    Console,
    /// Elsewhere, or nobody can tell.
    Elsewhere,
}

/// What somebody may say whose try was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Everything.
    Everything,
    /// Only what ends the wait.
    Resets {
        /// Which is so long.
        left: Duration,
    },
}

/// The tries of one place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tries {
    compared: u32,
    mistyped: u32,
    beyond: u32,
    /// Since the first of them.
    wait: Option<Wait>,
}

/// The tries of all places.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllTries {
    console: Tries,
    elsewhere: Tries,
}

impl AllTries {
    /// Those of one place.
    pub fn of(&mut self, place: Place) -> &mut Tries {
        match place {
            Place::Console => &mut self.console,
            Place::Elsewhere => &mut self.elsewhere,
        }
    }
}

impl Tries {
    /// Counts a try, by whether what was typed can be a password at all.
    ///
    /// * `says_reset`: whether it says that it ends a wait, and may.
    ///
    /// # Errors
    /// How long nobody is listened to there.
    pub fn count(
        &mut self,
        read: Result<(), TypingError>,
        says_reset: bool,
        moment: &Moment,
    ) -> Result<Heard, Duration> {
        let left = self.wait.as_ref().map_or(Duration::ZERO, |wait| wait.left(WITHIN, moment));
        if left.is_zero() {
            *self = Self { wait: Some(Wait::new(moment)), ..Self::default() };
        }
        let is_closed = self.compared >= COMPARED_MAX;
        let (count, most, heard) = match read {
            Err(_) => (&mut self.mistyped, MISTYPED_MAX, Heard::Everything),
            Ok(()) if is_closed && says_reset => (&mut self.beyond, BEYOND_MAX, Heard::Resets { left }),
            Ok(()) => (&mut self.compared, COMPARED_MAX, Heard::Everything),
        };
        if *count >= most {
            return Err(left);
        }
        *count += 1;
        Ok(heard)
    }

    /// How long nobody is listened to.
    pub fn closed_for(&self, moment: &Moment) -> Option<Duration> {
        let left = self.wait.as_ref()?.left(WITHIN, moment);
        (self.compared >= COMPARED_MAX && !left.is_zero()).then_some(left)
    }

    /// A right one ends the count.
    pub fn forget(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::super::moment::moment;
    use super::*;

    fn allowed(tries: &mut Tries, read: Result<(), TypingError>, at: &Moment) -> usize {
        (0..1_000).filter(|_| tries.count(read, false, at).is_ok()).count()
    }

    // covers: D12
    #[test]
    fn there_are_so_many_tries_an_hour_and_typing_errors_have_their_own() {
        let mut tries = Tries::default();
        let wrong = Err(TypingError::Check);
        assert_eq!(allowed(&mut tries, wrong, &moment(9, "a", 0)), 20);
        assert_eq!(tries.closed_for(&moment(9, "a", 1)), None, "typing errors close nothing");
        assert_eq!(allowed(&mut tries, Ok(()), &moment(9, "a", 100)), 20);
        assert_eq!(tries.closed_for(&moment(9, "a", 100)), Some(Duration::from_secs(3_500)));
        assert_eq!(tries.count(Ok(()), false, &moment(u64::MAX, "a", 3_599)), Err(Duration::from_secs(1)));
        // Whoever restarts the machine waits longer.
        assert_eq!(tries.count(Ok(()), false, &moment(9, "b", 10)), Err(Duration::from_secs(3_590)));
        assert_eq!(allowed(&mut tries, Ok(()), &moment(9, "a", 3_600)), 20);
        tries.forget();
        assert_eq!(allowed(&mut tries, Ok(()), &moment(9, "a", 3_600)), 20);
    }

    // covers: D03
    #[test]
    fn nobody_far_away_closes_the_console() {
        let (mut tries, at) = (AllTries::default(), moment(9, "a", 0));
        assert_eq!(allowed(tries.of(Place::Elsewhere), Ok(()), &at), 20);
        assert_eq!(allowed(tries.of(Place::Console), Ok(()), &at), 20);
    }

    // covers: N11
    #[test]
    fn where_nobody_is_listened_to_a_few_tries_may_end_that() {
        let (mut tries, at) = (Tries::default(), moment(9, "a", 0));
        assert_eq!(allowed(&mut tries, Ok(()), &at), 20);
        let heard: Vec<_> = (0..9).filter_map(|_| tries.count(Ok(()), true, &at).ok()).collect();
        assert_eq!(heard, [Heard::Resets { left: WITHIN }; 5]);
    }
}
