//! Passwords that were issued on request: one that is right for this host, user and service lets in, once.
//!
//! The claim of its use decides, not what is in memory: of two hundred who type it at one moment the ledger takes one. What
//! somebody else is to use elsewhere is neither accepted nor used up, and counts as a wrong try.

use super::{Attempt, Decision, Engine, Ruling, Submitted, Write};
use crate::access::{Good, IssuedPassword, Looked};
use crate::audit::{Reason, Reference};
use crate::engine::throttle::Admission;

impl Engine {
    /// Decides about what was typed as an issued password.
    pub async fn verify_issued(&self, attempt: Attempt) -> Decision {
        if let Some(decision) = self.standing_still(&attempt.occasion).await {
            return decision;
        }
        let admission = match self.admit(&attempt) {
            Ok(admission) => admission,
            Err(refused) => return self.throttled(&attempt.occasion, refused).await,
        };
        let Some(typed) = IssuedPassword::from_typed(&attempt.typed) else {
            return self.failed(&attempt, admission, &[], Ruling::new(Reason::Malformed)).await;
        };
        match self.tools.requests.look_up(&attempt.occasion.login, &typed) {
            Looked::Good(good) => self.redeem(&attempt, admission, good).await,
            Looked::Bad { reason, detail, person, is_guess } => {
                let ruling = Ruling { detail, person, ..Ruling::new(reason) };
                self.failed_issued(&attempt, admission, ruling, is_guess).await
            }
        }
    }

    async fn redeem(&self, attempt: &Attempt, mut admission: Admission, good: Good) -> Decision {
        let ruling = |reason| Ruling::new(reason).detail(good.detail()).person(good.person());
        match self.tools.requests.has_changed(&good).await {
            Ok(None) => {}
            Ok(Some(what)) => {
                let ruling = ruling(Reason::IssuedVoid).detail(format!("{}: {what} changed", good.detail()));
                return self.failed_issued(attempt, admission, ruling, false).await;
            }
            Err(error) => {
                let ruling = ruling(Reason::PeopleUnavailable).detail(error.to_string());
                let decision = self.record(&attempt.occasion, ruling).await;
                // Until here it was one of those in flight, of which there may be so many.
                drop(admission);
                return decision;
            }
        }
        admission.matched();
        let clock = &*self.tools.clock;
        let (used, mut changes) = good.used(clock.now());
        changes.extend(admission.success_changes(clock));
        let (claim, reference) = (Write::Plain(good.claim(attempt.request)), Reference::of(attempt.request));
        let accepted = ruling(Reason::IssuedPassword);
        let decision = match self.submit(&attempt.occasion, accepted, reference, Some(claim), changes).await {
            Submitted::Decided(decision) => decision,
            Submitted::Superseded { .. } | Submitted::Gone => {
                let reason = self.tools.requests.why_lost(&good).await;
                return self.failed_issued(attempt, admission, ruling(reason), false).await;
            }
        };
        if decision.reason == Reason::IssuedPassword {
            self.tools.requests.set_used(used);
            admission.succeed(clock);
        }
        decision
    }

    /// A try that opens nothing.
    ///
    /// * `is_guess`: whether it counts against the passwords that wait at this place.
    async fn failed_issued(
        &self,
        attempt: &Attempt,
        admission: Admission,
        ruling: Ruling,
        is_guess: bool,
    ) -> Decision {
        if !is_guess {
            return self.failed(attempt, admission, &[], ruling).await;
        }
        let waiting = self.tools.requests.waiting_at(&attempt.occasion.login);
        let decision = self.failed_waiting(attempt, admission, ruling, &waiting).await;
        self.tools.requests.end_spoilt(&waiting).await;
        decision
    }
}
