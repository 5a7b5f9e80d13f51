//! Makes all changes of hosts, one after the other, each durable with its record before the next begins.
//!
//! | module | does |
//! | --- | --- |
//! | `enrol` | names, groups and revocation: what administrators do |
//! | `join` | joining, renewing, changing to a new key: what hosts do |
//!
//! What a host is allowed is looked at again when its turn has come: of two that join with one secret the second one
//! finds it used.

mod enrol;
mod join;

use std::future::Future;
use std::sync::Arc;

use ledger::{Change, Entry, Ledger, Outcome};

pub use enrol::{Enrolled, FORMER_NAMES_MAX, HOSTS_MAX};
pub use join::{Certified, ISSUED_MAX, JoinRequest};

use super::authority::{Authority, AuthorityError};
use super::record::HostRecord;
use super::table::{Host, Hosts};
use super::{HostId, HostName};
use crate::accounts::Actor;
use crate::audit::{self, AuditRecord, Reference, rfc3339};
use crate::clock::Clock;
use crate::keys::{KeyError, NameHasher};
use crate::notify::Notifier;
use crate::turns::Turns;

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// No host has this name.
    #[error("no host {:?}", .name.as_str())]
    NoSuchHost {
        /// What was asked for.
        name: HostName,
    },
    /// Another host has the name, or had it.
    #[error("{name} is a name of host {owner}, or was one: names are never used twice")]
    NameTaken {
        /// The name.
        name: HostName,
        /// The present name of the host that has it.
        owner: HostName,
    },
    /// The host has joined.
    #[error("{name} has joined already: `--again` lets it join once more, after it was installed anew, say")]
    Joined {
        /// Which.
        name: HostName,
    },
    /// The host was revoked.
    #[error("{name} was revoked, for ever: enrol the machine under another name")]
    Revoked {
        /// Which.
        name: HostName,
    },
    /// It had as many names as one can have.
    #[error(
        "{name} was renamed {FORMER_NAMES_MAX} times: enrol the machine under another name, and revoke this one"
    )]
    TooManyNames {
        /// Which.
        name: HostName,
    },
    /// There are as many hosts as there can be.
    #[error("there are {HOSTS_MAX} hosts, revoked ones among them: no more are taken")]
    TooManyHosts,
    /// The verifier has no fleet.
    #[error("verifierd.toml has no [fleet] section: no host can join")]
    NoFleet,
    /// The secret is nobody's, was used, or is too old: they are not told apart.
    #[error("the join secret is wrong, was used, or is older than a quarter of an hour: ask for a new one")]
    WrongSecret,
    /// A host has the key already.
    #[error("a host has this key already: each certificate needs a new one")]
    KeyInUse,
    /// The host asks for too many certificates.
    #[error("this host asks for too many certificates: it may do so again in an hour")]
    TooManyRenewals,
    /// What the host shows is not its present certificate any more.
    #[error(transparent)]
    NotAdmitted(#[from] super::NotAdmitted),
    /// The authority did not sign.
    #[error("the fleet's authority cannot sign")]
    Authority(#[from] AuthorityError),
    /// The store did not take it.
    #[error("the store did not take the change: {outcome:?}")]
    NotStored {
        /// What it said.
        outcome: Outcome,
    },
    /// No random bytes.
    #[error("cannot draw a new id or secret")]
    Random(#[from] KeyError),
    /// The daemon is stopping or overloaded.
    #[error("no more changes are taken at the moment")]
    Busy,
}

/// What a registrar works with.
#[derive(Debug)]
pub struct Tools {
    /// What it changes.
    pub hosts: Hosts,
    /// Signs certificates; none where there is no fleet.
    pub authority: Option<Arc<Authority>>,
    /// Where changes become durable.
    pub ledger: Arc<dyn Ledger>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Tells people.
    pub notifier: Arc<Notifier>,
    /// Names join secrets.
    pub join_hasher: NameHasher,
}

/// Makes changes of hosts.
#[derive(Debug)]
pub struct Registrar {
    tools: Tools,
    turns: Turns,
}

impl Registrar {
    /// A registrar.
    pub fn new(tools: Tools) -> Arc<Self> {
        Arc::new(Self { tools, turns: Turns::new() })
    }

    /// The hosts.
    pub fn hosts(&self) -> &Hosts {
        &self.tools.hosts
    }

    /// The time.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.tools.clock
    }

    /// Signs certificates, where there is a fleet.
    pub fn authority(&self) -> Option<&Arc<Authority>> {
        self.tools.authority.as_ref()
    }

    /// As [`Turns::take`]; too many waiting is an error like others.
    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, HostError>> + Send + 'static,
    ) -> Result<T, HostError> {
        self.turns.take(work).await.unwrap_or(Err(HostError::Busy))
    }

    /// Makes a host's new record durable together with what is told of it.
    async fn change(&self, record: HostRecord, event: AuditRecord) -> Result<Arc<Host>, HostError> {
        let id = format!("id {}", record.id);
        let detail = event.detail.map_or(id.clone(), |detail| format!("{id}, {detail}"));
        let event = AuditRecord { host: Some(record.name.to_string()), detail: Some(detail), ..event };
        self.commit(vec![record.put()], event).await?;
        Ok(self.tools.hosts.put(record, &*self.tools.clock))
    }

    async fn commit(&self, changes: Vec<Change>, event: AuditRecord) -> Result<(), HostError> {
        let reference = Reference::draw()?;
        let entry = Entry { claim: None, changes, audit: Some(audit::entry(&event, reference)) };
        match self.tools.ledger.submit(entry).await {
            Outcome::Committed => {
                tracing::info!(
                    event = event.event, reason = event.reason, host = event.host, source = event.rhost,
                    actor = event.actor, %reference, "changed"
                );
                self.tools.notifier.tell(&AuditRecord { reference: reference.to_string(), ..event });
                Ok(())
            }
            outcome => Err(HostError::NotStored { outcome }),
        }
    }

    /// What an administrator did.
    fn by_administrator(&self, event: &str, by: &Actor) -> AuditRecord {
        AuditRecord { actor: Some(by.name.clone()), ..self.event(event, "administrator") }
    }

    fn event(&self, event: &str, reason: &str) -> AuditRecord {
        AuditRecord {
            at: rfc3339(self.tools.clock.now()),
            event: event.into(),
            reason: reason.into(),
            ..AuditRecord::default()
        }
    }

    fn find(&self, name: &HostName) -> Result<Arc<Host>, HostError> {
        self.tools.hosts.find_by_name(name).ok_or_else(|| HostError::NoSuchHost { name: name.clone() })
    }

    fn find_by_id(&self, id: HostId) -> Result<Arc<Host>, HostError> {
        Ok(self.tools.hosts.find(id).ok_or(super::NotAdmitted::Unknown)?)
    }
}

#[cfg(test)]
mod tests;
