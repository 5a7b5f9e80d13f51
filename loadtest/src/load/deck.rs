//! Which user logs in next, and with what.
//!
//! Every valid code is dealt once. A user's next code is dealt when all copies of the one before are answered. Typing
//! errors are dealt only where they cost no wait: after an accept in this run, and as few in a row as are free, or
//! the throttle would refuse valid codes as well. Guesses of strangers are dealt at any time: from an address that is
//! not the user's they must not slow him.

use std::collections::VecDeque;

use otp_core::ThrottleRules;

use super::judge::{Code, Fate, Miscount, judge_wrong};
use super::profile::Mix;
use crate::authenticator::{Authenticator, Pace};
use crate::chance::Chance;
use crate::journal::Sent;
use crate::outcome::Outcome;

/// How many steps old a code may be that is replayed: one, which the verifier's window still holds.
const REPLAYED_STEPS_MAX: u64 = 1;

/// How many users are looked at for one that fits, before something else is sent.
const LOOKS_MAX: usize = 16;

/// Most copies of a code on their way at once.
const COPIES_MAX: u32 = 8;

/// Most codes of a token that counts presses whose replies may be lost one after the other. A verifier looks for ten
/// counters when nothing else is configured; further on it would rightly refuse.
const LOST_IN_A_ROW_MAX: u32 = 8;

/// Every which user strangers guess at.
const VICTIMS: usize = 10;

/// A login to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Try {
    /// Index of the user.
    pub user: usize,
    /// What to send.
    pub sent: Sent,
    /// The step or the counter of the code; for a wrong one, the present step or the next counter.
    pub factor: u64,
    /// The digits.
    pub code: String,
    /// Whether it comes from a strange address.
    pub is_strange: bool,
}

/// What an answer means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Judged {
    /// What is wrong with this one answer.
    pub miscount: Option<Miscount>,
    /// What became of the code, when this was the last of its first copies.
    pub fate: Option<Fate>,
    /// Whether the code's step ended on the way, so that a refusal is right.
    pub is_expired: bool,
    /// Whether a copy of the code was on its way during an outage.
    pub is_excused: bool,
}

/// All users of a lane, and what they sent.
#[derive(Debug)]
pub struct Deck {
    mix: Mix,
    step: u64,
    authenticators: Vec<Authenticator>,
    users: Vec<User>,
    /// Users with nothing on its way who have a code that was not sent.
    fresh: VecDeque<usize>,
    /// Users with nothing on its way whose code of this step was sent.
    used: VecDeque<usize>,
    /// Users whose code of this step cannot be used.
    aside: Vec<usize>,
    /// Tries of users that are on their way.
    on_the_way: usize,
    /// Users whose code is on its way, the latest at the back; some are back already.
    flying: VecDeque<usize>,
}

#[derive(Clone, Copy, Debug, Default)]
struct User {
    /// The last code that was dealt.
    code: Option<Code>,
    next_counter: u64,
    in_flight: u32,
    is_accepted: bool,
    wrong_in_a_row: u32,
    lost_in_a_row: u32,
}

impl Deck {
    /// Nobody sent anything yet.
    pub fn new(authenticators: Vec<Authenticator>, mix: Mix) -> Self {
        let user = |authenticator: &Authenticator| User {
            next_counter: match authenticator.pace() {
                Pace::Time => 0,
                Pace::Presses(next) => next,
            },
            ..User::default()
        };
        Self {
            mix,
            step: 0,
            users: authenticators.iter().map(user).collect(),
            fresh: (0..authenticators.len()).collect(),
            authenticators,
            used: VecDeque::new(),
            aside: Vec::new(),
            on_the_way: 0,
            flying: VecDeque::new(),
        }
    }

    /// Whose user this is.
    pub fn authenticator(&self, user: usize) -> &Authenticator {
        &self.authenticators[user]
    }

    /// All users, with what their codes follow from here on.
    pub fn into_users(self) -> Vec<(Authenticator, Pace)> {
        let next = |(authenticator, user): (Authenticator, User)| match authenticator.pace() {
            Pace::Time => (authenticator, Pace::Time),
            Pace::Presses(_) => (authenticator, Pace::Presses(user.next_counter)),
        };
        self.authenticators.into_iter().zip(self.users).map(next).collect()
    }

    /// Whether an answer may set a user free.
    pub fn is_busy(&self) -> bool {
        self.on_the_way > 0
    }

    /// The next try, as the mix wishes; something else of the mix where that cannot be had; `None` when nothing
    /// can be sent before the next step. Each try is given back.
    ///
    /// * `now`: the present step.
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
            .find_map(|sent| self.find(sent, chance))
    }

    /// A try that was made.
    ///
    /// * `now`: the step at the answer.
    /// * `in_outage`: whether the verifier was known to be gone at some time between.
    pub fn give_back(&mut self, dealt: &Try, outcome: &Outcome, now: u64, in_outage: bool) -> Judged {
        if dealt.is_strange {
            return Judged { miscount: judge_wrong(outcome), is_excused: in_outage, ..Judged::default() };
        }
        let is_time = self.is_time(dealt.user);
        let user = &mut self.users[dealt.user];
        user.in_flight -= 1;
        self.on_the_way -= 1;
        let mut judged = Judged { is_excused: in_outage, ..Judged::default() };
        if dealt.sent == Sent::Wrong {
            judged.miscount = judge_wrong(outcome);
            user.wrong_in_a_row += u32::from(!matches!(outcome, Outcome::NotBegun { .. }));
        } else if let Some(code) = &mut user.code {
            code.is_excused |= in_outage;
            judged.miscount = code.answer(outcome);
            if code.in_flight == 0 && !code.is_settled {
                judged.is_excused = code.is_excused;
                judged.is_expired = is_time && now > code.factor + REPLAYED_STEPS_MAX;
                judged.fate = Some(user.settle());
            }
        }
        if outcome.is_allowed() {
            user.is_accepted = true;
            user.wrong_in_a_row = 0;
        }
        self.put_back(dealt.user);
        judged
    }

    /// A user without anything on his way goes where his next code says.
    fn put_back(&mut self, index: usize) {
        let user = self.users[index];
        if user.in_flight > 0 || user.lost_in_a_row > LOST_IN_A_ROW_MAX {
            return;
        }
        let is_used = self.is_time(index) && user.code.is_some_and(|code| code.factor >= self.step);
        if is_used { self.used.push_back(index) } else { self.fresh.push_back(index) }
    }

    fn is_time(&self, user: usize) -> bool {
        self.authenticators[user].pace() == Pace::Time
    }

    fn find(&mut self, sent: Sent, chance: &mut Chance) -> Option<Try> {
        match sent {
            Sent::Valid => self.find_valid(),
            Sent::Replay if self.mix.copies_at_once && chance.below(2) == 0 => {
                self.find_flying().or_else(|| self.find_replay(chance))
            }
            Sent::Replay => self.find_replay(chance),
            Sent::Wrong if self.mix.strangers => Some(self.guess(chance)),
            Sent::Wrong => self.find_mistyped(chance),
        }
    }

    fn find_valid(&mut self) -> Option<Try> {
        while let Some(index) = self.fresh.pop_front() {
            let authenticator = &self.authenticators[index];
            let (factor, code) = match authenticator.pace() {
                Pace::Presses(_) => {
                    let next = self.users[index].next_counter;
                    (next, Some(authenticator.press(next)))
                }
                Pace::Time => (self.step, authenticator.code(self.step)),
            };
            let Some(code) = code else {
                self.aside.push(index);
                continue;
            };
            self.users[index].code = Some(Code::new(factor));
            if self.mix.copies_at_once {
                self.flying.push_back(index);
            }
            return Some(self.send(index, Sent::Valid, factor, code));
        }
        None
    }

    /// One more copy of a code that is on its way.
    fn find_flying(&mut self) -> Option<Try> {
        while let Some(index) = self.flying.pop_back() {
            let may_have_more = |code: &Code| !code.is_settled && code.in_flight < COPIES_MAX;
            let Some(code) = self.users[index].code.filter(may_have_more) else { continue };
            self.flying.push_back(index);
            let digits = self.digits(index, code.factor)?;
            return Some(self.send(index, Sent::Replay, code.factor, digits));
        }
        None
    }

    /// One more copy of a code that was answered.
    fn find_replay(&mut self, chance: &mut Chance) -> Option<Try> {
        let oldest = self.step.saturating_sub(REPLAYED_STEPS_MAX);
        let index = self.find_idle(chance, |deck, index| {
            let Some(code) = deck.users[index].code else { return false };
            if deck.is_time(index) {
                code.factor >= oldest
            } else {
                !deck.authenticators[index].comes_again(code.factor)
            }
        })?;
        let factor = self.users[index].code?.factor;
        let digits = self.digits(index, factor)?;
        Some(self.send(index, Sent::Replay, factor, digits))
    }

    fn find_mistyped(&mut self, chance: &mut Chance) -> Option<Try> {
        let free = ThrottleRules::default().free_failures;
        let index = self.find_idle(chance, |deck, index| {
            deck.users[index].is_accepted && deck.users[index].wrong_in_a_row < free
        })?;
        let factor = self.present_factor(index);
        let code = self.authenticators[index].wrong_code(factor, chance);
        Some(self.send(index, Sent::Wrong, factor, code))
    }

    /// What a stranger sends.
    fn guess(&self, chance: &mut Chance) -> Try {
        let victims = self.users.len().div_ceil(VICTIMS) as u64;
        let user = VICTIMS * usize::try_from(chance.below(victims)).expect("an index");
        let factor = self.present_factor(user);
        let code = self.authenticators[user].wrong_code(factor, chance);
        Try { user, sent: Sent::Wrong, factor, code, is_strange: true }
    }

    /// Takes one of some users with nothing on their way who fits; begins with either sort by chance.
    fn find_idle(&mut self, chance: &mut Chance, fits: impl Fn(&Self, usize) -> bool) -> Option<usize> {
        let fresh_first = chance.below(2) == 0;
        for is_fresh in [fresh_first, !fresh_first] {
            for look in 0..LOOKS_MAX {
                let queue = if is_fresh { &self.fresh } else { &self.used };
                let Some(place) = place_to_look(queue.len(), look, chance) else { break };
                if fits(self, queue[place]) {
                    let queue = if is_fresh { &mut self.fresh } else { &mut self.used };
                    return queue.swap_remove_back(place);
                }
            }
        }
        None
    }

    fn digits(&self, index: usize, factor: u64) -> Option<String> {
        let authenticator = &self.authenticators[index];
        match authenticator.pace() {
            Pace::Presses(_) => Some(authenticator.press(factor)),
            Pace::Time => authenticator.code(factor),
        }
    }

    fn present_factor(&self, index: usize) -> u64 {
        if self.is_time(index) { self.step } else { self.users[index].next_counter }
    }

    fn send(&mut self, index: usize, sent: Sent, factor: u64, code: String) -> Try {
        self.on_the_way += 1;
        let user = &mut self.users[index];
        user.in_flight += 1;
        if let Some(code) = user.code.as_mut().filter(|_| sent != Sent::Wrong) {
            code.in_flight += 1;
        }
        Try { user: index, sent, factor, code, is_strange: false }
    }
}

impl User {
    /// All first copies of the code are answered.
    fn settle(&mut self) -> Fate {
        let Some(code) = &mut self.code else { return Fate::Unsent };
        let fate = code.fate();
        match fate {
            Fate::Unsent => self.code = None,
            Fate::Accepted | Fate::Refused | Fate::Unknown => {
                code.is_settled = true;
                self.next_counter = code.factor + 1;
                self.lost_in_a_row = if fate == Fate::Unknown { self.lost_in_a_row + 1 } else { 0 };
            }
        }
        fate
    }
}

/// Where to look in a queue: in turns among those who came last, who have sent something, and anywhere.
fn place_to_look(length: usize, look: usize, chance: &mut Chance) -> Option<usize> {
    let among = if look.is_multiple_of(2) { length.min(LOOKS_MAX) } else { length };
    let back = usize::try_from(chance.below(u64::try_from(among).ok().filter(|among| *among > 0)?)).ok()?;
    Some(length - 1 - back)
}

#[cfg(test)]
mod tests;
