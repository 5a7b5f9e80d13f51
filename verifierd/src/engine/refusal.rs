//! Refusals: what is counted, what is recorded, and what is told once for many.

use std::sync::Arc;
use std::time::Duration;

use ledger::{Change, Entry, Outcome};
use tokio::sync::watch;

use super::telling::{Repeat, Telling};
use super::{Attempt, Decision, Engine, Judgement, Occasion, Ruling, settle};
use crate::access::Waiting;
use crate::accounts::{RecoverySet, Token};
use crate::audit::{self, AuditRecord, Reason, Reference, rfc3339};
use crate::engine::throttle::{Admission, Refused, Sprayed};
use crate::expiry::{Fate, Figures, Swept};

/// Refusals that no record has told yet are kept as long as the daemon runs; others this long.
const FORGET_AFTER: Duration = Duration::from_secs(2);

/// What a wrong code changes.
#[derive(Default)]
pub(super) struct Counted {
    pub changes: Vec<Change>,
    /// That it was the last one.
    pub note: Option<String>,
}

impl Engine {
    /// Forgets up to `most` refusals of used codes that nobody needs to be told of.
    pub fn sweep(&self, most: usize) -> Swept {
        let now = self.tools.clock.elapsed();
        let fate = |telling: &mut Telling| match telling.is_over(now) {
            true => Fate::Forget,
            false => Fate::Keep(now + FORGET_AFTER),
        };
        let swept = self.refusals.sweep(now, most, fate, |_| ());
        self.refusals.took(self.tools.clock.elapsed().saturating_sub(now));
        swept
    }

    /// What was counted about refusals of used codes, and about the throttles.
    pub fn tables(&self) -> [Figures; 2] {
        [self.refusals.figures(), self.tools.throttles.figures()]
    }

    /// A wrong code: counts it everywhere. The last failure that a token may have disables it.
    ///
    /// * `charged`: the tokens against which it counts.
    pub(super) async fn failed(
        &self,
        attempt: &Attempt,
        admission: Admission,
        charged: &[Arc<Token>],
        ruling: Ruling,
    ) -> Decision {
        let mut disabled = Vec::new();
        let charged = if admission.is_charged() { charged } else { &[] };
        let count = || {
            let mut changes = Vec::with_capacity(charged.len());
            for token in charged {
                let was_locked = token.is_locked();
                changes.push(token.put_failures(token.add_failure()));
                if token.is_locked() && !was_locked {
                    disabled.push(token);
                }
            }
            let note = (!disabled.is_empty()).then(|| {
                format!("failure {} in a row: the token is disabled from now on", disabled[0].failures())
            });
            Counted { changes, note }
        };
        let decision = self.count_failure(attempt, admission, ruling, count).await;
        for token in disabled {
            self.disable(token).await;
        }
        decision
    }

    /// Refuses whatever was typed, and counts it as a wrong code is counted: neither the answer nor the throttles tell
    /// that nobody looked at it. But where no rule could be decided, nobody is to blame but a name service that is away:
    /// that counts for nothing, or all who tried meanwhile would have to wait when it is back.
    ///
    /// * `admission`: what the throttles gave already, if they were asked.
    pub async fn refuse_whatever(
        &self,
        attempt: Attempt,
        admission: Option<Admission>,
        ruling: Ruling,
    ) -> Decision {
        let admission = match admission {
            Some(admission) => admission,
            None => match self.admit(&attempt) {
                Ok(admission) => admission,
                Err(refused) => return self.throttled(&attempt.occasion, refused).await,
            },
        };
        if ruling.reason == Reason::RuleUndecidable {
            let decision = self.record(&attempt.occasion, ruling).await;
            // Until here it was one of those in flight, of which there may be so many.
            drop(admission);
            return decision;
        }
        self.failed(&attempt, admission, &[], ruling).await
    }

    /// A wrong recovery code: counts against the set, if there is one.
    pub(super) async fn failed_recovery(
        &self,
        attempt: &Attempt,
        admission: Admission,
        set: Option<&RecoverySet>,
        ruling: Ruling,
    ) -> Decision {
        let set = set.filter(|_| admission.is_charged());
        let count = || {
            let changes = set.map(|set| set.put_failures(set.add_failure())).into_iter().collect();
            let locked = set.is_some_and(|set| set.is_locked());
            Counted { changes, note: locked.then(|| "the recovery codes are disabled from now on".into()) }
        };
        self.count_failure(attempt, admission, ruling, count).await
    }

    /// A wrong issued password: counts against those that wait at the place.
    pub(super) async fn failed_waiting(
        &self,
        attempt: &Attempt,
        admission: Admission,
        ruling: Ruling,
        waiting: &Waiting,
    ) -> Decision {
        let count = || {
            let (changes, note) = waiting.count_wrong();
            Counted { changes, note }
        };
        self.count_failure(attempt, admission, ruling, count).await
    }

    /// `count` runs while the counts of this try are in order.
    pub(super) async fn count_failure(
        &self,
        attempt: &Attempt,
        admission: Admission,
        ruling: Ruling,
        count: impl FnOnce() -> Counted,
    ) -> Decision {
        let Ok(reference) = Reference::draw() else { return self.without_random(&ruling) };
        let clock = &*self.tools.clock;
        let admission = admission.named(attempt.occasion.whose());
        let (pending, ruling) = admission.fail(clock, |mut changes| {
            let counted = count();
            changes.extend(counted.changes);
            let ruling = match counted.note {
                Some(note) => ruling.detail(note),
                None => ruling,
            };
            let audit = audit::entry(&ruling.record(&attempt.occasion, clock.now()), reference);
            (self.tools.ledger.submit(Entry { claim: None, changes, audit: Some(audit) }), ruling)
        });
        let outcome = pending.await;
        self.raise_alarms().await;
        self.told(&attempt.occasion, settle(ruling, &outcome), reference)
    }

    /// Tells of sources that began to be slowed: somebody may be trying a few codes for each of many users.
    async fn raise_alarms(&self) {
        for Sprayed { whose, failures } in self.tools.throttles.take_sprayed() {
            let Ok(reference) = Reference::draw() else { return };
            let record = AuditRecord {
                at: rfc3339(self.tools.clock.now()),
                event: "guesses_from_one_source".into(),
                reason: "too_many_failures".into(),
                detail: Some(format!(
                    "{failures} wrong codes for users new to it: further ones have to wait"
                )),
                host: whose.host,
                rhost: whose.place,
                ..AuditRecord::default()
            };
            let audit = Some(audit::entry(&record, reference));
            let outcome = self.tools.ledger.submit(Entry { audit, ..Entry::default() }).await;
            if outcome == Outcome::Committed {
                tracing::warn!(host = record.host, rhost = record.rhost, %reference, "many wrong codes from one source");
                self.tools.notifier.tell(&AuditRecord { reference: reference.to_string(), ..record });
            }
        }
    }

    /// A code of a token that is out of step counts as a try that failed, and its next one is asked for.
    pub(super) async fn out_of_step(
        &self,
        attempt: &Attempt,
        admission: Admission,
        token: &Arc<Token>,
        detail: String,
    ) -> Judgement {
        let serial = token.record.serial.clone();
        let detail = match attempt.occasion.is_login() {
            true => format!("{detail}; its next code was asked for"),
            false => detail,
        };
        let ruling = Ruling::new(Reason::OutOfStep).token(&serial).detail(detail);
        let decision = self.failed(attempt, admission, std::slice::from_ref(token), ruling).await;
        if decision.reason == Reason::OutOfStep && !token.is_locked() {
            Judgement::NextCode { serial, decision }
        } else {
            Judgement::Decided(decision)
        }
    }

    /// The number of wrong codes has disabled the token; its record is to say so too. The user reads a
    /// refusal, like any guesser.
    async fn disable(&self, token: &Token) {
        let serial = &token.record.serial;
        tracing::warn!(serial, "token disabled after too many wrong codes");
        if let Err(error) = self.tools.steward.disable_after_wrong_codes(serial.clone()).await {
            tracing::warn!(serial, %error, "the token's record does not say yet that it is disabled");
        }
    }

    /// A used code, which is no guess and slows nobody: at most one record a second tells of a token's, so that
    /// sending it again and again fills no disk.
    pub(super) async fn refuse_again(&self, occasion: &Occasion, token: &Token, ruling: Ruling) -> Decision {
        let key = token.record.id.0.to_be_bytes();
        loop {
            let now = self.tools.clock.elapsed();
            let ask = |telling: &mut Telling| telling.ask(now);
            match self.refusals.enter(key, now + FORGET_AFTER, Telling::default, ask) {
                Repeat::Told(reference) => return self.refuse_as_told(occasion, ruling, reference),
                Repeat::Wait(waiting) => {
                    if let Some(reference) = recorded(waiting).await {
                        return self.refuse_as_told(occasion, ruling, reference);
                    }
                }
                Repeat::ToTell(duty) => {
                    let reason = ruling.reason;
                    let ruling = Ruling { repeats: Some(duty.repeats), ..ruling };
                    let decision = self.record(occasion, ruling).await;
                    // A record that is not in the ledger is told to nobody as if it were.
                    if decision.reason == reason {
                        let tell = |telling: &mut Telling| telling.tell(now, decision.reference, duty);
                        self.refusals.enter(key, now + FORGET_AFTER, Telling::default, tell);
                    }
                    return decision;
                }
            }
        }
    }

    /// A try that the throttles refused to look at: recorded once a second for each count that refuses.
    pub async fn throttled(&self, occasion: &Occasion, refused: Refused) -> Decision {
        let Refused { wait, key, mut repeat } = refused;
        let ruling = Ruling::new(Reason::Throttled).wait(wait);
        loop {
            match repeat {
                Repeat::Told(reference) => return self.refuse_as_told(occasion, ruling, reference),
                Repeat::Wait(waiting) => match recorded(waiting).await {
                    Some(reference) => return self.refuse_as_told(occasion, ruling, reference),
                    None => repeat = self.tools.throttles.ask_again(&key, &*self.tools.clock),
                },
                Repeat::ToTell(duty) => {
                    let ruling = Ruling { repeats: Some(duty.repeats), ..ruling };
                    let decision = self.record(occasion, ruling).await;
                    if decision.reason == Reason::Throttled {
                        self.tools.throttles.recorded(&key, decision.reference, duty, &*self.tools.clock);
                    }
                    return decision;
                }
            }
        }
    }

    fn refuse_as_told(&self, occasion: &Occasion, ruling: Ruling, reference: Reference) -> Decision {
        let decision = occasion.told(ruling.decided(reference));
        self.counters.count(&decision);
        decision
    }
}

/// The record that was on its way; none when it came to nothing.
async fn recorded(mut waiting: watch::Receiver<Option<Reference>>) -> Option<Reference> {
    waiting.wait_for(Option::is_some).await.ok().and_then(|reference| *reference)
}
