//! The one clock of the tests, waiting with a deadline, and the clock that `verifierd` is shown.

use std::os::unix::fs::FileExt as _;
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

/// A moment as people and programs write it: RFC 3339 in UTC.
pub fn moment(seconds: u64) -> String {
    let at = time::OffsetDateTime::from_unix_timestamp(seconds.cast_signed()).expect("a time");
    at.format(&time::format_description::well_known::Rfc3339).expect("a text")
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

/// The clock that `verifierd` sees: real time and an offset, which a test moves while the daemon runs.
///
/// Done by `clock.c`, which is preloaded and reads the offset from a file.
#[derive(Clone)]
pub struct DaemonClock {
    file: PathBuf,
}

impl DaemonClock {
    /// A clock that shows real time.
    pub fn new(folder: &Path) -> Self {
        let file = folder.join("clock");
        fs::write(&file, 0_i64.to_ne_bytes()).expect("the clock's file");
        Self { file }
    }

    /// What the daemon's clock shows, in seconds since the Unix epoch.
    pub fn unix_now(&self) -> u64 {
        unix_now().checked_add_signed(self.offset()).expect("a time after 1970")
    }

    /// Moves the daemon's clock.
    pub fn advance(&self, seconds: i64) {
        let offset = self.offset() + seconds;
        // In place and in one write, because the daemon has the file mapped.
        let file = fs::OpenOptions::new().write(true).open(&self.file).expect("the clock's file");
        file.write_all_at(&offset.to_ne_bytes(), 0).expect("setting the clock");
    }

    /// The environment that makes a program see this clock.
    ///
    /// * `waits`: whether the monotonic clock, which waits are measured on, moves along.
    pub fn environment(&self, waits: bool) -> Vec<(&'static str, PathBuf)> {
        let mut variables = vec![
            ("LD_PRELOAD", env!("POSTERN_RIG_CLOCK_LIBRARY").into()),
            ("POSTERN_RIG_CLOCK", self.file.clone()),
        ];
        if waits {
            variables.push(("POSTERN_RIG_CLOCK_WAITS", "1".into()));
        }
        variables
    }

    fn offset(&self) -> i64 {
        let bytes = fs::read(&self.file).expect("the clock's file");
        i64::from_ne_bytes(bytes.try_into().expect("eight bytes"))
    }
}
