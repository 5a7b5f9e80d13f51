//! What the daemon counts, for Prometheus: `GET /metrics`, in the OpenMetrics text form.
//!
//! Numbers only: no user, no address, no token. A family is one call in [`Administration::registry`].

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::State;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use wire::error::ErrorCode;

use super::Administration;
use super::described::MetricsText;
use super::refusals::{Refusal, refusal};
use serve::Tallied;

type Labels = Vec<(&'static str, &'static str)>;

pub(super) async fn show(State(admin): State<Arc<Administration>>) -> Result<MetricsText, Refusal> {
    let mut text = String::new();
    encode(&mut text, &admin.registry())
        .map_err(|_| refusal(ErrorCode::Unavailable, "the metrics could not be written".into()))?;
    Ok(MetricsText(text))
}

impl Administration {
    /// All families, as they are now.
    fn registry(&self) -> Registry {
        let mut registry = Registry::with_prefix("postern");
        let to = &mut registry;
        let engine = self.dialogue.engine.counters();
        let accounts = &self.dialogue.accounts;
        let users = u64::try_from(accounts.user_count()).unwrap_or(u64::MAX);
        let tokens = u64::try_from(accounts.token_count()).unwrap_or(u64::MAX);
        let allowed = engine.accepted.load(Ordering::Relaxed);
        let refused = engine.refused.load(Ordering::Relaxed);
        let codes = engine.codes_evaluated.load(Ordering::Relaxed);
        gauges(to, "build_info", "The daemon's version", "version", [(env!("CARGO_PKG_VERSION"), 1)]);
        gauges(to, "start_time_seconds", "When it started", "clock", [("unix", self.started)]);
        let tables = self.dialogue.tables();
        let kept = tables.map(|table| (table.table, table.entries as u64));
        let kept = [("users", users), ("tokens", tokens)].into_iter().chain(kept);
        gauges(to, "table_entries", "What is kept in memory", "table", kept);
        let forgotten = tables.map(|table| (table.table, table.forgotten));
        counters(to, "sweep_removed", "Entries that sweeps took away", "table", forgotten);
        let sweeping = tables.map(|table| (table.table, table.sweeping.as_micros() as u64));
        counters(to, "sweep_microseconds", "Time that sweeps took", "table", sweeping);
        let store = self.ledger.figures();
        let written = [("commits", store.commits), ("entries", store.entries), ("folds", store.folds)];
        counters(to, "store_writes", "What the store has done", "kind", written);
        let waiting = [
            ("backlog_rows", store.backlog_rows),
            ("backlog_bytes", store.backlog_bytes),
            ("log_pages", store.log_pages),
            ("largest_batch", store.largest_batch),
        ];
        gauges(to, "store_size", "What the store has yet to fold, and its largest commit", "kind", waiting);
        let results = [("allow", allowed), ("deny", refused)];
        counters(to, "verifications", "Logins that were decided", "result", results);
        counters(to, "codes_evaluated", "Codes compared with tokens", "kind", [("all", codes)]);
        let dropped = self.dialogue.engine.notifier().dropped();
        let help = "Events that the notify command was not told of, being too slow";
        counters(to, "events_dropped", help, "kind", [("all", dropped)]);
        let of = |read: fn(Tallied) -> u64| {
            let listeners = self.listeners.get().into_iter().flatten();
            listeners.map(move |(name, tally)| (*name, read(tally.read())))
        };
        counters(to, "connections", "Connections served", "listener", of(|tally| tally.accepted));
        let help = "Connections refused, their caller having all he may have";
        counters(to, "connections_turned_away", help, "listener", of(|tally| tally.turned_away));
        let help = "Connections ended, their caller being too slow";
        counters(to, "connections_overdue", help, "listener", of(|tally| tally.overdue));
        let help = "Times that no connection could be taken for want of descriptors";
        counters(to, "accept_failures", help, "listener", of(|tally| tally.failures));
        let help = "Requests without the key, and handshakes that failed";
        counters(to, "unauthorized", help, "listener", of(|tally| tally.without_key));
        let sessions = self.dialogue.sessions.count() as u64;
        gauges(to, "sessions", "Sessions that are open, of all hosts", "kind", [("open", sessions)]);
        let sinks = self.sinks.figures(self.dialogue.clock.now());
        let lag = sinks.iter().map(|sink| (sink.name, sink.lag_records));
        gauges(to, "audit_lag_records", "Audit records that wait for a sink", "sink", lag);
        let lag = sinks.iter().map(|sink| (sink.name, sink.lag_seconds));
        gauges(to, "audit_lag_seconds", "Age of the oldest audit record that waits for a sink", "sink", lag);
        let damaged = [("damaged", self.sinks.damage().records())];
        let help =
            "Audit records that are not as they were written, as far as sinks and retention came upon them";
        gauges(to, "audit_damaged_records", help, "kind", damaged);
        let mails = self.dialogue.requests.mail_figures();
        gauges(to, "mails_waiting", "Mails that are to be sent", "kind", [("all", mails.waiting as u64)]);
        let ended = [("sent", mails.sent), ("failed", mails.failed)];
        counters(to, "mails", "Mails that the server took, and that are not tried any more", "result", ended);
        self.count_the_fleet(to);
        registry
    }

    fn count_the_fleet(&self, to: &mut Registry) {
        let fleet = self.registrar.hosts().figures();
        let hosts = [("pending", fleet.pending), ("active", fleet.active), ("revoked", fleet.revoked)];
        gauges(to, "hosts", "Hosts of the fleet", "state", hosts);
        let clocks = [("ahead", fleet.clocks_ahead), ("behind", fleet.clocks_behind)];
        let help = "Connected hosts whose clock differs from this machine's by more than 30 s";
        gauges(to, "host_clocks_off", help, "direction", clocks);
        let open = [("open", fleet.connections)];
        gauges(to, "host_connections", "Connections of hosts of the fleet", "kind", open);
    }
}

/// A family of things that only rise; `_total` is put behind its name.
fn counters(
    to: &mut Registry,
    name: &str,
    help: &str,
    label: &'static str,
    values: impl IntoIterator<Item = (&'static str, u64)>,
) {
    let family = Family::<Labels, Counter>::default();
    for (of, value) in values {
        family.get_or_create(&vec![(label, of)]).inc_by(value);
    }
    to.register(name, help, family);
}

/// A family of things that rise and fall.
fn gauges(
    to: &mut Registry,
    name: &str,
    help: &str,
    label: &'static str,
    values: impl IntoIterator<Item = (&'static str, u64)>,
) {
    let family = Family::<Labels, Gauge>::default();
    for (of, value) in values {
        family.get_or_create(&vec![(label, of)]).set(i64::try_from(value).unwrap_or(i64::MAX));
    }
    to.register(name, help, family);
}
