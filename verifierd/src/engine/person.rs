//! Login name and password of a person: what is asked before a password is issued to somebody of our own records, and the
//! whole of a secondary authentication.
//!
//! It is no one-time password: nothing is claimed. Tries count for the person, known or not, and for the place that they
//! come from; the user whose account it is has his own counts, which other people's guesses do not touch.

use std::sync::Arc;

use ledger::{Entry, Outcome};
use wire::login::Identity;

use super::refusal::Counted;
use super::throttle::{Admission, Subject};
use super::{Attempt, Decision, Engine, Occasion, Ruling, Submitted};
use crate::audit::{self, AuditRecord, Reason, Reference, rfc3339};
use crate::people::{Desk, People, PeopleError, Person, as_one_request};

/// Why somebody who gives a login name and a password is refused.
enum Refused {
    /// He is nobody, or it is another password.
    Password,
    /// It is his password, but not his account.
    Account,
}

fn refused(detail: &str) -> Ruling {
    Ruling::new(Reason::SecondaryRefused).detail(detail.into())
}

impl Engine {
    /// Who somebody is that gives a login name and, with `attempt`, a password.
    ///
    /// # Errors
    /// The decision that refuses him: he is nobody, may not use the account, has to wait, or nobody can tell.
    pub async fn identify(
        &self,
        attempt: &Attempt,
        login: &str,
        people: &People,
        desk: Desk,
    ) -> Result<(Arc<Person>, Admission), Decision> {
        let occasion = &attempt.occasion;
        if let Some(decision) = self.standing_still(occasion).await {
            return Err(decision);
        }
        let key = login.trim().to_ascii_lowercase();
        let throttles = &self.tools.throttles;
        let admitted = throttles.admit(Subject::Person(&key), occasion.source(), None, &*self.tools.clock);
        let admission = match admitted {
            Ok(admission) => admission,
            Err(wait) => return Err(self.throttled(occasion, wait).await),
        };
        match as_one_request(self.person_of(attempt, login, people, desk)).await {
            Ok(Ok(person)) => {
                self.end_row(|| people.roster().rows().end(person.id)).await;
                Ok((person, admission))
            }
            Ok(Err(Refused::Account)) => {
                let ruling = refused("this person may not use the account");
                Err(self.failed(attempt, admission, &[], ruling).await)
            }
            Ok(Err(Refused::Password)) => Err(self.failed_password(attempt, admission, login, people).await),
            Err(error) => {
                let ruling = Ruling::new(Reason::PeopleUnavailable).detail(error.to_string());
                Err(self.record(occasion, ruling).await)
            }
        }
    }

    /// A wrong password: counts against the person too, if it is one of our own records.
    async fn failed_password(
        &self,
        attempt: &Attempt,
        admission: Admission,
        login: &str,
        people: &People,
    ) -> Decision {
        let own = people.roster().by_login(login).filter(|_| admission.is_charged());
        let mut is_disabled = false;
        let count = || {
            let Some(own) = &own else { return Counted::default() };
            let (disables, change) = people.roster().rows().add(own.id);
            is_disabled = disables;
            let note = disables.then(|| "the password is disabled from now on".into());
            Counted { changes: vec![change], note }
        };
        let ruling = refused("no such person, or another password");
        let decision = self.count_failure(attempt, admission, ruling, count).await;
        if let Some(own) = own.filter(|_| is_disabled) {
            self.tell_of_disabled(own.login.as_str()).await;
        }
        decision
    }

    async fn tell_of_disabled(&self, login: &str) {
        let Ok(reference) = Reference::draw() else { return };
        let record = AuditRecord {
            at: rfc3339(self.tools.clock.now()),
            event: "person_password_disabled".into(),
            reason: "too_many_failures".into(),
            person: Some(login.into()),
            ..AuditRecord::default()
        };
        let audit = Some(audit::entry(&record, reference));
        if self.tools.ledger.submit(Entry { audit, ..Entry::default() }).await == Outcome::Committed {
            tracing::warn!(person = login, %reference, "password disabled after too many wrong ones");
            self.tools.notifier.tell(&AuditRecord { reference: reference.to_string(), ..record });
        }
    }

    /// The person, if it is one who may use the account; else why he is refused.
    async fn person_of(
        &self,
        attempt: &Attempt,
        login: &str,
        people: &People,
        desk: Desk,
    ) -> Result<Result<Arc<Person>, Refused>, PeopleError> {
        let Some(person) = people.check_password(login, &attempt.typed, desk).await? else {
            return Ok(Err(Refused::Password));
        };
        let Ok(account) = attempt.occasion.login.user_name() else {
            return Ok(Err(Refused::Account));
        };
        let may = people.may_use(person.id, &account).await?.is_some();
        Ok(if may { Ok(person) } else { Err(Refused::Account) })
    }

    /// A person whose password was right a while ago has shown a second factor too: his row of wrong passwords ends, and
    /// his place becomes usual, so that strangers elsewhere cannot slow him there. That is durable when this returns, or
    /// it is not so; either way he is in.
    pub async fn came_in(&self, occasion: &Occasion, login: &str) {
        let key = login.trim().to_ascii_lowercase();
        let throttles = &self.tools.throttles;
        let clock = &*self.tools.clock;
        let admission = throttles.of_proven(Subject::Person(&key), occasion.source(), clock);
        let changes = admission.success_changes(clock);
        let entry = Entry { changes, ..Entry::default() };
        if entry.changes.is_empty() || self.tools.ledger.submit(entry).await == Outcome::Committed {
            admission.succeed(clock);
        }
    }

    /// Decides a secondary authentication: a person who may use the account is let in.
    pub async fn verify_person(&self, attempt: Attempt, login: &str, people: &People) -> Decision {
        let (person, admission) = match self.identify(&attempt, login, people, Desk::Prompt).await {
            Ok(identified) => identified,
            Err(decision) => return decision,
        };
        let ruling = Ruling::new(Reason::Secondary).person(Some(Identity::from(&*person)));
        let Ok(reference) = Reference::draw() else { return self.without_random(&ruling) };
        let changes = admission.success_changes(&*self.tools.clock);
        match self.submit(&attempt.occasion, ruling, reference, None, changes).await {
            Submitted::Decided(decision) => {
                if decision.reason == Reason::Secondary {
                    admission.succeed(&*self.tools.clock);
                }
                decision
            }
            Submitted::Superseded { .. } | Submitted::Gone => {
                unreachable!("an entry without a claim cannot lose one")
            }
        }
    }
}
