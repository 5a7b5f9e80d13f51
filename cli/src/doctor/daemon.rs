//! What `verifierd` says about itself and the user.

use wire::admin::{SelfInfo, Status, User};
use wire::error::ErrorCode;

use crate::client::{Client, segment};
use crate::failure::Failure;

/// Its answers.
pub struct Daemon {
    /// How it is.
    pub status: Result<Status, Unanswered>,
    /// What it knows of the user: `Ok(None)` when nothing; absent when there is no user to ask about.
    pub user: Option<Result<Option<User>, Unanswered>>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unanswered {
    /// The caller may not ask that.
    NotAllowed,
    /// It does not run, or does not answer; the text says how that showed.
    Unreachable(String),
}

/// Asks how it is and, where there is one, about a user. Who may not ask about others is asked about as himself.
pub async fn ask(client: &Client, name: Option<&str>) -> Daemon {
    let status = client.get("/v1/status").await.map_err(unanswered);
    let user = match name {
        Some(name) => Some(user(client, name).await),
        None => None,
    };
    Daemon { status, user }
}

async fn user(client: &Client, name: &str) -> Result<Option<User>, Unanswered> {
    match client.get(&format!("/v1/users/{}", segment(name))).await {
        Ok(user) => Ok(Some(user)),
        Err(Failure::Refused { code: ErrorCode::NotFound, .. }) => Ok(None),
        Err(failure) => match client.get::<SelfInfo>("/v1/self").await {
            Ok(own) if own.name == name => Ok(own.user),
            _ => Err(unanswered(failure)),
        },
    }
}

fn unanswered(failure: Failure) -> Unanswered {
    match failure {
        Failure::ConnectNotAllowed { .. } | Failure::Refused { code: ErrorCode::NotAllowed, .. } => {
            Unanswered::NotAllowed
        }
        other => Unanswered::Unreachable(other.line()),
    }
}
