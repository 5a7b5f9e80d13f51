//! How long answers took: kept as a histogram, told as percentiles, written with all its buckets.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Longest time that is told apart, in microseconds: a minute, three times the longest wait for an answer.
const MICROSECONDS_MAX: u64 = 60_000_000;

/// Three digits: each value is right to 0.1 %.
const SIGNIFICANT_DIGITS: u8 = 3;

/// Times that something took.
#[derive(Clone, Debug)]
pub struct Latency {
    histogram: Histogram<u64>,
}

/// The same, for the report.
#[derive(Debug, Serialize)]
pub struct LatencyReport {
    count: u64,
    mean_us: f64,
    p50_us: u64,
    p90_us: u64,
    p99_us: u64,
    p999_us: u64,
    max_us: u64,
    /// The raw figures: upper end of each bucket in microseconds, and how many fell into it.
    buckets: Vec<(u64, u64)>,
}

impl Default for Latency {
    fn default() -> Self {
        let histogram = Histogram::new_with_max(MICROSECONDS_MAX, SIGNIFICANT_DIGITS).expect("valid bounds");
        Self { histogram }
    }
}

impl Latency {
    /// Adds one time.
    pub fn record(&mut self, took: Duration) {
        self.histogram.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// Adds all times of another.
    pub fn add(&mut self, other: &Self) {
        self.histogram.add(&other.histogram).expect("both have the same bounds");
    }

    /// The time that this many percent did not exceed, in microseconds; zero without any.
    pub fn at(&self, percent: f64) -> u64 {
        self.histogram.value_at_percentile(percent)
    }

    /// The longest, in microseconds.
    pub fn max(&self) -> u64 {
        self.histogram.max()
    }

    /// The mean, in microseconds.
    pub fn mean(&self) -> f64 {
        self.histogram.mean()
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// The raw figures: upper end of each bucket in microseconds, and how many fell into it.
    pub fn buckets(&self) -> Vec<(u64, u64)> {
        let recorded = self.histogram.iter_recorded();
        recorded.map(|bucket| (bucket.value_iterated_to(), bucket.count_at_value())).collect()
    }

    /// In one line.
    pub fn summary(&self) -> String {
        let at = |percent| milliseconds(self.histogram.value_at_percentile(percent));
        match self.histogram.len() {
            0 => "none".to_owned(),
            count => format!(
                "p50 {}  p90 {}  p99 {}  p99.9 {}  max {} ms  ({count} replies)",
                at(50.0),
                at(90.0),
                at(99.0),
                at(99.9),
                milliseconds(self.histogram.max()),
            ),
        }
    }

    /// With all figures.
    pub fn report(&self) -> LatencyReport {
        let histogram = &self.histogram;
        LatencyReport {
            count: histogram.len(),
            mean_us: histogram.mean(),
            p50_us: histogram.value_at_percentile(50.0),
            p90_us: histogram.value_at_percentile(90.0),
            p99_us: histogram.value_at_percentile(99.0),
            p999_us: histogram.value_at_percentile(99.9),
            max_us: histogram.max(),
            buckets: self.buckets(),
        }
    }
}

/// Milliseconds with two digits after the point.
pub fn milliseconds(microseconds: u64) -> String {
    format!("{}.{:02}", microseconds / 1_000, microseconds % 1_000 / 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_told_in_milliseconds_and_buckets_keep_every_time() {
        let mut latency = Latency::default();
        assert_eq!(latency.summary(), "none");
        (1..=1_000).for_each(|millisecond| latency.record(Duration::from_millis(millisecond)));
        assert!(latency.summary().starts_with("p50 500."), "{}", latency.summary());
        let mut both = latency.clone();
        both.add(&latency);
        let report = both.report();
        assert_eq!(report.count, 2_000);
        assert_eq!(report.buckets.iter().map(|(_, count)| count).sum::<u64>(), 2_000);
    }

    #[test]
    fn a_time_beyond_the_scale_counts_as_its_end() {
        let mut latency = Latency::default();
        latency.record(Duration::from_secs(3_600));
        assert!(latency.report().max_us >= MICROSECONDS_MAX);
    }
}
