//! Counts the answers of a load, and how long they took: in all, and for each stretch of the run.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;
use wire::login::Verdict;

use super::deck::{Judged, Try};
use super::judge::{Fate, Miscount};
use crate::authenticator::Pace;
use crate::journal::Sent;
use crate::latency::Latency;
use crate::outcome::Outcome;
use crate::report::MISCOUNTS_SHOWN_MAX;

/// Longest time that is told apart within a stretch, in microseconds: a minute, as in [`Latency`].
const MICROSECONDS_MAX: u64 = 60_000_000;

/// Two digits for a stretch: it is plotted, and there may be hundreds.
const SIGNIFICANT_DIGITS: u8 = 2;

/// One answer with everything that is known of it. Moments are since the start of the run.
#[derive(Clone, Copy, Debug)]
pub struct Answered<'a> {
    /// Whose.
    pub user: &'a str,
    /// What its codes follow.
    pub pace: Pace,
    /// What was sent.
    pub dealt: &'a Try,
    /// What came back.
    pub outcome: &'a Outcome,
    /// What that means.
    pub judged: Judged,
    /// When it was meant to be sent.
    pub intended: Duration,
    /// When it was.
    pub sent: Duration,
    /// When the answer was there.
    pub ended: Duration,
}

/// The answers of one lane, or of all.
#[derive(Debug)]
pub struct Tally {
    /// How often each thing happened.
    pub counts: Counts,
    /// What was wrong.
    pub miscounts: BTreeMap<Miscount, u64>,
    /// What an outage excuses.
    pub excused: BTreeMap<Miscount, u64>,
    /// Some miscounts with what is known about them.
    pub samples: Vec<Sample>,
    /// From the intended start to the answer, of codes that were accepted.
    pub accepts: Latency,
    /// The same of what was refused: on the beat of 10 ms.
    pub refusals: Latency,
    /// From the real start to the answer, of codes that were accepted.
    pub service: Latency,
    /// How late the client itself was, though a connection was free.
    pub client_lag: Latency,
    /// The run in stretches of [`Tally::stretch`].
    pub stretches: Vec<Stretch>,
    /// How long a stretch is.
    pub stretch: Duration,
    /// When the last answer came.
    pub ended: Duration,
}

/// How often each thing was sent and answered as it must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Codes that were right when they were sent, each counted once.
    pub valid_sent: u64,
    /// Those of which one copy was accepted.
    pub valid_accepted: u64,
    /// Valid codes by presses (HOTP) among `valid_sent`.
    pub valid_hotp: u64,
    /// Valid codes whose step ended on the way, refused rightly.
    pub valid_expired: u64,
    /// Valid codes of which nobody knows, because a reply was lost.
    pub valid_unknown: u64,
    /// Further copies of codes.
    pub replays_sent: u64,
    /// Those that were refused.
    pub replays_refused: u64,
    /// Those that were accepted instead of the first copy, which was refused or lost.
    pub replays_accepted_first: u64,
    /// Codes of nobody's.
    pub wrong_sent: u64,
    /// Those that were refused.
    pub wrong_refused: u64,
    /// Refusals among these without a look at the code, for too many attempts.
    pub throttled: u64,
    /// Logins that never came as far as their code, which is still unused.
    pub not_begun: u64,
    /// Requests that were due and never sent, because the end of the run came before a connection was free.
    pub unsent: u64,
    /// Requests that were due when no user had anything left to send.
    pub without_code: u64,
}

/// A stretch of the run.
#[derive(Clone, Debug)]
pub struct Stretch {
    /// Requests that were meant to start in it.
    pub intended: u64,
    /// Requests that did.
    pub sent: u64,
    /// Accepts that came in it.
    pub allowed: u64,
    /// Refusals that came in it.
    pub refused: u64,
    /// Requests that ended in it without either.
    pub failed: u64,
    /// Times of its accepts, from the intended start.
    pub accepts: Histogram<u32>,
}

/// A miscount with what is known about it.
#[derive(Clone, Debug, Serialize)]
pub struct Sample {
    miscount: Miscount,
    user: String,
    step: u64,
    sent: Sent,
    outcome: String,
}

impl Tally {
    /// Nothing was counted yet.
    pub fn new(stretch: Duration) -> Self {
        Self {
            counts: Counts::default(),
            miscounts: BTreeMap::new(),
            excused: BTreeMap::new(),
            samples: Vec::new(),
            accepts: Latency::default(),
            refusals: Latency::default(),
            service: Latency::default(),
            client_lag: Latency::default(),
            stretches: Vec::new(),
            stretch,
            ended: Duration::ZERO,
        }
    }

    /// The stretch that a moment of the run is in.
    pub fn stretch_at(&mut self, moment: Duration) -> &mut Stretch {
        let index = moment.as_nanos() / self.stretch.as_nanos();
        let index = usize::try_from(index).expect("a run ends");
        if index >= self.stretches.len() {
            self.stretches.resize_with(index + 1, Stretch::new);
        }
        &mut self.stretches[index]
    }

    /// Counts one answer.
    pub fn count(&mut self, answered: &Answered<'_>) {
        self.counts.add(answered);
        self.time(answered);
        let Judged { miscount, fate, is_expired, is_excused } = answered.judged;
        let refused = (fate == Some(Fate::Refused) && !is_expired).then_some(Miscount::ValidRefused);
        for miscount in miscount.into_iter().chain(refused) {
            if is_excused && miscount.is_excused_by_outage() {
                *self.excused.entry(miscount).or_default() += 1;
                continue;
            }
            *self.miscounts.entry(miscount).or_default() += 1;
            if self.samples.len() < MISCOUNTS_SHOWN_MAX {
                self.samples.push(Sample::new(miscount, answered));
            }
        }
    }

    fn time(&mut self, answered: &Answered<'_>) {
        let Answered { intended, sent, ended, outcome, .. } = *answered;
        let took = ended.saturating_sub(intended);
        self.ended = self.ended.max(ended);
        self.stretch_at(intended).intended += 1;
        self.stretch_at(sent).sent += 1;
        let stretch = self.stretch_at(ended);
        match outcome {
            Outcome::Decided { verdict: Verdict::Allow, .. } => {
                stretch.allowed += 1;
                stretch.accepts.saturating_record(microseconds(took));
                self.accepts.record(took);
                self.service.record(ended.saturating_sub(sent));
            }
            Outcome::Decided { verdict: Verdict::Deny, .. } | Outcome::AskedAgain => {
                stretch.refused += 1;
                self.refusals.record(took);
            }
            Outcome::Decided { .. }
            | Outcome::NoAnswer { .. }
            | Outcome::Foreign { .. }
            | Outcome::NotBegun { .. } => stretch.failed += 1,
        }
    }

    /// Adds the answers of another lane.
    pub fn add(&mut self, other: &Self) {
        self.counts.sum(&other.counts);
        for (to, from) in [(&mut self.miscounts, &other.miscounts), (&mut self.excused, &other.excused)] {
            from.iter().for_each(|(miscount, count)| *to.entry(*miscount).or_default() += count);
        }
        let room = MISCOUNTS_SHOWN_MAX.saturating_sub(self.samples.len());
        self.samples.extend(other.samples.iter().take(room).cloned());
        self.accepts.add(&other.accepts);
        self.refusals.add(&other.refusals);
        self.service.add(&other.service);
        self.client_lag.add(&other.client_lag);
        if self.stretches.len() < other.stretches.len() {
            self.stretches.resize_with(other.stretches.len(), Stretch::new);
        }
        self.stretches.iter_mut().zip(&other.stretches).for_each(|(to, from)| to.add(from));
        self.ended = self.ended.max(other.ended);
    }

    /// Every answer was as it must be, or is excused.
    pub fn is_right(&self) -> bool {
        self.miscounts.is_empty()
    }

    /// How many codes were sent, of every kind.
    pub fn sent(&self) -> u64 {
        let Counts { valid_sent, replays_sent, wrong_sent, .. } = self.counts;
        valid_sent + replays_sent + wrong_sent
    }

    /// Accepts and refusals in a second, over the whole run.
    ///
    /// * `planned`: how long it was meant to last; it may have taken longer.
    pub fn rate(&self, planned: Duration) -> f64 {
        let seconds = self.ended.max(planned).as_secs_f64();
        let answers: u64 = self.stretches.iter().map(|stretch| stretch.allowed + stretch.refused).sum();
        if seconds > 0.0 { answers as f64 / seconds } else { 0.0 }
    }

    /// How often something was wrong in this way.
    pub fn miscounted(&self, miscount: Miscount) -> u64 {
        self.miscounts.get(&miscount).copied().unwrap_or_default()
    }
}

impl Counts {
    fn add(&mut self, answered: &Answered<'_>) {
        let Answered { dealt, outcome, judged, pace, .. } = answered;
        let is_refused =
            matches!(outcome, Outcome::Decided { verdict: Verdict::Deny, .. } | Outcome::AskedAgain);
        match dealt.sent {
            _ if matches!(outcome, Outcome::NotBegun { .. }) => self.not_begun += 1,
            Sent::Valid => {
                self.valid_sent += 1;
                self.valid_hotp += u64::from(*pace != Pace::Time);
            }
            Sent::Replay => {
                self.replays_sent += 1;
                self.replays_refused += u64::from(is_refused);
                self.replays_accepted_first += u64::from(outcome.is_allowed() && judged.miscount.is_none());
            }
            Sent::Wrong => {
                self.wrong_sent += 1;
                self.wrong_refused += u64::from(is_refused);
                self.throttled += u64::from(matches!(outcome, Outcome::Decided { is_throttled: true, .. }));
            }
        }
        match judged.fate {
            Some(Fate::Accepted) => self.valid_accepted += 1,
            Some(Fate::Refused) => self.valid_expired += u64::from(judged.is_expired),
            Some(Fate::Unknown) => self.valid_unknown += 1,
            Some(Fate::Unsent) | None => {}
        }
    }

    fn sum(&mut self, other: &Self) {
        self.valid_sent += other.valid_sent;
        self.valid_accepted += other.valid_accepted;
        self.valid_hotp += other.valid_hotp;
        self.valid_expired += other.valid_expired;
        self.valid_unknown += other.valid_unknown;
        self.replays_sent += other.replays_sent;
        self.replays_refused += other.replays_refused;
        self.replays_accepted_first += other.replays_accepted_first;
        self.wrong_sent += other.wrong_sent;
        self.wrong_refused += other.wrong_refused;
        self.throttled += other.throttled;
        self.not_begun += other.not_begun;
        self.unsent += other.unsent;
        self.without_code += other.without_code;
    }
}

impl Stretch {
    fn new() -> Self {
        let accepts = Histogram::new_with_max(MICROSECONDS_MAX, SIGNIFICANT_DIGITS).expect("valid bounds");
        Self { intended: 0, sent: 0, allowed: 0, refused: 0, failed: 0, accepts }
    }

    fn add(&mut self, other: &Self) {
        self.intended += other.intended;
        self.sent += other.sent;
        self.allowed += other.allowed;
        self.refused += other.refused;
        self.failed += other.failed;
        self.accepts.add(&other.accepts).expect("both have the same bounds");
    }
}

impl Sample {
    fn new(miscount: Miscount, answered: &Answered<'_>) -> Self {
        let Answered { user, dealt, outcome, .. } = answered;
        Self {
            miscount,
            user: (*user).to_owned(),
            step: dealt.factor,
            sent: dealt.sent,
            outcome: outcome.to_string(),
        }
    }

    /// In one line.
    pub fn describe(&self) -> String {
        let Self { miscount, user, step, sent, outcome } = self;
        format!("{miscount:?}: {user:?}, step {step}, sent {sent:?}: {outcome}")
    }
}

fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(answers: &[(Sent, Verdict, Judged)]) -> Tally {
        let mut tally = Tally::new(Duration::from_secs(1));
        for (number, (sent, verdict, judged)) in (0..).zip(answers) {
            let dealt = Try { user: 0, sent: *sent, factor: 7, code: "123456".to_owned(), is_strange: false };
            let intended = Duration::from_millis(600 * number);
            tally.count(&Answered {
                user: "alice",
                pace: Pace::Time,
                dealt: &dealt,
                outcome: &Outcome::decided(*verdict, "0000-0000".to_owned(), []),
                judged: *judged,
                intended,
                sent: intended + Duration::from_millis(500),
                ended: intended + Duration::from_millis(900),
            });
        }
        tally
    }

    fn right() -> Judged {
        Judged::default()
    }

    fn with_fate(fate: Fate) -> Judged {
        Judged { fate: Some(fate), ..right() }
    }

    #[test]
    fn right_answers_are_counted_by_what_was_sent() {
        let tally = tally(&[
            (Sent::Valid, Verdict::Allow, with_fate(Fate::Accepted)),
            (Sent::Replay, Verdict::Deny, right()),
            (Sent::Wrong, Verdict::Deny, right()),
        ]);
        assert!(tally.is_right());
        let expected = Counts {
            valid_sent: 1,
            valid_accepted: 1,
            replays_sent: 1,
            replays_refused: 1,
            wrong_sent: 1,
            wrong_refused: 1,
            ..Counts::default()
        };
        assert_eq!(tally.counts, expected);
        assert_eq!(tally.rate(Duration::from_secs(2)), 3.0 / 2.1, "the last answer came at 2.1 s");
        assert_eq!(tally.rate(Duration::from_secs(3)), 1.0);
    }

    #[test]
    fn latency_counts_from_the_intended_start_and_lands_in_the_stretch_of_the_answer() {
        let tally = tally(&[(Sent::Valid, Verdict::Allow, right()); 3]);
        let counts = |of: fn(&Stretch) -> u64| tally.stretches.iter().map(of).collect::<Vec<_>>();
        assert_eq!(counts(|stretch| stretch.intended), [2, 1, 0], "at 0, 0.6 and 1.2 s");
        assert_eq!(counts(|stretch| stretch.sent), [1, 2, 0], "at 0.5, 1.1 and 1.7 s");
        assert_eq!(counts(|stretch| stretch.allowed), [1, 1, 1], "at 0.9, 1.5 and 2.1 s");
        assert!(tally.accepts.at(50.0).abs_diff(900_000) <= 900);
        assert!(tally.service.at(50.0).abs_diff(400_000) <= 400);
    }

    #[test]
    fn a_refused_code_is_a_miscount_unless_its_step_ended_or_an_outage_excuses_it() {
        let refused = with_fate(Fate::Refused);
        assert!(!tally(&[(Sent::Valid, Verdict::Deny, refused)]).is_right());
        let expired = tally(&[(Sent::Valid, Verdict::Deny, Judged { is_expired: true, ..refused })]);
        assert!(expired.is_right());
        assert_eq!(expired.counts.valid_expired, 1);
        let excused = tally(&[(Sent::Valid, Verdict::Deny, Judged { is_excused: true, ..refused })]);
        assert!(excused.is_right());
        assert_eq!(excused.excused, BTreeMap::from([(Miscount::ValidRefused, 1)]));
    }

    #[test]
    fn an_accept_too_many_is_a_miscount_even_in_an_outage() {
        for miscount in [Miscount::AcceptedTwice, Miscount::WrongAccepted, Miscount::ForeignReply] {
            let judged = Judged { miscount: Some(miscount), is_excused: true, ..right() };
            assert!(!tally(&[(Sent::Replay, Verdict::Allow, judged)]).is_right());
        }
    }

    #[test]
    fn the_answers_of_all_lanes_add_up_and_samples_stay_few() {
        let mut all = Tally::new(Duration::from_secs(1));
        let wrong = Judged { miscount: Some(Miscount::WrongAccepted), ..right() };
        for _ in 0..3 {
            all.add(&tally(&[(Sent::Wrong, Verdict::Allow, wrong); 15]));
        }
        assert_eq!(all.miscounts, BTreeMap::from([(Miscount::WrongAccepted, 45)]));
        assert_eq!(all.samples.len(), MISCOUNTS_SHOWN_MAX);
        assert_eq!(all.counts.wrong_sent, 45);
        assert_eq!(all.stretches.iter().map(|stretch| stretch.allowed).sum::<u64>(), 45);
    }
}
