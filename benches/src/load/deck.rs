//! Requests made beforehand, one after the other in memory.

use std::fmt::Write as _;

use otp_core::OtpKey;

use super::{KEY, THREADS};
use crate::population::{name, scattered};

/// How verifications travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One request, one reply.
    Single,
    /// This many requests in one write; their replies are awaited together.
    Pipelined(usize),
    /// One request with this many items.
    Batch(usize),
}

impl Shape {
    /// Verifications in one write.
    pub fn items(self) -> usize {
        match self {
            Self::Single => 1,
            Self::Pipelined(count) | Self::Batch(count) => count,
        }
    }

    /// Replies to one write.
    fn replies(self) -> usize {
        match self {
            Self::Single | Self::Batch(_) => 1,
            Self::Pipelined(count) => count,
        }
    }
}

/// Writes in a row, all of one length.
#[derive(Clone, Debug)]
pub struct Deck {
    bytes: Vec<u8>,
    /// Bytes of one write.
    length: usize,
    /// How many writes there are; those of a hello come again and again.
    writes: usize,
    /// Replies to one write.
    pub(super) replies: usize,
    /// Verifications in one write.
    pub(super) items: usize,
    /// Whether each item's verdict must be `allow`; a hello has none.
    pub(super) has_verdicts: bool,
}

impl Deck {
    /// Endless hellos.
    pub fn hello() -> Self {
        let bytes = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n".to_vec();
        let length = bytes.len();
        Self { bytes, length, writes: usize::MAX, replies: 1, items: 1, has_verdicts: false }
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
        let bytes = parts.concat();
        let length = bytes.len().checked_div(writes).unwrap_or_default();
        Self { bytes, length, writes, replies: shape.replies(), items: shape.items(), has_verdicts: true }
    }

    /// How many verifications there are.
    pub fn len(&self) -> usize {
        self.writes.saturating_mul(self.items)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.writes == 0
    }

    /// One write after the other for one of the client's threads.
    pub(super) fn share(&self, thread: usize) -> impl Iterator<Item = &[u8]> {
        (thread..self.writes).step_by(THREADS).map(|number| {
            let start = number % (self.bytes.len() / self.length) * self.length;
            &self.bytes[start..start + self.length]
        })
    }
}

fn one(shape: Shape, keys: &[OtpKey], step: u64, first: u64, number: usize) -> Vec<u8> {
    let items = (0..shape.items()).map(|item| {
        let position = first + (number * shape.items() + item) as u64;
        body(keys, step, position)
    });
    match shape {
        Shape::Single | Shape::Pipelined(_) => {
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
    }
}
