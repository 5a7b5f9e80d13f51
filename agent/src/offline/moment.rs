//! Times of a host that nobody sets right.
//!
//! The wall clock says what a password means; it may be stepped, and a machine without a battery begins in 1970. The boot
//! clock (`CLOCK_BOOTTIME`) cannot be stepped, and begins anew with each start of the machine.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::UnixTime;

/// Names one start of the machine: `/proc/sys/kernel/random/boot_id`, as the kernel writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootId(pub String);

/// What the clocks say at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The wall clock, seconds since the Unix epoch.
    pub wall: UnixTime,
    /// Which start of the machine this is.
    pub boot: BootId,
    /// Time since then, sleep included.
    pub elapsed: Duration,
}

/// An end that comes by whichever clock is there first; after a restart of the machine by the wall clock alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Seconds since the Unix epoch.
    pub wall: UnixTime,
    boot: BootId,
    elapsed: Duration,
}

impl End {
    /// * `now`: seconds since the Unix epoch, as [`Latest::now`] says.
    /// * `wall`: when it is over.
    pub fn new(now: UnixTime, wall: UnixTime, moment: &Moment) -> Self {
        let left = Duration::from_secs(wall.saturating_sub(now));
        Self { wall, boot: moment.boot.clone(), elapsed: moment.elapsed.saturating_add(left) }
    }

    /// Whether it is still ahead.
    pub fn is_ahead(&self, now: UnixTime, moment: &Moment) -> bool {
        let by_boot = moment.boot != self.boot || moment.elapsed < self.elapsed;
        by_boot && now < self.wall
    }
}

/// A wait that begins anew with a restart of the machine, and that no step of the wall clock shortens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    boot: BootId,
    since: Duration,
}

impl Wait {
    /// Begins now.
    pub fn new(moment: &Moment) -> Self {
        Self { boot: moment.boot.clone(), since: moment.elapsed }
    }

    /// How much is left of one that takes so long.
    pub fn left(&self, length: Duration, moment: &Moment) -> Duration {
        let since = if moment.boot == self.boot { self.since } else { Duration::ZERO };
        length.saturating_sub(moment.elapsed.saturating_sub(since))
    }
}

/// The latest time that this host knew. From it on time goes forward, by whichever clock is ahead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latest {
    wall: UnixTime,
    boot: BootId,
    elapsed: Duration,
}

impl Latest {
    /// What a verifier's clock says, at a moment of ours.
    pub fn new(wall: UnixTime, moment: &Moment) -> Self {
        Self { wall, boot: moment.boot.clone(), elapsed: moment.elapsed }
    }

    /// What the wall clock says, or later: as much later as the boot clock knows for certain.
    pub fn now(&self, moment: &Moment) -> UnixTime {
        // All of the time since a start of the machine came after what was known before it.
        let before = if moment.boot == self.boot { self.elapsed } else { Duration::ZERO };
        let passed = moment.elapsed.saturating_sub(before).as_secs();
        moment.wall.max(self.wall.saturating_add(passed))
    }

    /// Whether what is kept is near a time, whatever has passed since.
    pub fn is_about(&self, wall: UnixTime, seconds: u64) -> bool {
        self.wall.abs_diff(wall) <= seconds
    }

    /// The same, taken note of.
    #[must_use]
    pub fn moved(&self, moment: &Moment) -> Self {
        Self::new(self.now(moment), moment)
    }
}

#[cfg(test)]
pub(crate) fn moment(wall: UnixTime, boot: &str, elapsed: u64) -> Moment {
    Moment { wall, boot: BootId(boot.into()), elapsed: Duration::from_secs(elapsed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    // covers: D06
    #[test]
    fn an_end_comes_by_the_first_clock_and_after_a_restart_by_the_wall_clock() {
        let end = End::new(1_000, 4_600, &moment(1_000, "a", 50));
        for (wall, boot, elapsed, is_ahead) in [
            (1_000, "a", 50, true),
            (4_599, "a", 3_649, true),
            (4_600, "a", 51, false),
            // Stepped back, the boot clock ends it.
            (1_001, "a", 3_650, false),
            (4_599, "b", 9_999, true),
            (4_600, "b", 0, false),
        ] {
            let at = moment(wall, boot, elapsed);
            assert_eq!(end.is_ahead(wall, &at), is_ahead, "{at:?}");
        }
    }

    // covers: D06
    #[test]
    fn a_wait_begins_anew_with_the_machine_and_hears_nothing_of_the_wall_clock() {
        let wait = Wait::new(&moment(1_000, "a", 50));
        let hour = Duration::from_secs(3_600);
        let left = |wall, boot, elapsed| wait.left(hour, &moment(wall, boot, elapsed)).as_secs();
        assert_eq!((left(1_000, "a", 50), left(u64::MAX, "a", 60), left(0, "a", 3_649)), (3_600, 3_590, 1));
        assert_eq!((left(1_000, "a", 3_650), left(9_000, "b", 0), left(9_000, "b", 3_600)), (0, 3_600, 0));
    }

    // covers: D06
    #[test]
    fn time_goes_forward_by_whichever_clock_is_ahead() {
        let latest = Latest::new(1_000, &moment(990, "a", 50));
        for (wall, boot, elapsed, now) in [
            (1_000, "a", 50, 1_000),
            (1_500, "a", 60, 1_500),
            (0, "a", 650, 1_600),
            (0, "a", 0, 1_000),
            (1_200, "b", 7, 1_200),
            (0, "b", 7, 1_007),
        ] {
            let at = moment(wall, boot, elapsed);
            assert_eq!((latest.now(&at), latest.moved(&at).now(&at)), (now, now), "{at:?}");
        }
    }
}
