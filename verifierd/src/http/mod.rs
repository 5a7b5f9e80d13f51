//! What is answered at each listener. How connections come and what they may take, `serve` says.
//!
//! | listener | answers | speaks | routes |
//! | --- | --- | --- | --- |
//! | login | root, that is, the PAM module | HTTP/1.1, HTTP/2 | six, matched by hand |
//! | api | who shows its key, over TCP and TLS | HTTP/1.1, HTTP/2 | two, matched by hand |
//! | fleet | hosts, by their certificates, over TCP and TLS | HTTP/2 | nine, matched by hand |
//! | web | browsers, and programs with a key of a person, over TCP and TLS | HTTP/1.1, HTTP/2 | see [`crate::web`] |
//! | admin | root | HTTP/1.1 | `wire::admin`, through a router |
//! | user | every account, as far as its role goes (see [`roles`]) | HTTP/1.1 | the same |
//!
//! On the sockets of this machine the kernel says who calls. The first three are served by `serve::Workers`, the others
//! where the service itself runs.

mod admin;
pub mod api;
pub mod certificate;
pub mod fleet;
mod imports;
mod login;
pub mod roles;
mod sessions;
mod verify;
pub(crate) mod wrong_secrets;

use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use rustls_pki_types::CertificateDer;
use serve::{Handle, Peer, Reply, Tally, Terms, body, error_reply};
use tokio_rustls::TlsAcceptor;
use wire::error::ErrorCode;
use zeroize::Zeroizing;

pub use admin::{Administration, document};

use crate::dialogue::Dialogue;
use crate::web::Web;
use api::Api;

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
    /// Browsers'.
    Web(Arc<Web>),
}

impl Handle for Handler {
    type Guest = Peer;

    fn welcome(&self, peer: Peer, _: Option<&[CertificateDer<'static>]>) -> Option<Peer> {
        Some(peer)
    }

    async fn answer(&self, peer: &Peer, tally: &Tally, request: Request<Incoming>) -> Reply {
        // What is waited for seldom is kept apart: the library moves the whole of this at every request.
        match (self, *peer) {
            (Self::Login(dialogue), _) => login::answer(dialogue, None, request).await,
            (Self::Api(api), _) => api.answer(tally, request).await,
            (Self::Admin(administration), Peer::Account(uid)) => {
                Box::pin(Arc::clone(administration).answer(uid, request)).await
            }
            (Self::Web(web), peer) => Box::pin(web.answer(peer, tally, request)).await,
            (Self::Admin(_), Peer::Source(_)) => {
                error_reply(ErrorCode::NotAllowed, "administration is not for the network".into())
            }
        }
    }

    fn tls(&self) -> Option<TlsAcceptor> {
        match self {
            Self::Api(api) => api.tls(),
            Self::Web(web) => Some(web.tls()),
            Self::Login(_) | Self::Admin(_) => None,
        }
    }

    fn is_multiplexed(&self) -> bool {
        match self {
            Self::Login(_) | Self::Api(_) | Self::Web(_) => true,
            Self::Admin(_) => false,
        }
    }

    fn terms(&self, peer: Peer) -> Terms {
        match self {
            Self::Login(_) | Self::Api(_) | Self::Web(_) => Terms::BOUNDED,
            Self::Admin(_) => {
                let is_root = peer == Peer::Account(0);
                Terms { conversation: (!is_root).then_some(CONVERSATION_SECONDS_MAX), ..Terms::default() }
            }
        }
    }
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
