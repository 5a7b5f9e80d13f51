//! Signing in: a person's login name and password, then a one-time password of his own account.
//!
//! Whoever is nobody reads the same as whoever is wrong, after the same time. What is typed counts for the same throttles
//! as at every other surface.

use std::sync::Arc;

use askama::Template;
use hyper::StatusCode;
use hyper::header::{HeaderValue, SET_COOKIE};
use serve::Reply;
use wire::login::Verdict;

use super::guard::COOKIE_NAME;
use super::pages::{Page, redirect};
use super::sessions::{Beginning, SessionName, Stage, Visitor};
use super::{Asked, Typed, Web, way_back};
use crate::accounts::UserName;
use crate::engine::{Attempt, Decision, Occasion, RequestKey, Source};
use crate::keys::random_bytes;
use crate::login::Login;
use crate::people::{Desk, Person};

/// The service that records name.
const SERVICE: &str = "web";

/// What stands above the form after a try that failed.
const WRONG: &str = "That did not work. Check what you typed, or wait a moment.";

#[derive(Template)]
#[template(path = "web/sign_in.html")]
struct PasswordPage<'a> {
    fault: &'a str,
    /// Where it goes from here; see [`way_back`].
    to: &'a str,
}

#[derive(Template)]
#[template(path = "web/sign_in_code.html")]
struct CodePage<'a> {
    fault: &'a str,
    to: &'a str,
    form_word: &'a str,
    has_keys: bool,
}

impl Web {
    /// The form of the step that a visitor is at.
    pub(super) fn show_sign_in(&self, asked: &Asked<'_>) -> Reply {
        match &asked.visitor {
            Some((_, visitor)) if visitor.stage == Stage::SignedIn => redirect(way_back::of(asked)),
            Some((_, visitor)) => self.code_page("", asked, visitor).reply(StatusCode::OK),
            None => password_page("", asked).reply(StatusCode::OK),
        }
    }

    /// The first step.
    pub(super) async fn take_password(&self, asked: Asked<'_>) -> Reply {
        let (Some(login), Some(password)) = (asked.form.field("login"), asked.form.field("password")) else {
            return password_page(WRONG, &asked).reply(StatusCode::BAD_REQUEST);
        };
        let login = login.trim().to_owned();
        let Some(attempt) = self.attempt(&login, &asked.place, password.clone()) else {
            return unavailable();
        };
        let dialogue = &self.administration.dialogue;
        let begun = dialogue.clock.elapsed();
        let identified = dialogue.engine.identify(&attempt, &login, &dialogue.people, Desk::Page).await;
        let reply = match identified {
            // Not counted as a success yet: the second step is still to come.
            Ok((person, _)) => {
                let next = redirect(&way_back::sign_in(way_back::of(&asked)));
                self.begin(&person, (Stage::HalfWay, None), &asked, next)
            }
            Err(decision) => password_page(&said(&decision), &asked).reply(StatusCode::FORBIDDEN),
        };
        dialogue.wait_for_the_next_beat(begun).await;
        reply
    }

    /// The second.
    pub(super) async fn take_code(&self, asked: Asked<'_>) -> Reply {
        let Some((_, visitor)) =
            asked.visitor.as_ref().filter(|(_, visitor)| visitor.stage == Stage::HalfWay)
        else {
            return redirect(&way_back::sign_in(way_back::of(&asked)));
        };
        let (true, Some(code)) = (is_own_form(&asked, visitor), asked.form.field("code")) else {
            return Page::nothing("This form is too old. Sign in again.").reply(StatusCode::FORBIDDEN);
        };
        let dialogue = &self.administration.dialogue;
        let begun = dialogue.clock.elapsed();
        let Ok(person) = dialogue.people.by_id(visitor.person).await else { return unavailable() };
        let Some(person) = person.filter(|person| person.version() == visitor.version) else {
            return redirect(&way_back::sign_in(way_back::of(&asked)));
        };
        let Some(attempt) = self.attempt(&person.login, &asked.place, code.clone()) else {
            return unavailable();
        };
        let occasion = attempt.occasion.clone();
        let decision = dialogue.engine.prove(attempt).await;
        if decision.verdict == Verdict::Allow {
            dialogue.engine.came_in(&occasion, &person.login).await;
            return self.begin(&person, (Stage::SignedIn, None), &asked, redirect(way_back::of(&asked)));
        }
        dialogue.wait_for_the_next_beat(begun).await;
        self.code_page(&said(&decision), &asked, visitor).reply(StatusCode::FORBIDDEN)
    }

    fn code_page(&self, fault: &str, asked: &Asked<'_>, visitor: &Visitor) -> Page {
        let keys = self.administration.dialogue.people.keyring().of(visitor.person);
        let has_keys = cfg!(feature = "webauthn") && !keys.is_empty();
        Page::of(&CodePage { fault, to: way_back::of(asked), form_word: &visitor.form_word, has_keys })
    }

    /// Ends the session.
    pub(super) fn sign_out(&self, asked: &Asked<'_>) -> Reply {
        let mut reply = redirect("/sign-in");
        if let Some((name, visitor)) = &asked.visitor {
            if !is_own_form(asked, visitor) {
                return Page::nothing("This form is too old.").reply(StatusCode::FORBIDDEN);
            }
            self.sessions.end(name);
        }
        set_cookie(&mut reply, "", "; Max-Age=0");
        reply
    }

    /// Begins a session under a new name; the one that was shown ends.
    ///
    /// * `by`: how far somebody is, and the security key by which he got there.
    /// * `reply`: what the browser is told; its cookie goes with it.
    pub(super) fn begin(
        &self,
        person: &Arc<Person>,
        by: (Stage, Option<&str>),
        asked: &Asked<'_>,
        mut reply: Reply,
    ) -> Reply {
        if let Some((former, _)) = &asked.visitor {
            self.sessions.end(former);
        }
        let now = self.administration.dialogue.clock.elapsed();
        let (stage, key) = by;
        // A network counts as one place here too.
        let source = Source::new(None, Some(&asked.place));
        let (version, place) = (person.version(), source.place());
        let beginning = Beginning { person: person.id, version, stage, key, place };
        let Ok((name, _)) = self.sessions.begin(beginning, now) else {
            return unavailable();
        };
        set_cookie(&mut reply, SessionName::expose(&name), "");
        reply
    }

    /// What is typed for the account of a person's login name; `None` where nothing can be drawn.
    pub(super) fn attempt(&self, login: &str, place: &str, typed: Typed) -> Option<Attempt> {
        let request: RequestKey = random_bytes().ok()?;
        let user =
            UserName::new(login).ok().and_then(|name| self.administration.dialogue.accounts.find(&name));
        let occasion = Occasion::login(Login::from(login, SERVICE, None, Some(place)));
        Some(Attempt { occasion, request, user, typed })
    }
}

/// Whether a form is one that this session was shown.
pub(super) fn is_own_form(asked: &Asked<'_>, visitor: &Visitor) -> bool {
    let shown = asked.form.field("form").map_or(&[][..], |word| word.as_bytes());
    aws_lc_rs::constant_time::verify_slices_are_equal(shown, visitor.form_word.as_bytes()).is_ok()
}

/// What somebody reads whom a decision refuses.
pub(super) fn said(decision: &Decision) -> String {
    match decision.verdict {
        Verdict::Unavailable | Verdict::Unknown => {
            format!("Nothing can be decided at the moment. Reference {}.", decision.reference)
        }
        Verdict::Allow | Verdict::NotRequired | Verdict::Deny => {
            format!("{WRONG} Reference {}.", decision.reference)
        }
    }
}

fn password_page(fault: &str, asked: &Asked<'_>) -> Page {
    Page::of(&PasswordPage { fault, to: way_back::of(asked) })
}

pub(super) fn unavailable() -> Reply {
    Page::nothing("Nothing can be decided at the moment. Try again later.")
        .reply(StatusCode::SERVICE_UNAVAILABLE)
}

fn set_cookie(reply: &mut Reply, value: &str, more: &str) {
    let cookie = format!("{COOKIE_NAME}={value}; Path=/; Secure; HttpOnly; SameSite=Strict{more}");
    let cookie = HeaderValue::from_str(&cookie).expect("a name of letters, digits, `-` and `_`");
    reply.headers_mut().append(SET_COOKIE, cookie);
}
