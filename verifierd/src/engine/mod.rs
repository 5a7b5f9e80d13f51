//! Checks one-time passwords and makes their claims.
//!
//! A try is admitted by the throttles, matched against the user's tokens, and claimed in the ledger, which
//! alone decides whether it was the first. No lock is held while hashing or waiting. Every decision is
//! recorded in the commit of its claim or its failure count, before it is told.

mod app;
mod decision;
mod evaluation;
mod expected;
mod grace;
mod hardware;
mod issued;
mod key;
mod occasion;
mod person;
mod recent;
mod recovery;
mod refusal;
mod source;
mod telling;
pub mod throttle;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use ledger::{Change, Claim, ClaimId, Entry, Ledger, Outcome, Refusal};
use wire::login::Verdict;
use zeroize::Zeroizing;

pub use decision::{Decision, Judgement, Ruling, verdict_of};
pub use evaluation::TOTP_REACH;
pub use expected::{Claimed, Looked, Typed};
pub use hardware::{Association, Resynchronization};
pub use occasion::Occasion;
pub use recent::{Recent, RequestKey};
pub use recovery::LastCode;
pub use source::Source;

use crate::access::Requests;
use crate::accounts::{
    Accounts, Actor, ChangeError, Edit, EditedClaim, Hot, ProvedApp, RecoveryCode, Steward, Token,
    TokenState, Unlocking, User, UserName,
};
use crate::audit::witness::Witness;
use crate::audit::{self, AuditRecord, Reason, Reference, rfc3339};
use crate::clock::Clock;
use crate::config::Config;
use crate::expiry::Table;
use crate::notify::Notifier;
use evaluation::{Finding, Found, Situation, evaluate_all, replayed_counter, replayed_step};
use telling::Telling;
use throttle::{Admission, Ban, Refused, Subject, Throttles, Whose};

/// What the daemon counted since its start.
#[derive(Debug, Default)]
pub struct Counters {
    /// Codes compared with tokens.
    pub codes_evaluated: AtomicU64,
    /// Logins accepted.
    pub accepted: AtomicU64,
    /// Logins refused.
    pub refused: AtomicU64,
}

impl Counters {
    fn count_evaluated(&self) {
        self.codes_evaluated.fetch_add(1, Ordering::Relaxed);
    }

    fn count(&self, decision: &Decision) {
        let counter = match decision.verdict {
            Verdict::Allow | Verdict::NotRequired => &self.accepted,
            Verdict::Deny | Verdict::Unavailable | Verdict::Unknown => &self.refused,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Checks and claims.
#[derive(Debug)]
pub struct Engine {
    tools: Tools,
    counters: Counters,
    /// By token: what was told of its used codes.
    refusals: Table<Telling>,
}

/// What an engine works with.
#[derive(Debug)]
pub struct Tools {
    /// Where claims become durable.
    pub ledger: Arc<dyn Ledger>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Users and tokens.
    pub accounts: Arc<Accounts>,
    /// Makes the claims that change a token's record.
    pub steward: Arc<Steward>,
    /// Slows guesses.
    pub throttles: Arc<Throttles>,
    /// The present configuration.
    pub config: Arc<ArcSwap<Config>>,
    /// Tells people.
    pub notifier: Arc<Notifier>,
    /// Whether nothing may be decided.
    pub witness: Arc<Witness>,
    /// Passwords that were issued on request.
    pub requests: Arc<Requests>,
    /// Stands in for the token that an unknown user does not have, so that his code costs the same work.
    pub nobody: Arc<Token>,
}

/// A code that was typed.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// What for.
    pub occasion: Occasion,
    /// The request that carries it; names the claim.
    pub request: RequestKey,
    /// Whose it is said to be, if Postern knows him.
    pub user: Option<Arc<User>>,
    /// What was typed.
    pub typed: Zeroizing<String>,
}

/// States in which a token lets its user in.
const LOGIN_STATES: [TokenState; 2] = [TokenState::Assigned, TokenState::Associated];

/// States in which a token proves that its user is himself.
const PROOF_STATES: [TokenState; 1] = [TokenState::Associated];

/// Among what a code is looked for.
struct Among<'a> {
    tokens: &'a [Arc<Token>],
    /// The states in which a token decides.
    permitted: &'a [TokenState],
    /// Whether recovery codes count too.
    recovery_codes: bool,
}

/// What a decision writes.
enum Write {
    /// The claim alone.
    Plain(Claim),
    /// A change of the token's record too.
    Edited { token: Arc<Token>, edit: Edit, claim: Claim },
    /// New recovery codes too.
    NewCodes { name: UserName, codes: Vec<RecoveryCode>, claim: Claim },
    /// No claim, but a new app with what its first code used up.
    App { token: Arc<Token>, value: u64 },
}

/// The code of a moving factor, about to be claimed.
struct Candidate<'a> {
    token: &'a Arc<Token>,
    to: u64,
    ruling: Ruling,
    edit: Option<Edit>,
}

impl Engine {
    /// An engine.
    pub fn new(tools: Tools) -> Self {
        Self { tools, counters: Counters::default(), refusals: Table::new("refusals") }
    }

    /// What was counted since the start.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Who tells people.
    pub fn notifier(&self) -> &Notifier {
        &self.tools.notifier
    }

    /// Decides about a code typed at a login.
    ///
    /// * `admission`: what the throttles gave a first look at this code, if there was one.
    pub async fn verify(&self, attempt: Attempt, admission: Option<Admission>) -> Judgement {
        let tokens = attempt.user.as_ref().map_or(&[][..], |user| &user.tokens);
        let among = Among { tokens, permitted: &LOGIN_STATES, recovery_codes: true };
        self.judge(&attempt, among, admission).await
    }

    /// Decides whether a user who acts for himself holds one of his tokens. The code is used up. Recovery codes do
    /// not count: who finds one could make ten of it.
    pub async fn prove(&self, attempt: Attempt) -> Decision {
        let tokens = attempt.user.as_ref().map_or(&[][..], |user| &user.tokens);
        let among = Among { tokens, permitted: &PROOF_STATES, recovery_codes: false };
        match self.judge(&attempt, among, None).await {
            Judgement::Decided(decision) | Judgement::NextCode { decision, .. } => decision,
            Judgement::LastRecoveryCode => unreachable!("no recovery codes are looked at"),
        }
    }

    async fn judge(&self, attempt: &Attempt, among: Among<'_>, admission: Option<Admission>) -> Judgement {
        let Among { tokens: own, permitted, recovery_codes } = among;
        if let Some(decision) = self.standing_still(&attempt.occasion).await {
            return Judgement::Decided(decision);
        }
        let mut admission = match admission {
            Some(admission) => admission,
            None => match self.admit(attempt) {
                Ok(admission) => {
                    self.counters.count_evaluated();
                    admission
                }
                Err(refused) => return Judgement::Decided(self.throttled(&attempt.occasion, refused).await),
            },
        };
        let code = recovery_codes.then(|| RecoveryCode::from_typed(&attempt.typed)).flatten();
        if let Some(code) = code {
            return self.verify_recovery(attempt, admission, &code).await;
        }
        let nobody = std::slice::from_ref(&self.tools.nobody);
        let tokens = if own.is_empty() { nobody } else { own };
        let found = evaluate_all(tokens, &attempt.typed, permitted, self.situation());
        let Found { token, finding, .. } = found.expect("at least nobody's token was looked at");
        if own.is_empty() {
            // Whatever the stand-in's token says means nothing.
            let reason = if attempt.user.is_some() { Reason::TokenMissing } else { Reason::UnknownUser };
            return Judgement::Decided(self.failed(attempt, admission, own, Ruling::new(reason)).await);
        }
        match finding {
            Finding::Candidate { to, detail, time_drift: _ } => {
                admission.matched();
                Judgement::Decided(self.accept(attempt, admission, &token, to, detail).await)
            }
            Finding::OutOfStep { detail } => self.out_of_step(attempt, admission, &token, detail).await,
            Finding::Ruled(ruling) => Judgement::Decided(match ruling.reason {
                Reason::Quarantined | Reason::Replayed => {
                    self.refuse_again(&attempt.occasion, &token, ruling).await
                }
                _ => self.failed(attempt, admission, &charged(own, attempt, &ruling), ruling).await,
            }),
        }
    }

    /// A right code of a token that a user may log in with; his first one associates it.
    async fn accept(
        &self,
        attempt: &Attempt,
        admission: Admission,
        token: &Arc<Token>,
        to: u64,
        detail: String,
    ) -> Decision {
        let first = attempt.occasion.is_login() && token.record.state == TokenState::Assigned;
        let reason = if first { Reason::Activated } else { Reason::Accepted };
        let name = attempt.user.as_ref().map(|user| user.name.clone());
        let edit = first.then_some(Edit { associate: name, ..Edit::default() });
        let ruling = Ruling::new(reason).token(&token.record.serial).detail(detail);
        self.claim(attempt, admission, Candidate { token, to, ruling, edit }).await
    }

    /// Records a decision that no code decided.
    pub async fn record(&self, occasion: &Occasion, ruling: Ruling) -> Decision {
        let Ok(reference) = Reference::draw() else { return self.without_random(&ruling) };
        match self.submit(occasion, ruling, reference, None, Vec::new()).await {
            Submitted::Decided(decision) => decision,
            Submitted::Superseded { .. } | Submitted::Gone => {
                unreachable!("an entry without a claim cannot lose one")
            }
        }
    }

    /// Lets a user try again: clears his counts of wrong codes and enables what they had disabled.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub async fn unlock(&self, name: UserName, by: Actor) -> Result<Unlocking, ChangeError> {
        let user = self.tools.accounts.find(&name);
        let user = user.ok_or_else(|| ChangeError::NoSuchUser { name: name.clone() })?;
        let counts = self.tools.throttles.counts_of(Subject::User(user.id));
        let unlocking = self.tools.steward.unlock(name, counts, by).await?;
        self.tools.throttles.clear(Subject::User(user.id));
        Ok(unlocking)
    }

    /// Who has to wait at the present, the longest wait first.
    pub fn bans(&self) -> Vec<Ban> {
        self.tools.throttles.bans(&*self.tools.clock)
    }

    /// Ends a wait, whichever has this id; whose it was, or none where there is none.
    ///
    /// # Errors
    /// Where the store does not take it. The wait is over all the same, until the next start.
    pub async fn lift_ban(&self, id: &str, by: &Actor) -> Result<Option<Whose>, ChangeError> {
        let reference = Reference::draw()?;
        let at = rfc3339(self.tools.clock.now());
        let submitted = self.tools.throttles.lift(id, |whose, change| {
            let record = AuditRecord {
                at,
                event: "ban_lifted".into(),
                reason: "administrator".into(),
                user: whose.user.clone(),
                host: whose.host.clone(),
                rhost: whose.place.clone(),
                actor: Some(by.name.clone()),
                ..AuditRecord::default()
            };
            let audit = Some(audit::entry(&record, reference));
            (whose, self.tools.ledger.submit(Entry { claim: None, changes: vec![change], audit }))
        });
        let Some((whose, pending)) = submitted else { return Ok(None) };
        match pending.await {
            Outcome::Committed => Ok(Some(whose)),
            outcome => Err(ChangeError::NotStored { outcome }),
        }
    }

    /// The answer to whoever types a code while nothing may be decided, at whatever surface.
    async fn standing_still(&self, occasion: &Occasion) -> Option<Decision> {
        if !self.tools.witness.is_behind() {
            return None;
        }
        Some(self.record(occasion, Ruling::new(Reason::StoreBehind)).await)
    }

    fn admit(&self, attempt: &Attempt) -> Result<Admission, Refused> {
        let unknown = || Subject::Unknown(&attempt.occasion.login.user);
        let subject = attempt.user.as_ref().map_or_else(unknown, |user| Subject::User(user.id));
        let gate = attempt.user.as_ref().and_then(|user| user.hot()).map(Hot::gate);
        self.tools.throttles.admit(subject, attempt.occasion.source(), gate, &*self.tools.clock)
    }

    fn situation(&self) -> Situation {
        Situation {
            now: self.tools.clock.now(),
            look_ahead: self.tools.config.load().look_ahead,
            unclean: self.tools.accounts.quarantine.last(),
        }
    }

    async fn claim(&self, attempt: &Attempt, admission: Admission, candidate: Candidate<'_>) -> Decision {
        let Candidate { token, to, ruling, edit } = candidate;
        let (reason, serial) = (ruling.reason, token.record.serial.clone());
        let claim = Claim { credential: token.credential(), to, id: ClaimId(attempt.request) };
        let mut changes = admission.success_changes(&*self.tools.clock);
        let failures = token.failures();
        if failures > 0 {
            changes.push(token.put_failures(0));
        }
        let write = match edit {
            Some(edit) => Write::Edited { token: Arc::clone(token), edit, claim },
            None => Write::Plain(claim),
        };
        let reference = Reference::of(attempt.request);
        let decision = match self.submit(&attempt.occasion, ruling, reference, Some(write), changes).await {
            Submitted::Decided(decision) => decision,
            Submitted::Superseded { value } => {
                token.set_value(value);
                return self.refuse_again(&attempt.occasion, token, self.replayed(token, to)).await;
            }
            Submitted::Gone => {
                let ruling = Ruling::new(Reason::TokenMissing).token(&serial);
                return self.record(&attempt.occasion, ruling).await;
            }
        };
        if decision.reason == reason {
            token.set_value(to);
            self.end_row(|| (token.clear_failures() > failures).then(|| token.put_failures(0))).await;
            admission.succeed(&*self.tools.clock);
        }
        decision
    }

    /// Ends a row of wrong codes in memory, in turn with those that count them: a wrong code that was written while
    /// the right one was on its way is forgotten by the ledger too, and one that comes after is by neither.
    async fn end_row(&self, clear: impl FnOnce() -> Option<Change>) {
        let pending = self.tools.throttles.in_order(|| {
            clear()
                .map(|change| self.tools.ledger.submit(Entry { changes: vec![change], ..Entry::default() }))
        });
        if let Some(pending) = pending {
            pending.await;
        }
    }

    async fn submit(
        &self,
        occasion: &Occasion,
        ruling: Ruling,
        reference: Reference,
        write: Option<Write>,
        changes: Vec<Change>,
    ) -> Submitted {
        let record = ruling.record(occasion, self.tools.clock.now());
        let audit = audit::entry(&record, reference);
        let (ledger, steward) = (&self.tools.ledger, &self.tools.steward);
        let outcome = match write {
            None => ledger.submit(Entry { claim: None, changes, audit: Some(audit) }).await,
            Some(Write::Plain(claim)) => {
                ledger.submit(Entry { claim: Some(claim), changes, audit: Some(audit) }).await
            }
            Some(Write::Edited { token, edit, claim }) => {
                steward.claim(EditedClaim { token, edit, claim, changes, audit }).await
            }
            Some(Write::NewCodes { name, codes, claim }) => {
                steward.claim_with_new_codes(name, codes, claim, changes, audit).await
            }
            Some(Write::App { token, value }) => steward.add_app(ProvedApp { token, value, audit }).await,
        };
        match outcome {
            Outcome::NotCommitted(Refusal::Superseded { value, .. }) => Submitted::Superseded { value },
            Outcome::NotCommitted(Refusal::NoSuchCredential) => Submitted::Gone,
            outcome => {
                if outcome == Outcome::Committed && ruling.reason != Reason::Accepted {
                    self.tools.notifier.tell(&AuditRecord { reference: reference.to_string(), ..record });
                }
                Submitted::Decided(self.told(occasion, settle(ruling, &outcome), reference))
            }
        }
    }

    fn told(&self, occasion: &Occasion, ruling: Ruling, reference: Reference) -> Decision {
        let decision = occasion.told(ruling.decided(reference));
        self.counters.count(&decision);
        let login = &occasion.login;
        tracing::info!(
            verdict = ?decision.verdict, reason = decision.reason.word(), detail = decision.detail,
            rule = occasion.rule(), host = login.host.as_ref().map(|host| host.name.as_str()), user = ?login.user, service = ?login.service, rhost = ?login.rhost,
            tty = ?login.tty, %reference,
            "decided"
        );
        decision
    }

    /// A decision that could not even be named: never an accept.
    fn without_random(&self, ruling: &Ruling) -> Decision {
        tracing::error!(reason = ruling.reason.word(), "the kernel gave no random bytes: refused");
        self.counters.refused.fetch_add(1, Ordering::Relaxed);
        Ruling::new(Reason::Busy).decided(Reference::of([0; 16]))
    }

    /// The decision about a code whose work ended without one: never an accept.
    pub fn undecided(&self) -> Decision {
        tracing::error!("the work on a code ended without a verdict: refused");
        self.counters.refused.fetch_add(1, Ordering::Relaxed);
        Ruling::new(Reason::Busy).decided(Reference::of([0; 16]))
    }

    /// The ruling about a claim that another one has overtaken.
    fn replayed(&self, token: &Token, to: u64) -> Ruling {
        match token.steps() {
            Some(steps) => replayed_step(token, steps, to, self.situation()),
            None => replayed_counter(token, to.saturating_sub(1)),
        }
    }
}

/// The tokens against which a wrong code counts: those it could have been a code of, as far as its length
/// tells; all when it is no code at all.
fn charged(own: &[Arc<Token>], attempt: &Attempt, ruling: &Ruling) -> Vec<Arc<Token>> {
    let fits = |token: &&Arc<Token>| {
        ruling.reason == Reason::Malformed
            || otp_core::OtpValue::from_typed(&attempt.typed, token.parameters.digits).is_ok()
    };
    own.iter().filter(fits).cloned().collect()
}

enum Submitted {
    Decided(Decision),
    Superseded { value: u64 },
    Gone,
}

/// What a ruling becomes when the ledger did not take it.
fn settle(ruling: Ruling, outcome: &Outcome) -> Ruling {
    let reason = match outcome {
        Outcome::Committed => return ruling,
        Outcome::NotCommitted(Refusal::StorageFull) => Reason::StorageFull,
        Outcome::NotCommitted(Refusal::Busy | Refusal::Closed) => Reason::Busy,
        Outcome::NotCommitted(
            Refusal::CredentialExists
            | Refusal::Superseded { .. }
            | Refusal::NoSuchCredential
            | Refusal::OutOfBounds,
        )
        | Outcome::Unknown => Reason::OutcomeUnknown,
    };
    Ruling { reason, wait: None, recovery_codes_left: None, ..ruling }
}

#[cfg(test)]
mod tests;
