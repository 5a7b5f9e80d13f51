//! Login name and password of a person: what is asked before a password is issued to somebody of our own records, and the
//! whole of a secondary authentication.
//!
//! It is no one-time password: nothing is claimed. Tries count for the person, known or not, and for the place that they
//! come from; the user whose account it is has his own counts, which other people's guesses do not touch.

use std::sync::Arc;

use ledger::{Entry, Outcome};
use wire::login::Identity;

use super::throttle::{Admission, Subject};
use super::{Attempt, Decision, Engine, Occasion, Ruling, Submitted};
use crate::audit::{Reason, Reference};
use crate::people::{Desk, People, PeopleError, Person, as_one_request};

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
            Err(refused) => return Err(self.throttled(occasion, refused).await),
        };
        let ruling = match as_one_request(self.person_of(attempt, login, people, desk)).await {
            Ok(Ok(person)) => return Ok((person, admission)),
            Ok(Err(ruling)) => ruling,
            Err(error) => {
                let ruling = Ruling::new(Reason::PeopleUnavailable).detail(error.to_string());
                return Err(self.record(occasion, ruling).await);
            }
        };
        Err(self.failed(attempt, admission, &[], ruling).await)
    }

    /// The person, if it is one who may use the account; else why he is refused.
    async fn person_of(
        &self,
        attempt: &Attempt,
        login: &str,
        people: &People,
        desk: Desk,
    ) -> Result<Result<Arc<Person>, Ruling>, PeopleError> {
        let refused = |detail: &str| Ok(Err(Ruling::new(Reason::SecondaryRefused).detail(detail.into())));
        let Some(person) = people.check_password(login, &attempt.typed, desk).await? else {
            return refused("no such person, or another password");
        };
        let Ok(account) = attempt.occasion.login.user_name() else {
            return refused("not an account name");
        };
        let may = people.may_use(person.id, &account).await?.is_some();
        if may { Ok(Ok(person)) } else { refused("this person may not use the account") }
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
