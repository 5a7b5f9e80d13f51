//! The threads that serve, and how connections come to them.
//!
//! One thread for each core, each with a runtime of its own: a connection stays on its thread from the first byte
//! to the last, and shares nothing with the other threads but what decides. Each of them accepts for every listener
//! and keeps what it takes, unless another has fewer connections by two: then that one gets it. So a login, which
//! makes a connection for each step, changes threads nowhere, and connections that stay are spread evenly
//! (docs/decisions/0012-each-thread-accepts.md has the figures).

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::runtime::{self, Builder};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle as Task;

use crate::listener::{AnyListener, Connection, Detached, Door};
use crate::seats::{CONNECTIONS_MAX, Seats, Share, connections_possible};
use crate::tally::Tally;
use crate::{Handle, connection, stopped};

/// Most threads that serve. More than a machine's cores are of no use, and beyond 16 the store is the wall.
pub const WORKERS_MAX: usize = 16;

/// By how many connections a thread may have more than another before it hands the next one over. Handing over costs
/// as much as a request; one more is what a login makes that comes while another is decided.
const UNEVEN_BY: usize = 2;

/// Threads of each runtime that may block: looks into the store that nobody waits for long. What asks the name service has
/// threads of its own.
const BLOCKING_THREADS_MAX: usize = 4;

/// How long requests that were begun may take when the daemon stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(4);

/// Threads that serve: one current-thread runtime each. They end when this is dropped, or by
/// [`Workers::shutdown`], which waits for that.
#[derive(Debug)]
pub struct Workers {
    crew: Crew,
    threads: Vec<Thread>,
}

#[derive(Debug)]
struct Thread {
    /// Ends the thread when it is dropped.
    end: oneshot::Sender<()>,
    joined: JoinHandle<()>,
}

/// Runtimes that share the connections of a listener.
#[derive(Clone, Debug)]
struct Crew(Arc<[Hand]>);

#[derive(Debug)]
struct Hand {
    runtime: runtime::Handle,
    /// Connections it has, of all listeners.
    connections: AtomicUsize,
}

impl Workers {
    /// As many threads as the machine has cores, at most [`WORKERS_MAX`].
    ///
    /// # Errors
    /// When a thread or its runtime cannot be made.
    pub fn for_this_machine() -> io::Result<Self> {
        Self::start(std::thread::available_parallelism().map_or(1, usize::from).min(WORKERS_MAX))
    }

    /// So many threads; at least one.
    ///
    /// # Errors
    /// When a thread or its runtime cannot be made.
    pub fn start(count: usize) -> io::Result<Self> {
        let (mut hands, mut threads) = (Vec::new(), Vec::new());
        for number in 0..count.max(1) {
            let runtime = Builder::new_current_thread()
                .enable_all()
                .max_blocking_threads(BLOCKING_THREADS_MAX)
                .thread_name("serve-blocking")
                .build()?;
            hands.push(Hand { runtime: runtime.handle().clone(), connections: AtomicUsize::new(0) });
            let (end, ended) = oneshot::channel::<()>();
            let joined = std::thread::Builder::new().name(format!("serve-{number}")).spawn(move || {
                // A sender that is gone means the same.
                let _ = runtime.block_on(ended);
                // Whoever still waits for the name service is not waited for.
                runtime.shutdown_background();
            })?;
            threads.push(Thread { end, joined });
        }
        Ok(Self { crew: Crew(hands.into()), threads })
    }

    /// Serves a listener on all threads until `stop` says so, then waits for what was begun.
    ///
    /// # Errors
    /// When the listener cannot be waited for.
    pub fn serve(
        &self,
        listener: impl Into<AnyListener>,
        handler: impl Handle,
        stop: watch::Receiver<bool>,
    ) -> io::Result<Task<()>> {
        let listener = listener.into();
        let tally = Arc::clone(listener.tally());
        self.crew.serve(listener, seats(&handler), stop, move |connection, stop| {
            connection::converse(connection, handler.clone(), Arc::clone(&tally), stop)
        })
    }

    /// The same with nothing of ours on top: what becomes of a connection is the caller's to say. For measurements
    /// of what the rest costs.
    ///
    /// # Errors
    /// When the listener cannot be waited for.
    pub fn serve_bare<F: Future<Output = ()> + Send + 'static>(
        &self,
        listener: impl Into<AnyListener>,
        stop: watch::Receiver<bool>,
        converse: impl Fn(Connection) -> F + Send + Sync + 'static,
    ) -> io::Result<Task<()>> {
        self.crew.serve(listener.into(), Seats::new(possible(CONNECTIONS_MAX)), stop, move |connection, _| {
            converse(connection)
        })
    }

    /// Runs something on each thread, and gives back what comes of it.
    pub fn spawn_on_each<F>(&self, what: impl Fn() -> F) -> Vec<Task<F::Output>>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.crew.0.iter().map(|hand| hand.runtime.spawn(what())).collect()
    }

    /// Waits until each thread has done something: one that is stuck keeps this from ending.
    pub async fn answer(&self) {
        for answered in self.spawn_on_each(|| async {}) {
            // A runtime that has ended answers nothing, and is about to be gone with all others.
            let _ = answered.await;
        }
    }

    /// Ends the threads and what still runs on them, and waits for that. Blocks.
    pub fn shutdown(self) {
        for Thread { end, joined } in self.threads {
            drop(end);
            // A thread that panicked ended the process.
            let _ = joined.join();
        }
    }
}

/// Serves a listener on the present runtime alone until `stop` says so, then waits for what was begun.
///
/// # Errors
/// When the listener cannot be waited for.
pub fn serve_here(
    listener: impl Into<AnyListener>,
    handler: impl Handle,
    stop: watch::Receiver<bool>,
) -> io::Result<Task<()>> {
    let hand = Hand { runtime: runtime::Handle::current(), connections: AtomicUsize::new(0) };
    let listener = listener.into();
    let tally = Arc::clone(listener.tally());
    Crew(Arc::new([hand])).serve(listener, seats(&handler), stop, move |connection, stop| {
        connection::converse(connection, handler.clone(), Arc::clone(&tally), stop)
    })
}

fn seats(handler: &impl Handle) -> Seats {
    let most = possible(handler.connections_max());
    if handler.has_strangers() { Seats::for_strangers(most) } else { Seats::new(most) }
}

/// At most so many, and as the descriptors of this process allow.
fn possible(most: usize) -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    connections_possible(limit.unwrap_or(u64::MAX), most)
}

impl Crew {
    fn serve<F: Future<Output = ()> + Send + 'static>(
        &self,
        listener: AnyListener,
        seats: Seats,
        stop: watch::Receiver<bool>,
        converse: impl Fn(Connection, watch::Receiver<bool>) -> F + Send + Sync + 'static,
    ) -> io::Result<Task<()>> {
        let (seats, converse, tally) = (Arc::new(seats), Arc::new(converse), Arc::clone(listener.tally()));
        let listener = Arc::new(ArcSwap::from_pointee(listener));
        let mut doors = Vec::new();
        for hand in self.0.iter() {
            let _on_it = hand.runtime.enter();
            doors.push(Door::open(Arc::clone(&listener))?);
        }
        drop(listener);
        let receive = |(own, door): (usize, Door)| {
            let (seats, converse) = (Arc::clone(&seats), Arc::clone(&converse));
            let (tally, stop) = (Arc::clone(&tally), stop.clone());
            let keeper = Doorkeeper { crew: self.clone(), own, seats, tally, stop, converse };
            self.0[own].runtime.spawn(keeper.receive(door))
        };
        let receiving: Vec<_> = doors.into_iter().enumerate().map(receive).collect();
        Ok(self.0[0].runtime.spawn(async move {
            for received in receiving {
                // A task that panicked ended the process.
                let _ = received.await;
            }
        }))
    }

    /// The thread that a connection is for: the one that took it, unless another has fewer by [`UNEVEN_BY`].
    fn place(&self, own: usize) -> usize {
        let busy = |index: usize| self.0[index].connections.load(Ordering::Relaxed);
        let least = (0..self.0.len()).min_by_key(|index| busy(*index)).unwrap_or(own);
        if busy(own) >= busy(least) + UNEVEN_BY { least } else { own }
    }
}

/// Receives who calls at one listener, on one thread.
struct Doorkeeper<C> {
    crew: Crew,
    /// The thread on which this is.
    own: usize,
    seats: Arc<Seats>,
    tally: Arc<Tally>,
    stop: watch::Receiver<bool>,
    converse: Arc<C>,
}

impl<C, F> Doorkeeper<C>
where
    C: Fn(Connection, watch::Receiver<bool>) -> F + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    async fn receive(mut self, mut door: Door) {
        loop {
            let caller = async {
                self.seats.has_one_free().await;
                door.next().await
            };
            tokio::select! {
                () = stopped(&mut self.stop) => break,
                caller = caller => if let Some(caller) = caller {
                    tokio::select! {
                        () = stopped(&mut self.stop) => break,
                        share = self.seats.take(caller.peer) => self.seat(caller, share),
                    }
                }
            }
        }
        drop(door);
        if tokio::time::timeout(DRAIN_TIMEOUT, self.seats.are_empty()).await.is_err() {
            tracing::warn!("stopped while requests were still running");
        }
    }

    fn seat(&self, mut caller: Connection, share: Option<Share>) {
        let peer = caller.peer;
        if share.is_none() {
            self.tally.count_turned_away();
            tracing::debug!(?peer, "refused a connection: the caller has all he may have");
            return caller.dismiss(&connection::full_house(peer));
        }
        caller.share = share;
        self.tally.count_accepted();
        let index = self.crew.place(self.own);
        let seat = Seat::take(&self.crew, index, &self.seats);
        let (converse, stop) = (Arc::clone(&self.converse), self.stop.clone());
        if index == self.own {
            tokio::spawn(async move {
                converse(caller, stop).await;
                drop(seat);
            });
            return;
        }
        let detached = caller.detach();
        self.crew.0[index].runtime.spawn(async move {
            match detached.and_then(Detached::attach) {
                Ok(caller) => converse(caller, stop).await,
                Err(error) => tracing::warn!(%error, "a connection could not be handed over"),
            }
            drop(seat);
        });
    }
}

/// Given back when it is dropped, also with the runtime.
struct Seat {
    crew: Crew,
    index: usize,
    seats: Arc<Seats>,
}

impl Seat {
    /// The seat itself is taken already.
    fn take(crew: &Crew, index: usize, seats: &Arc<Seats>) -> Self {
        crew.0[index].connections.fetch_add(1, Ordering::Relaxed);
        Self { crew: crew.clone(), index, seats: Arc::clone(seats) }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.crew.0[self.index].connections.fetch_sub(1, Ordering::Relaxed);
        self.seats.leave();
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpStream, UnixStream};

    use super::*;
    use crate::trial::MeasureStrangers;
    use crate::{Audience, Listener, NetworkListener, Stream};

    // covers: G16
    #[tokio::test]
    async fn all_threads_serve_and_stop_when_they_are_told() {
        let workers = Workers::start(3).unwrap();
        workers.answer().await;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("login.sock");
        let listener = Listener::bind(&path, Audience::Everybody).unwrap();
        let (stop, stopping) = watch::channel(false);
        let (seen, mut threads) = tokio::sync::mpsc::unbounded_channel();
        let served = workers.serve_bare(listener, stopping, move |connection| {
            let seen = seen.clone();
            async move {
                seen.send(std::thread::current().name().map(str::to_owned)).unwrap();
                let Stream::Unix(mut stream) = connection.stream else { return };
                let _ = stream.read(&mut [0]).await;
            }
        });
        let mut clients = Vec::new();
        let mut names = std::collections::BTreeSet::new();
        for _ in 0..6 {
            clients.push(UnixStream::connect(&path).await.unwrap());
            names.insert(threads.recv().await.unwrap());
        }
        assert_eq!(names.len(), 3, "{names:?}");
        stop.send(true).unwrap();
        drop(clients);
        served.unwrap().await.unwrap();
        assert!(!path.exists());
        tokio::task::spawn_blocking(|| workers.shutdown()).await.unwrap();
    }

    // covers: F06
    #[tokio::test]
    async fn a_silent_stranger_makes_room_for_whoever_comes_from_the_same_address() {
        let listener = NetworkListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.address();
        let listener = AnyListener::from(listener);
        let tally = Arc::clone(listener.tally());
        let (_stop, stopping) = watch::channel(false);
        serve_here(listener, MeasureStrangers, stopping).unwrap();
        let mut silent = Vec::new();
        for _ in 0..2 {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        let mut caller = TcpStream::connect(address).await.unwrap();
        assert_eq!(silent[0].read(&mut [0]).await.unwrap(), 0, "the first one goes, without a word");
        let request = "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
        caller.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        caller.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert_eq!((tally.read().accepted, tally.read().turned_away), (3, 1));
        assert_eq!(silent[1].try_read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock, "it stays");
    }
}
