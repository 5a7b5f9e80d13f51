//! One verification without a server, at a hundred thousand tokens: ours, what one writes first, and the floor.
//!
//! `cargo xtask bench --only engine_over_floor,engine_over_naive` has the figures of record, at a million.

#![forbid(unsafe_code)]

use std::hint::black_box;

use benches::engine::{Attempt, Floor, Naive, Ours};
use benches::population::{key, name, scattered};
use criterion::{
    BatchSize, BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime,
};
use otp_core::OtpKey;

/// Enough for most look-ups to miss the caches of a core.
const TOKENS: u64 = 100_000;

/// Verifications in one sample.
const SAMPLE: u64 = 10_000;

/// The first time step.
const STEP: u64 = 60_000_000;

/// Codes of one sample, with whose they are.
struct Codes {
    step: u64,
    codes: Vec<(String, u64, String)>,
}

fn engine(criterion: &mut Criterion) {
    let keys: Vec<OtpKey> = (0..TOKENS).map(key).collect();
    let mut group = criterion.benchmark_group("engine");
    group.throughput(Throughput::Elements(SAMPLE)).sample_size(20);
    let ours = Ours::new(TOKENS);
    measure(&mut group, "ours", &keys, |attempt, step| ours.verify(attempt, step));
    let naive = Naive::new(TOKENS);
    measure(&mut group, "naive", &keys, |attempt, step| naive.verify(attempt, step));
    let mut floor = Floor::new(TOKENS);
    measure(&mut group, "floor", &keys, |attempt, step| {
        floor.verify(attempt.number, attempt.code.parse().expect("digits"), step)
    });
    group.finish();
}

fn measure(
    group: &mut BenchmarkGroup<'_, WallTime>,
    side: &str,
    keys: &[OtpKey],
    mut verify: impl FnMut(Attempt<'_>, u64) -> bool,
) {
    let mut next = 0;
    group.bench_function(side, |bencher| {
        bencher.iter_batched(
            || {
                let codes = codes(keys, next);
                next += SAMPLE;
                codes
            },
            |Codes { step, codes }| {
                for (user, number, code) in &codes {
                    let attempt = Attempt { user, number: *number, code };
                    assert!(black_box(verify(attempt, step)), "every code is right and fresh");
                }
            },
            BatchSize::PerIteration,
        );
    });
}

fn codes(keys: &[OtpKey], first: u64) -> Codes {
    let step = STEP + first / TOKENS;
    let numbers = (first..first + SAMPLE).map(|position| scattered(position, TOKENS));
    let code =
        |number: u64| keys[usize::try_from(number).expect("an index")].value(step).expose().to_string();
    Codes { step, codes: numbers.map(|number| (name(number), number, code(number))).collect() }
}

criterion_group!(benches, engine);
criterion_main!(benches);
