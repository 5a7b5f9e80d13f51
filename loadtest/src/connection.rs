//! HTTP/1.1 with JSON over a Unix socket, kept open between requests.
//!
//! Knows nothing of logins. A request is never sent twice: whether the first one took effect cannot be known.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::net::UnixStream;
use wire::error::ErrorBody;

/// Longest wait for an answer: what the PAM module waits.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// A request that is ready to go.
pub type Prepared = Request<Full<Bytes>>;

/// One connection to a socket; opened when it is needed, opened anew when the other side closed it.
#[derive(Debug)]
pub struct Connection {
    socket: PathBuf,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Connection {
    /// A connection to `socket` that is not open yet.
    pub fn new(socket: &Path) -> Self {
        Self { socket: socket.to_owned(), sender: None }
    }

    /// Opens it, unless it is open.
    ///
    /// # Errors
    /// When nobody answers there.
    pub async fn open(&mut self) -> Result<&mut SendRequest<Full<Bytes>>> {
        let is_open = match &mut self.sender {
            Some(sender) => sender.ready().await.is_ok(),
            None => false,
        };
        if !is_open {
            let connect = || format!("cannot connect to {}", self.socket.display());
            let stream = UnixStream::connect(&self.socket).await.with_context(connect)?;
            let (sender, connection) = handshake(TokioIo::new(stream)).await.with_context(connect)?;
            // An error of the connection reaches us through the request as well.
            tokio::spawn(connection);
            self.sender = Some(sender);
        }
        self.sender.as_mut().context("just opened")
    }

    /// Sends a request and reads the whole answer, which has status 200.
    ///
    /// # Errors
    /// When there is no such answer in time. The connection is given up then.
    pub async fn call(&mut self, request: Prepared) -> Result<Bytes> {
        let answer = match tokio::time::timeout(ANSWER_TIMEOUT, self.exchange(request)).await {
            Ok(answer) => answer,
            Err(_) => Err(anyhow!("no answer within {} s", ANSWER_TIMEOUT.as_secs())),
        };
        if answer.is_err() {
            self.sender = None;
        }
        answer
    }

    async fn exchange(&mut self, request: Prepared) -> Result<Bytes> {
        let response = self.open().await?.send_request(request).await.context("the connection broke")?;
        let status = response.status();
        let body = Limited::new(response.into_body(), wire::BODY_BYTES_MAX).collect().await;
        let body = body.map_err(|error| anyhow!("the answer broke off: {error}"))?.to_bytes();
        ensure!(status.is_success(), "HTTP status {}: {}", status.as_u16(), message_of(&body));
        Ok(body)
    }
}

/// A request with a JSON body.
///
/// # Errors
/// When `path` is no path.
pub fn prepare(method: Method, path: &str, body: &impl Serialize) -> Result<Prepared> {
    let body = serde_json::to_vec(body).context("cannot encode the request")?;
    Request::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost")
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body)))
        .context("cannot build the request")
}

fn message_of(body: &[u8]) -> String {
    serde_json::from_slice::<ErrorBody>(body)
        .map_or_else(|_| "no message".to_owned(), |body| body.error.message)
}
