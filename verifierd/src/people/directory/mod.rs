//! Persons of a directory: LDAP version 3 (RFC 4511), encrypted, with the server's certificate checked.
//!
//! | module | does |
//! | --- | --- |
//! | `cache` | what was answered a moment ago |
//! | `connection` | one connection: encrypted, bound, asked, closed |
//! | `entry` | from an entry to a person |
//! | `names` | ids of persons from what names an entry for ever |
//!
//! A directory is asked for one person, or for those of one account; there is no list of everybody. It compares texts in
//! its own ways, by letters that look alike among others, so what it finds is compared again with ours. A directory that
//! does not answer, or answers with an error, is an error: never *nobody*. A referral to another server is not followed.
//!
//! Not for it: a directory that we trust with who people are may end the daemon by an answer that is no LDAP, because the
//! library panics. With `ldaps://` nobody else can, with StartTLS whoever is in between.

mod cache;
mod connection;
mod entry;
mod names;

use std::sync::Arc;
use std::time::Duration;

use ldap3::{LdapError, ldap_escape};
use tokio::sync::{Semaphore, SemaphorePermit};
use zeroize::Zeroizing;

use super::{Desk, EmailAddress, Person, PersonId};
use crate::accounts::UserName;
use crate::clock::Clock;
use crate::config::{DirectoryAttributes, DirectoryConfig};
use crate::keys::MasterKey;
use cache::Cache;
use connection::{Access, Connection};
use entry::{Entry, Reader, asked_of_version};
use names::Names;

pub use connection::DirectoryOpenError;

/// Longest time for one question, its connection counted in. A login has ten seconds, and may ask twice.
pub const LOOKUP_TIME_MAX: Duration = Duration::from_secs(3);

/// Questions at once, each with a connection: what a small directory server has to spare. Others wait, within their time.
const AT_ONCE_MAX: usize = 16;

/// How many of them may be about passwords that were typed on pages: strangers there take a quarter of what logins need.
const PAGES_AT_ONCE_MAX: usize = 4;

/// Persons who share an account: as many as of our own records, see `clerk`.
const SHARING_MAX: usize = 256;

/// Longest text that is looked for, in bytes: an address, and more than any name has.
const TEXT_BYTES_MAX: usize = 254;

/// Why a directory told nothing.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// It took too long.
    #[error("it did not answer within {} s", LOOKUP_TIME_MAX.as_secs())]
    TooLate,
    /// The connection failed, or its certificate did not satisfy.
    #[error("{0}")]
    Connection(#[from] LdapError),
    /// It answered with an error.
    #[error("it answered {what} with result code {code} ({text:?})")]
    Refused {
        /// What was asked.
        what: &'static str,
        /// The number of RFC 4511 §4.1.9.
        code: u32,
        /// Its own words.
        text: String,
    },
    /// More persons share an account than are looked at.
    #[error("more than {SHARING_MAX} persons share the account")]
    TooMany,
}

/// What is looked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Question {
    /// Who signs in with a name; in lower case.
    Login(String),
    /// Who has an address.
    Email(EmailAddress),
    /// Who may use an account.
    Account(UserName),
    /// Who has an id.
    Id(PersonId),
}

/// Whoever was found.
type Found = Arc<[Arc<Person>]>;

/// A directory of persons.
pub struct Directory {
    access: Access,
    attributes: DirectoryAttributes,
    reader: Reader,
    names: Names,
    base: String,
    filter: String,
    cache: Cache,
    seats: Semaphore,
    page_seats: Semaphore,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Directory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Directory").field("base", &self.base).finish_non_exhaustive()
    }
}

impl Directory {
    /// Reads the files that the configuration names. The directory itself is asked when somebody is looked for.
    ///
    /// # Errors
    /// See [`DirectoryOpenError`].
    pub fn open(
        config: &DirectoryConfig,
        master: &MasterKey,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, DirectoryOpenError> {
        Ok(Self {
            access: Access::open(config)?,
            attributes: config.attributes.clone(),
            reader: Reader::new(config),
            names: Names::new(master),
            base: config.base.clone(),
            filter: config.filter.clone(),
            cache: Cache::default(),
            seats: Semaphore::new(AT_ONCE_MAX),
            page_seats: Semaphore::new(PAGES_AT_ONCE_MAX),
            clock,
        })
    }

    /// Everybody who fits, as it was within the last minute.
    pub(super) async fn find(&self, question: Question) -> Result<Found, DirectoryError> {
        if let Some(found) = self.cache.get(&question, self.clock.elapsed()) {
            return Ok(found);
        }
        let asked = self.clock.elapsed();
        let entries = self.in_time(async {
            let mut connection = Connection::open(&self.access).await?;
            self.entries(&mut connection, &question).await
        });
        let found: Found = entries.await?.into_iter().map(|(_, person)| Arc::new(person)).collect();
        self.cache.put(question, Arc::clone(&found), asked);
        Ok(found)
    }

    /// Who signs in with a name and a password: the directory itself compares it. Nothing of it is kept.
    pub(super) async fn check_password(
        &self,
        login: &str,
        password: &Zeroizing<String>,
        desk: Desk,
    ) -> Result<Option<Arc<Person>>, DirectoryError> {
        // A bind without a password succeeds, as nobody in particular (RFC 4513 §5.1.2).
        if password.is_empty() || password.contains('\0') {
            return Ok(None);
        }
        let _page_seat = self.page_seat(desk).await?;
        let question = Question::Login(login.to_ascii_lowercase());
        self.in_time(async {
            let mut connection = Connection::open(&self.access).await?;
            let found = self.entries(&mut connection, &question).await?;
            let one = <[_; 1]>::try_from(found).ok();
            // An entry that is not there is asked for as well, so that nobody reads from the time that there is none.
            let nobody = || format!("{}=-,{}", self.attributes.login, self.base);
            let dn = one.as_ref().map_or_else(nobody, |[(dn, _)]| dn.clone());
            let is_right = connection.is_password(&dn, password).await?;
            Ok(one.filter(|_| is_right).map(|[(_, person)]| Arc::new(person)))
        })
        .await
    }

    /// Entries that fit, each with its distinguished name.
    async fn entries(
        &self,
        connection: &mut Connection,
        question: &Question,
    ) -> Result<Vec<(String, Person)>, DirectoryError> {
        let Some(condition) = self.condition(question) else { return Ok(Vec::new()) };
        let filter = format!("(&{}{condition})", self.filter);
        let most = match question {
            Question::Account(_) => SHARING_MAX,
            // Of two nobody is meant.
            Question::Login(_) | Question::Email(_) | Question::Id(_) => 1,
        };
        let mut wanted: Vec<&str> = self.attributes.all().map(|(_, name)| name).to_vec();
        asked_of_version().for_each(|name| wanted.push(name));
        let entries = connection.search(&self.base, &filter, &wanted, most + 1).await?;
        if entries.len() > most {
            if let Question::Account(_) = question {
                return Err(DirectoryError::TooMany);
            }
            tracing::warn!(?question, "several entries of the directory fit: nobody is meant");
            return Ok(Vec::new());
        }
        let persons = entries.into_iter().filter_map(|entry| self.person(entry));
        Ok(persons.filter(|(_, person)| fits(person, question)).collect())
    }

    fn person(&self, entry: Entry) -> Option<(String, Person)> {
        match self.reader.person(&entry, &self.names) {
            Ok(person) => Some((entry.dn, person)),
            Err(fault) => {
                tracing::warn!(dn = ?entry.dn, %fault, "an entry of the directory is nobody");
                None
            }
        }
    }

    /// What an entry must fulfil; `None` where none can.
    fn condition(&self, question: &Question) -> Option<String> {
        let equals = |name: &str, value: &str| {
            let is_sought = !value.is_empty() && value.len() <= TEXT_BYTES_MAX;
            is_sought.then(|| format!("({name}={})", ldap_escape(value)))
        };
        match question {
            Question::Login(login) => equals(&self.attributes.login, login),
            Question::Email(address) => equals(&self.attributes.email, address.as_str()),
            Question::Account(account) => equals(&self.attributes.account, account.as_str()),
            Question::Id(id) => Some(self.names.condition(&self.attributes.id, *id)),
        }
    }

    /// What a password from a page needs before it takes a seat as others do.
    async fn page_seat(&self, desk: Desk) -> Result<Option<SemaphorePermit<'_>>, DirectoryError> {
        match desk {
            Desk::Prompt => Ok(None),
            Desk::Page => {
                let seat = tokio::time::timeout(LOOKUP_TIME_MAX, self.page_seats.acquire()).await;
                seat.ok().and_then(Result::ok).map(Some).ok_or(DirectoryError::TooLate)
            }
        }
    }

    /// Does something while there is a seat and time.
    async fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, DirectoryError>>,
    ) -> Result<T, DirectoryError> {
        let seated = async {
            let _seat = self.seats.acquire().await;
            work.await
        };
        tokio::time::timeout(LOOKUP_TIME_MAX, seated).await.unwrap_or(Err(DirectoryError::TooLate))
    }
}

/// Whether a person is who was asked for, compared as we compare.
fn fits(person: &Person, question: &Question) -> bool {
    match question {
        Question::Login(login) => person.login.eq_ignore_ascii_case(login),
        Question::Email(address) => person.email.as_ref() == Some(address),
        Question::Account(account) => person.accounts.contains(account),
        Question::Id(id) => person.id == *id,
    }
}

#[cfg(test)]
mod tests;
