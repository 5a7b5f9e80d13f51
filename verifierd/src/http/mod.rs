//! Sockets: who may call, how much they may send, how long they may take.
//!
//! | listener | answers | speaks | routes |
//! | --- | --- | --- | --- |
//! | login | root, that is, the PAM module | HTTP/1.1, HTTP/2 | four, matched by hand |
//! | api | who shows its key, over TCP and TLS | HTTP/1.1, HTTP/2 | two, matched by hand |
//! | admin | root | HTTP/1.1 | `wire::admin`, through a router |
//! | user | every account, as far as its role goes (see [`roles`]) | HTTP/1.1 | the same |
//!
//! On the sockets of this machine the kernel says who calls. The first two are served by [`Workers`], the others
//! where the service itself runs.

mod admin;
pub mod api;
mod body;
mod connection;
mod heads;
mod imports;
mod listener;
mod login;
mod pace;
mod reply;
pub mod roles;
mod seats;
mod tally;
mod verify;
mod workers;

use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use wire::error::ErrorCode;
use zeroize::Zeroizing;

pub use admin::Administration;
pub use listener::tcp::ApiListener;
pub use listener::unix::{Audience, Listener};
pub use listener::{AnyListener, Connection, ListenError, Peer, Stream};
pub use seats::{
    CONNECTIONS_MAX, CONNECTIONS_PER_ACCOUNT_MAX, CONNECTIONS_PER_SOURCE_MAX, DESCRIPTORS_KEPT, LISTENERS_MAX,
};
pub use tally::{Tallied, Tally};
pub use workers::{WORKERS_MAX, Workers, serve_here};

use crate::dialogue::Dialogue;
use api::Api;
use pace::Terms;
use reply::{Reply, error_reply, status_of};

/// How long a caller of the admin sockets may take to send a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// Seconds that a caller other than root may hold a connection of the admin sockets. The longest honest request is a
/// walk along the whole audit trail; who does not read his answer gives his seat back after this.
const CONVERSATION_SECONDS_MAX: u32 = 300;

/// Answers one of the listeners.
#[derive(Clone, Debug)]
pub enum Handler {
    /// The PAM module's.
    Login(Arc<Dialogue>),
    /// The network's.
    Api(Arc<Api>),
    /// The `postern` command's: root's, or everybody's.
    Admin(Arc<Administration>),
}

impl Handler {
    async fn answer(&self, peer: Peer, tally: &Tally, request: Request<Incoming>) -> Reply {
        // What is waited for seldom is kept apart: the library moves the whole of this at every request.
        match (self, peer) {
            (Self::Login(dialogue), _) => login::answer(dialogue, request).await,
            (Self::Api(api), _) => api.answer(tally, request).await,
            (Self::Admin(administration), Peer::Account(uid)) => {
                Box::pin(Arc::clone(administration).answer(uid, request)).await
            }
            (Self::Admin(_), Peer::Source(_)) => {
                error_reply(ErrorCode::NotAllowed, "administration is not for the network".into())
            }
        }
    }

    /// What encrypts new connections of the network.
    fn tls(&self) -> Option<TlsAcceptor> {
        match self {
            Self::Api(api) => api.tls(),
            Self::Login(_) | Self::Admin(_) => None,
        }
    }

    /// Whether HTTP/2 is spoken.
    fn is_multiplexed(&self) -> bool {
        match self {
            Self::Login(_) | Self::Api(_) => true,
            Self::Admin(_) => false,
        }
    }

    /// How long callers may take.
    fn terms(&self, peer: Peer) -> Terms {
        match self {
            Self::Login(_) | Self::Api(_) => Terms { bounds_requests: true, conversation: None },
            Self::Admin(_) => {
                let is_root = peer == Peer::Account(0);
                Terms { bounds_requests: false, conversation: (!is_root).then_some(CONVERSATION_SECONDS_MAX) }
            }
        }
    }
}

/// Resolves once the daemon stops.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // A sender that is gone means the same.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Reads a body of the admin sockets into memory that is wiped when it is dropped.
async fn read_body(request: Request<Incoming>) -> Result<Zeroizing<Vec<u8>>, Reply> {
    match tokio::time::timeout(BODY_TIMEOUT, body::read(request)).await {
        Ok(body) => body.map(|body| Zeroizing::new(body.to_vec())),
        Err(_) => Err(error_reply(ErrorCode::Malformed, "the body did not come in time".into())),
    }
}

#[cfg(test)]
mod tests;
