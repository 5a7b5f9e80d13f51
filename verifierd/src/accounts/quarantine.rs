//! What an unclean stop leaves behind: the last claims may be missing, so a used code may look new.
//!
//! TOTP codes of that moment are refused until it has passed. HOTP tokens and recovery codes know no time:
//! a token has to show two successive codes once, and recovery codes wait until an administrator has said
//! that the loss is dealt with.

use std::sync::{Mutex, PoisonError};

use ledger::Change;
use serde::{Deserialize, Serialize};

use super::kind;
use crate::clock::UnixTime;

const KEY: &[u8] = b"last";

/// The last unclean stop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UncleanStop {
    /// How many there have been. What was proved at this number or later is sound.
    pub number: u32,
    /// When the start after it was.
    pub at: UnixTime,
    /// Whether an administrator has dealt with it.
    pub settled: bool,
}

impl UncleanStop {
    /// Reads the record; an unreadable one counts as not settled.
    pub fn decode(value: &[u8]) -> Self {
        serde_json::from_slice(value).unwrap_or(Self { number: u32::MAX, at: 0, settled: false })
    }

    /// The one after this.
    ///
    /// * `settled`: whether nothing waits for an administrator: nobody has recovery codes.
    pub fn next(self, at: UnixTime, settled: bool) -> Self {
        Self { number: self.number.saturating_add(1), at, settled }
    }

    /// Writes the record.
    pub fn put(&self) -> Change {
        let value = serde_json::to_vec(self).expect("a stop holds only numbers");
        Change::Put { kind: kind::QUARANTINE, key: KEY.into(), value }
    }
}

/// The last unclean stop, as everybody sees it; locked for a copy.
#[derive(Debug, Default)]
pub struct Quarantine(Mutex<UncleanStop>);

impl Quarantine {
    /// The last unclean stop; number 0 when there was none.
    pub fn last(&self) -> UncleanStop {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over what is durable.
    pub fn set(&self, stop: UncleanStop) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = stop;
    }

    /// Whether what was proved at `number` is to be proved again.
    pub fn holds(&self, number: u32) -> bool {
        number < self.last().number
    }

    /// Whether recovery codes made at `number` wait for an administrator.
    pub fn holds_recovery(&self, number: u32) -> bool {
        let last = self.last();
        !last.settled && number < last.number
    }
}
