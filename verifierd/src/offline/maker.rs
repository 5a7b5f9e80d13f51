//! Gives hosts their keys, makes passwords, and hears of their use.
//!
//! A counter is claimed as a password is: from two verifiers at one moment two come, and each has its own. A host that is set
//! up anew gets another key, under which nothing was made and nothing was used.

mod hear;

use std::sync::Arc;

use ledger::{Change, Claim, ClaimId, CredentialId, Entry, Ledger, Outcome, Refusal};
use offline_password::{COUNTERS_AHEAD_MAX, Grant, HostKey, OfflinePassword, Purpose, Term};
use wire::admin::{MailProgress, OfflineMail, OfflineState};

pub use hear::{Heard, Said};

use super::letters::Occasion;
use super::record::{MailedTo, PasswordRecord, Standing, UniversalRecord};
use super::shelf::Shelf;
use super::universal::Universal;
use crate::audit::{self, AuditRecord, Reference, rfc3339};
use crate::clock::{Clock, UnixTime};
use crate::hosts::HostIdentity;
use crate::keys::{KeyError, MasterKey, random_bytes};
use crate::mail::{NewLetter, Outbox, QUEUE_MAX};
use crate::notify::Notifier;
use crate::people::EmailAddress;
use crate::turns::Turns;

/// Counters that are tried for one password: as many verifiers of a cluster may be ahead of this one.
const CLAIMS_MAX: usize = 16;

/// Longest reason, in characters.
pub const WHY_CHARACTERS_MAX: usize = 256;

/// Why a password was not made, or not revoked.
#[derive(Debug, thiserror::Error)]
pub enum MakeError {
    /// It could not check any.
    #[error(
        "{host} has no key for offline passwords yet, or has not said so: it gets one when it reaches a verifier"
    )]
    NoKey {
        /// Which host.
        host: String,
    },
    /// A host would take the next one for an old one.
    #[error(
        "{COUNTERS_AHEAD_MAX} offline passwords of {host} wait to be used: no more are made until it has said which were"
    )]
    TooManyOpen {
        /// Which host.
        host: String,
    },
    /// The reason cannot be shown, or is too long.
    #[error("a reason has up to {WHY_CHARACTERS_MAX} characters, none of them invisible")]
    Why,
    /// Nobody would be told it.
    #[error("{QUEUE_MAX} mails wait to be sent already: make it without one, or later")]
    TooManyMails,
    /// There is none such.
    #[error("no offline password {counter} of {host}")]
    NoSuchPassword {
        /// Which host.
        host: String,
        /// Its counter.
        counter: u64,
    },
    /// Nothing is left to revoke.
    #[error("offline password {id} {why}")]
    NotOpen {
        /// Which.
        id: String,
        /// Why.
        why: &'static str,
    },
    /// The store did not take it.
    #[error("the store did not take the change: {outcome:?}")]
    NotStored {
        /// What it said.
        outcome: Outcome,
    },
    /// No random bytes.
    #[error("cannot draw what a change needs")]
    Random(#[from] KeyError),
    /// The daemon is stopping or overloaded.
    #[error("no more changes are taken at the moment")]
    Busy,
}

/// A password that is wished for.
#[derive(Clone, Debug)]
pub struct NewPassword {
    /// Where it is to open.
    pub host: HostIdentity,
    /// What it is for.
    pub purpose: Purpose,
    /// The one account that it is for, as the host has it; none for each of them.
    pub user: Option<String>,
    /// When.
    pub term: Term,
    /// Why.
    pub why: Option<String>,
    /// Who asks, as records have him.
    pub by: String,
    /// Who gets it by mail.
    pub mail: Option<EmailAddress>,
}

/// A key for the host that it is of.
#[derive(Debug)]
pub struct HostKeyOf {
    /// Its number.
    pub epoch: u32,
    /// The key.
    pub key: HostKey,
}

/// What a host says of a password that was used there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Used {
    /// Under which of its keys.
    pub epoch: u32,
    /// Which.
    pub counter: u64,
    /// The Unix account.
    pub user: String,
    /// The PAM service.
    pub service: String,
    /// When, by the host's clock.
    pub at: UnixTime,
    /// When what it gave ends.
    pub until: UnixTime,
}

/// What passwords are made with.
#[derive(Debug)]
pub struct Tools {
    /// Where changes become durable.
    pub ledger: Arc<dyn Ledger>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Tells people.
    pub notifier: Arc<Notifier>,
    /// Sends mails.
    pub outbox: Arc<Outbox>,
}

impl Tools {
    /// Makes a change durable with its record, and tells of it.
    pub(super) async fn store(&self, entry: Entry, event: AuditRecord) -> Result<(), MakeError> {
        let reference = Reference::draw()?;
        let entry = Entry { audit: Some(audit::entry(&event, reference)), ..entry };
        match self.ledger.submit(entry).await {
            Outcome::Committed => {
                tracing::info!(event = event.event, host = event.host, actor = event.actor, %reference, "changed");
                self.notifier.tell(&AuditRecord { reference: reference.to_string(), ..event });
                Ok(())
            }
            outcome => Err(MakeError::NotStored { outcome }),
        }
    }
}

/// Makes offline passwords.
#[derive(Clone, Debug)]
pub struct Maker {
    shelf: Arc<Shelf>,
    universal: Universal,
    tools: Arc<Tools>,
    turns: Turns,
}

impl Maker {
    /// * `universal`: how the password for every host stands in the ledger.
    pub fn new(
        shelf: Arc<Shelf>,
        universal: Option<UniversalRecord>,
        tools: Tools,
        master: &MasterKey,
    ) -> Self {
        let tools = Arc::new(tools);
        let universal = Universal::new(universal, Arc::clone(&tools), master, shelf.fleet);
        Self { shelf, universal, tools, turns: Turns::new() }
    }

    /// Where they are looked up.
    pub fn shelf(&self) -> &Shelf {
        &self.shelf
    }

    /// How the mail with a password stands; none where it was told to whoever made it.
    ///
    /// * `state`: how the password itself does. The mail with one that opens nothing is not sent any more, though it still
    ///   waits for its next try.
    pub fn mail(&self, record: &PasswordRecord, state: OfflineState) -> Option<OfflineMail> {
        let MailedTo { to, mail } = record.mailed.as_ref()?;
        let progress = self.tools.outbox.state(*mail).map(|known| match known.progress() {
            MailProgress::Waiting if state != OfflineState::Open => MailProgress::Failed,
            progress => progress,
        });
        Some(OfflineMail { to: to.clone(), state: progress })
    }

    /// Makes a password, and tells it once.
    ///
    /// # Errors
    /// See [`MakeError`].
    pub async fn make(&self, new: NewPassword) -> Result<(Arc<PasswordRecord>, OfflinePassword), MakeError> {
        if new.why.as_deref().is_some_and(|why| !is_shown(why)) {
            return Err(MakeError::Why);
        }
        if new.mail.is_some() && self.tools.outbox.is_full() {
            return Err(MakeError::TooManyMails);
        }
        let this = self.clone();
        self.in_turn(async move { this.make_in_turn(new).await }).await
    }

    async fn make_in_turn(
        &self,
        new: NewPassword,
    ) -> Result<(Arc<PasswordRecord>, OfflinePassword), MakeError> {
        let NewPassword { host, purpose, user, term, why, by, mail } = new;
        let known = self.shelf.table.host(host.id).filter(|known| known.is_held);
        let known = known.ok_or_else(|| MakeError::NoKey { host: host.name.to_string() })?;
        let (made, most) = self.shelf.table.counters(host.id, known.epoch);
        let (mut next, claim) = (made + 1, ClaimId(random_bytes()?));
        for _ in 0..CLAIMS_MAX {
            if next > most {
                return Err(MakeError::TooManyOpen { host: host.name.to_string() });
            }
            let grant = Grant { purpose: purpose.clone(), user: user.clone(), term, counter: next };
            let now = self.tools.clock.now();
            let record = PasswordRecord::new(host.id, known.epoch, &grant, (by.clone(), why.clone()), now);
            let (record, letter) = self.addressed(record, mail.as_ref(), now);
            let mut told =
                format!("password {next} under key {}, for {}, {}", known.epoch, record.reach, record.time);
            if let Some(to) = &mail {
                told.push_str(&format!(", mailed to {to}"));
            }
            let mut event = self.event("offline_password_made", "administrator", &host, told);
            (event.actor, event.user) = (Some(by.clone()), user.clone());
            let claim = Claim { credential: self.counter(&host, known.epoch), to: next, id: claim };
            let changes = [record.put()].into_iter().chain(letter).collect();
            let entry = Entry { claim: Some(claim), changes, audit: None };
            match self.store(entry, event).await {
                Ok(()) => {
                    let record = self.shelf.table.put(record);
                    // Whoever writes the mail looks the record up, perhaps at once.
                    let mailed = record.mailed.as_ref().map(|mailed| mailed.mail);
                    self.tools.outbox.committed(mailed.as_slice());
                    let password = OfflinePassword::make(&self.shelf.key(host.id, known.epoch), &grant);
                    return Ok((record, password));
                }
                // Another verifier was faster.
                Err(MakeError::NotStored {
                    outcome: Outcome::NotCommitted(Refusal::Superseded { value, .. }),
                }) => next = value + 1,
                Err(error) => return Err(error),
            }
        }
        Err(MakeError::Busy)
    }

    /// The same with its mail, and the change that keeps that; both are for one entry.
    fn addressed(
        &self,
        record: PasswordRecord,
        to: Option<&EmailAddress>,
        now: UnixTime,
    ) -> (PasswordRecord, Option<Change>) {
        let Some(to) = to else { return (record, None) };
        let letter = NewLetter {
            to: to.clone(),
            occasion: Occasion::of(&record).bytes(),
            until: record.usable_until(),
            is_urgent: true,
        };
        let (mail, change) = self.tools.outbox.put(letter, now);
        (record.mailed(MailedTo { to: to.to_string(), mail }), Some(change))
    }

    /// Revokes a password. What one gave that was used ends too, once its host has heard of it.
    ///
    /// # Errors
    /// See [`MakeError`].
    pub async fn revoke(
        &self,
        host: HostIdentity,
        (epoch, counter): (u32, u64),
        by: String,
    ) -> Result<Arc<PasswordRecord>, MakeError> {
        let this = self.clone();
        self.in_turn(async move {
            let name = || host.name.to_string();
            let known = this.shelf.table.find(host.id, epoch, counter);
            let known = known.ok_or_else(|| MakeError::NoSuchPassword { host: name(), counter })?;
            let now = this.tools.clock.now();
            let is_present = this.shelf.epoch(&host) == Some(epoch);
            let over = |why| MakeError::NotOpen { id: known.id(&host.name), why };
            let record = match &known.standing {
                _ if !is_present => return Err(over("opens nothing any more: its host has another key")),
                Standing::Open => known.with(Standing::Revoked { by: by.clone(), at: now }),
                Standing::Used { until, .. } if *until > now && known.ended_by.is_none() => {
                    known.ended(by.clone())
                }
                Standing::Used { .. } => return Err(over("was used, and what it gave is over already")),
                Standing::Revoked { .. } => return Err(over("was revoked before")),
            };
            let told = format!("password {counter} under key {}", record.epoch);
            let mut event = this.event("offline_password_revoked", "administrator", &host, told);
            event.actor = Some(by);
            this.store(Entry { claim: None, changes: vec![record.put()], audit: None }, event).await?;
            Ok(this.shelf.table.put(record))
        })
        .await
    }

    /// The password for every host.
    pub fn universal(&self) -> &Universal {
        &self.universal
    }

    /// What counts the passwords under a key.
    fn counter(&self, host: &HostIdentity, epoch: u32) -> CredentialId {
        CredentialId(self.shelf.names.key(&[&host.id.bytes(), &epoch.to_be_bytes()]))
    }

    fn event(&self, event: &str, reason: &str, host: &HostIdentity, detail: String) -> AuditRecord {
        AuditRecord {
            at: rfc3339(self.tools.clock.now()),
            event: event.into(),
            reason: reason.into(),
            host: Some(host.name.to_string()),
            detail: Some(detail),
            ..AuditRecord::default()
        }
    }

    async fn store(&self, entry: Entry, event: AuditRecord) -> Result<(), MakeError> {
        self.tools.store(entry, event).await
    }

    /// The same of what no record tells.
    async fn store_quietly(&self, entry: Entry) -> Result<(), MakeError> {
        match self.tools.ledger.submit(entry).await {
            Outcome::Committed => Ok(()),
            outcome => Err(MakeError::NotStored { outcome }),
        }
    }

    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, MakeError>> + Send + 'static,
    ) -> Result<T, MakeError> {
        self.turns.take(work).await.unwrap_or(Err(MakeError::Busy))
    }
}

/// Whether a reason can be on record.
pub(super) fn is_shown(why: &str) -> bool {
    why.chars().count() <= WHY_CHARACTERS_MAX && !why.chars().any(wire::printable::is_risky)
}

#[cfg(test)]
mod tests;
