//! Sessions: who is in, where and since when, from their begin to their end.
//!
//! | module | holds |
//! | --- | --- |
//! | `record` | what the ledger keeps of one |
//! | `table` | those that are open, and how many may be |
//! | `origin` | whether the login that a session names is one |
//! | `chores` | ends those whose end nobody told |
//!
//! Nothing is decided by a session, and no login waits for one: what a host says of its sessions is written down beside
//! the login. A host speaks of its own sessions alone, because its certificate is part of their names; what it says of a
//! login is believed only as far as the audit trail has it. Each begin and each end is one entry of the ledger with its
//! audit record, handed in under the lock of the table, so that both have the same order.

pub(crate) mod chores;
mod origin;
mod record;
mod table;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ledger::{Change, Entry, Ledger, Outcome, Pending, Record};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use wire::session::{CloseSession, NAMED_MAX, NamedSession, OpenSession, SessionsLeftOut, TEXT_BYTES_MAX};

use crate::accounts::{Actor, kind};
use crate::audit::{self, AuditRecord, Reference, rfc3339};
use crate::clock::{Clock, UnixTime};
use crate::hosts::{HostId, HostIdentity};
use crate::keys::KeyError;
use crate::people::People;
pub use record::{Origin, Session, SessionId, SessionRecordError};
use table::{Admission, Table};
pub use table::{SESSIONS_MAX, SESSIONS_PER_HOST_MAX};

/// Looks into the audit trail at once. One takes as long as a read of the disk, and a session can wait.
const LOOKS_MAX: usize = 4;

/// How long ago a session may have begun or ended that is reported only now: an agent keeps what it could not say for
/// as long as no verifier answers, and beyond a day nobody would call that late.
const LATE_SECONDS_MAX: u64 = 24 * 60 * 60;

/// Why a report was not taken.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// It is not one.
    #[error("{0}")]
    Malformed(&'static str),
    /// The host has as many sessions as one can have, or all hosts together have.
    #[error(
        "this host has too many open sessions: {SESSIONS_PER_HOST_MAX} are listed, and of all hosts {SESSIONS_MAX}"
    )]
    TooMany,
    /// The store did not take it.
    #[error("the store did not take the session: {outcome:?}")]
    NotStored {
        /// What became of it.
        outcome: Outcome,
    },
    /// The kernel gives no random bytes.
    #[error(transparent)]
    Random(#[from] KeyError),
}

/// How a session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The PAM module said so.
    Closed,
    /// The PAM module said so, and that it was not recorded, though it should have been.
    Unrecorded,
    /// Nobody said so: its leader is gone, or its machine has started anew.
    Lost,
    /// Its host was revoked: nobody will say so.
    HostRevoked,
    /// Another host's session needed its place.
    Displaced,
}

impl End {
    /// The word in the record.
    fn word(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Unrecorded => "not_recorded",
            Self::Lost => "lost",
            Self::HostRevoked => "host_revoked",
            Self::Displaced => "displaced",
        }
    }
}

/// What the ledger holds of sessions.
#[derive(Debug, Default)]
pub struct Loaded(Table);

impl Loaded {
    /// Takes over one record; those of other kinds are not its affair.
    ///
    /// # Errors
    /// When it cannot be understood.
    pub fn take(&mut self, record: &Record) -> Result<(), SessionRecordError> {
        if record.kind == kind::SESSION {
            self.0.restore(Arc::new(Session::decode(&record.value)?));
        }
        Ok(())
    }
}

/// All open sessions.
#[derive(Debug)]
pub struct Sessions {
    /// Held for a look or a change, and for handing in its entry, which never blocks.
    table: Arc<Mutex<Table>>,
    ledger: Arc<dyn Ledger>,
    clock: Arc<dyn Clock>,
    people: Arc<People>,
    looks: Semaphore,
}

impl Sessions {
    /// Goes on with what the ledger holds.
    pub fn new(loaded: Loaded, ledger: Arc<dyn Ledger>, clock: Arc<dyn Clock>, people: Arc<People>) -> Self {
        let (table, looks) = (Arc::new(Mutex::new(loaded.0)), Semaphore::new(LOOKS_MAX));
        Self { table, ledger, clock, people, looks }
    }

    /// Takes note of a session that has begun. One that is known already, or is over, is left as it is.
    ///
    /// * `host`: who says so, by its certificate; none on this machine.
    ///
    /// # Errors
    /// See [`SessionError`]; the session is not listed then.
    pub async fn open(&self, said: OpenSession, host: Option<&HostIdentity>) -> Result<(), SessionError> {
        let id = checked(said.api_version, &said.session)?;
        let (place, now) = (host.map(|host| host.id), self.clock.now());
        if self.lock().knows(place, id) {
            return Ok(());
        }
        let late = said.ago_seconds.min(LATE_SECONDS_MAX);
        let claimed = said.login.clone();
        let mut session = described(id, host.cloned(), said, now.saturating_sub(late))?;
        if let Some(claimed) = claimed {
            let looked = self.look_for_origin(&claimed, &session).await;
            // One page of the trail that cannot be read must not keep every later session of this host waiting.
            session.origin = looked.unwrap_or_else(|error| {
                tracing::error!(%error, "the login of a session cannot be looked for: it is listed without one");
                None
            });
        }
        let session = Arc::new(session);
        let time = if late > 0 { format!(", told {late} s late") } else { String::new() };
        let opened = telling(&session, "session_opened", "opened", &time, now);
        let audit = Some(audit::entry(&opened, Reference::draw()?));
        let entry = Entry { changes: vec![session.put()], audit, ..Entry::default() };
        let of_displaced = Reference::draw()?;
        let pending = {
            let mut table = self.lock();
            match table.admit(&session) {
                Admission::Known => return Ok(()),
                Admission::Full => return Err(SessionError::TooMany),
                Admission::New { displaced: None } => {}
                Admission::New { displaced: Some(other) } => {
                    let pending = self.hand_in_end(&other, End::Displaced, now, of_displaced);
                    // Nobody waits for it here.
                    drop(self.settle(pending, move |table| table.restore(other)));
                }
            }
            self.ledger.submit(entry)
        };
        stored(self.settle(pending, move |table| drop(table.remove(place, id)))).await
    }

    /// Takes note that somebody else began a session than its user, as he says. What it tells is the record.
    ///
    /// # Errors
    /// See [`SessionError`]; there is no record then.
    pub async fn report(&self, session: &Session, by: Actor) -> Result<AuditRecord, SessionError> {
        let reference = Reference::draw()?;
        let since = format!(", since {}", rfc3339(session.since));
        let told = telling(session, "session_reported", "not_me", &since, self.clock.now());
        let record = AuditRecord { actor: Some(by.name), reference: reference.to_string(), ..told };
        let audit = Some(audit::entry(&record, reference));
        let entry = Entry { audit, ..Entry::default() };
        stored(self.settle(self.ledger.submit(entry), |_| ())).await?;
        tracing::warn!(user = ?session.user, actor = record.actor, %reference, "a session was reported by its user");
        Ok(record)
    }

    /// Takes note of how many sessions an agent had no room for: a record in the trail.
    ///
    /// * `host`: who says so, by its certificate; none on this machine.
    ///
    /// # Errors
    /// See [`SessionError`]; there is no record then.
    pub async fn left_out(
        &self,
        said: SessionsLeftOut,
        host: Option<&HostIdentity>,
    ) -> Result<(), SessionError> {
        if said.api_version != wire::API_VERSION {
            return Err(SessionError::Malformed("api_version must be 1"));
        }
        let record = AuditRecord {
            at: rfc3339(self.clock.now()),
            event: "sessions_left_out".into(),
            reason: "too_many".into(),
            detail: Some(format!("{} sessions are not listed", said.count)),
            user: Some(kept(&said.user)),
            host: host.map(|host| host.name.to_string()),
            ..AuditRecord::default()
        };
        let audit = Some(audit::entry(&record, Reference::draw()?));
        stored(self.settle(self.ledger.submit(Entry { audit, ..Entry::default() }), |_| ())).await
    }

    /// Takes note of a session that is over. One that is not known is over already.
    ///
    /// * `host`: who says so, by its certificate; none on this machine. It ends its own sessions only.
    ///
    /// # Errors
    /// See [`SessionError`]; the session is still listed then.
    pub async fn close(&self, said: &CloseSession, host: Option<HostId>) -> Result<(), SessionError> {
        let id = checked(said.api_version, &said.session)?;
        let at = self.clock.now().saturating_sub(said.ago_seconds.min(LATE_SECONDS_MAX));
        let end = match (said.is_lost, said.is_unrecorded) {
            (_, true) => End::Unrecorded,
            (true, false) => End::Lost,
            (false, false) => End::Closed,
        };
        self.end(host, id, end, at).await
    }

    /// * `at`: when it ended, as far as is known.
    async fn end(
        &self,
        host: Option<HostId>,
        id: SessionId,
        end: End,
        at: UnixTime,
    ) -> Result<(), SessionError> {
        match self.begin_end(host, id, end, at)? {
            Some(settled) => stored(settled).await,
            None => Ok(()),
        }
    }

    /// Hands in an end; none where the session is over already.
    fn begin_end(
        &self,
        host: Option<HostId>,
        id: SessionId,
        end: End,
        at: UnixTime,
    ) -> Result<Option<JoinHandle<Outcome>>, SessionError> {
        let reference = Reference::draw()?;
        let (session, pending) = {
            let mut table = self.lock();
            let Some(session) = table.end(host, id) else { return Ok(None) };
            let pending = self.hand_in_end(&session, end, at, reference);
            (session, pending)
        };
        Ok(Some(self.settle(pending, move |table| table.restore(session))))
    }

    /// Waits for what becomes of an entry, and takes its change of the table back where it is not committed; in a task
    /// of its own, since whoever waits may go away, and table and ledger are to be alike all the same.
    fn settle(
        &self,
        pending: Pending,
        take_back: impl FnOnce(&mut Table) + Send + 'static,
    ) -> JoinHandle<Outcome> {
        let table = Arc::clone(&self.table);
        tokio::spawn(async move {
            let outcome = pending.await;
            if outcome != Outcome::Committed {
                take_back(&mut table.lock().unwrap_or_else(PoisonError::into_inner));
            }
            outcome
        })
    }

    fn hand_in_end(&self, session: &Session, end: End, at: UnixTime, reference: Reference) -> Pending {
        let time = format!(", open for {} s", at.saturating_sub(session.since));
        let closed = telling(session, "session_closed", end.word(), &time, self.clock.now());
        let changes = vec![Change::Delete { kind: kind::SESSION, key: session.key() }];
        self.ledger.submit(Entry {
            changes,
            audit: Some(audit::entry(&closed, reference)),
            ..Entry::default()
        })
    }

    /// Everything that is open, the longest first.
    pub fn all(&self) -> Vec<Arc<Session>> {
        let mut all: Vec<_> = self.lock().each().map(Arc::clone).collect();
        all.sort_by_key(|session| (session.since, session.id));
        all
    }

    /// How many are open.
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    /// Sessions of a host that it is to be asked about; with more than a report holds, others each time.
    pub fn named(&self, host: HostId) -> Vec<NamedSession> {
        let named = |session: &Arc<Session>| NamedSession {
            session: session.id.to_string(),
            boot: session.boot.clone(),
            leader: session.leader,
        };
        self.lock().next_of(host, NAMED_MAX).iter().map(named).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits until an entry is durable.
async fn stored(settled: JoinHandle<Outcome>) -> Result<(), SessionError> {
    // A task that panicked ended the process.
    match settled.await.unwrap_or(Outcome::Unknown) {
        Outcome::Committed => Ok(()),
        outcome => Err(SessionError::NotStored { outcome }),
    }
}

/// The name of a session, in a report of our version.
fn checked(api_version: u16, session: &str) -> Result<SessionId, SessionError> {
    if api_version != wire::API_VERSION {
        return Err(SessionError::Malformed("api_version must be 1"));
    }
    let malformed = SessionError::Malformed("session must be 32 lower-case hexadecimal digits");
    SessionId::parse(session).ok_or(malformed)
}

/// What a host says of a session, as far as it is kept.
fn described(
    id: SessionId,
    host: Option<HostIdentity>,
    said: OpenSession,
    since: UnixTime,
) -> Result<Session, SessionError> {
    if said.user.is_empty() {
        return Err(SessionError::Malformed("user must be an account"));
    }
    let [user, service] = [said.user, said.service].map(|text| kept(&text));
    let [rhost, tty, ruser] = [said.rhost, said.tty, said.ruser]
        .map(|field| field.as_deref().map(kept).filter(|text| !text.is_empty()));
    let boot = said.boot.filter(|boot| is_boot_id(boot));
    let leader = said.leader;
    Ok(Session { user, service, rhost, tty, ruser, boot, leader, ..Session::new(id, host, since) })
}

/// Whether it has the form of `/proc/sys/kernel/random/boot_id`, a UUID: it is told again to the host, many at a time.
fn is_boot_id(text: &str) -> bool {
    text.len() == 36 && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

/// A text as it is kept: without control characters, as the module sends it, whatever its host's root says.
fn kept(text: &str) -> String {
    let mut kept = String::new();
    for character in text.chars() {
        let character = if character.is_control() { char::REPLACEMENT_CHARACTER } else { character };
        if kept.len() + character.len_utf8() > TEXT_BYTES_MAX {
            break;
        }
        kept.push(character);
    }
    kept
}

/// The record of a session's begin or end.
///
/// * `time`: what there is to say of it besides when it is written.
fn telling(session: &Session, event: &str, reason: &str, time: &str, now: UnixTime) -> AuditRecord {
    let login = session.origin.as_ref().map(|origin| format!("login {}", origin.reference));
    AuditRecord {
        at: rfc3339(now),
        event: event.into(),
        reason: reason.into(),
        detail: Some(login.unwrap_or_else(|| "no login".into()) + time),
        user: Some(session.user.clone()),
        service: Some(session.service.clone()),
        host: session.host.as_ref().map(|host| host.name.to_string()),
        rhost: session.rhost.clone(),
        tty: session.tty.clone(),
        ruser: session.ruser.clone(),
        token: session.origin.as_ref().and_then(|origin| origin.token.clone()),
        person: session.origin.as_ref().and_then(|origin| origin.person.clone()),
        ..AuditRecord::default()
    }
}

#[cfg(test)]
mod tests;
