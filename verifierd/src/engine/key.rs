//! What a person's security key signed, in the place of a one-time password: counted, recorded and told as a code is. What
//! it is worth, `web::keys` says.

use ledger::Change;
use wire::login::{Identity, Verdict};

use super::throttle::Admission;
use super::{Attempt, Decision, Engine, Ruling, Submitted};
use crate::audit::{Reason, Reference};

impl Engine {
    /// Asks whether a try with a key may be looked at: it counts with the codes of the same user.
    ///
    /// # Errors
    /// The decision that refuses it.
    pub async fn admit_key(&self, attempt: &Attempt) -> Result<Admission, Decision> {
        if let Some(decision) = self.standing_still(&attempt.occasion).await {
            return Err(decision);
        }
        match self.admit(attempt) {
            Ok(admission) => Ok(admission),
            Err(refused) => Err(self.throttled(&attempt.occasion, refused).await),
        }
    }

    /// A try that failed: counted as a wrong code, but against no token.
    pub async fn refuse_key(
        &self,
        attempt: &Attempt,
        admission: Admission,
        person: &str,
        why: String,
    ) -> Decision {
        let ruling = Ruling::new(Reason::SecurityKeyRefused).person(named(person)).detail(why);
        self.failed(attempt, admission, &[], ruling).await
    }

    /// A key that signed what it was asked to.
    ///
    /// * `change`: what is kept of it from now on; in the same commit.
    pub async fn accept_key(
        &self,
        attempt: &Attempt,
        mut admission: Admission,
        person: &str,
        key: String,
        change: Change,
    ) -> Decision {
        admission.matched();
        let ruling = Ruling::new(Reason::SecurityKey).person(named(person)).detail(key);
        let Ok(reference) = Reference::draw() else { return self.without_random(&ruling) };
        let clock = &*self.tools.clock;
        let mut changes = admission.success_changes(clock);
        changes.push(change);
        match self.submit(&attempt.occasion, ruling, reference, None, changes).await {
            Submitted::Decided(decision) => {
                if decision.verdict == Verdict::Allow {
                    admission.succeed(clock);
                }
                decision
            }
            Submitted::Superseded { .. } | Submitted::Gone => {
                unreachable!("an entry without a claim cannot lose one")
            }
        }
    }
}

/// A person as records have him; his address tells nothing more there.
fn named(login: &str) -> Option<Identity> {
    Some(Identity { login: login.to_owned(), email: None })
}
