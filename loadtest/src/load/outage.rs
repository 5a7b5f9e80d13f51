//! The time in which the verifier is known to be gone.
//!
//! Stated by the operator, or made by us with a verifier of our own. What was on its way at any time of it may be
//! refused or lost without being a miscount; an accept too many is one always.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// From when until when, in microseconds of the run. Read by every lane for each answer, so without a lock; the two
/// numbers are independent, and each only moves once.
#[derive(Debug)]
pub struct Outage {
    from: AtomicU64,
    until: AtomicU64,
}

/// Later than any run.
const NEVER: u64 = u64::MAX;

impl Outage {
    /// None that is known of.
    pub fn none() -> Self {
        Self { from: AtomicU64::new(NEVER), until: AtomicU64::new(NEVER) }
    }

    /// One that is known beforehand.
    pub fn stated(from: Duration, until: Duration) -> Self {
        Self { from: AtomicU64::new(microseconds(from)), until: AtomicU64::new(microseconds(until)) }
    }

    /// The whole run.
    pub fn all_along() -> Self {
        Self { from: AtomicU64::new(0), until: AtomicU64::new(NEVER) }
    }

    /// It begins.
    pub fn begin(&self, at: Duration) {
        self.from.store(microseconds(at), Ordering::Relaxed);
    }

    /// It is over.
    pub fn end(&self, at: Duration) {
        self.until.store(microseconds(at), Ordering::Relaxed);
    }

    /// Whether it covers any moment between a request and its answer.
    pub fn touches(&self, sent: Duration, ended: Duration) -> bool {
        microseconds(ended) >= self.from.load(Ordering::Relaxed)
            && microseconds(sent) <= self.until.load(Ordering::Relaxed)
    }

    /// From when until when, in seconds of the run; `None` when there was none. The end is absent while it lasts.
    pub fn seconds(&self) -> Option<(f64, Option<f64>)> {
        let seconds = |microseconds: u64| Duration::from_micros(microseconds).as_secs_f64();
        let until = self.until.load(Ordering::Relaxed);
        match self.from.load(Ordering::Relaxed) {
            NEVER => None,
            from => Some((seconds(from), (until != NEVER).then(|| seconds(until)))),
        }
    }
}

fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(NEVER - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(outage: &Outage, sent: u64, ended: u64, touched: bool) {
        let touches = outage.touches(Duration::from_secs(sent), Duration::from_secs(ended));
        assert_eq!(touches, touched, "{sent} to {ended} s: {outage:?}");
    }

    #[test]
    fn a_request_is_touched_when_any_moment_of_it_is() {
        let outage = Outage::stated(Duration::from_secs(10), Duration::from_secs(20));
        check(&outage, 8, 9, false);
        check(&outage, 9, 11, true);
        check(&outage, 12, 13, true);
        check(&outage, 19, 25, true);
        check(&outage, 5, 25, true);
        check(&outage, 21, 22, false);
    }

    #[test]
    fn an_outage_that_we_make_lasts_until_we_say_so() {
        let outage = Outage::none();
        check(&outage, 0, 1_000, false);
        outage.begin(Duration::from_secs(10));
        check(&outage, 1_000, 1_001, true);
        outage.end(Duration::from_secs(20));
        check(&outage, 1_000, 1_001, false);
        assert_eq!(outage.seconds(), Some((10.0, Some(20.0))));
        check(&Outage::all_along(), 0, 0, true);
    }
}
