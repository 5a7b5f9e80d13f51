//! What a typed code is, as far as a user's tokens tell. Compares and computes; claims nothing.

use std::sync::Arc;
use std::time::Duration;

use otp_core::OtpValue;
use otp_core::matching::{
    HotpWindow, Match, RESYNCHRONIZE_MAX, ResyncWindow, TotpWindow, find_hotp, find_totp, match_hotp,
    match_totp, resynchronize_hotp, resynchronize_totp,
};
use otp_core::totp::TimeSteps;

use super::Ruling;
use crate::accounts::{DRIFT_WINDOW, Factor, Origin, Token, TokenState, UncleanStop, quarantine_floor};
use crate::audit::Reason;
use crate::clock::UnixTime;

/// How far a wrong TOTP code is looked for: five minutes of the usual steps. So far a re-sync at the prompt
/// reaches too: farther back, two codes that somebody has seen on the token would still open it.
pub const TOTP_REACH: u32 = 10;

/// What evaluation needs to know besides the token.
#[derive(Clone, Copy, Debug)]
pub struct Situation {
    /// The time.
    pub now: UnixTime,
    /// Counters tried from the expected one on.
    pub look_ahead: u32,
    /// The last unclean stop.
    pub unclean: UncleanStop,
}

/// What a code is for one token.
#[derive(Debug)]
pub enum Finding {
    /// The code of a moving factor that may be claimed.
    Candidate {
        /// The claim's value.
        to: u64,
        /// What stands in the record.
        detail: String,
        /// By how many time steps the token's clock is ahead, when two codes told.
        time_drift: Option<i32>,
    },
    /// A code of the token, but not one that may be accepted alone.
    OutOfStep {
        /// How far out.
        detail: String,
    },
    /// Refused.
    Ruled(Ruling),
}

/// What a code is for one token of several.
#[derive(Debug)]
pub struct Found {
    /// The token.
    pub token: Arc<Token>,
    /// What the code is for it.
    pub finding: Finding,
    /// The lower, the more it says; of equal ones the first token's counts.
    rank: u8,
}

/// What stands in the record of a code that may be claimed.
pub fn describe_claim(factor: Factor, to: u64) -> String {
    match factor {
        Factor::Time(_) => format!("step {to}"),
        Factor::Counter => format!("counter {}", to.saturating_sub(1)),
    }
}

/// The finding that says most. Where no code is as expected, every token is looked at, whatever the others say.
///
/// * `permitted`: the states in which a token may decide.
pub fn evaluate_all(
    tokens: &[Arc<Token>],
    typed: &str,
    permitted: &[TokenState],
    situation: Situation,
) -> Option<Found> {
    for token in tokens.iter().filter(|token| permitted.contains(&token.state())) {
        if let Some(to) = token.expectation().met_by(typed, situation.now, situation.unclean) {
            let detail = describe_claim(token.parameters.factor, to);
            let finding = Finding::Candidate { to, detail, time_drift: None };
            return Some(Found { token: Arc::clone(token), finding, rank: 0 });
        }
    }
    let found = tokens.iter().map(|token| evaluate(token, typed, permitted, situation));
    found.reduce(|best, other| if other.rank < best.rank { other } else { best })
}

fn evaluate(token: &Arc<Token>, typed: &str, permitted: &[TokenState], situation: Situation) -> Found {
    let serial = &token.record.serial;
    let found = |finding, rank| Found { token: Arc::clone(token), finding, rank };
    let Ok(typed) = OtpValue::from_typed(typed, token.parameters.digits) else {
        return found(Finding::Ruled(Ruling::new(Reason::Malformed).token(serial)), 7);
    };
    let (finding, rank) = match token.steps() {
        Some(steps) => evaluate_time(token, steps, &typed, situation),
        None => evaluate_counter(token, &typed, situation),
    };
    if permitted.contains(&token.state()) {
        return found(finding, rank);
    }
    let rank = if matches!(finding, Finding::Candidate { .. }) { 3 } else { 6 };
    found(Finding::Ruled(Ruling::new(reason_of(token.state())).token(serial)), rank)
}

/// Why a token in this state does not decide.
pub fn reason_of(state: TokenState) -> Reason {
    match state {
        TokenState::Available => Reason::TokenMissing,
        TokenState::Assigned | TokenState::Associated => Reason::TokenTaken,
        TokenState::Disabled => Reason::TokenDisabled,
        TokenState::Lost => Reason::TokenLost,
    }
}

fn evaluate_time(token: &Token, steps: TimeSteps, typed: &OtpValue, situation: Situation) -> (Finding, u8) {
    let serial = &token.record.serial;
    let ruled = |ruling: Ruling| Finding::Ruled(ruling.token(serial));
    let Ok(now_step) = steps.step_at(situation.now) else {
        let detail = "the clock stands before the token's first step".into();
        return (ruled(Ruling::new(Reason::WrongCode).detail(detail)), 5);
    };
    let last = token.value();
    let floor = quarantine_floor(token.record.time_drift, steps, situation.unclean);
    let window = TotpWindow {
        current_step: now_step,
        drift_window: DRIFT_WINDOW,
        time_drift: token.record.time_drift,
        last_accepted: Some(last.max(floor)),
    };
    let matched = match_totp(&token.key, typed, &window);
    let candidate = |step: u64| Finding::Candidate {
        to: step,
        detail: describe_claim(token.parameters.factor, step),
        time_drift: None,
    };
    match matched {
        Match::Accepted { factor } => (candidate(factor), 0),
        // The claim of this very request may stand in the ledger: its retry is an accept, all else is not.
        Match::Replayed { factor } if factor == last => (candidate(factor), 1),
        Match::Replayed { factor } if factor > last => {
            let detail = "the code may have been used before the unclean stop".into();
            let wait = until_step(steps, floor + 1, situation.now);
            (ruled(Ruling::new(Reason::Quarantined).detail(detail).wait(wait)), 2)
        }
        Match::Replayed { factor } => (ruled(replayed_step(token, steps, factor, situation)), 2),
        Match::NoMatch => match offset_around(token, typed, now_step) {
            Some(offset) if may_resynchronize(token, now_step, offset, last.max(floor)) => {
                (Finding::OutOfStep { detail: describe_offset(steps, offset) }, 4)
            }
            offset => {
                let detail = offset.map(|offset| describe_offset(steps, offset));
                (ruled(Ruling { detail, ..Ruling::new(Reason::WrongCode) }), 5)
            }
        },
    }
}

/// How far a code is off that is none of the window, looked for around where the token is known to stand.
fn offset_around(token: &Token, typed: &OtpValue, now_step: u64) -> Option<i64> {
    let drift = i64::from(token.record.time_drift);
    let offset = find_totp(&token.key, typed, now_step.saturating_add_signed(drift), TOTP_REACH);
    offset.map(|offset| offset.saturating_add(drift))
}

/// A phone sets its clock by the network: where its codes are off, the phone is to be mended. A token in a
/// box cannot be.
fn may_resynchronize(token: &Token, now_step: u64, offset: i64, above: u64) -> bool {
    let is_newer = now_step.checked_add_signed(offset).is_some_and(|step| step > above);
    token.record.origin == Origin::Hardware && is_newer
}

fn evaluate_counter(token: &Token, typed: &OtpValue, situation: Situation) -> (Finding, u8) {
    let next = token.value();
    let window = HotpWindow { next_counter: next, look_ahead: situation.look_ahead };
    let matched = match_hotp(&token.key, typed, &window);
    let must_prove = token.record.quarantine < situation.unclean.number;
    match matched {
        Match::Accepted { .. } if must_prove => {
            (Finding::OutOfStep { detail: "two codes are needed after an unclean stop".into() }, 4)
        }
        Match::Accepted { factor } => counter_candidate(token, factor, 0),
        // As with time: the claim of this very request may stand in the ledger.
        Match::Replayed { factor } if factor + 1 == next => counter_candidate(token, factor, 1),
        Match::Replayed { factor } => (Finding::Ruled(replayed_counter(token, factor)), 2),
        Match::NoMatch => match find_hotp(&token.key, typed, next, RESYNCHRONIZE_MAX) {
            Some(ahead) => (Finding::OutOfStep { detail: format!("out of sync by {ahead}") }, 4),
            None => (Finding::Ruled(Ruling::new(Reason::WrongCode).token(&token.record.serial)), 5),
        },
    }
}

fn counter_candidate(token: &Token, counter: u64, rank: u8) -> (Finding, u8) {
    let finding = match counter.checked_add(1) {
        Some(to) => {
            Finding::Candidate { to, detail: describe_claim(token.parameters.factor, to), time_drift: None }
        }
        // The last of all counters: there is no value above it that a claim could raise the token to.
        None => Finding::Ruled(Ruling::new(Reason::WrongCode).token(&token.record.serial)),
    };
    (finding, rank)
}

/// What two successive codes are for a token.
///
/// * `reach`: how far the clock of a TOTP token may be off, in steps; HOTP counters may be 1,000 ahead.
pub fn evaluate_pair(token: &Token, first: &str, second: &str, reach: u32, situation: Situation) -> Finding {
    let serial = &token.record.serial;
    let ruled = |reason| Finding::Ruled(Ruling::new(reason).token(serial));
    let parse = |typed| OtpValue::from_typed(typed, token.parameters.digits);
    let (Ok(first), Ok(second)) = (parse(first), parse(second)) else { return ruled(Reason::Malformed) };
    let Some(steps) = token.steps() else {
        let found = resynchronize_hotp(&token.key, &first, &second, token.value(), RESYNCHRONIZE_MAX);
        return match found.and_then(|counter| Some((counter, counter.checked_add(1)?))) {
            Some((counter, to)) => {
                Finding::Candidate { to, detail: format!("counter {counter}"), time_drift: Some(0) }
            }
            None => ruled(Reason::WrongCode),
        };
    };
    let Ok(now_step) = steps.step_at(situation.now) else { return ruled(Reason::WrongCode) };
    let center_step = now_step.saturating_add_signed(token.record.time_drift.into());
    let above = Some(token.value().max(quarantine_floor(token.record.time_drift, steps, situation.unclean)));
    match resynchronize_totp(&token.key, &first, &second, &ResyncWindow { center_step, reach, above }) {
        Some(found) => {
            let time_drift = token.record.time_drift.saturating_add(found.time_drift);
            let offset = describe_offset(steps, time_drift.into());
            let detail = format!("step {}, {offset}", found.second_step);
            Finding::Candidate { to: found.second_step, detail, time_drift: Some(time_drift) }
        }
        None => ruled(Reason::WrongCode),
    }
}

/// A used code of a token that counts presses.
pub fn replayed_counter(token: &Token, counter: u64) -> Ruling {
    let next = token.value().max(counter.saturating_add(1));
    let detail = format!("counter {counter}; counter {next} is next");
    Ruling::new(Reason::Replayed).token(&token.record.serial).detail(detail)
}

/// A used code of a token that follows the time.
pub fn replayed_step(token: &Token, steps: TimeSteps, step: u64, situation: Situation) -> Ruling {
    let last = token.value().max(step);
    let floor = quarantine_floor(token.record.time_drift, steps, situation.unclean);
    let next = last.saturating_add(1).max(floor.saturating_add(1));
    let age = situation.now.saturating_sub(steps.start_of(step));
    Ruling::new(Reason::Replayed)
        .token(&token.record.serial)
        .detail(format!("step {step}, which began {age} s ago; step {last} was accepted"))
        .wait(until_step(steps, next, situation.now))
}

/// How long until the authenticator shows the code of `step`; at least a second, for people.
fn until_step(steps: TimeSteps, step: u64, now: UnixTime) -> Duration {
    Duration::from_secs(steps.start_of(step).saturating_sub(now).max(1))
}

fn describe_offset(steps: TimeSteps, offset: i64) -> String {
    let seconds = offset.saturating_mul(i64::from(steps.time_interval.seconds()));
    format!("clock {seconds:+} s")
}
