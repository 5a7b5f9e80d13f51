//! Forgetting a hundred thousand entries that are due, among as many that are not; and the floors: taking as many out
//! of a vector, and what a walk over the whole map would cost.

#![forbid(unsafe_code)]

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use dashmap::DashMap;
use verifierd::expiry::{Fate, Key, Table};

/// Entries that go, and as many that stay.
const ENTRIES: u64 = 100_000;

/// Entries that one call of a sweep may look at.
const MOST: usize = 2_000;

/// When the first half is due, and when the second.
const SOON: Duration = Duration::from_secs(60);
const LATE: Duration = Duration::from_secs(6_000);

fn sweep(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sweep");
    group.throughput(Throughput::Elements(ENTRIES)).sample_size(20);
    group.bench_function("buckets", |bencher| {
        bencher.iter_batched_ref(table, forget, BatchSize::PerIteration);
    });
    group.bench_function("floor: popped off a vector", |bencher| {
        bencher.iter_batched_ref(
            || (0..ENTRIES).map(key).collect::<Vec<Key>>(),
            |keys| {
                while let Some(key) = keys.pop() {
                    black_box(key);
                }
            },
            BatchSize::PerIteration,
        );
    });
    group.bench_function("retain over the whole map", |bencher| {
        bencher.iter_batched_ref(map, |map| map.retain(|_, due| *due > SOON), BatchSize::PerIteration);
    });
    group.finish();
}

fn forget(table: &mut Table<u64>) {
    let now = SOON + Duration::from_secs(2);
    while table.sweep(now, MOST, |_| Fate::Forget, |_| ()).seen > 0 {}
    assert_eq!(table.len() as u64, ENTRIES, "those that are not due stay");
}

fn table() -> Table<u64> {
    let table = Table::new("bench");
    for (number, due) in numbers() {
        table.enter(key(number), due, || number, |_| ());
    }
    table
}

fn map() -> DashMap<Key, Duration> {
    let map = DashMap::with_shard_amount(1024);
    for (number, due) in numbers() {
        map.insert(key(number), due);
    }
    map
}

fn numbers() -> impl Iterator<Item = (u64, Duration)> {
    (0..2 * ENTRIES).map(|number| (number, if number.is_multiple_of(2) { SOON } else { LATE }))
}

fn key(number: u64) -> Key {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    key[8..].copy_from_slice(&number.wrapping_mul(0xbf58_476d_1ce4_e5b9).to_be_bytes());
    key
}

criterion_group!(benches, sweep);
criterion_main!(benches);
