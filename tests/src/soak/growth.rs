//! Samples of a process over time, and the straight line that fits them best.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use crate::postern;
use crate::time::{now, wait_at_most};
use crate::verifier::{STATE, Verifier};

/// Time between two samples.
const SAMPLE_EVERY: Duration = Duration::from_millis(500);

/// Bytes in a page of memory (x86-64, arm64 with Debian's kernel).
const PAGE_BYTES: u64 = 4_096;

/// How a daemon was at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Sample {
    /// Seconds since the first sample.
    pub at_seconds: f64,
    /// Memory in use, in bytes.
    pub resident_bytes: u64,
    /// Open descriptors.
    pub descriptors: u64,
    /// Threads.
    pub threads: u64,
    /// The store, in bytes.
    pub store_bytes: u64,
    /// The store's log, in bytes.
    pub log_bytes: u64,
    /// Logins decided since the daemon's start.
    pub decided: u64,
}

/// Where samples are taken.
pub struct Meter {
    process: PathBuf,
}

impl Meter {
    /// A running daemon's.
    pub fn of(verifier: &Verifier) -> Self {
        Self { process: Path::new("/proc").join(verifier.id().as_raw_nonzero().to_string()) }
    }

    /// Takes samples for some time.
    ///
    /// # Panics
    /// When the daemon ends.
    pub fn watch(&self, how_long: Duration) -> Vec<Sample> {
        let begun = now();
        let mut samples = Vec::new();
        while now() - begun < how_long {
            samples.push(self.sample((now() - begun).as_secs_f64()));
            wait_at_most(SAMPLE_EVERY, || None::<()>);
        }
        samples
    }

    fn sample(&self, at_seconds: f64) -> Sample {
        let statm = fs::read_to_string(self.process.join("statm")).expect("the daemon runs");
        let pages: Option<u64> = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok());
        let count = |folder| fs::read_dir(self.process.join(folder)).expect("the daemon runs").count() as u64;
        let bytes = |name| fs::metadata(Path::new(STATE).join(name)).map_or(0, |file| file.len());
        let status = postern::status();
        Sample {
            at_seconds,
            resident_bytes: pages.expect("a number of pages") * PAGE_BYTES,
            descriptors: count("fd"),
            threads: count("task"),
            store_bytes: bytes("store"),
            log_bytes: bytes("store-wal"),
            decided: status.accepted + status.refused,
        }
    }
}

/// How a daemon grew, by the second half of its samples: the first is the warm-up, in which caches fill.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Growth {
    /// Length of the stretch, in seconds.
    pub seconds: f64,
    /// Decisions in a second.
    pub decided_each_second: f64,
    /// Slope of the memory, in bytes a second.
    pub resident_bytes_each_second: f64,
    /// The same for each decision.
    pub resident_bytes_each_decision: f64,
    /// How many descriptors more there are at the end of the line than at its beginning.
    pub descriptors_gained: f64,
    /// The same of threads.
    pub threads_gained: f64,
    /// Slope of the store for each decision, in bytes.
    pub store_bytes_each_decision: f64,
    /// The longest that the store's log was, in bytes, in all samples.
    pub log_bytes_max: u64,
}

impl Growth {
    /// Lays lines through the second half of the samples.
    ///
    /// # Panics
    /// With fewer than eight samples, which make no line.
    pub fn of(samples: &[Sample]) -> Self {
        assert!(samples.len() >= 8, "{} samples make no line", samples.len());
        let late = &samples[samples.len() / 2..];
        let seconds = late[late.len() - 1].at_seconds - late[0].at_seconds;
        let line = |what: fn(&Sample) -> u64| {
            slope(late.iter().map(|sample| (sample.at_seconds, what(sample) as f64)))
        };
        let decided = line(|sample| sample.decided);
        let resident = line(|sample| sample.resident_bytes);
        Self {
            seconds,
            decided_each_second: decided,
            resident_bytes_each_second: resident,
            resident_bytes_each_decision: resident / decided,
            descriptors_gained: line(|sample| sample.descriptors) * seconds,
            threads_gained: line(|sample| sample.threads) * seconds,
            store_bytes_each_decision: line(|sample| sample.store_bytes) / decided,
            log_bytes_max: samples.iter().map(|sample| sample.log_bytes).max().unwrap_or_default(),
        }
    }
}

/// Slope of the straight line with the least sum of squared distances in y.
fn slope(points: impl Iterator<Item = (f64, f64)> + Clone) -> f64 {
    let count = points.clone().count() as f64;
    let mean_x = points.clone().map(|(x, _)| x).sum::<f64>() / count;
    let mean_y = points.clone().map(|(_, y)| y).sum::<f64>() / count;
    let together = points.clone().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum::<f64>();
    let alone = points.map(|(x, _)| (x - mean_x).powi(2)).sum::<f64>();
    together / alone
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at: u64, resident_bytes: u64, descriptors: u64) -> Sample {
        let decided = 500 * at;
        let store_bytes = 100 * decided;
        Sample {
            at_seconds: at as f64,
            resident_bytes,
            descriptors,
            threads: 4,
            store_bytes,
            log_bytes: at,
            decided,
        }
    }

    #[test]
    fn the_line_of_a_leak_is_found_among_noise_and_after_a_warm_up() {
        // 50 bytes leak in each decision; the warm-up takes 10 MB, and the noise is 300 kB wide.
        let resident = |at: u64| 10_000_000 * at.min(40) / 40 + 25_000 * at + 300_000 * (at * 7 % 11) / 11;
        let samples: Vec<Sample> = (0..100).map(|at| sample(at, resident(at), 20 + at / 10)).collect();
        let growth = Growth::of(&samples);
        assert!((growth.resident_bytes_each_decision - 50.0).abs() < 5.0, "{growth:?}");
        assert!((growth.descriptors_gained - 5.0).abs() < 0.5, "{growth:?}");
        assert!((growth.store_bytes_each_decision - 100.0).abs() < 0.1, "{growth:?}");
        assert_eq!((growth.decided_each_second, growth.log_bytes_max), (500.0, 99));
    }

    #[test]
    fn what_only_goes_up_and_down_has_no_slope() {
        let samples: Vec<Sample> =
            (0..100).map(|at| sample(at, 5_000_000 + 4_096 * (at % 2), 20 + at % 3)).collect();
        let growth = Growth::of(&samples);
        assert!(growth.resident_bytes_each_decision.abs() < 0.5, "{growth:?}");
        assert!(growth.descriptors_gained.abs() < 0.5, "{growth:?}");
    }
}
