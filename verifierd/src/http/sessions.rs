//! What the PAM module says when a session begins and when it ends.

use hyper::body::Incoming;
use hyper::{Request, StatusCode};
use serve::reply::status_of;
use serve::{Reply, error_reply, json_reply, leader};
use wire::API_VERSION;
use wire::error::{ErrorCode, ErrorDetail};
use wire::session::{
    CloseSession, LeftOutNoted, OpenSession, Recording, SessionNotNoted, SessionNoted, SessionsLeftOut,
};

use super::login::parse;
use crate::config::Config;
use crate::hosts::HostIdentity;
use crate::policy::RecordingTerms;
use crate::sessions::{SessionError, Sessions};

/// A session has begun.
///
/// * `host`: who says so, by its certificate; none on this machine.
pub(super) async fn open(
    sessions: &Sessions,
    config: &Config,
    host: Option<HostIdentity>,
    request: Request<Incoming>,
) -> Reply {
    let mut said: OpenSession = match parse(request).await {
        Ok(said) => said,
        Err(refusal) => return refusal,
    };
    // Whoever counts processes in another way than we do, in a container say, names one that we cannot look after.
    if host.is_none() && leader::is_over(None, said.leader) {
        said.leader = None;
    }
    let session = said.session.clone();
    let recording = RecordingTerms::at(host.as_ref(), config).told();
    told(session, recording, sessions.open(said, host.as_ref()).await)
}

/// A session is over.
pub(super) async fn close(
    sessions: &Sessions,
    host: Option<HostIdentity>,
    request: Request<Incoming>,
) -> Reply {
    let said: CloseSession = match parse(request).await {
        Ok(said) => said,
        Err(refusal) => return refusal,
    };
    let closed = sessions.close(&said, host.map(|host| host.id)).await;
    told(said.session, Recording::Unknown, closed)
}

/// An agent had no room for some.
pub(super) async fn left_out(
    sessions: &Sessions,
    host: Option<HostIdentity>,
    request: Request<Incoming>,
) -> Reply {
    let said: SessionsLeftOut = match parse(request).await {
        Ok(said) => said,
        Err(refusal) => return refusal,
    };
    match sessions.left_out(said, host.as_ref()).await {
        Ok(()) => json_reply(StatusCode::OK, &LeftOutNoted { api_version: API_VERSION }),
        Err(error) => error_reply(code_of(&error), error.to_string()),
    }
}

fn told(session: String, recording: Recording, noted: Result<(), SessionError>) -> Reply {
    match noted {
        Ok(()) => json_reply(StatusCode::OK, &SessionNoted { api_version: API_VERSION, session, recording }),
        Err(error) => {
            let (code, message) = (code_of(&error), error.to_string());
            json_reply(status_of(code), &SessionNotNoted { error: ErrorDetail { code, message }, recording })
        }
    }
}

fn code_of(error: &SessionError) -> ErrorCode {
    match error {
        SessionError::Malformed(_) => ErrorCode::Malformed,
        SessionError::TooMany => ErrorCode::Conflict,
        SessionError::NotStored { .. } | SessionError::Random(_) => {
            tracing::error!(?error, "a session was not noted");
            // Not 503: an agent leaves a verifier alone that says so, its logins too.
            ErrorCode::Throttled
        }
    }
}
