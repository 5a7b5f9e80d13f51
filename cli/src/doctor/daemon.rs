//! What `verifierd` says about itself and the user.

use wire::admin::{RecoveryStatus, SelfInfo, Status, User, UserList};
use wire::error::ErrorCode;

use crate::client::{Client, segment};
use crate::failure::Failure;

/// Its answers.
pub struct Daemon {
    /// How it is.
    pub status: Result<Status, Unanswered>,
    /// What it knows of the user: `Ok(None)` when nothing; absent when there is no user to ask about.
    pub user: Option<Result<Option<User>, Unanswered>>,
    /// How his recovery codes are; absent where there is no user with such codes.
    pub recovery: Option<Result<RecoveryStatus, Unanswered>>,
    /// The names of all users that it knows; absent where one was asked about.
    pub users: Option<Result<Vec<String>, Unanswered>>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unanswered {
    /// The caller may not ask that.
    NotAllowed,
    /// It does not run, or does not answer; the text says how that showed.
    Unreachable(String),
}

/// Asks how it is, and about a user, or about all where none is named. Who may not ask about others is asked about as
/// himself.
pub async fn ask(client: &Client, name: Option<&str>) -> Daemon {
    let status = client.get("/v1/status").await.map_err(unanswered);
    let Some(name) = name else {
        let users = client.get::<UserList>("/v1/users").await.map_err(unanswered);
        let users = users.map(|list| list.items.into_iter().map(|user| user.name).collect());
        return Daemon { status, user: None, recovery: None, users: Some(users) };
    };
    let user = user(client, name).await;
    let has_codes = |user: &User| user.recovery_codes_left.is_some_and(|left| left > 0);
    let recovery = match &user {
        Ok(Some(user)) if has_codes(user) => {
            let path = format!("/v1/users/{}/recovery", segment(name));
            Some(client.get(&path).await.map_err(unanswered))
        }
        _ => None,
    };
    Daemon { status, user: Some(user), recovery, users: None }
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
