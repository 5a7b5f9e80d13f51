//! Where passwords and the keys of hosts are looked up. A password is kept nowhere: it is made again from its record.

use std::sync::Arc;

use offline_password::{HostKey, OfflinePassword};
use wire::admin::{
    BothClocks, HostState, OfflinePassword as ToldPassword, OfflineScope, OfflineState, OfflineUsed,
};
use zeroize::Zeroizing;

use super::record::{PasswordRecord, Reach, Standing, Time};
use super::table::{Loaded, Table};
use super::when::Zone;
use crate::audit::rfc3339;
use crate::clock::{Clock, UnixTime};
use crate::hosts::{Host, HostId, HostIdentity};
use crate::keys::{MasterKey, NameHasher};

/// All that was made, and what all keys of hosts come from.
pub struct Shelf {
    pub(super) table: Table,
    pub(super) names: NameHasher,
    /// Names the fleet: each has a master key of its own.
    pub(super) fleet: [u8; 16],
    master: Zeroizing<[u8; 32]>,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Shelf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shelf(..)")
    }
}

impl Shelf {
    /// Goes on with what the ledger holds.
    pub fn new(loaded: Loaded, master: &MasterKey, clock: Arc<dyn Clock>) -> Arc<Self> {
        let names = NameHasher::new(master, "counters of offline passwords");
        let fleet = names.key(&[b"fleet"]);
        Arc::new(Self {
            table: loaded.into_table(),
            names,
            fleet,
            master: master.derive("offline passwords"),
            clock,
        })
    }

    /// The passwords of a host, the newest first.
    pub fn of_host(&self, host: &HostIdentity) -> Vec<Arc<PasswordRecord>> {
        self.table.of_host(host.id)
    }

    /// One of them.
    pub fn find(&self, host: HostId, epoch: u32, counter: u64) -> Option<Arc<PasswordRecord>> {
        self.table.find(host, epoch, counter)
    }

    /// The number of a host's present key.
    pub fn epoch(&self, host: &HostIdentity) -> Option<u32> {
        Some(self.table.host(host.id)?.epoch)
    }

    /// The clocks of a host: as it says itself, and else ours.
    pub fn zone(&self, host: &HostIdentity) -> Zone {
        let said = self.table.host(host.id).and_then(|known| known.time_zone);
        said.and_then(|name| Zone::named(&name).ok()).unwrap_or_else(Zone::here)
    }

    /// Until when passwords that were used at a host let somebody in, as far as it has told.
    pub fn frozen_until(&self, host: &HostIdentity) -> Option<UnixTime> {
        let (now, epoch) = (self.clock.now(), self.epoch(host)?);
        let until = |record: &Arc<PasswordRecord>| match record.standing {
            Standing::Used { until, .. } if record.epoch == epoch && record.reach != Reach::LockoutReset => {
                Some(until).filter(|_| record.ended_by.is_none())
            }
            _ => None,
        };
        self.of_host(host).iter().filter_map(until).filter(|until| *until > now).max()
    }

    /// A password again; none where its record says what none can.
    pub(super) fn password(&self, record: &PasswordRecord) -> Option<OfflinePassword> {
        Some(OfflinePassword::make(&self.key(record.host, record.epoch), &record.grant()?))
    }

    pub(super) fn key(&self, host: HostId, epoch: u32) -> HostKey {
        HostKey::derive(&self.master, &self.fleet, &host.bytes(), epoch)
    }

    /// How a password stands.
    pub fn state(&self, host: &Host, record: &PasswordRecord) -> OfflineState {
        let is_present = self.epoch(&host.identity) == Some(record.epoch);
        match record.standing {
            Standing::Used { .. } => OfflineState::Used,
            Standing::Revoked { .. } => OfflineState::Revoked,
            Standing::Open if !is_present => OfflineState::Void,
            Standing::Open if host.record.state() == HostState::Revoked => OfflineState::Void,
            // Its host takes it for an old one.
            Standing::Open if self.table.is_passed(record.host, record.counter) => OfflineState::Void,
            Standing::Open if record.usable_until() <= self.clock.now() => OfflineState::Expired,
            Standing::Open => OfflineState::Open,
        }
    }

    /// A password as it is told of, without itself and its mail.
    pub fn told(&self, host: &Host, record: &PasswordRecord) -> ToldPassword {
        let (there, here) = (self.zone(&host.identity), Zone::here());
        let both =
            |at: UnixTime| BothClocks { utc: rfc3339(at), host: there.told(at), server: here.told(at) };
        let (scope, service) = match &record.reach {
            Reach::Service(name) => (OfflineScope::Service, Some(name.clone())),
            Reach::All => (OfflineScope::AllServices, None),
            Reach::FileTransfers => (OfflineScope::FileTransfer, None),
            Reach::LockoutReset => (OfflineScope::LockoutReset, None),
        };
        let (minutes, from) = match record.time {
            Time::Preset { minutes, .. } => (Some(minutes), None),
            Time::Window { start, .. } => (None, Some(both(start))),
        };
        let (used, revoked_by) = match &record.standing {
            Standing::Open => (None, None),
            Standing::Revoked { by, .. } => (None, Some(by.clone())),
            Standing::Used { user, service, at, until } => {
                let (user, service) = (user.clone(), service.clone());
                let used = OfflineUsed { user, service, at: rfc3339(*at), until: rfc3339(*until) };
                (Some(used), record.ended_by.clone())
            }
        };
        ToldPassword {
            id: record.id(&host.record.name),
            host: host.record.name.to_string(),
            user: record.user.clone(),
            scope,
            service,
            minutes: minutes.filter(|_| scope != OfflineScope::LockoutReset),
            from,
            until: both(record.usable_until()),
            host_time_zone: self.table.host(record.host).and_then(|known| known.time_zone),
            state: self.state(host, record),
            why: record.why.clone(),
            made_by: record.by.clone(),
            made: rfc3339(record.made),
            used,
            revoked_by,
            mail: None,
        }
    }
}
