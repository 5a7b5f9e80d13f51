//! Counts what happens within a stretch of time.

use std::time::Duration;

/// How often something happened since the present stretch began. A stretch begins with what happens after the one
/// before is over, so twice the number can fall into one length of time, and never more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    began: Duration,
    count: u32,
}

impl Window {
    /// Counts one more and says how many there were, this one included.
    ///
    /// * `now`: of a clock that never goes back.
    pub fn count(&mut self, now: Duration, length: Duration) -> u32 {
        if !self.is_open(now, length) {
            *self = Self { began: now, count: 0 };
        }
        self.count = self.count.saturating_add(1);
        self.count
    }

    /// How many there were in the present stretch.
    pub fn counted(&self, now: Duration, length: Duration) -> u32 {
        if self.is_open(now, length) { self.count } else { 0 }
    }

    /// Whether anything is still remembered.
    pub fn is_open(&self, now: Duration, length: Duration) -> bool {
        self.count > 0 && now.saturating_sub(self.began) < length
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_ends_by_itself_and_the_next_one_begins_at_nothing() {
        const LENGTH: Duration = Duration::from_secs(10);
        let at = Duration::from_secs;
        let mut window = Window::default();
        assert_eq!(window.counted(at(0), LENGTH), 0);
        assert_eq!([0, 5, 9].map(|second| window.count(at(second), LENGTH)), [1, 2, 3]);
        assert_eq!((window.counted(at(9), LENGTH), window.counted(at(10), LENGTH)), (3, 0));
        assert!(window.is_open(at(9), LENGTH) && !window.is_open(at(10), LENGTH));
        assert_eq!(window.count(at(11), LENGTH), 1);
    }
}
