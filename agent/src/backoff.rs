//! How long a verifier that failed is left alone.
//!
//! Exponential, with full jitter: any time up to a bound is as likely as any other, and the bound doubles with each
//! failure. A fleet that lost its verifier in one second so comes back spread over the whole bound, also where the
//! bound has stopped growing.

use std::time::Duration;

use crate::chance::Chance;

/// The bound after the first failure.
const FIRST_MAX: Duration = Duration::from_millis(500);

/// The bound for ever after. A verifier that is back has been tried by every agent this much later, and 2,000 of them
/// make some 130 connections a second at the most.
pub const LONGEST_MAX: Duration = Duration::from_secs(30);

/// Counts failures since the last success.
#[derive(Clone, Copy, Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Another failure: how long to wait before the next try.
    pub fn wait(&mut self, chance: &dyn Chance) -> Duration {
        let bound = FIRST_MAX.saturating_mul(2_u32.saturating_pow(self.failures)).min(LONGEST_MAX);
        self.failures = self.failures.saturating_add(1);
        chance.up_to(bound)
    }

    /// It worked.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// How many failures there were since.
    pub fn failures(self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Most;

    impl Chance for Most {
        fn bits(&self) -> u64 {
            u64::MAX
        }
    }

    /// A small generator (SplitMix64), so that a run can be repeated.
    #[derive(Debug)]
    struct Dice(std::sync::atomic::AtomicU64);

    impl Chance for Dice {
        fn bits(&self) -> u64 {
            let step = 0x9e37_79b9_7f4a_7c15_u64;
            let mut mixed = self.0.fetch_add(step, std::sync::atomic::Ordering::Relaxed).wrapping_add(step);
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        }
    }

    // covers: H12
    #[test]
    fn the_bound_doubles_up_to_half_a_minute_and_begins_anew_after_a_success() {
        let mut backoff = Backoff::default();
        let milliseconds: Vec<u128> = (0..9).map(|_| backoff.wait(&Most).as_millis()).collect();
        // The most that chance gives lies just below the bound.
        let bounds = [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000];
        for (waited, bound) in milliseconds.iter().zip(bounds) {
            assert!((bound - 1..=bound).contains(waited), "{milliseconds:?}");
        }
        for _ in 0..100 {
            assert!(backoff.wait(&Most) <= LONGEST_MAX);
        }
        backoff.reset();
        assert!(backoff.wait(&Most) <= FIRST_MAX);
    }

    /// The seconds in which each agent tries, when the verifier is away from 0 up to `outage`: all that is tried from
    /// its return on, one success for each agent.
    fn returns_by_second(agents: usize, outage: f64) -> Vec<usize> {
        let dice = Dice(5.into());
        let mut by_second = vec![0; LONGEST_MAX.as_secs() as usize + 1];
        for _ in 0..agents {
            let (mut backoff, mut now) = (Backoff::default(), 0.0);
            while now < outage {
                now += backoff.wait(&dice).as_secs_f64();
            }
            by_second[(now - outage) as usize] += 1;
        }
        by_second
    }

    // covers: H12
    #[test]
    fn after_an_outage_no_second_sees_three_times_the_mean_of_connections() {
        for outage in [60.0, 600.0] {
            let by_second = returns_by_second(2_000, outage);
            let mean = 2_000.0 / LONGEST_MAX.as_secs_f64();
            let peak = by_second.iter().max().copied().unwrap_or_default() as f64;
            assert!(peak <= 3.0 * mean, "after {outage} s: {by_second:?}");
            // Nobody is left over: the last one came within the longest wait.
            assert_eq!(by_second.iter().sum::<usize>(), 2_000);
        }
    }

    // covers: H12
    #[test]
    fn while_the_verifier_is_away_no_second_sees_three_times_the_mean_of_tries() {
        let dice = Dice(9.into());
        let (agents, seconds, settled) = (5_000, 600, 120);
        let mut by_second = vec![0_usize; seconds];
        for _ in 0..agents {
            let (mut backoff, mut now) = (Backoff::default(), 0.0);
            while now < seconds as f64 {
                by_second[now as usize] += 1;
                now += backoff.wait(&dice).as_secs_f64();
            }
        }
        // All began in the same second; at the cap nothing of that is left.
        let at_cap = &by_second[settled..];
        let mean = at_cap.iter().sum::<usize>() as f64 / at_cap.len() as f64;
        let peak = at_cap.iter().max().copied().unwrap_or_default() as f64;
        assert!(peak <= 1.5 * mean, "peak {peak}, mean {mean}");
    }
}
