//! The API of the network: one code, one verdict, for programs that ask for the code themselves.
//!
//! Whoever has the key may ask; the key says nothing about who logs in, and opens nothing but the two routes.

mod secrets;

use std::sync::Arc;

use arc_swap::ArcSwap;
use hyper::Request;
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONNECTION, HeaderValue, WWW_AUTHENTICATE};
use hyper::{StatusCode, Version};
use tokio_rustls::TlsAcceptor;
use wire::error::ErrorCode;

pub use secrets::{ApiKey, ApiSecretError, ApiSecrets};

use super::verify::{Asker, Route};
use crate::dialogue::Dialogue;
use serve::Tally;
use serve::body;
use serve::reply::{Reply, error_reply};

/// Where users of the API come from whose program does not say it: one place for all of them, and never this machine.
const UNPLACED: &str = "api";

/// Everything that the API needs.
#[derive(Debug)]
pub struct Api {
    dialogue: Arc<Dialogue>,
    secrets: Arc<ArcSwap<ApiSecrets>>,
}

impl Api {
    /// * `secrets`: may be exchanged at any time.
    pub fn new(dialogue: Arc<Dialogue>, secrets: Arc<ArcSwap<ApiSecrets>>) -> Self {
        Self { dialogue, secrets }
    }

    /// What encrypts new connections; none where they are plain.
    pub(super) fn tls(&self) -> Option<TlsAcceptor> {
        self.secrets.load().tls().map(TlsAcceptor::from)
    }

    /// Answers a request. Without the key nobody looks at its body.
    pub(super) async fn answer(&self, tally: &Tally, request: Request<Incoming>) -> Reply {
        let mut shown = request.headers().get_all(AUTHORIZATION).iter();
        let is_shown = self.secrets.load().key().is_shown(shown.next());
        // Of two, somebody in front of us may have looked at the other.
        if !is_shown || shown.next().is_some() {
            tally.count_without_key();
            let message = "the API wants `authorization: Bearer` and the key of [api] key_file";
            return unauthorized(request, message).await;
        }
        match Route::of(&request) {
            Some(route) => {
                let asker = Asker { host: None, elsewhere: Some(UNPLACED) };
                route.answer(&self.dialogue, asker, request).await
            }
            None => {
                error_reply(ErrorCode::NotFound, "the API has POST /v1/verify and /v1/verify/batch".into())
            }
        }
    }
}

/// Over HTTP/1.1 the connection ends with it: whoever has no key gets no second guess on it.
///
/// * `message`: what is wanted instead.
pub(crate) async fn unauthorized(request: Request<Incoming>, message: &str) -> Reply {
    let mut reply = error_reply(ErrorCode::NotAllowed, message.into());
    *reply.status_mut() = StatusCode::UNAUTHORIZED;
    reply.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    if request.version() == Version::HTTP_2 {
        body::discard(request).await;
    } else {
        reply.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    reply
}
