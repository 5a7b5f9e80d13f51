//! Open loop: arrivals come at random, as people do, whether or not earlier ones are answered.
//!
//! The wait counts from the intended start: where all connections are busy, an arrival waits for one, and that wait
//! is in its figure (no coordinated omission).

use std::collections::VecDeque;
use std::io;
use std::mem::MaybeUninit;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use rustix::event::{Timespec, epoll};

use super::connection::{Connection, Progress};
use super::{Address, CONNECTIONS, Deck, THREADS, Tally, together};
use crate::clock::now;

/// How often arrivals are looked for: a timer for each of them would cost more than the server under measurement.
/// What it adds to a wait is in the figures of both sides.
const LOOK_EVERY: Duration = Duration::from_micros(100);

/// How long replies are awaited after the last arrival.
const PATIENCE: Duration = Duration::from_secs(20);

/// Loads a server with Poisson arrivals for a while, or until the deck is used up.
///
/// * `rate`: arrivals a second, over all connections.
///
/// # Errors
/// When the server cannot be reached, hangs up, or does not answer.
pub fn open(address: &Address, deck: &Deck, rate: f64, duration: Duration) -> io::Result<Tally> {
    let ready = Barrier::new(THREADS);
    together(|thread| {
        let chance = Chance::new(thread as u64 + 1);
        let arrivals = Arrivals { mean: THREADS as f64 / rate, chance };
        Loop::new(address, deck)?.run(deck.share(thread), arrivals, &ready, duration)
    })
}

/// Pauses between arrivals.
struct Arrivals {
    /// In seconds.
    mean: f64,
    chance: Chance,
}

impl Arrivals {
    /// Exponential: the next arrival knows nothing of the last.
    fn pause(&mut self) -> Duration {
        Duration::from_secs_f64(-self.mean * self.chance.share().ln())
    }
}

/// xorshift64: arrivals need only be unrelated to the server's state.
struct Chance(u64);

impl Chance {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// Above 0, at most 1.
    fn share(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }
}

/// One thread's connections.
struct Loop<'a> {
    deck: &'a Deck,
    connections: Vec<Connection>,
    /// When the request on its way was meant to start.
    intended: Vec<Instant>,
    free: Vec<usize>,
    waiting: VecDeque<Instant>,
    epoll: std::os::fd::OwnedFd,
    tally: Tally,
}

impl<'a> Loop<'a> {
    fn new(address: &Address, deck: &'a Deck) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let count = deck.connections_each();
        let mut connections = Vec::new();
        for number in 0..count {
            let connection = Connection::open(address)?;
            let data = epoll::EventData::new_u64(number as u64);
            epoll::add(&epoll, &connection, data, epoll::EventFlags::IN)?;
            connections.push(connection);
        }
        let (intended, free) = (vec![now(); count], (0..count).collect());
        let (waiting, tally) = (VecDeque::new(), Tally::default());
        Ok(Self { deck, connections, intended, free, waiting, epoll, tally })
    }

    fn run<'b>(
        mut self,
        mut writes: impl Iterator<Item = &'b [u8]>,
        mut arrivals: Arrivals,
        ready: &Barrier,
        duration: Duration,
    ) -> io::Result<Tally> {
        ready.wait();
        let begun = now();
        let end = begun + duration;
        let mut next = begun + arrivals.pause();
        let mut is_over = false;
        loop {
            let present = now();
            while !is_over && next <= present {
                self.waiting.push_back(next);
                next += arrivals.pause();
                is_over = next >= end;
            }
            is_over |= !self.send_waiting(&mut writes)?;
            if is_over && self.free.len() == self.connections.len() {
                break;
            }
            if present > end + PATIENCE {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "the server stopped answering"));
            }
            let until =
                if is_over { PATIENCE } else { LOOK_EVERY.max(next.saturating_duration_since(present)) };
            self.receive(until)?;
        }
        self.tally.took = begun.elapsed().min(duration);
        Ok(self.tally)
    }

    /// Gives waiting arrivals to free connections; false once the deck is used up.
    fn send_waiting<'b>(&mut self, writes: &mut impl Iterator<Item = &'b [u8]>) -> io::Result<bool> {
        while let (Some(intended), Some(number)) = (self.waiting.front().copied(), self.free.last().copied())
        {
            let Some(write) = writes.next() else {
                self.waiting.clear();
                return Ok(false);
            };
            self.waiting.pop_front();
            self.free.pop();
            self.intended[number] = intended;
            self.connections[number].send(self.deck, write)?;
        }
        Ok(true)
    }

    fn receive(&mut self, until: Duration) -> io::Result<()> {
        let timeout = Timespec::try_from(until).expect("at most some seconds");
        let mut events = [MaybeUninit::uninit(); CONNECTIONS];
        let (ready, _) = epoll::wait(&self.epoll, &mut events, Some(&timeout))?;
        for event in ready.iter() {
            let number = usize::try_from(event.data.u64()).expect("a number of ours");
            let connection = &mut self.connections[number];
            let Progress::Answered { good } = connection.receive(self.deck)? else { continue };
            self.tally.count(good, self.deck.items, || connection.last_bad());
            let wait = now().saturating_duration_since(self.intended[number]);
            self.tally.waits.saturating_record(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX));
            self.free.push(number);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_have_the_mean_and_the_spread_of_poisson_arrivals() {
        let mut arrivals = Arrivals { mean: 0.001, chance: Chance::new(7) };
        let pauses: Vec<f64> = (0..100_000).map(|_| arrivals.pause().as_secs_f64()).collect();
        let mean = pauses.iter().sum::<f64>() / pauses.len() as f64;
        let variance = pauses.iter().map(|pause| (pause - mean).powi(2)).sum::<f64>() / pauses.len() as f64;
        assert!((mean - 0.001).abs() < 0.000_02, "{mean}");
        assert!((variance.sqrt() - 0.001).abs() < 0.000_03, "{}", variance.sqrt());
    }
}
