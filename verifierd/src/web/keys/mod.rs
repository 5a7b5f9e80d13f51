//! Security keys and passkeys: the second step of signing in, in the place of a one-time password, and the page on which
//! a person adds and removes his own.
//!
//! | module | does |
//! | --- | --- |
//! | `ceremony` | asks browsers and checks what keys answer |
//!
//! A browser reaches a key by a script alone, which sends forms like any other page of ours and reads JSON. A question is
//! kept with the session that asked, and is gone with its first answer.

mod ceremony;

use std::sync::Arc;

use askama::Template;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};
use serve::Reply;
use wire::login::Verdict;

pub use ceremony::{CEREMONY_MAX, Ceremony};

use super::account::{PROOF, owner};
use super::pages::{Page, Shown, redirect, shown};
use super::sessions::{Stage, Visitor};
use super::sign_in::{self, said};
use super::{Asked, Web, way_back};
use crate::audit::rfc3339;
use crate::engine::{Attempt, Decision};
use crate::people::Person;
use crate::people::keys::{HeldKey, KEYS_MAX, KeyringError, NewKey, Stale};
use ceremony::{AnswerFault, Checker};

/// A line of the list.
struct Row {
    id: String,
    name: String,
    added: String,
    used: String,
}

#[derive(Template)]
#[template(path = "web/keys.html")]
struct KeysPage<'a> {
    visitor: &'a Shown,
    rows: &'a [Row],
    fault: &'a str,
    is_full: bool,
}

impl Web {
    /// Asks for a key of whoever is half-way.
    pub(super) async fn ask_for_key(&self, asked: &Asked<'_>) -> Reply {
        let (name, person) = match self.half_way(asked).await {
            Ok(found) => found,
            Err(refusal) => return refusal,
        };
        self.question(&name, &person)
    }

    /// The second step, with a key.
    pub(super) async fn take_key(&self, asked: &Asked<'_>) -> Reply {
        let (name, person) = match self.half_way(asked).await {
            Ok(found) => found,
            Err(refusal) => return refusal,
        };
        let Some(attempt) = self.attempt(&person.login, &asked.place, Default::default()) else {
            return unavailable();
        };
        let dialogue = &self.administration.dialogue;
        let (begun, occasion) = (dialogue.clock.elapsed(), attempt.occasion.clone());
        let answer = asked.form.field("answer").map_or("", |answer| answer.as_str());
        let (decision, key) = self.decide_key(&name, attempt, &person, answer).await;
        if decision.verdict == Verdict::Allow {
            dialogue.engine.came_in(&occasion, &person.login).await;
            return self.begin(
                &person,
                (Stage::SignedIn, key.as_deref()),
                asked,
                json_reply(StatusCode::OK, &json!({ "to": way_back::of(asked) })),
            );
        }
        dialogue.wait_for_the_next_beat(begun).await;
        fault(StatusCode::FORBIDDEN, &said(&decision))
    }

    /// Who is half-way, with the name of his session.
    async fn half_way(&self, asked: &Asked<'_>) -> Result<(String, Arc<Person>), Reply> {
        let again = || json_reply(StatusCode::FORBIDDEN, &json!({ "to": "/sign-in" }));
        let is_one =
            |visitor: &Visitor| visitor.stage == Stage::HalfWay && sign_in::is_own_form(asked, visitor);
        let visitor = asked.visitor.as_ref().filter(|(_, visitor)| is_one(visitor));
        let Some((name, visitor)) = visitor else { return Err(again()) };
        match self.administration.dialogue.people.by_id(visitor.person).await {
            Err(_) => Err(unavailable()),
            Ok(person) => match person.filter(|person| person.version() == visitor.version) {
                Some(person) => Ok((name.clone(), person)),
                None => Err(again()),
            },
        }
    }

    /// Begins a question for one of the keys that somebody has.
    fn question(&self, session: &str, person: &Person) -> Reply {
        let held = self.administration.dialogue.people.keyring().of(person.id);
        if held.is_empty() {
            return fault(StatusCode::CONFLICT, "You have no security key.");
        }
        let Some(Ok((question, state))) = self.checker().map(|checker| checker.ask(&held)) else {
            return unavailable();
        };
        self.keep(session, Ceremony::Signing(state));
        json_reply(StatusCode::OK, &question)
    }

    fn keep(&self, session: &str, ceremony: Ceremony) {
        self.sessions.ask(session, ceremony, self.administration.dialogue.clock.elapsed());
    }

    fn take_ceremony(&self, session: &str) -> Option<Ceremony> {
        self.sessions.take_asked(session, self.administration.dialogue.clock.elapsed())
    }

    fn checker(&self) -> Option<Checker> {
        let config = self.administration.dialogue.config.load();
        match Checker::new(&config.web.as_ref()?.base_url) {
            Ok(checker) => Some(checker),
            Err(error) => {
                tracing::error!(%error, "no security key can be asked for");
                None
            }
        }
    }

    /// Decides about the answer to the question that a session asked, which is gone by this; and the id of the key that signed
    /// it.
    async fn decide_key(
        &self,
        session: &str,
        attempt: Attempt,
        person: &Arc<Person>,
        answer: &str,
    ) -> (Decision, Option<String>) {
        let dialogue = &self.administration.dialogue;
        let admission = match dialogue.engine.admit_key(&attempt).await {
            Ok(admission) => admission,
            Err(decision) => return (decision, None),
        };
        let held = dialogue.people.keyring().of(person.id);
        let signed = match (self.take_ceremony(session), self.checker()) {
            (Some(Ceremony::Signing(state)), Some(checker)) => checker.take(&state, answer, &held),
            _ => Err(AnswerFault::NotAsked),
        };
        let signed = match signed {
            Ok(signed) => signed,
            Err(why) => {
                let why = why.to_string();
                return (dialogue.engine.refuse_key(&attempt, admission, &person.login, why).await, None);
            }
        };
        let name = held.iter().find(|key| key.id == signed.id).map_or("", |key| key.name.as_str());
        let (told, id) = (format!("{name:?}, key {}", signed.id), signed.id.clone());
        let (administration, login) = (Arc::clone(&self.administration), person.login.clone());
        let noted = dialogue.people.keyring().note(person.id, signed, move |change| async move {
            let engine = &administration.dialogue.engine;
            match change {
                Ok(change) => {
                    let decision = engine.accept_key(&attempt, admission, &login, told, change).await;
                    let is_stored = decision.verdict == Verdict::Allow;
                    (decision, is_stored)
                }
                Err(stale) => {
                    let why = match stale {
                        Stale::Removed => AnswerFault::NotHis,
                        Stale::Counter => AnswerFault::Counter,
                    };
                    (engine.refuse_key(&attempt, admission, &login, why.to_string()).await, false)
                }
            }
        });
        (noted.await.unwrap_or_else(|| dialogue.engine.undecided()), Some(id))
    }

    /// The page of somebody's own keys.
    pub(super) fn show_keys(&self, asked: &Asked<'_>, person: &Person) -> Reply {
        self.keys_page(asked, person, "", StatusCode::OK)
    }

    fn keys_page(&self, asked: &Asked<'_>, person: &Person, fault: &str, status: StatusCode) -> Reply {
        let held = self.administration.dialogue.people.keyring().of(person.id);
        let rows: Vec<_> = held.iter().map(row).collect();
        let visitor = shown(asked, person);
        let is_full = held.len() >= KEYS_MAX;
        Page::of(&KeysPage { visitor: &visitor, rows: &rows, fault, is_full }).reply(status)
    }

    /// What somebody who is signed in does with his keys.
    pub(super) async fn change_keys(&self, asked: &Asked<'_>, person: &Arc<Person>, what: &[&str]) -> Reply {
        let Some((session, _)) = &asked.visitor else { return redirect("/sign-in") };
        match what {
            ["challenge"] => self.question(session, person),
            ["begin"] => self.begin_key(asked, session, person).await,
            ["finish"] => self.finish_key(asked, session, person).await,
            [id, "remove"] => self.remove_key(asked, session, person, id).await,
            _ => fault(StatusCode::NOT_FOUND, "Nothing is at this address."),
        }
    }

    /// Asks for a new key, once he has proved that he is himself: a session alone, which may be stolen, adds none.
    async fn begin_key(&self, asked: &Asked<'_>, session: &str, person: &Arc<Person>) -> Reply {
        let keyring = self.administration.dialogue.people.keyring();
        let name = asked.form.field("name").map(|name| name.trim().to_owned()).unwrap_or_default();
        if let Err(error) = keyring.check_new(person.id, &name) {
            return fault(status_of(&error), &sentence(&error));
        }
        if let Err((status, said)) = self.prove(asked, session, person).await {
            return fault(status, &said);
        }
        let held = keyring.of(person.id);
        let Some(Ok((question, state))) = self.checker().map(|checker| checker.ask_new(person, &held)) else {
            return unavailable();
        };
        self.keep(session, Ceremony::Making { state, name });
        json_reply(StatusCode::OK, &question)
    }

    async fn finish_key(&self, asked: &Asked<'_>, session: &str, person: &Arc<Person>) -> Reply {
        let answer = asked.form.field("answer").map_or("", |answer| answer.as_str());
        let (Some(Ceremony::Making { state, name }), Some(checker)) =
            (self.take_ceremony(session), self.checker())
        else {
            return fault(StatusCode::FORBIDDEN, "That took too long. Begin again.");
        };
        let credential = match checker.take_new(&state, answer) {
            Ok(credential) => credential,
            Err(why) => {
                tracing::info!(person = person.login, %why, "a new security key was refused");
                return fault(StatusCode::FORBIDDEN, "This key cannot be used here.");
            }
        };
        let new = NewKey { name, credential };
        match self.administration.dialogue.people.keyring().add(person, new, owner(person)).await {
            Ok(()) => json_reply(StatusCode::OK, &json!({ "to": "/account/keys" })),
            Err(error) => fault(status_of(&error), &sentence(&error)),
        }
    }

    async fn remove_key(&self, asked: &Asked<'_>, session: &str, person: &Arc<Person>, id: &str) -> Reply {
        let by = match self.prove(asked, session, person).await {
            Ok(by) => by,
            Err((status, said)) => return self.keys_page(asked, person, &said, status),
        };
        match self.administration.dialogue.people.keyring().remove(person, Some(id), owner(person)).await {
            Ok(()) => self.after_removal(asked, person, id, by.as_deref()),
            Err(error) => self.keys_page(asked, person, &sentence(&error), status_of(&error)),
        }
    }

    /// The list. A sign-in that the removed key made goes on by what proved just now that it is he: so it is over where that
    /// was the same key.
    ///
    /// * `by`: the key that proved it; none for a one-time password.
    fn after_removal(&self, asked: &Asked<'_>, person: &Arc<Person>, id: &str, by: Option<&str>) -> Reply {
        let list = redirect("/account/keys");
        let signed_in_by = asked.visitor.as_ref().and_then(|(_, visitor)| visitor.key.as_deref());
        if signed_in_by != Some(id) {
            return list;
        }
        self.begin(person, (Stage::SignedIn, by), asked, list)
    }

    /// That it is he who is there: a fresh one-time password, or one of his keys, which is told.
    async fn prove(
        &self,
        asked: &Asked<'_>,
        session: &str,
        person: &Arc<Person>,
    ) -> Result<Option<String>, (StatusCode, String)> {
        const NOTHING: &str = "Type a one-time password, or use one of your keys.";
        let typed = |name| asked.form.field(name).filter(|typed| !typed.is_empty());
        let dialogue = &self.administration.dialogue;
        let (code, answer) = (typed("code"), typed("answer"));
        let Some(attempt) = self.own_attempt(asked, person, PROOF, code.cloned().unwrap_or_default()) else {
            return Err((StatusCode::SERVICE_UNAVAILABLE, "Nothing can be decided at the moment.".into()));
        };
        let begun = dialogue.clock.elapsed();
        let (decision, by) = match (code, answer) {
            (Some(_), _) => (dialogue.engine.prove(attempt).await, None),
            (None, Some(answer)) => self.decide_key(session, attempt, person, answer).await,
            (None, None) => return Err((StatusCode::FORBIDDEN, NOTHING.into())),
        };
        if decision.verdict == Verdict::Allow {
            return Ok(by);
        }
        dialogue.wait_for_the_next_beat(begun).await;
        Err((StatusCode::FORBIDDEN, said(&decision)))
    }
}

fn row(key: &HeldKey) -> Row {
    let day = |at| rfc3339(at).split('T').next().unwrap_or_default().to_owned();
    Row {
        id: key.id.clone(),
        name: key.name.clone(),
        added: day(key.added),
        used: key.used.map_or("never".into(), day),
    }
}

fn json_reply(status: StatusCode, value: &Value) -> Reply {
    let mut reply = Response::new(Full::new(Bytes::from(value.to_string())));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    reply
}

fn fault(status: StatusCode, text: &str) -> Reply {
    json_reply(status, &json!({ "fault": text }))
}

fn unavailable() -> Reply {
    fault(StatusCode::SERVICE_UNAVAILABLE, "Nothing can be decided at the moment. Try again later.")
}

fn status_of(error: &KeyringError) -> StatusCode {
    match error {
        KeyringError::Name | KeyringError::TooLong => StatusCode::BAD_REQUEST,
        KeyringError::NameTaken | KeyringError::TooMany | KeyringError::InUse => StatusCode::CONFLICT,
        KeyringError::NoSuchKey => StatusCode::NOT_FOUND,
        KeyringError::NotStored { .. } | KeyringError::Random(_) | KeyringError::Busy => {
            StatusCode::SERVICE_UNAVAILABLE
        }
    }
}

/// An error as a sentence.
fn sentence(error: &KeyringError) -> String {
    let text = error.to_string();
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| format!("{}{}.", first.to_uppercase(), letters.as_str()))
}

#[cfg(test)]
mod authenticator;
#[cfg(test)]
mod tests;
