//! Which user logs in next, and with what.
//!
//! Every valid code is dealt once. A user is dealt to one connection at a time. Wrong codes are dealt only where
//! they cost no wait: after an accept in this run, and as few in a row as are free, or the throttle would refuse
//! valid codes as well.

use std::collections::VecDeque;

use otp_core::ThrottleRules;

use super::judge::Fate;
use crate::chance::Chance;
use crate::journal::Sent;
use crate::login::Outcome;
use wire::login::Verdict;

/// How many steps old a code may be that is replayed: one, which the verifier's window still holds.
const REPLAYED_STEPS_MAX: u64 = 1;

/// How many users are looked at for one that may send a wrong code, before something else is sent.
const LOOKS_MAX: usize = 16;

/// What the tries are meant to be, in percent.
#[derive(Clone, Copy, Debug)]
pub struct Mix {
    /// Valid codes.
    pub valid: u8,
    /// Replays.
    pub replay: u8,
    /// Wrong codes.
    pub wrong: u8,
}

/// A login to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Try {
    /// Index of the user.
    pub user: usize,
    /// What to send.
    pub sent: Sent,
    /// The step of the code; for a wrong one, the present step.
    pub step: u64,
}

/// All users, and what they sent.
#[derive(Debug)]
pub struct Deck {
    mix: Mix,
    step: u64,
    users: Vec<User>,
    /// Users with a code of this step that was not sent.
    fresh: VecDeque<usize>,
    /// Users whose code of this step was sent.
    used: VecDeque<usize>,
    /// Users whose code of this step cannot be used.
    aside: Vec<usize>,
}

#[derive(Clone, Copy, Debug, Default)]
struct User {
    last: Option<Used>,
    is_accepted: bool,
    wrong_in_a_row: u32,
}

/// The last code that was sent.
#[derive(Clone, Copy, Debug)]
struct Used {
    step: u64,
    fate: Fate,
}

impl Deck {
    /// Nobody sent anything yet.
    pub fn new(users: usize, mix: Mix) -> Self {
        Self {
            mix,
            step: 0,
            users: vec![User::default(); users],
            fresh: (0..users).collect(),
            used: VecDeque::new(),
            aside: Vec::new(),
        }
    }

    /// The next try, as the mix wishes; something else of the mix where that cannot be had; `None` when nothing
    /// can be sent before the next step. Each try is given back, or put aside.
    pub fn deal(&mut self, now: u64, chance: &mut Chance) -> Option<Try> {
        if now > self.step {
            self.step = now;
            self.fresh.append(&mut self.used);
            self.fresh.extend(self.aside.drain(..));
        }
        let (mix, wish) = (self.mix, self.mix.draw(chance));
        let otherwise = [Sent::Valid, Sent::Replay, Sent::Wrong].into_iter().filter(|other| *other != wish);
        std::iter::once(wish)
            .chain(otherwise)
            .filter(|sent| mix.share(*sent) > 0)
            .find_map(|sent| self.find(sent))
    }

    /// A try that cannot be made, because the code is not unique.
    pub fn put_aside(&mut self, dealt: &Try) {
        self.aside.push(dealt.user);
    }

    /// A try that was made. Tells what was known of its code before.
    pub fn give_back(&mut self, dealt: &Try, outcome: &Outcome) -> Option<Fate> {
        let user = &mut self.users[dealt.user];
        let before = user.last.filter(|used| used.step == dealt.step).map(|used| used.fate);
        let is_submitted = !matches!(outcome, Outcome::NotBegun { .. });
        let is_allowed = matches!(outcome, Outcome::Decided { verdict: Verdict::Allow, .. });
        if is_submitted && dealt.sent == Sent::Wrong {
            user.wrong_in_a_row += 1;
        } else if is_submitted {
            user.last = Some(Used { step: dealt.step, fate: Fate::after(before, outcome) });
        }
        if is_allowed {
            user.is_accepted = true;
            user.wrong_in_a_row = 0;
        }
        match user.last {
            Some(used) if used.step >= self.step => self.used.push_back(dealt.user),
            _ => self.fresh.push_back(dealt.user),
        }
        before
    }

    fn find(&mut self, sent: Sent) -> Option<Try> {
        match sent {
            Sent::Valid => self.fresh.pop_front().map(|user| Try { user, sent, step: self.step }),
            Sent::Replay => self.find_replay(),
            Sent::Wrong => self.find_wrong().map(|user| Try { user, sent, step: self.step }),
        }
    }

    fn find_replay(&mut self) -> Option<Try> {
        let (users, oldest) = (&self.users, self.step.saturating_sub(REPLAYED_STEPS_MAX));
        let is_recent = |user: &mut usize| users[*user].last.is_some_and(|used| used.step >= oldest);
        let user = self.used.pop_front().or_else(|| self.fresh.pop_front_if(is_recent))?;
        let step = self.users[user].last.map(|used| used.step)?;
        Some(Try { user, sent: Sent::Replay, step })
    }

    fn find_wrong(&mut self) -> Option<usize> {
        let free = ThrottleRules::default().free_failures;
        for _ in 0..LOOKS_MAX.min(self.used.len()) {
            let user = self.used.pop_front()?;
            if self.users[user].is_accepted && self.users[user].wrong_in_a_row < free {
                return Some(user);
            }
            self.used.push_back(user);
        }
        None
    }
}

impl Mix {
    fn draw(self, chance: &mut Chance) -> Sent {
        match chance.below(100) {
            drawn if drawn < self.valid.into() => Sent::Valid,
            drawn if drawn < u64::from(self.valid) + u64::from(self.replay) => Sent::Replay,
            _ => Sent::Wrong,
        }
    }

    fn share(self, sent: Sent) -> u8 {
        match sent {
            Sent::Valid => self.valid,
            Sent::Replay => self.replay,
            Sent::Wrong => self.wrong,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decided(verdict: Verdict) -> Outcome {
        Outcome::Decided { verdict, reference: String::new() }
    }

    fn deck(users: usize, valid: u8, replay: u8, wrong: u8) -> (Deck, Chance) {
        (Deck::new(users, Mix { valid, replay, wrong }), Chance::new(1, 1))
    }

    fn right_answer(sent: Sent) -> Outcome {
        decided(if sent == Sent::Valid { Verdict::Allow } else { Verdict::Deny })
    }

    #[test]
    fn every_valid_code_is_dealt_once() {
        let (mut deck, mut chance) = deck(3, 100, 0, 0);
        for step in [10, 11] {
            let dealt: Vec<_> = std::iter::from_fn(|| {
                let dealt = deck.deal(step, &mut chance)?;
                deck.give_back(&dealt, &decided(Verdict::Allow));
                Some((dealt.user, dealt.step))
            })
            .collect();
            assert_eq!(dealt, [(0, step), (1, step), (2, step)]);
        }
    }

    #[test]
    fn a_user_is_dealt_to_one_connection_at_a_time() {
        let (mut deck, mut chance) = deck(2, 60, 30, 10);
        let first = deck.deal(10, &mut chance).unwrap();
        let second = deck.deal(10, &mut chance).unwrap();
        assert_ne!(first.user, second.user);
        assert_eq!(deck.deal(10, &mut chance), None);
        assert_eq!(deck.deal(11, &mut chance), None, "not even in another step");
        deck.give_back(&first, &decided(Verdict::Allow));
        assert_eq!(deck.deal(11, &mut chance).unwrap().user, first.user);
    }

    #[test]
    fn a_code_of_the_step_before_is_replayed_and_an_older_one_is_not() {
        let (mut deck, mut chance) = deck(1, 100, 0, 0);
        let valid = deck.deal(10, &mut chance).unwrap();
        assert_eq!(valid, Try { user: 0, sent: Sent::Valid, step: 10 });
        deck.give_back(&valid, &decided(Verdict::Allow));
        deck.mix = Mix { valid: 0, replay: 100, wrong: 0 };
        let replay = deck.deal(11, &mut chance).unwrap();
        assert_eq!(replay, Try { user: 0, sent: Sent::Replay, step: 10 });
        assert_eq!(deck.give_back(&replay, &decided(Verdict::Deny)), Some(Fate::Accepted));
        assert_eq!(deck.deal(12, &mut chance), None);
    }

    #[test]
    fn wrong_codes_follow_an_accept_and_stay_below_what_the_throttle_counts() {
        let (mut deck, mut chance) = deck(5, 1, 0, 99);
        let mut in_a_row = [None; 5];
        for step in 10..40 {
            while let Some(dealt) = deck.deal(step, &mut chance) {
                in_a_row[dealt.user] = match dealt.sent {
                    Sent::Wrong => in_a_row[dealt.user].map(|count| count + 1),
                    Sent::Valid | Sent::Replay => Some(0),
                };
                assert!(in_a_row[dealt.user].is_some_and(|count| count <= 4), "step {step}: {in_a_row:?}");
                deck.give_back(&dealt, &right_answer(dealt.sent));
            }
        }
        assert!(in_a_row.iter().all(|count| *count == Some(4)));
    }

    #[test]
    fn the_mix_is_kept_where_it_can_be() {
        let (mut deck, mut chance) = deck(10_000, 65, 30, 5);
        let mut counts = [0; 3];
        for _ in 0..10_000 {
            let dealt = deck.deal(10, &mut chance).unwrap();
            counts[dealt.sent as usize] += 1;
            deck.give_back(&dealt, &right_answer(dealt.sent));
        }
        for (count, percent) in counts.into_iter().zip([65, 30, 5]) {
            assert!((percent * 85..percent * 115).contains(&count), "{counts:?}");
        }
    }

    #[test]
    fn a_login_that_did_not_begin_leaves_its_code_unused() {
        let (mut deck, mut chance) = deck(1, 100, 0, 0);
        let dealt = deck.deal(10, &mut chance).unwrap();
        deck.give_back(&dealt, &Outcome::NotBegun { problem: String::new() });
        assert_eq!(deck.deal(10, &mut chance), Some(dealt));
    }

    #[test]
    fn a_code_that_was_put_aside_comes_back_as_the_next_one() {
        let (mut deck, mut chance) = deck(1, 100, 0, 0);
        let dealt = deck.deal(10, &mut chance).unwrap();
        deck.put_aside(&dealt);
        assert_eq!(deck.deal(10, &mut chance), None);
        assert_eq!(deck.deal(11, &mut chance).unwrap().step, 11);
    }
}
