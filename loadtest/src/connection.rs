//! A connection that is kept open between requests.
//!
//! Knows nothing of logins. A request is never sent twice: whether the first one took effect cannot be known.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Mutex;
use tokio_rustls::TlsConnector;
use wire::error::ErrorBody;

use crate::target::{Address, Protocol, Target};

/// Longest wait for an answer: what the PAM module waits.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// Largest answer that is read: that of a batch.
const ANSWER_BYTES_MAX: usize = wire::verify::BATCH_REPLY_BYTES_MAX;

/// A request that is ready to go.
pub type Prepared = Request<Full<Bytes>>;

/// What carries bytes both ways.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// One connection; opened when it is needed, opened anew when the other side closed it.
#[derive(Debug)]
pub struct Connection {
    target: Arc<Target>,
    line: Line,
}

/// The open end, if it is open.
#[derive(Debug)]
enum Line {
    One(Option<http1::SendRequest<Full<Bytes>>>),
    /// Shared by all who send on it; locked while it is opened, not while an answer is waited for.
    Many(Arc<Mutex<Option<http2::SendRequest<Full<Bytes>>>>>),
}

impl Connection {
    /// A connection that is not open yet.
    pub fn new(target: &Arc<Target>) -> Self {
        let line = match target.protocol {
            Protocol::Http1 => Line::One(None),
            Protocol::Http2 => Line::Many(Arc::default()),
        };
        Self { target: Arc::clone(target), line }
    }

    /// One more end of the same connection with HTTP/2; another connection with HTTP/1.1.
    #[must_use]
    pub fn share(&self) -> Self {
        match &self.line {
            Line::One(_) => Self::new(&self.target),
            Line::Many(shared) => {
                Self { target: Arc::clone(&self.target), line: Line::Many(Arc::clone(shared)) }
            }
        }
    }

    /// Where it leads.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Opens it, unless it is open.
    ///
    /// # Errors
    /// When nobody answers there.
    pub async fn open(&mut self) -> Result<()> {
        match &mut self.line {
            Line::One(line) => open_one(line, &self.target).await.map(|_| ()),
            Line::Many(line) => open_many(line, &self.target).await.map(|_| ()),
        }
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
        if let (Err(_), Line::One(line)) = (&answer, &mut self.line) {
            *line = None;
        }
        answer
    }

    /// The status of the answer to a request, whatever it is.
    ///
    /// # Errors
    /// When there is no answer in time.
    pub async fn status(&mut self, request: Prepared) -> Result<StatusCode> {
        let response = tokio::time::timeout(ANSWER_TIMEOUT, self.send(request)).await;
        let response =
            response.with_context(|| format!("no answer within {} s", ANSWER_TIMEOUT.as_secs()))?;
        Ok(response?.status())
    }

    async fn exchange(&mut self, request: Prepared) -> Result<Bytes> {
        read(self.send(request).await?).await
    }

    async fn send(&mut self, request: Prepared) -> Result<Response<Incoming>> {
        let response = match &mut self.line {
            Line::One(line) => open_one(line, &self.target).await?.send_request(request).await,
            Line::Many(line) => open_many(line, &self.target).await?.send_request(request).await,
        };
        response.context("the connection broke")
    }
}

async fn read(response: Response<Incoming>) -> Result<Bytes> {
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
    let body = body.map_err(|error| anyhow!("the answer broke off: {error}"))?.to_bytes();
    ensure!(status.is_success(), "HTTP status {}: {}", status.as_u16(), message_of(&body));
    Ok(body)
}

async fn open_one<'a>(
    line: &'a mut Option<http1::SendRequest<Full<Bytes>>>,
    target: &Target,
) -> Result<&'a mut http1::SendRequest<Full<Bytes>>> {
    let is_open = match line.as_mut() {
        Some(sender) => sender.ready().await.is_ok(),
        None => false,
    };
    if !is_open {
        let (sender, connection) = http1::handshake(TokioIo::new(connect(target).await?))
            .await
            .with_context(|| format!("cannot connect to {target}"))?;
        // An error of the connection reaches us through the request as well.
        tokio::spawn(connection);
        *line = Some(sender);
    }
    line.as_mut().context("just opened")
}

async fn open_many(
    line: &Mutex<Option<http2::SendRequest<Full<Bytes>>>>,
    target: &Target,
) -> Result<http2::SendRequest<Full<Bytes>>> {
    let mut line = line.lock().await;
    if let Some(sender) = line.as_ref().filter(|sender| !sender.is_closed()) {
        return Ok(sender.clone());
    }
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(connect(target).await?))
        .await
        .with_context(|| format!("cannot connect to {target}"))?;
    tokio::spawn(connection);
    Ok(line.insert(sender).clone())
}

async fn connect(target: &Target) -> Result<Box<dyn Stream>> {
    let failed = || format!("cannot connect to {target}");
    Ok(match &target.address {
        Address::Unix(path) => Box::new(UnixStream::connect(path).await.with_context(failed)?),
        Address::Tcp(authority) => Box::new(connect_tcp(authority).await.with_context(failed)?),
        Address::Tls { authority, name, config } => {
            let stream = connect_tcp(authority).await.with_context(failed)?;
            let stream = TlsConnector::from(Arc::clone(config)).connect(name.clone(), stream).await;
            Box::new(stream.with_context(failed)?)
        }
    })
}

async fn connect_tcp(authority: &str) -> Result<TcpStream> {
    let stream = TcpStream::connect(authority).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn message_of(body: &[u8]) -> String {
    serde_json::from_slice::<ErrorBody>(body)
        .map_or_else(|_| "no message".to_owned(), |body| body.error.message)
}
