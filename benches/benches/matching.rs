//! A typed value against the window of a login (one step each way), and the floor: its three values alone.

#![forbid(unsafe_code)]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use otp_core::matching::{TotpWindow, match_totp};
use otp_core::{Algorithm, Digits, OtpKey, OtpValue, SharedSecret};

/// Any step will do: all take the same time.
const STEP: u64 = 59_000_000;

fn matching(criterion: &mut Criterion) {
    let secret = SharedSecret::from_bytes(b"12345678901234567890").expect("20 bytes");
    let key = OtpKey::new(&secret, Algorithm::Sha1, Digits::SIX);
    let right = key.value(STEP);
    let wrong = OtpValue::from_typed("000000", Digits::SIX).expect("six digits");
    let window =
        TotpWindow { current_step: STEP, drift_window: 1, time_drift: 0, last_accepted: Some(STEP - 1) };

    let mut group = criterion.benchmark_group("matching");
    group.bench_function("right", |bencher| bencher.iter(|| match_totp(&key, black_box(&right), &window)));
    group.bench_function("wrong", |bencher| bencher.iter(|| match_totp(&key, black_box(&wrong), &window)));
    group.bench_function("floor: three values", |bencher| {
        bencher.iter(|| [STEP - 1, STEP, STEP + 1].map(|step| key.value(black_box(step))));
    });
    group.finish();
}

criterion_group!(benches, matching);
criterion_main!(benches);
