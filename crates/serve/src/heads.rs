//! Where requests of HTTP/1.1 end: a head that another reader could take to end elsewhere is not passed on.
//!
//! The library forgives what its standard lets it forgive: equal lengths said twice (RFC 9110 §8.6), lines that end in a
//! bare line feed (RFC 9112 §2.2), a length beside chunks (§6.3). Whoever stands between a caller and us may read such a
//! head otherwise, and take for one request what we take for two. So the bytes are looked at on their way: of a doubtful
//! head one byte becomes NUL, which no head may hold, and the library answers 400 and closes.

/// Bytes of a line that are looked at: a name, a colon, some space and the digits of a length.
const LINE_BYTES: usize = 64;

/// What no head may hold.
const WRONG: u8 = 0;

/// The heads on one connection.
#[derive(Debug, Default)]
pub struct Heads {
    part: Part,
    /// Lines of the head so far; the first is the request's.
    lines: usize,
    line: Line,
    length: Option<u64>,
    is_chunked: bool,
}

/// What comes next.
#[derive(Debug, Default)]
enum Part {
    /// A head, or more of it.
    #[default]
    Head,
    /// So many bytes of a body.
    Body(u64),
    /// Nothing that matters: the connection ends with this request.
    Last,
}

/// The beginning of a line, as far as it has come.
#[derive(Debug)]
struct Line {
    start: [u8; LINE_BYTES],
    length: usize,
    /// Its last byte so far.
    last: u8,
}

impl Default for Line {
    fn default() -> Self {
        Self { start: [0; LINE_BYTES], length: 0, last: 0 }
    }
}

impl Line {
    fn push(&mut self, bytes: &[u8]) {
        let Some(last) = bytes.last() else { return };
        let from = self.length.min(LINE_BYTES);
        let count = bytes.len().min(LINE_BYTES - from);
        self.start[from..from + count].copy_from_slice(&bytes[..count]);
        (self.length, self.last) = (self.length + bytes.len(), *last);
    }

    /// Its name and its value, as far as they are kept.
    fn field(&self) -> Option<(&[u8], &[u8])> {
        let kept = &self.start[..self.length.min(LINE_BYTES)];
        let colon = kept.iter().position(|byte| *byte == b':')?;
        Some((&kept[..colon], &kept[colon + 1..]))
    }
}

impl Heads {
    /// Looks at what came, and spoils it where it is in doubt.
    pub fn look(&mut self, mut bytes: &mut [u8]) {
        while !bytes.is_empty() {
            match &mut self.part {
                Part::Last => return,
                Part::Body(left) => {
                    let count = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    *left -= count as u64;
                    if *left == 0 {
                        self.part = Part::Head;
                    }
                    bytes = &mut bytes[count..];
                }
                Part::Head => {
                    let end = memchr::memchr(b'\n', bytes);
                    self.line.push(&bytes[..end.unwrap_or(bytes.len())]);
                    let Some(end) = end else { return };
                    if self.end_line().is_none() {
                        bytes[end] = WRONG;
                        self.part = Part::Last;
                    }
                    bytes = &mut bytes[end + 1..];
                }
            }
        }
    }

    /// `None` where the line is in doubt.
    fn end_line(&mut self) -> Option<()> {
        let line = std::mem::take(&mut self.line);
        if line.last != b'\r' {
            return None;
        }
        if line.length == 1 {
            return self.end_head();
        }
        self.lines += 1;
        let Some((name, value)) = line.field().filter(|_| self.lines > 1) else { return Some(()) };
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.is_chunked = true;
        }
        if name.eq_ignore_ascii_case(b"content-length") {
            // What is no number the library refuses itself.
            let text = str::from_utf8(value).ok().filter(|_| line.length <= LINE_BYTES)?;
            let length = text.trim().parse().unwrap_or(0);
            if self.length.replace(length).is_some() {
                return None;
            }
        }
        Some(())
    }

    /// `None` where the head is in doubt.
    fn end_head(&mut self) -> Option<()> {
        // An empty line in front of a request is passed over (RFC 9112 §2.2).
        if self.lines == 0 {
            return Some(());
        }
        let Self { length, is_chunked, .. } = std::mem::take(self);
        self.part = match (length, is_chunked) {
            (Some(_), true) => return None,
            // Chunks end their connection: see `connection::answer`.
            (None, true) => Part::Last,
            (None | Some(0), false) => Part::Head,
            (Some(length), false) => Part::Body(length),
        };
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is passed on, told as a whole and byte by byte.
    fn passed(bytes: &str) -> String {
        let whole = {
            let mut bytes = bytes.as_bytes().to_vec();
            Heads::default().look(&mut bytes);
            bytes
        };
        let (mut heads, mut single) = (Heads::default(), bytes.as_bytes().to_vec());
        single.chunks_mut(1).for_each(|byte| heads.look(byte));
        assert_eq!(whole, single, "{bytes:?}");
        String::from_utf8(whole).unwrap()
    }

    // covers: F09
    #[test]
    fn a_head_that_leaves_no_doubt_is_passed_on_whatever_its_body_holds() {
        let post = "POST / HTTP/1.1\r\n";
        for request in [
            format!("{post}content-length: 4\r\n\r\n{{\n\n}}{post}\r\n"),
            format!(
                "\r\n{post}Content-Length:0\r\n\r\n{post}x: content-length: 1\r\ncontent-length: 1\r\n\r\n\n"
            ),
            format!("{post}transfer-encoding: chunked\r\n\r\n1\n{post}"),
            format!("GET /a:b HTTP/1.1\r\nx: {}\r\n\r\n", "long".repeat(100)),
        ] {
            assert_eq!(passed(&request), request);
        }
    }

    // covers: F09
    #[test]
    fn of_a_head_in_doubt_a_byte_is_wrong_before_it_ends() {
        let post = "POST / HTTP/1.1\r\n";
        for head in [
            "content-length: 1\r\ncontent-length: 1\r\n\r\n",
            "x: a\ncontent-length: 1\r\n\r\n",
            "content-length: 1\r\n\n",
            "content-length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "transfer-encoding: chunked\r\nContent-length:1\r\n\r\n",
        ] {
            assert!(passed(&format!("{post}{head}")).contains('\0'), "{head:?}");
        }
        let spaces = " ".repeat(LINE_BYTES);
        assert!(passed(&format!("{post}content-length:{spaces}1\r\n\r\n")).contains('\0'));
        // The second request is looked at like the first.
        let second = format!("{post}content-length: 1\r\n\r\n\n{post}x: a\n\r\n");
        assert!(passed(&second).ends_with("x: a\0\r\n"));
    }
}
