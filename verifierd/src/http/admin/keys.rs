//! Keys with which programs act for a person over HTTPS.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use wire::admin::{MadePersonKey, NewPersonKey, PersonKey, PersonKeyList, PersonKeyState};
use wire::error::ErrorCode;
use zeroize::Zeroize;

use super::Administration;
use super::asked::{Asked, Body, Named, Questions};
use super::codes::proved;
use super::described::Written;
use super::refusals::{Refusal, refusal};
use super::routes::{Granted, not_yours};
use crate::audit::rfc3339;
use crate::people::{Person, PersonOrigin};
use crate::person_keys::{By, Held, KeyId, NewKey, PersonKeyError};

type Admin = State<Arc<Administration>>;

impl From<PersonKeyError> for Refusal {
    fn from(error: PersonKeyError) -> Self {
        let code = match error {
            PersonKeyError::NoSuchKey { .. } => ErrorCode::NotFound,
            PersonKeyError::Name | PersonKeyError::Life => ErrorCode::Malformed,
            PersonKeyError::MoreRights => ErrorCode::NotAllowed,
            PersonKeyError::NameTaken { .. }
            | PersonKeyError::TooManyOfPerson { .. }
            | PersonKeyError::TooMany => ErrorCode::Conflict,
            PersonKeyError::NotStored { .. } | PersonKeyError::Random(_) | PersonKeyError::Busy => {
                ErrorCode::Unavailable
            }
        };
        refusal(code, error.to_string())
    }
}

/// Which keys are listed.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// Login name of their person.
    person: Option<String>,
}

impl Questions for Wanted {
    const TAKES: &str = "person=LOGIN";
}

pub(super) async fn list(
    State(admin): Admin,
    granted: Granted,
    Asked(wanted): Asked<Wanted>,
) -> Result<Json<PersonKeyList>, Refusal> {
    let own = admin.person_of(&granted).await?.map(|person| person.id);
    let is_seen = |held: &&Arc<Held>| !granted.is_only_for_himself() || own == Some(held.record.person);
    let is_wanted = |held: &&Arc<Held>| {
        wanted.person.as_ref().is_none_or(|login| login.eq_ignore_ascii_case(&held.record.login))
    };
    let all = admin.keys.all();
    let items = all.iter().filter(is_seen).filter(is_wanted).map(|held| admin.show_key(held)).collect();
    Ok(Json(PersonKeyList { api_version: wire::API_VERSION, kind: "person_key_list".into(), items }))
}

pub(super) async fn add(
    State(admin): Admin,
    granted: Granted,
    Body(wish): Body<NewPersonKey>,
) -> Result<Written<MadePersonKey>, Refusal> {
    let NewPersonKey { login, name, valid_seconds, role, code } = wish;
    if granted.caller().key.is_some() {
        // It would outlive itself.
        return Err(refusal(ErrorCode::NotAllowed, "a key makes no keys: ask without one".into()));
    }
    let by = admin.by(&granted).await?;
    let person = admin.person_for(&granted, &login).await?;
    if granted.is_only_for_himself() {
        let account = granted.caller().account().ok_or_else(not_yours)?;
        proved(&admin, &granted, &account, wire::admin::Proof { code }).await?;
    }
    let new = NewKey { person, name, role, life: Duration::from_secs(valid_seconds) };
    let (held, text) = admin.keys.add(new, by).await?;
    let mut made = MadePersonKey { key: admin.show_key(&held), secret: text.expose().to_owned() };
    let written = Written::of(&made);
    made.secret.zeroize();
    Ok(written)
}

pub(super) async fn revoke(
    State(admin): Admin,
    granted: Granted,
    Named(id): Named,
) -> Result<Json<PersonKey>, Refusal> {
    let by = admin.by(&granted).await?;
    let held = KeyId::parse(&id).and_then(|id| admin.keys.by_id(id));
    let held = if granted.is_only_for_himself() {
        held.filter(|held| by.person == Some(held.record.person)).ok_or_else(not_yours)?
    } else {
        held.ok_or(PersonKeyError::NoSuchKey { id })?
    };
    let revoked = admin.keys.revoke(held.record.id, by).await?;
    Ok(Json(admin.show_key(&revoked)))
}

impl Administration {
    async fn by(&self, granted: &Granted) -> Result<By, Refusal> {
        let person = self.person_of(granted).await?.map(|person| person.id);
        Ok(By { name: granted.actor().name, role: granted.caller().role, person })
    }

    /// Whose key it is to be: his own, or of anybody whom an administrator names.
    async fn person_for(&self, granted: &Granted, login: &str) -> Result<Arc<Person>, Refusal> {
        if granted.is_only_for_himself() {
            let own = self.person_of(granted).await?;
            return own.filter(|own| own.login.eq_ignore_ascii_case(login)).ok_or_else(not_yours);
        }
        let found = self.dialogue.people.by_login(login).await;
        let found = found.map_err(|error| refusal(ErrorCode::Unavailable, error.to_string()))?;
        found.ok_or_else(|| refusal(ErrorCode::NotFound, format!("no person {login:?} who is let in")))
    }

    fn show_key(&self, held: &Held) -> PersonKey {
        let record = &held.record;
        PersonKey {
            id: record.id.to_string(),
            login: record.login.clone(),
            name: record.name.clone(),
            role: record.role,
            state: self.state_of(held),
            made: rfc3339(record.made),
            made_by: record.made_by.clone(),
            is_his_own: record.is_his_own,
            until: rfc3339(record.until),
            last_used: held.used().map(rfc3339),
        }
    }

    /// As far as our own records say: a directory is not asked for a list.
    fn state_of(&self, held: &Held) -> PersonKeyState {
        if held.is_over(self.dialogue.clock.now()) {
            return PersonKeyState::Expired;
        }
        let known = self.dialogue.people.roster().by_id(held.record.person);
        let is_ended = match known {
            Some(record) => !record.enabled || held.caller_role(&Person::from(&*record)).is_none(),
            None => held.record.origin == PersonOrigin::Internal,
        };
        if is_ended { PersonKeyState::Ended } else { PersonKeyState::Good }
    }
}
