//! Listening sockets, and waiting for who calls.
//!
//! | module | holds |
//! | --- | --- |
//! | [`unix`] | a socket of this machine that says who called, and that comes back when somebody removes it |
//! | [`tcp`] | a socket of the network |
//!
//! A listener here is only a socket: no runtime holds it before a [`Door`] does.

pub mod tcp;
pub mod unix;

use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::time::{Instant, Interval, MissedTickBehavior};

use crate::seats::Share;
use crate::tally::Tally;
use tcp::NetworkListener;
use unix::Listener;

/// How often a socket's file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// How long accepting pauses when the machine is out of descriptors. Whoever calls waits in the listen queue.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// Callers that wait in the listen queue, where the machine allows as many (`net.core.somaxconn`): all that may be
/// served at once, four times over.
const BACKLOG: i32 = 4_096;

/// Why a socket cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another process answers there.
    #[error("another process answers at {place}: stop it, or name another place")]
    InUse {
        /// The path or address.
        place: String,
    },
    /// Something else is there.
    #[error("{place} is not a socket: remove it, or name another path")]
    NotASocket {
        /// The path.
        place: String,
    },
    /// The system refused.
    #[error("cannot listen at {place}")]
    System {
        /// The path or address.
        place: String,
        /// Why.
        source: io::Error,
    },
}

/// Who called, as far as the kernel knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Peer {
    /// A process of this machine, by its uid in our user namespace.
    Account(u32),
    /// A source of the network: an IPv4 address, or the first 64 bits of an IPv6 address, which is the least that
    /// anybody gets.
    Source(IpAddr),
}

/// Any of the listeners.
#[derive(Debug)]
pub enum AnyListener {
    /// Of this machine.
    Unix(Listener),
    /// Of the network.
    Tcp(NetworkListener),
}

impl From<Listener> for AnyListener {
    fn from(listener: Listener) -> Self {
        Self::Unix(listener)
    }
}

impl From<NetworkListener> for AnyListener {
    fn from(listener: NetworkListener) -> Self {
        Self::Tcp(listener)
    }
}

impl AnyListener {
    /// Path or address.
    pub fn place(&self) -> String {
        match self {
            Self::Unix(listener) => listener.place(),
            Self::Tcp(listener) => listener.place(),
        }
    }

    /// Where it counts what it does.
    pub fn tally(&self) -> &Arc<Tally> {
        match self {
            Self::Unix(listener) => listener.tally(),
            Self::Tcp(listener) => listener.tally(),
        }
    }

    /// The same socket on the runtime of this thread.
    fn register(&self) -> io::Result<Socket> {
        Ok(match self {
            Self::Unix(listener) => Socket::Unix(UnixListener::from_std(listener.duplicate()?)?),
            Self::Tcp(listener) => Socket::Tcp(TcpListener::from_std(listener.duplicate()?)?),
        })
    }

    /// Who called, if he is of the audience.
    fn admit(&self, stream: Stream) -> Option<Connection> {
        let peer = match (self, &stream) {
            (Self::Unix(listener), Stream::Unix(stream)) => Peer::Account(listener.admit(stream)?),
            (_, Stream::Tcp(stream)) => Peer::Source(tcp::source(stream.peer_addr().ok()?.ip())),
            (Self::Tcp(_), Stream::Unix(_)) => return None,
        };
        Some(Connection::new(stream, peer))
    }

    /// Another socket in the place of one whose file somebody removed.
    fn renewed(&self) -> Option<Self> {
        match self {
            Self::Unix(listener) => listener.renewed().map(Self::Unix),
            Self::Tcp(_) => None,
        }
    }

    /// Leaves the file at the path to another.
    fn disown(&self) {
        if let Self::Unix(listener) = self {
            listener.disown();
        }
    }
}

/// A connection, and whose it is.
#[derive(Debug)]
pub struct Connection {
    /// What is read and written.
    pub stream: Stream,
    /// Who called.
    pub peer: Peer,
    /// His share of the listener's seats, until he is known by a better name.
    pub(crate) share: Option<Share>,
}

/// What is read and written.
#[derive(Debug)]
pub enum Stream {
    /// Of this machine.
    Unix(UnixStream),
    /// Of the network.
    Tcp(TcpStream),
}

impl Connection {
    /// A connection that takes nobody's share.
    pub fn new(stream: Stream, peer: Peer) -> Self {
        Self { stream, peer, share: None }
    }

    /// Takes it off its runtime.
    pub(crate) fn detach(self) -> io::Result<Detached> {
        let socket = match self.stream {
            Stream::Unix(stream) => stream.into_std()?.into(),
            Stream::Tcp(stream) => stream.into_std()?.into(),
        };
        Ok(Detached { socket, peer: self.peer, share: self.share })
    }

    /// Says something short and closes. It fits into the socket's buffer, which is empty; a caller that is gone
    /// needs no answer.
    pub(crate) fn dismiss(self, answer: &[u8]) {
        let _ = match self.stream {
            Stream::Unix(stream) => stream.try_write(answer),
            Stream::Tcp(stream) => stream.try_write(answer),
        };
    }
}

/// A connection that no runtime holds.
#[derive(Debug)]
pub struct Detached {
    socket: OwnedFd,
    peer: Peer,
    share: Option<Share>,
}

impl Detached {
    /// Gives it to the runtime of this thread.
    pub(crate) fn attach(self) -> io::Result<Connection> {
        let stream = match self.peer {
            Peer::Account(_) => Stream::Unix(UnixStream::from_std(self.socket.into())?),
            Peer::Source(_) => Stream::Tcp(TcpStream::from_std(self.socket.into())?),
        };
        Ok(Connection { stream, peer: self.peer, share: self.share })
    }
}

/// A listening socket on a runtime.
#[derive(Debug)]
enum Socket {
    Unix(UnixListener),
    Tcp(TcpListener),
}

impl Socket {
    async fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Unix(socket) => socket.accept().await.map(|(stream, _)| Stream::Unix(stream)),
            Self::Tcp(socket) => socket.accept().await.map(|(stream, _)| Stream::Tcp(stream)),
        }
    }
}

/// A listener on a runtime. Several may lead to one listener.
#[derive(Debug)]
pub struct Door {
    listener: Arc<AnyListener>,
    /// The one that stands at the present, for all doors.
    present: Arc<ArcSwap<AnyListener>>,
    socket: Socket,
    look: Interval,
    /// Whether the last attempt to accept failed, so that a shortage is told once.
    is_exhausted: bool,
}

impl Door {
    /// To be called on the runtime that accepts.
    pub fn open(present: Arc<ArcSwap<AnyListener>>) -> io::Result<Self> {
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let listener = present.load_full();
        let socket = listener.register()?;
        Ok(Self { listener, present, socket, look, is_exhausted: false })
    }

    /// The next caller that is admitted. `None` when a caller was refused or none could be taken.
    pub async fn next(&mut self) -> Option<Connection> {
        tokio::select! {
            accepted = self.socket.accept() => match accepted {
                Ok(stream) => {
                    if std::mem::take(&mut self.is_exhausted) {
                        tracing::info!(place = self.listener.place(), "connections are taken again");
                    }
                    self.listener.admit(stream)
                }
                // A caller that went away while it waited is no failure of ours.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => None,
                Err(error) => {
                    self.pause(&error).await;
                    None
                }
            },
            _ = self.look.tick() => {
                self.look_after();
                None
            }
        }
    }

    async fn pause(&mut self, error: &io::Error) {
        self.listener.tally().count_failure();
        if !std::mem::replace(&mut self.is_exhausted, true) {
            tracing::warn!(%error, place = self.listener.place(), "cannot take connections: they wait");
        }
        tokio::time::interval_at(Instant::now() + EXHAUSTED_PAUSE, EXHAUSTED_PAUSE).tick().await;
    }

    fn look_after(&mut self) {
        let present = self.present.load_full();
        let by_another_door = !Arc::ptr_eq(&present, &self.listener);
        let renewed = if by_another_door { Some(present) } else { self.listener.renewed().map(Arc::new) };
        let Some(renewed) = renewed else { return };
        match renewed.register() {
            Ok(socket) => {
                self.listener.disown();
                (self.socket, self.listener) = (socket, renewed);
                if !by_another_door {
                    self.present.store(Arc::clone(&self.listener));
                    tracing::warn!(place = self.listener.place(), "the socket had been removed: made anew");
                }
            }
            Err(error) => tracing::error!(%error, "the socket has been removed and cannot be made anew"),
        }
    }
}

/// Lets callers wait in a queue that is long enough for a crowd.
fn widen_queue(socket: impl std::os::fd::AsFd) -> io::Result<()> {
    Ok(rustix::net::listen(socket, BACKLOG)?)
}
