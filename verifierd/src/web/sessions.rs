//! Who is signed in, on this side: a browser holds a random name and nothing else.
//!
//! In memory: a restart signs everybody out. The table holds a hash of the name, so whoever reads it is nobody.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use zeroize::Zeroizing;

#[cfg(feature = "webauthn")]
use super::keys::{CEREMONY_MAX, Ceremony};
use crate::accounts::Token;
use crate::keys::{KeyError, NameHasher, random_bytes};
use crate::people::PersonId;

/// How long somebody stays signed in, whatever he does: a working day.
const LIFE: Duration = Duration::from_secs(12 * 3_600);

/// How long he stays so without a request. The list of requests that renews itself is none of his.
const IDLE: Duration = Duration::from_secs(30 * 60);

/// How long he may take for the second step.
const HALF_WAY: Duration = Duration::from_secs(5 * 60);

/// Sessions at once of each stage: the people of a large site, each with a few devices, at some 300 bytes.
const SESSIONS_MAX: usize = 10_000;

/// Sessions of one person at once: his devices. The oldest goes.
const PERSON_SESSIONS_MAX: usize = 8;

/// His half-way ones from one place: whoever learned his password, and begins without end, ends what he began himself
/// before that of anybody elsewhere.
const PLACE_HALF_WAY_MAX: usize = 2;

/// His half-way ones from everywhere: eight places at once.
const PERSON_HALF_WAY_MAX: usize = 16;

/// How long a new app may take until it shows its first code.
const APP_MAX: Duration = Duration::from_secs(10 * 60);

/// Codes that are looked at for it: typing errors.
const APP_TRIES_MAX: u32 = 5;

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
    /// The security key that he signed in with; none where it was a one-time password.
    pub key: Option<Arc<str>>,
    /// What each of his forms carries.
    pub form_word: String,
}

/// A session that begins.
#[derive(Clone, Copy, Debug)]
pub struct Beginning<'a> {
    /// Whose.
    pub person: PersonId,
    /// The state of him, see [`Visitor::version`].
    pub version: u64,
    /// How far he is.
    pub stage: Stage,
    /// See [`Visitor::key`].
    pub key: Option<&'a str>,
    /// Where he comes from.
    pub place: &'a str,
}

struct Held {
    visitor: Visitor,
    place: Box<str>,
    began: Duration,
    seen: Duration,
    /// What a key was asked, and when.
    #[cfg(feature = "webauthn")]
    asked: Option<(Ceremony, Duration)>,
    /// An app that has shown no code yet.
    app: Option<NewApp>,
}

/// An authenticator app that somebody is about to add, and what was shown to him of it.
#[derive(Clone, Debug)]
pub struct NewApp {
    /// What it will be.
    pub token: Arc<Token>,
    shown: Duration,
    tries: u32,
}

impl NewApp {
    /// One that is shown now.
    pub fn new(token: Arc<Token>, now: Duration) -> Self {
        Self { token, shown: now, tries: 0 }
    }

    /// The same after a wrong code; none after too many.
    pub fn tried(self) -> Option<Self> {
        let tries = self.tries + 1;
        (tries < APP_TRIES_MAX).then_some(Self { tries, ..self })
    }
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
    pub fn begin(&self, beginning: Beginning<'_>, now: Duration) -> Result<(SessionName, Visitor), KeyError> {
        let Beginning { person, version, stage, key, place } = beginning;
        let name = SessionName::draw()?;
        let form_word = BASE64URL_NOPAD.encode(&random_bytes::<NAME_BYTES>()?);
        let visitor = Visitor { person, version, stage, key: key.map(Arc::from), form_word };
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|_, held| !held.is_over(now));
        make_room(&mut held, &beginning);
        let session = Held {
            visitor: visitor.clone(),
            place: place.into(),
            began: now,
            seen: now,
            #[cfg(feature = "webauthn")]
            asked: None,
            app: None,
        };
        held.insert(self.key(name.expose()), session);
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

    /// Keeps what a key is asked in a session; another question of the same session is forgotten.
    #[cfg(feature = "webauthn")]
    pub fn ask(&self, name: &str, ceremony: Ceremony, now: Duration) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = held.get_mut(&self.key(name)) {
            held.asked = Some((ceremony, now));
        }
    }

    /// What a key was asked in a session, unless that was too long ago. It is forgotten by this: it has one answer.
    #[cfg(feature = "webauthn")]
    pub fn take_asked(&self, name: &str, now: Duration) -> Option<Ceremony> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let (ceremony, asked) = held.get_mut(&self.key(name))?.asked.take()?;
        (now < asked + CEREMONY_MAX).then_some(ceremony)
    }

    /// Keeps an app for the session in which it was shown; another one of the same session is forgotten.
    pub fn keep_app(&self, name: &str, app: NewApp) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = held.get_mut(&self.key(name)) {
            held.app = Some(app);
        }
    }

    /// The app that was shown in a session, unless that was too long ago. It is forgotten by this: one code at a time is
    /// looked at.
    pub fn take_app(&self, name: &str, now: Duration) -> Option<NewApp> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.get_mut(&self.key(name))?.app.take().filter(|app| now < app.shown + APP_MAX)
    }

    /// Ends a session.
    pub fn end(&self, name: &str) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key(name));
    }

    fn key(&self, name: &str) -> [u8; 16] {
        self.hasher.key(&[name.as_bytes()])
    }
}

/// Ends what is one too many, among sessions of the same stage alone: a password, which is all that a half-way one takes,
/// ends nobody's sign-in.
fn make_room(held: &mut HashMap<[u8; 16], Held>, beginning: &Beginning<'_>) {
    let &Beginning { person, stage, place, .. } = beginning;
    let is_his = |held: &Held| held.visitor.stage == stage && held.visitor.person == person;
    if stage == Stage::HalfWay {
        keep_fewer_than(PLACE_HALF_WAY_MAX, held, |held| is_his(held) && &*held.place == place);
        keep_fewer_than(PERSON_HALF_WAY_MAX, held, is_his);
    } else {
        keep_fewer_than(PERSON_SESSIONS_MAX, held, is_his);
    }
    while held.values().filter(|held| held.visitor.stage == stage).count() >= SESSIONS_MAX {
        let Some(most) = who_has_most(held, stage) else { break };
        end_oldest(held, |held| held.visitor.stage == stage && held.visitor.person == most);
    }
}

fn keep_fewer_than(most: usize, held: &mut HashMap<[u8; 16], Held>, is_one: impl Fn(&Held) -> bool) {
    while held.values().filter(|held| is_one(held)).count() >= most {
        end_oldest(held, &is_one);
    }
}

fn end_oldest(held: &mut HashMap<[u8; 16], Held>, is_one: impl Fn(&Held) -> bool) {
    let some = held.iter().filter(|(_, held)| is_one(held));
    let oldest = some.min_by_key(|(_, held)| held.began).map(|(key, _)| *key);
    oldest.and_then(|key| held.remove(&key));
}

/// The person with the most sessions of a stage; of several with as many, the one whose oldest is the oldest.
fn who_has_most(held: &HashMap<[u8; 16], Held>, stage: Stage) -> Option<PersonId> {
    let mut persons: HashMap<PersonId, (usize, Duration)> = HashMap::new();
    for held in held.values().filter(|held| held.visitor.stage == stage) {
        let (count, oldest) = persons.entry(held.visitor.person).or_insert((0, held.began));
        (*count, *oldest) = (*count + 1, held.began.min(*oldest));
    }
    let most = persons.into_iter().max_by_key(|(_, (count, oldest))| (*count, std::cmp::Reverse(*oldest)));
    most.map(|(person, _)| person)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::MasterKey;

    const SECOND: Duration = Duration::from_secs(1);
    const CAROL: PersonId = PersonId(7);
    const DESK: &str = "192.0.2.1";
    const FAR_AWAY: &str = "203.0.113.9";

    fn sessions() -> WebSessions {
        WebSessions::new(NameHasher::new(&MasterKey::generate().unwrap(), "web sessions"))
    }

    impl WebSessions {
        fn begin_at(
            &self,
            person: PersonId,
            stage: Stage,
            place: &str,
            now: Duration,
        ) -> (SessionName, Visitor) {
            self.begin(Beginning { person, version: 1, stage, key: None, place }, now).unwrap()
        }

        fn knows(&self, name: &SessionName, now: Duration) -> bool {
            self.find(name.expose(), true, now).is_some()
        }
    }

    // covers: I07
    #[test]
    fn a_session_ends_by_itself_after_its_life_or_half_an_hour_without_a_request() {
        let sessions = sessions();
        let (name, _) = sessions.begin_at(CAROL, Stage::SignedIn, DESK, SECOND);
        let find = |is_his, now| sessions.find(name.expose(), is_his, now).is_some();
        assert!(find(true, IDLE));
        assert!(find(false, IDLE + IDLE - SECOND), "a page that renews itself finds it");
        assert!(!find(true, IDLE + IDLE), "and does not keep it");
        let (name, _) = sessions.begin_at(CAROL, Stage::SignedIn, DESK, SECOND);
        let mut now = SECOND;
        while now < LIFE {
            assert!(sessions.find(name.expose(), true, now).is_some(), "{now:?}");
            now += IDLE - SECOND;
        }
        assert!(sessions.find(name.expose(), true, LIFE + SECOND).is_none());
        let (name, _) = sessions.begin_at(CAROL, Stage::HalfWay, DESK, SECOND);
        assert!(sessions.find(name.expose(), true, HALF_WAY).is_some());
        assert!(sessions.find(name.expose(), true, HALF_WAY + SECOND).is_none());
    }

    // covers: I07
    #[test]
    fn a_session_that_was_ended_is_nobodys_and_a_name_is_never_given_twice() {
        let sessions = sessions();
        let (one, first) = sessions.begin_at(CAROL, Stage::SignedIn, DESK, SECOND);
        let (other, second) = sessions.begin_at(CAROL, Stage::SignedIn, DESK, SECOND);
        assert!(one.expose() != other.expose() && first.form_word != second.form_word);
        sessions.end(one.expose());
        assert!(sessions.find(one.expose(), true, SECOND).is_none());
        assert!(sessions.find(other.expose(), true, SECOND).is_some());
        assert!(sessions.find("", true, SECOND).is_none());
    }

    // covers: I07
    #[test]
    fn whoever_knows_a_password_alone_ends_no_sign_in_and_nobodys_second_step_elsewhere() {
        let sessions = sessions();
        let (signed_in, _) = sessions.begin_at(CAROL, Stage::SignedIn, DESK, SECOND);
        let (half_way, _) = sessions.begin_at(CAROL, Stage::HalfWay, DESK, SECOND);
        for _ in 0..2 * PERSON_HALF_WAY_MAX {
            sessions.begin_at(CAROL, Stage::HalfWay, FAR_AWAY, 2 * SECOND);
        }
        assert!(sessions.knows(&signed_in, 3 * SECOND) && sessions.knows(&half_way, 3 * SECOND));
        assert_eq!(sessions.held.lock().unwrap().len(), 2 + PLACE_HALF_WAY_MAX);
        // From many places at once he ends half-way ones, and no sign-in.
        for place in 0..2 * PERSON_HALF_WAY_MAX {
            sessions.begin_at(CAROL, Stage::HalfWay, &place.to_string(), 2 * SECOND);
        }
        assert!(sessions.knows(&signed_in, 3 * SECOND));
        assert_eq!(sessions.held.lock().unwrap().len(), 1 + PERSON_HALF_WAY_MAX);
    }

    #[test]
    fn a_full_table_ends_what_is_of_whoever_has_most_of_the_same_stage() {
        let sessions = sessions();
        let (signed_in, _) = sessions.begin_at(CAROL, Stage::SignedIn, DESK, SECOND);
        let (half_way, _) = sessions.begin_at(CAROL, Stage::HalfWay, DESK, SECOND);
        for place in ["a", "b"] {
            sessions.begin_at(PersonId(8), Stage::HalfWay, place, 2 * SECOND);
        }
        for person in 3..SESSIONS_MAX as u128 {
            sessions.begin_at(PersonId(100 + person), Stage::HalfWay, DESK, 2 * SECOND);
        }
        assert_eq!(sessions.held.lock().unwrap().len(), SESSIONS_MAX + 1);
        sessions.begin_at(PersonId(99), Stage::HalfWay, DESK, 2 * SECOND);
        assert_eq!(sessions.held.lock().unwrap().len(), SESSIONS_MAX + 1);
        assert!(sessions.knows(&half_way, 3 * SECOND), "it was of him who had two");
        sessions.begin_at(PersonId(98), Stage::HalfWay, DESK, 2 * SECOND);
        assert!(!sessions.knows(&half_way, 3 * SECOND), "all have one, and it is the oldest");
        assert!(sessions.knows(&signed_in, 3 * SECOND));
    }

    #[test]
    fn a_ninth_sign_in_ends_the_first() {
        let sessions = sessions();
        let (first, _) = sessions.begin_at(CAROL, Stage::SignedIn, DESK, SECOND);
        let (others, _) = sessions.begin_at(PersonId(8), Stage::SignedIn, DESK, SECOND);
        for _ in 1..PERSON_SESSIONS_MAX {
            sessions.begin_at(CAROL, Stage::SignedIn, FAR_AWAY, 2 * SECOND);
        }
        assert!(sessions.knows(&first, 2 * SECOND));
        sessions.begin_at(CAROL, Stage::SignedIn, FAR_AWAY, 2 * SECOND);
        assert!(!sessions.knows(&first, 2 * SECOND) && sessions.knows(&others, 2 * SECOND));
    }
}
