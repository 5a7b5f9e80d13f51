//! A bare hello on the threads of the daemon: what is left of a verification when nothing is verified.
//!
//! It is the least that hyper can do: it says five letters. To a request with a body it says as much as a verdict
//! takes, so that the bytes on the wire are the same on both sides.

use std::convert::Infallible;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serve::{Connection, Stream};
use tokio::io::{AsyncRead, AsyncWrite};

/// As long as the verdict about a user of the population.
const VERDICT: &[u8] = br#"{"request_id":"0123456789abcdef0123456789abcdef","user":"u0000001","service":"bench","verdict":"allow","reference":"ABCD-EFGH"}"#;

/// Says hello until the caller hangs up.
pub async fn hello(connection: Connection) {
    match connection.stream {
        Stream::Unix(stream) => converse(stream).await,
        Stream::Tcp(stream) => converse(stream).await,
    }
}

/// The same over HTTP/2.
pub async fn hello_http2(connection: Connection) {
    match connection.stream {
        Stream::Unix(stream) => multiplex(stream).await,
        Stream::Tcp(stream) => multiplex(stream).await,
    }
}

async fn multiplex(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
    let served = http2::Builder::new(TokioExecutor::new())
        .auto_date_header(false)
        .serve_connection(TokioIo::new(stream), service_fn(answer));
    let _ = served.await;
}

async fn converse(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
    let served = http1::Builder::new()
        .auto_date_header(false)
        .serve_connection(TokioIo::new(stream), service_fn(answer));
    // The client hangs up when it has measured enough.
    let _ = served.await;
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.method() == Method::GET {
        return Ok(Response::new(Full::new(Bytes::from_static(b"hello"))));
    }
    // A body that ends early ends the connection.
    let _ = request.into_body().collect().await;
    Ok(Response::new(Full::new(Bytes::from_static(VERDICT))))
}
