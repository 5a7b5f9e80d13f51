//! What the usual login needs of a user's token, in one piece beside the user's name: looking it up waits for memory a
//! few times, not once for each part of a token.
//!
//! It decides nothing: what is expected here is claimed in the ledger like every code, and a claim that loses goes the
//! long way.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use otp_core::matching::is_expected;
use otp_core::totp::TimeSteps;
use otp_core::{OtpKey, OtpValue};

use super::{Factor, Token, TokenState, UncleanStop};
use crate::clock::UnixTime;

/// Time steps tried each way. One: RFC 6238 §5.2 recommends to allow at most one step of delay.
pub const DRIFT_WINDOW: u8 = 1;

/// Where a token is expected to stand.
#[derive(Clone, Copy, Debug)]
pub struct Expectation<'a> {
    /// What its codes are computed with.
    pub key: &'a OtpKey,
    /// What they follow.
    pub factor: Factor,
    /// By how many time steps its clock is known to be ahead.
    pub time_drift: i32,
    /// How many unclean stops there had been when two codes last proved its counter.
    pub quarantine: u32,
    /// The value of its credential.
    pub value: u64,
}

impl Expectation<'_> {
    /// Whether the code is the one of this time step, or of the next counter, and may be used: the claim's value.
    ///
    /// # Leaks
    /// It answers sooner than a look around would; that tells that the code is right, as the verdict does.
    pub fn met_by(&self, typed: &str, now: UnixTime, unclean: UncleanStop) -> Option<u64> {
        let (factor, to) = match self.factor {
            Factor::Time(time_interval) => {
                let steps = TimeSteps { initial_time: 0, time_interval };
                let step = steps.step_at(now).ok()?.saturating_add_signed(self.time_drift.into());
                let used = self.value.max(quarantine_floor(self.time_drift, steps, unclean));
                (step > used).then_some((step, step))?
            }
            Factor::Counter if self.quarantine < unclean.number => return None,
            Factor::Counter => (self.value, self.value.checked_add(1)?),
        };
        let typed = OtpValue::from_typed(typed, self.key.digits()).ok()?;
        is_expected(self.key, &typed, factor).then_some(to)
    }
}

/// The newest step that may have been used before the last unclean stop; 0 when there was none.
pub fn quarantine_floor(time_drift: i32, steps: TimeSteps, unclean: UncleanStop) -> u64 {
    match (unclean.number, steps.step_at(unclean.at)) {
        (0, _) | (_, Err(_)) => 0,
        (_, Ok(step)) => {
            let middle = step.saturating_add_signed(time_drift.into());
            middle.saturating_add(u64::from(DRIFT_WINDOW))
        }
    }
}

/// A copy of what moves seldom, and the value as this user's last login left it.
#[derive(Debug)]
pub struct Hot {
    key: OtpKey,
    /// May lag behind the token's, never ahead of the ledger.
    value: AtomicU64,
    factor: Factor,
    time_drift: i32,
    quarantine: u32,
    /// Which of the user's tokens it is.
    place: usize,
}

impl Hot {
    /// The first of the tokens that its user has proved.
    pub fn of(tokens: &[Arc<Token>]) -> Option<Self> {
        let place = tokens.iter().position(|token| token.record.state == TokenState::Associated)?;
        let token = &tokens[place];
        let Expectation { factor, time_drift, quarantine, value, .. } = token.expectation();
        let (key, value) = (token.key.clone(), AtomicU64::new(value));
        Some(Self { key, value, factor, time_drift, quarantine, place })
    }

    /// Where the token is expected to stand.
    pub fn expectation(&self) -> Expectation<'_> {
        let Self { key, factor, time_drift, quarantine, .. } = self;
        let (factor, time_drift, quarantine) = (*factor, *time_drift, *quarantine);
        Expectation { key, factor, time_drift, quarantine, value: self.value.load(Ordering::Acquire) }
    }

    /// Records the value, which only ever rises, once its claim is durable. Whether it rose.
    pub fn advance(&self, to: u64) -> bool {
        self.value.fetch_max(to, Ordering::AcqRel) < to
    }

    /// Which of the user's tokens it is.
    pub fn place(&self) -> usize {
        self.place
    }
}

impl Clone for Hot {
    fn clone(&self) -> Self {
        let Self { key, factor, time_drift, quarantine, place, value } = self;
        let value = AtomicU64::new(value.load(Ordering::Acquire));
        let (factor, time_drift, quarantine, place) = (*factor, *time_drift, *quarantine, *place);
        Self { key: key.clone(), value, factor, time_drift, quarantine, place }
    }
}
