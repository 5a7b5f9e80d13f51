//! Who the humans behind accounts are: persons of our own records, and those of a directory.
//!
//! | module | does |
//! | --- | --- |
//! | `id` | what names a person for ever |
//! | `address` | e-mail addresses |
//! | `record` | what is kept of our own persons |
//! | `roster` | those in memory |
//! | `rows` | their wrong passwords in a row |
//! | `password` | their passwords |
//! | `clerk` | changes of them |
//! | `keys` | their security keys, and those of persons of a directory |
//! | `directory` | the others: LDAP |
//!
//! It decides nothing: who may ask, approve or come in is said by those who ask here. A person who is not let in is not
//! found. Where nobody can tell, because the directory does not answer, that is an error and never *nobody*.

mod address;
mod clerk;
pub mod directory;
mod id;
pub mod keys;
mod password;
mod record;
mod roster;
mod rows;

use std::sync::Arc;

use ledger::Ledger;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use wire::admin::Role;
use wire::login::Identity;
use zeroize::Zeroizing;

pub use address::{ADDRESS_BYTES_MAX, EmailAddress, EmailAddressError};
pub use clerk::{By, Clerk, NewPerson, PERSONS_MAX, PersonChanges, PersonError};
pub use directory::{Directory, DirectoryError, DirectoryOpenError, as_one_request};
pub use id::{PersonId, PersonIdError};
pub use password::{Desk, HashError, PASSWORD_CHARACTERS_MAX, PASSWORD_CHARACTERS_MIN, Passwords};
pub use record::{PersonRecord, PersonRecordError};
pub use roster::Roster;
pub use rows::Rows;

use crate::accounts::UserName;
use crate::clock::Clock;
use crate::keys::MasterKey;
use crate::notify::Notifier;
use crate::turns::Turns;
use directory::Question;
use keys::{Keyring, Keys};

/// Persons that one request asks for at once: half of what the directory is asked at once.
const AT_ONCE_MAX: usize = 8;

/// Where a person is known from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PersonOrigin {
    /// Postern's own records.
    Internal,
    /// The directory.
    Directory,
}

/// A person who is let in, as it was when he was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// Names him for ever.
    pub id: PersonId,
    /// What he signs in with.
    pub login: String,
    /// Where mails to him go. A directory may have none, or none that is taken.
    pub email: Option<EmailAddress>,
    /// What people call him.
    pub name: String,
    /// Where he is known from.
    pub origin: PersonOrigin,
    /// Unix accounts that he may use.
    pub accounts: Vec<UserName>,
    /// What he may do.
    pub role: Role,
    version: u64,
}

impl Person {
    /// Another number after whatever ends his sign-ins: another password, another role, a time of not being let in. Of
    /// somebody of the directory it is known so far as the directory tells when his password became another.
    pub fn version(&self) -> u64 {
        self.version
    }
}

impl From<&Person> for Identity {
    fn from(person: &Person) -> Self {
        Self { login: person.login.clone(), email: person.email.as_ref().map(ToString::to_string) }
    }
}

impl From<&PersonRecord> for Person {
    fn from(record: &PersonRecord) -> Self {
        Self {
            id: record.id,
            login: record.login.to_string(),
            email: Some(record.email.clone()),
            name: record.name.clone(),
            origin: PersonOrigin::Internal,
            accounts: record.accounts.clone(),
            role: record.role,
            version: record.version,
        }
    }
}

/// Why nobody can tell who somebody is.
#[derive(Debug, thiserror::Error)]
pub enum PeopleError {
    /// The directory does not answer.
    #[error("the directory does not say who is who: {0}")]
    Unavailable(#[from] DirectoryError),
    /// Too many passwords are looked at.
    #[error(transparent)]
    Hash(#[from] HashError),
}

/// What persons are found with.
#[derive(Debug)]
pub struct Tools {
    /// Our own records.
    pub roster: Arc<Roster>,
    /// Security keys of everybody.
    pub keys: Arc<Keys>,
    /// Where changes become durable.
    pub ledger: Arc<dyn Ledger>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Tells people.
    pub notifier: Arc<Notifier>,
    /// Other persons; none where none is configured.
    pub directory: Option<Directory>,
}

/// All persons.
#[derive(Debug)]
pub struct People {
    clerk: Clerk,
    keyring: Keyring,
    directory: Option<Directory>,
}

impl People {
    /// Our own persons, and those of the directory where one is configured.
    pub fn new(tools: Tools, master: &MasterKey) -> Self {
        let Tools { roster, keys, ledger, clock, notifier, directory } = tools;
        let (passwords, turns) = (Passwords::new(master), Turns::new());
        let keyring = Keyring {
            keys: Arc::clone(&keys),
            ledger: Arc::clone(&ledger),
            clock: Arc::clone(&clock),
            notifier: Arc::clone(&notifier),
            turns: Turns::new(),
        };
        let clerk = Clerk { roster, keys, passwords, ledger, clock, notifier, turns };
        Self { clerk, keyring, directory }
    }

    /// Security keys, and changes of them.
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// Changes our own records.
    pub fn clerk(&self) -> &Clerk {
        &self.clerk
    }

    /// Takes every place of those who look at passwords, as many strangers would.
    #[cfg(test)]
    pub fn fill(&self, desk: Desk) -> tokio::sync::OwnedSemaphorePermit {
        self.clerk.passwords.fill(desk)
    }

    /// Our own records, those of persons who are not let in too.
    pub fn roster(&self) -> &Roster {
        &self.clerk.roster
    }

    /// Everybody who may use this account; empty where nobody may.
    ///
    /// # Errors
    /// Where nobody can tell.
    pub async fn of_account(&self, user: &UserName) -> Result<Vec<Arc<Person>>, PeopleError> {
        let own = self.roster().of_account(user);
        let others = self.others(Question::Account(user.clone())).await?;
        Ok(own.iter().filter_map(|record| let_in(record)).chain(others).collect())
    }

    /// Who has an address: the same but for the case of ASCII letters, and nothing else. Nobody, where several have it.
    ///
    /// # Errors
    /// Where nobody can tell.
    pub async fn by_email(&self, typed: &str) -> Result<Option<Arc<Person>>, PeopleError> {
        let Ok(address) = EmailAddress::parse(typed) else { return Ok(None) };
        let own = self.roster().by_address(&address);
        let other = self.other(Question::Email(address)).await?;
        Ok(match own {
            Some(_) if other.is_some() => {
                tracing::warn!(
                    "somebody of our own records and somebody of the directory have one address: nobody is meant"
                );
                None
            }
            Some(record) => let_in(&record),
            None => other,
        })
    }

    /// Who signs in with a name, whatever the case of its ASCII letters. Where our records and the directory both have
    /// the name, it is the person of our records.
    ///
    /// # Errors
    /// Where nobody can tell.
    pub async fn by_login(&self, typed: &str) -> Result<Option<Arc<Person>>, PeopleError> {
        match self.roster().by_login(typed) {
            Some(record) => Ok(let_in(&record)),
            None => self.other(Question::Login(typed.to_ascii_lowercase())).await,
        }
    }

    /// Those who sign in with these names, asked for at once: one after the other they would take as long as all of them.
    ///
    /// # Errors
    /// Where nobody can tell.
    pub async fn by_logins(self: &Arc<Self>, names: &[String]) -> Result<Vec<Arc<Person>>, PeopleError> {
        let mut found = Vec::with_capacity(names.len());
        let until = directory::until();
        for names in names.chunks(AT_ONCE_MAX) {
            let mut tasks = JoinSet::new();
            for name in names {
                let (people, name) = (Arc::clone(self), name.clone());
                tasks.spawn(directory::within(until, async move { people.by_login(&name).await }));
            }
            while let Some(asked) = tasks.join_next().await {
                found.extend(asked.expect("a task that panics ends the process")?);
            }
        }
        Ok(found)
    }

    /// Who has an id.
    ///
    /// # Errors
    /// Where nobody can tell.
    pub async fn by_id(&self, id: PersonId) -> Result<Option<Arc<Person>>, PeopleError> {
        match self.roster().by_id(id) {
            Some(record) => Ok(let_in(&record)),
            None => self.other(Question::Id(id)).await,
        }
    }

    /// Who has an id, where he may use an account. Somebody of our own records may or may not, whatever becomes of the
    /// directory: were it asked for him, it would tell by being away whose password was right.
    ///
    /// # Errors
    /// Where nobody can tell.
    pub async fn may_use(
        &self,
        id: PersonId,
        account: &UserName,
    ) -> Result<Option<Arc<Person>>, PeopleError> {
        Ok(self.by_id(id).await?.filter(|person| person.accounts.contains(account)))
    }

    /// What our own records say now of somebody who was looked up a moment ago: he may be another by now, or let in no
    /// longer. The directory is not asked again.
    pub fn as_of_now(&self, person: Arc<Person>) -> Option<Arc<Person>> {
        match (self.roster().by_id(person.id), person.origin) {
            (Some(record), _) => let_in(&record),
            (None, PersonOrigin::Internal) => None,
            (None, PersonOrigin::Directory) => self.is_other(&person).then_some(person),
        }
    }

    /// Who has this login name and this password. Takes as much work for somebody unknown, or who has no password, and
    /// asks the directory for nobody where a password of our own records is wrong. The directory sees no password of
    /// somebody whose login name our own records have. A disabled password is wrong.
    ///
    /// # Errors
    /// Where nobody can tell.
    pub async fn check_password(
        &self,
        login: &str,
        password: &Zeroizing<String>,
        desk: Desk,
    ) -> Result<Option<Arc<Person>>, PeopleError> {
        let own = self.roster().by_login(login);
        let kept = own.as_ref().and_then(|record| record.password.clone());
        let is_right = self.clerk.passwords.is_right(kept, password.clone(), desk).await?;
        // Only now: before it, a disabled password would be told by the time that it takes.
        let is_disabled = own.as_ref().is_some_and(|record| self.roster().rows().is_disabled(record.id));
        let is_right = is_right && !is_disabled;
        match (own, &self.directory) {
            (Some(record), directory) => {
                let person = let_in(&record).filter(|_| is_right);
                if let (None, Some(directory)) = (&person, directory) {
                    // Else a refusal that comes at once says that our own records have the name.
                    let asked = directory.check_password(None, password, desk).await;
                    asked.inspect_err(|error| tracing::debug!(%error, "not even for nobody")).ok();
                }
                Ok(person)
            }
            (None, Some(directory)) => Ok(directory.check_password(Some(login), password, desk).await?),
            (None, None) => Ok(None),
        }
    }

    /// The one person of the directory who fits.
    async fn other(&self, question: Question) -> Result<Option<Arc<Person>>, PeopleError> {
        Ok(self.others(question).await?.into_iter().next())
    }

    /// Persons of the directory who fit. Whoever has a login name of our own records is nobody: approvers are named by it.
    async fn others(&self, question: Question) -> Result<Vec<Arc<Person>>, PeopleError> {
        let Some(directory) = &self.directory else { return Ok(Vec::new()) };
        let found = directory.find(question).await?;
        Ok(found.iter().filter(|person| self.is_other(person)).cloned().collect())
    }

    /// Whether somebody of the directory has a login name of his own.
    fn is_other(&self, person: &Person) -> bool {
        self.roster().by_login(&person.login).is_none()
    }
}

fn let_in(record: &PersonRecord) -> Option<Arc<Person>> {
    record.enabled.then(|| Arc::new(Person::from(record)))
}
