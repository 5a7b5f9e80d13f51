//! Requests for one-time passwords, their decisions, and the passwords issued on them.
//!
//! ```text
//! pending  -> issued | denied | cancelled | expired      claimed by whoever decides: an approver, the asker, the clock
//! issued   -> used | cancelled | expired | void          claimed by whoever uses it, takes it back, or makes it void
//! ```
//!
//! Each step is one entry of the ledger: the claim, the record as it is from then on, the mails to be sent, and the audit
//! line. Whoever loses the claim reads the record and is told who was faster. A request of somebody unknown is one like
//! any other, but that nothing is sent and nobody can approve it (decision 0023).
//!
//! | module | holds |
//! | --- | --- |
//! | `ask` | asking, and having a password sent again |
//! | `decide` | approving, denying, taking back |
//! | `redeem` | what a typed password is; the engine makes the claim |
//! | `expire` | the end of what nobody ended |
//! | `letters` | what mails say |
//! | `own` | whose request it is |
//! | `password`, `record`, `table` | what is derived, what is kept, what is in memory |

mod ask;
mod decide;
mod expire;
mod letters;
mod own;
mod password;
mod record;
mod redeem;
mod table;
mod telling;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use ledger::{Change, Claim, Entry, Ledger, Outcome, ReadError, Record, Refusal};

use crate::accounts::{Accounts, UserName, kind};
use crate::audit::{self, AuditRecord, Reference};
use crate::clock::{Clock, UnixTime};
use crate::config::{Config, Profile};
use crate::hosts::{HostId, HostIdentity, Registrar};
use crate::keys::{KeyError, MasterKey};
use crate::mail::{MailFigures, MailId, MailState, NewLetter, Outbox};
use crate::notify::Notifier;
use crate::people::{EmailAddress, People, Person};
use crate::policy::RequestTerms;
use crate::turns::Turns;

use password::Passwords;
use record::time_of;
use table::{Item, Place, Table};

pub use ask::{AskError, Asked, How, Resent, Wish};
pub use decide::{Approved, Canceller, DecideError, Decider};
pub use letters::AccessLetters;
pub use password::IssuedPassword;
pub use record::{
    End, Ending, Issue, RequestId, RequestIdError, RequestRecord, RequestRecordError, Requester, Standing,
    Way,
};
pub use redeem::{Good, Looked, Waiting};
pub use table::{
    ISSUED_AT_PLACE_MAX, OPEN_AT_PLACE_MAX, REQUESTS_MAX, REQUESTS_PER_HOST_MAX, WRONG_TRIES_MAX,
};

/// The terms of a request: those that hold where it is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessRules {
    /// Login names of the persons who may decide.
    pub approvers: Vec<String>,
    /// How long it waits for them.
    pub request_ttl: Duration,
    /// How long its password is usable.
    pub password_ttl: Duration,
    /// How the password reaches its person.
    pub profile: Profile,
}

impl From<&RequestTerms> for AccessRules {
    fn from(terms: &RequestTerms) -> Self {
        Self {
            approvers: terms.approvers.value.clone(),
            request_ttl: terms.request_ttl.value,
            password_ttl: terms.password_ttl.value,
            profile: terms.profile.value,
        }
    }
}

/// What the ledger holds of requests.
#[derive(Debug, Default)]
pub struct Loaded {
    records: Vec<RequestRecord>,
    failures: HashMap<Vec<u8>, u32>,
    newest_line: UnixTime,
    newest_time: UnixTime,
}

impl Loaded {
    /// Takes over one record; those of other kinds are not its affair.
    ///
    /// # Errors
    /// When it cannot be understood.
    pub fn take(&mut self, record: &Record) -> Result<(), RequestRecordError> {
        match record.kind {
            kind::REQUEST => match time_of(&record.key, &record.value) {
                Some(at) => self.newest_time = at,
                None => self.records.push(RequestRecord::decode(&record.value)?),
            },
            kind::FAILURES => {
                let count = record.value.as_slice().try_into().map_or(u32::MAX, u32::from_be_bytes);
                self.failures.insert(record.key.clone(), count);
            }
            _ => {}
        }
        Ok(())
    }

    /// Takes note of when the newest line of the audit trail was written: it is later than that, whatever the wall clock
    /// says. To be called on a thread that may wait.
    ///
    /// # Errors
    /// When the trail cannot be read.
    pub fn look_at_newest_line(&mut self, ledger: &dyn Ledger) -> Result<(), ReadError> {
        let newest = ledger.audit_newest()?;
        let line = ledger.audit_after(newest.saturating_sub(1), 1)?.pop();
        self.newest_line = line.and_then(|line| audit::unix_time(&audit::record(&line).at)).unwrap_or(0);
        Ok(())
    }

    /// Whether there are passwords that may have been used when the store was not closed in order.
    pub fn has_issued(&self) -> bool {
        self.records.iter().any(|record| record.standing() == Standing::Issued)
    }
}

/// All requests as logins and letters see them.
#[derive(Debug)]
pub(crate) struct Shelf {
    /// Held for one look or one change.
    table: Mutex<Table>,
    passwords: Passwords,
    clock: Arc<dyn Clock>,
    /// What time it was at the start, as both clocks had it.
    begun: (UnixTime, Duration),
    /// When it was written down last what time it is, in milliseconds of the monotonic clock.
    noted_ms: AtomicU64,
}

impl Shelf {
    /// Goes on with what the ledger holds.
    pub(crate) fn new(loaded: Loaded, master: &MasterKey, clock: Arc<dyn Clock>) -> Arc<Self> {
        let Loaded { records, failures, newest_line, newest_time } = loaded;
        let newest = records.iter().map(RequestRecord::newest_moment).max().unwrap_or(0);
        // What was written before the stop lies in the past: a clock that was set back meanwhile prolongs nothing.
        let floor = newest.max(newest_line).max(newest_time);
        let begun = (clock.now().max(floor), clock.elapsed());
        let (table, noted_ms) = (Mutex::default(), AtomicU64::new(0));
        let shelf = Self { table, passwords: Passwords::new(master), begun, noted_ms, clock };
        for record in records {
            let failed = failures.get(record.id.bytes().as_slice()).copied().unwrap_or(0);
            let item = shelf.lock().put(record, &shelf.passwords, floor, &*shelf.clock);
            item.moving.failures.store(failed, Ordering::Release);
        }
        Arc::new(shelf)
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, record: RequestRecord) -> Arc<Item> {
        self.lock().put(record, &self.passwords, 0, &*self.clock)
    }

    fn find(&self, id: RequestId) -> Option<Arc<Item>> {
        self.lock().find(id)
    }
}

/// What requests are worked on with.
#[derive(Debug)]
pub struct Tools {
    /// Where steps become durable.
    pub ledger: Arc<dyn Ledger>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Who is who.
    pub people: Arc<People>,
    /// Where requests come from.
    pub registrar: Arc<Registrar>,
    /// What is quarantined.
    pub accounts: Arc<Accounts>,
    /// The present configuration.
    pub config: Arc<ArcSwap<Config>>,
    /// Tells people.
    pub notifier: Arc<Notifier>,
    /// Sends mails.
    pub outbox: Arc<Outbox>,
}

/// All requests.
#[derive(Debug)]
pub struct Requests {
    tools: Tools,
    shelf: Arc<Shelf>,
    turns: Turns,
}

/// A step of a request.
struct Step {
    /// What only one can do; none for what begins a request.
    claim: Option<Claim>,
    /// What else is written: credentials that it makes.
    changes: Vec<Change>,
    /// How the request is from then on.
    record: RequestRecord,
    /// What was put into the outbox for it.
    mails: Vec<(MailId, Change)>,
    event: AuditRecord,
}

/// What became of a step.
enum Stepped {
    Done(Arc<Item>),
    /// Somebody else was faster; this is what he made of it, if it is known still.
    Lost(Option<Arc<Item>>),
    NotStored(Outcome),
    NoRandom(KeyError),
}

impl Requests {
    /// Goes on with what is on the shelf.
    pub(crate) fn new(tools: Tools, shelf: Arc<Shelf>) -> Arc<Self> {
        Arc::new(Self { tools, shelf, turns: Turns::new() })
    }

    /// What whoever waits for a password at this place said he is, where it is exactly one.
    ///
    /// * `host`: none on the verifier's own machine.
    pub fn waiting_for(&self, host: Option<HostId>, user: &UserName, _now: UnixTime) -> Option<String> {
        let place = Place { host, user: user.as_str().to_owned() };
        let items = self.shelf.lock().at(&place);
        let clock = &*self.tools.clock;
        let waits = |item: &&Arc<Item>| matches!(item.standing(clock), Standing::Pending | Standing::Issued);
        let mut whose: Vec<&str> = items.iter().filter(waits).map(|item| said(&item.record)).collect();
        whose.sort_unstable();
        whose.dedup();
        match whose.as_slice() {
            [one] => Some((*one).to_owned()),
            _ => None,
        }
    }

    /// The requests that somebody may see, the newest first.
    pub fn seen(&self, may_see: impl Fn(&RequestRecord) -> bool) -> Vec<RequestRecord> {
        let all = self.shelf.lock().all();
        let seen = all.iter().filter(|item| may_see(&item.record)).map(|item| self.shown(item));
        let mut seen: Vec<_> = seen.collect();
        seen.sort_by_key(|record| (std::cmp::Reverse(record.asked), record.id));
        seen
    }

    /// One of them.
    pub fn find(&self, id: RequestId) -> Option<RequestRecord> {
        self.shelf.find(id).map(|item| self.shown(&item))
    }

    /// How many are known.
    pub fn count(&self) -> usize {
        self.shelf.lock().len()
    }

    /// What became of the last mail that tells a password, where there is one. After a restart, of the first one.
    pub fn mail_state(&self, record: &RequestRecord) -> Option<MailState> {
        let first = record.issue.as_ref()?.mail.as_deref()?;
        let item = self.shelf.find(record.id);
        let resent = item.and_then(|it| *it.moving.resent.lock().unwrap_or_else(PoisonError::into_inner));
        let id = match resent {
            Some(id) => id,
            None => MailId(u128::from_str_radix(first, 16).ok()?),
        };
        self.tools.outbox.state(id)
    }

    /// What was counted of mails.
    pub fn mail_figures(&self) -> MailFigures {
        self.tools.outbox.figures()
    }

    /// Whether somebody decides requests of this kind at this moment: he is one of those who are named where the request
    /// was made.
    pub fn may_decide(&self, person: &Person, record: &RequestRecord) -> bool {
        let host = self.present_host(record);
        let terms = RequestTerms::at(host.as_ref().or(record.host.as_ref()), &self.tools.config.load());
        terms.approvers.value.iter().any(|login| login.eq_ignore_ascii_case(&person.login))
    }

    /// The record as whoever looks at it sees it: what is over by time or by wrong tries is over, though nobody has
    /// written so.
    fn shown(&self, item: &Item) -> RequestRecord {
        match (item.record.standing(), item.standing(&*self.tools.clock)) {
            (Standing::Pending | Standing::Issued, Standing::Ended(what)) => {
                let at = self.tools.clock.now().min(item.deadline.until);
                item.record.ended(End { what, at, by: None, why: None })
            }
            _ => item.record.clone(),
        }
    }

    /// The host as it is called and grouped at this moment; none where it is gone or was revoked.
    fn present_host(&self, record: &RequestRecord) -> Option<HostIdentity> {
        let host = self.tools.registrar.hosts().find(record.host.as_ref()?.id)?;
        let host = &host.record;
        host.revoked.is_none().then(|| HostIdentity {
            id: host.id,
            name: host.name.clone(),
            group: host.group.clone(),
        })
    }

    /// Makes a step durable, and then known.
    async fn step(&self, step: Step) -> Stepped {
        let Step { claim, mut changes, record, mails, event } = step;
        let reference = match Reference::draw() {
            Ok(reference) => reference,
            Err(error) => return Stepped::NoRandom(error),
        };
        let (letters, puts): (Vec<_>, Vec<_>) = mails.into_iter().unzip();
        changes.push(record.put());
        changes.extend(puts);
        let entry = Entry { claim, changes, audit: Some(audit::entry(&event, reference)) };
        match self.tools.ledger.submit(entry).await {
            Outcome::Committed => {
                let item = self.shelf.put(record);
                self.tools.outbox.committed(&letters);
                tracing::info!(
                    event = event.event, reason = event.reason, user = event.user, host = event.host,
                    person = event.person, actor = event.actor, %reference, "request"
                );
                self.tools.notifier.tell(&AuditRecord { reference: reference.to_string(), ..event });
                Stepped::Done(item)
            }
            Outcome::NotCommitted(Refusal::Superseded { .. } | Refusal::NoSuchCredential) => {
                Stepped::Lost(self.read_again(record.id).await)
            }
            outcome => Stepped::NotStored(outcome),
        }
    }

    /// Reads a request's record, after somebody else was faster.
    async fn read_again(&self, id: RequestId) -> Option<Arc<Item>> {
        let ledger = Arc::clone(&self.tools.ledger);
        let read = move || ledger.record(kind::REQUEST, &id.bytes());
        let record = match tokio::task::spawn_blocking(read).await {
            Ok(Ok(record)) => record?,
            Ok(Err(error)) => {
                tracing::error!(%error, "a request's record cannot be read");
                return None;
            }
            Err(_) => return None,
        };
        RequestRecord::decode(&record).ok().map(|record| self.shelf.put(record))
    }

    /// The letters of an occasion, for those who have an address.
    fn letters<'a>(
        &self,
        to: impl IntoIterator<Item = &'a EmailAddress>,
        occasion: &letters::Occasion,
        until: UnixTime,
    ) -> Vec<(MailId, Change)> {
        let put = |to: &EmailAddress| {
            // Whoever asked waits for it.
            let is_urgent = occasion.about == letters::About::Password;
            let letter = NewLetter { to: to.clone(), occasion: occasion.bytes(), until, is_urgent };
            self.tools.outbox.put(letter, self.tools.clock.now())
        };
        to.into_iter().map(put).collect()
    }
}

/// What stands at the prompt of whoever asked: what he said himself. An address on record would tell that the account has a
/// person, and which.
fn said(record: &RequestRecord) -> &str {
    if record.typed.is_empty() { "your address on record" } else { &record.typed }
}

#[cfg(test)]
pub(crate) mod tests;
