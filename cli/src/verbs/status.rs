//! `postern status`: how the daemon is, for people and for monitoring.

use wire::admin::{FleetStatus, MailStatus, SinkStatus, Status};

use crate::client::Client;
use crate::failure::Failure;
use crate::output::table::{self, joined, or_dash, yes_no};
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
    let sinks = status.sinks.iter().map(sink).collect::<Vec<_>>();
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
        ("audit sinks", joined(&sinks)),
        ("hosts", or_dash(status.fleet.as_ref().map(fleet).as_deref())),
        ("mails", or_dash(status.mail.as_ref().map(mail).as_deref())),
    ])
}

fn sink(sink: &SinkStatus) -> String {
    let SinkStatus { name, lag_records, lag_seconds } = sink;
    match lag_records {
        0 => format!("{name}: nothing waits"),
        _ => format!("{name}: {lag_records} wait, for {lag_seconds} s"),
    }
}

fn fleet(fleet: &FleetStatus) -> String {
    let FleetStatus { pending, active, revoked, connections, clocks_off } = fleet;
    format!(
        "{active} active, {pending} pending, {revoked} revoked; {connections} connections; {clocks_off} clocks off"
    )
}

fn mail(mail: &MailStatus) -> String {
    let MailStatus { waiting, sent, failed } = mail;
    format!("{waiting} waiting, {sent} sent, {failed} given up")
}
