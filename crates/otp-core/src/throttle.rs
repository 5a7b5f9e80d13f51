//! How wrong passwords slow down further tries against one key, and when they end them.
//!
//! Counts nothing itself and remembers nothing: the caller keeps a durable number of failures in a row, per
//! user and source, and takes a try that comes too early as not made. Limits per listener are not throttling
//! and live elsewhere.
//!
//! Sources: RFC 4226 §7.3 (a delay that grows with the failed tries, and a limit on them); NIST SP 800-63B-4
//! §3.2.2 (at most 100 failures in a row).

use std::time::Duration;

/// After some free failures in a row, each further one doubles the wait before the next try, up to a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThrottleRules {
    /// Failures in a row that cost no wait: typing errors, and a code that changed while it was typed.
    pub free_failures: u32,
    /// The wait after the first failure that is not free.
    pub first_wait: Duration,
    /// The longest wait.
    pub wait_max: Duration,
    /// Failures in a row at which the token is disabled until an administrator enables it.
    pub disable_at: u32,
}

impl Default for ThrottleRules {
    /// Four free failures; then 1 s, 2 s, 4 s and so on up to 15 minutes; disabled at 100.
    ///
    /// With six digits and three steps in the window, one hundred guesses find a password in 3 of 10,000
    /// cases (RFC 4226 §7.3: v guesses against s values succeed in s * v / 10^digits of all cases).
    fn default() -> Self {
        Self {
            free_failures: 4,
            first_wait: Duration::from_secs(1),
            wait_max: Duration::from_secs(15 * 60),
            disable_at: 100,
        }
    }
}

impl ThrottleRules {
    /// How long to wait after the last of `failures` in a row before the next try is looked at.
    pub fn wait_after(&self, failures: u32) -> Duration {
        let Some(doublings) =
            failures.checked_sub(self.free_failures).and_then(|beyond| beyond.checked_sub(1))
        else {
            return Duration::ZERO;
        };
        match 1_u32.checked_shl(doublings) {
            Some(factor) => self.first_wait.saturating_mul(factor).min(self.wait_max),
            None => self.wait_max,
        }
    }

    /// Whether `failures` in a row disable the token.
    pub fn disables(&self, failures: u32) -> bool {
        failures >= self.disable_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fifth_failure_costs_a_second_and_each_further_one_twice_as_much_up_to_15_minutes() {
        // covers: B01, P3
        let rules = ThrottleRules::default();
        let waits = [0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900];
        for (failures, seconds) in (0..).zip(waits) {
            assert_eq!(rules.wait_after(failures), Duration::from_secs(seconds), "{failures} failures");
        }
        for failures in [36, 37, 38, 100, u32::MAX] {
            assert_eq!(rules.wait_after(failures), rules.wait_max, "{failures} failures");
        }
    }

    #[test]
    fn waits_never_get_shorter_whatever_the_rules() {
        let odd = [(0, 0), (0, 1), (3, 999_999_999), (u32::MAX, 5), (1, u64::MAX)];
        for (free_failures, nanoseconds) in odd {
            let first_wait = Duration::from_nanos(nanoseconds);
            let rules = ThrottleRules { free_failures, first_wait, ..ThrottleRules::default() };
            let waits: Vec<_> =
                (0..200).chain(u32::MAX - 3..=u32::MAX).map(|count| rules.wait_after(count)).collect();
            assert!(waits.is_sorted(), "{rules:?}");
            assert!(waits.iter().all(|wait| *wait <= rules.wait_max), "{rules:?}");
        }
    }

    #[test]
    fn the_hundredth_failure_disables_the_token() {
        // covers: B01
        let rules = ThrottleRules::default();
        assert_eq!(
            [0, 99, 100, 101, u32::MAX].map(|count| rules.disables(count)),
            [false, false, true, true, true]
        );
    }
}
