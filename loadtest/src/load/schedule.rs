//! When requests are meant to start, whatever the verifier does: the open loop's arrivals.
//!
//! Pure. A curve of rates is summed up once; an arrival is the moment at which the sum reaches the next mark. Marks
//! one apart give even arrivals, marks apart by exponential waits give Poisson arrivals, both at any curve (the
//! time-rescaling theorem). Each lane takes its own marks, so that all together make the wanted rate.

use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;

use crate::chance::Chance;

/// Into how many cells of one rate each a run is cut. A tenth of a second in a run of ten minutes.
const CELLS: u32 = 6_000;

/// How arrivals follow one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Spacing {
    /// As independent people do: exponential waits.
    Poisson,
    /// Evenly.
    Constant,
}

/// How many arrivals there are up to each moment of a run, on average.
#[derive(Debug)]
pub struct Curve {
    seconds: f64,
    /// Arrivals up to the end of each cell, the first entry zero.
    sums: Vec<f64>,
}

impl Curve {
    /// Sums a curve up.
    ///
    /// * `rate`: arrivals in a second at a share of one.
    /// * `share`: the share of the rate, given a moment from 0 to 1; more than zero everywhere.
    pub fn new(rate: f64, duration: Duration, share: impl Fn(f64) -> f64) -> Self {
        let seconds = duration.as_secs_f64();
        let cell = seconds / f64::from(CELLS);
        let mut sums = vec![0.0];
        let mut sum = 0.0;
        for number in 0..CELLS {
            let middle = (f64::from(number) + 0.5) / f64::from(CELLS);
            sum += rate * share(middle) * cell;
            sums.push(sum);
        }
        Self { seconds, sums }
    }

    /// How many arrivals the whole run has, on average.
    pub fn total(&self) -> f64 {
        self.sums[self.sums.len() - 1]
    }

    /// When the sum reaches `mark`; `None` when it never does.
    fn moment_of(&self, mark: f64) -> Option<Duration> {
        if mark >= self.total() {
            return None;
        }
        let after = self.sums.partition_point(|sum| *sum <= mark);
        let (low, high) = (self.sums[after - 1], self.sums[after]);
        let cells = (after - 1) as f64 + (mark - low) / (high - low);
        Some(Duration::from_secs_f64(cells * self.seconds / f64::from(CELLS)))
    }
}

/// The arrivals of one lane.
#[derive(Debug)]
pub struct Arrivals {
    curve: Arc<Curve>,
    spacing: Spacing,
    lanes: f64,
    mark: f64,
    chance: Chance,
    next: Option<Duration>,
}

impl Arrivals {
    /// The arrivals of lane number `lane` (from 0) of `lanes`.
    pub fn new(curve: &Arc<Curve>, spacing: Spacing, lane: u32, lanes: u32, chance: Chance) -> Self {
        let lane_count = f64::from(lanes);
        let mark = match spacing {
            // The first lane's first arrival is half a space after the start.
            Spacing::Constant => f64::from(lane) + 0.5 - lane_count,
            Spacing::Poisson => 0.0,
        };
        let curve = Arc::clone(curve);
        let mut arrivals = Self { curve, spacing, lanes: lane_count, mark, chance, next: None };
        arrivals.advance();
        arrivals
    }

    /// When the next one is meant to start, since the start of the run; `None` after the last one.
    pub fn next(&self) -> Option<Duration> {
        self.next
    }

    /// Goes on to the one after it.
    pub fn advance(&mut self) {
        self.mark += match self.spacing {
            Spacing::Constant => self.lanes,
            Spacing::Poisson => self.lanes * self.chance.wait(),
        };
        self.next = self.curve.moment_of(self.mark);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(mut arrivals: Arrivals) -> Vec<f64> {
        let mut moments = Vec::new();
        while let Some(moment) = arrivals.next() {
            moments.push(moment.as_secs_f64());
            arrivals.advance();
        }
        moments
    }

    fn arrivals(
        spacing: Spacing,
        rate: f64,
        seconds: u64,
        lanes: u32,
        share: fn(f64) -> f64,
    ) -> Vec<Vec<f64>> {
        let curve = Arc::new(Curve::new(rate, Duration::from_secs(seconds), share));
        let lane =
            |number| Arrivals::new(&curve, spacing, number, lanes, Chance::new(7, u64::from(number) + 1));
        (0..lanes).map(|number| all(lane(number))).collect()
    }

    #[test]
    fn constant_arrivals_are_evenly_spaced_over_all_lanes() {
        let mut moments = arrivals(Spacing::Constant, 100.0, 2, 3, |_| 1.0).concat();
        moments.sort_by(f64::total_cmp);
        assert_eq!(moments.len(), 200);
        for (number, moment) in (0..).zip(&moments) {
            let expected = (f64::from(number) + 0.5) / 100.0;
            assert!((moment - expected).abs() < 1e-6, "arrival {number} at {moment}, not {expected}");
        }
    }

    #[test]
    fn poisson_arrivals_have_the_mean_and_the_spread_they_should() {
        let lanes = arrivals(Spacing::Poisson, 1_000.0, 100, 2, |_| 1.0);
        for moments in &lanes {
            let waits: Vec<f64> = moments.windows(2).map(|pair| pair[1] - pair[0]).collect();
            let count = waits.len() as f64;
            let mean = waits.iter().sum::<f64>() / count;
            let deviation = (waits.iter().map(|wait| (wait - mean).powi(2)).sum::<f64>() / count).sqrt();
            assert!((mean - 0.002).abs() < 0.000_04, "{mean}");
            assert!(
                (deviation / mean - 1.0).abs() < 0.03,
                "exponential waits spread as far as they are long"
            );
        }
        assert_ne!(lanes[0], lanes[1], "lanes have arrivals of their own");
    }

    #[test]
    fn arrivals_follow_the_curve() {
        for spacing in [Spacing::Constant, Spacing::Poisson] {
            // A third of the rate, then all of it.
            let share = |moment| if moment < 0.5 { 1.0 / 3.0 } else { 1.0 };
            let moments = arrivals(spacing, 3_000.0, 10, 2, share).concat();
            let early = moments.iter().filter(|moment| **moment < 5.0).count();
            assert!(early.abs_diff(5_000) < 250, "{spacing:?}: {early}");
            assert!((moments.len() - early).abs_diff(15_000) < 450, "{spacing:?}: {}", moments.len());
            assert!(moments.iter().all(|moment| *moment < 10.0));
        }
    }

    #[test]
    fn arrivals_of_a_lane_never_go_back() {
        for moments in arrivals(Spacing::Poisson, 500.0, 5, 2, |moment| 0.1 + moment / 2.0) {
            assert!(moments.windows(2).all(|pair| pair[0] <= pair[1]));
        }
    }
}
