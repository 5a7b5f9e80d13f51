//! Refusals that are alike: at most one record a second tells of them, so that trying again and again fills no disk.

use std::time::Duration;

use crate::audit::Reference;

/// At most one record in this time.
const RECORD_EVERY: Duration = Duration::from_secs(1);

/// The last refusal that was recorded, and how many there were since.
#[derive(Debug, Default)]
pub struct Telling {
    told: Option<(Duration, Reference)>,
    repeats: u64,
}

/// Whether a refusal like the last one needs a record of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// No: this record of just before tells of it too.
    Told(Reference),
    /// Yes, and it stands for this many before it.
    ToTell {
        /// Refusals since the last record.
        repeats: u64,
    },
}

impl Telling {
    /// Asks whether a refusal at `now` needs a record, and counts it when it does not.
    pub fn ask(&mut self, now: Duration) -> Repeat {
        match self.told {
            Some((at, reference)) if now.saturating_sub(at) < RECORD_EVERY => {
                self.repeats = self.repeats.saturating_add(1);
                Repeat::Told(reference)
            }
            _ => Repeat::ToTell { repeats: std::mem::take(&mut self.repeats) },
        }
    }

    /// Remembers which record tells of refusals from now on.
    pub fn tell(&mut self, now: Duration, reference: Reference) {
        self.told = Some((now, reference));
    }

    /// Whether nothing would be lost by forgetting it.
    pub fn is_over(&self, now: Duration) -> bool {
        self.repeats == 0 && self.told.is_none_or(|(at, _)| now.saturating_sub(at) >= RECORD_EVERY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn one_record_a_second_tells_of_all() {
        let mut telling = Telling::default();
        let reference = Reference::parse("0A1B-Z9XK").unwrap();
        assert_eq!(telling.ask(Duration::ZERO), Repeat::ToTell { repeats: 0 });
        telling.tell(Duration::ZERO, reference);
        assert_eq!(telling.ask(SECOND / 2), Repeat::Told(reference));
        assert_eq!(telling.ask(SECOND / 2), Repeat::Told(reference));
        assert!(!telling.is_over(2 * SECOND), "two refusals are not told yet");
        assert_eq!(telling.ask(SECOND), Repeat::ToTell { repeats: 2 });
        telling.tell(SECOND, reference);
        assert!(!telling.is_over(SECOND) && telling.is_over(2 * SECOND));
    }
}
