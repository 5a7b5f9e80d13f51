//! `postern status`: how the daemon is, for people and for monitoring.

use wire::admin::Status;

use crate::client::Client;
use crate::failure::Failure;
use crate::output::table::{self, joined, yes_no};
use crate::output::{Answer, Format};

/// Asks and shows. Anything but "ready, and no reason to complain" ends with [`Failure::NotReady`].
pub async fn run(client: &Client, format: Format) -> Result<Answer, Failure> {
    show(client.get("/v1/status").await?, format)
}

/// Shows a status.
pub fn show(status: Status, format: Format) -> Result<Answer, Failure> {
    let answer = Answer::one(format, &status, || properties(&status))?;
    Ok(match complaint(&status) {
        None => answer,
        Some(state) => answer.failing(Failure::NotReady { state, reasons: status.reasons }),
    })
}

fn complaint(status: &Status) -> Option<&'static str> {
    match (status.ready, status.reasons.is_empty()) {
        (true, true) => None,
        (true, false) => Some("degraded"),
        (false, _) => Some("not ready"),
    }
}

fn properties(status: &Status) -> String {
    table::properties([
        ("ready", yes_no(status.ready)),
        ("reasons", joined(&status.reasons)),
        ("version", status.version.clone()),
        ("started", status.started.clone()),
        ("store at start", status.store_start.clone()),
        ("users", status.users.to_string()),
        ("tokens", status.tokens.to_string()),
        ("codes evaluated", status.codes_evaluated.to_string()),
        ("accepted", status.accepted.to_string()),
        ("refused", status.refused.to_string()),
    ])
}
