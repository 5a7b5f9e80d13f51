//! Who is signed in, on this side: a browser holds a random name and nothing else.
//!
//! In memory: a restart signs everybody out. The table holds a hash of the name, so whoever reads it is nobody.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use zeroize::Zeroizing;

use crate::keys::{KeyError, NameHasher, random_bytes};
use crate::people::PersonId;

/// How long somebody stays signed in, whatever he does: a working day.
const LIFE: Duration = Duration::from_secs(12 * 3_600);

/// How long he stays so without a request. The list of requests that renews itself is none of his.
const IDLE: Duration = Duration::from_secs(30 * 60);

/// How long he may take for the second step.
const HALF_WAY: Duration = Duration::from_secs(5 * 60);

/// Sessions at once. The oldest of the half-way ones goes first, which anybody with a password can make.
const SESSIONS_MAX: usize = 10_000;

/// Sessions of one person at once: his devices.
const PERSON_SESSIONS_MAX: usize = 8;

/// Bytes of a session's name, and of the word that its forms carry.
const NAME_BYTES: usize = 32;

/// What a browser shows, in its cookie.
pub struct SessionName(Zeroizing<String>);

impl SessionName {
    fn draw() -> Result<Self, KeyError> {
        let bytes = Zeroizing::new(random_bytes::<NAME_BYTES>()?);
        Ok(Self(Zeroizing::new(BASE64URL_NOPAD.encode(bytes.as_slice()))))
    }

    /// For the cookie.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// How far somebody is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// His password was right.
    HalfWay,
    /// His one-time password too.
    SignedIn,
}

/// Somebody, as a request is answered.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// Who.
    pub person: PersonId,
    /// The state of him that his session was made for: another password or other roles end it.
    pub version: u64,
    /// How far he is.
    pub stage: Stage,
    /// What each of his forms carries.
    pub form_word: String,
}

struct Held {
    visitor: Visitor,
    began: Duration,
    seen: Duration,
}

impl Held {
    fn is_over(&self, now: Duration) -> bool {
        let life = match self.visitor.stage {
            Stage::HalfWay => HALF_WAY,
            Stage::SignedIn => LIFE,
        };
        now >= self.began + life || now >= self.seen + IDLE
    }
}

/// All sessions.
pub struct WebSessions {
    hasher: NameHasher,
    /// Held for one lookup or change.
    held: Mutex<HashMap<[u8; 16], Held>>,
}

impl std::fmt::Debug for WebSessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WebSessions(..)")
    }
}

impl WebSessions {
    /// None yet.
    pub fn new(hasher: NameHasher) -> Self {
        Self { hasher, held: Mutex::default() }
    }

    /// Begins a session. One that went before it under another name is ended by its caller: a name from before a step is
    /// never good after it.
    ///
    /// # Errors
    /// When the kernel gives no random bytes.
    pub fn begin(
        &self,
        person: PersonId,
        version: u64,
        stage: Stage,
        now: Duration,
    ) -> Result<(SessionName, Visitor), KeyError> {
        let name = SessionName::draw()?;
        let form_word = BASE64URL_NOPAD.encode(&random_bytes::<NAME_BYTES>()?);
        let visitor = Visitor { person, version, stage, form_word };
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|_, held| !held.is_over(now));
        make_room(&mut held, person);
        held.insert(self.key(name.expose()), Held { visitor: visitor.clone(), began: now, seen: now });
        Ok((name, visitor))
    }

    /// Whose session has this name.
    ///
    /// * `is_his`: whether he asked, and not a page that renews itself.
    pub fn find(&self, name: &str, is_his: bool, now: Duration) -> Option<Visitor> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let key = self.key(name);
        if held.get(&key)?.is_over(now) {
            held.remove(&key);
            return None;
        }
        let found = held.get_mut(&key)?;
        if is_his {
            found.seen = now;
        }
        Some(found.visitor.clone())
    }

    /// Ends a session.
    pub fn end(&self, name: &str) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key(name));
    }

    fn key(&self, name: &str) -> [u8; 16] {
        self.hasher.key(&[name.as_bytes()])
    }
}

fn make_room(held: &mut HashMap<[u8; 16], Held>, person: PersonId) {
    let oldest_of = |held: &HashMap<[u8; 16], Held>, is_one: &dyn Fn(&Held) -> bool| {
        let some = held.iter().filter(|(_, held)| is_one(held));
        some.min_by_key(|(_, held)| (held.visitor.stage == Stage::SignedIn, held.began)).map(|(key, _)| *key)
    };
    let is_his = |held: &Held| held.visitor.person == person;
    while held.values().filter(|held| is_his(held)).count() >= PERSON_SESSIONS_MAX {
        let Some(key) = oldest_of(held, &is_his) else { break };
        held.remove(&key);
    }
    while held.len() >= SESSIONS_MAX {
        let Some(key) = oldest_of(held, &|_| true) else { break };
        held.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::MasterKey;

    const SECOND: Duration = Duration::from_secs(1);
    const CAROL: PersonId = PersonId(7);

    fn sessions() -> WebSessions {
        WebSessions::new(NameHasher::new(&MasterKey::generate().unwrap(), "web sessions"))
    }

    // covers: I07
    #[test]
    fn a_session_ends_by_itself_after_its_life_or_half_an_hour_without_a_request() {
        let sessions = sessions();
        let (name, _) = sessions.begin(CAROL, 1, Stage::SignedIn, SECOND).unwrap();
        let find = |is_his, now| sessions.find(name.expose(), is_his, now).is_some();
        assert!(find(true, IDLE));
        assert!(find(false, IDLE + IDLE - SECOND), "a page that renews itself finds it");
        assert!(!find(true, IDLE + IDLE), "and does not keep it");
        let (name, _) = sessions.begin(CAROL, 1, Stage::SignedIn, SECOND).unwrap();
        let mut now = SECOND;
        while now < LIFE {
            assert!(sessions.find(name.expose(), true, now).is_some(), "{now:?}");
            now += IDLE - SECOND;
        }
        assert!(sessions.find(name.expose(), true, LIFE + SECOND).is_none());
        let (name, _) = sessions.begin(CAROL, 1, Stage::HalfWay, SECOND).unwrap();
        assert!(sessions.find(name.expose(), true, HALF_WAY).is_some());
        assert!(sessions.find(name.expose(), true, HALF_WAY + SECOND).is_none());
    }

    // covers: I07
    #[test]
    fn a_session_that_was_ended_is_nobodys_and_a_name_is_never_given_twice() {
        let sessions = sessions();
        let (one, first) = sessions.begin(CAROL, 1, Stage::SignedIn, SECOND).unwrap();
        let (other, second) = sessions.begin(CAROL, 1, Stage::SignedIn, SECOND).unwrap();
        assert!(one.expose() != other.expose() && first.form_word != second.form_word);
        sessions.end(one.expose());
        assert!(sessions.find(one.expose(), true, SECOND).is_none());
        assert!(sessions.find(other.expose(), true, SECOND).is_some());
        assert!(sessions.find("", true, SECOND).is_none());
    }

    #[test]
    fn whoever_begins_many_ends_his_own_and_half_way_ones_go_first() {
        let sessions = sessions();
        let (signed_in, _) = sessions.begin(CAROL, 1, Stage::SignedIn, SECOND).unwrap();
        let (others, _) = sessions.begin(PersonId(8), 1, Stage::SignedIn, SECOND).unwrap();
        for _ in 0..2 * PERSON_SESSIONS_MAX {
            sessions.begin(CAROL, 1, Stage::HalfWay, 2 * SECOND).unwrap();
        }
        assert!(sessions.find(signed_in.expose(), true, 3 * SECOND).is_some());
        assert!(sessions.find(others.expose(), true, 3 * SECOND).is_some());
        assert_eq!(sessions.held.lock().unwrap().len(), PERSON_SESSIONS_MAX + 1);
        for person in 0..=SESSIONS_MAX as u128 {
            sessions.begin(PersonId(100 + person), 1, Stage::HalfWay, 3 * SECOND).unwrap();
        }
        assert_eq!(sessions.held.lock().unwrap().len(), SESSIONS_MAX);
        assert!(sessions.find(signed_in.expose(), true, 3 * SECOND).is_some());
    }
}
