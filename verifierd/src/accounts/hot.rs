//! What the usual login needs of a user's token, in one piece beside the user's name: looking it up waits for memory a
//! few times, not once for each part of a token.
//!
//! It decides nothing: what is expected here is claimed in the ledger like every code, and a claim that loses goes the
//! long way.

use std::sync::Arc;

use ledger::CredentialId;
use otp_core::matching::is_expected;
use otp_core::totp::TimeSteps;
use otp_core::{OtpKey, OtpValue};

use super::gate::Gate;
use super::token::Moving;
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

/// What a login needs of one token: a copy of what changes with its record, and what moves.
#[derive(Clone, Debug)]
pub struct Hot {
    key: OtpKey,
    moving: Arc<Moving>,
    factor: Factor,
    time_drift: i32,
    quarantine: u32,
    credential: CredentialId,
    serial: Serial,
    /// Which of the user's tokens it is.
    place: usize,
}

impl Hot {
    /// The first of the tokens that its user has proved.
    pub fn of(tokens: &[Arc<Token>]) -> Option<Self> {
        let place = tokens.iter().position(|token| token.record.state == TokenState::Associated)?;
        let token = &tokens[place];
        let Expectation { factor, time_drift, quarantine, .. } = token.expectation();
        // Another token may have decided before this one: what its gate knows may be of old.
        token.moving.gate().spoil();
        Some(Self {
            key: token.key.clone(),
            moving: Arc::clone(&token.moving),
            factor,
            time_drift,
            quarantine,
            credential: token.credential(),
            serial: Serial::new(&token.record.serial),
            place,
        })
    }

    /// Where the token is expected to stand.
    pub fn expectation(&self) -> Expectation<'_> {
        let Self { key, factor, time_drift, quarantine, .. } = self;
        let (factor, time_drift, quarantine) = (*factor, *time_drift, *quarantine);
        Expectation { key, factor, time_drift, quarantine, value: self.moving.value() }
    }

    /// Records the value, which only ever rises, once its claim is durable. Whether it rose.
    pub fn advance(&self, to: u64) -> bool {
        self.moving.raise(to)
    }

    /// Remembers the request whose code is being claimed, by the hash of all its content.
    pub fn note_claim(&self, request: &[u8; 16]) {
        self.moving.note_claim(request);
    }

    /// Whether it is the last request whose code was claimed: the same one comes again.
    pub fn was_claimed_by(&self, request: &[u8; 16]) -> bool {
        self.moving.was_claimed_by(request)
    }

    /// Where one code at a time may pass that is compared before it is counted.
    pub fn gate(&self) -> &Gate {
        self.moving.gate()
    }

    /// Wrong codes in a row.
    pub fn failures(&self) -> u32 {
        self.moving.failures()
    }

    /// The ledger's name for its moving factor.
    pub fn credential(&self) -> CredentialId {
        self.credential
    }

    /// What people call it.
    pub fn serial<'a>(&'a self, tokens: &'a [Arc<Token>]) -> &'a str {
        self.serial.get().unwrap_or_else(|| &tokens[self.place].record.serial)
    }

    /// Which of the user's tokens it is.
    pub fn place(&self) -> usize {
        self.place
    }
}

/// A serial number that is short enough to lie beside the rest, as nearly all are.
#[derive(Clone, Debug)]
struct Serial {
    length: u8,
    bytes: [u8; SERIAL_BYTES],
}

/// What fits between the other parts.
const SERIAL_BYTES: usize = 23;

impl Serial {
    fn new(text: &str) -> Self {
        let mut bytes = [0; SERIAL_BYTES];
        let length = text.len().min(SERIAL_BYTES + 1);
        if let Some(place) = bytes.get_mut(..length) {
            place.copy_from_slice(text.as_bytes());
        }
        Self { length: u8::try_from(length).expect("it was cut"), bytes }
    }

    /// None where it was too long.
    fn get(&self) -> Option<&str> {
        str::from_utf8(self.bytes.get(..usize::from(self.length))?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_serial_number_is_kept_whole_or_not_at_all() {
        for text in ["", "PT1", "12345678901234567890123", "\u{e9}-1"] {
            assert_eq!(Serial::new(text).get(), Some(text));
        }
        for text in ["123456789012345678901234".to_owned(), "1".repeat(64)] {
            assert_eq!(Serial::new(&text).get(), None);
        }
    }
}
