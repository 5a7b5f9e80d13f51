//! Refusals that are alike: at most one record a second tells of them, so that trying again and again fills no disk.
//!
//! The first one records; those that come while its record is on its way wait for it, and share it only once it is in
//! the ledger.

use std::time::Duration;

use tokio::sync::watch;

use crate::audit::Reference;

/// At most one record in this time.
const RECORD_EVERY: Duration = Duration::from_secs(1);

/// Refusals that no record has told yet are forgotten after this long: their number is lost, not the fact.
const FORGET_AFTER: Duration = Duration::from_secs(3600);

/// The last refusal that was recorded, and how many there were since.
#[derive(Debug, Default)]
pub struct Telling {
    told: Option<(Duration, Reference)>,
    on_its_way: Option<watch::Receiver<Option<Reference>>>,
    repeats: u64,
    last: Duration,
}

/// Whether a refusal like the last one needs a record of its own.
#[derive(Debug)]
pub enum Repeat {
    /// No: this record of just before tells of it too.
    Told(Reference),
    /// The record that will is on its way; if it comes to nothing, ask again.
    Wait(watch::Receiver<Option<Reference>>),
    /// Yes.
    ToTell(ToTell),
}

/// The duty to record a refusal. Dropped without [`Telling::tell`], the next one has it.
#[derive(Debug)]
pub struct ToTell {
    /// Refusals since the last record, which this one stands for too.
    pub repeats: u64,
    done: watch::Sender<Option<Reference>>,
}

impl Telling {
    /// Asks whether a refusal at `now` needs a record, and counts it when it does not.
    pub fn ask(&mut self, now: Duration) -> Repeat {
        self.last = now;
        if let Some((at, reference)) = self.told
            && now.saturating_sub(at) < RECORD_EVERY
        {
            self.repeats = self.repeats.saturating_add(1);
            return Repeat::Told(reference);
        }
        // Whoever was to record it and went away has dropped his end.
        if let Some(waiting) = self.on_its_way.as_ref().filter(|waiting| waiting.has_changed().is_ok()) {
            return Repeat::Wait(waiting.clone());
        }
        let (done, waiting) = watch::channel(None);
        self.on_its_way = Some(waiting);
        Repeat::ToTell(ToTell { repeats: self.repeats, done })
    }

    /// Remembers which record tells of refusals from now on. To be called once it is in the ledger.
    pub fn tell(&mut self, now: Duration, reference: Reference, duty: ToTell) {
        let waiting = duty.done.receiver_count().saturating_sub(1) as u64;
        self.repeats = self.repeats.saturating_sub(duty.repeats).saturating_add(waiting);
        self.told = Some((now, reference));
        self.on_its_way = None;
        duty.done.send_replace(Some(reference));
    }

    /// Whether nothing, or nothing that is worth its memory, would be lost by forgetting it.
    pub fn is_over(&self, now: Duration) -> bool {
        let is_quiet = self.told.is_none_or(|(at, _)| now.saturating_sub(at) >= RECORD_EVERY);
        let is_on_its_way = self.on_its_way.as_ref().is_some_and(|waiting| waiting.has_changed().is_ok());
        let is_old = now.saturating_sub(self.last) >= FORGET_AFTER;
        is_quiet && !is_on_its_way && (self.repeats == 0 || is_old)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn duty(telling: &mut Telling, now: Duration) -> ToTell {
        match telling.ask(now) {
            Repeat::ToTell(duty) => duty,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn one_record_a_second_tells_of_all() {
        let mut telling = Telling::default();
        let reference = Reference::parse("0A1B-Z9XK").unwrap();
        let first = duty(&mut telling, Duration::ZERO);
        assert_eq!(first.repeats, 0);
        let Repeat::Wait(mut waiting) = telling.ask(Duration::ZERO) else { panic!("it is on its way") };
        telling.tell(Duration::ZERO, reference, first);
        assert_eq!(*waiting.wait_for(Option::is_some).await.unwrap(), Some(reference));
        assert!(matches!(telling.ask(SECOND / 2), Repeat::Told(told) if told == reference));
        assert!(!telling.is_over(2 * SECOND), "two refusals are not told yet");
        let second = duty(&mut telling, SECOND);
        assert_eq!(second.repeats, 2);
        telling.tell(SECOND, reference, second);
        assert!(!telling.is_over(SECOND) && telling.is_over(2 * SECOND));
    }

    #[tokio::test]
    async fn a_record_that_comes_to_nothing_leaves_its_duty_and_its_count_to_the_next() {
        let mut telling = Telling::default();
        let reference = Reference::parse("0A1B-Z9XK").unwrap();
        let first = duty(&mut telling, Duration::ZERO);
        telling.tell(Duration::ZERO, reference, first);
        telling.ask(Duration::ZERO);
        let failing = duty(&mut telling, SECOND);
        let Repeat::Wait(mut waiting) = telling.ask(SECOND) else { panic!("it is on its way") };
        drop(failing);
        assert!(waiting.wait_for(Option::is_some).await.is_err());
        assert_eq!(duty(&mut telling, SECOND).repeats, 1);
    }

    #[test]
    fn what_nobody_asks_about_any_more_is_forgotten() {
        let mut telling = Telling::default();
        let first = duty(&mut telling, Duration::ZERO);
        telling.tell(Duration::ZERO, Reference::parse("0A1B-Z9XK").unwrap(), first);
        telling.ask(Duration::ZERO);
        assert!(!telling.is_over(FORGET_AFTER / 2) && telling.is_over(FORGET_AFTER));
    }
}
