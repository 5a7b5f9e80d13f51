//! Persons: those of our own records, and a look at those of the directory.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use wire::admin::{NewPerson, Person, PersonList, PersonOrigin, Role, SetPassword, SetPerson, ShareAccount};
use wire::error::ErrorCode;
use zeroize::Zeroizing;

use super::Administration;
use super::asked::{Body, Named};
use super::refusals::{Refusal, refusal};
use super::routes::Granted;
use crate::accounts::UserName;
use crate::audit::rfc3339;
use crate::people::keys::KeyringError;
use crate::people::{self, By, EmailAddress, People, PersonChanges, PersonError, PersonRecord};

type Admin = State<Arc<Administration>>;
type Shown = Result<Json<Person>, Refusal>;

impl From<PersonError> for Refusal {
    fn from(error: PersonError) -> Self {
        let code = match error {
            PersonError::NoSuchPerson { .. } => ErrorCode::NotFound,
            PersonError::LoginTaken { .. }
            | PersonError::AddressTaken { .. }
            | PersonError::SharedAlready { .. }
            | PersonError::NotShared { .. }
            | PersonError::TooManyPersons
            | PersonError::TooManyAccounts
            | PersonError::TooManySharing { .. } => ErrorCode::Conflict,
            PersonError::LoginTooLong { .. }
            | PersonError::Name
            | PersonError::Password(_)
            | PersonError::Nothing => ErrorCode::Malformed,
            PersonError::MoreRights { .. } => ErrorCode::NotAllowed,
            PersonError::Hash(_)
            | PersonError::NotStored { .. }
            | PersonError::Random(_)
            | PersonError::Busy => ErrorCode::Unavailable,
        };
        refusal(code, error.to_string())
    }
}

pub(super) async fn list(State(admin): Admin) -> Json<PersonList> {
    let people = &admin.dialogue.people;
    let items = people.roster().all().iter().map(|record| shown(people, record)).collect();
    Json(PersonList { api_version: wire::API_VERSION, kind: "person_list".into(), items })
}

pub(super) async fn show(State(admin): Admin, Named(login): Named) -> Shown {
    let people = &admin.dialogue.people;
    if let Some(record) = people.roster().by_login(&login) {
        return Ok(Json(shown(people, &record)));
    }
    match people.by_login(&login).await {
        Ok(Some(person)) => Ok(Json(shown_of_directory(people, &person))),
        Ok(None) => Err(refusal(ErrorCode::NotFound, format!("no person {login:?}"))),
        Err(error) => Err(refusal(ErrorCode::Unavailable, error.to_string())),
    }
}

pub(super) async fn add(State(admin): Admin, granted: Granted, Body(new): Body<NewPerson>) -> Shown {
    let NewPerson { login, email, name, role, accounts, password } = new;
    let password = password.map(Zeroizing::new);
    let accounts = accounts.map(|names| names.iter().map(|name| account(name)).collect()).transpose()?;
    let new = people::NewPerson {
        login: account(&login)?,
        email: address(&email)?,
        name,
        role: role.unwrap_or(Role::User),
        accounts,
        password,
    };
    let record = admin.dialogue.people.clerk().add(new, by(&granted)).await?;
    Ok(Json(shown(&admin.dialogue.people, &record)))
}

pub(super) async fn set(
    State(admin): Admin,
    granted: Granted,
    Named(login): Named,
    Body(wish): Body<SetPerson>,
) -> Shown {
    let SetPerson { email, name, role, enabled } = wish;
    let email = email.as_deref().map(address).transpose()?;
    let changes = PersonChanges { email, name, role, enabled };
    let record = admin.dialogue.people.clerk().set(&login, changes, by(&granted)).await?;
    Ok(Json(shown(&admin.dialogue.people, &record)))
}

pub(super) async fn set_password(
    State(admin): Admin,
    granted: Granted,
    Named(login): Named,
    Body(wish): Body<SetPassword>,
) -> Shown {
    let password = Zeroizing::new(wish.password);
    let record = admin.dialogue.people.clerk().set_password(&login, password, by(&granted)).await?;
    Ok(Json(shown(&admin.dialogue.people, &record)))
}

pub(super) async fn share(
    State(admin): Admin,
    granted: Granted,
    Named(login): Named,
    Body(wish): Body<ShareAccount>,
) -> Shown {
    let account = account(&wish.account)?;
    let record = admin.dialogue.people.clerk().share(&login, account, by(&granted)).await?;
    Ok(Json(shown(&admin.dialogue.people, &record)))
}

pub(super) async fn unshare(
    State(admin): Admin,
    granted: Granted,
    Named(login): Named,
    Body(wish): Body<ShareAccount>,
) -> Shown {
    let account = account(&wish.account)?;
    let record = admin.dialogue.people.clerk().unshare(&login, account, by(&granted)).await?;
    Ok(Json(shown(&admin.dialogue.people, &record)))
}

pub(super) async fn remove(State(admin): Admin, granted: Granted, Named(login): Named) -> Shown {
    let record = admin.dialogue.people.clerk().remove(&login, by(&granted)).await?;
    Ok(Json(shown(&admin.dialogue.people, &record)))
}

/// Removes all security keys of a person, of the directory too.
pub(super) async fn remove_keys(State(admin): Admin, granted: Granted, Named(login): Named) -> Shown {
    let people = &admin.dialogue.people;
    let (person, answer) = match people.roster().by_login(&login) {
        Some(record) => (people::Person::from(&*record), Some(record)),
        None => match people.by_login(&login).await {
            Ok(Some(person)) => ((*person).clone(), None),
            Ok(None) => return Err(refusal(ErrorCode::NotFound, format!("no person {login:?}"))),
            Err(error) => return Err(refusal(ErrorCode::Unavailable, error.to_string())),
        },
    };
    if granted.caller().role < person.role {
        return Err(refusal(ErrorCode::NotAllowed, format!("{login} has more rights than you")));
    }
    people.keyring().remove(&person, None, granted.actor()).await?;
    Ok(Json(match answer {
        Some(record) => shown(people, &record),
        None => shown_of_directory(people, &person),
    }))
}

impl From<KeyringError> for Refusal {
    fn from(error: KeyringError) -> Self {
        let code = match error {
            KeyringError::NoSuchKey => ErrorCode::NotFound,
            KeyringError::NameTaken | KeyringError::TooMany | KeyringError::InUse => ErrorCode::Conflict,
            KeyringError::Name | KeyringError::TooLong => ErrorCode::Malformed,
            KeyringError::NotStored { .. } | KeyringError::Random(_) | KeyringError::Busy => {
                ErrorCode::Unavailable
            }
        };
        refusal(code, error.to_string())
    }
}

fn by(granted: &Granted) -> By {
    By { actor: granted.actor(), role: granted.caller().role }
}

fn account(text: &str) -> Result<UserName, Refusal> {
    UserName::new(text).map_err(|error| refusal(ErrorCode::Malformed, format!("{text:?}: {error}")))
}

fn address(text: &str) -> Result<EmailAddress, Refusal> {
    EmailAddress::parse(text).map_err(|error| refusal(ErrorCode::Malformed, format!("{text:?}: {error}")))
}

fn shown(people: &People, record: &PersonRecord) -> Person {
    Person {
        enabled: record.enabled,
        has_password: Some(record.password.is_some()),
        is_password_disabled: people.roster().rows().is_disabled(record.id),
        created: Some(rfc3339(record.created)),
        ..shown_of_directory(people, &people::Person::from(record))
    }
}

fn shown_of_directory(people: &People, person: &people::Person) -> Person {
    Person {
        api_version: wire::API_VERSION,
        kind: "person".into(),
        id: person.id.to_string(),
        login: person.login.clone(),
        email: person.email.as_ref().map(ToString::to_string),
        name: person.name.clone(),
        origin: match person.origin {
            people::PersonOrigin::Internal => PersonOrigin::Internal,
            people::PersonOrigin::Directory => PersonOrigin::Directory,
        },
        accounts: person.accounts.iter().map(ToString::to_string).collect(),
        role: person.role,
        enabled: true,
        has_password: None,
        is_password_disabled: false,
        security_keys: people.keyring().of(person.id).len(),
        created: None,
    }
}
