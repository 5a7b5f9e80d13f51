//! One keep-alive connection: writes, and replies taken apart.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use super::{Address, Deck};

/// Bytes that are read at a time; the reply to the largest batch fits.
const BUFFER_BYTES: usize = 128 * 1024;

/// How an allowed item stands in a reply.
const ALLOWED: &[u8] = b"\"verdict\":\"allow\"";

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A connection that waits for replies, or for something to do.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    buffer: Vec<u8>,
    filled: usize,
    awaited: usize,
    allowed: usize,
    /// The newest reply with an item that was not let in.
    bad: String,
}

/// What a connection has after something was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Replies are still awaited.
    Waits,
    /// All replies to the last write are there.
    Answered {
        /// Verifications that were allowed, or hellos that were said.
        good: usize,
    },
}

impl Connection {
    /// Connects.
    pub fn open(address: &Address) -> io::Result<Self> {
        let stream = match address {
            Address::Tcp(address) => {
                let stream = TcpStream::connect(address)?;
                stream.set_nodelay(true)?;
                stream.set_nonblocking(true)?;
                Stream::Tcp(stream)
            }
            Address::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_nonblocking(true)?;
                Stream::Unix(stream)
            }
        };
        Ok(Self {
            stream,
            buffer: vec![0; BUFFER_BYTES],
            filled: 0,
            awaited: 0,
            allowed: 0,
            bad: String::new(),
        })
    }

    /// Sends one write of a deck. The last one must have been answered.
    pub fn send(&mut self, deck: &Deck, mut write: &[u8]) -> io::Result<()> {
        (self.awaited, self.allowed) = (deck.replies, 0);
        while !write.is_empty() {
            let sent = match &mut self.stream {
                Stream::Tcp(stream) => stream.write(write),
                Stream::Unix(stream) => stream.write(write),
            };
            match sent {
                Ok(count) => write = &write[count..],
                // A server that reads nothing while it has work: it will, since nothing else is on its way.
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads what is there.
    pub fn receive(&mut self, deck: &Deck) -> io::Result<Progress> {
        let free = &mut self.buffer[self.filled..];
        let read = match &mut self.stream {
            Stream::Tcp(stream) => stream.read(free),
            Stream::Unix(stream) => stream.read(free),
        };
        match read {
            Ok(0) => return Err(io::Error::new(ErrorKind::UnexpectedEof, "the server hung up")),
            Ok(count) => self.filled += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Progress::Waits),
            Err(error) => return Err(error),
        }
        let mut start = 0;
        while self.awaited > 0 {
            let Some((reply, good)) = take_reply(&self.buffer[start..self.filled], deck.has_verdicts)? else {
                break;
            };
            if good < deck.items / deck.replies {
                self.bad = shortened(&self.buffer[start..start + reply]);
            }
            start += reply;
            self.awaited -= 1;
            self.allowed += good;
        }
        self.buffer.copy_within(start..self.filled, 0);
        self.filled -= start;
        if self.awaited > 0 {
            return Ok(Progress::Waits);
        }
        Ok(Progress::Answered { good: self.allowed.min(deck.items) })
    }
}

impl Connection {
    /// The newest reply that let somebody not in.
    pub fn last_bad(&self) -> String {
        self.bad.clone()
    }
}

/// As much of a reply as a person reads: from where it first says something else than `allow`.
pub fn shortened(reply: &[u8]) -> String {
    /// Letters.
    const MOST: usize = 300;
    let text = String::from_utf8_lossy(reply);
    let body = text.split_once("\r\n\r\n").map_or(&*text, |(_, body)| body);
    let items = body.split("},{");
    let bad = items.filter(|item| !item.contains("\"verdict\":\"allow\"")).collect::<Vec<_>>().join(" ");
    bad.chars().take(MOST).collect()
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.stream {
            Stream::Tcp(stream) => stream.as_fd(),
            Stream::Unix(stream) => stream.as_fd(),
        }
    }
}

/// The length of the first reply and the good items in it; `None` while it is not all there.
fn take_reply(bytes: &[u8], has_verdicts: bool) -> io::Result<Option<(usize, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; 16];
    let mut reply = httparse::Response::new(&mut headers);
    let head = match reply.parse(bytes) {
        Ok(httparse::Status::Complete(head)) => head,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(io::Error::new(ErrorKind::InvalidData, error)),
    };
    let length = (reply.headers.iter())
        .find(|header| header.name.eq_ignore_ascii_case("content-length"))
        .and_then(|header| str::from_utf8(header.value).ok()?.parse::<usize>().ok())
        .ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "a reply without content-length"))?;
    let Some(body) = bytes.get(head..head + length) else { return Ok(None) };
    let good = match (reply.code, has_verdicts) {
        (Some(200), false) => 1,
        (Some(200), true) => body.split(|byte| *byte == b',').filter(|part| *part == ALLOWED).count(),
        _ => 0,
    };
    Ok(Some((head + length, good)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: &str, body: &str) -> Vec<u8> {
        format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
    }

    #[test]
    fn of_a_reply_that_lets_somebody_not_in_the_telling_part_is_kept() {
        let body =
            r#"{"items":[{"user":"a","verdict":"allow","reference":"A"},{"user":"b","verdict":"deny"}]}"#;
        assert_eq!(shortened(&reply("200 OK", body)), r#""user":"b","verdict":"deny"}]}"#);
        assert_eq!(shortened(&reply("503 Service Unavailable", "full")), "full");
    }

    #[test]
    fn only_whole_replies_that_allow_are_good() {
        let allowed = reply("200 OK", r#"{"request_id":"1","verdict":"allow","reference":"A"}"#);
        assert_eq!(take_reply(&allowed, true).unwrap(), Some((allowed.len(), 1)));
        assert_eq!(take_reply(&allowed[..allowed.len() - 1], true).unwrap(), None);
        let denied = reply("200 OK", r#"{"request_id":"1","verdict":"deny","reference":"A"}"#);
        assert_eq!(take_reply(&denied, true).unwrap(), Some((denied.len(), 0)));
        let failed = reply("503 Service Unavailable", r#"{"verdict":"allow","reference":"A"}"#);
        assert_eq!(take_reply(&failed, true).unwrap().unwrap().1, 0);
        let two = reply(
            "200 OK",
            r#"{"items":[{"user":"a","verdict":"allow","reference":"A"},{"verdict":"allow","reference":"B"}]}"#,
        );
        // The second verdict follows a brace, not a comma: real replies have the user before it.
        assert_eq!(take_reply(&two, true).unwrap().unwrap().1, 1);
        assert_eq!(take_reply(&reply("200 OK", "hello"), false).unwrap().unwrap().1, 1);
        assert!(take_reply(b"nonsense\r\n\r\n", false).is_err());
    }
}
