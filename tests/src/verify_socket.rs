//! One code, one verdict: `POST /v1/verify` on a connection that is kept open.

use std::borrow::Cow;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use wire::verify::{VERIFY_PATH, Verified, Verify};

use crate::history::Answer;
use crate::login_socket::{Login, random_id};

/// Longest wait for a verdict: as long as the PAM module waits for a whole login.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// A connection to the login socket.
pub struct VerifyConnection {
    stream: UnixStream,
    /// What has been read and belongs to the next reply.
    rest: Vec<u8>,
}

impl VerifyConnection {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens.
    pub fn open() -> io::Result<Self> {
        let stream = UnixStream::connect(wire::LOGIN_SOCKET)?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
        Ok(Self { stream, rest: Vec::new() })
    }

    /// Asks about one code, and waits for the verdict.
    ///
    /// # Errors
    /// When no verdict comes, or one about something else.
    pub fn verify(&mut self, login: &Login, code: &str) -> io::Result<Answer> {
        let id = random_id()?;
        self.ask(login, code, &id)?;
        self.answer(login, code, &id)
    }

    /// Asks about one code, and does not wait.
    ///
    /// * `id`: 32 lower-case hexadecimal digits; the same again is a retry.
    ///
    /// # Errors
    /// When the daemon does not take it.
    pub fn ask(&mut self, login: &Login, code: &str, id: &str) -> io::Result<()> {
        let asked = Verify {
            request_id: Cow::Borrowed(id),
            user: Cow::Borrowed(&login.user),
            service: Cow::Borrowed(&login.service),
            rhost: login.rhost.as_deref().map(Cow::Borrowed),
            code: Cow::Borrowed(code),
        };
        let body = serde_json::to_vec(&asked)?;
        let head = format!(
            "POST {VERIFY_PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        self.stream.write_all(&[head.as_bytes(), &body].concat())
    }

    /// The next verdict.
    ///
    /// # Errors
    /// As [`Self::verify`].
    pub fn answer(&mut self, login: &Login, code: &str, id: &str) -> io::Result<Answer> {
        let body = self.body()?;
        let told: Verified<'_> = serde_json::from_slice(&body)?;
        if told.request_id != id || told.user != login.user || told.service != login.service {
            return Err(io::Error::other("a verdict about something else"));
        }
        let (verdict, reference) = (told.verdict, told.reference);
        Ok(Answer { user: login.user.clone(), code: code.to_owned(), verdict, reference })
    }

    /// The body of the next reply, whose status is 200.
    fn body(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some((status, from, to)) = extent(&self.rest)? {
                if status != 200 {
                    let text = String::from_utf8_lossy(&self.rest[from..to]).into_owned();
                    return Err(io::Error::other(format!("status {status}: {text}")));
                }
                let after = self.rest.split_off(to);
                let mut reply = std::mem::replace(&mut self.rest, after);
                return Ok(reply.split_off(from));
            }
            let mut piece = [0; 4096];
            let read = self.stream.read(&mut piece)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.rest.extend_from_slice(&piece[..read]);
        }
    }
}

/// The status of a whole reply, and where its body begins and ends; none while more is to come.
fn extent(reply: &[u8]) -> io::Result<Option<(u16, usize, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(from) = response.parse(reply).map_err(io::Error::other)? else {
        return Ok(None);
    };
    let length = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length = length.and_then(|header| std::str::from_utf8(header.value).ok()?.parse::<usize>().ok());
    let to = from + length.ok_or_else(|| io::Error::other("a reply without a length"))?;
    Ok((reply.len() >= to).then_some((response.code.unwrap_or_default(), from, to)))
}
