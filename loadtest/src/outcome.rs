//! What became of a code that was submitted, however it was.

use std::fmt;

use wire::login::Verdict;

/// What became of a code that was submitted.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The verifier decided.
    Decided {
        /// How.
        verdict: Verdict,
        /// Under which reference.
        reference: String,
        /// Whether it said that there were too many attempts: then the code was not looked at.
        is_throttled: bool,
    },
    /// It asked for one more code instead of deciding: what it was given lies far from where the token stands.
    AskedAgain,
    /// The request went out and no valid reply came back: the code may be used up, or not.
    NoAnswer {
        /// Why.
        problem: String,
    },
    /// A reply came that is for another login.
    Foreign {
        /// For which.
        problem: String,
    },
    /// The login never came as far as the code.
    NotBegun {
        /// Why.
        problem: String,
    },
}

/// A reply that does not repeat what was asked.
#[derive(Debug)]
pub struct Foreign(pub String);

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the reply is for another login: {}", self.0)
    }
}

impl std::error::Error for Foreign {}

impl Outcome {
    /// A decision.
    ///
    /// * `texts`: what it said for the user.
    pub fn decided<'a>(
        verdict: Verdict,
        reference: String,
        texts: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let is_throttled = texts.into_iter().any(|text| text.contains(THROTTLED_WORDS));
        Self::Decided { verdict, reference, is_throttled }
    }

    /// A request without a valid reply.
    pub fn lost(error: &anyhow::Error) -> Self {
        let problem = format!("{error:#}");
        if error.is::<Foreign>() { Self::Foreign { problem } } else { Self::NoAnswer { problem } }
    }

    /// Whether it was let in after a code.
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Decided { verdict: Verdict::Allow, .. })
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decided { verdict, reference, .. } => write!(f, "{verdict:?}, reference {reference}"),
            Self::AskedAgain => f.write_str("asked again"),
            Self::NoAnswer { problem } | Self::Foreign { problem } | Self::NotBegun { problem } => {
                f.write_str(problem)
            }
        }
    }
}

/// How `verifierd` begins the text of a refusal for too many attempts; there is no word for programs.
const THROTTLED_WORDS: &str = "Too many attempts";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_that_looked_at_nothing_is_told_apart() {
        let refused = |text| Outcome::decided(Verdict::Deny, String::new(), [text]);
        let is_throttled = |outcome: Outcome| matches!(outcome, Outcome::Decided { is_throttled: true, .. });
        assert!(is_throttled(refused("Too many attempts. Try again in 8 s. Reference 0000-0000.")));
        assert!(!is_throttled(refused("Access denied. Reference 0000-0000.")));
    }

    #[test]
    fn a_reply_for_another_login_is_not_merely_a_lost_one() {
        let foreign = anyhow::Error::new(Foreign("mallory".to_owned()));
        assert!(matches!(Outcome::lost(&foreign), Outcome::Foreign { .. }));
        assert!(matches!(Outcome::lost(&anyhow::anyhow!("broke")), Outcome::NoAnswer { .. }));
    }
}
