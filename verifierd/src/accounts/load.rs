//! Takes over what the ledger holds, one stored thing after the other, so that nothing is in memory twice.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use ledger::{Credential, CredentialId, Record, Stored};

use super::records::{RecordError, RecoveryRecord, TokenRecord, UserId, UserRecord, kind};
use super::{Accounts, RecoverySet, Token, USED, UncleanStop, User, order_of};
use crate::keys::Sealer;

/// What a start found that must be taken away: tokens of imports that never ended.
#[derive(Debug, Default)]
pub struct Leftovers {
    /// Those tokens.
    pub tokens: Vec<TokenRecord>,
    /// Those imports.
    pub imports: Vec<u64>,
}

/// Fills [`Accounts`] from what a ledger tells. Credentials come before records, as `Ledger::load_each` has it.
#[derive(Debug)]
pub struct Loader<'a> {
    accounts: &'a Accounts,
    sealer: &'a Sealer,
    values: HashMap<CredentialId, u64>,
    users: HashMap<UserId, User>,
    tokens: Vec<Arc<Token>>,
    failures: Vec<(u128, u32)>,
    recovery: Vec<RecoveryRecord>,
    open_imports: HashSet<u64>,
}

impl<'a> Loader<'a> {
    /// Nothing was told yet.
    pub fn new(accounts: &'a Accounts, sealer: &'a Sealer) -> Self {
        Self {
            accounts,
            sealer,
            values: HashMap::new(),
            users: HashMap::new(),
            tokens: Vec::new(),
            failures: Vec::new(),
            recovery: Vec::new(),
            open_imports: HashSet::new(),
        }
    }

    /// Takes over one thing; records of other kinds are not its affair.
    ///
    /// # Errors
    /// When it cannot be understood.
    pub fn take(&mut self, stored: &Stored) -> Result<(), RecordError> {
        match stored {
            Stored::Credential(Credential { id, value, .. }) => {
                self.values.insert(*id, *value);
            }
            Stored::Record(record) => self.take_record(record)?,
        }
        Ok(())
    }

    /// Puts everybody in his place.
    ///
    /// # Errors
    /// When a record cannot be understood.
    pub fn finish(mut self) -> Result<Leftovers, RecordError> {
        let mut leftovers =
            Leftovers { tokens: Vec::new(), imports: Vec::from_iter(self.open_imports.clone()) };
        let failures: HashMap<_, _> = self.failures.drain(..).collect();
        for token in std::mem::take(&mut self.tokens) {
            if token.record.import.is_some_and(|import| self.open_imports.contains(&import)) {
                leftovers.tokens.push(token.record.clone());
                continue;
            }
            token.restore_failures(failures.get(&token.record.id.0).copied().unwrap_or(0));
            let owner = token.record.user.and_then(|user| self.users.get_mut(&user));
            if let Some(owner) = owner {
                owner.tokens.push(Arc::clone(&token));
            }
            self.accounts.put_token(token);
        }
        for record in self.recovery.drain(..) {
            let values = &self.values;
            let is_used = |code| values.get(&code).is_some_and(|value| *value >= USED);
            let set = RecoverySet::open(record, is_used)?;
            set.restore_failures(failures.get(&set.record.id).copied().unwrap_or(0));
            if let Some(user) = self.users.get_mut(&set.record.user) {
                user.recovery = Some(Arc::new(set));
            }
        }
        for (_, mut user) in self.users.drain() {
            user.tokens.sort_by_key(|token| order_of(token));
            user.tokens.shrink_to_fit();
            self.accounts.put(user);
        }
        Ok(leftovers)
    }

    fn take_record(&mut self, record: &Record) -> Result<(), RecordError> {
        match record.kind {
            kind::USER => {
                let (record, name) = UserRecord::decode(&record.value)?;
                let UserRecord { id, otp_on, enrol_with, otp_since, .. } = record;
                self.users.insert(id, User { otp_on, enrol_with, otp_since, ..User::new(id, name) });
            }
            kind::TOKEN => {
                let token = Token::open(TokenRecord::decode(&record.value)?, self.sealer)?;
                let value = |id| self.values.get(&id).copied().unwrap_or(0);
                token.set_value(value(token.credential()));
                token.set_grace_used(value(token.grace_credential()));
                self.tokens.push(Arc::new(token));
            }
            kind::FAILURES => self.failures.extend(failure_count(record)),
            kind::RECOVERY => self.recovery.push(RecoveryRecord::decode(&record.value)?),
            kind::QUARANTINE => self.accounts.quarantine.set(UncleanStop::decode(&record.value)),
            kind::IMPORT => {
                let id = record.key.as_slice().try_into().map(u64::from_be_bytes);
                self.open_imports.extend(id);
            }
            _ => {}
        }
        Ok(())
    }
}

fn failure_count(record: &Record) -> Option<(u128, u32)> {
    let id = record.key.as_slice().try_into().map(u128::from_be_bytes).ok()?;
    let count = record.value.as_slice().try_into().map(u32::from_be_bytes).ok()?;
    Some((id, count))
}
