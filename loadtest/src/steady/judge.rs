//! Whether an answer is what it must be.

use serde::Serialize;
use wire::login::Verdict;

use crate::journal::Sent;
use crate::login::Outcome;

/// What is known of a code that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was accepted: never again.
    Accepted,
    /// It was refused, though it was valid.
    Refused,
    /// Nobody knows: the reply was lost.
    Unknown,
}

/// How an answer was wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Miscount {
    /// A code that had been accepted was accepted again.
    AcceptedTwice,
    /// A code of nobody's was accepted.
    WrongAccepted,
    /// The login was let in without a code.
    NotRequired,
    /// A valid code was refused.
    ValidRefused,
    /// Nothing was decided: unavailable, or a verdict of a newer version.
    Undecided,
    /// No valid reply came.
    NoAnswer,
    /// The login never came as far as the code.
    NotBegun,
}

impl Fate {
    /// * `before`: what was known of the same code.
    pub fn after(before: Option<Self>, outcome: &Outcome) -> Self {
        match (before, outcome) {
            (Some(Self::Accepted), _) | (_, Outcome::Decided { verdict: Verdict::Allow, .. }) => {
                Self::Accepted
            }
            (_, Outcome::Decided { verdict: Verdict::Deny, .. }) => Self::Refused,
            (_, Outcome::Decided { verdict: Verdict::NotRequired, .. })
            | (_, Outcome::Decided { verdict: Verdict::Unavailable | Verdict::Unknown, .. })
            | (_, Outcome::NoAnswer { .. } | Outcome::NotBegun { .. }) => Self::Unknown,
        }
    }
}

/// Judges one answer; `None` when it is right.
///
/// * `fate`: what was known before of the code that was sent.
pub fn judge(sent: Sent, fate: Option<Fate>, outcome: &Outcome) -> Option<Miscount> {
    let verdict = match outcome {
        Outcome::NotBegun { .. } => return Some(Miscount::NotBegun),
        Outcome::NoAnswer { .. } => return Some(Miscount::NoAnswer),
        Outcome::Decided { verdict, .. } => verdict,
    };
    match (verdict, sent, fate) {
        (Verdict::NotRequired, _, _) => Some(Miscount::NotRequired),
        (Verdict::Unavailable | Verdict::Unknown, _, _) => Some(Miscount::Undecided),
        (Verdict::Allow, Sent::Wrong, _) => Some(Miscount::WrongAccepted),
        (Verdict::Allow, Sent::Valid | Sent::Replay, Some(Fate::Accepted)) => Some(Miscount::AcceptedTwice),
        // The first accept of this code, as far as anybody was told.
        (Verdict::Allow, Sent::Valid | Sent::Replay, Some(Fate::Refused | Fate::Unknown) | None) => None,
        (Verdict::Deny, Sent::Valid, _) => Some(Miscount::ValidRefused),
        (Verdict::Deny, Sent::Replay | Sent::Wrong, _) => None,
    }
}

impl Miscount {
    /// Whether a daemon that is killed and started may answer so: replies are lost, and for a while after an
    /// unclean stop valid codes are refused. Nothing excuses an accept too many.
    pub fn is_excused_by_restart(self) -> bool {
        match self {
            Self::AcceptedTwice | Self::WrongAccepted | Self::NotRequired => false,
            Self::ValidRefused | Self::Undecided | Self::NoAnswer | Self::NotBegun => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decided(verdict: Verdict) -> Outcome {
        Outcome::Decided { verdict, reference: String::new() }
    }

    #[track_caller]
    fn check(sent: Sent, fate: Option<Fate>, verdict: Verdict, expected: Option<Miscount>) {
        assert_eq!(judge(sent, fate, &decided(verdict)), expected);
    }

    #[test]
    fn a_valid_code_is_accepted_and_everything_else_refused() {
        check(Sent::Valid, None, Verdict::Allow, None);
        check(Sent::Replay, Some(Fate::Accepted), Verdict::Deny, None);
        check(Sent::Wrong, None, Verdict::Deny, None);
        check(Sent::Valid, None, Verdict::Deny, Some(Miscount::ValidRefused));
        check(Sent::Replay, Some(Fate::Accepted), Verdict::Allow, Some(Miscount::AcceptedTwice));
        check(Sent::Wrong, None, Verdict::Allow, Some(Miscount::WrongAccepted));
    }

    #[test]
    fn a_code_whose_reply_was_lost_may_be_accepted_once_more_but_not_twice() {
        let lost = Outcome::NoAnswer { problem: String::new() };
        let unknown = Fate::after(None, &lost);
        check(Sent::Replay, Some(unknown), Verdict::Allow, None);
        check(Sent::Replay, Some(unknown), Verdict::Deny, None);
        let accepted = Fate::after(Some(unknown), &decided(Verdict::Allow));
        check(Sent::Replay, Some(accepted), Verdict::Allow, Some(Miscount::AcceptedTwice));
        assert_eq!(Fate::after(Some(accepted), &lost), Fate::Accepted, "what was accepted stays so");
    }

    #[test]
    fn no_kind_of_code_may_be_let_in_without_or_left_undecided() {
        for sent in [Sent::Valid, Sent::Replay, Sent::Wrong] {
            check(sent, None, Verdict::NotRequired, Some(Miscount::NotRequired));
            check(sent, None, Verdict::Unavailable, Some(Miscount::Undecided));
            check(sent, None, Verdict::Unknown, Some(Miscount::Undecided));
        }
    }

    #[test]
    fn a_restart_excuses_refusals_and_silence_but_no_accept() {
        for sent in [Sent::Valid, Sent::Replay, Sent::Wrong] {
            for fate in [None, Some(Fate::Accepted), Some(Fate::Refused), Some(Fate::Unknown)] {
                for verdict in [Verdict::Allow, Verdict::NotRequired] {
                    let judged = judge(sent, fate, &decided(verdict));
                    assert!(judged.is_none_or(|miscount| !miscount.is_excused_by_restart()));
                }
                let judged = judge(sent, fate, &decided(Verdict::Deny));
                assert!(judged.is_none_or(Miscount::is_excused_by_restart));
            }
        }
    }
}
