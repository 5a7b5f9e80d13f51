//! Requests in memory: by id, by place, by who asked, by password, and by when something is due.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::password::{Digest, Passwords};
use super::record::{Ending, RequestId, RequestRecord, Standing};
use crate::clock::{Clock, UnixTime};
use crate::hosts::HostId;
use crate::login::Login;
use crate::mail::MailId;
use crate::people::PersonId;

/// Requests of one host that are known at once, over or not: a host whose thousand users all ask within the hour. A host
/// that lies about who wants to log in fills its own share.
pub const REQUESTS_PER_HOST_MAX: usize = 1_024;

/// Requests that are known at once: sixteen such hosts, in some 30 MB.
pub const REQUESTS_MAX: usize = 16_384;

/// Passwords that wait at one place at once: persons who share an account and log in within the same half hour. Whoever
/// types made-up addresses where nobody approves gets no further.
pub const ISSUED_AT_PLACE_MAX: usize = 8;

/// Requests that wait at one place at once, one for each who asks: persons who share an account, and typing errors of an
/// address. Each person there has one, so approvers get one mail for each, however many addresses are made up.
pub const OPEN_AT_PLACE_MAX: usize = 8;

/// Wrong tries that an issued password survives. Source: SPEC.md, issued passwords; check C19.
pub const WRONG_TRIES_MAX: u32 = 5;

/// At most one new password for a person at a host in this time, in seconds. Source: SPEC.md, row R9.
pub const NEW_PASSWORD_SECONDS: u64 = 3_600;

/// How long a request is known after its end, for whoever comes too late to hear who was faster: as long as nobody gets
/// a new password at the same host anyway.
const KEPT_FOR: Duration = Duration::from_secs(NEW_PASSWORD_SECONDS);

/// A host, or the verifier's own machine, and an account there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub host: Option<HostId>,
    pub user: String,
}

impl Place {
    pub(super) fn of(login: &Login) -> Self {
        Self { host: login.host.as_ref().map(|host| host.id), user: kept(&login.user) }
    }

    pub(super) fn of_record(record: &RequestRecord) -> Self {
        Self { host: record.host.as_ref().map(|host| host.id), user: record.user.clone() }
    }
}

/// Longest account name that is kept; longer ones are no account's.
const USER_BYTES_MAX: usize = wire::login::USER_BYTES_MAX;

/// An account name as it is kept.
pub(super) fn kept(user: &str) -> String {
    let fits = |(start, letter): &(usize, char)| start + letter.len_utf8() <= USER_BYTES_MAX;
    user.char_indices().take_while(fits).map(|(_, letter)| letter).collect()
}

/// Who asks, as far as limits tell people apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Asker {
    Person(PersonId),
    /// Nobody, by what he says he is and where to: two accounts of nobody are two, as two of different persons are.
    Nobody {
        typed: String,
        user: String,
    },
}

impl Asker {
    pub(super) fn of(record: &RequestRecord) -> Self {
        match &record.person {
            Some(person) => Self::Person(person.id),
            None => Self::Nobody { typed: record.typed.to_ascii_lowercase(), user: record.user.clone() },
        }
    }
}

/// A moment that comes by whichever clock is there first, so that a step of the wall clock puts nothing off.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    pub until: UnixTime,
    elapsed: Duration,
}

impl Deadline {
    /// * `floor`: a moment that is past for certain, whatever the wall clock says.
    /// * `most`: how far off it can be, in seconds.
    pub(super) fn new(until: UnixTime, most: u64, floor: UnixTime, clock: &dyn Clock) -> Self {
        let left = until.saturating_sub(clock.now().max(floor)).min(most);
        Self { until, elapsed: clock.elapsed() + Duration::from_secs(left) }
    }

    pub(super) fn is_ahead(&self, clock: &dyn Clock) -> bool {
        clock.now() < self.until && clock.elapsed() < self.elapsed
    }
}

/// What changes of a request besides its record.
#[derive(Debug, Default)]
pub(super) struct Moving {
    /// Wrong tries at its password.
    pub failures: AtomicU32,
    /// Wrong numbers of approvers.
    pub wrong_numbers: AtomicU32,
    /// When its password was mailed last; 0 where it was not mailed again since the start. Milliseconds of the
    /// monotonic clock.
    pub resent_ms: std::sync::atomic::AtomicU64,
    /// The last mail with its password, where that is not the first one.
    pub resent: Mutex<Option<MailId>>,
}

/// A request as logins and approvers see it.
#[derive(Debug)]
pub(super) struct Item {
    pub record: RequestRecord,
    pub moving: Arc<Moving>,
    /// When its present stage is over; of one that is over, when it is forgotten.
    pub deadline: Deadline,
    /// When its person may have a new password here; none where he was given none.
    pub renewal: Option<Deadline>,
    digest: Option<Digest>,
}

impl Item {
    fn new(
        record: RequestRecord,
        before: Option<&Self>,
        passwords: &Passwords,
        floor: UnixTime,
        clock: &dyn Clock,
    ) -> Self {
        let moving = before.map_or_else(Arc::default, |before| Arc::clone(&before.moving));
        let digest = record
            .issue
            .as_ref()
            .map(|issue| passwords.digest(&passwords.derive(record.id, issue.generation)));
        let renewal = record.issue.as_ref().map(|issue| {
            let until = issue.at.saturating_add(NEW_PASSWORD_SECONDS);
            let known = before.and_then(|before| before.renewal);
            known.unwrap_or_else(|| Deadline::new(until, NEW_PASSWORD_SECONDS, floor, clock))
        });
        let deadline = match (record.standing(), record.stage_until()) {
            (Standing::Issued, Some(until)) => {
                Deadline::new(until, record.password_ttl_seconds, floor, clock)
            }
            (_, Some(until)) => Deadline::new(until, until.saturating_sub(record.asked), floor, clock),
            (_, None) => {
                let ended = record.end.as_ref().map_or(0, |end| end.at);
                let kept = KEPT_FOR.as_secs();
                Deadline::new(ended.saturating_add(kept), kept, floor, clock)
            }
        };
        Self { record, moving, deadline, renewal, digest }
    }

    /// How it stands at this moment, whether or not anybody has written so.
    pub(super) fn standing(&self, clock: &dyn Clock) -> Standing {
        match self.record.standing() {
            Standing::Issued if self.is_spoilt() => Standing::Ended(Ending::Void),
            Standing::Pending | Standing::Issued if !self.deadline.is_ahead(clock) => {
                Standing::Ended(Ending::Expired)
            }
            standing => standing,
        }
    }

    /// Whether so many wrong tries were made that its password counts no more.
    pub(super) fn is_spoilt(&self) -> bool {
        self.moving.failures.load(Ordering::Acquire) >= WRONG_TRIES_MAX
    }

    /// Whether its password would be usable still, had it not been used.
    pub(super) fn is_in_time(&self, clock: &dyn Clock) -> bool {
        self.record.issue.as_ref().is_some_and(|issue| clock.now() < issue.until)
    }

    fn stage(&self) -> u8 {
        stage(&self.record)
    }

    fn host(&self) -> Option<HostId> {
        self.record.host.as_ref().map(|host| host.id)
    }
}

/// How far a request is: no step leads back.
fn stage(record: &RequestRecord) -> u8 {
    match record.standing() {
        Standing::Pending => 0,
        Standing::Issued => 1,
        Standing::Ended(_) => 2,
    }
}

/// All requests that are known.
#[derive(Debug, Default)]
pub(super) struct Table {
    by_id: HashMap<RequestId, Arc<Item>>,
    by_place: HashMap<Place, Vec<RequestId>>,
    by_asker: HashMap<(Asker, Option<HostId>), Vec<RequestId>>,
    by_digest: HashMap<Digest, RequestId>,
    per_host: HashMap<Option<HostId>, usize>,
    due: BTreeSet<(Duration, RequestId)>,
}

impl Table {
    /// Puts a request in, or what has become of it in the place of what it was.
    pub(super) fn put(
        &mut self,
        record: RequestRecord,
        passwords: &Passwords,
        floor: UnixTime,
        clock: &dyn Clock,
    ) -> Arc<Item> {
        let id = record.id;
        let before = self.by_id.get(&id).cloned();
        // Whoever lost a claim has read the record, and may be slower than whoever won it.
        if let Some(before) = before.as_ref().filter(|before| before.stage() > stage(&record)) {
            return Arc::clone(before);
        }
        let item = Arc::new(Item::new(record, before.as_deref(), passwords, floor, clock));
        match &before {
            Some(before) => {
                self.due.remove(&(before.deadline.elapsed, id));
            }
            None => {
                let (place, host) = (Place::of_record(&item.record), item.host());
                self.by_place.entry(place).or_default().push(id);
                self.by_asker.entry((Asker::of(&item.record), host)).or_default().push(id);
                *self.per_host.entry(host).or_default() += 1;
            }
        }
        self.due.insert((item.deadline.elapsed, id));
        if let Some(digest) = item.digest {
            self.by_digest.insert(digest, id);
        }
        self.by_id.insert(id, Arc::clone(&item));
        item
    }

    /// Forgets a request.
    pub(super) fn remove(&mut self, id: RequestId) {
        let Some(item) = self.by_id.remove(&id) else { return };
        let (place, host) = (Place::of_record(&item.record), item.host());
        take_out(&mut self.by_place, &place, id);
        take_out(&mut self.by_asker, &(Asker::of(&item.record), host), id);
        self.due.remove(&(item.deadline.elapsed, id));
        if let Some(digest) = item.digest {
            self.by_digest.remove(&digest);
        }
        if let Some(count) = self.per_host.get_mut(&host) {
            *count -= 1;
            if *count == 0 {
                self.per_host.remove(&host);
            }
        }
    }

    pub(super) fn find(&self, id: RequestId) -> Option<Arc<Item>> {
        self.by_id.get(&id).cloned()
    }

    /// The request whose password this is, wherever it is good.
    pub(super) fn find_by_digest(&self, digest: &Digest) -> Option<Arc<Item>> {
        self.find(*self.by_digest.get(digest)?)
    }

    /// What is known at a place.
    pub(super) fn at(&self, place: &Place) -> Vec<Arc<Item>> {
        self.each_of(self.by_place.get(place))
    }

    /// What somebody asked for at a host.
    pub(super) fn of(&self, asker: Asker, host: Option<HostId>) -> Vec<Arc<Item>> {
        self.each_of(self.by_asker.get(&(asker, host)))
    }

    pub(super) fn all(&self) -> Vec<Arc<Item>> {
        self.by_id.values().cloned().collect()
    }

    /// Up to `most` requests whose stage is over.
    pub(super) fn due(&self, now: Duration, most: usize) -> Vec<Arc<Item>> {
        let is_due = |(at, _): &&(Duration, RequestId)| *at <= now;
        self.due.iter().take_while(is_due).take(most).filter_map(|(_, id)| self.find(*id)).collect()
    }

    /// Whether a host may have one more request.
    pub(super) fn has_room(&self, host: Option<HostId>) -> bool {
        self.by_id.len() < REQUESTS_MAX
            && self.per_host.get(&host).is_none_or(|count| *count < REQUESTS_PER_HOST_MAX)
    }

    /// Whether a password is one that is known.
    pub(super) fn has_digest(&self, digest: &Digest) -> bool {
        self.by_digest.contains_key(digest)
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    fn each_of(&self, ids: Option<&Vec<RequestId>>) -> Vec<Arc<Item>> {
        ids.into_iter().flatten().filter_map(|id| self.find(*id)).collect()
    }
}

fn take_out<K: std::hash::Hash + Eq>(index: &mut HashMap<K, Vec<RequestId>>, key: &K, id: RequestId) {
    if let Some(ids) = index.get_mut(key) {
        ids.retain(|other| *other != id);
        if ids.is_empty() {
            index.remove(key);
        }
    }
}
