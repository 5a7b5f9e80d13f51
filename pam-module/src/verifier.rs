//! The client of the login protocol: one request per connection, one deadline for all of it.
//!
//! Trusts nobody but root at the other end, and believes a reply only if it is about this request. Decides
//! nothing about the login.

mod descriptor;
mod exchange;
mod http;
mod report;
mod socket_path;

use std::time::{Duration, Instant};

use rustix::io::Errno;
use wire::login::{Begin, Continue, Reply};
use zeroize::{Zeroize, Zeroizing};

use crate::fault::fault_point;
use crate::login::Login;
pub(crate) use descriptor::above_stdio;
pub(crate) use exchange::Deadline;
pub(crate) use report::report;
pub(crate) use socket_path::SocketPath;

/// Whoever answers the login protocol.
pub(crate) trait Verifier {
    /// Starts a dialogue.
    ///
    /// # Errors
    /// When no reply came that counts.
    fn begin(&mut self, login: &Login) -> Result<Reply, Failure>;

    /// Answers the questions of the last step. Wipes the answers.
    ///
    /// # Errors
    /// When no reply came that counts.
    fn answer(
        &mut self,
        login: &Login,
        state: String,
        answers: Vec<Zeroizing<String>>,
    ) -> Result<Reply, Failure>;
}

/// Why there is no reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The verifier is not there. The only one that `fail=open` concerns, but for a reply that was cut.
    Unavailable(Unavailable),
    /// An error status other than 503.
    Rejected {
        /// The HTTP status.
        status: u16,
    },
    /// The operating system refused what any login needs.
    Local {
        /// What was being done.
        doing: &'static str,
        /// Its answer.
        errno: Errno,
    },
    /// Somebody other than root could have made the socket.
    UntrustedPath {
        /// The first such part of the path.
        component: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A process of another user than root answers.
    UntrustedPeer {
        /// Its user id.
        uid: u32,
    },
    /// What came is not a reply to this request.
    Protocol(&'static str),
}

/// How the verifier is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unavailable {
    /// ENOENT.
    SocketMissing,
    /// ECONNREFUSED.
    Refused,
    /// EAGAIN: more connections wait than the verifier lets.
    Busy,
    /// Nothing came in time.
    TimedOut,
    /// The connection ended before a reply began.
    Closed,
    /// A reply began and did not come to its end: somebody answered, and nobody knows what.
    Cut,
    /// HTTP 503.
    SaidSo,
}

/// Where time comes from.
pub(crate) trait Clock {
    /// The monotonic time.
    fn now(&self) -> Instant;
}

/// The verifier behind a Unix socket.
pub(crate) struct SocketVerifier<'a, C> {
    path: &'a SocketPath,
    timeout: Duration,
    waiting_left: Duration,
    clock: C,
}

/// Longest total wait for the verifier in one login; time in which a person types is not part of it. sshd
/// gives a login 120 s by default, and a module that waits keeps one of its few slots.
const WAITING_MAX: Duration = Duration::from_secs(20);

impl<'a, C: Clock> SocketVerifier<'a, C> {
    /// Nothing is opened before the first request.
    ///
    /// * `timeout`: longest wait for one reply.
    pub(crate) fn new(path: &'a SocketPath, timeout: Duration, clock: C) -> Self {
        Self { path, timeout, waiting_left: WAITING_MAX, clock }
    }

    /// How long this login has waited for the verifier.
    pub(crate) fn waited(&self) -> Duration {
        WAITING_MAX.saturating_sub(self.waiting_left)
    }

    /// One connection: sends `request`, returns what came back up to the end of the connection.
    fn attempt(&mut self, request: &[u8]) -> Result<Zeroizing<Vec<u8>>, Failure> {
        fault_point!("verifier::attempt");
        let started = self.clock.now();
        let wait = self.timeout.min(self.waiting_left);
        let deadline = Deadline::new(&self.clock, started.checked_add(wait).unwrap_or(started));
        let outcome = exchange::exchange(self.path, request, &deadline);
        let waited = self.clock.now().saturating_duration_since(started);
        self.waiting_left = self.waiting_left.saturating_sub(waited);
        outcome
    }
}

impl<C: Clock> Verifier for SocketVerifier<'_, C> {
    fn begin(&mut self, login: &Login) -> Result<Reply, Failure> {
        fault_point!("verifier::begin");
        let request = Begin {
            api_version: wire::API_VERSION,
            request_id: new_id()?,
            user: login.user.clone(),
            service: login.service.clone(),
            rhost: login.rhost.clone(),
            ruser: login.ruser.clone(),
            tty: login.tty.clone(),
            columns: login.columns,
            session: login.session.clone(),
            offline_grant_until: None,
        };
        let bytes = http::encode_begin(&request)?;
        http::decode(&self.attempt(&bytes)?, login, &request.request_id)
    }

    /// A reply that got lost is asked for once more with the same bytes: the request id makes both one claim.
    fn answer(
        &mut self,
        login: &Login,
        state: String,
        answers: Vec<Zeroizing<String>>,
    ) -> Result<Reply, Failure> {
        fault_point!("verifier::answer");
        let request_id = new_id()?;
        let answers = answers.into_iter().map(|mut answer| std::mem::take(&mut *answer)).collect();
        let mut request = Continue { api_version: wire::API_VERSION, request_id, state, answers };
        let encoded = http::encode_continue(&request);
        request.answers.zeroize();
        let bytes = encoded?;
        let reply = self.attempt(&bytes).and_then(|reply| http::decode(&reply, login, &request.request_id));
        match reply {
            Err(Failure::Unavailable(Unavailable::TimedOut | Unavailable::Closed | Unavailable::Cut))
                if !self.waiting_left.is_zero() =>
            {
                http::decode(&self.attempt(&bytes)?, login, &request.request_id)
            }
            reply => reply,
        }
    }
}

/// 128 random bits as 32 hexadecimal digits: the name of a request or a session.
///
/// # Errors
/// When the kernel gives none.
pub(crate) fn new_id() -> Result<String, Failure> {
    let mut bytes = [0_u8; 16];
    let length = rustix::io::retry_on_intr(|| {
        rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty())
    })
    .map_err(|errno| Failure::Local { doing: "getrandom", errno })?;
    if length != bytes.len() {
        // getrandom(2) never cuts a request of 256 bytes or less.
        return Err(Failure::Local { doing: "getrandom", errno: Errno::IO });
    }
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

impl Failure {
    /// One word of a closed set, for the log.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Unavailable(Unavailable::SocketMissing) => "socket-missing",
            Self::Unavailable(Unavailable::Refused) => "connection-refused",
            Self::Unavailable(Unavailable::Busy) => "verifier-busy",
            Self::Unavailable(Unavailable::TimedOut) => "timed-out",
            Self::Unavailable(Unavailable::Closed) => "connection-closed",
            Self::Unavailable(Unavailable::Cut) => "reply-cut",
            Self::Unavailable(Unavailable::SaidSo) => "verifier-unavailable",
            Self::Rejected { .. } => "request-rejected",
            Self::Local { .. } => "system-error",
            Self::UntrustedPath { .. } => "untrusted-path",
            Self::UntrustedPeer { .. } => "untrusted-peer",
            Self::Protocol(_) => "protocol-error",
        }
    }

    /// What an administrator needs beyond the reason.
    pub(crate) fn detail(&self) -> Option<String> {
        match self {
            Self::Unavailable(_) => None,
            Self::Rejected { status } => Some(format!("status:{status}")),
            Self::Local { doing, errno } => Some(format!("{doing}:{errno}")),
            Self::UntrustedPath { component, problem } => Some(format!("{component}:{problem}")),
            Self::UntrustedPeer { uid } => Some(format!("uid:{uid}")),
            Self::Protocol(problem) => Some((*problem).to_owned()),
        }
    }
}
