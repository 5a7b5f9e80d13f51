//! Sockets: who may call, how much they may send, how long they may take.
//!
//! All sockets speak HTTP/1.1, and on all of them the kernel says who calls.
//!
//! | socket | answers | routes |
//! | --- | --- | --- |
//! | login | root, that is, the PAM module | two, matched by hand |
//! | admin | root | `wire::admin`, through a router |
//! | user | every account, as far as its role goes (see [`roles`]) | the same |

mod admin;
mod imports;
mod listener;
mod login;
pub mod roles;
mod seats;

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
use zeroize::{Zeroize, Zeroizing};

pub use admin::Administration;
pub use listener::{Audience, ListenError, Listener};
pub use seats::{CONNECTIONS_MAX, CONNECTIONS_PER_ACCOUNT_MAX};

use crate::dialogue::Dialogue;
use seats::Seats;

/// A caller sends its request's head and body in one piece, over a socket of the same machine.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a caller other than root may hold a connection. The longest honest request is a walk along the whole
/// audit trail; who does not read his answer gives his seat back after this.
const CONVERSATION_MAX: Duration = Duration::from_secs(300);

/// How long requests that were begun may take when the daemon stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(4);

type Reply = Response<Full<Bytes>>;

/// Answers one of the sockets.
#[derive(Clone, Debug)]
pub enum Handler {
    /// The PAM module's.
    Login(Arc<Dialogue>),
    /// The `postern` command's: root's, or everybody's.
    Admin(Arc<Administration>),
}

impl Handler {
    async fn answer(self, uid: u32, request: Request<Incoming>) -> Result<Reply, Infallible> {
        Ok(match self {
            Self::Login(dialogue) => login::answer(&dialogue, request).await,
            Self::Admin(administration) => administration.answer(uid, request).await,
        })
    }
}

/// Serves a socket until `stop` says so, then waits for what was begun.
pub async fn serve(mut listener: Listener, handler: Handler, mut stop: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    let mut seats = Seats::default();
    loop {
        tokio::select! {
            () = stopped(&mut stop) => break,
            accepted = listener.accept(), if !seats.is_full() => match accepted {
                Some((stream, uid)) if seats.take(uid) => {
                    let (handler, stop) = (handler.clone(), stop.clone());
                    connections.spawn(async move {
                        converse(stream, uid, handler, stop).await;
                        uid
                    });
                }
                Some((stream, uid)) => turn_away(&stream, uid),
                None => {}
            },
            Some(ended) = connections.join_next(), if !connections.is_empty() => {
                // A connection that panicked ended the process.
                if let Ok(uid) = ended {
                    seats.leave(uid);
                }
            }
        }
    }
    drop(listener);
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN_TIMEOUT, drained).await.is_err() {
        tracing::warn!("stopped while requests were still running");
    }
}

/// Tells a caller who has all his seats already, without waiting for what he asks.
fn turn_away(stream: &UnixStream, uid: u32) {
    tracing::debug!(uid, "refused a connection: the account has all it may have");
    let message =
        format!("your account has {CONNECTIONS_PER_ACCOUNT_MAX} connections open: let one of them end");
    let (_, body) = error_reply(ErrorCode::Unavailable, message).into_parts();
    let body = body.into_inner().unwrap_or_default();
    let head = "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nconnection: close\r\n";
    let mut answer = format!("{head}content-length: {}\r\n\r\n", body.len()).into_bytes();
    answer.extend_from_slice(&body);
    // It fits into the socket's buffer, which is empty; a caller that is gone needs no answer.
    let _ = stream.try_write(&answer);
}

async fn converse(stream: UnixStream, uid: u32, handler: Handler, mut stop: watch::Receiver<bool>) {
    let service = service_fn(move |request| handler.clone().answer(uid, request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // Nobody needs a date, and the library has none for years past 9999.
        .auto_date_header(false)
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(wire::BODY_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let mut held_too_long = tokio::time::interval(CONVERSATION_MAX);
    // The first tick of an interval comes at once.
    held_too_long.tick().await;
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _ = held_too_long.tick(), if uid != 0 => return,
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

/// Reads a body, at most [`wire::BODY_BYTES_MAX`] of it. Bodies hold codes and secrets: what is returned is
/// wiped when it is dropped, and so is the buffer it came in, where nothing else shares it.
async fn read_body(request: Request<Incoming>) -> Result<Zeroizing<Vec<u8>>, Reply> {
    let body = Limited::new(request.into_body(), wire::BODY_BYTES_MAX).collect();
    match tokio::time::timeout(BODY_TIMEOUT, body).await {
        Ok(Ok(body)) => {
            let bytes = body.to_bytes();
            let copy = Zeroizing::new(bytes.to_vec());
            if let Ok(mut bytes) = bytes.try_into_mut() {
                bytes.as_mut().zeroize();
            }
            Ok(copy)
        }
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
    json_reply(status_of(code), &ErrorBody { error: ErrorDetail { code, message } })
}

/// The HTTP status that goes with each error.
fn status_of(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::Malformed => StatusCode::BAD_REQUEST,
        ErrorCode::NotAllowed => StatusCode::FORBIDDEN,
        ErrorCode::NotFound => StatusCode::NOT_FOUND,
        ErrorCode::Conflict => StatusCode::CONFLICT,
        ErrorCode::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorCode::WrongCode => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorCode::Throttled => StatusCode::TOO_MANY_REQUESTS,
        ErrorCode::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorCode::Unknown => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::trial::Trial;

    async fn answered(mut client: UnixStream) -> String {
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        answer
    }

    // covers: I05
    #[tokio::test]
    async fn a_connection_is_answered_for_the_uid_at_its_other_end() {
        let trial = Trial::new().await;
        for (uid, role) in [(0, "\"role\":\"super\""), (4_000_000, "\"role\":\"user\"")] {
            let (mut client, server) = UnixStream::pair().unwrap();
            let (_stop, stopping) = watch::channel(false);
            let handler = Handler::Admin(Arc::clone(&trial.service.administration));
            let served = tokio::spawn(converse(server, uid, handler, stopping));
            let request = "GET /v1/self HTTP/1.1\r\nhost: postern\r\nconnection: close\r\n\r\n";
            client.write_all(request.as_bytes()).await.unwrap();
            let answer = answered(client).await;
            assert!(answer.starts_with("HTTP/1.1 200") && answer.contains(role), "{answer}");
            served.await.unwrap();
        }
    }

    // covers: I05
    #[tokio::test]
    async fn who_has_all_his_connections_is_told_so_at_once() {
        let (mut client, server) = UnixStream::pair().unwrap();
        client.write_all(b"GET /v1/self HTTP/1.1\r\n\r\n").await.unwrap();
        turn_away(&server, 1_000);
        drop(server);
        let mut answer = Vec::new();
        // The end of a connection whose request nobody read may look like a reset, after the answer.
        let _ = client.read_to_end(&mut answer).await;
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");
        assert!(body.contains("your account has 8 connections open"), "{body}");
    }
}
