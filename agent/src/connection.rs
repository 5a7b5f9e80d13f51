//! One connection to a verifier: HTTP/2 over TLS 1.3, made before a deadline, and one request on it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http2;
use hyper::header::CONTENT_TYPE;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use wire::error::ErrorBody;
use wire::fleet::{CHECKPOINT_HEADER, REPLY_KEY_HEADER, SEALED_HEADER};
use wire::verify::BATCH_REPLY_BYTES_MAX;
use zeroize::{Zeroize as _, Zeroizing};

use crate::config::VerifierAddress;
use crate::reply_key::ReplyKey;

/// Addresses of one name that are tried. More share the deadline to no use.
const ADDRESSES_MAX: usize = 4;

/// How often a silent connection is asked whether it is there, and how long it may take to say so. A login that comes
/// meanwhile finds out by its own deadline.
const PING_EVERY: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// Most bytes of header fields in an answer. A verifier sends some 100.
const HEADER_BYTES_MAX: u32 = 16 * 1_024;

/// Most bytes that are sent before an answer is read: the largest answer there is.
const WINDOW_BYTES: u32 = BATCH_REPLY_BYTES_MAX as u32;

/// Characters of a refusal that are kept: two lines of a terminal. A verifier's own have up to some 90.
const SAID_CHARACTERS_MAX: usize = 160;

/// Sends requests; closed when the connection is.
pub type Sender = http2::SendRequest<Full<Bytes>>;

/// Lives as long as the connection.
pub type Driver =
    http2::Connection<TokioIo<tokio_rustls::client::TlsStream<TcpStream>>, Full<Bytes>, TokioExecutor>;

/// Why a verifier did not answer.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Its name leads nowhere.
    #[error("the name {name} cannot be resolved")]
    Resolve {
        /// The name.
        name: String,
        /// Why; nothing where the answer was empty.
        source: Option<io::Error>,
    },
    /// Nobody accepts connections there.
    #[error("no connection to {address}")]
    Connect {
        /// The address.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// Whoever answers there is not a verifier of this fleet, or does not take us for a host of it.
    #[error("the TLS handshake failed")]
    Tls {
        /// Why.
        source: io::Error,
    },
    /// TLS is spoken, HTTP/2 is not.
    #[error("the other end does not speak HTTP/2")]
    Protocol,
    /// The connection ended, or what came on it was not HTTP/2.
    #[error("the connection broke")]
    Broken {
        /// Why.
        source: hyper::Error,
    },
    /// The answer is too large.
    #[error("the answer has more than {BATCH_REPLY_BYTES_MAX} bytes")]
    TooLarge,
    /// The answer is sealed, and not under the key that we told.
    #[error("the answer does not open under the key of its request")]
    Sealed,
    /// Nothing came in time.
    #[error("no answer in time")]
    TimedOut,
    /// It says that it cannot answer now (503).
    #[error("it cannot answer now: {said}")]
    Busy {
        /// Its words.
        said: String,
    },
    /// It does not take this host for one of its fleet (403), or itself for a verifier of it.
    #[error("it does not take this host for one of its fleet: {said}")]
    NotOfTheFleet {
        /// Its words.
        said: String,
    },
    /// The connection ended while nobody asked.
    #[error("the connection ended")]
    Ended,
    /// It failed a moment ago and is left alone.
    #[error("it failed a moment ago")]
    Resting,
}

/// What a verifier answered.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status; anything but 200 is not a login.
    pub status: StatusCode,
    /// How far the verifier's audit trail has come, if it said so.
    pub checkpoint: Option<String>,
    /// The body.
    pub body: Zeroizing<Vec<u8>>,
}

impl Answer {
    /// The words of a refusal, as a line that may be shown; those of its status where there are none.
    pub fn said(&self) -> String {
        let said = serde_json::from_slice::<ErrorBody>(&self.body).map(|body| body.error.message);
        let said = said.unwrap_or_else(|_| self.status.to_string());
        said.chars().filter(|character| !character.is_control()).take(SAID_CHARACTERS_MAX).collect()
    }
}

/// Makes a connection.
///
/// # Errors
/// See [`Fault`].
pub async fn open(
    address: &VerifierAddress,
    tls: Arc<ClientConfig>,
    deadline: Instant,
) -> Result<(Sender, Driver), Fault> {
    timeout_at(deadline, shake_hands(address, tls, deadline)).await.unwrap_or(Err(Fault::TimedOut))
}

async fn shake_hands(
    address: &VerifierAddress,
    tls: Arc<ClientConfig>,
    deadline: Instant,
) -> Result<(Sender, Driver), Fault> {
    let stream = connect(address, deadline).await?;
    let connected = TlsConnector::from(tls).connect(address.name().clone(), stream).await;
    let stream = connected.map_err(|source| Fault::Tls { source })?;
    if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
        return Err(Fault::Protocol);
    }
    http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIMEOUT)
        .keep_alive_while_idle(true)
        .max_header_list_size(HEADER_BYTES_MAX)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(4 * WINDOW_BYTES)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|source| Fault::Broken { source })
}

/// The first address that accepts. Each of several has an even share of the time that is left.
async fn connect(address: &VerifierAddress, deadline: Instant) -> Result<TcpStream, Fault> {
    let name = address.name().to_str().into_owned();
    let found = timeout_at(deadline, tokio::net::lookup_host((&*name, address.port()))).await;
    let found = found.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    let resolve = |source| Fault::Resolve { name: name.clone(), source };
    let addresses: Vec<_> = found.map_err(|error| resolve(Some(error)))?.take(ADDRESSES_MAX).collect();
    let mut fault = resolve(None);
    for (number, place) in addresses.iter().enumerate() {
        let now = Instant::now();
        let left = u32::try_from(addresses.len() - number).unwrap_or(1);
        let until = now + deadline.saturating_duration_since(now) / left;
        let connected = timeout_at(until, TcpStream::connect(place)).await;
        let refused = |source| Fault::Connect { address: place.to_string(), source };
        match connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(stream) => {
                // A request is one piece, and is wanted now.
                stream.set_nodelay(true).map_err(refused)?;
                return Ok(stream);
            }
            Err(source) => fault = refused(source),
        }
    }
    Err(fault)
}

/// One request and its answer. Bounded in size, not in time.
///
/// * `checkpoint`: the newest that we know of, base 64.
///
/// # Errors
/// [`Fault::Broken`], [`Fault::TooLarge`] and [`Fault::Sealed`].
pub async fn ask(
    sender: &mut Sender,
    address: &VerifierAddress,
    path: &str,
    body: Bytes,
    checkpoint: Option<String>,
) -> Result<Answer, Fault> {
    let broken = |source| Fault::Broken { source };
    sender.ready().await.map_err(broken)?;
    let mut request = Request::post(format!("{address}{path}")).header(CONTENT_TYPE, "application/json");
    let key = ReplyKey::draw();
    if let Some(key) = &key {
        request = request.header(REPLY_KEY_HEADER, key.header());
    }
    if let Some(checkpoint) = checkpoint {
        request = request.header(CHECKPOINT_HEADER, checkpoint);
    }
    let request = request
        .body(Full::new(body))
        .expect("an address of a verifier and a path of ours are a URI, and a checkpoint is base 64");
    let response = sender.send_request(request).await.map_err(broken)?;
    let status = response.status();
    let told = response.headers().get(CHECKPOINT_HEADER).and_then(|told| told.to_str().ok());
    let checkpoint = told.map(str::to_owned);
    let is_sealed = response.headers().contains_key(SEALED_HEADER);
    let mut body = read(response).await?;
    if is_sealed && !key.is_some_and(|key| key.open(&mut body)) {
        return Err(Fault::Sealed);
    }
    Ok(Answer { status, checkpoint, body })
}

/// Reads a body into memory that is wiped.
async fn read(response: Response<Incoming>) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let mut incoming = response.into_body();
    // At its full size at once: a buffer that grows leaves what it held behind.
    let mut body = Zeroizing::new(Vec::with_capacity(BATCH_REPLY_BYTES_MAX));
    while let Some(frame) = incoming.frame().await {
        // Trailers say nothing that anybody asked for.
        let Ok(data) = frame.map_err(|source| Fault::Broken { source })?.into_data() else { continue };
        if body.len() + data.len() > BATCH_REPLY_BYTES_MAX {
            return Err(Fault::TooLarge);
        }
        body.extend_from_slice(&data);
        if let Ok(mut data) = data.try_into_mut() {
            data.as_mut().zeroize();
        }
    }
    Ok(body)
}

/// An error and its causes in one line.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        let more = source.to_string();
        // Libraries repeat what they wrap.
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = source.source();
    }
    text
}
