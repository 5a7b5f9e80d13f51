//! Requests made beforehand, one after the other in memory.

use std::fmt::Write as _;

use hyper::body::Bytes;
use otp_core::OtpKey;

use super::{CONNECTIONS, KEY, THREADS};
use crate::population::{name, scattered};

/// How verifications travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    /// One request, one reply.
    Single,
    /// This many requests in one write; their replies are awaited together.
    Pipelined(usize),
    /// One request with this many items.
    Batch(usize),
    /// HTTP/2: this many requests on their way on each connection, of which there are [`STREAMING`].
    Streams(usize),
}

/// Keep-alive connections of HTTP/2, over all threads: a gateway's few, each of which carries many requests at once.
pub const STREAMING: usize = 8;

/// What opens a body.
const HEAD_END: &[u8] = b"\r\n\r\n";

impl Shape {
    /// Verifications in one write.
    pub fn items(self) -> usize {
        match self {
            Self::Single | Self::Streams(_) => 1,
            Self::Pipelined(count) | Self::Batch(count) => count,
        }
    }

    /// Replies to one write.
    fn replies(self) -> usize {
        match self {
            Self::Single | Self::Batch(_) | Self::Streams(_) => 1,
            Self::Pipelined(count) => count,
        }
    }

    /// Connections that carry it, over all threads.
    fn connections(self) -> usize {
        match self {
            Self::Single | Self::Batch(_) | Self::Pipelined(_) => CONNECTIONS,
            Self::Streams(_) => STREAMING,
        }
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Single => write!(f, "one at a time"),
            Self::Pipelined(count) => write!(f, "{count} pipelined"),
            Self::Batch(count) => write!(f, "batches of {count}"),
            Self::Streams(count) => write!(f, "HTTP/2 with {STREAMING} connections of {count} streams"),
        }
    }
}

/// Writes in a row, all of one length.
#[derive(Clone, Debug)]
pub struct Deck {
    bytes: Bytes,
    /// Bytes of one write.
    length: usize,
    /// How many writes there are; those of a hello come again and again.
    writes: usize,
    /// Replies to one write.
    pub(super) replies: usize,
    /// Verifications in one write.
    pub(super) items: usize,
    /// Keep-alive connections, over all threads.
    connections: usize,
    /// Whether each item's verdict must be `allow`; a hello has none.
    pub(super) has_verdicts: bool,
}

impl Deck {
    /// Endless hellos.
    pub fn hello(shape: Shape) -> Self {
        let bytes = Bytes::from(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(shape.replies()));
        Self::new(shape, bytes, usize::MAX, false)
    }

    /// Writes of one length, the first of which begins the bytes.
    ///
    /// * `writes`: how many; more than there are bytes for come again.
    fn new(shape: Shape, bytes: Bytes, writes: usize, has_verdicts: bool) -> Self {
        let length = bytes.len().checked_div(if has_verdicts { writes } else { 1 }).unwrap_or_default();
        let (replies, items, connections) = (shape.replies(), shape.items(), shape.connections());
        Self { bytes, length, writes, replies, items, connections, has_verdicts }
    }

    /// The same over fewer connections.
    ///
    /// * `connections`: over all threads; at least one for each.
    #[must_use]
    pub fn over(self, connections: usize) -> Self {
        Self { connections, ..self }
    }

    /// Endless requests that are as long as a verification, to a server that looks at no code.
    pub fn like_codes(keys: &[OtpKey]) -> Self {
        Self { writes: usize::MAX, ..Self::codes(Shape::Single, keys, 1, 0, keys.len().min(1_000)) }
    }

    /// Right codes of one time step, each of another user.
    ///
    /// * `keys`: of all users of the population.
    /// * `first`: position in the round over all users; the deck ends with the round at the latest.
    /// * `items`: about how many.
    pub fn codes(shape: Shape, keys: &[OtpKey], step: u64, first: u64, items: usize) -> Self {
        let round = keys.len() as u64;
        let left = usize::try_from(round - first % round).unwrap_or(usize::MAX);
        let writes = items.min(left) / shape.items();
        let share = writes.div_ceil(THREADS);
        let parts: Vec<Vec<u8>> = std::thread::scope(|scope| {
            let write = |thread: usize| {
                let numbers = thread * share..writes.min((thread + 1) * share);
                move || numbers.flat_map(|number| one(shape, keys, step, first, number)).collect()
            };
            let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(write(thread))).collect();
            threads.into_iter().map(|thread| thread.join().expect("a deck's thread")).collect()
        });
        Self::new(shape, Bytes::from(parts.concat()), writes, true)
    }

    /// How many verifications there are.
    pub fn len(&self) -> usize {
        self.writes.saturating_mul(self.items)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.writes == 0
    }

    /// Connections of one of the client's threads.
    pub(super) fn connections_each(&self) -> usize {
        self.connections.div_ceil(THREADS)
    }

    /// One write after the other for one of the client's threads.
    pub(super) fn share(&self, thread: usize) -> impl Iterator<Item = &[u8]> {
        self.starts(thread).map(|start| &self.bytes[start..start + self.length])
    }

    /// The same without the heads of requests, for a client that has its own: each is one request.
    pub(super) fn bodies(&self, thread: usize) -> impl Iterator<Item = Bytes> {
        let first = &self.bytes[..self.length];
        let head = first.windows(HEAD_END.len()).position(|bytes| bytes == HEAD_END);
        // All are of one length, and so are their heads.
        let head = head.map_or(self.length, |at| at + HEAD_END.len());
        self.starts(thread).map(move |start| self.bytes.slice(start + head..start + self.length))
    }

    /// Where the writes of one thread begin.
    fn starts(&self, thread: usize) -> impl Iterator<Item = usize> {
        let there = self.bytes.len().checked_div(self.length).unwrap_or_default().max(1);
        (thread..self.writes).step_by(THREADS).map(move |number| number % there * self.length)
    }
}

fn one(shape: Shape, keys: &[OtpKey], step: u64, first: u64, number: usize) -> Vec<u8> {
    let items = (0..shape.items()).map(|item| {
        let position = first + (number * shape.items() + item) as u64;
        body(keys, step, position)
    });
    match shape {
        Shape::Single | Shape::Pipelined(_) | Shape::Streams(_) => {
            items.flat_map(|body| request(wire::verify::VERIFY_PATH, &body)).collect()
        }
        Shape::Batch(_) => {
            let items: Vec<String> = items.collect();
            request(wire::verify::BATCH_PATH, &format!("{{\"items\":[{}]}}", items.join(",")))
        }
    }
}

fn request(path: &str, body: &str) -> Vec<u8> {
    let head = format!("host: localhost\r\nauthorization: Bearer {KEY}\r\ncontent-type: application/json");
    format!("POST {path} HTTP/1.1\r\n{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn body(keys: &[OtpKey], step: u64, position: u64) -> String {
    let number = scattered(position, keys.len() as u64);
    let user = name(number);
    let key = &keys[usize::try_from(number).expect("an index")];
    let code = key.value(step);
    let mut text = String::with_capacity(128);
    // A string takes whatever is written.
    let _ = write!(
        text,
        "{{\"request_id\":\"{:016x}{:016x}\",\"user\":\"{user}\",\"service\":\"bench\",\"code\":\"{}\"}}",
        // Unlike each other, which is all that an id needs here.
        step.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number,
        number.wrapping_mul(0xd6e8_feb8_6659_fd93),
        code.expose().as_str()
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::population::key;

    fn keys() -> Vec<OtpKey> {
        (0..100).map(key).collect()
    }

    #[test]
    fn a_deck_holds_right_codes_of_different_users_and_ends_with_the_round() {
        let keys = keys();
        let deck = Deck::codes(Shape::Single, &keys, 50, 140, 1_000);
        assert_eq!((deck.len(), deck.items, deck.replies), (60, 1, 1));
        let mut users = std::collections::HashSet::new();
        for write in (0..THREADS).flat_map(|thread| deck.share(thread)) {
            let text = str::from_utf8(write).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            assert!(head.ends_with(&format!("content-length: {}", body.len())), "{head}");
            let asked: wire::verify::Verify<'_> = serde_json::from_str(body).unwrap();
            let number: usize = asked.user[1..].parse().unwrap();
            assert_eq!(asked.code, keys[number - 1].value(50).expose().as_str());
            assert_eq!(asked.request_id.len(), 32);
            assert!(users.insert(asked.user.into_owned()));
        }
        assert_eq!(users.len(), 60);
    }

    #[test]
    fn pipelined_and_batched_writes_hold_as_many_codes_as_they_say() {
        let keys = keys();
        let pipelined = Deck::codes(Shape::Pipelined(16), &keys, 50, 0, 100);
        assert_eq!((pipelined.len(), pipelined.replies), (96, 16));
        assert_eq!(pipelined.share(0).chain(pipelined.share(1)).count(), 6);
        let batch = Deck::codes(Shape::Batch(50), &keys, 50, 0, 100);
        let write = batch.share(1).next().unwrap();
        let (_, body) = str::from_utf8(write).unwrap().split_once("\r\n\r\n").unwrap();
        assert_eq!(serde_json::from_str::<wire::verify::Batch<'_>>(body).unwrap().items.len(), 50);
        let streams = Deck::codes(Shape::Streams(16), &keys, 50, 0, 100);
        assert_eq!((streams.len(), streams.connections_each()), (100, STREAMING / THREADS));
        let body = streams.bodies(1).next().unwrap();
        assert_eq!(serde_json::from_slice::<wire::verify::Verify<'_>>(&body).unwrap().service, "bench");
        assert_eq!(Deck::hello(Shape::Streams(16)).bodies(0).next().unwrap(), Bytes::new());
    }

    #[test]
    fn hellos_come_again_and_again() {
        let deck = Deck::hello(Shape::Pipelined(3));
        assert_eq!((deck.replies, deck.items), (3, 3));
        let write = deck.share(1).nth(5).unwrap();
        assert_eq!(write.windows(5).filter(|bytes| *bytes == b"GET /").count(), 3);
    }
}
