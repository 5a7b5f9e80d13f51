//! `postern person`: the humans behind accounts.

use std::io;

use wire::admin::{NewPerson, Person, PersonList, PersonOrigin, SetPassword, SetPerson, ShareAccount};
use zeroize::{Zeroize, Zeroizing};

use crate::args::{PersonAccount, PersonKeysVerb, PersonLogin, PersonOrder, PersonVerb, PersonWish};
use crate::client::{Client, segment};
use crate::failure::Failure;
use crate::output::table::{self, joined, or_dash, yes_no};
use crate::output::{Answer, Format};
use crate::typed::Typed;
use crate::verbs::Session;

/// Runs one of the verbs.
pub async fn run(session: &Session, verb: PersonVerb) -> Result<Answer, Failure> {
    let (client, format) = (&session.client, session.format);
    match verb {
        PersonVerb::List => {
            let persons: PersonList = client.get("/v1/persons").await?;
            Answer::list(format, &persons, &persons.items, || rows(&persons.items))
        }
        PersonVerb::Show(PersonLogin { login }) => show(&client.get(&path(&login, "")).await?, format),
        PersonVerb::Add(order) => add(session, order).await,
        PersonVerb::Set(PersonWish { who, change }) => {
            let wish = SetPerson {
                email: change.email,
                name: change.name,
                role: change.role.map(Into::into),
                enabled: (change.enable || change.disable).then_some(change.enable),
            };
            show(&client.put(&path(&who.login, ""), &wish).await?, format)
        }
        PersonVerb::Password(PersonLogin { login }) => {
            let mut wish = SetPassword { password: new_password(&session.typed)?.to_string() };
            let changed = client.put(&path(&login, "/password"), &wish).await;
            wish.password.zeroize();
            Ok(show(&changed?, format)?.saying("his sign-ins have ended"))
        }
        PersonVerb::Share(wish) => share(client, wish, "/share", format).await,
        PersonVerb::Unshare(wish) => share(client, wish, "/unshare", format).await,
        PersonVerb::SecurityKeys(PersonKeysVerb::Remove(PersonLogin { login })) => {
            let person: Person = client.delete(&path(&login, "/keys")).await?;
            Ok(show(&person, format)?.saying(&format!("{login} has no security keys any more")))
        }
        PersonVerb::Remove(PersonLogin { login }) => {
            let removed: Person = client.delete(&path(&login, "")).await?;
            Ok(show(&removed, format)?.saying(&format!("{login} is removed")))
        }
        PersonVerb::Key(verb) => super::key::run(session, verb).await,
    }
}

async fn add(session: &Session, order: PersonOrder) -> Result<Answer, Failure> {
    let password = order.password.then(|| new_password(&session.typed)).transpose()?;
    let mut wish = NewPerson {
        login: order.login,
        email: order.email,
        name: order.name,
        role: Some(order.role.into()),
        accounts: (!order.account.is_empty()).then_some(order.account),
        password: password.map(|password| password.to_string()),
    };
    let added = session.client.post("/v1/persons", &wish).await;
    wish.password.zeroize();
    show(&added?, session.format)
}

async fn share(client: &Client, wish: PersonAccount, what: &str, format: Format) -> Result<Answer, Failure> {
    let PersonAccount { who, account } = wish;
    show(&client.post(&path(&who.login, what), &ShareAccount { account }).await?, format)
}

/// A new password; twice at a terminal, where nobody sees what he types.
fn new_password(typed: &Typed) -> Result<Zeroizing<String>, Failure> {
    let password = typed.line("a password", "New password (12 to 256 characters): ")?;
    let is_same = !rustix::termios::isatty(io::stdin())
        || *typed.line("the same password again", "The same again: ")? == *password;
    if is_same { Ok(password) } else { Err(Failure::Usage { problem: "the two passwords are not the same" }) }
}

fn path(login: &str, what: &str) -> String {
    format!("/v1/persons/{}{what}", segment(login))
}

fn show(person: &Person, format: Format) -> Result<Answer, Failure> {
    Answer::one(format, person, || {
        table::properties([
            ("login", person.login.clone()),
            ("id", person.id.clone()),
            ("name", person.name.clone()),
            ("e-mail", or_dash(person.email.as_deref())),
            ("from", origin(person.origin)),
            ("accounts", joined(&person.accounts)),
            ("role", person.role.word().to_owned()),
            ("let in", yes_no(person.enabled)),
            ("password", password(person)),
            ("security keys", person.security_keys.to_string()),
            ("added", or_dash(person.created.as_deref())),
        ])
    })
}

fn rows(persons: &[Person]) -> String {
    table::list(
        ["LOGIN", "NAME", "E-MAIL", "ACCOUNTS", "ROLE", "LET IN", "PASSWORD"],
        persons.iter().map(|person| {
            [
                person.login.clone(),
                table::short(&person.name),
                or_dash(person.email.as_deref()),
                table::short(&joined(&person.accounts)),
                person.role.word().to_owned(),
                yes_no(person.enabled),
                password(person),
            ]
        }),
    )
}

fn origin(origin: PersonOrigin) -> String {
    match origin {
        PersonOrigin::Internal => "Postern's own records",
        PersonOrigin::Directory => "the directory",
    }
    .to_owned()
}

fn password(person: &Person) -> String {
    match person.has_password {
        Some(_) if person.is_password_disabled => "disabled after too many wrong ones".to_owned(),
        Some(has) => yes_no(has),
        None => "the directory's".to_owned(),
    }
}
