//! Persons of a directory: LDAP version 3 (RFC 4511), encrypted, with the server's certificate checked.
//!
//! | module | does |
//! | --- | --- |
//! | `budget` | how long all questions of one request may take |
//! | `cache` | what was answered a moment ago |
//! | `connection` | one connection: encrypted, bound, asked, closed |
//! | `entry` | from an entry to a person |
//! | `gate` | lets nothing through to the library that is too long or too deep |
//! | `line` | the way to the server, encrypted |
//! | `names` | ids of persons from what names an entry for ever |
//! | `threads` | where the library works, and may panic |
//!
//! A directory is asked for one person, or for those of one account; there is no list of everybody. It compares texts in
//! its own ways, by letters that look alike among others, so what it finds is compared again with ours. A directory that
//! does not answer, or answers with an error, is an error: never *nobody*. A referral to another server is not followed.
//!
//! The library panics where an answer is no LDAP: that ends the question and not the daemon (decision 0025).

mod budget;
mod cache;
mod connection;
mod entry;
mod gate;
mod line;
mod names;
mod threads;

use std::sync::Arc;

use ldap3::{LdapError, ldap_escape};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout_at;
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
use threads::Threads;

pub use budget::{WORK_TIME_MAX, as_one_request};
pub(super) use budget::{until, within};
pub use connection::DirectoryOpenError;
pub use threads::THREAD_NAME;

/// Questions at once, each with a connection: what a small directory server has to spare. Others wait, within their time.
const AT_ONCE_MAX: usize = 16;

/// How many of them may be about passwords that were typed on pages: strangers there take a quarter of what logins need.
const PAGES_AT_ONCE_MAX: usize = 4;

/// Persons who share an account: as many as of our own records, see `clerk`.
const SHARING_MAX: usize = 256;

/// Longest text that is looked for, in bytes: an address, and more than any name has.
const TEXT_BYTES_MAX: usize = 254;

/// A login name that no person has, and no password of anybody's.
const NOBODY: &str = "-";

/// Why a directory told nothing.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// It took too long.
    #[error("it did not answer within {} ms", WORK_TIME_MAX.as_millis())]
    TooLate,
    /// What it answered is no LDAP.
    #[error("what it answered is no LDAP")]
    Malformed,
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

impl From<std::io::Error> for DirectoryError {
    fn from(source: std::io::Error) -> Self {
        Self::Connection(source.into())
    }
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
    terms: Arc<Terms>,
    cache: Cache,
    seats: Semaphore,
    page_seats: Semaphore,
    threads: Threads,
    clock: Arc<dyn Clock>,
}

/// How the directory is asked, and how its answers are read.
struct Terms {
    access: Access,
    attributes: DirectoryAttributes,
    reader: Reader,
    names: Names,
    base: String,
    filter: String,
}

impl std::fmt::Debug for Directory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Directory").field("base", &self.terms.base).finish_non_exhaustive()
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
        let terms = Arc::new(Terms {
            access: Access::open(config)?,
            attributes: config.attributes.clone(),
            reader: Reader::new(config),
            names: Names::new(master),
            base: config.base.clone(),
            filter: config.filter.clone(),
        });
        let threads = Threads::start().map_err(|source| DirectoryOpenError::Threads { source })?;
        let (seats, page_seats) = (Semaphore::new(AT_ONCE_MAX), Semaphore::new(PAGES_AT_ONCE_MAX));
        Ok(Self { terms, cache: Cache::default(), seats, page_seats, threads, clock })
    }

    /// Everybody who fits, as it was within the last minute.
    pub(super) async fn find(&self, question: Question) -> Result<Found, DirectoryError> {
        if let Some(found) = self.cache.get(&question, self.clock.elapsed()) {
            return Ok(found);
        }
        let asked = self.clock.elapsed();
        let (terms, asks) = (Arc::clone(&self.terms), question.clone());
        let entries = self.in_time(async move {
            let mut connection = Connection::open(&terms.access).await?;
            terms.entries(&mut connection, &asks).await
        });
        let found: Found = entries.await?.into_iter().map(|(_, person)| Arc::new(person)).collect();
        self.cache.put(question, Arc::clone(&found), asked);
        Ok(found)
    }

    /// Who signs in with a name and a password: the directory itself compares it. Nothing of it is kept.
    ///
    /// * `login`: none where the name is not the directory's to know. Then it is asked for nobody, so that a refusal takes
    ///   as long, and told nothing of what was typed.
    pub(super) async fn check_password(
        &self,
        login: Option<&str>,
        password: &Zeroizing<String>,
        desk: Desk,
    ) -> Result<Option<Arc<Person>>, DirectoryError> {
        // A bind without a password succeeds, as nobody in particular (RFC 4513 §5.1.2).
        if password.is_empty() || password.contains('\0') {
            return Ok(None);
        }
        let _page_seat = self.page_seat(desk).await?;
        let (login, password) = match login {
            Some(login) => (login.to_ascii_lowercase(), password.clone()),
            None => (NOBODY.to_owned(), Zeroizing::new(NOBODY.to_owned())),
        };
        let (terms, question) = (Arc::clone(&self.terms), Question::Login(login));
        self.in_time(async move { terms.check_password(&question, &password).await }).await
    }

    /// What a password from a page needs before it takes a seat as others do.
    async fn page_seat(&self, desk: Desk) -> Result<Option<SemaphorePermit<'_>>, DirectoryError> {
        match desk {
            Desk::Prompt => Ok(None),
            Desk::Page => {
                let seat = timeout_at(until(), self.page_seats.acquire()).await;
                seat.ok().and_then(Result::ok).map(Some).ok_or(DirectoryError::TooLate)
            }
        }
    }

    /// Does something on the directory's threads while there is a seat and time.
    async fn in_time<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, DirectoryError>> + Send + 'static,
    ) -> Result<T, DirectoryError> {
        let seated = async {
            let _seat = self.seats.acquire().await;
            self.threads.run(work).await.unwrap_or(Err(DirectoryError::Malformed))
        };
        timeout_at(until(), seated).await.unwrap_or(Err(DirectoryError::TooLate))
    }
}

impl Terms {
    async fn check_password(
        &self,
        question: &Question,
        password: &str,
    ) -> Result<Option<Arc<Person>>, DirectoryError> {
        let mut connection = Connection::open(&self.access).await?;
        let found = self.entries(&mut connection, question).await?;
        let one = <[_; 1]>::try_from(found).ok();
        // An entry that is not there is asked for as well, so that nobody reads from the time that there is none.
        let nobody = || format!("{}=-,{}", self.attributes.login, self.base);
        let dn = one.as_ref().map_or_else(nobody, |[(dn, _)]| dn.clone());
        let is_right = connection.is_password(&dn, password).await?;
        Ok(one.filter(|_| is_right).map(|[(_, person)]| Arc::new(person)))
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
