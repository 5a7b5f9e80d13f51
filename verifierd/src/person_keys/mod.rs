//! Keys with which programs act for a person over HTTPS.
//!
//! | module | does |
//! | --- | --- |
//! | `record` | what is kept of a key |
//! | `ring` | all of them in memory, by the hash of their texts |
//!
//! A key is made for one person as he is: it ends with its time, when it is revoked, and with whatever ends his sign-ins.
//! It never may more than he may at that moment. Who he is at that moment is asked of `people`, by whoever takes a key.

mod record;
mod ring;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use ledger::{Change, Entry, Ledger, Outcome};
use serde::{Deserialize, Serialize};
use wire::admin::Role;
use zeroize::Zeroizing;

pub use record::{KeyRecord, KeyRecordError};
pub use ring::{Held, Loaded};

use crate::audit::{self, AuditRecord, Reference, rfc3339};
use crate::clock::{Clock, UnixTime};
use crate::keys::{KeyError, MasterKey, NameHasher, random_bytes};
use crate::notify::Notifier;
use crate::people::{Person, PersonId};
use crate::turns::Turns;
use record::Making;
use ring::Ring;

/// Keys of one person that are good at once: one for each program, and one to change to.
pub const KEYS_PER_PERSON_MAX: usize = 16;

/// All keys that are good at once, some 500 bytes each: one for each of the persons that our own records take.
pub const KEYS_MAX: usize = crate::people::PERSONS_MAX;

/// Longest life of a key: somebody looks once a year who still needs it.
pub const LIFE_MAX: Duration = Duration::from_secs(366 * 24 * 3_600);

/// Longest name of a key, in characters: what fits into a line of a table.
pub const NAME_CHARACTERS_MAX: usize = 64;

/// Keys whose time is over that are removed together with one change, so that its commit stays small.
const SWEPT_MAX: usize = 64;

/// What the text of a key begins with, so that whoever finds one knows what it is.
const PREFIX: &str = "postern_";

/// Random bytes of a key.
const KEY_BYTES: usize = 32;

/// Names a key for ever; says nothing of the key itself. Written as a person's id is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyId(pub u128);

impl KeyId {
    /// Reads the one form that [`fmt::Display`] writes; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        PersonId::parse(text).ok().map(|PersonId(number)| Self(number))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        PersonId(self.0).fmt(f)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for KeyId {
    type Error = crate::people::PersonIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        PersonId::parse(&text).map(|PersonId(number)| Self(number))
    }
}

impl From<KeyId> for String {
    fn from(id: KeyId) -> Self {
        id.to_string()
    }
}

/// What opens: told once, when it is made.
pub struct KeyText(Zeroizing<String>);

impl fmt::Debug for KeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyText")
    }
}

impl KeyText {
    fn draw() -> Result<Self, KeyError> {
        let bytes = Zeroizing::new(random_bytes::<KEY_BYTES>()?);
        let mut text = Zeroizing::new(String::with_capacity(PREFIX.len() + 2 * KEY_BYTES));
        text.push_str(PREFIX);
        BASE64URL_NOPAD.encode_append(bytes.as_slice(), &mut text);
        Ok(Self(text))
    }

    /// For whoever asked for it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// Why a key was not made, or not revoked.
#[derive(Debug, thiserror::Error)]
pub enum PersonKeyError {
    /// The name cannot be shown.
    #[error("the name of a key has 1 to {NAME_CHARACTERS_MAX} characters, none of them invisible")]
    Name,
    /// One of his keys has it.
    #[error("{login} has a key {name:?} already: revoke it first, or take another name")]
    NameTaken {
        /// Whose.
        login: String,
        /// What was asked for.
        name: String,
    },
    /// It is to live too long, or not at all.
    #[error("a key is good for 1 minute to 366 days")]
    Life,
    /// It is to have more rights than its person, or than whoever asks.
    #[error(
        "a key has no more rights than its person, and nobody makes or revokes one with more rights than his own"
    )]
    MoreRights,
    /// There is no room.
    #[error("{login} has {KEYS_PER_PERSON_MAX} keys: revoke one first")]
    TooManyOfPerson {
        /// Whose.
        login: String,
    },
    /// There is no room.
    #[error("there are {KEYS_MAX} keys: no more are taken")]
    TooMany,
    /// There is none.
    #[error("no key {id}")]
    NoSuchKey {
        /// What was asked for.
        id: String,
    },
    /// The store did not take it.
    #[error("the store did not take the change: {outcome:?}")]
    NotStored {
        /// What it said.
        outcome: Outcome,
    },
    /// No random bytes.
    #[error("cannot draw a new key")]
    Random(#[from] KeyError),
    /// The daemon is stopping or overloaded.
    #[error("no more changes are taken at the moment")]
    Busy,
}

/// A key that is wished for.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// Whose it is to be.
    pub person: Arc<Person>,
    /// What it is for.
    pub name: String,
    /// The most that it may do; as much as the person, where it is none.
    pub role: Option<Role>,
    /// How long it is good.
    pub life: Duration,
}

/// Who asks for a change.
#[derive(Clone, Debug)]
pub struct By {
    /// Who, as records have him.
    pub name: String,
    /// What he may do himself.
    pub role: Role,
    /// Which person he is, where he is one.
    pub person: Option<PersonId>,
}

/// What keys are kept with.
#[derive(Debug)]
pub struct Tools {
    /// Where changes become durable.
    pub ledger: Arc<dyn Ledger>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Tells people.
    pub notifier: Arc<Notifier>,
}

/// All keys, and changes of them.
#[derive(Clone, Debug)]
pub struct PersonKeys {
    ring: Arc<Ring>,
    hasher: Arc<NameHasher>,
    tools: Arc<Tools>,
    turns: Turns,
}

impl PersonKeys {
    /// Goes on with what the ledger holds.
    pub fn new(loaded: Loaded, tools: Tools, master: &MasterKey) -> Self {
        let hasher = Arc::new(NameHasher::new(master, "keys of persons"));
        Self { ring: Arc::new(loaded.into_ring()), hasher, tools: Arc::new(tools), turns: Turns::new() }
    }

    /// The key whose text this is, while its time is not over. Whether its person is still who he was is for the caller to
    /// look at (see [`Held::caller_role`]).
    ///
    /// # Leaks
    /// The time tells nothing of a key: what is looked for in memory is a keyed hash, which whoever tries cannot predict.
    pub fn find(&self, shown: &[u8]) -> Option<Arc<Held>> {
        let hash = self.hash(shown);
        let held = self.ring.by_hash(&hash)?;
        let is_right = aws_lc_rs::constant_time::verify_slices_are_equal(&hash, &held.record.hash).is_ok();
        (is_right && !held.is_over(self.now())).then_some(held)
    }

    /// Notes that a key was used, to the minute.
    pub fn note_use(&self, held: &Held) {
        held.note_use(self.now());
    }

    /// Those that are kept, by person and name. Those whose time is over are among them for a while.
    pub fn all(&self) -> Vec<Arc<Held>> {
        self.ring.all()
    }

    /// One of them.
    pub fn by_id(&self, id: KeyId) -> Option<Arc<Held>> {
        self.ring.by_id(id)
    }

    /// Makes a key, and tells it once.
    ///
    /// # Errors
    /// See [`PersonKeyError`].
    pub async fn add(&self, new: NewKey, by: By) -> Result<(Arc<Held>, KeyText), PersonKeyError> {
        let role = new.role.unwrap_or(new.person.role.min(by.role));
        let is_his_own = by.person == Some(new.person.id);
        let reaches = is_his_own || new.person.role <= by.role;
        if role > new.person.role.min(by.role) || !reaches {
            return Err(PersonKeyError::MoreRights);
        }
        if new.life < Duration::from_secs(60) || new.life > LIFE_MAX {
            return Err(PersonKeyError::Life);
        }
        let name = check_name(new.name)?;
        let text = KeyText::draw()?;
        let made = self.now();
        let record = KeyRecord::new(Making {
            id: KeyId(u128::from_be_bytes(random_bytes()?)),
            hash: self.hash(text.expose().as_bytes()),
            person: new.person.id,
            origin: new.person.origin,
            version: new.person.version(),
            login: new.person.login.clone(),
            name,
            role,
            made,
            until: made + new.life.as_secs(),
            made_by: by.name,
            is_his_own,
        });
        let this = self.clone();
        let held = self.in_turn(async move { this.put(record).await }).await?;
        Ok((held, text))
    }

    async fn put(&self, record: KeyRecord) -> Result<Arc<Held>, PersonKeyError> {
        let now = self.now();
        let over: Vec<_> =
            self.ring.all().into_iter().filter(|held| held.is_over(now)).take(SWEPT_MAX).collect();
        let his = self.ring.all().into_iter().filter(|held| held.record.person == record.person);
        let his: Vec<_> = his.filter(|held| !held.is_over(now)).collect();
        if his.iter().any(|held| held.record.name == record.name) {
            return Err(PersonKeyError::NameTaken { login: record.login, name: record.name });
        }
        if his.len() >= KEYS_PER_PERSON_MAX {
            return Err(PersonKeyError::TooManyOfPerson { login: record.login });
        }
        if self.ring.len() - over.len() >= KEYS_MAX {
            return Err(PersonKeyError::TooMany);
        }
        let changes = over.iter().map(|held| held.record.remove()).chain([record.put()]).collect();
        let told = format!("role {}, until {}", record.role.word(), rfc3339(record.until));
        let by = (record.made_by.as_str(), record.is_his_own);
        self.store(changes, &record, "person_key_added", &told, by).await?;
        over.iter().for_each(|held| self.ring.remove(held.record.id));
        Ok(self.ring.put(record))
    }

    /// Revokes a key: from here on it opens nothing.
    ///
    /// # Errors
    /// See [`PersonKeyError`].
    pub async fn revoke(&self, id: KeyId, by: By) -> Result<Arc<Held>, PersonKeyError> {
        let this = self.clone();
        self.in_turn(async move {
            let held = this.by_id(id).ok_or_else(|| PersonKeyError::NoSuchKey { id: id.to_string() })?;
            if by.person != Some(held.record.person) && held.record.role > by.role {
                return Err(PersonKeyError::MoreRights);
            }
            let told = format!("role {}", held.record.role.word());
            let by = (by.name.as_str(), by.person == Some(held.record.person));
            this.store(vec![held.record.remove()], &held.record, "person_key_revoked", &told, by).await?;
            this.ring.remove(id);
            Ok(held)
        })
        .await
    }

    /// Records that somebody showed what opens nothing. Nobody knows whose it was meant to be, or it is not said.
    ///
    /// # Errors
    /// Where the store did not take it.
    pub async fn tell_refused(&self, source: IpAddr, detail: Option<String>) -> Result<(), PersonKeyError> {
        let event = AuditRecord {
            at: rfc3339(self.now()),
            event: "person_key_refused".into(),
            reason: "wrong_secret".into(),
            rhost: Some(source.to_string()),
            detail,
            ..AuditRecord::default()
        };
        self.record(Vec::new(), event).await
    }

    async fn store(
        &self,
        changes: Vec<Change>,
        record: &KeyRecord,
        event: &str,
        told: &str,
        (by, is_himself): (&str, bool),
    ) -> Result<(), PersonKeyError> {
        let event = AuditRecord {
            at: rfc3339(self.now()),
            event: event.into(),
            reason: if is_himself { "owner" } else { "administrator" }.into(),
            actor: Some(by.to_owned()),
            person: Some(record.login.clone()),
            detail: Some(format!("key {} ({}), {told}", record.name, record.id)),
            ..AuditRecord::default()
        };
        self.record(changes, event).await
    }

    async fn record(&self, changes: Vec<Change>, event: AuditRecord) -> Result<(), PersonKeyError> {
        let reference = Reference::draw()?;
        let entry = Entry { claim: None, changes, audit: Some(audit::entry(&event, reference)) };
        match self.tools.ledger.submit(entry).await {
            Outcome::Committed => {
                tracing::info!(event = event.event, person = event.person, actor = event.actor, %reference, "changed");
                self.tools.notifier.tell(&AuditRecord { reference: reference.to_string(), ..event });
                Ok(())
            }
            outcome => Err(PersonKeyError::NotStored { outcome }),
        }
    }

    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, PersonKeyError>> + Send + 'static,
    ) -> Result<T, PersonKeyError> {
        self.turns.take(work).await.unwrap_or(Err(PersonKeyError::Busy))
    }

    fn hash(&self, text: &[u8]) -> [u8; 16] {
        self.hasher.key(&[text])
    }

    fn now(&self) -> UnixTime {
        self.tools.clock.now()
    }
}

fn check_name(name: String) -> Result<String, PersonKeyError> {
    let fits = (1..=NAME_CHARACTERS_MAX).contains(&name.chars().count());
    let is_shown = !name.trim().is_empty() && !name.chars().any(wire::printable::is_risky);
    if fits && is_shown { Ok(name) } else { Err(PersonKeyError::Name) }
}
