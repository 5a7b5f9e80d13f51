//! `postern store`: what an administrator has to say about the store itself.

use wire::admin::Status;

use super::status;
use crate::args::StoreVerb;
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{Answer, Format};

/// Runs the verb, and shows the status that follows from it.
pub async fn run(client: &Client, verb: &StoreVerb, format: Format) -> Result<Answer, Failure> {
    match verb {
        StoreVerb::Settle => {
            let after: Status = client.post_nothing("/v1/store/settle").await?;
            Ok(status::show(after, format)?.saying("what was missing in the store is settled"))
        }
    }
}
