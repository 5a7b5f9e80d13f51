//! What hosts keep of the audit trail, and what follows when they know more of it than we do.
//!
//! Publishes checkpoints for every answer to an agent, and judges those that agents show. One that is ahead of the trail,
//! or differs from it, was signed by a store that had decided more than this one: nothing is decided any more, and codes
//! that may have been used are put under quarantine, until an administrator settles it. That stands in the store, so a
//! restart changes nothing.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use ledger::{Change, Entry, Ledger, Outcome, ReadError};
use serde::{Deserialize, Serialize};

use super::checkpoint::{Checkpoint, CheckpointKey};
use super::{AuditRecord, Reference, rfc3339};
use crate::accounts::{Accounts, kind};
use crate::clock::{Clock, UnixTime};
use crate::notify::Notifier;

/// A checkpoint is published this often, where anything was recorded since the last one.
pub const PUBLISH_EVERY: Duration = Duration::from_secs(10);

/// And after so many records.
pub const PUBLISH_AFTER_RECORDS: u64 = 1_000;

/// Published checkpoints that are known again without a look into the store: those of the last ten minutes, at one
/// in ten seconds.
const KNOWN_MAX: usize = 64;

const KEY: &[u8] = b"standing";

/// A checkpoint as it was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// What it says.
    pub checkpoint: Checkpoint,
    /// How it is written.
    pub text: String,
}

/// What a checkpoint showed to be missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// The host that showed it.
    pub by: String,
    /// The record that it names.
    pub shown: u64,
    /// The newest record that we had; the same as or more than `shown` where the two differ in what they hold.
    pub newest: u64,
    /// When it was shown.
    pub at: UnixTime,
    epoch: u32,
}

impl Loss {
    /// In words, for administrators.
    pub fn told(&self) -> String {
        let Self { by, shown, newest, .. } = self;
        let what = match shown.checked_sub(*newest).filter(|missing| *missing > 0) {
            Some(missing) => {
                format!(
                    "host {by} has seen record {shown} of the audit trail, which ends at {newest}: {missing} are missing"
                )
            }
            None => format!(
                "host {by} has seen another record {shown} of the audit trail than the one that is there"
            ),
        };
        format!(
            "{what}; the store is an old copy or another one. Nothing is decided: put the right store back, or settle the \
             loss by `postern store settle`"
        )
    }
}

/// What a checkpoint that was shown means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judged {
    /// The trail holds what it names.
    Held,
    /// It is from before a loss that was settled.
    Settled,
    /// We did not sign it.
    Foreign,
    /// The trail does not hold what it names.
    Lost,
}

/// As it stands in the store.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Standing {
    epoch: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    loss: Option<Loss>,
}

impl Standing {
    fn put(&self) -> Change {
        let value = serde_json::to_vec(self).expect("a standing holds only numbers and texts");
        Change::Put { kind: kind::STANDING, key: KEY.into(), value }
    }
}

/// Publishes and judges checkpoints.
#[derive(Debug)]
pub struct Witness {
    key: CheckpointKey,
    ledger: Arc<dyn Ledger>,
    clock: Arc<dyn Clock>,
    accounts: Arc<Accounts>,
    notifier: Arc<Notifier>,
    newest: ArcSwapOption<Published>,
    /// Entries that the ledger had written when the newest was made.
    entries: AtomicU64,
    known: Mutex<VecDeque<Checkpoint>>,
    standing: Mutex<Standing>,
    is_behind: AtomicBool,
}

impl Witness {
    /// Reads how the store stands. Blocks.
    ///
    /// # Errors
    /// When the store cannot be read. A standing that cannot be understood counts as a loss.
    pub fn new(
        key: CheckpointKey,
        ledger: Arc<dyn Ledger>,
        clock: Arc<dyn Clock>,
        accounts: Arc<Accounts>,
        notifier: Arc<Notifier>,
    ) -> Result<Self, ReadError> {
        let kept = ledger.record(kind::STANDING, KEY)?;
        let standing = kept.map_or_else(Standing::default, |kept| read_standing(&kept));
        let is_behind = AtomicBool::new(standing.loss.is_some());
        let (newest, entries, known) = Default::default();
        let standing = Mutex::new(standing);
        Ok(Self { key, ledger, clock, accounts, notifier, newest, entries, known, standing, is_behind })
    }

    /// Whether nothing may be decided.
    pub fn is_behind(&self) -> bool {
        self.is_behind.load(Ordering::Relaxed)
    }

    /// What is missing.
    pub fn loss(&self) -> Option<Loss> {
        self.lock().loss.clone()
    }

    /// The newest checkpoint; none before the first one, and while something is missing.
    pub fn newest(&self) -> Option<Arc<Published>> {
        if self.is_behind() { None } else { self.newest.load_full() }
    }

    /// Whether so much was recorded since the last one that the next is not to wait.
    pub fn is_due(&self) -> bool {
        let written = self.ledger.figures().entries;
        written.saturating_sub(self.entries.load(Ordering::Relaxed)) >= PUBLISH_AFTER_RECORDS
    }

    /// Makes the next one, where anything was recorded since the last. Blocks.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn publish(&self) -> Result<(), ReadError> {
        let written = self.ledger.figures().entries;
        let sequence = self.ledger.audit_newest()?;
        let last = self.newest.load().as_ref().map(|newest| newest.checkpoint);
        let epoch = self.lock().epoch;
        if last.is_some_and(|last| last.sequence == sequence && last.epoch == epoch) {
            return Ok(());
        }
        let checkpoint = Checkpoint { epoch, sequence, head: self.head(sequence)?, at: self.clock.now() };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.truncate(KNOWN_MAX - 1);
        known.push_front(checkpoint);
        self.newest.store(Some(Arc::new(Published { checkpoint, text: self.key.sign(&checkpoint) })));
        self.entries.store(written, Ordering::Relaxed);
        Ok(())
    }

    /// The same off the runtime's threads; what goes wrong is logged, and tried again at the next time.
    pub async fn publish_soon(self: &Arc<Self>) {
        let me = Arc::clone(self);
        match tokio::task::spawn_blocking(move || me.publish()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "no checkpoint of the audit trail could be made"),
            Err(error) => tracing::warn!(%error, "no checkpoint of the audit trail could be made"),
        }
    }

    /// Judges what a host shows, and declares a loss where it shows one.
    ///
    /// # Errors
    /// When the store cannot be read: then nobody can tell, and the caller is not to be answered.
    pub async fn judge(self: &Arc<Self>, shown: &str, by: &str) -> Result<Judged, ReadError> {
        let (judged, loss) = self.look(shown, by).await?;
        if let Some(loss) = loss {
            self.declare(loss).await;
        }
        Ok(judged)
    }

    /// The same without consequences.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn compare(self: &Arc<Self>, shown: &str) -> Result<Judged, ReadError> {
        Ok(self.look(shown, "").await?.0)
    }

    async fn look(self: &Arc<Self>, shown: &str, by: &str) -> Result<(Judged, Option<Loss>), ReadError> {
        let Some(shown) = self.key.read(shown) else { return Ok((Judged::Foreign, None)) };
        if self.known.lock().unwrap_or_else(PoisonError::into_inner).contains(&shown) {
            return Ok((Judged::Held, None));
        }
        let epoch = self.lock().epoch;
        if shown.epoch < epoch {
            return Ok((Judged::Settled, None));
        }
        let me = Arc::clone(self);
        let looked = tokio::task::spawn_blocking(move || {
            let newest = me.ledger.audit_newest()?;
            let is_reached = shown.epoch == epoch && shown.sequence <= newest;
            Ok::<_, ReadError>((newest, is_reached && me.ledger.audit_holds(shown.sequence, shown.head)?))
        });
        let (newest, is_held) = looked.await.map_err(|_| ReadError::Closed)??;
        if is_held {
            return Ok((Judged::Held, None));
        }
        let (by, at) = (by.into(), self.clock.now());
        let loss = Loss { by, shown: shown.sequence, newest, at, epoch: shown.epoch };
        Ok((Judged::Lost, Some(loss)))
    }

    /// From now on nothing is decided; what may have been used is under quarantine.
    async fn declare(&self, loss: Loss) {
        let standing = {
            let mut standing = self.lock();
            // What was shown before a settling that came in between counts no more.
            if standing.loss.is_some() || loss.epoch < standing.epoch {
                return;
            }
            standing.loss = Some(loss.clone());
            self.is_behind.store(true, Ordering::Relaxed);
            standing.clone()
        };
        tracing::error!("{}", loss.told());
        let stop = self.accounts.quarantine.last().next(loss.at, !self.accounts.has_recovery_codes());
        self.accounts.quarantine.set(stop);
        let record = AuditRecord {
            at: rfc3339(loss.at),
            event: "store_behind".into(),
            reason: "checkpoint".into(),
            detail: Some(loss.told()),
            host: Some(loss.by),
            ..AuditRecord::default()
        };
        self.commit(vec![standing.put(), stop.put()], record).await;
    }

    /// Somebody has dealt with the loss. What hosts saw before counts no more.
    pub async fn settle(&self) -> Outcome {
        let settled = {
            let standing = self.lock();
            let seen = standing.loss.as_ref().map_or(0, |loss| loss.epoch);
            Standing { epoch: standing.epoch.max(seen).saturating_add(1), loss: None }
        };
        // The record of it is that of the steward, who settles the rest.
        let entry = Entry { claim: None, changes: vec![settled.put()], audit: None };
        let outcome = self.ledger.submit(entry).await;
        if outcome == Outcome::Committed {
            *self.lock() = settled;
            self.is_behind.store(false, Ordering::Relaxed);
        }
        outcome
    }

    async fn commit(&self, changes: Vec<Change>, record: AuditRecord) {
        // Without randomness it has no name, and stands all the same.
        let reference = Reference::draw().ok();
        let audit = reference.map(|reference| super::entry(&record, reference));
        let outcome = self.ledger.submit(Entry { claim: None, changes, audit }).await;
        if outcome != Outcome::Committed {
            return tracing::error!(
                ?outcome,
                event = record.event,
                "the store did not take what became of it"
            );
        }
        let reference = reference.map(|reference| reference.to_string()).unwrap_or_default();
        self.notifier.tell(&AuditRecord { reference, ..record });
    }

    /// The chain value of a record; zeros for the empty trail.
    fn head(&self, sequence: u64) -> Result<[u8; 32], ReadError> {
        let Some(before) = sequence.checked_sub(1) else { return Ok([0; 32]) };
        let lines = self.ledger.audit_after(before, 1)?;
        // It may have been removed since somebody learnt that it was the newest; the next one is not its like.
        let line = lines.into_iter().find(|line| line.sequence == sequence);
        let gone = || ReadError::Damaged { what: "audit line", row: sequence.to_string() };
        line.map(|line| line.chain).ok_or_else(gone)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read_standing(kept: &[u8]) -> Standing {
    serde_json::from_slice(kept).unwrap_or_else(|error| {
        tracing::error!(%error, "the record of how the store stands is damaged: it counts as a loss");
        let loss = Loss { by: "unknown".into(), shown: 0, newest: 0, at: 0, epoch: u32::MAX - 1 };
        Standing { epoch: 0, loss: Some(loss) }
    })
}

#[cfg(test)]
mod tests {
    use ledger::memory::MemoryLedger;

    use super::*;
    use crate::clock::ManualClock;
    use crate::keys::{IndexHasher, MasterKey};

    struct Bench {
        master: MasterKey,
        ledger: Arc<MemoryLedger>,
    }

    impl Bench {
        fn new() -> Self {
            Self { master: MasterKey::generate().unwrap(), ledger: Arc::new(MemoryLedger::new()) }
        }

        fn witness(&self) -> Arc<Witness> {
            let clock = Arc::new(ManualClock::at(1_800_000_000));
            let accounts = Arc::new(Accounts::new(IndexHasher::new(&self.master, "user names")));
            let (key, nobody) = (CheckpointKey::new(&self.master), Arc::new(Notifier::new(None)));
            Arc::new(Witness::new(key, self.ledger.clone(), clock, accounts, nobody).unwrap())
        }

        /// Another store with the same key and other records.
        fn other(&self, records: &[&str]) -> Self {
            let master = MasterKey::parse(self.master.to_file_text().as_bytes()).unwrap();
            let other = Self { master, ledger: Arc::new(MemoryLedger::new()) };
            records.iter().for_each(|event| other.record(event));
            other
        }

        fn record(&self, event: &str) {
            let record = AuditRecord { event: event.into(), ..AuditRecord::default() };
            let audit = Some(super::super::entry(&record, Reference::parse("0A1BZ9XK").unwrap()));
            let before = self.ledger.audit_newest().unwrap();
            drop(self.ledger.submit(Entry { audit, ..Entry::default() }));
            assert_eq!(self.ledger.audit_newest().unwrap(), before + 1, "{event}");
        }
    }

    fn published(witness: &Arc<Witness>) -> String {
        witness.publish().unwrap();
        witness.newest().unwrap().text.clone()
    }

    // covers: P7, G07, G08
    #[tokio::test]
    async fn a_store_that_is_behind_a_checkpoint_decides_nothing_until_it_is_settled() {
        let before = Bench::new().other(&["a", "b"]);
        let copy = before.other(&["a", "b"]);
        before.record("c");
        let shown = published(&before.witness());
        assert_eq!(before.witness().judge(&shown, "web1").await.unwrap(), Judged::Held);

        let restored = copy.witness();
        assert_eq!(restored.judge(&shown, "web1").await.unwrap(), Judged::Lost);
        assert!(restored.is_behind() && restored.newest().is_none());
        let told = restored.loss().unwrap().told();
        assert!(
            told.contains("host web1 has seen record 3") && told.contains("ends at 2: 1 are missing"),
            "{told}"
        );
        assert!(told.contains("`postern store settle`"), "{told}");

        let restarted = copy.witness();
        assert!(restarted.is_behind(), "a restart changes nothing");
        assert_eq!(restarted.accounts.quarantine.last().number, 0, "what is loaded, the loader says");
        assert_eq!(restarted.settle().await, Outcome::Committed);
        assert!(!restarted.is_behind());
        assert_eq!(restarted.judge(&shown, "web1").await.unwrap(), Judged::Settled);
        let newer = published(&restarted);
        assert_eq!(restarted.judge(&newer, "web1").await.unwrap(), Judged::Held);
        assert!(!copy.witness().is_behind());
    }

    // covers: H06
    #[tokio::test]
    async fn a_store_that_went_another_way_is_found_out_however_long_it_is() {
        let ours = Bench::new().other(&["a", "b"]);
        let shown = published(&ours.witness());
        let other = ours.other(&["a", "x", "y", "z"]).witness();
        assert_eq!(other.judge(&shown, "web1").await.unwrap(), Judged::Lost);
        assert!(other.loss().unwrap().told().contains("another record 2"));
        let empty = ours.other(&[]).witness();
        assert_eq!(empty.judge(&shown, "web1").await.unwrap(), Judged::Lost);
    }

    // covers: P7
    #[tokio::test]
    async fn nobody_but_us_can_say_that_we_are_behind() {
        let (ours, theirs) = (Bench::new().other(&["a"]), Bench::new().other(&["a", "b", "c"]));
        let witness = ours.witness();
        for foreign in [published(&theirs.witness()), String::new(), "x".repeat(155)] {
            assert_eq!(witness.judge(&foreign, "web1").await.unwrap(), Judged::Foreign);
        }
        assert!(!witness.is_behind());
    }

    #[tokio::test]
    async fn a_checkpoint_is_made_where_something_was_recorded() {
        let bench = Bench::new();
        let witness = bench.witness();
        let empty = published(&witness);
        assert_eq!(published(&witness), empty);
        assert_eq!(witness.judge(&empty, "web1").await.unwrap(), Judged::Held);
        bench.record("a");
        let first = published(&witness);
        assert_ne!(first, empty);
        assert_eq!(witness.judge(&empty, "web1").await.unwrap(), Judged::Held);
        assert_eq!(bench.witness().judge(&first, "web1").await.unwrap(), Judged::Held, "after a restart too");
    }

    // covers: P7
    #[tokio::test]
    async fn no_checkpoint_is_made_of_a_record_that_was_removed_in_between() {
        let bench = Bench::new().other(&["a", "b", "c"]);
        assert_eq!(bench.ledger.audit_remove(vec![1]).unwrap(), 1);
        let witness = bench.witness();
        assert_eq!(witness.head(0).unwrap(), [0; 32]);
        assert!(matches!(witness.head(1), Err(ReadError::Damaged { .. })), "not the chain value of record 2");
        assert_eq!(witness.head(2).unwrap(), bench.ledger.audit_after(1, 1).unwrap()[0].chain);
        assert!(matches!(witness.head(4), Err(ReadError::Damaged { .. })), "nor that of an empty trail");
    }

    #[test]
    fn a_standing_that_is_damaged_counts_as_a_loss() {
        assert!(read_standing(b"{").loss.is_some());
        assert!(read_standing(br#"{"epoch":3}"#).loss.is_none());
    }
}
