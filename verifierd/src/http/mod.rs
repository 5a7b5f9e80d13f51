//! Sockets: who may call, how much they may send, how long they may take.
//!
//! Both sockets speak HTTP/1.1. The routes of a login are matched before anything else; the administrator's
//! go through a router. Only uid 0 is answered, as the kernel tells it, whatever the socket's modes are.

mod admin;
mod listener;
mod login;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use wire::error::{ErrorBody, ErrorCode, ErrorDetail};

pub use admin::Administration;
pub use listener::{ListenError, Listener};

use crate::dialogue::Dialogue;

/// Connections served at once on each socket. sshd alone keeps to 100 unauthenticated ones (MaxStartups); a
/// busy machine's sudo adds some; beyond this, callers wait in the listen queue.
pub const CONNECTIONS_MAX: usize = 1_024;

/// A caller sends its request's head and body in one piece, over a socket of the same machine.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long requests that were begun may take when the daemon stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(4);

type Reply = Response<Full<Bytes>>;

/// Answers one of the two sockets.
#[derive(Clone, Debug)]
pub enum Handler {
    /// The PAM module's.
    Login(Arc<Dialogue>),
    /// The `postern` command's.
    Admin(Arc<Administration>),
}

impl Handler {
    async fn answer(self, request: Request<Incoming>) -> Result<Reply, Infallible> {
        Ok(match self {
            Self::Login(dialogue) => login::answer(&dialogue, request).await,
            Self::Admin(administration) => administration.answer(request).await,
        })
    }
}

/// Serves a socket until `stop` says so, then waits for what was begun.
pub async fn serve(mut listener: Listener, handler: Handler, mut stop: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stopped(&mut stop) => break,
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => {
                if let Some(stream) = accepted {
                    connections.spawn(converse(stream, handler.clone(), stop.clone()));
                }
            }
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
    drop(listener);
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN_TIMEOUT, drained).await.is_err() {
        tracing::warn!("stopped while requests were still running");
    }
}

async fn converse(stream: UnixStream, handler: Handler, mut stop: watch::Receiver<bool>) {
    let service = service_fn(move |request| handler.clone().answer(request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // Nobody needs a date, and the library has none for years past 9999.
        .auto_date_header(false)
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(wire::BODY_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// Resolves once the daemon stops.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // A sender that is gone means the same.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Reads a body, at most [`wire::BODY_BYTES_MAX`] of it.
async fn read_body(request: Request<Incoming>) -> Result<Bytes, Reply> {
    let body = Limited::new(request.into_body(), wire::BODY_BYTES_MAX).collect();
    match tokio::time::timeout(BODY_TIMEOUT, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(error_reply(
            ErrorCode::TooLarge,
            format!("a body has at most {} bytes", wire::BODY_BYTES_MAX),
        )),
        Ok(Err(_)) => Err(error_reply(ErrorCode::Malformed, "the body could not be read".into())),
        Err(_) => Err(error_reply(ErrorCode::Malformed, "the body did not come in time".into())),
    }
}

fn json_reply<T: Serialize>(status: StatusCode, body: &T) -> Reply {
    let body = serde_json::to_vec(body).expect("replies hold only numbers, texts and lists");
    let mut reply = Response::new(Full::new(Bytes::from(body)));
    *reply.status_mut() = status;
    reply
        .headers_mut()
        .insert(hyper::header::CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
    reply
}

fn error_reply(code: ErrorCode, message: String) -> Reply {
    let status = match code {
        ErrorCode::Malformed => StatusCode::BAD_REQUEST,
        ErrorCode::NotAllowed => StatusCode::FORBIDDEN,
        ErrorCode::NotFound => StatusCode::NOT_FOUND,
        ErrorCode::Conflict => StatusCode::CONFLICT,
        ErrorCode::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorCode::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorCode::Unknown => StatusCode::INTERNAL_SERVER_ERROR,
    };
    json_reply(status, &ErrorBody { error: ErrorDetail { code, message } })
}
