//! The one source of time. Everything else takes `now` or a [`Clock`] as an argument.
//!
//! Wall time decides which codes are right and is written into records. Waits are measured on the monotonic
//! side, so that a step of the wall clock neither shortens nor prolongs them.

use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Seconds since the Unix epoch.
pub type UnixTime = u64;

/// Tells the time.
pub trait Clock: Send + Sync + Debug {
    /// Wall time, seconds since the Unix epoch; 0 for a clock that stands before it.
    fn now(&self) -> UnixTime;

    /// Time since some moment before the daemon's first request. Never goes back.
    fn elapsed(&self) -> Duration;
}

/// The machine's clocks. Made once, in `main.rs`.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// Starts the monotonic side at zero.
    #[expect(clippy::disallowed_methods, reason = "the one place where time enters")]
    #[expect(clippy::new_without_default, reason = "a clock with a hidden start is easily made twice")]
    pub fn new() -> Self {
        Self { started: Instant::now() }
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place where time enters")]
    fn now(&self) -> UnixTime {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }

    fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

/// A clock that stands until it is moved, for tests.
#[derive(Debug)]
pub struct ManualClock {
    wall: AtomicU64,
    elapsed_ms: AtomicU64,
}

impl ManualClock {
    /// Stands at `now`.
    pub fn at(now: UnixTime) -> Self {
        Self { wall: AtomicU64::new(now), elapsed_ms: AtomicU64::new(0) }
    }

    /// Sets wall time alone, back or forth.
    pub fn set_wall(&self, now: UnixTime) {
        self.wall.store(now, Ordering::SeqCst);
    }

    /// Moves both clocks forward.
    pub fn advance(&self, by: Duration) {
        self.wall.fetch_add(by.as_secs(), Ordering::SeqCst);
        self.elapsed_ms.fetch_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> UnixTime {
        self.wall.load(Ordering::SeqCst)
    }

    fn elapsed(&self) -> Duration {
        Duration::from_millis(self.elapsed_ms.load(Ordering::SeqCst))
    }
}
