//! New recovery codes.

use std::sync::Arc;

use ledger::{AuditEntry, Change, Claim, Entry, Outcome, Refusal};

use super::{Actor, ChangeError, Steward};
use crate::accounts::{CODES, RecoveryCode, RecoveryRecord, RecoverySet, User, UserName};
use crate::audit::AuditRecord;
use crate::keys::random_bytes;

impl Steward {
    /// Makes a new set of recovery codes for a user; the ones before are void.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub async fn make_recovery_codes(
        self: &Arc<Self>,
        name: UserName,
        by: Actor,
    ) -> Result<Vec<RecoveryCode>, ChangeError> {
        let codes = draw_codes()?;
        let me = Arc::clone(self);
        let kept = codes.clone();
        self.in_turn(async move {
            let user = me.demanded(&name)?;
            let (set, changes) = me.new_set(&user, &kept)?;
            let event = AuditRecord { user: Some(name.to_string()), ..me.event("recovery_codes_made", &by) };
            me.commit(changes, event).await?;
            me.accounts.put(User { recovery: Some(Arc::new(set)), ..user });
            Ok(())
        })
        .await?;
        Ok(codes)
    }

    /// Voids everybody's recovery codes: the store does not know any more which were used.
    ///
    /// # Errors
    /// See [`ChangeError`]; those of some users may be void then.
    pub async fn void_all_recovery_codes(self: &Arc<Self>, by: Actor) -> Result<(), ChangeError> {
        /// Users in one commit: some 1,500 changes.
        const USERS_AT_ONCE: usize = 100;
        let me = Arc::clone(self);
        self.in_turn(async move {
            let mut holders = me.accounts.users();
            holders.retain(|user| user.recovery.is_some());
            for some in holders.chunks(USERS_AT_ONCE) {
                let changes =
                    some.iter().filter_map(|user| user.recovery.as_ref()).flat_map(|set| set.wipe());
                let detail = Some(format!("those of {} users, after a loss", some.len()));
                let event = AuditRecord { detail, ..me.event("recovery_codes_voided", &by) };
                me.commit(changes.collect(), event).await?;
                for user in some {
                    me.accounts.put(User { recovery: None, ..User::clone(user) });
                }
            }
            Ok(())
        })
        .await
    }

    /// Uses up a user's last recovery code and gives him a new set in the same commit.
    ///
    /// * `codes`: the new set, which he has seen.
    pub async fn claim_with_new_codes(
        self: &Arc<Self>,
        name: UserName,
        codes: Vec<RecoveryCode>,
        claim: Claim,
        changes: Vec<Change>,
        audit: AuditEntry,
    ) -> Outcome {
        let me = Arc::clone(self);
        let done = self
            .in_turn(async move {
                let user = me.demanded(&name)?;
                let (set, mut all) = me.new_set(&user, &codes)?;
                all.extend(changes);
                let entry = Entry { claim: Some(claim), changes: all, audit: Some(audit) };
                let outcome = me.ledger.submit(entry).await;
                if outcome == Outcome::Committed {
                    me.accounts.put(User { recovery: Some(Arc::new(set)), ..user });
                }
                Ok(outcome)
            })
            .await;
        done.unwrap_or(Outcome::NotCommitted(Refusal::Busy))
    }

    fn demanded(&self, name: &UserName) -> Result<User, ChangeError> {
        let user = self.accounts.find(name).ok_or_else(|| ChangeError::NoSuchUser { name: name.clone() })?;
        if !user.otp_on {
            return Err(ChangeError::OtpOff { name: name.clone() });
        }
        Ok((*user).clone())
    }

    fn new_set(
        &self,
        user: &User,
        codes: &[RecoveryCode],
    ) -> Result<(RecoverySet, Vec<Change>), ChangeError> {
        let id = u128::from_be_bytes(random_bytes()?);
        let names: Vec<_> =
            codes.iter().map(|code| code.credential(user.id, id, &self.recovery_hasher)).collect();
        let quarantine = self.accounts.quarantine.last().number;
        let record = RecoveryRecord::new(id, user.id, self.clock.now(), quarantine, &names);
        let mut changes = user.recovery.as_ref().map_or_else(Vec::new, |old| old.wipe());
        changes.push(record.put());
        changes.extend(names.iter().map(|name| Change::AddCredential { credential: *name, value: 0 }));
        Ok((RecoverySet::open(record, |_| false)?, changes))
    }
}

/// A new set, not kept anywhere yet.
///
/// # Errors
/// When the kernel gives no random bytes.
pub(crate) fn draw_codes() -> Result<Vec<RecoveryCode>, ChangeError> {
    (0..CODES).map(|_| Ok(RecoveryCode::draw()?)).collect()
}
