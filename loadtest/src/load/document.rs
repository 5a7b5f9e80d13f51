//! What a load tells at its end: lines for people, and one JSON object that keeps the raw figures.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::judge::Miscount;
use super::lane::{Pacing, Plan};
use super::tally::{Counts, Sample, Tally};
use super::{LoopKind, Settings};
use crate::latency::{Latency, milliseconds};
use crate::machine::Machine;
use crate::report::{Conclusion, print_row};

/// By how many percent a kind of request may miss its share before it is said.
const MIX_TOLERANCE: f64 = 10.0;

/// How late the client may be before it is said: of 100 requests one, by a tenth of the 99th percentile, but not
/// less than this.
const CLIENT_LAG_MIN: Duration = Duration::from_millis(1);

/// A whole run.
#[derive(Debug, Serialize)]
pub struct Document {
    /// Always `loadtest`.
    pub tool: &'static str,
    /// Of the tool.
    pub version: &'static str,
    /// What it ran on; the client's machine, where the verifier has another.
    pub machine: Machine,
    /// Of the tested programs.
    pub commit: Option<String>,
    /// When it ended, in milliseconds since the Unix epoch.
    pub ended_at_ms: u64,
    /// What was asked for.
    pub settings: Settings,
    /// How long each interval is.
    pub stretch_seconds: u64,
    /// The run, stretch by stretch.
    pub intervals: Vec<Interval>,
    /// How long accepts took, from the intended start.
    pub latency_us: Percentiles,
    /// How long refusals took; they leave on a beat of 10 ms.
    pub refusal_latency_us: Percentiles,
    /// How long accepts took from the moment they were sent.
    pub service_us: Percentiles,
    /// How late the client itself was with a free connection; only in the open loop.
    pub client_lag_us: Percentiles,
    /// Requests in a second.
    pub rate: Rate,
    /// Whether everything was as it must be.
    pub correctness: Correctness,
    /// When the verifier was known to be gone, in seconds of the run; the end is absent when it stayed so.
    pub outage_seconds: Option<(f64, Option<f64>)>,
    /// What a reader of the figures must know.
    pub remarks: Vec<String>,
    /// In one word.
    pub verdict: Conclusion,
}

/// A stretch of the run.
#[derive(Clone, Debug, Serialize)]
pub struct Interval {
    /// When it begins.
    pub at_seconds: u64,
    /// Requests meant to start in it; absent in a closed loop, which means nothing.
    pub intended: Option<u64>,
    /// Requests sent in it.
    pub sent: u64,
    /// Accepts that came.
    pub allowed: u64,
    /// Refusals that came.
    pub refused: u64,
    /// Requests that ended without either.
    pub failed: u64,
    /// Of its accepts; absent without any.
    pub p50_us: Option<u64>,
    /// Of its accepts.
    pub p90_us: Option<u64>,
    /// Of its accepts.
    pub p99_us: Option<u64>,
    /// Of its accepts.
    pub max_us: Option<u64>,
}

/// Times in microseconds.
#[derive(Clone, Debug, Serialize)]
pub struct Percentiles {
    /// How many.
    pub count: u64,
    /// Half of them took no longer.
    pub p50: u64,
    /// 90 of 100.
    pub p90: u64,
    /// 99 of 100.
    pub p99: u64,
    /// 999 of 1,000.
    pub p99_9: u64,
    /// The longest.
    pub max: u64,
    /// The mean.
    pub mean: f64,
    /// The raw figures: upper end of each bucket, and how many fell into it.
    pub buckets: Vec<(u64, u64)>,
}

/// Requests in a second, each code of a batch counted.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Rate {
    /// On average over the run; absent in a closed loop.
    pub intended: Option<f64>,
    /// Accepts and refusals, from the start of the run to the last of them.
    pub achieved: f64,
}

/// What was counted, and what was wrong with it.
#[derive(Clone, Debug, Serialize)]
pub struct Correctness {
    /// Valid codes sent.
    pub valid_sent: u64,
    /// Those that were accepted, by any copy.
    pub valid_accepted: u64,
    /// Accepts beyond the first one of a code.
    pub accepted_twice: u64,
    /// Further copies sent.
    pub replays_sent: u64,
    /// Those accepted although the code had been.
    pub replays_accepted: u64,
    /// Wrong codes sent.
    pub guesses_sent: u64,
    /// Those that were accepted.
    pub guesses_accepted: u64,
    /// Miscounts with what is known about them, the first twenty.
    pub unexpected: Vec<String>,
    /// All miscounts by kind.
    pub miscounts: BTreeMap<Miscount, u64>,
    /// What would be a miscount but for the outage.
    pub excused: BTreeMap<Miscount, u64>,
    /// Everything that was counted.
    pub counts: Counts,
}

impl Document {
    /// Puts together what a run that ends now tells.
    pub fn new(settings: &Settings, plan: &Plan, tally: &Tally, commit: Option<&str>) -> Self {
        let intended = match &plan.pacing {
            Pacing::Closed => None,
            Pacing::Open { curve, .. } => {
                Some(to_thousandths(curve.total() * f64::from(plan.batch) / plan.duration.as_secs_f64()))
            }
        };
        Self {
            tool: "loadtest",
            version: env!("CARGO_PKG_VERSION"),
            machine: Machine::here(),
            commit: commit.map(str::to_owned),
            ended_at_ms: plan.clock.unix_ms(),
            settings: settings.clone(),
            stretch_seconds: plan.stretch.as_secs(),
            intervals: intervals(tally, intended.is_some()),
            latency_us: (&tally.accepts).into(),
            refusal_latency_us: (&tally.refusals).into(),
            service_us: (&tally.service).into(),
            client_lag_us: (&tally.client_lag).into(),
            rate: Rate { intended, achieved: to_thousandths(tally.rate(plan.duration)) },
            correctness: Correctness::new(tally),
            outage_seconds: plan.outage.seconds(),
            remarks: remarks(settings, tally),
            verdict: if tally.is_right() { Conclusion::Right } else { Conclusion::Miscounted },
        }
    }

    /// Whether everything was as it must be.
    pub fn conclusion(&self) -> Conclusion {
        self.verdict
    }

    /// When it ended, in RFC 3339, UTC.
    pub fn ended_at(&self) -> String {
        let seconds = i64::try_from(self.ended_at_ms / 1_000).unwrap_or(i64::MAX);
        let ended = OffsetDateTime::from_unix_timestamp(seconds).ok();
        ended.and_then(|ended| ended.format(&Rfc3339).ok()).unwrap_or_else(|| "at an unknown time".to_owned())
    }

    /// Prints it, and writes it as JSON.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn publish(&self, json: Option<&Path>) -> Result<()> {
        for (label, value) in self.rows()? {
            print_row(label, &value);
        }
        let Some(path) = json else { return Ok(()) };
        let json = serde_json::to_string_pretty(self).context("cannot encode the report")?;
        std::fs::write(path, json + "\n").with_context(|| format!("cannot write {}", path.display()))
    }

    fn rows(&self) -> Result<Vec<(&'static str, String)>> {
        let Correctness { counts, miscounts, excused, unexpected, .. } = &self.correctness;
        let Counts { valid_sent, valid_accepted, replays_sent, replays_refused, .. } = counts;
        let Counts { wrong_sent, wrong_refused, throttled, .. } = counts;
        let rate =
            self.rate.intended.map_or_else(String::new, |intended| format!("{intended:.1} intended, "));
        let mut rows = vec![
            ("loadtest", self.name()),
            ("machine", self.machine.to_string()),
            ("commit", self.commit.clone().unwrap_or_else(|| "unknown".to_owned())),
            ("settings", serde_json::to_string(&self.settings).context("cannot tell the settings")?),
            ("valid codes", format!("{valid_sent} sent, {valid_accepted} accepted")),
            ("replays", format!("{replays_sent} sent, {replays_refused} refused")),
            (
                "wrong codes",
                format!("{wrong_sent} sent, {wrong_refused} refused, {throttled} of these unseen"),
            ),
            ("each second", format!("{rate}{:.1} answered", self.rate.achieved)),
            ("accepts", self.latency_us.summary()),
            ("refusals", self.refusal_latency_us.summary()),
        ];
        let rare = [
            ("late accepts", counts.replays_accepted_first),
            ("expired", counts.valid_expired),
            ("unknown", counts.valid_unknown),
        ];
        rows.extend(
            rare.into_iter().filter(|(_, count)| *count > 0).map(|(name, count)| (name, count.to_string())),
        );
        let kinds = |label, kinds: &BTreeMap<Miscount, u64>| {
            kinds.iter().map(move |(kind, count)| (label, format!("{kind:?}: {count}"))).collect::<Vec<_>>()
        };
        rows.extend(kinds("excused", excused));
        rows.extend(kinds("miscounts", miscounts));
        rows.extend(unexpected.iter().map(|sample| ("miscount", sample.clone())));
        rows.extend(self.remarks.iter().map(|remark| ("remark", remark.clone())));
        rows.push(("conclusion", self.verdict.words().to_owned()));
        Ok(rows)
    }

    /// What kind of run it was, in a few words.
    pub fn name(&self) -> String {
        let profile = self.settings.profile_name();
        match self.settings.kind {
            LoopKind::Open => format!("{profile}, open loop"),
            LoopKind::Closed => format!("{profile}, closed loop"),
        }
    }
}

/// More digits of a rate would say nothing.
fn to_thousandths(rate: f64) -> f64 {
    (rate * 1_000.0).round() / 1_000.0
}

impl Settings {
    /// As typed.
    pub fn profile_name(&self) -> String {
        use clap::ValueEnum as _;
        let value = self.profile.and_then(|profile| profile.to_possible_value());
        value.map_or_else(|| "steady".to_owned(), |value| value.get_name().to_owned())
    }

    /// Name and value of each, for people.
    pub fn rows(&self) -> Vec<(&'static str, String)> {
        let mix = self.mix;
        let mut rows = vec![
            ("verifier", format!("{}{}", self.verifier, if self.embedded { ", its own" } else { "" })),
            ("spoken", format!("{}, {}", self.protocol.name(), self.way.describe(self.batch))),
            ("service", self.service.clone()),
            (
                "loop",
                match (self.rate, self.arrivals) {
                    (Some(rate), Some(spacing)) => {
                        format!("open, {rate}/s at full height, {spacing:?} arrivals").to_lowercase()
                    }
                    _ => "closed".to_owned(),
                },
            ),
            ("duration", format!("{} s", self.seconds)),
            ("connections", format!("{}, {} in flight on each", self.connections, self.in_flight)),
            ("threads", self.threads.to_string()),
            ("users", format!("{}, {} of them by presses (HOTP)", self.users, self.hotp_users)),
            ("mix", format!("{} % valid, {} % replayed, {} % wrong", mix.valid, mix.replay, mix.wrong)),
        ];
        rows.push(("seed", self.seed.to_string()));
        rows
    }
}

fn intervals(tally: &Tally, is_open: bool) -> Vec<Interval> {
    let row = |(number, stretch): (u64, &super::tally::Stretch)| {
        let at =
            |percent| (!stretch.accepts.is_empty()).then(|| stretch.accepts.value_at_percentile(percent));
        Interval {
            at_seconds: number * tally.stretch.as_secs(),
            intended: is_open.then_some(stretch.intended),
            sent: stretch.sent,
            allowed: stretch.allowed,
            refused: stretch.refused,
            failed: stretch.failed,
            p50_us: at(50.0),
            p90_us: at(90.0),
            p99_us: at(99.0),
            max_us: (!stretch.accepts.is_empty()).then(|| stretch.accepts.max()),
        }
    };
    (0..).zip(&tally.stretches).map(row).collect()
}

/// What a reader of the figures must know: where the run was not what was asked for.
fn remarks(settings: &Settings, tally: &Tally) -> Vec<String> {
    let Counts { unsent, without_code, valid_expired, .. } = tally.counts;
    let mut remarks = Vec::new();
    let (lag, p99) = (tally.client_lag.at(99.0), tally.accepts.at(99.0));
    if Duration::from_micros(lag) > CLIENT_LAG_MIN && lag > p99 / 10 {
        remarks.push(format!(
            "the client itself was late: 1 of 100 requests by {} ms or more with a free connection; these latencies \
             are partly its own",
            milliseconds(lag)
        ));
    }
    if unsent > 0 {
        remarks.push(format!(
            "{unsent} requests were due and not sent within 20 s of the end: every connection was busy"
        ));
    }
    if without_code > 0 {
        remarks.push(format!(
            "{without_code} requests were due when no user had a code to send: take more users"
        ));
    }
    if valid_expired > 0 {
        remarks.push(format!("{valid_expired} valid codes were refused because their step ended on the way"));
    }
    let Counts { valid_sent, replays_sent, wrong_sent, .. } = tally.counts;
    let (all, mix) = (tally.sent().max(1) as f64, settings.mix);
    let shares = [(valid_sent, mix.valid), (replays_sent, mix.replay), (wrong_sent, mix.wrong)];
    let shares = shares.map(|(count, percent)| (count as f64 * 100.0 / all, f64::from(percent)));
    if shares.iter().any(|(is, wanted)| (is - wanted).abs() > MIX_TOLERANCE) {
        let [valid, replayed, wrong] = shares.map(|(is, _)| is);
        remarks.push(format!(
            "the mix was {valid:.0} % valid, {replayed:.0} % replayed, {wrong:.0} % wrong: users had no other codes \
             left; take more users, or some by presses"
        ));
    }
    remarks
}

impl Correctness {
    fn new(tally: &Tally) -> Self {
        let counts = tally.counts;
        let accepted_twice = tally.miscounted(Miscount::AcceptedTwice);
        Self {
            valid_sent: counts.valid_sent,
            valid_accepted: counts.valid_accepted,
            accepted_twice,
            replays_sent: counts.replays_sent,
            replays_accepted: accepted_twice,
            guesses_sent: counts.wrong_sent,
            guesses_accepted: tally.miscounted(Miscount::WrongAccepted),
            unexpected: tally.samples.iter().map(Sample::describe).collect(),
            miscounts: tally.miscounts.clone(),
            excused: tally.excused.clone(),
            counts,
        }
    }
}

impl From<&Latency> for Percentiles {
    fn from(latency: &Latency) -> Self {
        Self {
            count: latency.count(),
            p50: latency.at(50.0),
            p90: latency.at(90.0),
            p99: latency.at(99.0),
            p99_9: latency.at(99.9),
            max: latency.max(),
            mean: latency.mean(),
            buckets: latency.buckets(),
        }
    }
}

impl Percentiles {
    /// In one line, in milliseconds.
    pub fn summary(&self) -> String {
        let Self { count, p50, p90, p99, p99_9, max, .. } = *self;
        if count == 0 {
            return "none".to_owned();
        }
        let [p50, p90, p99, p99_9, max] = [p50, p90, p99, p99_9, max].map(milliseconds);
        format!("p50 {p50}  p90 {p90}  p99 {p99}  p99.9 {p99_9}  max {max} ms  ({count} replies)")
    }
}
