//! One connection: which protocol it speaks, and how it ends.
//!
//! HTTP/1.1 and, where several requests may share a connection, HTTP/2 by prior knowledge or ALPN.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::header::{CONNECTION, HeaderValue, TRANSFER_ENCODING};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use wire::error::ErrorCode;
use zeroize::{Zeroize, Zeroizing};

use crate::heads::Heads;
use crate::listener::{Connection, Peer, Stream};
use crate::pace::{Mark, Marks, Overdue, Pace};
use crate::reply::error_reply;
use crate::seats::{CONNECTIONS_PER_ACCOUNT_MAX, CONNECTIONS_PER_SOURCE_MAX, Share};
use crate::tally::Tally;
use crate::{Handle, stopped};

/// What an HTTP/2 client sends first (RFC 9113 §3.4). No HTTP/1.1 request begins so.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Read at once before it is known what is spoken: a request of the PAM module, head and body.
const FIRST_BYTES: usize = 1_024;

/// Requests at once on one connection, and the size of a batch: one connection needs no more.
pub const STREAMS_MAX: u32 = 256;

/// HTTP/2 bytes that a caller may send before they are read: one body for a stream, four for a connection.
const STREAM_WINDOW: u32 = wire::BODY_BYTES_MAX as u32;
const CONNECTION_WINDOW: u32 = 4 * STREAM_WINDOW;

/// Bytes of a request's header fields. A key and a few words have some 300.
const HEADER_BYTES_MAX: u32 = 16 * 1_024;

/// Header fields of a request.
const HEADERS_MAX: usize = 32;

/// How long a guest who is to leave may take: for the reply that he waits for, and not for what he does not read.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(1);

/// Which protocol a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Http1,
    Http2,
}

/// Serves a connection until it ends, is too slow, or the daemon stops.
pub async fn converse<H: Handle>(
    connection: Connection,
    handler: H,
    tally: Arc<Tally>,
    mut stop: watch::Receiver<bool>,
) {
    let pace = Pace::new(handler.terms(connection.peer));
    let call_to_go = connection.share.as_ref().and_then(Share::call_to_go);
    let turned_away = Arc::clone(&tally);
    let call = Call { peer: connection.peer, share: connection.share, handler, tally, pace };
    let conversation = async {
        match connection.stream {
            Stream::Unix(stream) => call.answer_plain(stream, &mut stop).await,
            Stream::Tcp(stream) => match call.handler.tls() {
                None => call.answer_plain(stream, &mut stop).await,
                Some(tls) => call.answer_encrypted(tls.accept(stream), &mut stop).await,
            },
        }
    };
    let Some(call_to_go) = call_to_go else { return conversation.await };
    tokio::select! {
        biased;
        () = conversation => {}
        () = call_to_go.notified() => turned_away.count_turned_away(),
    }
}

/// A connection and what is needed to serve it.
struct Call<H> {
    peer: Peer,
    share: Option<Share>,
    handler: H,
    tally: Arc<Tally>,
    pace: Pace,
}

impl<H: Handle> Call<H> {
    async fn answer_plain<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        mut self,
        mut stream: S,
        stop: &mut watch::Receiver<bool>,
    ) {
        let Some(guest) = self.handler.welcome(self.peer, None) else { return };
        if !self.handler.is_multiplexed() {
            return self.answer_http1(stream, Zeroizing::default(), guest, stop).await;
        }
        let first = tokio::select! {
            biased;
            first = first_bytes(&mut stream) => first,
            overdue = self.pace.overdue() => return self.tally.count_overdue(overdue),
            () = stopped(stop) => return,
        };
        match first {
            Ok((Protocol::Http1, first)) => self.answer_http1(stream, first, guest, stop).await,
            Ok((Protocol::Http2, first)) => self.answer_http2(stream, first, guest, stop).await,
            Err(error) => tracing::debug!(%error, "a connection ended before its first request"),
        }
    }

    async fn answer_encrypted<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        mut self,
        handshake: tokio_rustls::Accept<S>,
        stop: &mut watch::Receiver<bool>,
    ) {
        let stream = tokio::select! {
            biased;
            stream = handshake => stream,
            overdue = self.pace.overdue() => return self.tally.count_overdue(overdue),
            () = stopped(stop) => return,
        };
        let stream = match stream {
            Ok(stream) => stream,
            Err(error) => {
                self.tally.count_without_key();
                return tracing::debug!(%error, "a TLS handshake failed");
            }
        };
        let (is_http2, guest) = {
            let session = stream.get_ref().1;
            let guest = self.handler.welcome(self.peer, session.peer_certificates());
            (session.alpn_protocol() == Some(b"h2"), guest)
        };
        let Some(guest) = guest else { return self.tally.count_without_key() };
        if self.handler.is_counted_by_name(&guest) {
            drop(self.share.take());
            self.pace.know();
        } else if let Some(share) = &mut self.share {
            share.meet();
        }
        if is_http2 {
            self.answer_http2(stream, Zeroizing::default(), guest, stop).await;
        } else {
            self.answer_http1(stream, Zeroizing::default(), guest, stop).await;
        }
    }

    async fn answer_http1<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        mut self,
        stream: S,
        first: Zeroizing<Vec<u8>>,
        guest: H::Guest,
        stop: &mut watch::Receiver<bool>,
    ) {
        let marks = Arc::clone(self.pace.marks());
        let heads = Some(Heads::default());
        let stream = TokioIo::new(Watched { stream, first, heads, marks: Arc::clone(&marks) });
        let (handler, tally) = (&self.handler, &self.tally);
        let service = service_fn(|request| answer(handler, &guest, tally, request, marks.begin()));
        let connection = http1::Builder::new()
            // Nobody needs a date, and the library has none for years past 9999.
            .auto_date_header(false)
            // Without `pipeline_flush`, which holds replies back, as many as there are, while a part of a further
            // request is there: a caller could make them fill the memory.
            .max_headers(HEADERS_MAX)
            .max_buf_size(wire::BODY_BYTES_MAX)
            .serve_connection(stream, service);
        attend(connection, &mut self.pace, &self.tally, self.handler.farewell(&guest), stop).await;
    }

    async fn answer_http2<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        mut self,
        stream: S,
        first: Zeroizing<Vec<u8>>,
        guest: H::Guest,
        stop: &mut watch::Receiver<bool>,
    ) {
        self.pace.is_multiplexed = true;
        let marks = Arc::clone(self.pace.marks());
        let stream = TokioIo::new(Watched { stream, first, heads: None, marks: Arc::clone(&marks) });
        let (handler, counting, whose) = (self.handler.clone(), Arc::clone(&self.tally), guest.clone());
        let service = service_fn(move |request| {
            let (handler, guest) = (handler.clone(), whose.clone());
            let (tally, mark) = (Arc::clone(&counting), marks.begin());
            async move { answer(&handler, &guest, &tally, request, mark).await }
        });
        let connection = http2::Builder::new(TokioExecutor::new())
            .auto_date_header(false)
            .max_concurrent_streams(self.handler.streams_max(&guest))
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(HEADER_BYTES_MAX)
            .max_send_buf_size(wire::BODY_BYTES_MAX)
            .serve_connection(stream, service);
        attend(connection, &mut self.pace, &self.tally, self.handler.farewell(&guest), stop).await;
    }
}

async fn answer<H: Handle>(
    handler: &H,
    guest: &H::Guest,
    tally: &Tally,
    request: Request<Incoming>,
    mark: Mark,
) -> Result<Response<Marked>, Infallible> {
    // Where chunks end, `Heads` does not say: nothing behind them is read.
    let is_chunked = request.headers().contains_key(TRANSFER_ENCODING);
    let mut reply = handler.answer(guest, tally, request).await;
    if is_chunked {
        reply.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(reply.map(|body| Marked { body, _mark: mark }))
}

/// A connection of either protocol.
trait Conversation: Future<Output = hyper::Result<()>> {
    /// Takes no new requests, and ends when those that were begun are answered.
    fn wind_up(self: Pin<&mut Self>);
}

impl<S, F, I> Conversation for http1::Connection<I, S>
where
    S: hyper::service::HttpService<Incoming, ResBody = Marked, Future = F, Error = Infallible>,
    F: Future<Output = Result<Response<Marked>, Infallible>>,
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
{
    fn wind_up(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<S, F, I> Conversation for http2::Connection<I, S, TokioExecutor>
where
    S: hyper::service::HttpService<Incoming, ResBody = Marked, Future = F, Error = Infallible>,
    F: Future<Output = Result<Response<Marked>, Infallible>> + Send + 'static,
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
{
    fn wind_up(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

async fn attend(
    connection: impl Conversation,
    pace: &mut Pace,
    tally: &Tally,
    farewell: impl Future<Output = ()>,
    stop: &mut watch::Receiver<bool>,
) {
    let (mut connection, mut farewell) = (std::pin::pin!(connection), std::pin::pin!(farewell));
    let mut is_ending = false;
    loop {
        tokio::select! {
            biased;
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection ended early");
                }
                return;
            }
            overdue = pace.overdue() => {
                tally.count_overdue(overdue);
                if is_ending || overdue != Overdue::Idle {
                    return tracing::debug!(?overdue, "ended a connection that is too slow");
                }
            }
            () = &mut farewell, if !is_ending => {
                connection.as_mut().wind_up();
                if tokio::time::timeout(FAREWELL_TIMEOUT, connection).await.is_err() {
                    tracing::debug!("ended a connection whose guest did not leave");
                }
                return;
            }
            () = stopped(stop), if !is_ending => {}
        }
        connection.as_mut().wind_up();
        is_ending = true;
    }
}

/// Reads until it is known what is spoken.
async fn first_bytes(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<(Protocol, Zeroizing<Vec<u8>>)> {
    let mut first = Zeroizing::new(Vec::with_capacity(FIRST_BYTES));
    loop {
        if stream.read_buf(&mut *first).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let compared = first.len().min(PREFACE.len());
        if first[..compared] != PREFACE[..compared] {
            return Ok((Protocol::Http1, first));
        }
        if compared == PREFACE.len() {
            return Ok((Protocol::Http2, first));
        }
    }
}

/// What a caller gets who has all his connections already, without waiting for what he asks.
pub fn full_house(peer: Peer) -> Vec<u8> {
    let message = match peer {
        Peer::Account(_) => {
            format!("your account has {CONNECTIONS_PER_ACCOUNT_MAX} connections open: let one of them end")
        }
        Peer::Source(_) => {
            format!("your address has {CONNECTIONS_PER_SOURCE_MAX} connections open: let one of them end")
        }
    };
    let (_, body) = error_reply(ErrorCode::Unavailable, message).into_parts();
    let body = body.into_inner().unwrap_or_default();
    let head = "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nconnection: close\r\n";
    let mut answer = format!("{head}content-length: {}\r\n\r\n", body.len()).into_bytes();
    answer.extend_from_slice(&body);
    answer
}

/// A reply's body, with the mark of its request until it has left.
struct Marked {
    body: Full<Bytes>,
    _mark: Mark,
}

impl Body for Marked {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A stream that tells what comes and what does not leave.
struct Watched<S> {
    stream: S,
    /// Read already, and read again before all else.
    first: Zeroizing<Vec<u8>>,
    /// For HTTP/1.1, whose requests end where their heads say.
    heads: Option<Heads>,
    marks: Arc<Marks>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        if this.first.is_empty() {
            ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
            if buffer.filled().len() > before {
                this.marks.note_read();
            }
        } else {
            let count = this.first.len().min(buffer.remaining());
            buffer.put_slice(&this.first[..count]);
            this.first[..count].zeroize();
            this.first.drain(..count);
        }
        if let Some(heads) = &mut this.heads {
            heads.look(&mut buffer.filled_mut()[before..]);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.noting(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.noting(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.marks.note_writing(flushed.is_pending());
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(context);
        self.noting(shut)
    }
}

impl<S> Watched<S> {
    /// Only a flush tells that all has left: a write may take a part.
    fn noting<T>(&self, done: Poll<T>) -> Poll<T> {
        if done.is_pending() {
            self.marks.note_writing(true);
        }
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // covers: I05
    #[test]
    fn who_has_all_his_connections_is_told_so() {
        let answer = String::from_utf8(full_house(Peer::Account(1_000))).unwrap();
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");
        assert!(body.contains("your account has 8 connections open"), "{body}");
        let answer = String::from_utf8(full_house(Peer::Source([192, 0, 2, 1].into()))).unwrap();
        assert!(answer.contains("your address has 128 connections open"), "{answer}");
    }
}
