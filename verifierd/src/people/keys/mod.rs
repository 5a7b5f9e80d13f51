//! Security keys of persons (WebAuthn): who has which, and changes of that, one after the other, each durable with its
//! record in the audit trail before the next begins.
//!
//! It checks nothing that a key signs: `web::keys` does. What is kept is public: whoever reads it can sign in nowhere.

mod record;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use ledger::{Change, Entry, Ledger, Outcome, Record};

use super::{Person, PersonId};
use crate::accounts::{Actor, kind};
use crate::audit::{self, AuditRecord, Reference, rfc3339};
use crate::clock::Clock;
use crate::keys::{KeyError, random_bytes};
use crate::notify::Notifier;
use crate::turns::Turns;

pub use record::{HeldKey, KeysRecord, KeysRecordError, forget};

/// Keys of one person: one for each of his devices, and one in the safe.
pub const KEYS_MAX: usize = 8;

/// Longest name of a key, in characters: what fits into a line.
pub const KEY_NAME_CHARACTERS_MAX: usize = 40;

/// Longest credential, in bytes of JSON: those of usual keys have 400 to 900, and eight of these with their names fit into
/// one record (`ledger::RECORD_BYTES_MAX`).
const CREDENTIAL_BYTES_MAX: usize = 1_600;

/// Why keys stayed as they were.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// The name cannot be shown.
    #[error("a name has 1 to {KEY_NAME_CHARACTERS_MAX} characters, none of them invisible")]
    Name,
    /// He has one of this name.
    #[error("you have a key of this name already")]
    NameTaken,
    /// There is no room.
    #[error("you have {KEYS_MAX} keys: remove one first")]
    TooMany,
    /// The key says too much of itself.
    #[error("this key cannot be kept: it describes itself in more than {CREDENTIAL_BYTES_MAX} bytes")]
    TooLong,
    /// It is somebody's: what it signs would be said by two. Source: WebAuthn Level 3, section 7.1, step 26.
    #[error("this key is registered already")]
    InUse,
    /// None, or none of this id.
    #[error("there is no such key")]
    NoSuchKey,
    /// The store did not take it.
    #[error("the store did not take the change: {outcome:?}")]
    NotStored {
        /// What it said.
        outcome: Outcome,
    },
    /// No random bytes.
    #[error("cannot draw a new id")]
    Random(#[from] KeyError),
    /// The daemon is stopping or overloaded.
    #[error("no more changes are taken at the moment")]
    Busy,
}

/// The keys of everybody, in memory.
#[derive(Debug, Default)]
pub struct Keys {
    /// Held for one look or one change.
    held: RwLock<HashMap<PersonId, Arc<[HeldKey]>>>,
}

impl Keys {
    /// Takes a record of the store in; those of other kinds are left alone.
    ///
    /// # Errors
    /// Where it cannot be understood.
    pub fn take(&self, record: &Record) -> Result<(), KeysRecordError> {
        if record.kind == kind::SECURITY_KEYS {
            self.put(KeysRecord::decode(&record.value)?);
        }
        Ok(())
    }

    /// Those of a person, the oldest first.
    pub fn of(&self, person: PersonId) -> Arc<[HeldKey]> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        held.get(&person).cloned().unwrap_or_default()
    }

    /// Whether anybody has this credential.
    fn has(&self, credential: &serde_json::Value) -> bool {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        held.values().flat_map(|keys| keys.iter()).any(|key| key.is_of(credential))
    }

    /// Puts the keys of a person there, once that is durable.
    pub(super) fn put(&self, record: KeysRecord) {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        if record.keys.is_empty() {
            held.remove(&record.person);
        } else {
            held.insert(record.person, record.keys.into());
        }
    }
}

/// A key that was just made.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// What its owner calls it.
    pub name: String,
    /// See [`HeldKey::credential`].
    pub credential: serde_json::Value,
}

/// What a key said when it signed.
#[derive(Clone, Debug)]
pub struct Signed {
    /// Which key: [`HeldKey::id`].
    pub id: String,
    /// How often it has signed by now.
    pub counter: u32,
    /// What is known of it by now.
    pub credential: serde_json::Value,
}

/// Why what a key signed does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stale {
    /// It was removed meanwhile.
    Removed,
    /// It has signed as often before: there are two of it, or this is an old answer.
    Counter,
}

/// Makes changes of keys.
#[derive(Clone, Debug)]
pub struct Keyring {
    pub(super) keys: Arc<Keys>,
    pub(super) ledger: Arc<dyn Ledger>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) notifier: Arc<Notifier>,
    pub(super) turns: Turns,
}

impl Keyring {
    /// Those of a person, the oldest first.
    pub fn of(&self, person: PersonId) -> Arc<[HeldKey]> {
        self.keys.of(person)
    }

    /// Whether a person may have a further key of this name.
    ///
    /// # Errors
    /// What speaks against it.
    pub fn check_new(&self, person: PersonId, name: &str) -> Result<(), KeyringError> {
        let fits = (1..=KEY_NAME_CHARACTERS_MAX).contains(&name.chars().count());
        if !fits || name.trim() != name || name.chars().any(wire::printable::is_risky) {
            return Err(KeyringError::Name);
        }
        let held = self.of(person);
        if held.iter().any(|key| key.name == name) {
            return Err(KeyringError::NameTaken);
        }
        if held.len() >= KEYS_MAX { Err(KeyringError::TooMany) } else { Ok(()) }
    }

    /// Adds a key.
    ///
    /// # Errors
    /// See [`KeyringError`].
    pub async fn add(&self, person: &Person, new: NewKey, by: Actor) -> Result<(), KeyringError> {
        let NewKey { name, credential } = new;
        if credential.to_string().len() > CREDENTIAL_BYTES_MAX {
            return Err(KeyringError::TooLong);
        }
        let id = format!("{:016x}", u64::from_be_bytes(random_bytes()?));
        let (this, person) = (self.clone(), person.clone());
        self.in_turn(async move {
            this.check_new(person.id, &name)?;
            if this.keys.has(&credential) {
                return Err(KeyringError::InUse);
            }
            let mut keys = this.of(person.id).to_vec();
            let told = format!("{name:?}, key {id}");
            keys.push(HeldKey { id, name, added: this.clock.now(), used: None, counter: 0, credential });
            this.commit(&person, keys, "security_key_added", told, &by).await
        })
        .await
    }

    /// Removes a key, or all of a person. Sign-ins that were made with it stay.
    ///
    /// # Errors
    /// See [`KeyringError`].
    pub async fn remove(&self, person: &Person, id: Option<&str>, by: Actor) -> Result<(), KeyringError> {
        let (this, person, id) = (self.clone(), person.clone(), id.map(str::to_owned));
        self.in_turn(async move {
            let is_meant = |key: &HeldKey| id.as_ref().is_none_or(|id| *id == key.id);
            let (gone, left): (Vec<_>, Vec<_>) = this.of(person.id).iter().cloned().partition(is_meant);
            if gone.is_empty() {
                return Err(KeyringError::NoSuchKey);
            }
            let told = gone.iter().map(|key| format!("{:?}, key {}", key.name, key.id)).collect::<Vec<_>>();
            this.commit(&person, left, "security_key_removed", told.join("; "), &by).await
        })
        .await
    }

    /// Notes that a key has signed. `commit` makes what it gets durable, or records why the answer does not count, and
    /// says whether it was stored; `None` where too many changes wait.
    pub async fn note<T, Done>(
        &self,
        person: PersonId,
        signed: Signed,
        commit: impl FnOnce(Result<Change, Stale>) -> Done + Send + 'static,
    ) -> Option<T>
    where
        T: Send + 'static,
        Done: Future<Output = (T, bool)> + Send + 'static,
    {
        let this = self.clone();
        let work = async move {
            let record = this.after(person, signed);
            let (told, is_stored) =
                commit(record.as_ref().map(KeysRecord::put).map_err(|stale| *stale)).await;
            if let (Ok(record), true) = (record, is_stored) {
                this.keys.put(record);
            }
            told
        };
        self.turns.take(work).await
    }

    /// What is to be kept of a person's keys after one of them has signed. Counts of a key only rise; a key that does not
    /// count always says 0. Source: WebAuthn Level 3, section 7.2, step 22.
    fn after(&self, person: PersonId, signed: Signed) -> Result<KeysRecord, Stale> {
        let mut keys = self.of(person).to_vec();
        let key = keys.iter_mut().find(|key| key.id == signed.id).ok_or(Stale::Removed)?;
        let counts = signed.counter > 0 || key.counter > 0;
        if counts && signed.counter <= key.counter {
            return Err(Stale::Counter);
        }
        (key.counter, key.credential, key.used) = (signed.counter, signed.credential, Some(self.clock.now()));
        Ok(KeysRecord { person, keys })
    }

    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, KeyringError>> + Send + 'static,
    ) -> Result<T, KeyringError> {
        self.turns.take(work).await.unwrap_or(Err(KeyringError::Busy))
    }

    async fn commit(
        &self,
        person: &Person,
        keys: Vec<HeldKey>,
        event: &str,
        told: String,
        by: &Actor,
    ) -> Result<(), KeyringError> {
        let event = AuditRecord {
            at: rfc3339(self.clock.now()),
            event: event.into(),
            reason: if by.is_owner { "owner" } else { "administrator" }.into(),
            actor: Some(by.name.clone()),
            person: Some(person.login.clone()),
            detail: Some(format!("id {}, {told}", person.id)),
            ..AuditRecord::default()
        };
        let reference = Reference::draw()?;
        let record = KeysRecord { person: person.id, keys };
        let audit = Some(audit::entry(&event, reference));
        match self.ledger.submit(Entry { claim: None, changes: vec![record.put()], audit }).await {
            Outcome::Committed => {
                tracing::info!(
                    event = event.event, reason = event.reason, person = event.person, actor = event.actor,
                    %reference, "changed"
                );
                self.keys.put(record);
                self.notifier.tell(&AuditRecord { reference: reference.to_string(), ..event });
                Ok(())
            }
            outcome => Err(KeyringError::NotStored { outcome }),
        }
    }
}
