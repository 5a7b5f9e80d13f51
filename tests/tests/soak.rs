//! A steady load for a minute here, for an hour in `cargo xtask soak`: nothing grows, nothing is miscounted.

use system_tests::rounds;
use system_tests::soak::{self, Settings};

/// Bytes of memory that a decision may leave behind, in a run of at least so many seconds.
///
/// What the daemon keeps for a day (counts for each place that a user came from, here always another one) is gone
/// after six minutes of this load, and the store's page cache (32 MiB) is full by then. From 25 minutes on the line is
/// laid after that, and what is left is noise: 16 bytes a decision are less than any object that could leak. In a
/// minute all of it still grows, by some two kibibytes a decision: so a minute finds only what leaks more than that,
/// such as a connection, a request or a dialogue that is kept.
const MEMORY_BOUNDS: [(u64, f64); 2] = [(1_500, 16.0), (0, 4_096.0)];

/// Descriptors that may be more at the end of the line than at its beginning: every client may just have one open.
const DESCRIPTORS_MAX: f64 = 16.0;

/// Threads, likewise: tokio keeps some for work that blocks, for ten seconds.
const THREADS_MAX: f64 = 8.0;

/// Bytes of the store for each decision: a record of the audit trail with its index. Everything else in it is
/// bounded by the number of users.
const STORE_BYTES_MAX: f64 = 1_024.0;

/// Bytes of the store's log: it starts over when folding has emptied it.
const LOG_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// How much is asked of the daemon: four fifths of it are decisions, which makes 500 a second.
const DEEDS_EACH_SECOND: u64 = 620;

// covers: G13, G01
#[test]
fn under_a_steady_load_nothing_grows_and_nothing_is_miscounted() {
    let seconds = rounds("POSTERN_SOAK_SECONDS", 60) as u64;
    let (users, kill_every_seconds) = if seconds > 600 { (200, 15) } else { (60, 5) };
    let settings = Settings { seconds, users, each_second: DEEDS_EACH_SECOND, kill_every_seconds };
    let report = soak::run(&settings);
    let growth = report.growth;
    let killed = report.killed.expect("the second half");
    println!("{growth:#?}\ncalm: {:?}\nkilled: {:?}", report.calm, killed);
    let least = DEEDS_EACH_SECOND as f64 / 4.0;
    assert!(growth.decided_each_second > least, "this was no load: {growth:?}");
    let (_, bound) = MEMORY_BOUNDS[usize::from(seconds < MEMORY_BOUNDS[0].0)];
    assert!(growth.resident_bytes_each_decision < bound, "memory grows: {growth:?}");
    assert!(growth.descriptors_gained < DESCRIPTORS_MAX, "descriptors grow: {growth:?}");
    assert!(growth.threads_gained < THREADS_MAX, "threads grow: {growth:?}");
    assert!(growth.store_bytes_each_decision < STORE_BYTES_MAX, "the store grows: {growth:?}");
    assert!(growth.log_bytes_max < LOG_BYTES_MAX, "the store's log grows: {growth:?}");
    assert!(killed.kills > 0 && killed.accepts > report.calm.accepts, "no load among the kills");
}
