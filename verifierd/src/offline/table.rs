//! All of it in memory: the hosts' keys, and the passwords of each host.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use ledger::Record;
use offline_password::COUNTERS_AHEAD_MAX;

use super::record::{HostRecord, OfflineRecordError, PasswordRecord, Standing, UniversalRecord};
use crate::accounts::kind;
use crate::hosts::HostId;

/// What a start finds in the ledger.
#[derive(Debug, Default)]
pub struct Loaded {
    hosts: HashMap<HostId, HostRecord>,
    passwords: Vec<PasswordRecord>,
    universal: Option<UniversalRecord>,
}

impl Loaded {
    /// Takes a record of the store in; those of other kinds are left alone.
    ///
    /// # Errors
    /// Where it cannot be understood.
    pub fn take(&mut self, record: &Record) -> Result<(), OfflineRecordError> {
        match record.kind {
            kind::OFFLINE_HOST => {
                let host = HostRecord::decode(&record.value)?;
                self.hosts.insert(host.host, host);
            }
            kind::OFFLINE_PASSWORD => self.passwords.push(PasswordRecord::decode(&record.value)?),
            kind::OFFLINE_UNIVERSAL => self.universal = Some(UniversalRecord::decode(&record.value)?),
            _ => {}
        }
        Ok(())
    }

    /// Takes out how the password for every host stands.
    pub fn take_universal(&mut self) -> Option<UniversalRecord> {
        self.universal.take()
    }

    pub(super) fn into_table(self) -> Table {
        let table = Table::default();
        self.hosts.into_values().for_each(|host| table.put_host(host));
        self.passwords.into_iter().for_each(|password| drop(table.put(password)));
        table
    }
}

/// The passwords of one host, by key and counter.
type OfHost = BTreeMap<(u32, u64), Arc<PasswordRecord>>;

#[derive(Debug, Default)]
struct Inside {
    hosts: HashMap<HostId, HostRecord>,
    passwords: HashMap<HostId, OfHost>,
}

/// All of it. Held for one look or one change.
#[derive(Debug, Default)]
pub(super) struct Table(RwLock<Inside>);

impl Table {
    pub(super) fn host(&self, host: HostId) -> Option<HostRecord> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).hosts.get(&host).cloned()
    }

    pub(super) fn put_host(&self, host: HostRecord) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).hosts.insert(host.host, host);
    }

    pub(super) fn put(&self, record: PasswordRecord) -> Arc<PasswordRecord> {
        let record = Arc::new(record);
        let mut inside = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let of_host = inside.passwords.entry(record.host).or_default();
        of_host.insert((record.epoch, record.counter), Arc::clone(&record));
        record
    }

    pub(super) fn find(&self, host: HostId, epoch: u32, counter: u64) -> Option<Arc<PasswordRecord>> {
        let inside = self.0.read().unwrap_or_else(PoisonError::into_inner);
        inside.passwords.get(&host)?.get(&(epoch, counter)).cloned()
    }

    /// Those of a host, the newest first.
    pub(super) fn of_host(&self, host: HostId) -> Vec<Arc<PasswordRecord>> {
        let inside = self.0.read().unwrap_or_else(PoisonError::into_inner);
        inside.passwords.get(&host).into_iter().flat_map(|all| all.values().rev().cloned()).collect()
    }

    /// Whether so many passwords after it were used or revoked that its host takes it for an old one.
    pub(super) fn is_passed(&self, host: HostId, counter: u64) -> bool {
        self.host(host).is_some_and(|known| known.highest >= counter.saturating_add(COUNTERS_AHEAD_MAX))
    }

    /// The highest counter that is in use under a key, and the highest that may be: a host takes what lies further ahead of
    /// the last one that it knows as used or revoked for an old one.
    pub(super) fn counters(&self, host: HostId, epoch: u32) -> (u64, u64) {
        let inside = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let all =
            inside.passwords.get(&host).into_iter().flat_map(|all| all.range((epoch, 0)..=(epoch, u64::MAX)));
        let known = inside.hosts.get(&host).filter(|known| known.epoch == epoch);
        let (mut made, mut used) = (0, known.map_or(0, |known| known.highest));
        for ((_, counter), record) in all {
            made = made.max(*counter);
            if matches!(record.standing, Standing::Used { .. }) {
                used = used.max(*counter);
            }
        }
        (made, used.saturating_add(COUNTERS_AHEAD_MAX))
    }
}
