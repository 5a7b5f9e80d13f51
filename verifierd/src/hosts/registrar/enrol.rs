//! What administrators do with hosts.

use std::sync::Arc;

use wire::admin::HostState;

use super::{HostError, Registrar};
use crate::accounts::Actor;
use crate::hosts::record::{HostRecord, JoinTicket};
use crate::hosts::secret::JoinSecret;
use crate::hosts::table::{Host, JOIN_SECONDS};
use crate::hosts::{GroupName, HostId, HostName};
use crate::keys::random_bytes;

/// Most hosts, revoked ones among them: some 100 MB of memory. Only administrators make them.
pub const HOSTS_MAX: usize = 100_000;

/// Most names that a host had before. Its record holds all of them, 4 KiB at most.
pub const FORMER_NAMES_MAX: usize = 16;

/// A host that may join, and with what.
#[derive(Debug)]
pub struct Enrolled {
    /// The host.
    pub host: Arc<Host>,
    /// Told once.
    pub secret: JoinSecret,
}

impl Registrar {
    /// Makes a name for a host and lets it join, or lets one that is known join again.
    ///
    /// * `again`: whether it may have joined before.
    ///
    /// # Errors
    /// See [`HostError`].
    pub async fn enrol(
        self: &Arc<Self>,
        name: HostName,
        group: Option<GroupName>,
        again: bool,
        by: Actor,
    ) -> Result<Enrolled, HostError> {
        let me = Arc::clone(self);
        self.in_turn(async move { me.enrol_in_turn(name, group, again, &by).await }).await
    }

    /// Refuses a host for ever.
    ///
    /// # Errors
    /// See [`HostError`].
    pub async fn revoke(self: &Arc<Self>, name: HostName, by: Actor) -> Result<Arc<Host>, HostError> {
        let me = Arc::clone(self);
        self.in_turn(async move {
            let host = me.find(&name)?;
            if host.record.state() == HostState::Revoked {
                return Ok(host);
            }
            let revoked = Some(me.tools.clock.now());
            let record =
                HostRecord { revoked, join: None, present: None, issued: Vec::new(), ..host.record.clone() };
            me.change(record, me.by_administrator("host_revoked", &by)).await
        })
        .await
    }

    /// Gives a host another name. The former one stays its own.
    ///
    /// # Errors
    /// See [`HostError`].
    pub async fn rename(
        self: &Arc<Self>,
        name: HostName,
        to: HostName,
        by: Actor,
    ) -> Result<Arc<Host>, HostError> {
        let me = Arc::clone(self);
        self.in_turn(async move { me.rename_in_turn(name, to, &by).await }).await
    }

    /// Puts a host into a group, or into none.
    ///
    /// # Errors
    /// See [`HostError`].
    pub async fn set_group(
        self: &Arc<Self>,
        name: HostName,
        group: Option<GroupName>,
        by: Actor,
    ) -> Result<Arc<Host>, HostError> {
        let me = Arc::clone(self);
        self.in_turn(async move {
            let host = me.find_living(&name)?;
            if host.record.group == group {
                return Ok(host);
            }
            let mut event = me.by_administrator("host_group_set", &by);
            event.detail = Some(group.as_ref().map_or("no group".into(), |group| format!("group {group}")));
            me.change(HostRecord { group, ..host.record.clone() }, event).await
        })
        .await
    }

    async fn enrol_in_turn(
        &self,
        name: HostName,
        group: Option<GroupName>,
        again: bool,
        by: &Actor,
    ) -> Result<Enrolled, HostError> {
        if self.authority().is_none() {
            return Err(HostError::NoFleet);
        }
        let now = self.tools.clock.now();
        let record = match self.tools.hosts.owner_of(&name) {
            None if again => return Err(HostError::NoSuchHost { name }),
            None => self.new_record(name)?,
            Some(host) if host.record.name != name => {
                return Err(HostError::NameTaken { name, owner: host.record.name.clone() });
            }
            Some(host) => match host.record.state() {
                HostState::Revoked => return Err(HostError::Revoked { name }),
                HostState::Active if !again => return Err(HostError::Joined { name }),
                HostState::Active | HostState::Pending => host.record.clone(),
            },
        };
        let secret = JoinSecret::draw()?;
        let join = JoinTicket {
            hash: secret.hash(&self.tools.join_hasher),
            until: now.saturating_add(JOIN_SECONDS),
            used_by: None,
        };
        let group = group.or_else(|| record.group.clone());
        let mut event = self.by_administrator("host_enrolled", by);
        event.detail = group.as_ref().map(|group| format!("group {group}"));
        let record = HostRecord { join: Some(join), group, ..record };
        let host = self.change(record, event).await?;
        Ok(Enrolled { host, secret })
    }

    fn new_record(&self, name: HostName) -> Result<HostRecord, HostError> {
        let hosts = &self.tools.hosts;
        if hosts.len() >= HOSTS_MAX {
            return Err(HostError::TooManyHosts);
        }
        let mut id = HostId::from_random(random_bytes()?);
        while hosts.find(id).is_some() {
            id = HostId::from_random(random_bytes()?);
        }
        Ok(HostRecord::new(id, name, self.tools.clock.now()))
    }

    async fn rename_in_turn(&self, name: HostName, to: HostName, by: &Actor) -> Result<Arc<Host>, HostError> {
        let host = self.find_living(&name)?;
        if name == to {
            return Ok(host);
        }
        if let Some(owner) = self.tools.hosts.owner_of(&to).filter(|owner| owner.record.id != host.record.id)
        {
            return Err(HostError::NameTaken { name: to, owner: owner.record.name.clone() });
        }
        let mut record = host.record.clone();
        record.former_names.retain(|former| *former != to);
        if record.former_names.len() >= FORMER_NAMES_MAX {
            return Err(HostError::TooManyNames { name });
        }
        let mut event = self.by_administrator("host_renamed", by);
        event.detail = Some(format!("before: {name}"));
        record.former_names.push(name);
        record.name = to;
        self.change(record, event).await
    }

    /// One that was not revoked: about such a host nothing changes any more.
    fn find_living(&self, name: &HostName) -> Result<Arc<Host>, HostError> {
        let host = self.find(name)?;
        match host.record.state() {
            HostState::Revoked => Err(HostError::Revoked { name: name.clone() }),
            HostState::Pending | HostState::Active => Ok(host),
        }
    }
}
