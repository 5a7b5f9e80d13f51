//! What a directory sends, looked at before the library sees it: whole messages of bounded size whose parts lie within each
//! other, not deep. The library's decoder calls itself for each level, and its search keeps whatever comes.
//!
//! It looks at the form alone (X.690 §8.1, with the lengths of RFC 4511 §5.1); what a message says, the library reads.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, split};
use tokio::net::UnixStream;

/// Longest message. An entry shows some twenty short attributes and the groups of a person: 1,024 of them, which is all that
/// is looked at, with names of 250 bytes are 256 KiB.
pub(super) const MESSAGE_BYTES_MAX: usize = 512 * 1024;

/// All messages of one connection, which asks once: the persons of an account, 256 of them, with 32 KiB each.
const ANSWERS_BYTES_MAX: usize = 8 * 1024 * 1024;

/// How deep parts may lie within each other. A value of an entry is the sixth: message, entry, attributes, attribute, values,
/// value. Those of controls are less deep.
const DEPTH_MAX: usize = 16;

/// Bytes that are read at once: one record of TLS.
const CHUNK_BYTES: usize = 16 * 1024;

/// The universal tag of a sequence, which each message is.
const SEQUENCE: u8 = 0x30;

/// The bit of a tag that says that there are parts inside.
const CONSTRUCTED: u8 = 0x20;

/// A tag that says that its number follows in further bytes: LDAP has none.
const LONG_TAG: u8 = 0x1f;

/// Why what came goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    /// No message begins so, or its parts do not fit into it.
    #[error("what the directory sent is no LDAP")]
    NoLdap,
    /// One message is too long.
    #[error("the directory sent a message of more than {MESSAGE_BYTES_MAX} bytes")]
    TooLong,
    /// All are too much.
    #[error("the directory sent more than {ANSWERS_BYTES_MAX} bytes")]
    TooMuch,
    /// Its parts lie too deep within each other.
    #[error("the directory sent a message with more than {DEPTH_MAX} levels")]
    TooDeep,
}

impl From<Fault> for io::Error {
    fn from(fault: Fault) -> Self {
        Self::new(io::ErrorKind::InvalidData, fault)
    }
}

/// One part of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) tag: u8,
    /// Bytes before what it holds.
    head: usize,
    /// Bytes that it holds.
    length: usize,
}

impl Part {
    /// The part that begins here; `None` where more bytes are needed to say.
    fn at(bytes: &[u8]) -> Result<Option<Self>, Fault> {
        let &[tag, first, ref rest @ ..] = bytes else { return Ok(None) };
        if tag & LONG_TAG == LONG_TAG {
            return Err(Fault::NoLdap);
        }
        let more = match first {
            0..=0x7f => return Ok(Some(Self { tag, head: 2, length: first.into() })),
            // Of more bytes the length is too long, of none it is not said.
            0x81..=0x84 => usize::from(first - 0x80),
            _ => return Err(Fault::NoLdap),
        };
        let Some(length) = rest.get(..more) else { return Ok(None) };
        let length = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
        Ok(Some(Self { tag, head: 2 + more, length }))
    }

    fn end(self) -> usize {
        self.head + self.length
    }

    /// The part that a text begins with, what it holds, and what follows it.
    pub(super) fn split(bytes: &[u8]) -> Option<(Self, &[u8], &[u8])> {
        let part = Self::at(bytes).ok()??;
        let (whole, rest) = bytes.split_at_checked(part.end())?;
        Some((part, &whole[part.head..], rest))
    }
}

/// The length of the message that begins here, when it is there as a whole.
///
/// # Errors
/// When it can become none that is taken.
pub(super) fn message(bytes: &[u8]) -> Result<Option<usize>, Fault> {
    if bytes.first().is_some_and(|tag| *tag != SEQUENCE) {
        return Err(Fault::NoLdap);
    }
    let Some(part) = Part::at(bytes)? else { return Ok(None) };
    if part.end() > MESSAGE_BYTES_MAX {
        return Err(Fault::TooLong);
    }
    let Some(whole) = bytes.get(..part.end()) else { return Ok(None) };
    check_parts(whole)?;
    Ok(Some(whole.len()))
}

/// Walks through all parts, without calling itself.
fn check_parts(message: &[u8]) -> Result<(), Fault> {
    let mut ends = Vec::with_capacity(DEPTH_MAX);
    let mut at = 0;
    while at < message.len() {
        let within = ends.last().copied().unwrap_or(message.len());
        if at == within {
            ends.pop();
            continue;
        }
        let part = Part::at(&message[at..within])?.ok_or(Fault::NoLdap)?;
        let end = at + part.end();
        if end > within {
            return Err(Fault::NoLdap);
        }
        if part.tag & CONSTRUCTED == 0 {
            at = end;
        } else if ends.len() < DEPTH_MAX {
            ends.push(end);
            at += part.head;
        } else {
            return Err(Fault::TooDeep);
        }
    }
    Ok(())
}

/// Carries questions of the library to the directory and answers back, until either side closes.
pub(super) async fn carry(directory: impl AsyncRead + AsyncWrite, library: UnixStream) {
    let (mut answers, mut questions) = split(directory);
    let (mut asked, mut answered) = library.into_split();
    let asking = async {
        tokio::io::copy(&mut asked, &mut questions).await?;
        questions.shutdown().await
    };
    let ended = tokio::select! {
        ended = asking => ended,
        ended = pass(&mut answers, &mut answered) => ended,
    };
    match ended {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            tracing::warn!(%error, "what the directory sent is not looked at");
        }
        Err(error) => tracing::debug!(%error, "a connection to the directory ended"),
        Ok(()) => {}
    }
}

/// Passes whole messages on.
async fn pass(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) -> io::Result<()> {
    let (mut waiting, mut all) = (Vec::new(), 0);
    loop {
        waiting.reserve(CHUNK_BYTES);
        let read = from.read_buf(&mut waiting).await?;
        if read == 0 {
            return Ok(());
        }
        all += read;
        if all > ANSWERS_BYTES_MAX {
            return Err(Fault::TooMuch.into());
        }
        let mut passed = 0;
        while let Some(length) = message(&waiting[passed..])? {
            to.write_all(&waiting[passed..passed + length]).await?;
            passed += length;
        }
        waiting.drain(..passed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A part with what it holds.
    fn part(tag: u8, held: &[u8]) -> Vec<u8> {
        let length = u32::try_from(held.len()).unwrap().to_be_bytes();
        [&[tag, 0x84][..], &length, held].concat()
    }

    /// A message whose parts lie so deep within each other; the innermost holds nothing.
    fn nested(depth: usize) -> Vec<u8> {
        (0..depth).fold(Vec::new(), |held, _| part(SEQUENCE, &held))
    }

    // covers: E5
    #[test]
    fn a_message_is_passed_when_it_is_whole() {
        // The end of a search: as OpenLDAP writes it, and with lengths as Active Directory does.
        let short = b"\x30\x0c\x02\x01\x01\x65\x07\x0a\x01\x00\x04\x00\x04\x00".to_vec();
        let done = part(0x65, &[part(0x0a, b"\0"), part(0x04, b""), part(0x04, b"")].concat());
        let long = part(SEQUENCE, &[part(0x02, b"\x01"), done].concat());
        for whole in [short, long] {
            for cut in 0..whole.len() {
                assert_eq!(message(&whole[..cut]), Ok(None), "{cut}");
            }
            let followed = [&whole[..], b"\x30"].concat();
            assert_eq!((message(&whole), message(&followed)), (Ok(Some(whole.len())), Ok(Some(whole.len()))));
        }
    }

    // covers: E5
    #[test]
    fn what_is_too_deep_or_too_long_goes_no_further() {
        let deep = nested(DEPTH_MAX);
        assert_eq!(message(&deep), Ok(Some(deep.len())));
        assert_eq!(message(&nested(DEPTH_MAX + 1)), Err(Fault::TooDeep));
        assert_eq!(message(&nested(50_000)), Err(Fault::TooDeep));
        let length = |bytes: usize| part(SEQUENCE, &part(0x04, &vec![0; bytes - 12]));
        assert_eq!(message(&length(MESSAGE_BYTES_MAX)), Ok(Some(MESSAGE_BYTES_MAX)));
        assert_eq!(message(b"\x30\x84\x00\x08\x00\x00"), Err(Fault::TooLong), "before it has come");
        assert_eq!(message(b"\x30\x84\xff\xff\xff\xff"), Err(Fault::TooLong));
    }

    // covers: E5
    #[test]
    fn parts_that_do_not_fit_are_no_ldap() {
        for bytes in [
            // Text, and TLS where none is.
            &b"HTTP/1.1 400"[..],
            b"\x16\x03\x01\x00",
            // A length that is not said, and lengths of five bytes and more.
            b"\x30\x80\x02\x01\x01\x00\x00",
            b"\x30\x85\x00\x00\x00\x00\x01",
            b"\x30\xff",
            // Parts that end behind what they lie in, or have no length.
            b"\x30\x03\x02\x02\x01",
            b"\x30\x05\x30\x02\x02\x01\x01",
            b"\x30\x01\x02",
            b"\x30\x02\x30\x82",
            // A tag of several bytes.
            b"\x30\x03\x1f\x01\x00",
        ] {
            assert_eq!(message(bytes), Err(Fault::NoLdap), "{bytes:x?}");
        }
        assert_eq!(message(b"\x30\x00"), Ok(Some(2)), "what a message says is not looked at");
    }

    // covers: E5
    #[tokio::test]
    async fn what_is_not_in_order_and_all_behind_it_reaches_nobody() {
        let good = part(SEQUENCE, &part(0x04, b"x"));
        let sent = [&good[..], &good, &nested(100), &good].concat();
        let mut passed = Vec::new();
        let ended = pass(&sent[..], &mut passed).await.unwrap_err();
        assert_eq!(ended.to_string(), Fault::TooDeep.to_string());
        assert_eq!(passed, [&good[..], &good].concat());
        let endless = part(SEQUENCE, &part(0x04, &vec![0; 64 * 1024])).repeat(200);
        let ended = pass(&endless[..], &mut passed).await.unwrap_err();
        assert_eq!(ended.to_string(), Fault::TooMuch.to_string());
        assert!(passed.len() < ANSWERS_BYTES_MAX);
    }
}
