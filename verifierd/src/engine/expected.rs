//! The usual case: a proved token's user types the code that it is expected to show, for the first time.
//!
//! It is decided with few allocations and without a task of its own, and ends as every accept does: admitted by the
//! throttles, claimed in the ledger, recorded in the commit of the claim. Whatever is not like this is left undecided
//! here, and goes the long way.

use std::sync::Arc;

use ledger::{AuditEntry, Claim, ClaimId, Entry, Outcome, Pending, Refusal};

use super::evaluation::describe_claim;
use super::throttle::{Admission, Refused, Subject};
use super::{Decision, Engine, RequestKey, Ruling, Source, settle};
use crate::accounts::User;
use crate::audit::{AcceptedLogin, Reason, Reference};
use crate::hosts::HostIdentity;

/// A code and where it was typed.
#[derive(Clone, Copy)]
pub struct Typed<'a> {
    /// The account's name.
    pub user: &'a str,
    /// The PAM service.
    pub service: &'a str,
    /// At which host of the fleet, by its certificate; none elsewhere.
    pub host: Option<&'a HostIdentity>,
    /// Where from; absent when local.
    pub rhost: Option<&'a str>,
    /// The access rule that demands a code, where one does.
    pub rule: Option<&'a str>,
    /// What was typed.
    pub code: &'a str,
    /// The request that carries it; names the claim.
    pub request: RequestKey,
}

/// What came of the first look.
#[derive(Debug)]
pub enum Looked {
    /// The claim is on its way.
    Claimed(Claimed),
    /// The code is another one. It was looked at, so the long way goes on with this admission: one that were given back
    /// in between would let the next guess in before this one counts.
    Admitted(Admission),
    /// There was nothing to look at.
    Not,
}

/// A claim on its way.
#[derive(Debug)]
pub struct Claimed {
    pending: Pending,
    /// Where something was counted, or is to be.
    admission: Option<Admission>,
    user: Arc<User>,
    to: u64,
    reference: Reference,
}

impl Engine {
    /// Claims the code if it is the expected one.
    ///
    /// # Errors
    /// When the throttles refuse to look at it.
    pub fn claim_expected(&self, user: &Arc<User>, typed: Typed<'_>) -> Result<Looked, Refused> {
        let Some(hot) = user.hot() else { return Ok(Looked::Not) };
        let (throttles, clock) = (&self.tools.throttles, &*self.tools.clock);
        if hot.was_claimed_by(&typed.request) {
            // Its claim has an id of its own, under which the ledger knows it again.
            return Ok(Looked::Admitted(Admission::of_a_retry(throttles)));
        }
        let source = Source::new(typed.host.map(|host| host.id), typed.rhost);
        let glance = throttles.glance(user.id, hot.gate(), &source, clock);
        let mut admission = match &glance {
            Some(_) => None,
            None => Some(throttles.admit(Subject::User(user.id), &source, Some(hot.gate()), clock)?),
        };
        self.counters.count_evaluated();
        let situation = self.situation();
        let expected = hot.expectation().met_by(typed.code, situation.now, situation.unclean);
        // A hundred failures in a row disable a token, and a row that ends is written down: the long way.
        let expected = expected.filter(|_| hot.failures() == 0);
        let Some(to) = expected else {
            let admission = admission.or_else(|| glance.map(|glance| glance.admitted(clock)));
            return Ok(admission.map_or(Looked::Not, Looked::Admitted));
        };
        drop(glance);
        hot.note_claim(&typed.request);

        let reference = Reference::of(typed.request);
        let detail = describe_claim(hot.expectation().factor, to);
        let line = AcceptedLogin {
            user: typed.user,
            service: typed.service,
            host: typed.host.map(|host| host.name.as_str()),
            rhost: typed.rhost,
            rule: typed.rule,
            token: hot.serial(&user.tokens),
            detail: &detail,
        };
        let audit = AuditEntry { reference: reference.bytes(), body: line.body(situation.now) };
        let claim = Claim { credential: hot.credential(), to, id: ClaimId(typed.request) };
        let changes = admission.as_mut().map_or_else(Vec::new, |admission| {
            admission.matched();
            admission.success_changes(clock)
        });
        let pending = self.tools.ledger.submit(Entry { claim: Some(claim), changes, audit: Some(audit) });
        Ok(Looked::Claimed(Claimed { pending, admission, user: Arc::clone(user), to, reference }))
    }

    /// What became of the claim; `None` when another has overtaken it, which is for the long way to explain.
    pub async fn conclude(&self, claimed: Claimed) -> Option<Decision> {
        let Claimed { pending, admission, user, to, reference } = claimed;
        let hot = user.hot()?;
        let outcome = pending.await;
        match &outcome {
            Outcome::Committed => {
                hot.advance(to);
                if hot.failures() > 0 {
                    let token = &user.tokens[hot.place()];
                    self.end_row(|| (token.clear_failures() > 0).then(|| token.put_failures(0))).await;
                }
                if let Some(admission) = admission {
                    admission.succeed(&*self.tools.clock);
                }
            }
            Outcome::NotCommitted(Refusal::Superseded { value, .. }) => {
                hot.advance(*value);
                return None;
            }
            Outcome::NotCommitted(Refusal::NoSuchCredential) => return None,
            Outcome::NotCommitted(_) | Outcome::Unknown => {}
        }
        let ruling = Ruling::new(Reason::Accepted).token(hot.serial(&user.tokens));
        let decision = settle(ruling, &outcome).decided(reference);
        self.counters.count(&decision);
        Some(decision)
    }
}
