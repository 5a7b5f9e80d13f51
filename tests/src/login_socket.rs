//! The login socket as the PAM module uses it, for tests that need many logins at one instant.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use wire::login::{BEGIN_PATH, Begin, CONTINUE_PATH, Continue, Next, Reply, Verdict};

/// Longest wait for an answer; the module's own is 20 s.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// What a login begins with.
#[derive(Clone, Debug)]
pub struct Login {
    /// The Unix account.
    pub user: String,
    /// The PAM service.
    pub service: String,
    /// Where from.
    pub rhost: Option<String>,
    /// Which socket is asked.
    socket: PathBuf,
}

impl Login {
    /// A login by ssh from 192.0.2.1.
    pub fn by_ssh(user: &str) -> Self {
        let (user, service, rhost) = (user.to_owned(), "sshd".to_owned(), Some("192.0.2.1".to_owned()));
        Self { user, service, rhost, socket: wire::LOGIN_SOCKET.into() }
    }

    /// The same through another socket, such as that of an agent.
    pub fn through(self, socket: PathBuf) -> Self {
        Self { socket, ..self }
    }

    /// The same from elsewhere.
    pub fn from(self, rhost: &str) -> Self {
        Self { rhost: Some(rhost.to_owned()), ..self }
    }

    /// The same for another service.
    pub fn to(self, service: &str) -> Self {
        Self { service: service.to_owned(), ..self }
    }

    /// Begins a dialogue.
    ///
    /// # Errors
    /// When the daemon does not answer, or not with a reply.
    pub fn begin(&self) -> io::Result<Dialogue> {
        let begin = Begin {
            api_version: wire::API_VERSION,
            request_id: random_id()?,
            user: self.user.clone(),
            service: self.service.clone(),
            rhost: self.rhost.clone(),
            ruser: None,
            // Not "ssh", so that a refusal comes at once and not as one more question.
            tty: Some("/dev/pts/0".to_owned()),
            columns: None,
            session: None,
            offline_grant_until: None,
        };
        Ok(Dialogue { reply: post(&self.socket, BEGIN_PATH, &begin)?, socket: self.socket.clone() })
    }

    /// A whole login with one answer.
    ///
    /// # Errors
    /// When the daemon does not answer.
    pub fn attempt(&self, answer: &str) -> io::Result<Reply> {
        self.begin()?.answer(answer)
    }

    /// A whole login with one answer, and its verdict.
    ///
    /// # Panics
    /// When the daemon does not answer, or asks again.
    pub fn verdict(&self, answer: &str) -> Verdict {
        let reply = self.attempt(answer).expect("an answer");
        verdict(&reply)
    }
}

/// A dialogue that waits for an answer, or is over.
#[derive(Clone, Debug)]
pub struct Dialogue {
    /// The last reply.
    pub reply: Reply,
    socket: PathBuf,
}

impl Dialogue {
    /// Answers the one question, where another may follow.
    ///
    /// # Panics
    /// When the daemon does not answer.
    #[track_caller]
    pub fn follow(&self, answer: &str) -> Self {
        Self { reply: self.answer(answer).expect("an answer"), socket: self.socket.clone() }
    }

    /// What is asked.
    ///
    /// # Panics
    /// When the dialogue is over.
    #[track_caller]
    pub fn question(&self) -> &str {
        match &self.reply.next {
            Next::Ask { questions, .. } => &questions[0].text,
            Next::Done { .. } => panic!("decided instead of asking: {:?}", self.reply),
        }
    }

    /// Answers the one question. A dialogue that is over stays so.
    ///
    /// # Errors
    /// When the daemon does not answer.
    pub fn answer(&self, answer: &str) -> io::Result<Reply> {
        match &self.reply.next {
            Next::Done { .. } => Ok(self.reply.clone()),
            Next::Ask { state, .. } => {
                let request = Continue {
                    api_version: wire::API_VERSION,
                    request_id: random_id()?,
                    state: state.clone(),
                    answers: vec![answer.to_owned()],
                };
                post(&self.socket, CONTINUE_PATH, &request)
            }
        }
    }
}

/// The verdict of a reply.
///
/// # Panics
/// When it asks instead.
pub fn verdict(reply: &Reply) -> Verdict {
    match &reply.next {
        Next::Done { verdict, .. } => *verdict,
        Next::Ask { questions, .. } => panic!("asked {questions:?} instead of deciding"),
    }
}

/// The reference of a reply that decides.
///
/// # Panics
/// When it asks instead.
pub fn reference(reply: &Reply) -> String {
    match &reply.next {
        Next::Done { reference, .. } => reference.clone(),
        Next::Ask { questions, .. } => panic!("asked {questions:?} instead of deciding"),
    }
}

fn post(socket: &Path, path: &str, body: &impl Serialize) -> io::Result<Reply> {
    let body = serde_json::to_vec(body)?;
    let answer = exchange(socket, path, &body)?;
    serde_json::from_slice(&answer).map_err(io::Error::other)
}

/// One request on a connection of its own; returns the body of a 200.
///
/// # Errors
/// When the socket cannot be used, or the status is another.
pub fn exchange(socket: &Path, path: &str, body: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body].concat())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let parsed = response.parse(&answer).map_err(io::Error::other)?;
    let code = response.code;
    let httparse::Status::Complete(start) = parsed else {
        return Err(io::ErrorKind::UnexpectedEof.into());
    };
    let body = answer.split_off(start);
    match code {
        Some(200) => Ok(body),
        code => Err(io::Error::other(format!("status {code:?}: {}", String::from_utf8_lossy(&body)))),
    }
}

/// 32 lower-case hexadecimal digits, random: the id of a request.
///
/// # Errors
/// When the kernel gives none.
pub fn random_id() -> io::Result<String> {
    let mut bytes = [0; 16];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(data_encoding::HEXLOWER.encode(&bytes))
}
