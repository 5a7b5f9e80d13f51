//! The hosts in memory: who shows which key, and whose a name is. Reads at every request, changes seldom.

use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use ledger::Record;
use wire::admin::HostState;

use super::certificate::{HostCertificate, KeyHash};
use super::identity::{HostId, HostIdentity, HostName};
use super::presence::Presence;
use super::record::{AuthorityRecord, HostRecord, HostRecordError, JoinTicket};
use super::secret::JoinHash;
use crate::accounts::kind;
use crate::clock::Clock;

/// How long a join secret is good, in seconds: an administrator walks from one machine to the other.
pub const JOIN_SECONDS: u64 = 15 * 60;

/// A host as requests see it. Immutable, exchanged whole.
#[derive(Clone, Debug)]
pub struct Host {
    /// What is kept of it.
    pub record: HostRecord,
    /// What logins are told of it.
    pub identity: HostIdentity,
    /// What is known of it since the start.
    pub presence: Arc<Presence>,
    /// When its join secret ends by a clock that nobody sets; with the time in the record, the earlier one counts.
    join_deadline: Duration,
}

impl Host {
    /// Its join secret, where there is one that is good at this moment.
    pub fn join_ticket(&self, clock: &dyn Clock) -> Option<&JoinTicket> {
        let is_good =
            |ticket: &&JoinTicket| clock.now() < ticket.until && clock.elapsed() < self.join_deadline;
        self.record.join.as_ref().filter(is_good)
    }
}

/// Which of a host's keys a certificate shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// The one that the host is known by.
    Present,
    /// One that was certified and not shown before: from now on it is the present one.
    Next,
}

/// Why a certificate of ours lets nobody in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAdmitted {
    /// There is no such host: the store is older than the certificate, or another verifier's.
    #[error("this verifier does not know the host: its store may be an older copy; enrol the host again")]
    Unknown,
    /// It was revoked.
    #[error("this host was revoked, for ever: enrol it under another name")]
    Revoked,
    /// The host has another key since.
    #[error("this is not the host's present certificate: if it is not a copy, let the host join again")]
    Superseded,
    /// Its time is over.
    #[error("the host's certificate has ended: let it join again (`postern host enrol NAME --again`)")]
    Ended,
}

/// Hosts in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Those that have never joined.
    pub pending: u64,
    /// Those that have.
    pub active: u64,
    /// Those that were revoked.
    pub revoked: u64,
    /// Their connections.
    pub connections: u64,
}

/// All hosts.
#[derive(Debug, Default)]
pub struct Hosts {
    by_id: DashMap<HostId, Arc<Host>>,
    /// Present and former ones.
    names: DashMap<HostName, HostId>,
    tickets: DashMap<JoinHash, HostId>,
}

impl Hosts {
    /// Finds a host by id.
    pub fn find(&self, id: HostId) -> Option<Arc<Host>> {
        self.by_id.get(&id).map(|host| Arc::clone(&host))
    }

    /// Finds a host by its present name.
    pub fn find_by_name(&self, name: &HostName) -> Option<Arc<Host>> {
        self.owner_of(name).filter(|host| host.record.name == *name)
    }

    /// The host that has a name, or had it once.
    pub fn owner_of(&self, name: &HostName) -> Option<Arc<Host>> {
        let id = *self.names.get(name)?;
        self.find(id)
    }

    /// The host that a join secret lets in, whether or not it is still good.
    pub fn find_by_ticket(&self, ticket: JoinHash) -> Option<Arc<Host>> {
        let id = *self.tickets.get(&ticket)?;
        self.find(id)
    }

    /// Whether any host has this key.
    pub fn has_key(&self, key: KeyHash) -> bool {
        self.by_id.iter().any(|host| host.record.keys().any(|known| known.hash == key))
    }

    /// Every host, sorted by name.
    pub fn all(&self) -> Vec<Arc<Host>> {
        let mut hosts: Vec<_> = self.by_id.iter().map(|host| Arc::clone(&host)).collect();
        hosts.sort_by(|one, other| one.record.name.cmp(&other.record.name));
        hosts
    }

    /// How many there are, revoked ones too.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// How many there are in each state, and how many connections all of them have.
    pub fn figures(&self) -> Figures {
        let mut figures = Figures::default();
        for host in &self.by_id {
            *match host.record.state() {
                HostState::Pending => &mut figures.pending,
                HostState::Active => &mut figures.active,
                HostState::Revoked => &mut figures.revoked,
            } += 1;
            figures.connections += host.presence.connections() as u64;
        }
        figures
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// The host of a certificate that our authority signed, if it is to be heard.
    ///
    /// # Errors
    /// See [`NotAdmitted`].
    pub fn admit(
        &self,
        certificate: &HostCertificate,
        clock: &dyn Clock,
    ) -> Result<(Arc<Host>, Shown), NotAdmitted> {
        let host = self.find(certificate.host).ok_or(NotAdmitted::Unknown)?;
        match host.record.state() {
            HostState::Revoked => return Err(NotAdmitted::Revoked),
            HostState::Pending => return Err(NotAdmitted::Superseded),
            HostState::Active => {}
        }
        // A connection lives longer than a handshake, which looked at the time once.
        if certificate.not_after < clock.now() {
            return Err(NotAdmitted::Ended);
        }
        let shown = match &host.record.present {
            Some(present) if present.hash == certificate.key => Shown::Present,
            _ if host.record.issued.iter().any(|next| next.hash == certificate.key) => Shown::Next,
            _ => return Err(NotAdmitted::Superseded),
        };
        Ok((host, shown))
    }

    /// Takes over what is durable. One caller at a time.
    pub(super) fn put(&self, record: HostRecord, clock: &dyn Clock) -> Arc<Host> {
        let old = self.find(record.id);
        let ticket = |host: &Arc<Host>| host.record.join.map(|join| join.hash);
        let (before, after) = (old.as_ref().and_then(ticket), record.join.map(|join| join.hash));
        let join_deadline = match &old {
            Some(old) if before == after => old.join_deadline,
            _ => clock.elapsed() + Duration::from_secs(seconds_left(&record, clock)),
        };
        let presence = old.as_ref().map(|old| Arc::clone(&old.presence)).unwrap_or_default();
        let identity = HostIdentity { id: record.id, name: record.name.clone(), group: record.group.clone() };
        for name in record.names() {
            self.names.insert(name.clone(), record.id);
        }
        if let Some(before) = before.filter(|_| before != after) {
            self.tickets.remove(&before);
        }
        if let Some(after) = after {
            self.tickets.insert(after, record.id);
        }
        let host = Arc::new(Host { record, identity, presence: Arc::clone(&presence), join_deadline });
        self.by_id.insert(host.record.id, Arc::clone(&host));
        presence.tell();
        host
    }
}

/// What is left of a join secret's time, as far as the wall clock can be believed.
fn seconds_left(record: &HostRecord, clock: &dyn Clock) -> u64 {
    record.join.map_or(0, |join| join.until.saturating_sub(clock.now()).min(JOIN_SECONDS))
}

/// What the ledger holds of the fleet.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The hosts.
    pub hosts: Hosts,
    /// Postern's own authority, where there is one.
    pub authority: Option<AuthorityRecord>,
}

impl Loaded {
    /// Takes over one record; those of other kinds are not its affair.
    ///
    /// # Errors
    /// When it cannot be understood.
    pub fn take(&mut self, record: &Record, clock: &dyn Clock) -> Result<(), HostRecordError> {
        match record.kind {
            kind::HOST => {
                self.hosts.put(HostRecord::decode(&record.value)?, clock);
            }
            kind::AUTHORITY => self.authority = Some(AuthorityRecord::decode(&record.value)?),
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::hosts::record::HostKey;

    const NOW: u64 = 1_800_000_000;

    fn key(byte: u8) -> KeyHash {
        KeyHash::of(&[byte])
    }

    fn active(present: u8, issued: &[u8]) -> HostRecord {
        let host_key = |byte| HostKey { hash: key(byte), until: NOW + 9 };
        HostRecord {
            joined: Some(NOW),
            present: Some(host_key(present)),
            issued: issued.iter().copied().map(host_key).collect(),
            ..HostRecord::new(HostId::from_random([1; 16]), HostName::new("web1").unwrap(), NOW)
        }
    }

    fn shown(key: KeyHash) -> HostCertificate {
        HostCertificate { host: HostId::from_random([1; 16]), key, not_after: NOW + 9 }
    }

    // covers: F03, F04
    #[test]
    fn a_host_is_heard_while_it_is_active_and_shows_a_key_of_its_own() {
        let (hosts, clock) = (Hosts::default(), ManualClock::at(NOW));
        let admit = |certificate| hosts.admit(&certificate, &clock).map(|(_, shown)| shown);
        assert_eq!(admit(shown(key(1))), Err(NotAdmitted::Unknown));
        hosts.put(HostRecord { joined: None, ..active(1, &[]) }, &clock);
        assert_eq!(admit(shown(key(1))), Err(NotAdmitted::Superseded));
        hosts.put(active(1, &[2, 3]), &clock);
        assert_eq!(
            [1, 2, 3].map(|byte| admit(shown(key(byte)))),
            [Ok(Shown::Present), Ok(Shown::Next), Ok(Shown::Next)]
        );
        assert_eq!(admit(shown(key(4))), Err(NotAdmitted::Superseded));
        clock.set_wall(NOW + 10);
        assert_eq!(admit(shown(key(1))), Err(NotAdmitted::Ended));
        clock.set_wall(NOW);
        hosts.put(HostRecord { revoked: Some(NOW), ..active(1, &[2]) }, &clock);
        assert_eq!([1, 2].map(|byte| admit(shown(key(byte)))), [Err(NotAdmitted::Revoked); 2]);
    }

    // covers: I13
    #[test]
    fn a_clock_that_is_set_back_makes_no_join_secret_good_for_longer() {
        let (hosts, clock) = (Hosts::default(), ManualClock::at(NOW));
        let join = JoinTicket { hash: JoinHash([7; 16]), until: NOW + JOIN_SECONDS, used_by: None };
        let host = hosts.put(HostRecord { join: Some(join), ..active(1, &[]) }, &clock);
        assert_eq!(host.join_ticket(&clock), Some(&join));
        clock.advance(Duration::from_secs(JOIN_SECONDS - 1));
        clock.set_wall(NOW - 86_400);
        // A rename in between starts nothing anew.
        let host = hosts.put(host.record.clone(), &clock);
        assert_eq!(host.join_ticket(&clock), Some(&join));
        clock.advance(Duration::from_secs(1));
        assert_eq!(host.join_ticket(&clock), None);
        // A start under a clock that was set back gives it no more than its whole time once.
        let (hosts, clock) = (Hosts::default(), ManualClock::at(NOW - 86_400));
        let host = hosts.put(host.record.clone(), &clock);
        clock.advance(Duration::from_secs(JOIN_SECONDS));
        assert_eq!(host.join_ticket(&clock), None);
    }

    #[test]
    fn a_new_ticket_is_the_only_one() {
        let (hosts, clock) = (Hosts::default(), ManualClock::at(NOW));
        let with = |byte| {
            let join = JoinTicket { hash: JoinHash([byte; 16]), until: NOW + 9, used_by: None };
            HostRecord { join: Some(join), ..active(1, &[]) }
        };
        hosts.put(with(1), &clock);
        hosts.put(with(2), &clock);
        assert!(hosts.find_by_ticket(JoinHash([1; 16])).is_none());
        assert!(hosts.find_by_ticket(JoinHash([2; 16])).is_some());
        hosts.put(active(1, &[]), &clock);
        assert!(hosts.find_by_ticket(JoinHash([2; 16])).is_none());
    }
}
