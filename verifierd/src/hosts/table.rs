//! The hosts in memory: who shows which key, and whose a name is. Reads at every request, changes seldom.

use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use ledger::Record;
use wire::admin::HostState;

use super::certificate::{HostCertificate, KeyHash};
use super::identity::{HostId, HostIdentity, HostName};
use super::presence::{Presence, Said};
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
    /// Those that are connected and have said their time.
    pub clocks: u64,
    /// Of these, whose clock is ahead of ours by more than [`CLOCK_TOLERANCE_SECONDS`].
    pub clocks_ahead: u64,
    /// And whose is behind by more.
    pub clocks_behind: u64,
}

/// Differences of clocks that are told: a time step of a token.
pub const CLOCK_TOLERANCE_SECONDS: i64 = 30;

/// Connected hosts whose clocks say something of ours: two may be wrong together, or be one machine's guests.
const CLOCKS_MIN: u64 = 3;

impl Figures {
    /// What is to be said in the status where most connected hosts say that our clock is off. They are not believed: nothing
    /// else comes of it.
    pub fn clock_alarm(&self) -> Option<String> {
        let Self { clocks, clocks_ahead, clocks_behind, .. } = *self;
        let is_most = |count: u64| clocks >= CLOCKS_MIN && 2 * count > clocks;
        let (count, theirs) = match (is_most(clocks_ahead), is_most(clocks_behind)) {
            (true, _) => (clocks_ahead, "ahead of"),
            (_, true) => (clocks_behind, "behind"),
            (false, false) => return None,
        };
        Some(format!(
            "{count} of {clocks} connected hosts have clocks that are more than {CLOCK_TOLERANCE_SECONDS} s {theirs} this \
             machine's: see whether its own is right (`timedatectl`, `chronyc tracking`), since codes are judged by it"
        ))
    }
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
            let connections = host.presence.connections();
            figures.connections += connections as u64;
            if let Some(Said { clock_ahead, .. }) = host.presence.said().filter(|_| connections > 0) {
                figures.clocks += 1;
                figures.clocks_ahead += u64::from(clock_ahead > CLOCK_TOLERANCE_SECONDS);
                figures.clocks_behind += u64::from(clock_ahead < -CLOCK_TOLERANCE_SECONDS);
            }
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

    // covers: H09
    #[test]
    fn most_of_three_connected_hosts_are_needed_to_doubt_our_clock() {
        let (hosts, clock) = (Hosts::default(), ManualClock::at(NOW));
        let mut seats = Vec::new();
        let mut host = |byte: u8, clock_ahead: i64, is_connected: bool| {
            let record = HostRecord {
                id: HostId::from_random([byte; 16]),
                name: HostName::new(&format!("web{byte}")).unwrap(),
                ..active(byte, &[])
            };
            hosts.put(record, &clock);
            let host = hosts.find(HostId::from_random([byte; 16])).unwrap();
            host.presence.say(Said { agent_version: "1".into(), clock_ahead });
            seats.extend(is_connected.then(|| host.presence.enter()));
            hosts.figures().clock_alarm()
        };
        assert_eq!(host(1, 31, true), None);
        assert_eq!(host(2, 3_600, true), None, "two may be wrong together");
        assert_eq!(host(3, 31, false), None, "that one is gone");
        assert!(
            host(4, -30, true)
                .is_some_and(|said| said.starts_with("2 of 3 connected hosts have clocks that are"))
        );
        assert_eq!(host(5, i64::MIN, true), None, "half of them are not most");
        assert_eq!(hosts.figures().clocks_behind, 1);
        assert_eq!(host(6, -31, true), None);
        assert!(host(7, -31, true).is_none());
        assert!(
            host(8, -31, true)
                .is_some_and(|said| said.contains("4 of 7 connected hosts") && said.contains("30 s behind"))
        );
    }
}
