//! Which refusals are logged: a host that was revoked and keeps coming back chooses nothing of how much we log.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::hosts::Window;

/// Refusals that are logged within [`WITHIN`]: enough to see which hosts they are. All of them are counted by the
/// listener's tally.
pub(super) const LOGGED_MAX: u32 = 10;

/// See [`LOGGED_MAX`].
pub(super) const WITHIN: Duration = Duration::from_secs(60);

/// Refusals of late.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<Window>);

impl Refusals {
    /// Counts one, and says whether it is logged.
    ///
    /// * `now`: of a clock that never goes back.
    pub(super) fn is_logged(&self, now: Duration) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).count(now, WITHIN) <= LOGGED_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_refusals_a_minute_are_logged() {
        let (refusals, at) = (Refusals::default(), Duration::from_secs);
        let logged = (0..100).filter(|_| refusals.is_logged(at(1))).count();
        assert_eq!(logged, 10);
        assert!(!refusals.is_logged(at(60)) && refusals.is_logged(at(61)));
    }
}
