//! Finding one of a million tokens and advancing its step: three kinds of map that threads may share, and the floor,
//! one that they may not. Keys are random and fixed in size; what is found lies inline.

#![forbid(unsafe_code)]

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};

use criterion::{
    BatchSize, BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime,
};
use dashmap::DashMap;
use hashbrown::HashMap;

/// As in the targets.
const TOKENS: u64 = 1_000_000;

/// Look-ups in one sample: more than any cache remembers of a round.
const LOOKUPS: u64 = 100_000;

/// Shards of the sharded map: as many as `verifierd` has.
const SHARDS: usize = 1024;

/// What an engine keeps of a token: the states of its key and where it stands.
#[derive(Debug, Default)]
struct Slot {
    _states: [u64; 6],
    last_step: AtomicU64,
}

impl Slot {
    /// Advances to `step`, if it is below.
    fn advance(&self, step: u64) -> bool {
        let last = self.last_step.load(Ordering::Acquire);
        let swap = || self.last_step.compare_exchange(last, step, Ordering::AcqRel, Ordering::Acquire);
        last < step && swap().is_ok()
    }
}

fn index(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("index");
    group.throughput(Throughput::Elements(LOOKUPS)).sample_size(20);

    let sharded: DashMap<u64, Slot> = DashMap::with_capacity_and_shard_amount(TOKENS as usize, SHARDS);
    for token in 0..TOKENS {
        sharded.insert(key(token), Slot::default());
    }
    measure(&mut group, "dashmap, 1024 shards", |key, step| {
        sharded.get(&key).is_some_and(|slot| slot.advance(step))
    });
    drop(sharded);

    let lock_free: papaya::HashMap<u64, Slot> = papaya::HashMap::with_capacity(TOKENS as usize);
    for token in 0..TOKENS {
        lock_free.pin().insert(key(token), Slot::default());
    }
    measure(&mut group, "papaya", |key, step| {
        lock_free.pin().get(&key).is_some_and(|slot| slot.advance(step))
    });
    drop(lock_free);

    let flat = Flat::new();
    measure(&mut group, "flat table", |key, step| flat.get(key).is_some_and(|slot| slot.advance(step)));
    drop(flat);

    let alone: HashMap<u64, Slot> = (0..TOKENS).map(|token| (key(token), Slot::default())).collect();
    measure(&mut group, "floor: hashbrown, not shared", |key, step| {
        alone.get(&key).is_some_and(|slot| slot.advance(step))
    });
    group.finish();
}

fn measure(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, mut look_up: impl FnMut(u64, u64) -> bool) {
    let (mut position, mut step) = (0, 1);
    group.bench_function(name, |bencher| {
        bencher.iter_batched(
            || {
                position += LOOKUPS;
                step += 1;
                (position, step)
            },
            |(position, step)| {
                let found = (position..position + LOOKUPS)
                    .filter(|number| look_up(key(benches::population::scattered(*number, TOKENS)), step))
                    .count();
                assert_eq!(black_box(found) as u64, LOOKUPS, "every token is there and may advance");
            },
            BatchSize::PerIteration,
        );
    });
}

/// A random number for each token.
fn key(token: u64) -> u64 {
    // The finalizer of SplitMix64: a bijection that looks random.
    let mut mixed = token.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)) | 1
}

/// Open addressing, half full, never growing: what a table of a known size could be.
struct Flat {
    slots: Vec<(u64, Slot)>,
}

impl Flat {
    fn new() -> Self {
        let size = (2 * TOKENS).next_power_of_two() as usize;
        let mut slots: Vec<(u64, Slot)> = (0..size).map(|_| (0, Slot::default())).collect();
        for token in 0..TOKENS {
            let key = key(token);
            let mut place = key as usize % size;
            while slots[place].0 != 0 {
                place = (place + 1) % size;
            }
            slots[place].0 = key;
        }
        Self { slots }
    }

    fn get(&self, key: u64) -> Option<&Slot> {
        let mut place = key as usize & (self.slots.len() - 1);
        loop {
            match &self.slots[place] {
                (found, slot) if *found == key => return Some(slot),
                (0, _) => return None,
                _ => place = (place + 1) & (self.slots.len() - 1),
            }
        }
    }
}

criterion_group!(benches, index);
criterion_main!(benches);
