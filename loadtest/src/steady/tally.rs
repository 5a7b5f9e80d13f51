//! Counts the answers of a load, and how long they took.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use wire::login::Verdict;

use super::deck::Try;
use super::judge::{Fate, Miscount, judge};
use crate::journal::Sent;
use crate::latency::{Latency, LatencyReport};
use crate::login::Outcome;
use crate::report::{MISCOUNTS_SHOWN_MAX, Row};

/// What one login was told.
#[derive(Debug)]
pub struct Told {
    /// What became of it.
    pub outcome: Outcome,
    /// How long it took; absent when it ended before its code was sent.
    pub times: Option<Times>,
}

/// How long each of the two requests of a login took.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// From the first request to the question.
    pub begin: Duration,
    /// From the code to the verdict.
    pub submit: Duration,
}

/// The answers of one connection, or of all.
#[derive(Debug, Default)]
pub struct Tally {
    expects_restarts: bool,
    counts: Counts,
    miscounts: BTreeMap<Miscount, u64>,
    excused: BTreeMap<Miscount, u64>,
    samples: Vec<Sample>,
    latencies: Latencies,
    worked: Duration,
}

/// How often each thing was sent and answered as it must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct Counts {
    valid_sent: u64,
    valid_accepted: u64,
    replays_sent: u64,
    replays_refused: u64,
    /// Replays of codes whose first reply was lost or a refusal, accepted now.
    replays_accepted_first: u64,
    wrong_sent: u64,
    wrong_refused: u64,
}

/// Times by what they are the times of: an accept is durable, a refusal of a replay need not be.
#[derive(Debug, Default)]
struct Latencies {
    begin: Latency,
    valid: Latency,
    replay: Latency,
    wrong: Latency,
}

/// A miscount with what is known about it.
#[derive(Clone, Debug, Serialize)]
struct Sample {
    miscount: Miscount,
    user: String,
    step: u64,
    sent: Sent,
    outcome: String,
}

/// What the report says.
#[derive(Debug, Serialize)]
pub struct SteadyResult {
    counts: Counts,
    miscounts: BTreeMap<Miscount, u64>,
    excused: BTreeMap<Miscount, u64>,
    samples: Vec<Sample>,
    logins_per_second: f64,
    begin_latency: LatencyReport,
    valid_latency: LatencyReport,
    replay_latency: LatencyReport,
    wrong_latency: LatencyReport,
}

impl Told {
    /// A login that ended before its code was sent.
    pub fn over(outcome: Outcome) -> Self {
        Self { outcome, times: None }
    }
}

impl Tally {
    /// Nothing was counted yet.
    ///
    /// * `expects_restarts`: whether lost replies and refused valid codes are excused.
    pub fn new(expects_restarts: bool) -> Self {
        Self { expects_restarts, ..Self::default() }
    }

    /// Counts one answer.
    ///
    /// * `fate`: what was known before of the code that was sent.
    pub fn count(&mut self, user: &str, dealt: &Try, fate: Option<Fate>, told: &Told) {
        let miscount = judge(dealt.sent, fate, &told.outcome);
        self.counts.add(dealt.sent, &told.outcome, miscount.is_none());
        if let (Some(times), Outcome::Decided { .. }) = (told.times, &told.outcome) {
            self.latencies.record(dealt.sent, times);
        }
        let Some(miscount) = miscount else { return };
        if self.expects_restarts && miscount.is_excused_by_restart() {
            *self.excused.entry(miscount).or_default() += 1;
            return;
        }
        *self.miscounts.entry(miscount).or_default() += 1;
        if self.samples.len() < MISCOUNTS_SHOWN_MAX {
            let Try { sent, step, .. } = *dealt;
            let outcome = describe(&told.outcome);
            self.samples.push(Sample { miscount, user: user.to_owned(), step, sent, outcome });
        }
    }

    /// Notes how long a connection worked; of several, the longest counts.
    pub fn worked(&mut self, for_how_long: Duration) {
        self.worked = self.worked.max(for_how_long);
    }

    /// Adds the answers of another connection.
    pub fn add(&mut self, other: Self) {
        self.counts.sum(other.counts);
        for (to, from) in [(&mut self.miscounts, other.miscounts), (&mut self.excused, other.excused)] {
            from.into_iter().for_each(|(miscount, count)| *to.entry(miscount).or_default() += count);
        }
        let room = MISCOUNTS_SHOWN_MAX.saturating_sub(self.samples.len());
        self.samples.extend(other.samples.into_iter().take(room));
        self.latencies.add(&other.latencies);
        self.worked(other.worked);
    }

    /// Every answer was as it must be, or is excused.
    pub fn is_right(&self) -> bool {
        self.miscounts.is_empty()
    }

    /// The figures for the terminal.
    pub fn rows(&self) -> Vec<Row> {
        let Counts { valid_sent, valid_accepted, replays_sent, replays_refused, .. } = self.counts;
        let Counts { replays_accepted_first, wrong_sent, wrong_refused, .. } = self.counts;
        let mut rows = vec![
            Row::new("valid codes", format!("{valid_sent} sent, {valid_accepted} accepted")),
            Row::new("replays", format!("{replays_sent} sent, {replays_refused} refused")),
            Row::new("wrong codes", format!("{wrong_sent} sent, {wrong_refused} refused")),
            Row::new("logins", format!("{:.0} each second", self.logins_per_second())),
            Row::new("begin", self.latencies.begin.summary()),
            Row::new("valid", self.latencies.valid.summary()),
            Row::new("replay", self.latencies.replay.summary()),
            Row::new("wrong", self.latencies.wrong.summary()),
        ];
        if replays_accepted_first > 0 {
            rows.push(Row::new("late accepts", replays_accepted_first));
        }
        let kinds = |label, kinds: &BTreeMap<Miscount, u64>| {
            kinds
                .iter()
                .map(move |(kind, count)| Row::new(label, format!("{kind:?}: {count}")))
                .collect::<Vec<_>>()
        };
        rows.extend(kinds("excused", &self.excused));
        rows.extend(kinds("miscounts", &self.miscounts));
        rows.extend(self.samples.iter().map(Sample::row));
        rows
    }

    /// The figures for the report.
    pub fn result(self) -> SteadyResult {
        SteadyResult {
            counts: self.counts,
            logins_per_second: self.logins_per_second(),
            miscounts: self.miscounts,
            excused: self.excused,
            samples: self.samples,
            begin_latency: self.latencies.begin.report(),
            valid_latency: self.latencies.valid.report(),
            replay_latency: self.latencies.replay.report(),
            wrong_latency: self.latencies.wrong.report(),
        }
    }

    fn logins_per_second(&self) -> f64 {
        let Counts { valid_sent, replays_sent, wrong_sent, .. } = self.counts;
        let seconds = self.worked.as_secs_f64();
        if seconds > 0.0 { (valid_sent + replays_sent + wrong_sent) as f64 / seconds } else { 0.0 }
    }
}

impl Counts {
    fn add(&mut self, sent: Sent, outcome: &Outcome, right: bool) {
        let is_allowed = matches!(outcome, Outcome::Decided { verdict: Verdict::Allow, .. });
        let (times, as_it_must_be) = match sent {
            Sent::Valid => (&mut self.valid_sent, &mut self.valid_accepted),
            Sent::Replay if is_allowed => (&mut self.replays_sent, &mut self.replays_accepted_first),
            Sent::Replay => (&mut self.replays_sent, &mut self.replays_refused),
            Sent::Wrong => (&mut self.wrong_sent, &mut self.wrong_refused),
        };
        *times += u64::from(!matches!(outcome, Outcome::NotBegun { .. }));
        *as_it_must_be += u64::from(right);
    }

    fn sum(&mut self, other: Self) {
        self.valid_sent += other.valid_sent;
        self.valid_accepted += other.valid_accepted;
        self.replays_sent += other.replays_sent;
        self.replays_refused += other.replays_refused;
        self.replays_accepted_first += other.replays_accepted_first;
        self.wrong_sent += other.wrong_sent;
        self.wrong_refused += other.wrong_refused;
    }
}

impl Latencies {
    fn record(&mut self, sent: Sent, times: Times) {
        self.begin.record(times.begin);
        match sent {
            Sent::Valid => self.valid.record(times.submit),
            Sent::Replay => self.replay.record(times.submit),
            Sent::Wrong => self.wrong.record(times.submit),
        }
    }

    fn add(&mut self, other: &Self) {
        self.begin.add(&other.begin);
        self.valid.add(&other.valid);
        self.replay.add(&other.replay);
        self.wrong.add(&other.wrong);
    }
}

impl Sample {
    fn row(&self) -> Row {
        let Self { miscount, user, step, sent, outcome } = self;
        Row::new("miscount", format!("{miscount:?}: {user:?}, step {step}, sent {sent:?}: {outcome}"))
    }
}

fn describe(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Decided { verdict, reference } => format!("{verdict:?}, reference {reference}"),
        Outcome::NoAnswer { problem } | Outcome::NotBegun { problem } => problem.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(verdict: Verdict) -> Told {
        let outcome = Outcome::Decided { verdict, reference: "0000-0000".to_owned() };
        Told { outcome, times: None }
    }

    fn lost() -> Told {
        Told {
            outcome: Outcome::NoAnswer { problem: "the connection broke".to_owned() },
            ..told(Verdict::Deny)
        }
    }

    fn tally(expects_restarts: bool, answers: &[(Sent, Option<Fate>, Told)]) -> Tally {
        let mut tally = Tally::new(expects_restarts);
        for (sent, fate, told) in answers {
            tally.count("alice", &Try { user: 0, sent: *sent, step: 7 }, *fate, told);
        }
        tally
    }

    #[test]
    fn right_answers_are_counted_by_what_was_sent() {
        let mut tally = tally(
            false,
            &[
                (Sent::Valid, None, told(Verdict::Allow)),
                (Sent::Replay, Some(Fate::Accepted), told(Verdict::Deny)),
                (Sent::Wrong, None, told(Verdict::Deny)),
            ],
        );
        assert!(tally.is_right());
        tally.worked(Duration::from_secs(2));
        let expected = Counts {
            valid_sent: 1,
            valid_accepted: 1,
            replays_sent: 1,
            replays_refused: 1,
            wrong_sent: 1,
            wrong_refused: 1,
            ..Counts::default()
        };
        let result = tally.result();
        assert_eq!(result.counts, expected);
        assert_eq!(result.logins_per_second, 1.5);
    }

    #[test]
    fn an_accept_too_many_is_a_miscount_even_when_restarts_are_expected() {
        for expects_restarts in [false, true] {
            let twice = [(Sent::Replay, Some(Fate::Accepted), told(Verdict::Allow))];
            assert!(!tally(expects_restarts, &twice).is_right());
            assert!(!tally(expects_restarts, &[(Sent::Wrong, None, told(Verdict::Allow))]).is_right());
        }
    }

    #[test]
    fn a_lost_reply_is_a_miscount_unless_restarts_are_expected() {
        let answers = [(Sent::Valid, None, lost()), (Sent::Valid, None, told(Verdict::Deny))];
        assert!(!tally(false, &answers).is_right());
        let excused = tally(true, &answers);
        assert!(excused.is_right());
        assert_eq!(excused.excused, BTreeMap::from([(Miscount::ValidRefused, 1), (Miscount::NoAnswer, 1)]));
    }

    #[test]
    fn the_answers_of_all_connections_add_up_and_samples_stay_few() {
        let mut all = Tally::new(false);
        for _ in 0..3 {
            let answers: Vec<_> = (0..15).map(|_| (Sent::Wrong, None, told(Verdict::Allow))).collect();
            all.add(tally(false, &answers));
        }
        assert_eq!(all.miscounts, BTreeMap::from([(Miscount::WrongAccepted, 45)]));
        assert_eq!(all.samples.len(), MISCOUNTS_SHOWN_MAX);
        assert_eq!(all.counts.wrong_sent, 45);
    }
}
