//! The dialogue of one login, as a host holds it: begin, get asked, answer.
//!
//! A reply counts only when it repeats the request's id, user and service. Logins name no terminal, so that a
//! refusal is told at once and not after one more question.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result, bail, ensure};
use hyper::Method;
use wire::login::{BEGIN_PATH, Begin, CONTINUE_PATH, Continue, Next, Reply};

use crate::connection::{Connection, Prepared};
use crate::outcome::{Foreign, Outcome};
use crate::target::Target;

/// So narrow that no QR code is drawn for a user who is not activated: the drawing is not what is measured.
const COLUMNS: u16 = 1;

/// A place that logins come from: one connection, kept open.
#[derive(Debug)]
pub struct Host {
    connection: Connection,
    service: String,
    ids: Arc<RequestIds>,
}

/// Where a dialogue is after its first reply.
#[derive(Debug)]
pub enum Begun {
    /// A code is asked for.
    Asked(Asked),
    /// It is over without one.
    Over(Outcome),
}

/// A login that is asked for its code.
#[derive(Debug)]
pub struct Asked {
    /// What was shown before the question.
    pub show: Vec<String>,
    user: String,
    state: String,
}

/// A code on its way.
#[derive(Debug)]
pub struct Answer {
    /// Names the request.
    pub request_id: String,
    user: String,
    request: Prepared,
}

impl Host {
    /// A host that is not connected yet.
    pub fn new(target: &Arc<Target>, service: &str, ids: &Arc<RequestIds>) -> Self {
        Self::on(Connection::new(target), service, ids)
    }

    /// A host with a connection.
    pub fn on(connection: Connection, service: &str, ids: &Arc<RequestIds>) -> Self {
        Self { connection, service: service.to_owned(), ids: Arc::clone(ids) }
    }

    /// Begins a login.
    ///
    /// * `rhost`: where the user comes from; `None` when he sits at the machine.
    ///
    /// # Errors
    /// When the verifier does not answer, or not to this login.
    pub async fn begin(&mut self, user: &str, rhost: Option<&str>) -> Result<Begun> {
        let begin = Begin {
            api_version: wire::API_VERSION,
            request_id: self.ids.draw(),
            user: user.to_owned(),
            service: self.service.clone(),
            rhost: rhost.map(str::to_owned),
            ruser: None,
            tty: None,
            columns: Some(COLUMNS),
            session: None,
            offline_grant_until: None,
        };
        let request = self.connection.target().prepare(Method::POST, BEGIN_PATH, &begin)?;
        let reply = self.send(request, &begin.request_id, user).await?;
        Ok(match reply.next {
            Next::Ask { state, .. } => Begun::Asked(Asked { show: reply.show, user: user.to_owned(), state }),
            Next::Done { verdict, reference, .. } => {
                Begun::Over(Outcome::decided(verdict, reference, reply.show.iter().map(String::as_str)))
            }
        })
    }

    /// Makes an answer ready, so that sending it is all that is left.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn prepare(&self, asked: Asked, code: String) -> Result<Answer> {
        let request_id = self.ids.draw();
        let Asked { user, state, .. } = asked;
        let body = Continue {
            api_version: wire::API_VERSION,
            request_id: request_id.clone(),
            state,
            answers: vec![code],
        };
        let request = self.connection.target().prepare(Method::POST, CONTINUE_PATH, &body)?;
        Ok(Answer { request, request_id, user })
    }

    /// Sends an answer.
    pub async fn submit(&mut self, answer: Answer) -> Outcome {
        let Answer { request_id, user, request } = answer;
        match self.send(request, &request_id, &user).await {
            Ok(Reply { next: Next::Done { verdict, reference, .. }, show, .. }) => {
                Outcome::decided(verdict, reference, show.iter().map(String::as_str))
            }
            Ok(Reply { next: Next::Ask { .. }, .. }) => Outcome::AskedAgain,
            Err(error) => Outcome::lost(&error),
        }
    }

    async fn send(&mut self, request: Prepared, request_id: &str, user: &str) -> Result<Reply> {
        let body = self.connection.call(request).await?;
        let reply: Reply = serde_json::from_slice(&body).context("the answer is no reply")?;
        ensure!(reply.api_version == wire::API_VERSION, "the reply is of version {}", reply.api_version);
        if (reply.request_id.as_str(), reply.user.as_str(), &reply.service)
            != (request_id, user, &self.service)
        {
            let Reply { request_id, user, service, .. } = reply;
            bail!(Foreign(format!("{request_id}, {user:?}, {service:?}")));
        }
        Ok(reply)
    }
}

/// Makes request ids that no other run makes.
#[derive(Debug)]
pub struct RequestIds {
    run: u64,
    next: AtomicU64,
}

impl RequestIds {
    /// A new run.
    ///
    /// # Errors
    /// When the kernel gives no random number.
    pub fn new() -> Result<Self> {
        let run = getrandom::u64().context("the kernel gives no random numbers")?;
        Ok(Self { run, next: AtomicU64::new(0) })
    }

    /// The next id: 32 lower-case hexadecimal digits.
    pub fn draw(&self) -> String {
        // Only the number matters, so no ordering with anything else is needed.
        format!("{:016x}{:016x}", self.run, self.next.fetch_add(1, Ordering::Relaxed))
    }
}

/// Fails early when nobody answers.
///
/// # Errors
/// When the verifier cannot be connected to.
pub async fn reach(target: &Arc<Target>) -> Result<()> {
    Connection::new(target).open().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_ids_are_32_lower_case_hexadecimal_digits_and_never_the_same() {
        let ids = RequestIds::new().unwrap();
        let drawn: Vec<_> = (0..100).map(|_| ids.draw()).collect();
        assert!(drawn.iter().all(|id| id.len() == 32));
        assert!(drawn.iter().flat_map(|id| id.bytes()).all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')));
        assert!(drawn.iter().enumerate().all(|(index, id)| !drawn[..index].contains(id)));
    }
}
