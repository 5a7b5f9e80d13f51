//! Measures the engine alone, in this process: against a naive one, against the floor, and at three sizes.
//!
//! Prints one line of JSON for each run (see `benches::tell`).

#![forbid(unsafe_code)]

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};
use benches::clock::now;
use benches::engine::{Attempt, Floor, Naive, Ours};
use benches::{population, tell};
use clap::Parser;
use otp_core::OtpKey;

/// As the daemon.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Threads of the row that has two.
const THREADS: usize = 2;

/// Verifications in one slice: as many as there are users in the usual population.
const SLICE: u64 = 1_000_000;

/// The largest population, and the one it is compared with.
const LARGE: u64 = 10_000_000;
const SMALL: u64 = 10_000;

/// The first time step.
const STEP: u64 = 60_000_000;

/// Measures the engine alone.
#[derive(Parser)]
struct Arguments {
    /// Rows, divided by commas.
    #[arg(long, value_delimiter = ',')]
    rows: Vec<String>,
    /// How often each is measured.
    #[arg(long, default_value_t = 5)]
    runs: u64,
    #[arg(long, default_value_t = 1_000_000)]
    users: u64,
}

fn main() -> Result<()> {
    let Arguments { rows, runs, users } = Arguments::parse();
    let wants = |row: &str| rows.iter().any(|wanted| wanted == row);
    if wants("engine_over_naive") {
        over_naive(users, runs);
    }
    if wants("engine_over_floor") {
        over_floor(users, runs);
    }
    if wants("cost_10m_over_10k") {
        large_over_small(runs)?;
    }
    Ok(())
}

/// What a client sends in one slice, made beforehand.
struct Codes {
    names: Vec<String>,
    codes: Vec<[u8; 6]>,
    numbers: Vec<u64>,
    step: u64,
}

impl Codes {
    fn new(keys: &[OtpKey], step: u64, first: u64) -> Self {
        let users = keys.len() as u64;
        let count = SLICE.min(users);
        let numbers: Vec<u64> =
            (first..first + count).map(|position| population::scattered(position, users)).collect();
        let code = |number: &u64| {
            let key = &keys[usize::try_from(*number).expect("an index")];
            key.value(step).expose().as_bytes().try_into().expect("six digits")
        };
        let codes = numbers.iter().map(code).collect();
        let names = numbers.iter().map(|number| population::name(*number)).collect();
        Self { names, codes, numbers, step }
    }

    fn attempts(&self, from: usize, to: usize) -> impl Iterator<Item = Attempt<'_>> {
        (from..to).map(|index| Attempt {
            user: &self.names[index],
            number: self.numbers[index],
            code: str::from_utf8(&self.codes[index]).expect("digits"),
        })
    }

    /// Nanoseconds of wall time for one verification, over so many threads.
    ///
    /// # Panics
    /// When a right code is refused.
    fn timed(&self, threads: usize, verify: impl Fn(Attempt<'_>, u64) -> bool + Sync) -> f64 {
        let (count, verify) = (self.numbers.len(), &verify);
        let begun = now();
        let accepted: usize = if threads == 1 {
            self.attempts(0, count).filter(|attempt| verify(*attempt, self.step)).count()
        } else {
            std::thread::scope(|scope| {
                let share = count.div_ceil(threads);
                let starts = (0..count).step_by(share);
                let work = |from| {
                    scope.spawn(move || {
                        let mine = self.attempts(from, count.min(from + share));
                        mine.filter(|attempt| verify(*attempt, self.step)).count()
                    })
                };
                let running: Vec<_> = starts.map(work).collect();
                running.into_iter().map(|thread| thread.join().expect("a thread")).sum()
            })
        };
        let took = begun.elapsed();
        assert_eq!(accepted, count, "every code is right and fresh");
        nanoseconds(took, count)
    }
}

fn nanoseconds(took: Duration, count: usize) -> f64 {
    took.as_secs_f64() * 1e9 / count as f64
}

fn over_naive(users: u64, runs: u64) {
    let (ours, naive, keys) = (Ours::new(users), Naive::new(users), population::keys(users));
    // The first run fills caches and is not kept.
    for run in 0..=runs {
        let codes = Codes::new(&keys, STEP + run, 0);
        let mut both = [0.0; 2];
        for side in sides(run) {
            both[side] = match side {
                0 => codes.timed(THREADS, |attempt, step| ours.verify(attempt, step)),
                _ => codes.timed(THREADS, |attempt, step| naive.verify(attempt, step)),
            };
        }
        let [engine, naive] = both.map(|nanoseconds| 1e9 / nanoseconds);
        if run > 0 {
            let sides = [("engine, verifications/s", engine), ("naive, verifications/s", naive)];
            tell::run("engine_over_naive", engine / naive, &sides);
        }
    }
}

fn over_floor(users: u64, runs: u64) {
    let (ours, mut floor, keys) = (Ours::new(users), Floor::new(users), population::keys(users));
    for run in 0..=runs {
        let codes = Codes::new(&keys, STEP + run, 0);
        let mut both = [0.0; 2];
        for side in sides(run) {
            both[side] = match side {
                0 => codes.timed(1, |attempt, step| ours.verify(attempt, step)),
                _ => time_floor(&codes, &mut floor),
            };
        }
        if run > 0 {
            let sides = [("engine, ns", both[0]), ("floor, ns", both[1])];
            tell::run("engine_over_floor", both[1] / both[0], &sides);
        }
    }
}

fn time_floor(codes: &Codes, floor: &mut Floor) -> f64 {
    let number = |code: &[u8; 6]| str::from_utf8(code).expect("digits").parse().expect("a number");
    let parsed: Vec<u32> = codes.codes.iter().map(number).collect();
    let begun = now();
    let pairs = codes.numbers.iter().zip(&parsed);
    let accepted = pairs.filter(|(number, code)| floor.verify(**number, **code, codes.step)).count();
    let took = begun.elapsed();
    assert_eq!(accepted, parsed.len(), "every code is right and fresh");
    nanoseconds(took, parsed.len())
}

/// One thread at 10,000,000 tokens and at 10,000.
fn large_over_small(runs: u64) -> Result<()> {
    let row = "cost_10m_over_10k";
    let sample = Ours::new(SMALL);
    let small_keys = population::keys(SMALL);
    let before = resident_bytes()?;
    let probe = Ours::new(SMALL * 10);
    let each = (resident_bytes()? - before) / (SMALL * 10) as f64;
    drop(probe);
    // The tokens and what the client needs to know their codes.
    let needed = LARGE as f64 * (each + size_of::<OtpKey>() as f64);
    let available = memory_available()?;
    if needed > available * 0.9 {
        let (needed, available) = (needed / 1e9, available / 1e9);
        tell::missing(row, &format!("needs {needed:.1} GB of memory, {available:.1} GB are free"));
        return Ok(());
    }
    tell::progress(&format!("{row}: making {LARGE} tokens"));
    let (large, large_keys) = (Ours::new(LARGE), population::keys(LARGE));
    tell::progress(&format!("{row}: measuring"));
    for run in 0..=runs {
        let mut both = [0.0; 2];
        for side in sides(run) {
            both[side] = match side {
                0 => {
                    let codes = Codes::new(&large_keys, STEP + run, run * SLICE);
                    codes.timed(1, |attempt, step| large.verify(attempt, step))
                }
                _ => time_small(&sample, &small_keys, run),
            };
        }
        if run > 0 {
            let sides = [("10,000,000 tokens, ns", both[0]), ("10,000 tokens, ns", both[1])];
            tell::run(row, both[0] / both[1], &sides);
        }
    }
    Ok(())
}

/// A hundred rounds over the few, a time step for each.
fn time_small(few: &Ours, keys: &[OtpKey], run: u64) -> f64 {
    let rounds = SLICE / SMALL;
    let total: f64 = (0..rounds)
        .map(|round| {
            let codes = Codes::new(keys, STEP + run * rounds + round, 0);
            codes.timed(1, |attempt, step| few.verify(attempt, step))
        })
        .sum();
    total / rounds as f64
}

/// Each side is first in every other run.
fn sides(run: u64) -> [usize; 2] {
    if run.is_multiple_of(2) { [0, 1] } else { [1, 0] }
}

fn resident_bytes() -> Result<f64> {
    kilobytes("/proc/self/status", "VmRSS:").map(|kilobytes| kilobytes * 1_024.0)
}

fn memory_available() -> Result<f64> {
    kilobytes("/proc/meminfo", "MemAvailable:").map(|kilobytes| kilobytes * 1_024.0)
}

fn kilobytes(file: &str, name: &str) -> Result<f64> {
    let text = fs::read_to_string(file)?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)).context(name.to_owned())?;
    Ok(value.trim().trim_end_matches(" kB").parse()?)
}
