//! Whether answers are what they must be.
//!
//! A code is judged by all its copies together, because several may be on their way at once: at most one may be
//! accepted, and one must be, unless the answer to one was lost.

use serde::Serialize;
use wire::login::Verdict;

use crate::outcome::Outcome;

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
    /// A reply named another request, user or service.
    ForeignReply,
    /// A valid code was refused, and so was every copy of it.
    ValidRefused,
    /// Nothing was decided: unavailable, or a verdict of a newer version.
    Undecided,
    /// No valid reply came.
    NoAnswer,
    /// The login never came as far as the code.
    NotBegun,
}

impl Miscount {
    /// For people.
    pub fn words(self) -> &'static str {
        match self {
            Self::AcceptedTwice => "code accepted twice",
            Self::WrongAccepted => "wrong code accepted",
            Self::NotRequired => "let in without a code",
            Self::ForeignReply => "reply for another login",
            Self::ValidRefused => "valid code refused",
            Self::Undecided => "nothing decided",
            Self::NoAnswer => "no valid reply",
            Self::NotBegun => "login not begun",
        }
    }

    /// Whether a verifier that is killed, started or out of reach may answer so: replies are lost, and for a while
    /// after an unclean stop valid codes are refused. Nothing excuses an accept too many.
    pub fn is_excused_by_outage(self) -> bool {
        match self {
            Self::AcceptedTwice | Self::WrongAccepted | Self::NotRequired | Self::ForeignReply => false,
            Self::ValidRefused | Self::Undecided | Self::NoAnswer | Self::NotBegun => true,
        }
    }
}

/// What became of a code, once no copy of it is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// A copy was accepted.
    Accepted,
    /// All copies were refused.
    Refused,
    /// None was accepted, but a reply was lost: it may be used up.
    Unknown,
    /// No copy was ever sent.
    Unsent,
}

/// A code that was dealt, and the answers about it so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// Its step, or its counter.
    pub factor: u64,
    /// Copies on their way.
    pub in_flight: u32,
    /// Whether all first copies were answered: what is sent from then on is a late copy.
    pub is_settled: bool,
    /// Whether a copy was on its way during an outage.
    pub is_excused: bool,
    accepted: u32,
    refused: u32,
    lost: u32,
}

impl Code {
    /// A code of which nothing was sent.
    pub fn new(factor: u64) -> Self {
        Self { factor, in_flight: 0, is_settled: false, is_excused: false, accepted: 0, refused: 0, lost: 0 }
    }

    /// Takes the answer to one copy; says what is wrong with it, whatever the others get.
    pub fn answer(&mut self, outcome: &Outcome) -> Option<Miscount> {
        self.in_flight -= 1;
        match outcome {
            Outcome::NotBegun { .. } => return Some(Miscount::NotBegun),
            Outcome::Decided { verdict: Verdict::Allow, .. } => {
                self.accepted += 1;
                return (self.accepted > 1).then_some(Miscount::AcceptedTwice);
            }
            Outcome::Decided { verdict: Verdict::Deny, .. } | Outcome::AskedAgain => {
                self.refused += 1;
                return None;
            }
            Outcome::Decided { .. } | Outcome::NoAnswer { .. } | Outcome::Foreign { .. } => self.lost += 1,
        }
        miscount_of_any(outcome)
    }

    /// What became of it as far as is known.
    pub fn fate(&self) -> Fate {
        match self {
            Self { accepted: 1.., .. } => Fate::Accepted,
            Self { lost: 1.., .. } => Fate::Unknown,
            Self { refused: 1.., .. } => Fate::Refused,
            Self { .. } => Fate::Unsent,
        }
    }
}

/// What is wrong with the answer to a code of nobody's.
pub fn judge_wrong(outcome: &Outcome) -> Option<Miscount> {
    if outcome.is_allowed() { Some(Miscount::WrongAccepted) } else { miscount_of_any(outcome) }
}

/// What is wrong with an answer, whatever was sent.
fn miscount_of_any(outcome: &Outcome) -> Option<Miscount> {
    match outcome {
        Outcome::Decided { verdict: Verdict::Allow | Verdict::Deny, .. } | Outcome::AskedAgain => None,
        Outcome::Decided { verdict: Verdict::NotRequired, .. } => Some(Miscount::NotRequired),
        Outcome::Decided { verdict: Verdict::Unavailable | Verdict::Unknown, .. } => {
            Some(Miscount::Undecided)
        }
        Outcome::NoAnswer { .. } => Some(Miscount::NoAnswer),
        Outcome::Foreign { .. } => Some(Miscount::ForeignReply),
        Outcome::NotBegun { .. } => Some(Miscount::NotBegun),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decided(verdict: Verdict) -> Outcome {
        Outcome::decided(verdict, String::new(), [])
    }

    fn lost() -> Outcome {
        Outcome::NoAnswer { problem: String::new() }
    }

    /// Sends a copy for each answer, all at once, and takes the answers in order.
    #[track_caller]
    fn check(answers: &[Outcome], miscounts: &[Miscount], fate: Fate) {
        let mut code = Code::new(7);
        code.in_flight = u32::try_from(answers.len()).unwrap();
        let found: Vec<_> = answers.iter().filter_map(|answer| code.answer(answer)).collect();
        assert_eq!(found, miscounts, "{answers:?}");
        assert_eq!((code.fate(), code.in_flight), (fate, 0), "{answers:?}");
    }

    #[test]
    fn one_copy_is_accepted_and_the_others_are_refused() {
        let (allow, deny) = (decided(Verdict::Allow), decided(Verdict::Deny));
        check(std::slice::from_ref(&allow), &[], Fate::Accepted);
        check(&[deny.clone(), allow.clone(), deny.clone()], &[], Fate::Accepted);
        check(&[deny.clone(), deny.clone()], &[], Fate::Refused);
        check(&[allow.clone(), deny, allow], &[Miscount::AcceptedTwice], Fate::Accepted);
    }

    #[test]
    fn a_code_whose_reply_was_lost_may_be_accepted_once_more_but_not_twice() {
        let (allow, deny) = (decided(Verdict::Allow), decided(Verdict::Deny));
        check(&[lost(), deny], &[Miscount::NoAnswer], Fate::Unknown);
        check(&[lost(), allow.clone()], &[Miscount::NoAnswer], Fate::Accepted);
        let twice = [Miscount::NoAnswer, Miscount::AcceptedTwice];
        check(&[lost(), allow.clone(), allow], &twice, Fate::Accepted);
    }

    #[test]
    fn a_login_that_did_not_begin_sent_nothing() {
        let not_begun = Outcome::NotBegun { problem: String::new() };
        check(&[not_begun], &[Miscount::NotBegun], Fate::Unsent);
    }

    #[test]
    fn no_kind_of_code_may_be_let_in_without_or_left_undecided_or_answered_for_another() {
        let cases = [
            (decided(Verdict::NotRequired), Miscount::NotRequired),
            (decided(Verdict::Unavailable), Miscount::Undecided),
            (decided(Verdict::Unknown), Miscount::Undecided),
            (Outcome::Foreign { problem: String::new() }, Miscount::ForeignReply),
            (lost(), Miscount::NoAnswer),
        ];
        for (outcome, expected) in cases {
            check(std::slice::from_ref(&outcome), &[expected], Fate::Unknown);
            assert_eq!(judge_wrong(&outcome), Some(expected));
        }
        assert_eq!(judge_wrong(&decided(Verdict::Allow)), Some(Miscount::WrongAccepted));
        assert_eq!(judge_wrong(&decided(Verdict::Deny)), None);
        assert_eq!(judge_wrong(&Outcome::AskedAgain), None);
    }

    #[test]
    fn an_outage_excuses_refusals_and_silence_but_no_accept_and_no_mix_up() {
        use Miscount::*;
        let never = [AcceptedTwice, WrongAccepted, NotRequired, ForeignReply];
        assert!(never.iter().all(|miscount| !miscount.is_excused_by_outage()));
        let then = [ValidRefused, Undecided, NoAnswer, NotBegun];
        assert!(then.iter().all(|miscount| miscount.is_excused_by_outage()));
    }
}
