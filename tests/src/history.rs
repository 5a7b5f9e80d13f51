//! The one history checker: judges a run by what clients were told, by the audit trail, and by what is stored.
//!
//! It knows nothing of how the run went: whether the daemon was killed, its disk failed or its clock jumped, the
//! same rules hold. They are DESIGN's invariants 1 to 3:
//!
//! | rule | broken when |
//! | --- | --- |
//! | once | a password (user, token, step or counter) is accepted twice, in the trail or by what clients saw |
//! | durable | an accept that a client was told of is not in the trail as an accept of that user |
//! | upwards | the accepted steps or counters of a token do not rise; what is stored is below an accepted one, or below what was stored before |
//! | counted | a refusal that a client was told of is not in the trail, or is missing in the token's failure count |
//! | whole | the trail has a gap |
//!
//! An accept that no client heard of breaks nothing: its reply was lost, and the password counts as used.

mod evidence;
mod rules;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Mutex, PoisonError};

use wire::login::{Next, Reply, Verdict};

pub use evidence::{Evidence, Standing};

/// One answer that a client got.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Whose login.
    pub user: String,
    /// Which one-time password.
    pub code: String,
    /// What the daemon said.
    pub verdict: Verdict,
    /// Under which reference.
    pub reference: String,
}

impl Answer {
    /// A reply that ends a dialogue; none when the dialogue asks for more.
    pub fn of_reply(user: &str, code: &str, reply: &Reply) -> Option<Self> {
        match &reply.next {
            Next::Ask { .. } => None,
            Next::Done { verdict, reference, .. } => Some(Self {
                user: user.to_owned(),
                code: code.to_owned(),
                verdict: *verdict,
                reference: reference.clone(),
            }),
        }
    }
}

/// Every answer that clients got in a run, across restarts.
#[derive(Clone, Debug, Default)]
pub struct History {
    answers: Vec<Answer>,
    /// What was stored at times in between, oldest first.
    seen: Vec<Evidence>,
}

impl History {
    /// Adds one answer.
    pub fn push(&mut self, answer: Answer) {
        self.answers.push(answer);
    }

    /// Notes what is stored at a moment between, such as after a restart: nothing may be below it later.
    pub fn saw(&mut self, evidence: &Evidence) {
        self.seen.push(Evidence { trail: Vec::new(), standings: evidence.standings.clone() });
    }

    /// The same with some of the answers.
    #[must_use]
    pub fn only(&self, keep: impl Fn(&Answer) -> bool) -> Self {
        let answers = self.answers.iter().filter(|answer| keep(answer)).cloned().collect();
        Self { answers, seen: Vec::new() }
    }

    /// How many logins were accepted.
    pub fn accepted(&self) -> usize {
        self.accepts().count()
    }

    /// How many answers there are.
    pub fn answered(&self) -> usize {
        self.answers.len()
    }

    /// Everything that cannot be, in the order of the rules; empty after a good run.
    ///
    /// A one-time password is a token's step or counter: in a long run two of one token show the same digits by
    /// chance, so the digits alone decide nothing.
    pub fn contradictions(&self, evidence: &Evidence) -> Vec<Contradiction> {
        rules::all(self, evidence)
    }

    /// # Panics
    /// With every contradiction, when there is one.
    #[track_caller]
    pub fn judge(&self, evidence: &Evidence) {
        let found = self.contradictions(evidence);
        let lines: Vec<String> = found.iter().take(SHOWN_MAX).map(ToString::to_string).collect();
        assert!(found.is_empty(), "{} contradictions:\n{}", found.len(), lines.join("\n"));
    }

    fn accepts(&self) -> impl Iterator<Item = &Answer> {
        self.answers.iter().filter(|answer| answer.verdict == Verdict::Allow)
    }
}

/// How many contradictions are shown: one lost commit may bring thousands.
const SHOWN_MAX: usize = 20;

/// Something that cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contradiction {
    /// Which rule it breaks.
    pub rule: Rule,
    /// What was found.
    pub found: String,
}

/// What a run must keep; the module says when each is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// A password is accepted at most once.
    Once,
    /// An accept is durable before it is told.
    Durable,
    /// Steps and counters only rise.
    Upwards,
    /// A refusal that was told is recorded, and counted.
    Counted,
    /// The trail has no gap.
    Whole,
}

impl fmt::Display for Contradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self.rule {
            Rule::Once => "accepted more than once",
            Rule::Durable => "accepted, but not in the trail",
            Rule::Upwards => "fell",
            Rule::Counted => "refused, but not counted",
            Rule::Whole => "the trail has a gap",
        };
        write!(f, "{words}: {}", self.found)
    }
}

/// A history that many clients write at once.
#[derive(Debug, Default)]
pub struct SharedHistory(Mutex<History>);

impl SharedHistory {
    /// A history that others may go on writing.
    pub fn of(history: History) -> Self {
        Self(Mutex::new(history))
    }

    /// Adds one answer.
    pub fn push(&self, answer: Answer) {
        self.with(|history| history.push(answer));
    }

    /// Reads or changes the history.
    pub fn with<T>(&self, work: impl FnOnce(&mut History) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
