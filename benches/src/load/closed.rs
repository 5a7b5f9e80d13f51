//! Closed loop: each connection sends its next write as soon as the last one is answered.

use std::io;
use std::mem::MaybeUninit;
use std::sync::Barrier;
use std::time::Duration;

use rustix::event::{Timespec, epoll};

use super::connection::{Connection, Progress};
use super::{Address, CONNECTIONS, Deck, THREADS, Tally, together};
use crate::clock::now;

/// Longest wait for a server that has stopped answering.
const PATIENCE: Timespec = Timespec { tv_sec: 20, tv_nsec: 0 };

/// Loads a server for a while, or until the deck is used up.
///
/// # Errors
/// When the server cannot be reached, hangs up, or does not answer.
pub fn closed(address: &Address, deck: &Deck, duration: Duration) -> io::Result<Tally> {
    let ready = Barrier::new(THREADS);
    together(|thread| Loop::new(address, deck)?.run(deck.share(thread), &ready, duration))
}

/// One thread's connections.
struct Loop<'a> {
    deck: &'a Deck,
    connections: Vec<Connection>,
    epoll: std::os::fd::OwnedFd,
}

impl<'a> Loop<'a> {
    fn new(address: &Address, deck: &'a Deck) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut connections = Vec::new();
        for number in 0..deck.connections_each() {
            let connection = Connection::open(address)?;
            epoll::add(&epoll, &connection, epoll::EventData::new_u64(number as u64), epoll::EventFlags::IN)?;
            connections.push(connection);
        }
        Ok(Self { deck, connections, epoll })
    }

    fn run<'b>(
        mut self,
        mut writes: impl Iterator<Item = &'b [u8]>,
        ready: &Barrier,
        duration: Duration,
    ) -> io::Result<Tally> {
        ready.wait();
        let (mut tally, begun) = (Tally::default(), now());
        let mut busy = 0;
        for connection in &mut self.connections {
            if let Some(write) = writes.next() {
                connection.send(self.deck, write)?;
                busy += 1;
            }
        }
        let mut events = [MaybeUninit::uninit(); CONNECTIONS];
        while busy > 0 {
            let (ready, _) = epoll::wait(&self.epoll, &mut events, Some(&PATIENCE))?;
            if ready.is_empty() {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "the server stopped answering"));
            }
            let is_over = begun.elapsed() >= duration;
            for event in ready.iter() {
                let number = usize::try_from(event.data.u64()).expect("a number of ours");
                let connection = &mut self.connections[number];
                let Progress::Answered { good } = connection.receive(self.deck)? else { continue };
                // What is answered after the end is read, so that the next slice finds nothing of this one.
                if !is_over {
                    tally.count(good, self.deck.items, || connection.last_bad());
                    tally.took = begun.elapsed();
                }
                match writes.next().filter(|_| !is_over) {
                    Some(write) => connection.send(self.deck, write)?,
                    None => busy -= 1,
                }
            }
        }
        Ok(tally)
    }
}
