//! The wall clock. Waits are measured on the runtime's own, monotonic one.

use std::fmt::Debug;
use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since the Unix epoch.
pub type UnixTime = u64;

/// Tells the time.
pub trait Clock: Send + Sync + Debug {
    /// Wall time, seconds since the Unix epoch; 0 for a clock that stands before it.
    fn now(&self) -> UnixTime;
}

/// The machine's clock. Made once, in `main.rs`.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place where time enters")]
    fn now(&self) -> UnixTime {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }
}
