//! Takes connections and keeps their terms: who may call, how much he may send, how long he may take.
//!
//! What is answered, a [`Handle`] says; this crate knows neither logins nor policy. In the order in which a connection
//! meets them:
//!
//! | module | does |
//! | --- | --- |
//! | [`listener`] | listens, and learns from the kernel who called |
//! | [`seats`] | counts connections, of all and of each caller |
//! | [`workers`] | gives each connection to a thread |
//! | [`connection`] | speaks HTTP/1.1 or HTTP/2, over TLS or not |
//! | `heads` | refuses heads that two programs could read in two ways |
//! | [`pace`] | ends what is too slow |
//! | [`body`], [`reply`] | what is read and what is told |
//! | [`tally`] | counts what happened |
//! | [`leader`] | says whether the process of a session is still there |
//! | [`process`] | is what the machine sees of it all: signals, systemd, the log |

#![forbid(unsafe_code)]

pub mod body;
pub mod connection;
mod heads;
pub mod leader;
pub mod listener;
pub mod pace;
pub mod process;
pub mod reply;
pub mod seats;
pub mod tally;
pub mod workers;

use std::future::Future;

use hyper::Request;
use hyper::body::Incoming;
use rustls_pki_types::CertificateDer;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

pub use listener::tcp::NetworkListener;
pub use listener::unix::{Audience, Listener};
pub use listener::{AnyListener, Connection, ListenError, Peer, Stream};
pub use pace::Terms;
pub use reply::{Reply, error_reply, json_reply};
pub use seats::CONNECTIONS_MAX;
pub use tally::{Tallied, Tally};
pub use workers::{Workers, serve_here};

/// Answers what comes in at a listener.
pub trait Handle: Clone + Send + Sync + 'static {
    /// What is known of who is at the other end.
    type Guest: Clone + Send + Sync + 'static;

    /// Meets a connection, before its first request and after its handshake, if it has one. `None` ends it.
    ///
    /// * `certificates`: what the other end showed, its own first; checked as [`Self::tls`] demands.
    fn welcome(&self, peer: Peer, certificates: Option<&[CertificateDer<'static>]>) -> Option<Self::Guest>;

    /// Answers a request.
    fn answer(
        &self,
        guest: &Self::Guest,
        tally: &Tally,
        request: Request<Incoming>,
    ) -> impl Future<Output = Reply> + Send;

    /// Resolves when the connection is to end, although its guest would stay. What was begun is answered, for a second.
    fn farewell(&self, guest: &Self::Guest) -> impl Future<Output = ()> + Send {
        let _ = guest;
        std::future::pending()
    }

    /// Whether the guest is known by a better name than where he comes from, and the handler bounds his connections by
    /// that: they take nothing from his address's share then.
    fn is_counted_by_name(&self, guest: &Self::Guest) -> bool {
        let _ = guest;
        false
    }

    /// How many requests at once a guest may have on one connection of HTTP/2. Each may hold a body's size of memory.
    fn streams_max(&self, guest: &Self::Guest) -> u32 {
        let _ = guest;
        connection::STREAMS_MAX
    }

    /// What encrypts new connections of the network; none where they are plain.
    fn tls(&self) -> Option<TlsAcceptor> {
        None
    }

    /// Whether HTTP/2 is spoken.
    fn is_multiplexed(&self) -> bool;

    /// How long a caller may take.
    fn terms(&self, peer: Peer) -> Terms;

    /// How many connections are served at once, where the process may open as many descriptors.
    fn connections_max(&self) -> usize {
        CONNECTIONS_MAX
    }

    /// Whether whoever comes is a stranger until [`Self::is_counted_by_name`]: strangers have half of the connections, and
    /// the one who came first makes room for the next, instead of being refused as one too many of his address.
    fn has_strangers(&self) -> bool {
        false
    }
}

/// Resolves once the program stops.
pub async fn stopped(stop: &mut watch::Receiver<bool>) {
    // A sender that is gone means the same.
    let _ = stop.wait_for(|stop| *stop).await;
}

#[cfg(test)]
mod trial;
