//! From Unix time to time steps and back.
//!
//! Reads no clock: `now` is always an argument. Knows no key and no drift; see [`crate::matching`].
//!
//! Source: RFC 6238 §4.2: T = (current Unix time - T0) / X, rounded down, in more than 32 bits.

use crate::TimeInterval;

/// How a token counts time: T0 and X of RFC 6238 §4.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct TimeSteps {
    /// T0: the Unix time of step 0, in seconds; 0 for almost every token.
    pub initial_time: u64,
    /// X: the seconds in one step.
    pub time_interval: TimeInterval,
}

impl TimeSteps {
    /// The step that `now` lies in.
    ///
    /// * `now`: seconds since the Unix epoch.
    ///
    /// # Errors
    /// `BeforeInitialTime` when `now` is less than the token's T0: there is no step to speak of.
    pub fn step_at(&self, now: u64) -> Result<u64, BeforeInitialTime> {
        let since = now.checked_sub(self.initial_time);
        let since = since.ok_or(BeforeInitialTime { now, initial_time: self.initial_time })?;
        Ok(since / self.interval())
    }

    /// Seconds from `now` until the next step begins: at least 1, at most X. Before T0, seconds until T0.
    pub fn seconds_left(&self, now: u64) -> u64 {
        match now.checked_sub(self.initial_time) {
            Some(since) => self.interval() - since % self.interval(),
            None => self.initial_time - now,
        }
    }

    /// The Unix time at which `step` begins, or `u64::MAX` when that lies beyond what 64 bits hold.
    pub fn start_of(&self, step: u64) -> u64 {
        step.saturating_mul(self.interval()).saturating_add(self.initial_time)
    }

    fn interval(&self) -> u64 {
        u64::from(self.time_interval.seconds())
    }
}

/// The clock stands before the token's T0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the time {now} is before the token's initial time {initial_time}")]
pub struct BeforeInitialTime {
    /// What the clock says, in Unix seconds.
    pub now: u64,
    /// The token's T0, in Unix seconds.
    pub initial_time: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(initial_time: u64, seconds: u32) -> TimeSteps {
        TimeSteps { initial_time, time_interval: TimeInterval::new(seconds).unwrap() }
    }

    #[test]
    fn a_step_lasts_exactly_one_interval() {
        // covers: A11
        for seconds in [1, 29, 30, 60, 3600, 86_400] {
            let steps = steps(0, seconds);
            let interval = u64::from(seconds);
            assert_eq!(steps.step_at(interval * 5 - 1), Ok(4), "X = {seconds}");
            assert_eq!(steps.step_at(interval * 5), Ok(5), "X = {seconds}");
            assert_eq!(steps.seconds_left(interval * 5), interval);
            assert_eq!(steps.seconds_left(interval * 6 - 1), 1);
            assert_eq!(steps.start_of(5), interval * 5);
        }
    }

    #[test]
    fn steps_are_counted_from_the_initial_time() {
        let steps = steps(1_000, 30);
        assert_eq!(steps.step_at(1_000), Ok(0));
        assert_eq!(steps.step_at(1_030), Ok(1));
        assert_eq!(steps.start_of(1), 1_030);
        assert_eq!(steps.step_at(999), Err(BeforeInitialTime { now: 999, initial_time: 1_000 }));
        assert_eq!(steps.seconds_left(990), 10);
    }

    #[test]
    fn the_ends_of_the_time_scale_do_not_overflow() {
        // covers: A17
        let steps = steps(7, 30);
        assert_eq!(steps.start_of(u64::MAX), u64::MAX);
        assert_eq!(steps.step_at(u64::MAX), Ok((u64::MAX - 7) / 30));
        assert!((1..=30).contains(&steps.seconds_left(u64::MAX)));
        assert_eq!(steps.seconds_left(0), 7);
    }

    #[test]
    fn dates_past_32_bits_have_their_own_steps() {
        // covers: A17
        let dates = [
            ("2038-01-19 03:14:07", 2_147_483_647, 71_582_788),
            ("2038-01-19 03:14:08", 2_147_483_648, 71_582_788),
            ("2106-02-07 06:28:15", 4_294_967_295, 143_165_576),
            ("2106-02-07 06:28:16", 4_294_967_296, 143_165_576),
            ("9999-12-31 23:59:59", 253_402_300_799, 8_446_743_359),
        ];
        for (date, now, step) in dates {
            assert_eq!(TimeSteps::default().step_at(now), Ok(step), "{date}");
        }
    }
}
