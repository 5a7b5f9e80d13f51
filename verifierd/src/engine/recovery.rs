//! Recovery codes at the prompt: for whoever has no working token at hand.

use std::sync::Arc;

use ledger::{Claim, ClaimId};

use super::{Attempt, Decision, Engine, Judgement, Ruling, Submitted, Write};
use crate::accounts::{RecoveryCode, RecoverySet, USED, User, UserId};
use crate::audit::{Reason, Reference};
use crate::engine::throttle::Admission;

/// How a user's last recovery code is used.
#[derive(Debug)]
pub struct LastCode {
    /// A new set, which he has seen; none when he wanted none.
    pub new_codes: Option<Vec<RecoveryCode>>,
}

/// A code of a set that is good.
struct Good {
    user: Arc<User>,
    set: Arc<RecoverySet>,
    claim: Claim,
    is_unused: bool,
}

impl Engine {
    /// Uses up a user's last recovery code, which he typed before and has typed again with `attempt`.
    pub async fn use_last_recovery_code(&self, attempt: Attempt, last: LastCode) -> Decision {
        let admission = match self.admit(&attempt) {
            Ok(admission) => admission,
            Err(refused) => return self.throttled(&attempt.occasion, refused).await,
        };
        let Some(code) = RecoveryCode::from_typed(&attempt.typed) else {
            return self.failed_recovery(&attempt, admission, None, Ruling::new(Reason::Malformed)).await;
        };
        match self.look_up(&attempt, &code) {
            Ok(good) => self.use_up(&attempt, admission, good, last.new_codes).await,
            Err((set, reason)) => self.refuse(&attempt, admission, set, reason).await,
        }
    }

    /// Decides about a code of somebody whose tokens do not count: a recovery code lets him in, everything else is
    /// refused for this reason, and counted.
    pub async fn verify_recovery_only(&self, attempt: Attempt, reason: Reason) -> Judgement {
        let admission = match self.admit(&attempt) {
            Ok(admission) => admission,
            Err(refused) => return Judgement::Decided(self.throttled(&attempt.occasion, refused).await),
        };
        match RecoveryCode::from_typed(&attempt.typed) {
            Some(code) => self.verify_recovery(&attempt, admission, &code).await,
            None => Judgement::Decided(self.failed(&attempt, admission, &[], Ruling::new(reason)).await),
        }
    }

    /// Decides about what has the form of a recovery code.
    pub(super) async fn verify_recovery(
        &self,
        attempt: &Attempt,
        admission: Admission,
        code: &RecoveryCode,
    ) -> Judgement {
        match self.look_up(attempt, code) {
            Ok(good) if good.is_unused && good.set.left() == 1 => Judgement::LastRecoveryCode,
            Ok(good) => Judgement::Decided(self.use_up(attempt, admission, good, None).await),
            Err((set, reason)) => Judgement::Decided(self.refuse(attempt, admission, set, reason).await),
        }
    }

    fn look_up(
        &self,
        attempt: &Attempt,
        code: &RecoveryCode,
    ) -> Result<Good, (Option<Arc<RecoverySet>>, Reason)> {
        let known = attempt.user.as_ref().and_then(|user| Some((user, user.recovery.as_ref()?)));
        // The same work for a user who has none.
        let (id, set_id) = known.map_or((UserId(0), 0), |(user, set)| (user.id, set.record.id));
        let credential = code.credential(id, set_id, self.tools.steward.recovery_hasher());
        let quarantine = &self.tools.accounts.quarantine;
        // While some codes wait, whoever types what looks like one is told that, so that it tells nobody whose do.
        let or_waiting = |reason| if quarantine.holds_recovery(0) { Reason::RecoveryWaiting } else { reason };
        let Some((user, set)) = known else {
            let reason = if attempt.user.is_some() { Reason::WrongCode } else { Reason::UnknownUser };
            return Err((None, or_waiting(reason)));
        };
        let set = Arc::clone(set);
        if quarantine.holds_recovery(set.record.quarantine) {
            return Err((None, Reason::RecoveryWaiting));
        }
        match set.is_unused(credential) {
            _ if set.is_locked() => Err((Some(set), or_waiting(Reason::TokenDisabled))),
            None => Err((Some(set), or_waiting(Reason::WrongCode))),
            // The claim of this very request may stand in the ledger: its retry is an accept, all else is not.
            Some(is_unused) => {
                let claim = Claim { credential, to: USED, id: ClaimId(attempt.request) };
                Ok(Good { user: Arc::clone(user), set, claim, is_unused })
            }
        }
    }

    async fn refuse(
        &self,
        attempt: &Attempt,
        admission: Admission,
        set: Option<Arc<RecoverySet>>,
        reason: Reason,
    ) -> Decision {
        let ruling = Ruling::new(reason).detail("a recovery code".into());
        self.failed_recovery(attempt, admission, set.as_deref(), ruling).await
    }

    async fn use_up(
        &self,
        attempt: &Attempt,
        admission: Admission,
        good: Good,
        new_codes: Option<Vec<RecoveryCode>>,
    ) -> Decision {
        let Good { user, set, claim, is_unused } = good;
        let left = match &new_codes {
            Some(codes) => u32::try_from(codes.len()).unwrap_or(u32::MAX),
            None => set.left().saturating_sub(u32::from(is_unused)),
        };
        let detail = if new_codes.is_some() {
            format!("the last one; {left} new ones")
        } else {
            format!("{left} left")
        };
        let ruling =
            Ruling { recovery_codes_left: Some(left), ..Ruling::new(Reason::RecoveryCode).detail(detail) };
        let mut changes = admission.success_changes(&*self.tools.clock);
        let failures = set.failures();
        if failures > 0 {
            changes.push(set.put_failures(0));
        }
        let credential = claim.credential;
        let write = match new_codes {
            Some(codes) => Write::NewCodes { name: user.name.clone(), codes, claim },
            None => Write::Plain(claim),
        };
        let reference = Reference::of(attempt.request);
        let decision = match self.submit(&attempt.occasion, ruling, reference, Some(write), changes).await {
            Submitted::Decided(decision) => decision,
            Submitted::Superseded { .. } | Submitted::Gone => {
                set.set_used(credential);
                let ruling = Ruling::new(Reason::RecoveryUsed).detail("a recovery code".into());
                return self.failed_recovery(attempt, admission, Some(&set), ruling).await;
            }
        };
        if decision.reason == Reason::RecoveryCode {
            set.set_used(credential);
            self.end_row(|| (set.clear_failures() > failures).then(|| set.put_failures(0))).await;
            admission.succeed(&*self.tools.clock);
        }
        decision
    }
}
