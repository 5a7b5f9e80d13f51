//! Wrong passwords in a row, of persons of our own records. The hundredth disables the password until another one is set,
//! or the person is let in anew. Source: NIST SP 800-63B-4, section 3.2.2; check B01.
//!
//! What a directory counts is its own affair.

use dashmap::DashMap;
use ledger::{Change, Record};
use otp_core::ThrottleRules;

use super::PersonId;
use crate::accounts::kind;

/// The rows of everybody who has one.
#[derive(Debug, Default)]
pub struct Rows(DashMap<PersonId, u32>);

impl Rows {
    /// Takes a record of the store in. Tokens and others have rows of the same kind: see [`Rows::settle`].
    pub(super) fn take(&self, record: &Record) {
        let id = record.key.as_slice().try_into().map(u128::from_be_bytes);
        let count = record.value.as_slice().try_into().map(u32::from_be_bytes);
        if let (kind::FAILURES, Ok(id), Ok(count)) = (record.kind, id, count) {
            self.0.insert(PersonId(id), count);
        }
    }

    /// Forgets what is nobody's, once everybody is known.
    pub(super) fn settle(&self, is_known: impl Fn(PersonId) -> bool) {
        self.0.retain(|id, _| is_known(*id));
        self.0.shrink_to_fit();
    }

    /// Counts a wrong password. Returns whether that disabled it, and what keeps the row.
    pub(crate) fn add(&self, id: PersonId) -> (bool, Change) {
        let mut count = self.0.entry(id).or_insert(0);
        let was_disabled = disables(*count);
        *count = count.saturating_add(1);
        (!was_disabled && disables(*count), put(id, *count))
    }

    /// Ends a row. Returns what keeps it ended, where there was one.
    pub(crate) fn end(&self, id: PersonId) -> Option<Change> {
        self.0.remove(&id).map(|_| put(id, 0))
    }

    /// Whether so many were wrong that the right one counts no more.
    pub fn is_disabled(&self, id: PersonId) -> bool {
        self.0.get(&id).is_some_and(|count| disables(*count))
    }
}

/// What keeps a row of this length.
pub(super) fn put(id: PersonId, count: u32) -> Change {
    let key = id.0.to_be_bytes().into();
    match count {
        0 => Change::Delete { kind: kind::FAILURES, key },
        count => Change::Put { kind: kind::FAILURES, key, value: count.to_be_bytes().into() },
    }
}

fn disables(count: u32) -> bool {
    ThrottleRules::default().disables(count)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ledger::StartState;
    use wire::admin::Role;
    use zeroize::Zeroizing;

    use crate::accounts::{Actor, UserName};
    use crate::audit::Reason;
    use crate::engine::{Attempt, Occasion};
    use crate::login::Login;
    use crate::people::{By, Desk, EmailAddress, NewPerson, PersonChanges};
    use crate::trial::Trial;

    const PASSWORD: &str = "correct horse battery";

    fn by() -> By {
        By { actor: Actor::administrator("ann (admin)"), role: Role::Admin }
    }

    fn secret(text: &str) -> Zeroizing<String> {
        Zeroizing::new(text.into())
    }

    async fn add(trial: &Trial, login: &str) {
        let new = NewPerson {
            login: UserName::new(login).unwrap(),
            email: EmailAddress::parse(&format!("{login}@example.org")).unwrap(),
            name: None,
            role: Role::User,
            accounts: None,
            password: Some(secret(PASSWORD)),
        };
        trial.service.dialogue.people.clerk().add(new, by()).await.unwrap();
    }

    /// Gives a password an hour after the last one, so that nobody has to wait.
    async fn give(trial: &Trial, login: &str, password: &str) -> Result<String, Reason> {
        trial.advance(Duration::from_secs(3600));
        let occasion = Occasion::login(Login::from(login, "web", None, Some("192.0.2.1")));
        let attempt = Attempt { occasion, request: [0; 16], user: None, typed: secret(password) };
        let dialogue = &trial.service.dialogue;
        let identified = dialogue.engine.identify(&attempt, login, &dialogue.people, Desk::Page).await;
        identified.map(|(person, _)| person.login.clone()).map_err(|decision| decision.reason)
    }

    // covers: B01
    #[tokio::test]
    async fn after_a_hundred_wrong_passwords_in_a_row_the_right_one_is_wrong_until_another_is_set() {
        let mut trial = Trial::new().await;
        for login in ["carol", "dave"] {
            add(&trial, login).await;
        }
        for _ in 0..99 {
            assert!(give(&trial, "carol", "wrong").await.is_err());
        }
        assert!(give(&trial, "carol", PASSWORD).await.is_ok(), "ninety-nine are not yet too many");
        for count in 0..100 {
            if count == 60 {
                trial = trial.restart(StartState::Clean).await;
            }
            assert!(give(&trial, "carol", "wrong").await.is_err());
        }
        let refused = Err(Reason::SecondaryRefused);
        assert_eq!(give(&trial, "carol", PASSWORD).await, refused);
        trial = trial.restart(StartState::Clean).await;
        assert_eq!(give(&trial, "carol", PASSWORD).await, refused);
        assert!(give(&trial, "dave", PASSWORD).await.is_ok(), "nobody else's");
        let told = trial.audit().into_iter().filter(|record| record.event == "person_password_disabled");
        assert_eq!(told.filter_map(|record| record.person).collect::<Vec<_>>(), ["carol"], "once");

        let clerk = trial.service.dialogue.people.clerk().clone();
        clerk.set_password("carol", secret("another horse battery"), by()).await.unwrap();
        assert!(give(&trial, "carol", "another horse battery").await.is_ok());
    }

    // covers: B01
    #[tokio::test]
    async fn whoever_is_let_in_anew_may_try_anew() {
        let trial = Trial::new().await;
        add(&trial, "carol").await;
        for _ in 0..100 {
            assert!(give(&trial, "carol", "wrong").await.is_err());
        }
        let clerk = trial.service.dialogue.people.clerk();
        for enabled in [false, true] {
            assert!(give(&trial, "carol", PASSWORD).await.is_err());
            let changes = PersonChanges { enabled: Some(enabled), ..PersonChanges::default() };
            clerk.set("carol", changes, by()).await.unwrap();
        }
        let trial = trial.restart(StartState::Clean).await;
        assert!(give(&trial, "carol", PASSWORD).await.is_ok());
    }
}
