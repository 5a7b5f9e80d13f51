//! Makes all changes of the persons of our own records, one after the other, each durable with its record before the next
//! begins.
//!
//! Nobody gives a person more rights than he has himself, and nobody changes one who has more: whoever sets the password
//! of an administrator is soon one himself.

use std::sync::Arc;

use ledger::{Change, Entry, Ledger, Outcome};
use wire::admin::Role;
use zeroize::Zeroizing;

use super::keys::{self, Keys, KeysRecord};
use super::password::{self, HashError, PasswordFault, Passwords};
use super::{EmailAddress, PersonId, PersonRecord, Roster, rows};
use crate::accounts::{Actor, UserName};
use crate::audit::{self, AuditRecord, Reference, rfc3339};
use crate::clock::Clock;
use crate::keys::{KeyError, random_bytes};
use crate::notify::Notifier;
use crate::turns::Turns;

/// Persons of our own records: ten times the people of a site that has no directory. Each takes about 1 KiB of memory.
pub const PERSONS_MAX: usize = 10_000;

/// Accounts that one person may use: more have a group and a rule of their own.
pub const ACCOUNTS_MAX: usize = 64;

/// Persons who share one account: a request to it looks at each.
pub const SHARING_MAX: usize = 256;

/// Longest login name of a person, in characters. Source: Linux useradd(8) takes 32; twice that for domains.
pub const LOGIN_CHARACTERS_MAX: usize = 64;

/// Longest name that people call a person, in characters: what fits into a line of a mail.
pub const NAME_CHARACTERS_MAX: usize = 128;

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum PersonError {
    /// Nobody of our records signs in with this.
    #[error("no person {login:?} in Postern's own records")]
    NoSuchPerson {
        /// What was asked for.
        login: String,
    },
    /// Somebody has it.
    #[error("{login} is the login name of a person already, whatever the case of its letters")]
    LoginTaken {
        /// What was asked for.
        login: UserName,
    },
    /// Somebody has it.
    #[error("{email} is the address of {owner}: an address tells who somebody is, so it is one person's")]
    AddressTaken {
        /// What was asked for.
        email: EmailAddress,
        /// Whose it is.
        owner: UserName,
    },
    /// The login name is too long.
    #[error("{login:?} is too long: a login name of a person has at most {LOGIN_CHARACTERS_MAX} characters")]
    LoginTooLong {
        /// What was asked for.
        login: UserName,
    },
    /// The name cannot be shown.
    #[error("a name has 1 to {NAME_CHARACTERS_MAX} characters, none of them invisible")]
    Name,
    /// The password is not one.
    #[error(transparent)]
    Password(#[from] PasswordFault),
    /// He has more rights than whoever asks.
    #[error("{login} has more rights than you, or would get them: this takes somebody who has them")]
    MoreRights {
        /// Who.
        login: UserName,
    },
    /// The account is his.
    #[error("{login} may use {account} already")]
    SharedAlready {
        /// Who.
        login: UserName,
        /// Which account.
        account: UserName,
    },
    /// The account is not his.
    #[error("{login} may not use {account} as it is")]
    NotShared {
        /// Who.
        login: UserName,
        /// Which account.
        account: UserName,
    },
    /// There is no room.
    #[error("there are {PERSONS_MAX} persons: no more are taken")]
    TooManyPersons,
    /// There is no room.
    #[error("a person may use {ACCOUNTS_MAX} accounts at most")]
    TooManyAccounts,
    /// There is no room.
    #[error("{SHARING_MAX} persons share {account}: no more may")]
    TooManySharing {
        /// Which account.
        account: UserName,
    },
    /// Nothing was asked for.
    #[error("nothing is changed: say what is to be another")]
    Nothing,
    /// The password could not be hashed.
    #[error(transparent)]
    Hash(#[from] HashError),
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

/// Somebody new.
#[derive(Clone, Debug)]
pub struct NewPerson {
    /// What he signs in with.
    pub login: UserName,
    /// Where mails go.
    pub email: EmailAddress,
    /// What people call him; his login name, where it is none.
    pub name: Option<String>,
    /// What he may do.
    pub role: Role,
    /// Accounts that he may use; the one of his login name, where it is none.
    pub accounts: Option<Vec<UserName>>,
    /// His password; none for somebody who never signs in.
    pub password: Option<Zeroizing<String>>,
}

/// What is to be another; none stays.
#[derive(Clone, Debug, Default)]
pub struct PersonChanges {
    /// Where mails go.
    pub email: Option<EmailAddress>,
    /// What people call him.
    pub name: Option<String>,
    /// What he may do.
    pub role: Option<Role>,
    /// Whether he is let in.
    pub enabled: Option<bool>,
}

/// Who asks for a change.
#[derive(Clone, Debug)]
pub struct By {
    /// Who, as records have him.
    pub actor: Actor,
    /// What he may do himself.
    pub role: Role,
}

/// Makes changes of persons.
#[derive(Clone, Debug)]
pub struct Clerk {
    pub(super) roster: Arc<Roster>,
    pub(super) keys: Arc<Keys>,
    pub(super) passwords: Passwords,
    pub(super) ledger: Arc<dyn Ledger>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) notifier: Arc<Notifier>,
    pub(super) turns: Turns,
}

type Changed = Result<Arc<PersonRecord>, PersonError>;

impl Clerk {
    /// Adds a person, under an id that nobody had.
    ///
    /// # Errors
    /// See [`PersonError`].
    pub async fn add(&self, new: NewPerson, by: By) -> Changed {
        let NewPerson { login, email, name, role, accounts, password } = new;
        if login.as_str().len() > LOGIN_CHARACTERS_MAX {
            return Err(PersonError::LoginTooLong { login });
        }
        let name = check_name(name.unwrap_or_else(|| login.to_string()))?;
        let password = match password {
            Some(password) => Some(self.hashed(password, &login, &email).await?),
            None => None,
        };
        let mut accounts = accounts.unwrap_or_else(|| vec![login.clone()]);
        accounts.sort();
        accounts.dedup();
        let id = PersonId(u128::from_be_bytes(random_bytes()?));
        let created = self.clock.now();
        let record = PersonRecord {
            id,
            login,
            email,
            name,
            accounts,
            role,
            enabled: true,
            password,
            version: 0,
            created,
        };
        let this = self.clone();
        self.in_turn(async move {
            this.check_new(&record, &by)?;
            let told = format!(
                "{}, accounts {}, role {}{}",
                record.email,
                listed(&record.accounts),
                record.role.word(),
                if record.password.is_some() { ", with a password" } else { "" }
            );
            this.commit(record, "person_added", told, &by).await
        })
        .await
    }

    fn check_new(&self, record: &PersonRecord, by: &By) -> Result<(), PersonError> {
        reaches(by, record, record.role)?;
        if self.roster.by_login(record.login.as_str()).is_some() {
            return Err(PersonError::LoginTaken { login: record.login.clone() });
        }
        self.check_address(record)?;
        if self.roster.len() >= PERSONS_MAX {
            return Err(PersonError::TooManyPersons);
        }
        if record.accounts.len() > ACCOUNTS_MAX {
            return Err(PersonError::TooManyAccounts);
        }
        record.accounts.iter().try_for_each(|account| self.check_room(account))
    }

    /// An address is one person's.
    fn check_address(&self, record: &PersonRecord) -> Result<(), PersonError> {
        match self.roster.by_address(&record.email).filter(|other| other.id != record.id) {
            Some(other) => {
                Err(PersonError::AddressTaken { email: record.email.clone(), owner: other.login.clone() })
            }
            None => Ok(()),
        }
    }

    fn check_room(&self, account: &UserName) -> Result<(), PersonError> {
        let is_full = self.roster.of_account(account).len() >= SHARING_MAX;
        if is_full { Err(PersonError::TooManySharing { account: account.clone() }) } else { Ok(()) }
    }

    /// Changes what is known of a person.
    ///
    /// # Errors
    /// See [`PersonError`].
    pub async fn set(&self, login: &str, changes: PersonChanges, by: By) -> Changed {
        let PersonChanges { email, name, role, enabled } = changes;
        let name = name.map(check_name).transpose()?;
        self.change(login, by, move |this, record, by| {
            reaches(by, record, role.unwrap_or(record.role))?;
            let mut told = Vec::new();
            if let Some(email) = email.filter(|email| email.as_str() != record.email.as_str()) {
                told.push(format!("address {} instead of {}", email, record.email));
                record.email = email;
                this.check_address(record)?;
            }
            if let Some(name) = name.filter(|name| *name != record.name) {
                told.push("name".into());
                record.name = name;
            }
            if let Some(role) = role.filter(|role| *role != record.role) {
                told.push(format!("role {} instead of {}", role.word(), record.role.word()));
                (record.role, record.version) = (role, record.version + 1);
            }
            if let Some(enabled) = enabled.filter(|enabled| *enabled != record.enabled) {
                told.push(if enabled { "enabled".into() } else { "disabled".into() });
                (record.enabled, record.version) = (enabled, record.version + 1);
            }
            if told.is_empty() { Err(PersonError::Nothing) } else { Ok(told.join(", ")) }
        })
        .await
    }

    /// Gives a person another password. His sign-ins end.
    ///
    /// # Errors
    /// See [`PersonError`].
    pub async fn set_password(&self, login: &str, password: Zeroizing<String>, by: By) -> Changed {
        let known = self.find(login)?;
        let hash = self.hashed(password, &known.login, &known.email).await?;
        self.change(login, by, move |_, record, by| {
            reaches(by, record, record.role)?;
            if record.id != known.id {
                return Err(PersonError::NoSuchPerson { login: known.login.to_string() });
            }
            (record.password, record.version) = (Some(hash), record.version + 1);
            Ok("password".into())
        })
        .await
    }

    /// Lets a person use an account.
    ///
    /// # Errors
    /// See [`PersonError`].
    pub async fn share(&self, login: &str, account: UserName, by: By) -> Changed {
        self.change(login, by, move |this, record, by| {
            reaches(by, record, record.role)?;
            if record.accounts.contains(&account) {
                return Err(PersonError::SharedAlready { login: record.login.clone(), account });
            }
            if record.accounts.len() >= ACCOUNTS_MAX {
                return Err(PersonError::TooManyAccounts);
            }
            this.check_room(&account)?;
            let told = format!("may use {account}");
            record.accounts.push(account);
            record.accounts.sort();
            Ok(told)
        })
        .await
    }

    /// Lets a person use an account no longer.
    ///
    /// # Errors
    /// See [`PersonError`].
    pub async fn unshare(&self, login: &str, account: UserName, by: By) -> Changed {
        self.change(login, by, move |_, record, by| {
            reaches(by, record, record.role)?;
            if !record.accounts.contains(&account) {
                return Err(PersonError::NotShared { login: record.login.clone(), account });
            }
            record.accounts.retain(|other| *other != account);
            Ok(format!("may not use {account}"))
        })
        .await
    }

    /// Removes a person. Whoever gets the login name later is another one.
    ///
    /// # Errors
    /// See [`PersonError`].
    pub async fn remove(&self, login: &str, by: By) -> Changed {
        let (this, login) = (self.clone(), login.to_owned());
        self.in_turn(async move {
            let known = this.find(&login)?;
            reaches(&by, &known, known.role)?;
            let changes = vec![known.remove(), keys::forget(known.id), rows::put(known.id, 0)];
            this.store(&known, changes, "person_removed", known.email.to_string(), &by).await?;
            this.roster.remove(known.id);
            this.roster.rows().end(known.id);
            this.keys.put(KeysRecord { person: known.id, keys: Vec::new() });
            Ok(known)
        })
        .await
    }

    /// Changes a person in his turn.
    ///
    /// * `edit`: says in words what it changed.
    async fn change(
        &self,
        login: &str,
        by: By,
        edit: impl FnOnce(&Self, &mut PersonRecord, &By) -> Result<String, PersonError> + Send + 'static,
    ) -> Changed {
        let (this, login) = (self.clone(), login.to_owned());
        self.in_turn(async move {
            let mut record = PersonRecord::clone(&*this.find(&login)?);
            let told = edit(&this, &mut record, &by)?;
            this.commit(record, "person_changed", told, &by).await
        })
        .await
    }

    async fn hashed(
        &self,
        password: Zeroizing<String>,
        login: &UserName,
        email: &EmailAddress,
    ) -> Result<String, PersonError> {
        password::check_new(&password, login, email)?;
        Ok(self.passwords.hash(password).await?)
    }

    fn find(&self, login: &str) -> Changed {
        self.roster.by_login(login).ok_or_else(|| PersonError::NoSuchPerson { login: login.into() })
    }

    /// As [`Turns::take`]; too many waiting is an error like others.
    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, PersonError>> + Send + 'static,
    ) -> Result<T, PersonError> {
        self.turns.take(work).await.unwrap_or(Err(PersonError::Busy))
    }

    /// Makes a person's new record durable together with what is told of it. Another password has no wrong ones before
    /// it, and whoever is let in anew may try anew.
    async fn commit(&self, record: PersonRecord, event: &str, told: String, by: &By) -> Changed {
        let known = self.roster.by_id(record.id);
        let begins_anew =
            known.is_none_or(|known| known.password != record.password || (record.enabled && !known.enabled));
        let mut changes = vec![record.put()];
        changes.extend(begins_anew.then(|| rows::put(record.id, 0)));
        self.store(&record, changes, event, told, by).await?;
        if begins_anew {
            self.roster.rows().end(record.id);
        }
        Ok(self.roster.put(record))
    }

    async fn store(
        &self,
        record: &PersonRecord,
        changes: Vec<Change>,
        event: &str,
        told: String,
        by: &By,
    ) -> Result<(), PersonError> {
        let event = AuditRecord {
            at: rfc3339(self.clock.now()),
            event: event.into(),
            reason: "administrator".into(),
            actor: Some(by.actor.name.clone()),
            person: Some(record.login.to_string()),
            detail: Some(format!("id {}, {told}", record.id)),
            ..AuditRecord::default()
        };
        let reference = Reference::draw()?;
        let entry = Entry { claim: None, changes, audit: Some(audit::entry(&event, reference)) };
        match self.ledger.submit(entry).await {
            Outcome::Committed => {
                tracing::info!(
                    event = event.event, reason = event.reason, person = event.person, actor = event.actor,
                    %reference, "changed"
                );
                self.notifier.tell(&AuditRecord { reference: reference.to_string(), ..event });
                Ok(())
            }
            outcome => Err(PersonError::NotStored { outcome }),
        }
    }
}

/// Goes on where whoever asks has at least the rights of the person, before and after.
fn reaches(by: &By, record: &PersonRecord, role: Role) -> Result<(), PersonError> {
    let may = by.role >= record.role.max(role);
    if may { Ok(()) } else { Err(PersonError::MoreRights { login: record.login.clone() }) }
}

fn check_name(name: String) -> Result<String, PersonError> {
    let fits = (1..=NAME_CHARACTERS_MAX).contains(&name.chars().count());
    let is_shown = !name.trim().is_empty() && !name.chars().any(wire::printable::is_risky);
    if fits && is_shown { Ok(name) } else { Err(PersonError::Name) }
}

fn listed(accounts: &[UserName]) -> String {
    if accounts.is_empty() {
        return "none".into();
    }
    accounts.iter().map(UserName::as_str).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
