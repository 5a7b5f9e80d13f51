//! Counts the verdicts of each round and says whether they are right.

use serde::Serialize;
use wire::login::Verdict;

use super::rota::Entrant;
use crate::latency::{Latency, LatencyReport};
use crate::outcome::Outcome;
use crate::report::{MISCOUNTS_SHOWN_MAX, Row};

/// The verdicts of one round.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Round {
    number: u32,
    user: String,
    step: u64,
    counts: Counts,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_problem: Option<String>,
}

/// How often each thing happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct Counts {
    allowed: u64,
    denied: u64,
    /// Let in without a code.
    not_required: u64,
    unavailable: u64,
    /// Verdicts of a newer version.
    unknown: u64,
    /// No valid reply to the code.
    no_answer: u64,
    /// The login never came as far as the code.
    not_begun: u64,
}

/// All rounds.
#[derive(Debug, Default)]
pub struct Tally {
    rounds: u64,
    total: Counts,
    miscounted: Vec<Round>,
    latency: Latency,
}

/// What the report says.
#[derive(Debug, Serialize)]
pub struct RaceResult {
    rounds: u64,
    right_rounds: u64,
    total: Counts,
    miscounted: Vec<Round>,
    latency: LatencyReport,
}

impl Round {
    /// Nothing happened yet.
    pub fn new(number: u32, entrant: &Entrant) -> Self {
        Self { number, user: entrant.user.clone(), step: entrant.step, ..Self::default() }
    }

    /// Counts what became of one try.
    pub fn add(&mut self, outcome: &Outcome) {
        let counts = &mut self.counts;
        let count = match outcome {
            Outcome::Decided { verdict: Verdict::Allow, .. } => &mut counts.allowed,
            Outcome::Decided { verdict: Verdict::Deny, .. } => &mut counts.denied,
            Outcome::Decided { verdict: Verdict::NotRequired, .. } => &mut counts.not_required,
            Outcome::Decided { verdict: Verdict::Unavailable, .. } => &mut counts.unavailable,
            Outcome::Decided { verdict: Verdict::Unknown, .. } => &mut counts.unknown,
            Outcome::AskedAgain | Outcome::NoAnswer { .. } | Outcome::Foreign { .. } => &mut counts.no_answer,
            Outcome::NotBegun { .. } => &mut counts.not_begun,
        };
        *count += 1;
        if !matches!(outcome, Outcome::Decided { .. }) {
            self.first_problem.get_or_insert_with(|| outcome.to_string());
        }
    }

    /// Exactly one was accepted, and all others were refused.
    fn is_right(&self) -> bool {
        self.counts == Counts { allowed: 1, denied: self.counts.denied, ..Counts::default() }
    }
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.allowed += other.allowed;
        self.denied += other.denied;
        self.not_required += other.not_required;
        self.unavailable += other.unavailable;
        self.unknown += other.unknown;
        self.no_answer += other.no_answer;
        self.not_begun += other.not_begun;
    }
}

impl Tally {
    /// Counts a round that is over.
    pub fn add(&mut self, round: Round, latency: &Latency) {
        self.rounds += 1;
        self.total.add(round.counts);
        self.latency.add(latency);
        if !round.is_right() {
            self.miscounted.push(round);
        }
    }

    /// Every round was right.
    pub fn is_right(&self) -> bool {
        self.miscounted.is_empty()
    }

    /// The figures for the terminal.
    pub fn rows(&self) -> Vec<Row> {
        let right_rounds = self.rounds - self.miscounted.len() as u64;
        let Counts { allowed, denied, not_required, unavailable, unknown, no_answer, not_begun } = self.total;
        let mut rows = vec![
            Row::new("right rounds", format!("{right_rounds} of {}", self.rounds)),
            Row::new("allowed", allowed),
            Row::new("denied", denied),
        ];
        let rare = [
            ("not required", not_required),
            ("unavailable", unavailable),
            ("unknown verdict", unknown),
            ("no answer", no_answer),
            ("not begun", not_begun),
        ];
        rows.extend(
            rare.into_iter().filter(|(_, count)| *count > 0).map(|(name, count)| Row::new(name, count)),
        );
        rows.push(Row::new("latency", self.latency.summary()));
        rows.extend(self.miscounted.iter().take(MISCOUNTS_SHOWN_MAX).map(Round::row));
        rows
    }

    /// The figures for the report.
    pub fn result(self) -> RaceResult {
        RaceResult {
            rounds: self.rounds,
            right_rounds: self.rounds - self.miscounted.len() as u64,
            total: self.total,
            miscounted: self.miscounted,
            latency: self.latency.report(),
        }
    }
}

impl Round {
    fn row(&self) -> Row {
        let Self { number, user, step, counts, first_problem } = self;
        let problem = first_problem.as_ref().map_or_else(String::new, |problem| format!(" ({problem})"));
        let others =
            counts.not_required + counts.unavailable + counts.unknown + counts.no_answer + counts.not_begun;
        let words = format!(
            "round {number}, {user:?}, step {step}: {} allowed, {} denied, {others} else{problem}",
            counts.allowed, counts.denied
        );
        Row::new("miscount", words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decided(verdict: Verdict) -> Outcome {
        Outcome::decided(verdict, "0000-0000".to_owned(), [])
    }

    fn lost() -> Outcome {
        Outcome::NoAnswer { problem: "the connection broke".to_owned() }
    }

    #[track_caller]
    fn check(outcomes: impl IntoIterator<Item = Outcome>, right: bool) {
        let mut round = Round::default();
        outcomes.into_iter().for_each(|outcome| round.add(&outcome));
        let mut tally = Tally::default();
        tally.add(round, &Latency::default());
        assert_eq!(tally.is_right(), right, "{tally:?}");
    }

    #[test]
    fn one_accept_and_nothing_but_refusals_is_right() {
        check([decided(Verdict::Allow)], true);
        check([decided(Verdict::Deny), decided(Verdict::Allow), decided(Verdict::Deny)], true);
    }

    #[test]
    fn two_accepts_or_none_are_a_miscount() {
        check([decided(Verdict::Allow), decided(Verdict::Allow), decided(Verdict::Deny)], false);
        check([decided(Verdict::Deny), decided(Verdict::Deny)], false);
    }

    #[test]
    fn anything_but_an_accept_and_refusals_is_a_miscount() {
        let not_begun = Outcome::NotBegun { problem: "cannot connect".to_owned() };
        let others = [Verdict::NotRequired, Verdict::Unavailable, Verdict::Unknown].map(decided);
        for other in others.into_iter().chain([lost(), not_begun]) {
            check([decided(Verdict::Allow), decided(Verdict::Deny), other], false);
        }
    }

    #[test]
    fn a_round_remembers_the_first_problem() {
        let mut round = Round::default();
        round.add(&lost());
        round.add(&Outcome::NotBegun { problem: "cannot connect".to_owned() });
        assert_eq!(round.first_problem.as_deref(), Some("the connection broke"));
        assert_eq!((round.counts.no_answer, round.counts.not_begun), (1, 1));
    }
}
