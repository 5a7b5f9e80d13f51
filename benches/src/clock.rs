//! The clocks of a measurement: the machine's own for durations, and one that the measurement moves for codes.
//!
//! A user can be let in once in a time step. With a clock that is moved one step for each round over all users, a
//! million of them are enough for any rate, and every code that is sent is a right one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use verifierd::clock::{Clock, UnixTime};

/// Length of a time step of the population's tokens, in seconds.
pub const STEP_SECONDS: u64 = 30;

/// Monotonic time.
#[expect(clippy::disallowed_methods, reason = "measuring time is what these programs do")]
pub fn now() -> Instant {
    Instant::now()
}

/// Wall time in seconds since the Unix epoch.
#[expect(clippy::disallowed_methods, reason = "peers run on the machine's own time")]
pub fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A clock for the daemon: wall time stands until it is told a step, waits run in real time.
#[derive(Debug)]
pub struct StepClock {
    wall: AtomicU64,
    started: Instant,
    skipped_ms: AtomicU64,
}

impl StepClock {
    /// Stands in the middle of a time step.
    pub fn at_step(step: u64) -> Self {
        Self { wall: AtomicU64::new(middle_of(step)), started: now(), skipped_ms: AtomicU64::new(0) }
    }

    /// Moves wall time into a time step.
    pub fn set_step(&self, step: u64) {
        self.wall.store(middle_of(step), Ordering::SeqCst);
    }

    /// Moves the side that waits run on forward, so that what is kept for that long is due at once.
    pub fn skip(&self, by: Duration) {
        self.skipped_ms.fetch_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }
}

impl Clock for StepClock {
    fn now(&self) -> UnixTime {
        self.wall.load(Ordering::Relaxed)
    }

    fn elapsed(&self) -> Duration {
        self.started.elapsed() + Duration::from_millis(self.skipped_ms.load(Ordering::Relaxed))
    }
}

fn middle_of(step: u64) -> u64 {
    step * STEP_SECONDS + STEP_SECONDS / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_time_stands_in_the_step_it_was_told_and_waits_can_be_skipped() {
        let clock = StepClock::at_step(7);
        assert_eq!(clock.now() / STEP_SECONDS, 7);
        clock.set_step(9);
        assert_eq!(clock.now() / STEP_SECONDS, 9);
        clock.skip(Duration::from_secs(3_600));
        assert!(clock.elapsed() >= Duration::from_secs(3_600));
    }
}
