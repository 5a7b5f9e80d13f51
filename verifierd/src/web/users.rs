//! Users: who is asked for a one-time password, his tokens and recovery codes, and what a role may do about them.

use std::collections::BTreeSet;
use std::sync::Arc;

use hyper::Method;
use serve::Reply;
use wire::admin::{
    Associate, BanList, EnrolWith, NewToken, OnOff, Proof, RecoveryCodes, RecoveryStatus, SetOtp, Token,
    TokenState, Unlocked, User, UserList, UserToken,
};
use zeroize::Zeroizing;

use super::asking::{Ask, Refused, named, path, query};
use super::pages::{may, nothing_here, redirect, shown};
use super::parts::{Cell, Facts, Field, Rows};
use super::sheet::{ActionForm, Input, Outcome, Sheet, refusal, stretch};
use super::tokens::{associate, state_word, type_word};
use super::{Asked, Web};
use crate::http::roles::{Right, Verb, right};
use crate::people::Person;

/// How a user without a token gets one.
const WAYS: [(&str, &str); 3] =
    [("", "as configured"), ("app", "an authenticator app"), ("token", "a token that he was handed")];

impl Web {
    /// Whatever is asked below `/users`.
    pub(super) async fn users(&self, asked: &Asked<'_>, person: &Arc<Person>, rest: &[&str]) -> Reply {
        let is_post = *asked.method == Method::POST;
        let Some(name) = rest.first().map_or(Some(String::new()), |part| named(part)) else {
            return nothing_here(asked, person);
        };
        match (is_post, rest) {
            (false, []) => self.users_page(asked, person, Outcome::None).await,
            (true, []) => self.demand(asked, person).await,
            (false, [_]) => self.user_page(asked, person, &name, Outcome::None).await,
            (false, [_, "off"]) => off_page(asked, person, &name, Outcome::None),
            (false, [_, "recovery"]) => recovery_page(asked, person, &name, Outcome::None),
            (true, [_, "recovery"]) => self.new_recovery_codes(asked, person, &name).await,
            (true, [_, what]) => self.change_user(asked, person, &name, what).await,
            _ => nothing_here(asked, person),
        }
    }

    async fn users_page(&self, asked: &Asked<'_>, person: &Arc<Person>, outcome: Outcome) -> Reply {
        let visitor = shown(asked, person);
        let list = match self.ask::<UserList>(person, Ask::get("/v1/users")).await {
            Ok(list) => list.items,
            Err(refused) => return refusal("Users", &refused, &visitor),
        };
        let bans = match self.ask::<BanList>(person, Ask::get("/v1/bans")).await {
            Ok(list) => list.items,
            Err(refused) => return refusal("Users", &refused, &visitor),
        };
        let waiting: BTreeSet<String> = bans.into_iter().filter_map(|ban| ban.user).collect();
        let wanted = asked.form.typed("q").unwrap_or_default();
        let found = list.into_iter().filter(|user| is_found(user, wanted)).collect();
        let (users, next) = stretch(found, asked.form.typed("after"), |user| &user.name);
        let mut page = Sheet::new(&visitor, "Users");
        page.action = "/users";
        page.questions = vec![Field::new("q", "Name of a user, or serial number", Some(wanted))];
        page.tables = vec![("", rows(&users, &waiting))];
        page.onwards = next
            .map(|next| format!("/users{}", query([("q", wanted), ("after", next.as_str())])))
            .unwrap_or_default();
        if may(person, Verb::UserSetOtp) {
            let inputs = [Input::text("name", "User"), Input::choice("with", "Enrols with", &WAYS)];
            page.offer(
                ActionForm::new("demand", "Demand a one-time password", "/users".into(), inputs)
                    .note("From then on the user is asked for one at every login."),
            );
        }
        page.reply(asked, outcome)
    }

    /// Demands a one-time password, of somebody of whom Postern need not know yet.
    async fn demand(&self, asked: &Asked<'_>, person: &Arc<Person>) -> Reply {
        let name = asked.form.typed("name").unwrap_or_default();
        match self.ask::<User>(person, otp_on(asked, name)).await {
            Ok(user) => redirect(&page_of(&user.name, "changed")),
            Err(refused) => self.users_page(asked, person, Outcome::Refused(refused)).await,
        }
    }

    async fn user_page(
        &self,
        asked: &Asked<'_>,
        person: &Arc<Person>,
        name: &str,
        outcome: Outcome,
    ) -> Reply {
        let visitor = shown(asked, person);
        let title = format!("User {name}");
        let user = match self.ask::<User>(person, Ask::get(of(name, &[]))).await {
            Ok(user) => user,
            Err(refused) => return refusal(&title, &refused, &visitor),
        };
        let recovery = match self.ask::<RecoveryStatus>(person, Ask::get(of(name, &["recovery"]))).await {
            Ok(recovery) => recovery,
            Err(refused) => return refusal(&title, &refused, &visitor),
        };
        let mut page = Sheet::new(&visitor, title);
        page.facts = Some(facts(&user, &recovery));
        page.tables = vec![("Tokens", token_rows(&user.tokens))];
        for form in forms(person, &user) {
            page.offer(form);
        }
        page.links = links(person, &user);
        page.reply(asked, outcome)
    }

    async fn change_user(&self, asked: &Asked<'_>, person: &Arc<Person>, name: &str, what: &str) -> Reply {
        let typed = |field| asked.form.typed(field).unwrap_or_default();
        let done = match what {
            "on" => self.ask::<User>(person, otp_on(asked, name)).await.map(|_| "changed"),
            "off" => {
                let wish = SetOtp { otp: OnOff::Off, enrol_with: None };
                self.ask::<User>(person, Ask::put(of(name, &["otp"]), &wish)).await.map(|_| "changed")
            }
            "unlock" => {
                self.ask::<Unlocked>(person, Ask::post(of(name, &["unlock"]), &())).await.map(|_| "unlocked")
            }
            "associate" => {
                let wish: Associate = associate(asked, name);
                let to = path(&["v1", "tokens", typed("serial"), "associate"]);
                self.ask::<Token>(person, Ask::post(to, &wish)).await.map(|_| "associated")
            }
            "assign" => {
                let wish = wire::admin::Assign { user: name.to_owned() };
                let to = path(&["v1", "tokens", typed("serial"), "assign"]);
                self.ask::<Token>(person, Ask::post(to, &wish)).await.map(|_| "assigned")
            }
            "app" => {
                let wish = NewToken { user: Some(name.to_owned()), ..NewToken::default() };
                self.ask::<Token>(person, Ask::post("/v1/tokens", &wish)).await.map(|_| "added")
            }
            _ => return nothing_here(asked, person),
        };
        match done {
            Ok(done) => redirect(&page_of(name, done)),
            Err(refused) => self.user_page(asked, person, name, Outcome::Refused(refused)).await,
        }
    }

    /// Tells new recovery codes, once: in this answer, which nobody keeps.
    pub(super) async fn new_recovery_codes(
        &self,
        asked: &Asked<'_>,
        person: &Arc<Person>,
        name: &str,
    ) -> Reply {
        let proof = Proof { code: asked.form.typed("code").map(str::to_owned) };
        let made = self.ask::<RecoveryCodes>(person, Ask::post(of(name, &["recovery"]), &proof)).await;
        let visitor = shown(asked, person);
        match made {
            Ok(RecoveryCodes { user, codes }) => {
                let mut page = Sheet::new(&visitor, format!("Recovery codes of {user}"));
                page.once = Zeroizing::new(codes);
                page.texts = vec![
                    "Print them or write them down. They are shown once; the ones before are void.".into(),
                ];
                page.links = vec![back(person, name)];
                page.said = "Each lets the user in once, where he has no token at hand.".into();
                page.reply(asked, Outcome::None)
            }
            Err(refused) => recovery_page(asked, person, name, Outcome::Refused(refused)),
        }
    }
}

/// What turning the demand off does, before it does.
fn off_page(asked: &Asked<'_>, person: &Arc<Person>, name: &str, outcome: Outcome) -> Reply {
    let visitor = shown(asked, person);
    let title = format!("Turn the demand off for {name}");
    if !may(person, Verb::UserSetOtp) {
        return refusal(&title, &Refused::denied(), &visitor);
    }
    let mut page = Sheet::new(&visitor, title);
    page.texts = vec![
        "From then on this user logs in without a one-time password.".into(),
        "The secret of an authenticator app is wiped and cannot come back; a hardware token becomes available.".into(),
    ];
    page.offer(ActionForm::new("off", "Turn it off", form_of(name, "off"), []).grave());
    page.links = vec![("Leave it as it is", path(&["users", name]))];
    page.reply(asked, outcome)
}

/// What new recovery codes do, before they are made.
fn recovery_page(asked: &Asked<'_>, person: &Arc<Person>, name: &str, outcome: Outcome) -> Reply {
    let visitor = shown(asked, person);
    let own = right(Verb::RecoveryRegenerate, person.role) == Right::Own;
    let mut page = Sheet::new(&visitor, format!("New recovery codes for {name}"));
    page.texts = vec!["The codes before are void from then on. The new ones are shown once.".into()];
    let code = own.then(|| Input::code("code", "The digits that your app or token shows"));
    page.offer(ActionForm::new("recovery", "Make new codes", form_of(name, "recovery"), code).grave());
    page.links = vec![back(person, name)];
    page.reply(asked, outcome)
}

/// To the page from which he came.
fn back(person: &Person, name: &str) -> (&'static str, String) {
    if may(person, Verb::UserShow) {
        ("Back to the user", path(&["users", name]))
    } else {
        ("Back to your account", "/account".to_owned())
    }
}

/// The route of a user.
fn of(name: &str, more: &[&str]) -> String {
    path(&[&["v1", "users", name], more].concat())
}

fn form_of(name: &str, what: &str) -> String {
    path(&["users", name, what])
}

/// The page of a user after something was done.
fn page_of(name: &str, done: &str) -> String {
    format!("{}{}", path(&["users", name]), query([("done", done)]))
}

fn otp_on(asked: &Asked<'_>, name: &str) -> Ask {
    let enrol_with = match asked.form.typed("with") {
        Some("app") => Some(EnrolWith::App),
        Some("token") => Some(EnrolWith::Token),
        _ => None,
    };
    Ask::put(of(name, &["otp"]), &SetOtp { otp: OnOff::On, enrol_with })
}

/// Whether somebody is looked for: by a part of his name, or of the serial number of a token of his.
fn is_found(user: &User, wanted: &str) -> bool {
    let wanted = wanted.to_lowercase();
    user.name.to_lowercase().contains(&wanted)
        || user.tokens.iter().any(|token| token.serial.to_lowercase().contains(&wanted))
}

fn rows(users: &[User], waiting: &BTreeSet<String>) -> Rows {
    let row = |user: &User| {
        let tokens: Vec<String> = user
            .tokens
            .iter()
            .map(|token| format!("{} ({})", token.serial, state_word(token.state)))
            .collect();
        [
            Cell::leading(&user.name, path(&["users", &user.name])),
            on_off(user.otp).into(),
            yes_no(user.activated).into(),
            super::parts::joined(&tokens).into(),
            if waiting.contains(&user.name) { "has to wait" } else { "no" }.into(),
        ]
    };
    let headings = ["User", "One-time password", "Activated", "Tokens", "Locked"];
    Rows::new(headings, users.iter().map(row), "There is no such user.")
}

/// Tokens of one user, each leading to its page.
pub(super) fn token_rows(tokens: &[UserToken]) -> Rows {
    let row = |token: &UserToken| {
        [
            Cell::leading(&token.serial, path(&["tokens", &token.serial])),
            type_word(token.token_type).into(),
            if token.is_app { "authenticator app" } else { "hardware token" }.into(),
            state_word(token.state).into(),
        ]
    };
    Rows::new(["Serial number", "Type", "Kind", "State"], tokens.iter().map(row), "There are no tokens.")
}

fn facts(user: &User, recovery: &RecoveryStatus) -> Facts {
    let grace = match (&user.grace_until, user.grace_logins_left) {
        (None, None) => "none".to_owned(),
        (until, logins) => {
            let until = until.as_ref().map(|until| format!("until {until}"));
            let logins = logins.map(|logins| format!("{logins} logins left"));
            [until, logins].into_iter().flatten().collect::<Vec<_>>().join(", ")
        }
    };
    Facts(vec![
        ("One-time password", on_off(user.otp).into()),
        ("Activated", yes_no(user.activated).into()),
        ("Grace", grace.into()),
        ("Last login", user.last_login.as_deref().into()),
        ("Recovery codes left", codes_left(recovery).into()),
    ])
}

/// How many recovery codes are left, and why they do not work where they do not.
pub(super) fn codes_left(recovery: &RecoveryStatus) -> String {
    let waiting = if recovery.waiting { ", held until an administrator settles the store" } else { "" };
    format!("{}{waiting}", recovery.left)
}

/// What a role may do about a user, as its forms.
fn forms(person: &Person, user: &User) -> Vec<ActionForm> {
    let to = |what| form_of(&user.name, what);
    let is_all = |verb| right(verb, person.role) == Right::All;
    let mut forms = Vec::new();
    if is_all(Verb::UserUnlock) {
        forms.push(
            ActionForm::new("unlock", "Unlock", to("unlock"), [])
                .note("Clears the counts of wrong codes, and enables tokens that they disabled."),
        );
    }
    if is_all(Verb::TokenAssociate) {
        let inputs = [
            Input::text("serial", "Serial number"),
            Input::code("code", "A code of the token"),
            Input::code("next_code", "The code after it, where the token is far out of step").optional(),
        ];
        forms.push(
            ActionForm::new("associate", "Associate a token", to("associate"), inputs)
                .note("For a user who holds it, as a code of it proves."),
        );
    }
    if is_all(Verb::TokenAssign) {
        let inputs = [Input::text("serial", "Serial number")];
        forms.push(
            ActionForm::new("assign", "Assign a token", to("assign"), inputs)
                .note("The user is asked for a code of it at the next login."),
        );
    }
    if is_all(Verb::TokenAdd) {
        forms.push(
            ActionForm::new("app", "Add an authenticator app", to("app"), [])
                .note("The user sees its QR code at the next login."),
        );
    }
    if is_all(Verb::UserSetOtp) && user.otp == OnOff::Off {
        let inputs = [Input::choice("with", "Enrols with", &WAYS)];
        forms.push(ActionForm::new("on", "Demand a one-time password", to("on"), inputs));
    }
    forms
}

/// What takes a page of its own, because it cannot be undone.
fn links(person: &Person, user: &User) -> Vec<(&'static str, String)> {
    let mut links = Vec::new();
    if may(person, Verb::UserSetOtp) && user.otp == OnOff::On {
        links.push(("Turn the demand off", form_of(&user.name, "off")));
    }
    if right(Verb::RecoveryRegenerate, person.role) == Right::All {
        links.push(("New recovery codes", form_of(&user.name, "recovery")));
    }
    links.push(("All users", "/users".to_owned()));
    links
}

fn on_off(otp: OnOff) -> &'static str {
    match otp {
        OnOff::On => "on",
        OnOff::Off => "off",
    }
}

fn yes_no(is_so: bool) -> &'static str {
    if is_so { "yes" } else { "no" }
}

/// Whether a user holds this one and could show a code of it.
pub(super) fn is_held(state: TokenState) -> bool {
    matches!(state, TokenState::Assigned | TokenState::Associated)
}
