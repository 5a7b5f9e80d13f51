//! Closed loop over HTTP/2: each stream of each connection sends its next request as soon as the last one is answered.
//!
//! The client is hyper's, with a runtime for each thread: a dozen lines could not speak this protocol.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http2;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

use super::connection::shortened;
use super::{Address, Deck, KEY, Tally, together};
use crate::clock::now;

/// How an allowed verification stands in a reply.
const ALLOWED: &[u8] = b"\"verdict\":\"allow\"";

/// How long a thread waits for its last replies.
const PATIENCE: Duration = Duration::from_secs(20);

type Sender = http2::SendRequest<Full<Bytes>>;

/// Loads a server for a while, or until the deck is used up.
///
/// * `streams`: requests on their way on each connection.
///
/// # Errors
/// When the server cannot be reached over TCP, hangs up, or does not answer.
pub fn streams(address: &Address, deck: &Deck, streams: usize, duration: Duration) -> io::Result<Tally> {
    let Address::Tcp(address) = address else {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "HTTP/2 is measured over TCP"));
    };
    let ready = Barrier::new(super::THREADS);
    together(|thread| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let load = async {
            let mut senders = Vec::new();
            for _ in 0..deck.connections_each() {
                senders.push(connect(*address).await?);
            }
            let shared = Rc::new(Shared::new(deck, thread, duration));
            ready.wait();
            one_thread(senders, streams, shared).await
        };
        runtime.block_on(LocalSet::new().run_until(load))
    })
}

async fn connect(address: std::net::SocketAddr) -> io::Result<Sender> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (sender, connection) = handshake.await.map_err(io::Error::other)?;
    // It ends with its sender; an error is the sender's too.
    tokio::spawn(async { drop(connection.await) });
    Ok(sender)
}

async fn one_thread(senders: Vec<Sender>, streams: usize, shared: Rc<Shared>) -> io::Result<Tally> {
    let mut tasks = Vec::new();
    for sender in senders {
        for _ in 0..streams {
            tasks.push(tokio::task::spawn_local(one_stream(sender.clone(), Rc::clone(&shared))));
        }
    }
    for task in tasks {
        let left = (shared.duration + PATIENCE).saturating_sub(shared.begun.elapsed());
        let ended = tokio::time::timeout(left, task).await;
        let slow = |_| io::Error::new(io::ErrorKind::TimedOut, "the server stopped answering");
        ended.map_err(slow)?.map_err(io::Error::other)??;
    }
    Ok(shared.tally.take())
}

/// What the streams of a thread have in common.
struct Shared {
    /// None where hellos are said, which have none.
    bodies: Option<RefCell<std::vec::IntoIter<Bytes>>>,
    key: HeaderValue,
    tally: RefCell<Tally>,
    begun: Instant,
    duration: Duration,
}

impl Shared {
    fn new(deck: &Deck, thread: usize, duration: Duration) -> Self {
        // Gathered beforehand, since tasks may not borrow.
        let bodies = || RefCell::new(deck.bodies(thread).collect::<Vec<_>>().into_iter());
        let key = format!("Bearer {KEY}").parse().expect("letters and digits");
        let tally = RefCell::new(Tally::default());
        Self { bodies: deck.has_verdicts.then(bodies), key, tally, begun: now(), duration }
    }

    /// A verification or a hello; none when the deck is used up.
    fn next(&self) -> Option<Request<Full<Bytes>>> {
        let Some(bodies) = &self.bodies else {
            let mut hello = Request::new(Full::default());
            *hello.uri_mut() = Uri::from_static("http://localhost/");
            return Some(hello);
        };
        let body = bodies.borrow_mut().next()?;
        let mut request = Request::new(Full::new(body));
        *request.uri_mut() = Uri::from_static("http://localhost/v1/verify");
        *request.method_mut() = Method::POST;
        request.headers_mut().insert(AUTHORIZATION, self.key.clone());
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Some(request)
    }

    /// Whether the reply is as it should be.
    fn is_good(&self, status: StatusCode, told: &[u8]) -> bool {
        let is_let_in = || told.windows(ALLOWED.len()).any(|bytes| bytes == ALLOWED);
        status == StatusCode::OK && (self.bodies.is_none() || is_let_in())
    }
}

async fn one_stream(mut sender: Sender, shared: Rc<Shared>) -> io::Result<()> {
    while let Some(request) = shared.next() {
        sender.ready().await.map_err(io::Error::other)?;
        let reply = sender.send_request(request).await.map_err(io::Error::other)?;
        let status = reply.status();
        let told = reply.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
        if shared.begun.elapsed() >= shared.duration {
            break;
        }
        let mut tally = shared.tally.borrow_mut();
        tally.count(usize::from(shared.is_good(status, &told)), 1, || shortened(&told));
        tally.took = shared.begun.elapsed();
    }
    Ok(())
}
