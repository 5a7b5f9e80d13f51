//! The password of an hour for every host: turned on and released by two administrators, one after the other.
//!
//! The chain behind it comes from the master key and a number that rises each time it is turned on, so nothing secret is kept.
//! Hosts are given what checks it and cannot make it (`offline_password::universal`).

use std::sync::{Arc, Mutex, PoisonError};

use ledger::Entry;
use offline_password::universal::{Anchor, Chain, HOURS_MAX};
use wire::admin::UniversalStep;
use zeroize::Zeroizing;

use super::maker::{MakeError, Tools, is_shown};
use super::record::{Proposal, UniversalRecord};
use crate::audit::{AuditRecord, rfc3339};
use crate::clock::UnixTime;
use crate::keys::{MasterKey, NameHasher};
use crate::turns::Turns;

/// Seconds of a password's hour.
const HOUR: UnixTime = 3_600;

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum UniversalError {
    /// It is not turned on.
    #[error(
        "the universal password is off: two administrators turn it on (`postern offline universal enable`)"
    )]
    Off,
    /// It is turned on already.
    #[error("the universal password is on already")]
    On,
    /// Its two years are over.
    #[error("the universal password was turned on two years ago and is over: turn it off, and on again")]
    Over,
    /// Whoever asked for it would be the second one too.
    #[error("you asked for this yourself: another administrator has to")]
    SamePerson,
    /// It was not stored, or could not be.
    #[error(transparent)]
    Change(#[from] MakeError),
}

/// An administrator by name.
#[derive(Clone, Debug)]
pub struct Administrator {
    /// What tells him from others, whatever he asks by.
    pub name: String,
    /// He and his role, as records have him.
    pub signature: String,
}

/// What a step came to.
#[derive(Debug)]
pub enum Stepped {
    /// A second administrator is needed.
    Waits,
    /// It is done.
    Done,
    /// Done: this is the password.
    Released {
        /// To be told once.
        password: Zeroizing<String>,
        /// When it ends.
        until: UnixTime,
    },
}

/// Turns it on and off, and releases it.
#[derive(Clone, Debug)]
pub struct Universal(Arc<Inside>);

#[derive(Debug)]
struct Inside {
    record: Mutex<Held>,
    names: NameHasher,
    fleet: [u8; 16],
    tools: Arc<Tools>,
    turns: Turns,
}

/// What is on record, and what hosts are given by it.
#[derive(Clone, Debug)]
struct Held {
    record: UniversalRecord,
    anchor: Option<Anchor>,
}

impl Universal {
    /// Goes on with what the ledger holds.
    ///
    /// * `fleet`: what chains are salted with.
    pub(super) fn new(
        record: Option<UniversalRecord>,
        tools: Arc<Tools>,
        master: &MasterKey,
        fleet: [u8; 16],
    ) -> Self {
        let names = NameHasher::new(master, "universal passwords");
        let record = record.unwrap_or_default();
        let anchor = anchor(&names, fleet, &record);
        let record = Mutex::new(Held { record, anchor });
        Self(Arc::new(Inside { record, names, fleet, tools, turns: Turns::new() }))
    }

    /// How it stands.
    pub fn record(&self) -> UniversalRecord {
        let mut record = self.held().record;
        let now = self.0.tools.clock.now();
        record.waiting = record.waiting.filter(|waiting| now < waiting.until());
        record
    }

    /// What hosts check it with; none while it is off.
    pub fn anchor(&self) -> Option<Anchor> {
        self.held().anchor
    }

    /// One administrator asks for a step, another one for the same within a quarter of an hour: then it is done.
    ///
    /// # Errors
    /// See [`UniversalError`].
    pub async fn step(
        &self,
        step: UniversalStep,
        by: Administrator,
        why: Option<String>,
    ) -> Result<Stepped, UniversalError> {
        if why.as_deref().is_some_and(|why| !is_shown(why)) {
            return Err(MakeError::Why.into());
        }
        let this = self.clone();
        let work = async move { this.step_in_turn(step, by, why).await };
        self.0.turns.take(work).await.unwrap_or(Err(MakeError::Busy.into()))
    }

    async fn step_in_turn(
        &self,
        step: UniversalStep,
        by: Administrator,
        why: Option<String>,
    ) -> Result<Stepped, UniversalError> {
        let (record, now) = (self.record(), self.0.tools.clock.now());
        match (step, &record.on) {
            (UniversalStep::Enable, Some(_)) => return Err(UniversalError::On),
            (UniversalStep::Release | UniversalStep::Disable, None) => return Err(UniversalError::Off),
            (UniversalStep::Release, Some(on)) if now / HOUR > on.last => return Err(UniversalError::Over),
            _ => {}
        }
        let first = record.waiting.as_ref().filter(|waiting| waiting.step == step);
        let Some(first) = first else {
            let told = format!("{}{}", step.word(), said(why.as_deref()));
            let event = self.event("offline_universal_asked_for", by.signature.clone(), Some(told));
            let waiting = Proposal { step, name: by.name, by: by.signature, at: now, why };
            self.store(record.waiting_for(Some(waiting)), event).await?;
            return Ok(Stepped::Waits);
        };
        if first.name == by.name {
            return Err(UniversalError::SamePerson);
        }
        let told = format!("asked for by {}{}", first.by, said(first.why.as_deref().or(why.as_deref())));
        match step {
            UniversalStep::Enable => {
                let by_both = [first.by.clone(), by.signature.clone()];
                let event = self.event("offline_universal_enabled", by.signature, Some(told));
                self.store(record.enabled(now / HOUR, HOURS_MAX, by_both, now), event).await?;
                Ok(Stepped::Done)
            }
            UniversalStep::Disable => {
                let event = self.event("offline_universal_disabled", by.signature, Some(told));
                self.store(record.disabled(), event).await?;
                Ok(Stepped::Done)
            }
            UniversalStep::Release => {
                let hour = now / HOUR;
                let until = (hour + 1) * HOUR;
                let told = format!("until {}, {told}", rfc3339(until));
                let event = self.event("offline_universal_released", by.signature, Some(told));
                let chain = chain(&self.0.names, self.0.fleet, &record);
                let password = chain.and_then(|chain| chain.password(hour)).ok_or(UniversalError::Over)?;
                // On record before anybody sees it.
                self.store(record.waiting_for(None), event).await?;
                Ok(Stepped::Released { password, until })
            }
        }
    }

    fn held(&self) -> Held {
        self.0.record.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn event(&self, event: &str, by: String, detail: Option<String>) -> AuditRecord {
        AuditRecord {
            at: rfc3339(self.0.tools.clock.now()),
            event: event.into(),
            reason: "administrator".into(),
            actor: Some(by),
            detail,
            ..AuditRecord::default()
        }
    }

    async fn store(&self, record: UniversalRecord, event: AuditRecord) -> Result<(), UniversalError> {
        let entry = Entry { changes: vec![record.put()], ..Entry::default() };
        self.0.tools.store(entry, event).await?;
        let anchor = anchor(&self.0.names, self.0.fleet, &record);
        *self.0.record.lock().unwrap_or_else(PoisonError::into_inner) = Held { record, anchor };
        Ok(())
    }
}

fn said(why: Option<&str>) -> String {
    why.map(|why| format!(": {why}")).unwrap_or_default()
}

/// The chain that is in force; none while it is off.
fn chain(names: &NameHasher, fleet: [u8; 16], record: &UniversalRecord) -> Option<Chain> {
    let on = record.on.as_ref()?;
    let end = u128::from_be_bytes(names.key(&[b"chain", &record.number.to_be_bytes()]));
    Some(Chain::new(fleet, end, on.last))
}

/// The link of the hour before it was turned on.
fn anchor(names: &NameHasher, fleet: [u8; 16], record: &UniversalRecord) -> Option<Anchor> {
    let before = record.on.as_ref()?.first.checked_sub(1)?;
    chain(names, fleet, record)?.anchor(before)
}

#[cfg(test)]
mod tests {
    use ledger::memory::MemoryLedger;
    use offline_password::Typed;

    use super::*;
    use crate::clock::{Clock as _, ManualClock};
    use crate::offline::trial;

    const START: UnixTime = 500_000 * HOUR + 600;

    struct Stand {
        ledger: Arc<MemoryLedger>,
        master: MasterKey,
        clock: Arc<ManualClock>,
    }

    impl Stand {
        fn new() -> Self {
            let clock = Arc::new(ManualClock::at(START));
            Self { ledger: Arc::default(), master: MasterKey::generate().unwrap(), clock }
        }

        /// A daemon that starts on what is stored.
        fn start(&self) -> Universal {
            trial::start(&self.ledger, &self.master, &self.clock).universal().clone()
        }
    }

    fn admin(name: &str) -> Administrator {
        Administrator { name: name.into(), signature: format!("{name} (admin)") }
    }

    async fn step(universal: &Universal, step: UniversalStep, name: &str) -> Result<Stepped, UniversalError> {
        universal.step(step, admin(name), None).await
    }

    async fn enabled(universal: &Universal) {
        assert!(matches!(step(universal, UniversalStep::Enable, "ann").await, Ok(Stepped::Waits)));
        assert!(matches!(step(universal, UniversalStep::Enable, "eve").await, Ok(Stepped::Done)));
    }

    async fn disabled(universal: &Universal) {
        assert!(matches!(step(universal, UniversalStep::Disable, "eve").await, Ok(Stepped::Waits)));
        assert!(universal.record().on.is_some(), "one is not enough");
        assert!(matches!(step(universal, UniversalStep::Disable, "ann").await, Ok(Stepped::Done)));
    }

    async fn released(universal: &Universal) -> (Zeroizing<String>, UnixTime) {
        assert!(matches!(step(universal, UniversalStep::Release, "eve").await, Ok(Stepped::Waits)));
        match step(universal, UniversalStep::Release, "ann").await {
            Ok(Stepped::Released { password, until }) => (password, until),
            other => panic!("{other:?}"),
        }
    }

    // covers: N8, D11
    #[tokio::test]
    async fn it_is_off_and_takes_two_administrators_for_each_step_also_across_a_restart() {
        let stand = Stand::new();
        let universal = stand.start();
        assert!(universal.record().on.is_none() && universal.anchor().is_none());
        assert!(matches!(step(&universal, UniversalStep::Release, "ann").await, Err(UniversalError::Off)));
        assert!(matches!(step(&universal, UniversalStep::Enable, "ann").await, Ok(Stepped::Waits)));
        assert!(matches!(
            step(&universal, UniversalStep::Enable, "ann").await,
            Err(UniversalError::SamePerson)
        ));
        let universal = stand.start();
        assert!(universal.anchor().is_none(), "nobody else has said so");
        assert!(matches!(
            step(&universal, UniversalStep::Enable, "ann").await,
            Err(UniversalError::SamePerson)
        ));
        assert!(matches!(step(&universal, UniversalStep::Enable, "eve").await, Ok(Stepped::Done)));
        assert!(matches!(step(&universal, UniversalStep::Enable, "eve").await, Err(UniversalError::On)));
        // Who turned it on releases nothing by that.
        assert!(matches!(step(&universal, UniversalStep::Release, "eve").await, Ok(Stepped::Waits)));
        assert!(matches!(
            step(&universal, UniversalStep::Release, "eve").await,
            Err(UniversalError::SamePerson)
        ));
        // Too late, the second one is a first one.
        stand.clock.advance(std::time::Duration::from_secs(900));
        assert!(matches!(step(&universal, UniversalStep::Release, "ann").await, Ok(Stepped::Waits)));
        assert!(matches!(
            step(&universal, UniversalStep::Release, "eve").await,
            Ok(Stepped::Released { .. })
        ));
        assert!(
            matches!(step(&universal, UniversalStep::Release, "eve").await, Ok(Stepped::Waits)),
            "one use"
        );
    }

    // covers: N8, D11
    #[tokio::test]
    async fn the_word_for_one_step_is_none_for_the_other() {
        let stand = Stand::new();
        let universal = stand.start();
        enabled(&universal).await;
        assert!(matches!(step(&universal, UniversalStep::Release, "ann").await, Ok(Stepped::Waits)));
        // Another step takes its place.
        disabled(&universal).await;
        assert!(matches!(step(&universal, UniversalStep::Enable, "ann").await, Ok(Stepped::Waits)));
        assert!(matches!(step(&universal, UniversalStep::Release, "eve").await, Err(UniversalError::Off)));
        assert!(matches!(step(&universal, UniversalStep::Enable, "eve").await, Ok(Stepped::Done)));
        assert!(universal.record().waiting.is_none());
    }

    // covers: N8, D10
    #[tokio::test]
    async fn what_is_released_is_right_for_its_hour_also_after_a_restart_and_void_after_it_was_turned_on_anew()
     {
        let stand = Stand::new();
        let universal = stand.start();
        enabled(&universal).await;
        let (password, until) = released(&universal).await;
        assert_eq!(until, 500_001 * HOUR);
        let typed = Typed::read(&password).unwrap();
        let is_right = |universal: &Universal| {
            universal.anchor().is_some_and(|anchor| anchor.is_right(&typed, stand.clock.now()))
        };
        let again = stand.start();
        assert!(is_right(&universal) && is_right(&again));
        disabled(&universal).await;
        assert!(!is_right(&universal) && !is_right(&stand.start()));
        assert!(matches!(step(&universal, UniversalStep::Disable, "ann").await, Err(UniversalError::Off)));
        enabled(&universal).await;
        assert!(!is_right(&universal), "another chain");
        assert!(is_right(&again), "a host that has not heard of it");
        stand.clock.advance(std::time::Duration::from_secs(3_000));
        assert!(!is_right(&again), "the next hour");
        stand.clock.advance(std::time::Duration::from_secs(u64::from(HOURS_MAX) * HOUR));
        assert!(matches!(step(&universal, UniversalStep::Release, "ann").await, Err(UniversalError::Over)));
    }
}
