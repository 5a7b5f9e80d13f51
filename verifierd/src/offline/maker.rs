//! Gives hosts their keys, makes passwords, and hears of their use.
//!
//! A counter is claimed as a password is: from two verifiers at one moment two come, and each has its own. A host that is set
//! up anew gets another key, under which nothing was made and nothing was used.

mod hear;

use std::sync::Arc;

use ledger::{Claim, ClaimId, CredentialId, Entry, Ledger, Outcome, Refusal};
use offline_password::{COUNTERS_AHEAD_MAX, Grant, HostKey, OfflinePassword, Purpose, Term};
use zeroize::Zeroizing;

pub use hear::{Heard, Said};

use super::record::{PasswordRecord, Standing};
use super::table::{Loaded, Table};
use crate::audit::{self, AuditRecord, Reference, rfc3339};
use crate::clock::{Clock, UnixTime};
use crate::hosts::HostIdentity;
use crate::keys::{KeyError, MasterKey, NameHasher, random_bytes};
use crate::notify::Notifier;
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
    /// There is none such.
    #[error("no offline password {counter} of {host}")]
    NoSuchPassword {
        /// Which host.
        host: String,
        /// Its counter.
        counter: u64,
    },
    /// It was used, or revoked before.
    #[error("offline password {counter} of {host} is not open any more")]
    NotOpen {
        /// Which host.
        host: String,
        /// Its counter.
        counter: u64,
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
}

/// Makes offline passwords.
#[derive(Clone, Debug)]
pub struct Maker {
    table: Arc<Table>,
    secret: Arc<Secret>,
    tools: Arc<Tools>,
    turns: Turns,
}

/// What all keys of hosts come from.
struct Secret {
    master: Zeroizing<[u8; 32]>,
    fleet: [u8; 16],
    names: NameHasher,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Maker {
    /// Goes on with what the ledger holds.
    pub fn new(loaded: Loaded, tools: Tools, master: &MasterKey) -> Self {
        let names = NameHasher::new(master, "counters of offline passwords");
        // Each fleet has a master key of its own, so what comes from it names the fleet.
        let fleet = names.key(&[b"fleet"]);
        let secret = Secret { master: master.derive("offline passwords"), fleet, names };
        Self {
            table: Arc::new(loaded.into_table()),
            secret: Arc::new(secret),
            tools: Arc::new(tools),
            turns: Turns::new(),
        }
    }

    /// Makes a password, and tells it once.
    ///
    /// # Errors
    /// See [`MakeError`].
    pub async fn make(&self, new: NewPassword) -> Result<(Arc<PasswordRecord>, OfflinePassword), MakeError> {
        if new.why.as_deref().is_some_and(|why| !is_shown(why)) {
            return Err(MakeError::Why);
        }
        let this = self.clone();
        self.in_turn(async move { this.make_in_turn(new).await }).await
    }

    async fn make_in_turn(
        &self,
        new: NewPassword,
    ) -> Result<(Arc<PasswordRecord>, OfflinePassword), MakeError> {
        let NewPassword { host, purpose, user, term, why, by } = new;
        let known = self.table.host(host.id).filter(|known| known.is_held);
        let known = known.ok_or_else(|| MakeError::NoKey { host: host.name.to_string() })?;
        let (made, most) = self.table.counters(host.id, known.epoch);
        let (mut next, claim) = (made + 1, ClaimId(random_bytes()?));
        for _ in 0..CLAIMS_MAX {
            if next > most {
                return Err(MakeError::TooManyOpen { host: host.name.to_string() });
            }
            let grant = Grant { purpose: purpose.clone(), user: user.clone(), term, counter: next };
            let record = PasswordRecord::new(
                host.id,
                known.epoch,
                &grant,
                (by.clone(), why.clone()),
                self.tools.clock.now(),
            );
            let told =
                format!("password {next} under key {}, {:?}, {:?}", known.epoch, record.reach, record.time);
            let mut event = self.event("offline_password_made", "administrator", &host, told);
            (event.actor, event.user) = (Some(by.clone()), user.clone());
            let claim = Claim { credential: self.counter(&host, known.epoch), to: next, id: claim };
            let entry = Entry { claim: Some(claim), changes: vec![record.put()], audit: None };
            match self.store(entry, event).await {
                Ok(()) => {
                    let password = OfflinePassword::make(&self.key(&host, known.epoch), &grant);
                    return Ok((self.table.put(record), password));
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

    /// Revokes a password that nobody is known to have used.
    ///
    /// # Errors
    /// See [`MakeError`].
    pub async fn revoke(
        &self,
        host: HostIdentity,
        counter: u64,
        by: String,
    ) -> Result<Arc<PasswordRecord>, MakeError> {
        let this = self.clone();
        self.in_turn(async move {
            let name = || host.name.to_string();
            let known =
                this.table.host(host.id).and_then(|known| this.table.find(host.id, known.epoch, counter));
            let known = known.ok_or_else(|| MakeError::NoSuchPassword { host: name(), counter })?;
            if known.standing != Standing::Open {
                return Err(MakeError::NotOpen { host: name(), counter });
            }
            let standing = Standing::Revoked { by: by.clone(), at: this.tools.clock.now() };
            let record = known.with(standing);
            let told = format!("password {counter} under key {}", record.epoch);
            let mut event = this.event("offline_password_revoked", "administrator", &host, told);
            event.actor = Some(by);
            this.store(Entry { claim: None, changes: vec![record.put()], audit: None }, event).await?;
            Ok(this.table.put(record))
        })
        .await
    }

    /// The passwords of a host, the newest first.
    pub fn of_host(&self, host: &HostIdentity) -> Vec<Arc<PasswordRecord>> {
        self.table.of_host(host.id)
    }

    /// The number of a host's present key.
    pub fn epoch(&self, host: &HostIdentity) -> Option<u32> {
        Some(self.table.host(host.id)?.epoch)
    }

    /// The time zone that a host says it is in.
    pub fn time_zone(&self, host: &HostIdentity) -> Option<String> {
        self.table.host(host.id)?.time_zone
    }

    fn key(&self, host: &HostIdentity, epoch: u32) -> HostKey {
        HostKey::derive(&self.secret.master, &self.secret.fleet, &host.id.bytes(), epoch)
    }

    /// What counts the passwords under a key.
    fn counter(&self, host: &HostIdentity, epoch: u32) -> CredentialId {
        CredentialId(self.secret.names.key(&[&host.id.bytes(), &epoch.to_be_bytes()]))
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
        let reference = Reference::draw()?;
        let entry = Entry { audit: Some(audit::entry(&event, reference)), ..entry };
        match self.tools.ledger.submit(entry).await {
            Outcome::Committed => {
                tracing::info!(event = event.event, host = event.host, actor = event.actor, %reference, "changed");
                self.tools.notifier.tell(&AuditRecord { reference: reference.to_string(), ..event });
                Ok(())
            }
            outcome => Err(MakeError::NotStored { outcome }),
        }
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

fn is_shown(why: &str) -> bool {
    why.chars().count() <= WHY_CHARACTERS_MAX && !why.chars().any(wire::printable::is_risky)
}

#[cfg(test)]
mod tests;
