//! The one clock of the tests, waiting with a deadline, and the clock that `verifierd` is shown.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use std::{fs, thread};

/// Longest wait for anything that should happen at once. Generous, because two cores carry everything.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How often something is looked at that the kernel does not announce, such as a port that begins to listen.
const GLANCE: Duration = Duration::from_millis(10);

/// Real time in seconds since the Unix epoch.
#[expect(clippy::disallowed_methods, reason = "the one clock of the tests")]
pub fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock stands after 1970").as_secs()
}

/// Monotonic time.
#[expect(clippy::disallowed_methods, reason = "the one clock of the tests")]
pub fn now() -> Instant {
    Instant::now()
}

/// Looks until something is there.
///
/// # Panics
/// With `what` when it is not there after [`PATIENCE`].
pub fn wait_for<T>(what: &str, probe: impl FnMut() -> Option<T>) -> T {
    wait_at_most(PATIENCE, probe).unwrap_or_else(|| panic!("waited {PATIENCE:?} in vain: {what}"))
}

/// Looks until something is there or `limit` has passed.
pub fn wait_at_most<T>(limit: Duration, mut probe: impl FnMut() -> Option<T>) -> Option<T> {
    let end = now() + limit;
    loop {
        if let Some(found) = probe() {
            return Some(found);
        }
        if now() >= end {
            return None;
        }
        thread::park_timeout(GLANCE);
    }
}

/// The wall clock that `verifierd` sees: real time and an offset, which a test moves while the daemon runs.
///
/// Done by libfaketime with a time-stamp file.
#[derive(Clone)]
pub struct DaemonClock {
    file: PathBuf,
}

impl DaemonClock {
    /// A clock that shows real time.
    pub fn new(folder: &Path) -> Self {
        let clock = Self { file: folder.join("clock") };
        clock.set_offset(0);
        clock
    }

    /// What the daemon's clock shows, in seconds since the Unix epoch.
    pub fn unix_now(&self) -> u64 {
        unix_now().checked_add_signed(self.offset()).expect("a time after 1970")
    }

    /// Moves the daemon's clock.
    pub fn advance(&self, seconds: i64) {
        self.set_offset(self.offset() + seconds);
    }

    /// The environment that makes a program see this clock.
    ///
    /// * `monotonic`: whether the monotonic clock, which waits are measured on, moves along.
    pub fn environment(&self, monotonic: bool) -> [(&'static str, PathBuf); 5] {
        [
            ("LD_PRELOAD", crate::programs::faketime()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.clone()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", if monotonic { "0".into() } else { "1".into() }),
            ("FAKETIME_NO_CACHE", "1".into()),
            ("NO_FAKE_STAT", "1".into()),
        ]
    }

    fn offset(&self) -> i64 {
        let text = fs::read_to_string(&self.file).expect("the clock's file");
        text.trim().parse().expect("an offset in seconds")
    }

    /// By rename, so that the daemon never reads half a number.
    fn set_offset(&self, seconds: i64) {
        let new = self.file.with_extension("new");
        fs::write(&new, format!("{seconds:+}\n")).expect("writing the clock");
        fs::rename(&new, &self.file).expect("setting the clock");
    }
}
