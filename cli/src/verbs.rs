//! The verbs. Each asks `verifierd`, and turns what it said into an [`Answer`]; one file for each noun.

pub mod audit;
pub mod explain;
pub mod init;
mod status;
mod store;
mod token;
mod user;
pub mod version;

use crate::args::Asking;
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{Answer, Format};

/// Runs a verb that asks `verifierd`.
pub async fn run(client: &Client, asking: Asking, format: Format) -> Result<Answer, Failure> {
    match asking {
        Asking::User(verb) => user::run(client, verb, format).await,
        Asking::Token(verb) => token::run(client, verb, format).await,
        Asking::Explain { reference } => explain::run(client, &reference, format).await,
        Asking::Audit(verb) => audit::run(client, verb, format).await,
        Asking::Store(verb) => store::run(client, &verb, format).await,
        Asking::Status => status::run(client, format).await,
    }
}
