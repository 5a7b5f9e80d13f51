//! One OTP value from kept HMAC states, and the floor: the same with a key schedule for each value.

#![forbid(unsafe_code)]

use std::hint::black_box;

use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main, measurement::WallTime};
use hmac::digest::block_api::EagerHash;
use hmac::{Hmac, KeyInit as _, Mac as _};
use otp_core::{Algorithm, Digits, OtpKey, SharedSecret};
use sha1::Sha1;
use sha2::{Sha256, Sha512};

/// As Postern draws them: 160 bits.
const SECRET: &[u8; 20] = b"12345678901234567890";

fn hmac(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hmac");
    bench_kept(&mut group, "sha1/kept", Algorithm::Sha1);
    bench_scheduled::<Sha1>(&mut group, "sha1/key schedule each time");
    bench_kept(&mut group, "sha256/kept", Algorithm::Sha256);
    bench_scheduled::<Sha256>(&mut group, "sha256/key schedule each time");
    bench_kept(&mut group, "sha512/kept", Algorithm::Sha512);
    bench_scheduled::<Sha512>(&mut group, "sha512/key schedule each time");
    group.finish();
}

fn bench_kept(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, algorithm: Algorithm) {
    let secret = SharedSecret::from_bytes(SECRET).expect("20 bytes");
    let key = OtpKey::new(&secret, algorithm, Digits::SIX);
    let mut step = 0_u64;
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            step += 1;
            key.value(black_box(step))
        });
    });
}

/// RFC 4226 §5.3 as most programs write it.
fn bench_scheduled<D: EagerHash>(group: &mut BenchmarkGroup<'_, WallTime>, name: &str) {
    let mut step = 0_u64;
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            step += 1;
            let mut mac = Hmac::<D>::new_from_slice(black_box(SECRET)).expect("any length");
            mac.update(&black_box(step).to_be_bytes());
            let hash = mac.finalize().into_bytes();
            let offset = usize::from(hash[hash.len() - 1] & 0x0f);
            let bytes = [hash[offset], hash[offset + 1], hash[offset + 2], hash[offset + 3]];
            (u32::from_be_bytes(bytes) & 0x7fff_ffff) % 1_000_000
        });
    });
}

criterion_group!(benches, hmac);
criterion_main!(benches);
