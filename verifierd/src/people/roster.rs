//! The persons of our own records in memory: who has which login name, address and account. Read at requests and
//! sign-ins, changed by the clerk.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use ledger::Record;

use super::{EmailAddress, PersonId, PersonRecord, PersonRecordError, Rows};
use crate::accounts::{UserName, kind};

/// All persons of our own records.
#[derive(Debug, Default)]
pub struct Roster {
    /// Held for one look or one change.
    tables: RwLock<Tables>,
    rows: Rows,
}

#[derive(Debug, Default)]
struct Tables {
    by_id: BTreeMap<PersonId, Arc<PersonRecord>>,
    /// In lower case.
    logins: HashMap<String, PersonId>,
    /// In lower case.
    addresses: HashMap<String, PersonId>,
    /// Who may use an account.
    accounts: HashMap<UserName, BTreeSet<PersonId>>,
}

impl Roster {
    /// Takes a record of the store in; those of other kinds are left alone.
    ///
    /// # Errors
    /// Where it cannot be understood, or names what is another person's.
    pub fn take(&self, record: &Record) -> Result<(), PersonRecordError> {
        self.rows.take(record);
        if record.kind != kind::PERSON {
            return Ok(());
        }
        let record = PersonRecord::decode(&record.value)?;
        let taken = self.by_login(record.login.as_str()).or_else(|| self.by_address(&record.email));
        match taken.filter(|other| other.id != record.id) {
            Some(_) => Err(PersonRecordError::Twice { id: record.id }),
            None => {
                self.put(record);
                Ok(())
            }
        }
    }

    /// Ends the taking in of records.
    pub fn settle(&self) {
        self.rows.settle(|id| self.by_id(id).is_some());
    }

    /// Wrong passwords in a row.
    pub fn rows(&self) -> &Rows {
        &self.rows
    }

    /// Who has an id.
    pub fn by_id(&self, id: PersonId) -> Option<Arc<PersonRecord>> {
        self.read().by_id.get(&id).cloned()
    }

    /// Who signs in with a name, whatever the case of its letters.
    pub fn by_login(&self, login: &str) -> Option<Arc<PersonRecord>> {
        let tables = self.read();
        tables.by_id.get(tables.logins.get(&login.to_ascii_lowercase())?).cloned()
    }

    /// Who has an address.
    pub fn by_address(&self, address: &EmailAddress) -> Option<Arc<PersonRecord>> {
        let tables = self.read();
        tables.by_id.get(tables.addresses.get(&address.folded())?).cloned()
    }

    /// Who may use an account, let in or not.
    pub fn of_account(&self, account: &UserName) -> Vec<Arc<PersonRecord>> {
        let tables = self.read();
        let ids = tables.accounts.get(account).into_iter().flatten();
        ids.filter_map(|id| tables.by_id.get(id).cloned()).collect()
    }

    /// Everybody, by login name.
    pub fn all(&self) -> Vec<Arc<PersonRecord>> {
        let mut all: Vec<_> = self.read().by_id.values().cloned().collect();
        all.sort_by(|one, other| one.login.cmp(&other.login));
        all
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.read().by_id.len()
    }

    /// Whether there is nobody.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts a person there, in the place of what was known of him.
    pub(super) fn put(&self, record: PersonRecord) -> Arc<PersonRecord> {
        let record = Arc::new(record);
        let mut tables = self.write();
        tables.forget(record.id);
        tables.logins.insert(record.login.as_str().to_ascii_lowercase(), record.id);
        tables.addresses.insert(record.email.folded(), record.id);
        for account in &record.accounts {
            tables.accounts.entry(account.clone()).or_default().insert(record.id);
        }
        tables.by_id.insert(record.id, Arc::clone(&record));
        record
    }

    /// Takes a person away.
    pub(super) fn remove(&self, id: PersonId) {
        self.write().forget(id);
    }

    fn read(&self) -> RwLockReadGuard<'_, Tables> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Tables> {
        self.tables.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tables {
    fn forget(&mut self, id: PersonId) {
        let Some(known) = self.by_id.remove(&id) else { return };
        self.logins.remove(&known.login.as_str().to_ascii_lowercase());
        self.addresses.remove(&known.email.folded());
        for account in &known.accounts {
            if let Some(persons) = self.accounts.get_mut(account) {
                persons.remove(&id);
                if persons.is_empty() {
                    self.accounts.remove(account);
                }
            }
        }
    }
}
