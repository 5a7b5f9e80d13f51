//! How the daemon is.

use std::sync::Arc;

use serve::Reply;
use wire::admin::{FleetStatus, MailStatus, SinkStatus, Status};

use super::asking::Ask;
use super::look::{Look, Section};
use super::pages::shown;
use super::parts::{Cell, Facts, Rows};
use super::{Asked, Web};
use crate::people::Person;

impl Web {
    /// The page. Nothing on it is secret.
    pub(super) async fn show_status(&self, asked: &Asked<'_>, person: &Arc<Person>) -> Reply {
        let visitor = shown(asked, person);
        let mut page = Look::new(&visitor, "Status");
        let status = match self.ask::<Status>(person, Ask::get("/v1/status")).await {
            Ok(status) => status,
            Err(refused) => return page.refused(&refused),
        };
        page.renewal = "/status".into();
        page.sections.push(Section::new("", &facts(&status)));
        let reasons = status.reasons.iter().map(|reason| [Cell::from(reason.as_str())]);
        page.sections.push(Section::new(
            "What is to be looked after",
            &Rows::new(["Reason"], reasons, "Nothing: all is well."),
        ));
        let sinks = status.sinks.iter().map(sink);
        page.sections.push(Section::new(
            "The audit trail elsewhere",
            &Rows::new(["Sink", "Records that wait", "Seconds"], sinks, "It goes nowhere else."),
        ));
        page.reply()
    }
}

fn facts(status: &Status) -> Facts {
    let ready = match (status.ready, status.reasons.is_empty()) {
        (true, true) => "yes",
        (true, false) => "yes, with something to be looked after",
        (false, _) => "no: no login is decided",
    };
    let fact = |name, value: String| (name, Cell::from(value));
    let mut facts = vec![
        fact("Ready", ready.into()),
        fact("Version", status.version.clone()),
        fact("Started", status.started.clone()),
        fact("Store at start", status.store_start.clone()),
        fact("Users", status.users.to_string()),
        fact("Tokens", status.tokens.to_string()),
        fact("Codes evaluated", status.codes_evaluated.to_string()),
        fact("Accepted", status.accepted.to_string()),
        fact("Refused", status.refused.to_string()),
    ];
    facts.extend(status.fleet.as_ref().map(|fleet| fact("Hosts", hosts(fleet))));
    facts.extend(status.mail.as_ref().map(|mail| fact("Mails", mails(mail))));
    Facts(facts)
}

fn hosts(fleet: &FleetStatus) -> String {
    let FleetStatus { pending, active, revoked, connections, clocks_off } = fleet;
    format!(
        "{active} active, {pending} pending, {revoked} revoked; {connections} connections; {clocks_off} clocks off"
    )
}

fn mails(mail: &MailStatus) -> String {
    let MailStatus { waiting, sent, failed } = mail;
    format!("{waiting} waiting, {sent} sent, {failed} given up")
}

fn sink(sink: &SinkStatus) -> [Cell; 3] {
    let SinkStatus { name, lag_records, lag_seconds } = sink;
    [name.as_str().into(), lag_records.to_string().into(), lag_seconds.to_string().into()]
}
