//! Who asks, and what he has to prove: a user who acts for himself shows a code of one of his tokens.

use wire::admin::{Proof, Role, SelfInfo};

use crate::client::Client;
use crate::failure::Failure;
use crate::verbs::Session;

/// Who the caller is, as `verifierd` sees him.
pub async fn caller(client: &Client) -> Result<SelfInfo, Failure> {
    client.get("/v1/self").await
}

/// What the caller has to show. A user acts for himself, and is asked for a code here. An administrator needs
/// none, and the other roles are refused with or without one.
pub fn proof(session: &Session, caller: &SelfInfo) -> Result<Proof, Failure> {
    let code = match caller.role {
        Role::Auditor | Role::Helpdesk | Role::Admin | Role::Super => None,
        Role::User => {
            Some(session.typed.line("a one-time password of yours", "Your one-time password: ")?.to_string())
        }
    };
    Ok(Proof { code })
}
