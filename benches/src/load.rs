//! A lean client for measuring servers: two threads, keep-alive connections, requests made beforehand.
//!
//! It costs little, because it shares its cores with the server: no async runtime, no allocation for a request, one
//! write and one read for each. Every reply is checked; one that lets nobody in counts as refused. Only HTTP/2 is left
//! to a library, which costs more.

mod closed;
mod connection;
mod deck;
mod open;
mod streams;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use hdrhistogram::Histogram;

pub use closed::closed;
pub use deck::{Deck, STREAMING, Shape};
pub use open::open;
pub use streams::streams;

/// What opens the network's socket of a server under measurement.
pub const KEY: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// Threads of a client: one for each core of a small machine.
pub const THREADS: usize = 2;

/// Keep-alive connections of a client, over all its threads.
pub const CONNECTIONS: usize = 64;

/// Longest wait that is told apart, in nanoseconds: longer than any slice of a measurement.
const WAIT_NS_MAX: u64 = 60_000_000_000;

/// Where a server listens.
#[derive(Clone, Debug)]
pub enum Address {
    /// Over TCP.
    Tcp(SocketAddr),
    /// Over a Unix socket.
    Unix(PathBuf),
}

/// What came of a slice.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Verifications (or hellos) answered as they should be, in time.
    pub good: u64,
    /// Replies that let nobody in, or were no replies.
    pub bad: u64,
    /// How long it took.
    pub took: Duration,
    /// The first reply that let nobody in.
    pub first_bad: Option<String>,
    /// From the intended start to the whole reply, in nanoseconds; only where arrivals were scheduled.
    pub waits: Histogram<u64>,
}

impl Default for Tally {
    fn default() -> Self {
        let waits = Histogram::new_with_max(WAIT_NS_MAX, 3).expect("valid bounds");
        Self { good: 0, bad: 0, took: Duration::ZERO, first_bad: None, waits }
    }
}

impl Tally {
    /// Good replies a second.
    pub fn rate(&self) -> f64 {
        self.good as f64 / self.took.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// The time in which this share of all were answered, in microseconds.
    pub fn percentile_us(&self, percent: f64) -> f64 {
        self.waits.value_at_percentile(percent) as f64 / 1_000.0
    }

    /// Counts a reply to a write with so many verifications.
    ///
    /// * `reply`: is asked for its words where it lets somebody not in.
    pub(crate) fn count(&mut self, good: usize, of: usize, reply: impl FnOnce() -> String) {
        let bad = of.saturating_sub(good);
        self.good += good as u64;
        self.bad += bad as u64;
        if bad > 0 && self.first_bad.is_none() {
            self.first_bad = Some(reply());
        }
    }

    /// Adds what another thread did meanwhile.
    pub(crate) fn add(&mut self, other: &Self) {
        self.good += other.good;
        self.bad += other.bad;
        self.took = self.took.max(other.took);
        self.first_bad = self.first_bad.take().or_else(|| other.first_bad.clone());
        self.waits.add(&other.waits).expect("both have the same bounds");
    }
}

/// Runs a client's threads and adds up what they did.
fn together(work: impl Fn(usize) -> std::io::Result<Tally> + Sync) -> std::io::Result<Tally> {
    std::thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || work(thread))).collect();
        threads.into_iter().try_fold(Tally::default(), |mut all, thread| {
            all.add(&thread.join().expect("a client's thread")?);
            Ok(all)
        })
    })
}
