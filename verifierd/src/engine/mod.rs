//! Checks one-time passwords and makes their claims.
//!
//! A try is admitted by the throttles, matched against the token, and claimed in the ledger, which alone
//! decides whether it was the first. No lock is held while hashing or waiting. Every decision is recorded
//! in the commit of its claim or its failure count, before it is told.

mod decision;
mod recent;
mod source;
pub mod throttle;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ledger::{Change, Claim, ClaimId, Entry, Ledger, Outcome, Refusal};
use otp_core::matching::{Match, TotpWindow, find_totp, match_totp};
use otp_core::{OtpValue, ThrottleRules};

pub use decision::{Decision, Ruling, verdict_of};
pub use recent::{Recent, RequestKey};
pub use source::Source;

use crate::accounts::{Repeat, Token, TokenState, User, disable, put_failures};
use crate::audit::{self, AuditRecord, Reason, Reference};
use crate::clock::{Clock, UnixTime};
use crate::login::Login;
use throttle::{Admission, Refused, Subject, Throttles};

/// Time steps tried each way. One: RFC 6238 §5.2 recommends to allow at most one step of delay.
const DRIFT_WINDOW: u8 = 1;

/// How far a wrong code is looked for, so that the record can say how wrong the clock is: five minutes.
const DIAGNOSIS_REACH: u32 = 10;

/// How often a login without a code tries again when another took its number: as many as come at once.
const GRACE_TRIES: u32 = 32;

/// What the daemon counted since its start.
#[derive(Debug, Default)]
pub struct Counters {
    /// Codes compared with a token.
    pub codes_evaluated: AtomicU64,
    /// Logins accepted.
    pub accepted: AtomicU64,
    /// Logins refused.
    pub refused: AtomicU64,
}

/// Checks and claims.
#[derive(Debug)]
pub struct Engine {
    ledger: Arc<dyn Ledger>,
    clock: Arc<dyn Clock>,
    throttles: Arc<Throttles>,
    /// After an unclean stop: codes that were admissible at this moment may have been used.
    quarantined_at: Option<UnixTime>,
    /// Stands in for the token that an unknown user does not have, so that his code costs the same work.
    nobody: Arc<Token>,
    counters: Counters,
}

/// A code that was typed for a user's token.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The login it is for.
    pub login: Login,
    /// The request that carries it; names the claim.
    pub request: RequestKey,
    /// Whose it is said to be, if Postern knows him.
    pub user: Option<Arc<User>>,
    /// What was typed.
    pub typed: zeroize::Zeroizing<String>,
}

impl Engine {
    /// An engine.
    ///
    /// * `nobody`: a token that belongs to nobody, see [`Token::of_nobody`].
    /// * `quarantined_at`: the moment of a start after an unclean stop.
    pub fn new(
        ledger: Arc<dyn Ledger>,
        clock: Arc<dyn Clock>,
        throttles: Arc<Throttles>,
        nobody: Token,
        quarantined_at: Option<UnixTime>,
    ) -> Self {
        Self {
            ledger,
            clock,
            throttles,
            quarantined_at,
            nobody: Arc::new(nobody),
            counters: Counters::default(),
        }
    }

    /// What was counted since the start.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Decides about a typed code.
    pub async fn verify(&self, attempt: Attempt) -> Decision {
        let unknown = || Subject::Unknown(&attempt.login.user);
        let subject = attempt.user.as_ref().map_or_else(unknown, |user| Subject::User(user.id));
        let admission = match self.throttles.admit(subject, &attempt.login.source(), &*self.clock) {
            Ok(admission) => admission,
            Err(refused) => return self.throttled(&attempt.login, refused).await,
        };
        self.counters.codes_evaluated.fetch_add(1, Ordering::Relaxed);
        let own = attempt.user.as_ref().and_then(|user| user.token.as_ref());
        let token = own.unwrap_or(&self.nobody);
        let evaluation = self.evaluate(token, &attempt.typed);
        match (evaluation, own) {
            (Evaluation::Candidate { step }, Some(token)) => {
                self.claim(&attempt, admission, token, step).await
            }
            (Evaluation::Ruled(ruling), Some(token)) => match ruling.reason {
                Reason::Quarantined | Reason::Replayed => {
                    self.refuse_again(&attempt.login, token, ruling).await
                }
                _ => self.failed(&attempt, admission, token, ruling).await,
            },
            // Whatever the stand-in's token says means nothing.
            (Evaluation::Candidate { .. } | Evaluation::Ruled(_), None) => {
                let reason = if attempt.user.is_some() { Reason::TokenMissing } else { Reason::UnknownUser };
                self.failed(&attempt, admission, token, Ruling::new(reason)).await
            }
        }
    }

    /// Records a decision that no code decided.
    pub async fn record(&self, login: &Login, ruling: Ruling) -> Decision {
        let Ok(reference) = Reference::draw() else { return self.without_random(&ruling) };
        match self.submit(login, ruling, reference, None, Vec::new()).await {
            Submitted::Decided(decision) => decision,
            Submitted::Superseded { .. } | Submitted::Gone => {
                unreachable!("an entry without a claim cannot lose one")
            }
        }
    }

    /// Uses up one of the logins that a user has before he needs a code.
    ///
    /// * `may`: whether the token still leaves one; asked again after each claim that another login won.
    pub async fn claim_grace(
        &self,
        login: &Login,
        request: RequestKey,
        token: &Token,
        may: impl Fn(&Token) -> bool,
    ) -> Decision {
        let serial = &token.record.serial;
        for _ in 0..GRACE_TRIES {
            if !may(token) {
                return self.record(login, Ruling::new(Reason::GraceOver).token(serial)).await;
            }
            let next = token.grace_used() + 1;
            let claim =
                Claim { credential: token.record.id.grace_credential(), to: next, id: ClaimId(request) };
            let ruling =
                Ruling::new(Reason::Grace).token(serial).detail(format!("login {next} without a code"));
            let reference = Reference::of(request);
            match self.submit(login, ruling, reference, Some(claim), Vec::new()).await {
                Submitted::Decided(decision) => {
                    if decision.reason == Reason::Grace {
                        token.set_grace_used(next);
                    }
                    return decision;
                }
                Submitted::Superseded { value } => token.set_grace_used(value),
                Submitted::Gone => {
                    return self.record(login, Ruling::new(Reason::GraceOver).token(serial)).await;
                }
            }
        }
        self.record(login, Ruling::new(Reason::Busy).token(serial)).await
    }

    fn evaluate(&self, token: &Token, typed: &str) -> Evaluation {
        let ruled = |ruling: Ruling| Evaluation::Ruled(ruling.token(&token.record.serial));
        let Ok(typed) = OtpValue::from_typed(typed, token.parameters.digits) else {
            return ruled(Ruling::new(Reason::Malformed));
        };
        let Ok(now_step) = token.steps.step_at(self.clock.now()) else {
            return ruled(
                Ruling::new(Reason::WrongCode)
                    .detail("the clock stands before the token's first step".into()),
            );
        };
        let last = token.last_accepted();
        let floor = self.quarantine_floor(token);
        let window = TotpWindow {
            current_step: now_step,
            drift_window: DRIFT_WINDOW,
            time_drift: 0,
            last_accepted: Some(last.max(floor)),
        };
        let matched = match_totp(&token.key, &typed, &window);
        let offset = find_totp(&token.key, &typed, now_step, DIAGNOSIS_REACH);
        if token.state() == TokenState::Disabled {
            return ruled(Ruling::new(Reason::TokenDisabled));
        }
        match matched {
            Match::Accepted { factor } => Evaluation::Candidate { step: factor },
            // The claim of this very request may stand in the ledger: its retry is an accept, all else is not.
            Match::Replayed { factor } if factor == last => Evaluation::Candidate { step: factor },
            Match::Replayed { factor } if factor > last => ruled(
                Ruling::new(Reason::Quarantined)
                    .detail("the code may have been used before the unclean stop".into())
                    .wait(self.until_step(token, floor + 1)),
            ),
            Match::Replayed { factor } => ruled(self.replayed(token, factor)),
            Match::NoMatch => {
                let detail = offset.map(|offset| describe_offset(token, offset));
                ruled(Ruling { detail, ..Ruling::new(Reason::WrongCode) })
            }
        }
    }

    async fn claim(&self, attempt: &Attempt, admission: Admission, token: &Token, step: u64) -> Decision {
        let activates = token.state() == TokenState::Assigned;
        let reason = if activates { Reason::Activated } else { Reason::Accepted };
        let claim =
            Claim { credential: token.record.id.credential(), to: step, id: ClaimId(attempt.request) };
        let mut changes = admission.success_changes(&*self.clock);
        if activates {
            changes.push(token.record.with_state(TokenState::Associated).put());
            // Whoever is about to go on without a code finds nothing left to claim.
            changes.push(Change::RemoveCredential { credential: token.record.id.grace_credential() });
        }
        if token.failures() > 0 {
            changes.push(put_failures(token.record.id, 0));
        }
        let serial = &token.record.serial;
        let ruling = Ruling::new(reason).token(serial).detail(format!("step {step}"));
        let reference = Reference::of(attempt.request);
        let decision = match self.submit(&attempt.login, ruling, reference, Some(claim), changes).await {
            Submitted::Decided(decision) => decision,
            Submitted::Superseded { value } => {
                token.set_last_accepted(value);
                let ruling = self.replayed(token, step).token(serial);
                return self.refuse_again(&attempt.login, token, ruling).await;
            }
            Submitted::Gone => {
                return self.record(&attempt.login, Ruling::new(Reason::TokenMissing).token(serial)).await;
            }
        };
        if decision.reason == reason {
            token.set_last_accepted(step);
            token.set_state(TokenState::Associated);
            token.clear_failures();
            admission.succeed(&*self.clock);
        }
        decision
    }

    /// A wrong code: counts it everywhere, and ends the token's life at the last failure it may have.
    async fn failed(
        &self,
        attempt: &Attempt,
        admission: Admission,
        token: &Token,
        ruling: Ruling,
    ) -> Decision {
        let Ok(reference) = Reference::draw() else { return self.without_random(&ruling) };
        let (pending, ruling, disables) = admission.fail(&*self.clock, |mut changes| {
            let count = token.add_failure();
            let disables = ThrottleRules::default().disables(count)
                && token.state() != TokenState::Disabled
                && !token.is_nobodys();
            let ruling = match disables {
                true => ruling.detail(format!("failure {count} in a row: the token is disabled from now on")),
                false => ruling,
            };
            changes.push(put_failures(token.record.id, count));
            if disables {
                changes.extend(disable(token));
            }
            let audit = audit::entry(&ruling.record(&attempt.login, self.clock.now()), reference);
            (self.ledger.submit(Entry { claim: None, changes, audit: Some(audit) }), ruling, disables)
        });
        let outcome = pending.await;
        if disables {
            token.set_state(TokenState::Disabled);
            self.report_disabled(&attempt.login.user, &token.record.serial).await;
        }
        self.told(&attempt.login, settle(ruling, &outcome), reference)
    }

    /// Tells administrators, once, in a record of its own and in the log. The user reads a refusal, like any
    /// guesser.
    async fn report_disabled(&self, user: &str, serial: &str) {
        tracing::warn!(serial, user, "token disabled after too many wrong codes");
        let Ok(reference) = Reference::draw() else { return };
        let record = AuditRecord {
            at: audit::rfc3339(self.clock.now()),
            event: "token_disabled".into(),
            reason: "too_many_failures".into(),
            user: Some(user.into()),
            token: Some(serial.into()),
            ..AuditRecord::default()
        };
        // The change itself is durable already, with its own record: this one only makes it easy to find.
        self.ledger.submit(Entry { audit: Some(audit::entry(&record, reference)), ..Entry::default() }).await;
    }

    /// A used code, which is no guess and slows nobody: at most one record a second tells of a token's, so that
    /// sending it again and again fills no disk.
    async fn refuse_again(&self, login: &Login, token: &Token, ruling: Ruling) -> Decision {
        let now = self.clock.elapsed();
        match token.repeated_refusal(now) {
            Repeat::Told(reference) => {
                self.counters.refused.fetch_add(1, Ordering::Relaxed);
                ruling.decided(reference)
            }
            Repeat::ToTell { repeats } => {
                let decision = self.record(login, Ruling { repeats: Some(repeats), ..ruling }).await;
                token.refusal_told(now, decision.reference);
                decision
            }
        }
    }

    async fn throttled(&self, login: &Login, refused: Refused) -> Decision {
        let ruling =
            Ruling { repeats: Some(refused.repeats), ..Ruling::new(Reason::Throttled).wait(refused.wait) };
        if let Some(reference) = refused.recorded {
            self.counters.refused.fetch_add(1, Ordering::Relaxed);
            return ruling.decided(reference);
        }
        let decision = self.record(login, ruling).await;
        self.throttles.recorded(&refused, decision.reference, &*self.clock);
        decision
    }

    async fn submit(
        &self,
        login: &Login,
        ruling: Ruling,
        reference: Reference,
        claim: Option<Claim>,
        changes: Vec<Change>,
    ) -> Submitted {
        let audit = Some(audit::entry(&ruling.record(login, self.clock.now()), reference));
        match self.ledger.submit(Entry { claim, changes, audit }).await {
            Outcome::NotCommitted(Refusal::Superseded { value, .. }) => Submitted::Superseded { value },
            Outcome::NotCommitted(Refusal::NoSuchCredential) => Submitted::Gone,
            outcome => Submitted::Decided(self.told(login, settle(ruling, &outcome), reference)),
        }
    }

    fn told(&self, login: &Login, ruling: Ruling, reference: Reference) -> Decision {
        let reason = ruling.reason.word();
        let detail = ruling.detail.clone();
        let decision = ruling.decided(reference);
        let counter = match decision.verdict {
            wire::login::Verdict::Allow | wire::login::Verdict::NotRequired => &self.counters.accepted,
            _ => &self.counters.refused,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        tracing::info!(
            verdict = ?decision.verdict, reason, detail, user = ?login.user, service = ?login.service,
            rhost = ?login.rhost, tty = ?login.tty, %reference, "decided"
        );
        decision
    }

    /// A decision that could not even be named: never an accept.
    fn without_random(&self, ruling: &Ruling) -> Decision {
        tracing::error!(reason = ruling.reason.word(), "the kernel gave no random bytes: refused");
        self.counters.refused.fetch_add(1, Ordering::Relaxed);
        Ruling::new(Reason::Busy).decided(Reference::of([0; 16]))
    }

    /// The newest step that may have been used before an unclean stop; 0 after a clean one.
    fn quarantine_floor(&self, token: &Token) -> u64 {
        self.quarantined_at
            .and_then(|at| token.steps.step_at(at).ok())
            .map_or(0, |step| step.saturating_add(u64::from(DRIFT_WINDOW)))
    }

    fn replayed(&self, token: &Token, step: u64) -> Ruling {
        let last = token.last_accepted().max(step);
        let next = last.saturating_add(1).max(self.quarantine_floor(token).saturating_add(1));
        let age = self.clock.now().saturating_sub(token.steps.start_of(step));
        Ruling::new(Reason::Replayed)
            .detail(format!("step {step}, which began {age} s ago; step {last} was accepted"))
            .wait(self.until_step(token, next))
    }

    /// How long until the authenticator shows the code of `step`; at least a second, for people.
    fn until_step(&self, token: &Token, step: u64) -> Duration {
        Duration::from_secs(token.steps.start_of(step).saturating_sub(self.clock.now()).max(1))
    }
}

fn describe_offset(token: &Token, offset: i64) -> String {
    let seconds = offset.saturating_mul(i64::from(token.parameters.time_interval.seconds()));
    format!("clock {seconds:+} s")
}

enum Evaluation {
    /// The code of a step that may be claimed.
    Candidate { step: u64 },
    /// Decided without a claim.
    Ruled(Ruling),
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
    Ruling { reason, wait: None, ..ruling }
}

#[cfg(test)]
mod tests;
