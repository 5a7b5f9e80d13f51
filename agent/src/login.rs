//! The login socket: the routes of a verifier's own, answered by asking one.
//!
//! Root only, one request after the other, as `verifierd` answers there (docs/protocol.md). What an answer of a verifier
//! must repeat is compared before anything of it is passed on.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use rustls_pki_types::CertificateDer;
use serve::{Handle, Peer, Reply as HttpReply, Tally, Terms, body, error_reply, json_reply};
use tokio::time::Instant;
use wire::API_VERSION;
use wire::error::{ErrorBody, ErrorCode, ErrorDetail};
use wire::login::{BEGIN_PATH, Begin, CONTINUE_PATH, Continue, FIELD_BYTES_MAX, Next};
use wire::session::{
    CLOSE_PATH, CloseSession, OPEN_PATH, OpenSession, REPORT_BYTES_MAX, Recording, SessionNotNoted,
    SessionNoted,
};
use wire::verify::{BATCH_PATH, Batch, BatchVerified, VERIFY_PATH, Verified, Verify};
use zeroize::Zeroize as _;

use crate::connection::Answer;
use crate::envelope::Envelope;
use crate::judgement::{self, Asked, Mismatch, Step};
use crate::offline::alone::Alone;
use crate::offline::link::Link;
use crate::secret_body;
use crate::sessions::{Report, Sessions};
use crate::status::{PATH as STATUS_PATH, Reporter};
use crate::verifiers::{Unanswered, Verifiers};

/// What an answer says that is not one, to the PAM module; the log says more.
const NOT_ANSWERED: &str = "no verifier can be asked now: try again later";

/// What the module is told of an answer that does not belong to the login. Not that nobody answered: `fail=open` lets in
/// there.
const NOT_AN_ANSWER: &str = "what a verifier answered does not belong to this login: it is refused";

/// What it is told where this host was refused.
const NOT_OF_THE_FLEET: &str = "the verifiers do not take this host for one of their fleet";

/// Answers the login socket.
#[derive(Clone, Debug)]
pub struct LoginSocket(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    verifiers: Arc<Verifiers>,
    /// Our own id; the host's for ever.
    host: String,
    timeout: Duration,
    reporter: Reporter,
    sessions: Arc<Sessions>,
    alone: Alone,
}

impl LoginSocket {
    /// * `host`: our own id.
    /// * `timeout`: for a whole request, over all verifiers.
    /// * `sessions`: takes what is said of sessions.
    /// * `offline`: who checks offline passwords.
    pub fn new(
        verifiers: Arc<Verifiers>,
        host: String,
        timeout: Duration,
        reporter: Reporter,
        sessions: Arc<Sessions>,
        offline: Link,
    ) -> Self {
        let alone = Alone::new(offline, Arc::clone(&verifiers), &host);
        Self(Arc::new(Inner { verifiers, host, timeout, reporter, sessions, alone }))
    }
}

impl Handle for LoginSocket {
    type Guest = ();

    /// The listener has admitted nobody but root.
    fn welcome(&self, _: Peer, _: Option<&[CertificateDer<'static>]>) -> Option<()> {
        Some(())
    }

    async fn answer(&self, (): &(), _: &Tally, request: Request<Incoming>) -> HttpReply {
        let deadline = Instant::now() + self.0.timeout;
        self.0.answer(request, deadline).await.unwrap_or_else(Refusal::told)
    }

    fn is_multiplexed(&self) -> bool {
        true
    }

    fn terms(&self, _: Peer) -> Terms {
        Terms::BOUNDED
    }
}

/// Why a request gets no answer of a verifier.
#[derive(Debug)]
enum Refusal {
    /// It is not a request.
    Malformed,
    /// Its body could not be read; the reply says why.
    Body(Box<HttpReply>),
    /// There is no such path.
    NotFound(String),
    /// No verifier answered.
    Unreachable,
    /// None did, and one said that it cannot now.
    Busy,
    /// A verifier has said that this host is none of its fleet.
    Outcast(String),
    /// A verifier refused it, in its own words.
    Refused(StatusCode, Box<ErrorBody>),
    /// More is said of sessions than can wait until a verifier hears it.
    TooManyReports(Recording),
    /// What came does not belong to what was asked.
    Mismatch(Mismatch),
}

impl Refusal {
    fn told(self) -> HttpReply {
        match self {
            Self::Malformed => error_reply(
                ErrorCode::Malformed,
                "the body is not a request of this version: see docs/protocol.md".into(),
            ),
            Self::Body(reply) => *reply,
            Self::NotFound(path) => {
                error_reply(ErrorCode::NotFound, format!("nothing is at {path:?} on this socket"))
            }
            Self::Unreachable | Self::Busy => {
                tracing::error!("a login could not be decided: no verifier answered");
                error_reply(ErrorCode::Unavailable, NOT_ANSWERED.into())
            }
            Self::Outcast(said) => {
                tracing::error!(said, "a login was refused: this host is none of the fleet");
                error_reply(ErrorCode::NotAllowed, NOT_OF_THE_FLEET.into())
            }
            Self::Refused(status, error) => {
                tracing::warn!(%status, message = ?error.error.message, "a verifier refused a request");
                json_reply(status, &*error)
            }
            // The log has it once a minute, and the module each time.
            Self::TooManyReports(recording) => {
                let message = "too much is said of this host's sessions: this one is left out".into();
                let error = ErrorDetail { code: ErrorCode::Throttled, message };
                json_reply(StatusCode::TOO_MANY_REQUESTS, &SessionNotNoted { error, recording })
            }
            Self::Mismatch(mismatch) => {
                tracing::error!(%mismatch, "ALERT: refused an answer that does not belong to the login");
                error_reply(ErrorCode::Conflict, NOT_AN_ANSWER.into())
            }
        }
    }
}

impl Inner {
    async fn answer(&self, request: Request<Incoming>, deadline: Instant) -> Result<HttpReply, Refusal> {
        match (request.method(), request.uri().path()) {
            (&Method::POST, BEGIN_PATH) => self.begin(request, deadline).await,
            (&Method::POST, CONTINUE_PATH) => self.proceed(request, deadline).await,
            (&Method::POST, VERIFY_PATH) => self.verify(request, deadline).await,
            (&Method::POST, BATCH_PATH) => self.verify_batch(request, deadline).await,
            (&Method::POST, OPEN_PATH) => self.open_session(request).await,
            (&Method::POST, CLOSE_PATH) => self.close_session(request).await,
            (&Method::GET, STATUS_PATH) => {
                Ok(json_reply(StatusCode::OK, &self.reporter.status(&self.verifiers)))
            }
            (_, path) => Err(Refusal::NotFound(path.to_owned())),
        }
    }

    async fn begin(&self, request: Request<Incoming>, deadline: Instant) -> Result<HttpReply, Refusal> {
        let json = read(request).await?;
        let begin: Begin = serde_json::from_slice(&json).map_err(|_| Refusal::Malformed)?;
        let asked = self.asked(&begin.request_id, &begin.user, &begin.service);
        let held = self.alone.held(&begin).await;
        let body = match held {
            None => secret_body::from_json(&json),
            // What was decided while the host was cut off holds until it is over.
            Some((until, false)) => return self.alone.let_in(&begin, until).ok_or(Refusal::Unreachable),
            Some((until, true)) => {
                let begin = Begin { offline_grant_until: Some(until), ..begin.clone() };
                secret_body::of(&begin, 2 * json.len() + FIELD_BYTES_MAX)
            }
        };
        match self.ask(BEGIN_PATH, body, deadline).await {
            Ok(answer) => self.step(&answer, &asked),
            // Nobody answered: what a verifier refused, or said of another login, is an answer.
            Err(Refusal::Unreachable) => self.alone.begin(&begin).await.ok_or(Refusal::Unreachable),
            // One that is there could refuse what still lets in, and somebody may have brought it to answering nothing.
            Err(Refusal::Busy) if held.is_some() => Err(Refusal::Busy),
            Err(Refusal::Busy) => self.alone.begin(&begin).await.ok_or(Refusal::Busy),
            Err(refusal) => Err(refusal),
        }
    }

    async fn proceed(&self, request: Request<Incoming>, deadline: Instant) -> Result<HttpReply, Refusal> {
        let json = read(request).await?;
        let mut proceed: Continue = serde_json::from_slice(&json).map_err(|_| Refusal::Malformed)?;
        let opened = Envelope::open(&proceed.state).filter(|_| proceed.api_version == API_VERSION);
        if let Some(envelope) = opened.as_ref().filter(|envelope| envelope.offline.is_some()) {
            let told = self.alone.proceed(envelope, &mut proceed).await;
            return told.ok_or(Refusal::Malformed);
        }
        let encoded = opened.map(|Envelope { user, service, state, offline: _ }| {
            proceed.state = state;
            (secret_body::of(&proceed, json.len()), user, service)
        });
        proceed.answers.zeroize();
        drop(json);
        let (body, user, service) = encoded.ok_or(Refusal::Malformed)?;
        let asked = self.asked(&proceed.request_id, &user, &service);
        let answer = self.ask(CONTINUE_PATH, body, deadline).await?;
        self.step(&answer, &asked)
    }

    async fn verify(&self, request: Request<Incoming>, deadline: Instant) -> Result<HttpReply, Refusal> {
        let json = read(request).await?;
        let verify: Verify<'_> = serde_json::from_slice(&json).map_err(|_| Refusal::Malformed)?;
        let asked = self.asked(&verify.request_id, &verify.user, &verify.service);
        let answer = self.ask(VERIFY_PATH, secret_body::from_json(&json), deadline).await?;
        let verified = parse(&answer.body)?;
        let verified = judgement::verified(verified, &asked).map_err(Refusal::Mismatch)?;
        Ok(json_reply(StatusCode::OK, &verified))
    }

    async fn verify_batch(
        &self,
        request: Request<Incoming>,
        deadline: Instant,
    ) -> Result<HttpReply, Refusal> {
        let json = read(request).await?;
        let batch: Batch<'_> = serde_json::from_slice(&json).map_err(|_| Refusal::Malformed)?;
        let answer = self.ask(BATCH_PATH, secret_body::from_json(&json), deadline).await?;
        let BatchVerified { items } = parse(&answer.body)?;
        let (answers, questions) = (items.len(), batch.items.len());
        if answers != questions {
            return Err(Refusal::Mismatch(Mismatch::Count { answers, questions }));
        }
        let judged = items.into_iter().zip(&batch.items).map(|(item, verify)| {
            let asked = self.asked(&verify.request_id, &verify.user, &verify.service);
            judgement::verified(item, &asked)
        });
        let items: Vec<Verified<'_>> = judged.collect::<Result<_, _>>().map_err(Refusal::Mismatch)?;
        Ok(json_reply(StatusCode::OK, &BatchVerified { items }))
    }

    /// Taken, not told: no login waits until a verifier has heard of it.
    async fn open_session(&self, request: Request<Incoming>) -> Result<HttpReply, Refusal> {
        let mut said: OpenSession = report(request).await?;
        // Whoever counts processes in another way than we do, in a container say, names one that we cannot look after.
        if serve::leader::is_over(None, said.leader) {
            said.leader = None;
        }
        let session = said.session.clone();
        self.take(said.api_version, session, Report::Open(said))
    }

    async fn close_session(&self, request: Request<Incoming>) -> Result<HttpReply, Refusal> {
        let said: CloseSession = report(request).await?;
        self.take(said.api_version, said.session.clone(), Report::Close(said))
    }

    fn take(&self, api_version: u16, session: String, report: Report) -> Result<HttpReply, Refusal> {
        if api_version != API_VERSION {
            return Err(Refusal::Malformed);
        }
        if !self.sessions.take(report) {
            return Err(Refusal::TooManyReports(self.sessions.recording()));
        }
        let recording = self.sessions.recording();
        Ok(json_reply(StatusCode::OK, &SessionNoted { api_version: API_VERSION, session, recording }))
    }

    fn asked<'a>(&'a self, request_id: &'a str, user: &'a str, service: &'a str) -> Asked<'a> {
        Asked { request_id, user, service, host: &self.host }
    }

    /// Asks the verifiers; only a 200 comes back.
    async fn ask(&self, path: &str, body: Bytes, deadline: Instant) -> Result<Answer, Refusal> {
        let asked = self.verifiers.ask(path, &body, deadline).await;
        let answer = asked.map_err(|why| match why {
            Unanswered::Unreachable => Refusal::Unreachable,
            Unanswered::Busy => Refusal::Busy,
            Unanswered::Refused(said) => Refusal::Outcast(said),
            Unanswered::NotUnderstood => Refusal::Mismatch(Mismatch::Form),
        })?;
        if answer.status == StatusCode::OK {
            return Ok(answer);
        }
        let error: ErrorBody =
            serde_json::from_slice(&answer.body).map_err(|_| Refusal::Mismatch(Mismatch::Form))?;
        // Anything else than a refusal is no answer: a success of another kind least of all.
        let is_refusal = answer.status.is_client_error() || answer.status.is_server_error();
        if is_refusal {
            Err(Refusal::Refused(answer.status, Box::new(error)))
        } else {
            Err(Refusal::Mismatch(Mismatch::Form))
        }
    }

    /// A step of a dialogue as the module gets it: its state carries whose it is.
    fn step(&self, answer: &Answer, asked: &Asked<'_>) -> Result<HttpReply, Refusal> {
        let step: Step<'_> = parse(&answer.body)?;
        let mut step = judgement::step(step, asked).map_err(Refusal::Mismatch)?;
        if let Next::Ask { state, .. } = &mut step.next {
            let envelope = Envelope {
                user: asked.user.to_owned(),
                service: asked.service.to_owned(),
                state: std::mem::take(state),
                offline: None,
            };
            *state = envelope.close();
        }
        // An envelope is larger than what is inside by less than half, and by as much as the names.
        let bytes_max = 2 * answer.body.len() + 4 * FIELD_BYTES_MAX;
        let mut told = Response::new(Full::new(secret_body::reply(&step, bytes_max)));
        told.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(told)
    }
}

async fn read(request: Request<Incoming>) -> Result<body::Body, Refusal> {
    body::read(request).await.map_err(|reply| Refusal::Body(Box::new(reply)))
}

/// What is said of a session. It may have to wait, and takes memory as long as it does.
async fn report<T: serde::de::DeserializeOwned>(request: Request<Incoming>) -> Result<T, Refusal> {
    let json = read(request).await?;
    if json.len() > REPORT_BYTES_MAX {
        return Err(Refusal::Malformed);
    }
    serde_json::from_slice(&json).map_err(|_| Refusal::Malformed)
}

fn parse<'a, T: serde::Deserialize<'a>>(body: &'a [u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|_| Refusal::Mismatch(Mismatch::Form))
}

#[cfg(test)]
mod tests;
