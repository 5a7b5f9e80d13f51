//! Which moving factor a typed OTP value belongs to, if any.
//!
//! Keeps no state and claims nothing: a match says what the value is, and the caller makes it count once, by
//! an atomic claim on the factor. The rule behind every function here is that a factor at or below the last
//! accepted one is never `Accepted`, so that accepted factors only rise.
//!
//! # Leaks
//! Every function computes the value of every candidate in its window and compares each in constant time. The
//! answer is gathered by constant-time selection, with no branch and no memory access that depends on a
//! comparison, and is looked at once, after the last candidate. So the run time tells the size of the window
//! and the algorithm, which are public, and the answer; it does not tell which candidate matched, or how many
//! digits were right.
//!
//! Sources: RFC 4226 §7.2 to §7.4 (validation, look-ahead, resynchronization), RFC 6238 §5.2 and §6 (window,
//! single use, drift).

use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use crate::{OtpKey, OtpValue};

/// The most counters that [`match_hotp`] tries from the expected one on.
///
/// RFC 4226 §7.3: v guesses against s counters succeed in s * v / 10^digits of all cases. With 100 counters,
/// six digits and a token that is disabled after 100 failures, that is 1 %: as much as anyone should accept.
pub const LOOK_AHEAD_MAX: u32 = 100;

/// The farthest that the functions for two successive values, and those for diagnosis, search.
///
/// Two values of six digits are right by chance in one of 10^12 cases, so 1,000 places leave 10^-9. At 0.1 µs
/// for one value the search costs some 0.2 ms, which a throttled caller can afford.
pub const RESYNCHRONIZE_MAX: u32 = 1_000;

/// What a typed value turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    /// The value of `factor`, which is above everything accepted so far. The caller has to claim it.
    Accepted {
        /// The counter or time step.
        factor: u64,
    },
    /// A right value, but only for factors at or below the last accepted one: used up, or skipped for good.
    Replayed {
        /// The newest such counter or time step.
        factor: u64,
    },
    /// No value of the window.
    NoMatch,
}

/// Where to look for the value of a TOTP token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TotpWindow {
    /// The step that the verifier's clock is in.
    pub current_step: u64,
    /// Steps to try before and after the middle of the window: `2 * drift_window + 1` candidates.
    pub drift_window: u8,
    /// How many steps the token's clock is known to be ahead (or behind, when negative). Moves the middle of
    /// the window.
    pub time_drift: i32,
    /// The newest step that was ever accepted.
    pub last_accepted: Option<u64>,
}

/// Finds the time step of `attempt` in the window.
///
/// Of several steps with the same value the earliest that may still be accepted counts: it leaves the later
/// ones to come.
///
/// # Leaks
/// See the module: the time tells `drift_window` and the answer.
///
/// Source: RFC 6238 §5.2 (window, single use) and §6 (drift).
pub fn match_totp(key: &OtpKey, attempt: &OtpValue, window: &TotpWindow) -> Match {
    let middle = window.current_step.saturating_add_signed(window.time_drift.into());
    let reach = u64::from(window.drift_window);
    let next = window.last_accepted.map_or(NextFactor::From(0), NextFactor::after);

    let mut search = Search::default();
    for factor in middle.saturating_sub(reach)..=middle.saturating_add(reach) {
        search.compare(key, attempt, factor, next);
    }
    search.into_match()
}

/// Whether `attempt` is the value of the one factor where a token is expected to stand: the counter that comes next,
/// or the middle of a window. Most logins are decided by this alone, at a third of the cost of a window; where it
/// says no, the window is searched as a whole.
///
/// The caller makes sure that `factor` is above everything accepted so far, and claims it.
///
/// # Leaks
/// Nothing but the answer; that a yes comes sooner than the answer of a window tells what the verdict tells too.
///
/// Source: RFC 4226 §7.2, RFC 6238 §4.2.
pub fn is_expected(key: &OtpKey, attempt: &OtpValue, factor: u64) -> bool {
    key.value(factor).ct_eq(attempt).into()
}

/// Where to look for the value of a HOTP token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HotpWindow {
    /// The counter expected next: one above the last accepted one, or the first of a new token.
    pub next_counter: u64,
    /// s of RFC 4226 §7.4: how many counters are tried, the expected one included. At least one and at most
    /// [`LOOK_AHEAD_MAX`] are tried, whatever stands here.
    pub look_ahead: u32,
}

/// Finds the counter of `attempt` among the `look_ahead` counters from the expected one on.
///
/// As many counters below it are compared too, so that an old value can be told from a wrong one.
///
/// # Leaks
/// See the module: the time tells `look_ahead` and the answer.
///
/// Source: RFC 4226 §7.2 and §7.4.
pub fn match_hotp(key: &OtpKey, attempt: &OtpValue, window: &HotpWindow) -> Match {
    let next = NextFactor::From(window.next_counter);
    let count = u64::from(window.look_ahead.clamp(1, LOOK_AHEAD_MAX));
    let first = window.next_counter.saturating_sub(count);
    let last = window.next_counter.saturating_add(count - 1);

    let mut search = Search::default();
    for factor in first..=last {
        search.compare(key, attempt, factor, next);
    }
    search.into_match()
}

/// Finds where a HOTP token stands from two successive values, and returns the counter of the second.
///
/// * `from`: the counter expected next; no lower one is tried, so the counter never goes back.
/// * `window`: how many counters are tried for `first`, at most [`RESYNCHRONIZE_MAX`].
///
/// The caller claims the counter returned, which uses up both values.
///
/// # Leaks
/// See the module: the time tells `window` and the answer.
///
/// Source: RFC 4226 §7.4.
pub fn resynchronize_hotp(
    key: &OtpKey,
    first: &OtpValue,
    second: &OtpValue,
    from: u64,
    window: u32,
) -> Option<u64> {
    let reach = u64::from(window.min(RESYNCHRONIZE_MAX));
    find_pair(key, first, second, from, from.saturating_add(reach))
}

/// Where to look for two successive values of a TOTP token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResyncWindow {
    /// The step that the verifier's clock is in, with no drift applied.
    pub center_step: u64,
    /// How far from it the second value may be, in steps each way, at most [`RESYNCHRONIZE_MAX`].
    pub reach: u32,
    /// The newest step that was ever accepted: both values must be above it.
    pub above: Option<u64>,
}

/// Where two successive values were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resync {
    /// The step of the second value. The caller claims it, which uses up both.
    pub second_step: u64,
    /// How many steps the token's clock is ahead of the verifier's (behind, when negative): the drift to
    /// record.
    pub time_drift: i32,
}

/// Finds how far the clock of a TOTP token is off, from the values of two successive steps.
///
/// # Leaks
/// See the module: the time tells `reach`, where `above` lies in it, and the answer.
///
/// Source: RFC 6238 §6, with the two values of RFC 4226 §7.4.
pub fn resynchronize_totp(
    key: &OtpKey,
    first: &OtpValue,
    second: &OtpValue,
    window: &ResyncWindow,
) -> Option<Resync> {
    let reach = u64::from(window.reach.min(RESYNCHRONIZE_MAX));
    let lowest = match window.above.map_or(NextFactor::From(0), NextFactor::after) {
        NextFactor::From(step) => step,
        NextFactor::None => return None,
    };
    // One step before the window, because the window is about the second value.
    let from = window.center_step.saturating_sub(reach + 1).max(lowest);
    let second_step = find_pair(key, first, second, from, window.center_step.saturating_add(reach))?;

    let drift = i128::from(second_step) - i128::from(window.center_step);
    let time_drift = i32::try_from(drift).expect("a step within RESYNCHRONIZE_MAX of the center");
    Some(Resync { second_step, time_drift })
}

/// Tells how many steps ahead of the clock a refused TOTP value is (behind, when negative): the nearest
/// match, if any.
///
/// Only for explaining a refusal to an administrator; never a reason to accept.
///
/// * `reach`: steps to look each way, at most [`RESYNCHRONIZE_MAX`].
///
/// # Leaks
/// See the module: the time tells `reach` and nothing else.
pub fn find_totp(key: &OtpKey, attempt: &OtpValue, center_step: u64, reach: u32) -> Option<i64> {
    let reach = i64::from(reach.min(RESYNCHRONIZE_MAX));
    let (mut nearest, mut found) = (0_i64, Choice::from(0));
    // From the farthest to the nearest: the last match stands.
    for distance in (0..=reach).rev() {
        for offset in [distance, -distance] {
            let Some(step) = center_step.checked_add_signed(offset) else { continue };
            let hit = key.value(step).ct_eq(attempt);
            nearest.conditional_assign(&offset, hit);
            found |= hit;
        }
    }
    bool::from(found).then_some(nearest)
}

/// Tells how many counters past the expected one a refused HOTP value is: the nearest match, if any.
///
/// Only for explaining a refusal to an administrator; never a reason to accept.
///
/// * `reach`: counters to look past `next_counter`, at most [`RESYNCHRONIZE_MAX`].
///
/// # Leaks
/// See the module: the time tells `reach` and nothing else.
pub fn find_hotp(key: &OtpKey, attempt: &OtpValue, next_counter: u64, reach: u32) -> Option<u64> {
    let mut search = Search::default();
    for counter in next_counter..=next_counter.saturating_add(reach.min(RESYNCHRONIZE_MAX).into()) {
        search.compare(key, attempt, counter, NextFactor::From(next_counter));
    }
    match search.into_match() {
        Match::Accepted { factor } => Some(factor - next_counter),
        Match::Replayed { .. } | Match::NoMatch => None,
    }
}

/// The lowest factor that may still be accepted.
#[derive(Clone, Copy)]
enum NextFactor {
    From(u64),
    /// The last of all factors has been accepted.
    None,
}

impl NextFactor {
    fn after(last_accepted: u64) -> Self {
        last_accepted.checked_add(1).map_or(Self::None, Self::From)
    }

    /// Both sides are public, so an ordinary comparison will do.
    fn allows(self, factor: u64) -> Choice {
        let allowed = match self {
            Self::From(lowest) => factor >= lowest,
            Self::None => false,
        };
        Choice::from(u8::from(allowed))
    }
}

/// The outcome so far of going through candidates in rising order.
struct Search {
    is_accepted: Choice,
    accepted: u64,
    is_replayed: Choice,
    replayed: u64,
}

impl Default for Search {
    fn default() -> Self {
        Self { is_accepted: Choice::from(0), accepted: 0, is_replayed: Choice::from(0), replayed: 0 }
    }
}

impl Search {
    /// Keeps the first candidate that may be accepted, and the last that may not.
    fn compare(&mut self, key: &OtpKey, attempt: &OtpValue, factor: u64, next: NextFactor) {
        let is_same = key.value(factor).ct_eq(attempt);
        let is_allowed = next.allows(factor);

        let hit = is_same & is_allowed & !self.is_accepted;
        self.accepted.conditional_assign(&factor, hit);
        self.is_accepted |= hit;

        let hit = is_same & !is_allowed;
        self.replayed.conditional_assign(&factor, hit);
        self.is_replayed |= hit;
    }

    fn into_match(self) -> Match {
        match (bool::from(self.is_accepted), bool::from(self.is_replayed)) {
            (true, _) => Match::Accepted { factor: self.accepted },
            (false, true) => Match::Replayed { factor: self.replayed },
            (false, false) => Match::NoMatch,
        }
    }
}

/// The factor in `from + 1 ..= to` that has the value `second` and follows one with the value `first`, which is
/// not below `from`. Of several (one search in 10^9 has them) the last, which uses up the others.
fn find_pair(key: &OtpKey, first: &OtpValue, second: &OtpValue, from: u64, to: u64) -> Option<u64> {
    let mut follows_first = Choice::from(0);
    let (mut found, mut is_found) = (0_u64, Choice::from(0));
    for factor in from..=to {
        let value = key.value(factor);
        let hit = follows_first & value.ct_eq(second);
        found.conditional_assign(&factor, hit);
        is_found |= hit;
        follows_first = value.ct_eq(first);
    }
    bool::from(is_found).then_some(found)
}

#[cfg(test)]
mod tests;
