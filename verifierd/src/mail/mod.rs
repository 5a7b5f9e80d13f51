//! Mails that are to be sent: a queue in the ledger, and whoever hands them in at the mail server.
//!
//! What is to be sent goes into the entry of what it tells, so neither happens without the other. What a mail says is
//! written when it is sent, and kept nowhere. No login waits for any of it.
//!
//! | module | holds |
//! | --- | --- |
//! | `letter` | how one is put together, and the one of our own: that others are held back |
//! | `queue` | which mail is due, which has to wait, which is over |
//! | `record` | what is kept of one |
//! | `smtp` | the conversation with the server |

mod letter;
mod queue;
mod record;
mod smtp;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use ledger::{Change, Entry, Ledger, Outcome, Record};
use serde::{Deserialize, Serialize};
use serve::stopped;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use wire::admin::MailProgress;
use zeroize::Zeroizing;

use crate::accounts::kind;
use crate::audit::{self, AuditRecord, Reference, rfc3339};
use crate::clock::{Clock, UnixTime};
use crate::config::{Config, MailConfig};
use crate::keys::{KeyError, random_bytes};
use crate::people::EmailAddress;
use queue::Queue;
use record::{MailRecord, Stored};
use smtp::SendError;

pub use queue::{ADDRESS_HOUR_MAX, QUEUE_MAX};
pub use record::MailRecordError;

/// Mails on their way at once: a server that takes its time with one keeps few others waiting.
const AT_ONCE_MAX: usize = 4;

/// How often it is looked whether one is due. Those that were put in just now are seen at once.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How long mails may fail until the state of the service says so.
const FAILING_MAX: Duration = Duration::from_secs(600);

/// Names a mail for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MailId(pub u128);

/// A mail that is to be sent.
#[derive(Clone, Debug)]
pub struct NewLetter {
    /// To whom.
    pub to: EmailAddress,
    /// What it is about, for whoever writes it.
    pub occasion: Vec<u8>,
    /// After this it is of no use.
    pub until: UnixTime,
    /// Whether it is sent however many mails its address gets: somebody waits for it.
    pub is_urgent: bool,
}

/// What a mail says.
pub struct Letter {
    /// In one line.
    pub subject: String,
    /// For programs that show text.
    pub text: Zeroizing<String>,
    /// The same for those that show pages.
    pub html: Zeroizing<String>,
}

impl fmt::Debug for Letter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Letter(..)")
    }
}

/// What a mail is about, for records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// What: `request ABCD`.
    pub what: String,
    /// At which host of the fleet.
    pub host: Option<String>,
    /// For which account.
    pub user: Option<String>,
}

/// Writes mails.
pub trait Letters: fmt::Debug + Send + Sync {
    /// What a mail on an occasion is about; `None` where nobody knows any more, or somebody else writes of it.
    fn subject(&self, occasion: &[u8]) -> Option<Subject>;

    /// What to say on an occasion; `None` where there is nothing to say any more, or somebody else writes of it.
    fn write(&self, occasion: &[u8], now: UnixTime) -> Option<Letter>;
}

/// How a mail stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MailState {
    /// It is to be sent.
    Waiting {
        /// How often it was tried.
        tries: u32,
        /// When it is tried next.
        next: UnixTime,
    },
    /// The server took it.
    Sent {
        /// When.
        at: UnixTime,
    },
    /// It is not tried any more.
    Failed {
        /// Since when.
        at: UnixTime,
        /// Why.
        why: String,
    },
}

impl MailState {
    /// As it is told of.
    pub fn progress(&self) -> MailProgress {
        match self {
            Self::Waiting { .. } => MailProgress::Waiting,
            Self::Sent { .. } => MailProgress::Sent,
            Self::Failed { .. } => MailProgress::Failed,
        }
    }
}

/// What the ledger holds of mails.
#[derive(Debug, Default)]
pub struct Loaded(Vec<MailRecord>);

impl Loaded {
    /// Takes over one record; those of other kinds are not its affair.
    ///
    /// # Errors
    /// When it cannot be understood.
    pub fn take(&mut self, record: &Record) -> Result<(), MailRecordError> {
        if record.kind == kind::MAIL {
            self.0.push(MailRecord::decode(&record.value)?);
        }
        Ok(())
    }
}

/// What mails are sent with.
#[derive(Debug)]
pub struct Tools {
    /// Where they are kept.
    pub ledger: Arc<dyn Ledger>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The present configuration.
    pub config: Arc<ArcSwap<Config>>,
    /// Who writes them: each those of its own occasions.
    pub letters: Vec<Arc<dyn Letters>>,
}

/// What was counted since the start, and what is waiting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MailFigures {
    /// Mails that wait.
    pub waiting: usize,
    /// Mails that the server took.
    pub sent: u64,
    /// Mails that are not tried any more.
    pub failed: u64,
    /// Why the last one could not be sent, where none was sent for some time.
    pub failing: Option<String>,
}

impl MailFigures {
    /// What administrators should read, if anything.
    pub fn alarm(&self) -> Option<String> {
        let (why, minutes) = (self.failing.as_ref()?, FAILING_MAX.as_secs() / 60);
        Some(format!(
            "no mail could be sent for {minutes} minutes or more, and {} wait: {why}; docs/mail.md has the causes",
            self.waiting
        ))
    }
}

/// Since when mails have failed, and why the last one did.
#[derive(Debug)]
struct Failing {
    since: Duration,
    why: String,
}

/// All mails that are to be sent.
#[derive(Debug)]
pub struct Outbox {
    tools: Tools,
    /// Held for one look or change.
    queue: Mutex<Queue>,
    wake: Notify,
    /// Ids of this start: drawn, and then counted.
    first_id: u128,
    drawn: AtomicU64,
    sent: AtomicU64,
    failed: AtomicU64,
    failing: Mutex<Option<Failing>>,
}

impl Outbox {
    /// Goes on with what the ledger holds.
    ///
    /// # Errors
    /// When the kernel gives no random bytes.
    pub fn new(loaded: Loaded, tools: Tools) -> Result<Arc<Self>, KeyError> {
        let now = (tools.clock.elapsed(), tools.clock.now());
        let first_id = u128::from_be_bytes(random_bytes()?);
        Ok(Arc::new(Self {
            queue: Mutex::new(Queue::new(loaded.0, now)),
            tools,
            wake: Notify::new(),
            first_id,
            drawn: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            failing: Mutex::default(),
        }))
    }

    /// Makes a mail, and the change that keeps it, for the entry of what it tells. A queue that is full keeps it as one
    /// that failed.
    pub fn put(&self, letter: NewLetter, now: UnixTime) -> (MailId, Change) {
        let id = self.draw_id();
        let mut record = MailRecord::new(id, letter);
        let mut queue = self.queue();
        if queue.is_full() {
            record.state = Stored::Failed { at: now, why: "too many mails wait already".into() };
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
        let change = record.put();
        queue.prepare(record, self.tools.clock.elapsed());
        (id, change)
    }

    /// Whether no more are taken.
    pub fn is_full(&self) -> bool {
        self.queue().is_full()
    }

    fn draw_id(&self) -> MailId {
        let drawn = u128::from(self.drawn.fetch_add(1, Ordering::Relaxed));
        // Two starts would have to draw numbers next to each other.
        MailId(self.first_id.wrapping_add(drawn))
    }

    /// The entry with these mails is durable: they may be sent.
    pub fn committed(&self, ids: &[MailId]) {
        if ids.is_empty() {
            return;
        }
        let now = self.tools.clock.elapsed();
        let mut queue = self.queue();
        ids.iter().for_each(|id| queue.commit(*id, now));
        drop(queue);
        self.wake.notify_one();
    }

    /// How a mail stands; `None` where it is not known any more.
    pub fn state(&self, id: MailId) -> Option<MailState> {
        let now = (self.tools.clock.elapsed(), self.tools.clock.now());
        self.queue().state(id, now)
    }

    /// What was counted, and what is amiss.
    pub fn figures(&self) -> MailFigures {
        let now = self.tools.clock.elapsed();
        let failing = self.failing();
        let failing = failing.as_ref().filter(|failing| now >= failing.since + FAILING_MAX);
        MailFigures {
            waiting: self.queue().waiting(),
            sent: self.sent.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            failing: failing.map(|failing| failing.why.clone()),
        }
    }

    /// Sends what is due, until `stop` says so. What is on its way then is sent again after the next start.
    pub async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let mut on_their_way = JoinSet::new();
        let mut look = tokio::time::interval(LOOK_EVERY);
        loop {
            self.begin_due(&mut on_their_way);
            self.forget_old().await;
            tokio::select! {
                () = stopped(&mut stop) => break,
                _ = look.tick() => {}
                () = self.wake.notified() => {}
                Some(_) = on_their_way.join_next() => {}
            }
        }
        on_their_way.shutdown().await;
    }

    fn begin_due(self: &Arc<Self>, on_their_way: &mut JoinSet<()>) {
        let Some(config) = self.tools.config.load().mail.clone() else { return };
        while on_their_way.len() < AT_ONCE_MAX {
            let now = (self.tools.clock.elapsed(), self.tools.clock.now());
            let Some(due) = self.queue().next_due(self.draw_id(), now) else { return };
            let (outbox, config) = (Arc::clone(self), config.clone());
            on_their_way.spawn(async move { outbox.send(due, &config).await });
        }
    }

    /// Tries one, and keeps what came of it.
    async fn send(&self, due: queue::Due, config: &MailConfig) {
        let now = self.tools.clock.now();
        let mut record = due.record;
        if now >= record.until {
            return self.give_up(record, due.why.unwrap_or_else(|| "its time is over".into())).await;
        }
        let letter = if record.is_notice {
            letter::held_back(record.until, &self.tools.config.load())
        } else {
            self.tools.letters.iter().find_map(|letters| letters.write(&record.occasion, now))
        };
        let Some(letter) = letter else {
            return self.give_up(record, "there is nothing to tell any more".into()).await;
        };
        record.tries = record.tries.saturating_add(1);
        match smtp::send(config, &record, &letter, now).await {
            Ok(()) => {
                self.sent.fetch_add(1, Ordering::Relaxed);
                *self.failing() = None;
                record.state = Stored::Sent { at: now };
                self.keep(record, None).await;
            }
            Err(error) => self.failed(record, &error).await,
        }
    }

    async fn failed(&self, record: MailRecord, error: &SendError) {
        let why = error.line();
        tracing::warn!(
            mail = format!("{:032x}", record.id().0),
            tries = record.tries,
            why,
            "a mail was not sent"
        );
        if error.is_final() {
            // The server works, and takes others.
            *self.failing() = None;
            return self.give_up(record, why).await;
        }
        {
            let mut failing = self.failing();
            let since = failing.as_ref().map_or_else(|| self.tools.clock.elapsed(), |failing| failing.since);
            *failing = Some(Failing { since, why: why.clone() });
        }
        // The number of tries is worth no commit: after a restart they begin anew, and `until` holds all the same.
        self.queue().retry(record, why, self.tools.clock.elapsed());
    }

    async fn give_up(&self, mut record: MailRecord, why: String) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        let now = self.tools.clock.now();
        let subject = self.tools.letters.iter().find_map(|letters| letters.subject(&record.occasion));
        let Subject { what, host, user } = subject.unwrap_or_default();
        let of = if what.is_empty() { what } else { format!("{what}, ") };
        let event = AuditRecord {
            at: rfc3339(now),
            event: "mail_failed".into(),
            reason: "not_sent".into(),
            detail: Some(format!("{of}to {}: {why}", record.to)),
            host,
            user,
            ..AuditRecord::default()
        };
        record.state = Stored::Failed { at: now, why };
        self.keep(record, Some(event)).await;
    }

    /// Makes durable how a mail stands. What is not is tried again, under the same id.
    async fn keep(&self, record: MailRecord, event: Option<AuditRecord>) {
        if record.is_notice {
            return self.queue().settle(record);
        }
        let audit = match (event, Reference::draw()) {
            (Some(event), Ok(reference)) => Some(audit::entry(&event, reference)),
            (None, _) | (_, Err(_)) => None,
        };
        let entry = Entry { claim: None, changes: vec![record.put()], audit };
        let outcome = self.tools.ledger.submit(entry).await;
        if outcome != Outcome::Committed {
            tracing::warn!(?outcome, "the store does not say yet how a mail stands");
        }
        self.queue().settle(record);
    }

    /// Takes away what nobody will ask for any more.
    async fn forget_old(&self) {
        let now = (self.tools.clock.elapsed(), self.tools.clock.now());
        let changes: Vec<Change> = self.queue().take_old(now).iter().map(MailRecord::delete).collect();
        if !changes.is_empty() {
            // What is not removed now is after the next start.
            self.tools.ledger.submit(Entry { changes, ..Entry::default() }).await;
        }
    }

    fn failing(&self) -> MutexGuard<'_, Option<Failing>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
