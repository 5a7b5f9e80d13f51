//! Submits codes in one of three ways: through a login dialogue, by `/v1/verify` (one code or a batch), or as a
//! program that logs in through PAM.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use hyper::{Method, StatusCode};
use serde::Serialize;
use wire::verify::{BATCH_PATH, Batch, BatchVerified, VERIFY_PATH, Verified, Verify};

use crate::connection::Connection;
use crate::login::{Begun, Host, RequestIds};
use crate::outcome::{Foreign, Outcome};
use crate::pam;
use crate::target::Target;

/// How codes are submitted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// `/v1/login/begin` and `/v1/login/continue`, as the PAM module does.
    Dialogue,
    /// `/v1/verify`, or `/v1/verify/batch` with more than one code.
    Verify,
    /// A process for each login, which goes through PAM.
    Pam(PathBuf),
}

impl Way {
    /// In a few words.
    ///
    /// * `batch`: codes in each request.
    pub fn describe(&self, batch: u32) -> String {
        match self {
            Self::Dialogue => "login dialogue".to_owned(),
            Self::Verify if batch > 1 => format!("{BATCH_PATH} with {batch} codes"),
            Self::Verify => VERIFY_PATH.to_owned(),
            Self::Pam(program) => format!("PAM, by {}", program.display()),
        }
    }
}

/// One code to submit.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Names the request.
    pub request_id: String,
    /// Whose code.
    pub user: String,
    /// The digits.
    pub code: String,
    /// Where it comes from; `None` for the machine itself.
    pub rhost: Option<String>,
}

/// Submits one request at a time.
#[derive(Debug)]
pub struct Asker {
    service: String,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Dialogue(Host),
    Verify(Connection),
    Pam(PathBuf),
}

impl Asker {
    /// One that uses a connection, as far as its way needs one.
    pub fn new(way: &Way, connection: Connection, service: &str, ids: &Arc<RequestIds>) -> Self {
        let kind = match way {
            Way::Dialogue => Kind::Dialogue(Host::on(connection, service, ids)),
            Way::Verify => Kind::Verify(connection),
            Way::Pam(program) => Kind::Pam(program.clone()),
        };
        Self { service: service.to_owned(), kind }
    }

    /// Submits codes and tells what became of each, in the same order. Several go as one batch; only
    /// [`Way::Verify`] takes more than one.
    pub async fn ask(&mut self, attempts: &[Attempt]) -> Vec<Outcome> {
        match (&mut self.kind, attempts) {
            (Kind::Dialogue(host), [attempt]) => vec![log_in(host, attempt).await],
            (Kind::Pam(program), [attempt]) => vec![pam::log_in(program, &self.service, attempt).await],
            (Kind::Verify(connection), [attempt]) => {
                vec![verify(connection, &self.service, attempt).await]
            }
            (Kind::Verify(connection), attempts) => verify_all(connection, &self.service, attempts).await,
            (Kind::Dialogue(_) | Kind::Pam(_), _) => unreachable!("batches go by /v1/verify/batch"),
        }
    }
}

async fn log_in(host: &mut Host, attempt: &Attempt) -> Outcome {
    let not_begun = |error: anyhow::Error| match Outcome::lost(&error) {
        Outcome::NoAnswer { problem } => Outcome::NotBegun { problem },
        other => other,
    };
    match host.begin(&attempt.user, attempt.rhost.as_deref()).await {
        Ok(Begun::Asked(asked)) => match host.prepare(asked, attempt.code.clone()) {
            Ok(answer) => host.submit(answer).await,
            Err(error) => not_begun(error),
        },
        Ok(Begun::Over(outcome)) => outcome,
        Err(error) => not_begun(error),
    }
}

async fn verify(connection: &mut Connection, service: &str, attempt: &Attempt) -> Outcome {
    if let Err(error) = connection.open().await {
        return Outcome::NotBegun { problem: format!("{error:#}") };
    }
    let answer = async {
        let request = connection.target().prepare(Method::POST, VERIFY_PATH, &question(service, attempt))?;
        let body = connection.call(request).await?;
        let verified: Verified = serde_json::from_slice(&body).context("the answer is no verdict")?;
        check(service, attempt, verified)
    };
    answer.await.unwrap_or_else(|error| Outcome::lost(&error))
}

async fn verify_all(connection: &mut Connection, service: &str, attempts: &[Attempt]) -> Vec<Outcome> {
    if let Err(error) = connection.open().await {
        return vec![Outcome::NotBegun { problem: format!("{error:#}") }; attempts.len()];
    }
    let answer = async {
        let items = attempts.iter().map(|attempt| question(service, attempt)).collect();
        let request = connection.target().prepare(Method::POST, BATCH_PATH, &Batch { items })?;
        let body = connection.call(request).await?;
        let BatchVerified { items } =
            serde_json::from_slice(&body).context("the answer holds no verdicts")?;
        let (asked, told) = (attempts.len(), items.len());
        ensure!(asked == told, "{told} verdicts for a batch of {asked}");
        let outcomes = attempts.iter().zip(items).map(|(attempt, verified)| {
            check(service, attempt, verified).unwrap_or_else(|error| Outcome::lost(&error))
        });
        Ok(outcomes.collect())
    };
    answer.await.unwrap_or_else(|error: anyhow::Error| vec![Outcome::lost(&error); attempts.len()])
}

fn question<'a>(service: &'a str, attempt: &'a Attempt) -> Verify<'a> {
    Verify {
        request_id: attempt.request_id.as_str().into(),
        user: attempt.user.as_str().into(),
        service: service.into(),
        rhost: attempt.rhost.as_deref().map(Into::into),
        code: attempt.code.as_str().into(),
    }
}

/// A verdict counts only when it repeats what was asked.
fn check(service: &str, attempt: &Attempt, verified: Verified<'_>) -> Result<Outcome> {
    let Verified { request_id, user, service: told_service, verdict, reference, message, .. } = verified;
    let is_ours = request_id == attempt.request_id && user == attempt.user && told_service == service;
    ensure!(is_ours, Foreign(format!("{request_id}, {user:?}, {told_service:?}")));
    Ok(Outcome::decided(verdict, reference, message.as_deref()))
}

/// Fails early when nobody answers.
///
/// # Errors
/// When the verifier cannot be connected to, or there is no such program.
pub async fn reach(way: &Way, target: &Arc<Target>) -> Result<()> {
    match way {
        Way::Dialogue => crate::login::reach(target).await,
        Way::Verify => show_key(target).await,
        Way::Pam(program) => pam::find(program),
    }
}

/// An empty batch decides nothing, and is refused as such by whoever takes our key.
async fn show_key(target: &Arc<Target>) -> Result<()> {
    let mut connection = Connection::new(target);
    connection.open().await?;
    let empty = target.prepare(Method::POST, BATCH_PATH, &Batch { items: Vec::new() })?;
    let status = connection.status(empty).await?;
    ensure!(
        status != StatusCode::UNAUTHORIZED,
        "{target} does not take our key: --key-file names the file with that of its [api] key_file"
    );
    Ok(())
}
