//! Persons of our own records: looking, adding, what is to be another, and the end of it.

use std::sync::Arc;

use hyper::{Method, StatusCode};
use serve::Reply;
use wire::admin::{
    NewPerson, Person as Kept, PersonList, PersonOrigin, Role, SetPassword, SetPerson, ShareAccount,
};
use zeroize::Zeroize as _;

use super::asking::{Ask, Refused, named, path, query};
use super::pages::{Shown, may, nothing_here, redirect, shown};
use super::parts::{Cell, Facts, Field, Rows, joined};
use super::sheet::{ActionForm, Input, Outcome, Sheet, refusal, stretch};
use super::{Asked, Web};
use crate::http::roles::Verb;
use crate::people::Person;

/// Roles, as they are sent and as they are shown.
const ROLES: [(&str, &str); 6] = [
    ("user", "User"),
    ("auditor", "Auditor: reads everything"),
    ("helpdesk", "Help desk: re-syncs, unlocks, associates"),
    ("offline_admin", "Help desk, and offline passwords"),
    ("admin", "Administrator"),
    ("super", "Everything"),
];

impl Web {
    /// Whatever is asked below `/persons`.
    pub(super) async fn persons(&self, asked: &Asked<'_>, person: &Arc<Person>, rest: &[&str]) -> Reply {
        let rest: Option<Vec<String>> = rest.iter().map(|part| named(part)).collect();
        let rest = rest.unwrap_or_default();
        let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
        match (*asked.method == Method::POST, rest.as_slice()) {
            (false, []) => self.list_persons(asked, person).await,
            (false, ["new"]) => new_person_page(asked, person, None),
            (true, ["new"]) => self.add_person(asked, person).await,
            (false, [login]) => self.person_page(asked, person, login, Outcome::None).await,
            (false, [login, "remove"]) => remove_page(asked, person, login, Outcome::None),
            (true, [login, "remove"]) => self.remove_person(asked, person, login).await,
            (true, [login, what]) => match wish(asked, login, what) {
                Some(wish) => self.change_person(asked, person, login, wish).await,
                None => nothing_here(asked, person),
            },
            _ => nothing_here(asked, person),
        }
    }

    async fn list_persons(&self, asked: &Asked<'_>, person: &Arc<Person>) -> Reply {
        let visitor = shown(asked, person);
        let list = match self.ask::<PersonList>(person, Ask::get("/v1/persons")).await {
            Ok(list) => list.items,
            Err(refused) => return refusal("Persons", &refused, &visitor),
        };
        let sought = asked.form.typed("q").unwrap_or_default();
        let found = list.into_iter().filter(|kept| has(kept, sought)).collect();
        let (found, next) = stretch(found, asked.form.typed("after"), |kept: &Kept| &kept.login);
        let mut page = Sheet::new(&visitor, "Persons");
        page.action = "/persons";
        page.questions = vec![Field::new("q", "Login name, name, address or account", Some(sought))];
        page.tables = vec![("", rows(&found))];
        page.onwards = next
            .map(|next| format!("/persons{}", query([("q", sought), ("after", next.as_str())])))
            .unwrap_or_default();
        page.texts = vec![
            "Those of a directory are not listed: the page of one is found by his login name, /persons/NAME."
                .into(),
        ];
        if may(person, Verb::PersonAdd) {
            page.links = vec![("Add a person", "/persons/new".into())];
        }
        page.reply(asked, Outcome::None)
    }

    async fn add_person(&self, asked: &Asked<'_>, person: &Arc<Person>) -> Reply {
        let typed = |name| asked.form.typed(name).map(str::to_owned);
        let accounts = asked
            .form
            .typed("accounts")
            .map(|names| names.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        let new = NewPerson {
            login: typed("login").unwrap_or_default(),
            email: typed("email").unwrap_or_default(),
            name: typed("name"),
            role: role(asked),
            accounts,
            password: None,
        };
        match self.ask::<Kept>(person, Ask::post("/v1/persons", &new)).await {
            Ok(kept) => redirect(&page_of(&kept.login, &[])),
            Err(refused) => new_person_page(asked, person, Some(refused)),
        }
    }

    async fn person_page(
        &self,
        asked: &Asked<'_>,
        person: &Arc<Person>,
        login: &str,
        outcome: Outcome,
    ) -> Reply {
        let visitor = shown(asked, person);
        match self.ask::<Kept>(person, Ask::get(of(login, &[]))).await {
            Ok(kept) => page(&visitor, person, &kept).reply(asked, outcome),
            Err(refused) => refusal("Person", &refused, &visitor),
        }
    }

    async fn change_person(&self, asked: &Asked<'_>, person: &Arc<Person>, login: &str, wish: Ask) -> Reply {
        match self.ask::<Kept>(person, wish).await {
            Ok(kept) => redirect(&page_of(&kept.login, &[])),
            Err(refused) => self.person_page(asked, person, login, Outcome::Refused(refused)).await,
        }
    }

    async fn remove_person(&self, asked: &Asked<'_>, person: &Arc<Person>, login: &str) -> Reply {
        if may(person, Verb::PersonRemove) && asked.form.typed("login") != Some(login) {
            let message = "that is not his login name".into();
            let refused = Refused { status: StatusCode::CONFLICT, message };
            return remove_page(asked, person, login, Outcome::Refused(refused));
        }
        match self.ask::<Kept>(person, Ask::delete(of(login, &[]))).await {
            Ok(_) => redirect("/persons"),
            Err(refused) => self.person_page(asked, person, login, Outcome::Refused(refused)).await,
        }
    }
}

fn new_person_page(asked: &Asked<'_>, person: &Person, refused: Option<Refused>) -> Reply {
    let visitor = shown(asked, person);
    if !may(person, Verb::PersonAdd) {
        return refusal("Add a person", &Refused::denied(), &visitor);
    }
    let again = |name| asked.form.typed(name).filter(|_| refused.is_some());
    let inputs = [
        Input::text("login", "Login name").with(again("login")),
        Input::text("email", "E-mail address").with(again("email")),
        Input::text("name", "Name; empty: the login name").with(again("name")).optional(),
        Input::text("accounts", "Unix accounts, with spaces between; empty: the one of the login name")
            .with(again("accounts"))
            .optional(),
        Input::choice("role", "Role", &ROLES).with(again("role")),
    ];
    let mut page = Sheet::new(&visitor, "Add a person");
    page.offer(ActionForm::new("new", "Add", "/persons/new".into(), inputs));
    page.links = vec![("All persons", "/persons".into())];
    page.reply(asked, refused.map_or(Outcome::None, Outcome::Refused))
}

fn remove_page(asked: &Asked<'_>, person: &Person, login: &str, outcome: Outcome) -> Reply {
    let visitor = shown(asked, person);
    let title = format!("Remove {login}");
    if !may(person, Verb::PersonRemove) {
        return refusal(&title, &Refused::denied(), &visitor);
    }
    let mut page = Sheet::new(&visitor, title);
    page.texts = vec![
        "He signs in no longer, and asks for and decides nothing. His accounts and their tokens stay as they are.".into(),
    ];
    let inputs = [Input::text("login", "Type his login name")];
    page.offer(ActionForm::new("remove", "Remove", page_of(login, &["remove"]), inputs).grave());
    page.links = vec![("Leave him as he is", page_of(login, &[]))];
    page.reply(asked, outcome)
}

/// What the forms of a person's page ask for.
fn wish(asked: &Asked<'_>, login: &str, what: &str) -> Option<Ask> {
    let typed = |name| asked.form.typed(name).map(str::to_owned);
    let account = || ShareAccount { account: typed("account").unwrap_or_default() };
    Some(match what {
        "set" => {
            let (email, name) = (typed("email"), typed("name"));
            Ask::put(of(login, &[]), &SetPerson { email, name, role: role(asked), enabled: None })
        }
        "enable" | "disable" => {
            let enabled = Some(what == "enable");
            Ask::put(of(login, &[]), &SetPerson { enabled, ..SetPerson::default() })
        }
        "share" | "unshare" => Ask::post(of(login, &[what]), &account()),
        "password" => {
            let password = asked.form.field("password").map(|typed| typed.to_string()).unwrap_or_default();
            let mut said = SetPassword { password };
            let ask = Ask::put(of(login, &["password"]), &said);
            said.password.zeroize();
            ask
        }
        _ => return None,
    })
}

fn page<'a>(visitor: &'a Shown, viewer: &Person, kept: &Kept) -> Sheet<'a> {
    let mut page = Sheet::new(visitor, kept.login.as_str());
    page.facts = Some(facts(kept));
    if kept.origin == PersonOrigin::Internal {
        forms(viewer, kept).into_iter().for_each(|form| page.offer(form));
        if may(viewer, Verb::PersonRemove) {
            page.links.push(("Remove", page_of(&kept.login, &["remove"])));
        }
    }
    page.links.push(("All persons", "/persons".into()));
    page
}

/// What a role may do about a person of our records, as forms.
fn forms(viewer: &Person, kept: &Kept) -> Vec<ActionForm> {
    let to = |what| page_of(&kept.login, &[what]);
    let mut forms = Vec::new();
    if may(viewer, Verb::PersonSet) {
        let inputs = [
            Input::text("email", "E-mail address").with(kept.email.as_deref()),
            Input::text("name", "Name").with(Some(&kept.name)),
            Input::choice("role", "Role", &ROLES).with(Some(kept.role.word())),
        ];
        forms.push(ActionForm::new("set", "Save", to("set"), inputs));
    }
    if may(viewer, Verb::PersonPassword) {
        let inputs = [Input::password("password", "New password, 12 to 256 characters")];
        forms.push(
            ActionForm::new("password", "Set the password", to("password"), inputs)
                .note("Ends his sign-ins."),
        );
    }
    if may(viewer, Verb::PersonShare) {
        let inputs = [Input::text("account", "Unix account")];
        forms.push(ActionForm::new("share", "Let him use an account", to("share"), inputs));
        forms.extend(kept.accounts.iter().map(|account| {
            ActionForm::new(
                "unshare",
                "Take an account away",
                to("unshare"),
                [Input::hidden("account", account)],
            )
            .note(format!("He may use {account}."))
            .grave()
        }));
    }
    if may(viewer, Verb::PersonSet) {
        forms.push(match kept.enabled {
            true => ActionForm::new("disable", "Let him in no longer", to("disable"), [])
                .note("His sign-ins end, until he is let in again.")
                .grave(),
            false => ActionForm::new("enable", "Let him in again", to("enable"), []),
        });
    }
    forms
}

fn facts(kept: &Kept) -> Facts {
    let mut facts = vec![
        ("Name", Cell::from(kept.name.as_str())),
        ("E-mail address", kept.email.as_deref().into()),
        ("Accounts", joined(&kept.accounts).into()),
        ("Role", kept.role.word().into()),
        (
            "Known from",
            if kept.origin == PersonOrigin::Internal { "our records" } else { "the directory" }.into(),
        ),
        ("Let in", if kept.enabled { "yes" } else { "no" }.into()),
    ];
    facts.extend(kept.has_password.map(|has| ("Password", password(has, kept.is_password_disabled).into())));
    facts.extend(kept.created.as_deref().map(|created| ("Added", created.into())));
    Facts(facts)
}

fn password(is_set: bool, is_disabled: bool) -> &'static str {
    match (is_set, is_disabled) {
        (_, true) => "disabled after too many wrong ones: set another one",
        (true, false) => "set",
        (false, false) => "none yet",
    }
}

fn rows(persons: &[Kept]) -> Rows {
    let row = |kept: &Kept| {
        [
            Cell::leading(&kept.login, page_of(&kept.login, &[])),
            kept.name.as_str().into(),
            kept.email.as_deref().into(),
            joined(&kept.accounts).into(),
            kept.role.word().into(),
            if kept.enabled { "yes" } else { "no" }.into(),
        ]
    };
    let headings = ["Login name", "Name", "E-mail address", "Accounts", "Role", "Let in"];
    Rows::new(headings, persons.iter().map(row), "There is nobody.")
}

fn has(kept: &Kept, sought: &str) -> bool {
    let sought = sought.to_lowercase();
    let texts = [&kept.login, &kept.name].into_iter().chain(&kept.email).chain(&kept.accounts);
    texts.into_iter().any(|text| text.to_lowercase().contains(&sought))
}

/// The role that was chosen; none where that is no role.
fn role(asked: &Asked<'_>) -> Option<Role> {
    let chosen = asked.form.typed("role")?;
    Role::ALL.into_iter().find(|role| role.word() == chosen)
}

/// The route of a person.
fn of(login: &str, more: &[&str]) -> String {
    path(&[&["v1", "persons", login], more].concat())
}

/// The page of a person.
fn page_of(login: &str, more: &[&str]) -> String {
    path(&[&["persons", login], more].concat())
}
