//! Who asks, and what he has to prove: whoever acts for himself shows a code of one of his tokens.

use wire::admin::{Proof, Role, SelfInfo};

use crate::client::Client;
use crate::failure::Failure;
use crate::verbs::Session;

/// Who the caller is, as `verifierd` sees him.
pub async fn caller(client: &Client) -> Result<SelfInfo, Failure> {
    client.get("/v1/self").await
}

/// What the caller has to show. Below an administrator everybody acts for himself, the help desk and auditors too,
/// and is asked for a code here.
pub fn proof(session: &Session, caller: &SelfInfo) -> Result<Proof, Failure> {
    if caller.role >= Role::Admin {
        return Ok(Proof { code: None });
    }
    let code = session.typed.line("a one-time password of yours", "Your one-time password: ")?;
    Ok(Proof { code: Some(code.to_string()) })
}
