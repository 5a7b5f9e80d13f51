//! Tokens: the list, one of them, and what a role may do with it; a user with his own.

use std::sync::Arc;

use hyper::Method;
use serve::Reply;
use wire::admin::{
    Assign, Associate, CodeCheck, DisabledBy, Disassociated, NewToken, Proof, Resynchronize, Test, Token,
    TokenList, TokenState, TokenType,
};
use zeroize::Zeroize;

use super::asking::{Ask, Refused, named, path, query};
use super::pages::{may, nothing_here, redirect, shown};
use super::parts::{Cell, Facts, Field, Rows};
use super::sheet::{ActionForm, Input, Outcome, Sheet, refusal, stretch};
use super::{Asked, Web};
use crate::http::roles::{Caller, Right, Verb, right};
use crate::people::Person;

const TYPES: [(&str, &str); 2] = [("totp", "time (TOTP)"), ("hotp", "counter (HOTP)")];
const ALGORITHMS: [(&str, &str); 3] = [("SHA1", "SHA1"), ("SHA256", "SHA256"), ("SHA512", "SHA512")];
const DIGITS: [(&str, &str); 3] = [("6", "6"), ("7", "7"), ("8", "8")];

impl Web {
    /// Whatever is asked below `/tokens`.
    pub(super) async fn tokens(&self, asked: &Asked<'_>, person: &Arc<Person>, rest: &[&str]) -> Reply {
        let is_post = *asked.method == Method::POST;
        let Some(serial) = rest.first().map_or(Some(String::new()), |part| named(part)) else {
            return nothing_here(asked, person);
        };
        match (is_post, rest) {
            (false, []) => self.tokens_page(asked, person, Outcome::None).await,
            (true, []) => self.add_token(asked, person).await,
            (false, [_]) => self.token_page(asked, person, &serial, Outcome::None).await,
            (false, [_, what]) => self.confirm_page(asked, person, &serial, what, Outcome::None).await,
            (true, [_, what]) => self.change_token(asked, person, &serial, what).await,
            _ => nothing_here(asked, person),
        }
    }

    async fn tokens_page(&self, asked: &Asked<'_>, person: &Arc<Person>, outcome: Outcome) -> Reply {
        let visitor = shown(asked, person);
        // What stands in the form that adds one is no question.
        let is_get = *asked.method != Method::POST;
        let typed = |name| asked.form.typed(name).filter(|_| is_get);
        let asks = ["state", "user"].into_iter().filter_map(|name| Some((name, typed(name)?)));
        let list = Ask::get(format!("/v1/tokens{}", query(asks)));
        let (tokens, outcome) = match self.ask::<TokenList>(person, list).await {
            Ok(list) => (list.items, outcome),
            Err(refused) if !may(person, Verb::TokenList) => return refusal("Tokens", &refused, &visitor),
            Err(refused) => (Vec::new(), Outcome::Refused(refused)),
        };
        let wanted = typed("serial").unwrap_or_default().to_lowercase();
        let found =
            tokens.into_iter().filter(|token| token.serial.to_lowercase().contains(&wanted)).collect();
        let (tokens, next) = stretch(found, typed("after"), |token| &token.serial);
        let mut page = Sheet::new(&visitor, "Tokens");
        page.action = "/tokens";
        page.questions = vec![
            Field::new("serial", "Serial number", typed("serial")),
            Field::new("user", "User", typed("user")),
            Field::new("state", "State", typed("state"))
                .with_hint("available, assigned, associated, disabled or lost"),
        ];
        page.tables = vec![("", rows(&tokens))];
        let kept = ["serial", "state", "user"].into_iter().filter_map(|name| Some((name, typed(name)?)));
        page.onwards = next
            .as_deref()
            .map(|next| format!("/tokens{}", query(kept.chain([("after", next)]))))
            .unwrap_or_default();
        if may(person, Verb::TokenAdd) {
            page.offer(add_form());
            page.texts =
                vec!["A file of many tokens is imported with the command: postern token import.".into()];
        }
        page.reply(asked, outcome)
    }

    async fn add_token(&self, asked: &Asked<'_>, person: &Arc<Person>) -> Reply {
        let mut new = match new_token(asked) {
            Ok(new) => new,
            Err(refused) => return self.tokens_page(asked, person, Outcome::Refused(refused)).await,
        };
        let ask = Ask::post("/v1/tokens", &new);
        new.secret.zeroize();
        match self.ask::<Token>(person, ask).await {
            Ok(token) => redirect(&page_of(&token.serial, "added")),
            Err(refused) => self.tokens_page(asked, person, Outcome::Refused(refused)).await,
        }
    }

    async fn token_page(
        &self,
        asked: &Asked<'_>,
        person: &Arc<Person>,
        serial: &str,
        outcome: Outcome,
    ) -> Reply {
        let visitor = shown(asked, person);
        let title = format!("Token {serial}");
        let token = match self.ask::<Token>(person, Ask::get(of(serial, &[]))).await {
            Ok(token) => token,
            Err(refused) => return refusal(&title, &refused, &visitor),
        };
        let mut page = Sheet::new(&visitor, title);
        page.facts = Some(facts(&token, may(person, Verb::UserShow)));
        for form in forms(person, &token) {
            page.offer(form);
        }
        let grave =
            GRAVE.into_iter().filter(|grave| grave.fits(&token) && offers(person, grave.verb, &token));
        page.links = grave.map(|grave| (grave.name, form_of(&token.serial, grave.word))).collect();
        page.links.push(if may(person, Verb::TokenList) {
            ("All tokens", "/tokens".to_owned())
        } else {
            ("Your account", "/account".to_owned())
        });
        page.reply(asked, outcome)
    }

    /// What follows, and a button: no link alone takes a token away.
    async fn confirm_page(
        &self,
        asked: &Asked<'_>,
        person: &Arc<Person>,
        serial: &str,
        what: &str,
        outcome: Outcome,
    ) -> Reply {
        let visitor = shown(asked, person);
        let Some(grave) = GRAVE.into_iter().find(|grave| grave.word == what) else {
            return nothing_here(asked, person);
        };
        if !may(person, grave.verb) {
            return refusal(grave.name, &Refused::denied(), &visitor);
        }
        let token = match self.ask::<Token>(person, Ask::get(of(serial, &[]))).await {
            Ok(token) => token,
            Err(refused) => return refusal(grave.name, &refused, &visitor),
        };
        let mut page = Sheet::new(&visitor, format!("{}: {serial}", grave.name));
        let user = token.user.as_deref().map(|user| format!("It belongs to {user}."));
        page.texts = user.into_iter().chain([grave.follows.to_owned()]).collect();
        let needs_code =
            grave.verb == Verb::TokenDisassociate && right(grave.verb, person.role) == Right::Own;
        let code = needs_code.then(|| Input::code("code", "The digits that a token of yours shows"));
        page.offer(ActionForm::new("confirm", grave.name, form_of(serial, what), code).grave());
        page.links = vec![("Leave it as it is", path(&["tokens", serial]))];
        page.reply(asked, outcome)
    }

    async fn change_token(&self, asked: &Asked<'_>, person: &Arc<Person>, serial: &str, what: &str) -> Reply {
        let code = || asked.form.typed("code").unwrap_or_default().to_owned();
        let done = match what {
            "associate" => {
                let user = asked.form.typed("user").unwrap_or_default();
                let wish = Ask::post(of(serial, &[what]), &associate(asked, user));
                self.ask::<Token>(person, wish).await.map(|_| "associated")
            }
            "assign" => {
                let wish = Assign { user: asked.form.typed("user").unwrap_or_default().to_owned() };
                self.ask::<Token>(person, Ask::post(of(serial, &[what]), &wish)).await.map(|_| "assigned")
            }
            "resync" => {
                let next_code = asked.form.typed("next_code").unwrap_or_default().to_owned();
                let wish = Ask::post(of(serial, &[what]), &Resynchronize { code: code(), next_code });
                self.ask::<Token>(person, wish).await.map(|_| "resync")
            }
            "test" => return self.test_token(asked, person, serial, &Test { code: code() }).await,
            "enable" | "disable" | "lost" => {
                self.ask::<Token>(person, Ask::post(of(serial, &[what]), &())).await.map(|_| "changed")
            }
            "disassociate" => {
                let proof = Proof { code: asked.form.typed("code").map(str::to_owned) };
                let wish = Ask::post(of(serial, &[what]), &proof);
                self.ask::<Disassociated>(person, wish).await.map(|_| "disassociated")
            }
            "remove" => self.ask::<Token>(person, Ask::delete(of(serial, &[]))).await.map(|_| "removed"),
            _ => return nothing_here(asked, person),
        };
        match done {
            // It may be gone, or another's to see.
            Ok("disassociated" | "removed") if !may(person, Verb::TokenList) => {
                redirect("/account?done=disassociated")
            }
            Ok(done @ ("disassociated" | "removed")) => {
                redirect(&format!("/tokens{}", query([("done", done)])))
            }
            Ok(done) => redirect(&page_of(serial, done)),
            Err(refused) => {
                let outcome = Outcome::Refused(refused);
                if GRAVE.iter().any(|grave| grave.word == what) {
                    return self.confirm_page(asked, person, serial, what, outcome).await;
                }
                self.token_page(asked, person, serial, outcome).await
            }
        }
    }

    /// A wrong code is an answer, not a refusal.
    async fn test_token(&self, asked: &Asked<'_>, person: &Arc<Person>, serial: &str, test: &Test) -> Reply {
        let outcome = match self.ask::<CodeCheck>(person, Ask::post(of(serial, &["test"]), test)).await {
            Ok(check) => {
                let found = if check.right { "The code is right" } else { "The code is not right" };
                let detail = check.detail.map(|detail| format!(", {detail}")).unwrap_or_default();
                Outcome::Said(format!(
                    "{found} ({}{detail}). It is used up. Reference {}.",
                    check.reason, check.reference
                ))
            }
            Err(refused) => Outcome::Refused(refused),
        };
        self.token_page(asked, person, serial, outcome).await
    }
}

/// Something that is asked for twice.
#[derive(Clone, Copy)]
struct Grave {
    word: &'static str,
    verb: Verb,
    name: &'static str,
    follows: &'static str,
}

/// As the command asks first.
const GRAVE: [Grave; 4] = [
    Grave {
        word: "lost",
        verb: Verb::TokenLost,
        name: "Mark it as lost",
        follows: "No code of it is accepted any more. An administrator can enable it again when it is found.",
    },
    Grave {
        word: "disable",
        verb: Verb::TokenDisable,
        name: "Disable it",
        follows: "No code of it is accepted until it is enabled again.",
    },
    Grave {
        word: "disassociate",
        verb: Verb::TokenDisassociate,
        name: "Disassociate it",
        follows: "It is taken from its user. A hardware token becomes available; one of an authenticator app is gone \
                  with its secret and cannot come back.",
    },
    Grave {
        word: "remove",
        verb: Verb::TokenRemove,
        name: "Remove it",
        follows: "It is gone with its secret. Only a token that nobody has and of which no code was ever accepted can be \
                  removed.",
    },
];

impl Grave {
    /// Whether it makes sense for a token as it is.
    fn fits(&self, token: &Token) -> bool {
        let is_stopped = matches!(token.state, TokenState::Disabled | TokenState::Lost);
        match self.word {
            "lost" => token.user.is_some() && token.state != TokenState::Lost,
            "disable" => !is_stopped,
            "disassociate" => token.user.is_some(),
            _ => token.user.is_none(),
        }
    }
}

/// Whether a role may do something with this token: with everybody's, or with his own.
fn offers(person: &Arc<Person>, verb: Verb, token: &Token) -> bool {
    match right(verb, person.role) {
        Right::All => true,
        Right::Own => {
            let own = Caller::from(person).account();
            own.is_some_and(|own| token.user.as_deref() == Some(own.as_str()))
        }
        Right::Nothing => false,
    }
}

/// The forms for what can be undone, or is a proof by itself.
fn forms(person: &Arc<Person>, token: &Token) -> Vec<ActionForm> {
    let to = |what| form_of(&token.serial, what);
    let may = |verb| offers(person, verb, token);
    let mut forms = Vec::new();
    let is_held = super::users::is_held(token.state);
    if is_held && may(Verb::TokenResync) {
        let inputs = [Input::code("code", "A code"), Input::code("next_code", "The code after it")];
        forms.push(
            ActionForm::new("resync", "Re-sync", to("resync"), inputs)
                .note("Finds the counter or the clock's drift again. Both codes are used up."),
        );
    }
    if is_held && may(Verb::TokenTest) {
        let inputs = [Input::code("code", "A code")];
        forms.push(
            ActionForm::new("test", "Test a code", to("test"), inputs)
                .note("Says whether it is right, and uses it up."),
        );
    }
    if token.user.is_none() && may(Verb::TokenAssociate) {
        let inputs = [Input::text("user", "User"), Input::code("code", "A code of the token")];
        forms.push(ActionForm::new("associate", "Associate it", to("associate"), inputs));
    }
    if token.user.is_none() && may(Verb::TokenAssign) {
        forms.push(ActionForm::new("assign", "Assign it", to("assign"), [Input::text("user", "User")]));
    }
    if matches!(token.state, TokenState::Disabled | TokenState::Lost) && may(Verb::TokenEnable) {
        forms.push(ActionForm::new("enable", "Enable it", to("enable"), []));
    }
    forms
}

fn add_form() -> ActionForm {
    let inputs = [
        Input::text("user", "User").optional(),
        Input::text("serial", "Serial number").optional(),
        Input::text("secret", "Secret, in hexadecimal").optional(),
        Input::choice("type", "Type", &TYPES),
        Input::choice("algorithm", "Algorithm", &ALGORITHMS),
        Input::choice("digits", "Digits", &DIGITS),
        Input::text("time_interval", "Seconds per code, for a time token").optional(),
        Input::text("counter", "Counter expected next, for a counter token").optional(),
    ];
    ActionForm::new("add", "Add a token", "/tokens".into(), inputs).note(
        "Without a secret: a new one for the authenticator app of the user, who sees its QR code at the next login.",
    )
}

fn new_token(asked: &Asked<'_>) -> Result<NewToken, Refused> {
    let typed = |name| asked.form.typed(name).map(str::to_owned);
    Ok(NewToken {
        serial: typed("serial"),
        user: typed("user"),
        token_type: if asked.form.typed("type") == Some("hotp") { TokenType::Hotp } else { TokenType::Totp },
        secret: typed("secret"),
        algorithm: typed("algorithm"),
        digits: number(asked, "digits", "the digits are a number")?,
        time_interval: number(asked, "time_interval", "the seconds per code are a number")?,
        counter: number(asked, "counter", "the counter is a number")?,
    })
}

fn number<T: std::str::FromStr>(
    asked: &Asked<'_>,
    name: &str,
    fault: &'static str,
) -> Result<Option<T>, Refused> {
    let parsed = asked.form.typed(name).map(str::parse).transpose();
    parsed.map_err(|_| Refused { status: hyper::StatusCode::BAD_REQUEST, message: fault.into() })
}

/// What was typed to associate a token.
pub(super) fn associate(asked: &Asked<'_>, user: &str) -> Associate {
    Associate {
        user: user.to_owned(),
        code: asked.form.typed("code").unwrap_or_default().to_owned(),
        next_code: asked.form.typed("next_code").map(str::to_owned),
    }
}

/// The route of a token.
fn of(serial: &str, more: &[&str]) -> String {
    path(&[&["v1", "tokens", serial], more].concat())
}

fn form_of(serial: &str, what: &str) -> String {
    path(&["tokens", serial, what])
}

fn page_of(serial: &str, done: &str) -> String {
    format!("{}{}", path(&["tokens", serial]), query([("done", done)]))
}

fn rows(tokens: &[Token]) -> Rows {
    let row = |token: &Token| {
        let user = token.user.as_deref();
        [
            Cell::leading(&token.serial, path(&["tokens", &token.serial])),
            user.map_or_else(|| Cell::from(None), |user| Cell::leading(user, path(&["users", user]))),
            type_word(token.token_type).into(),
            state_word(token.state).into(),
            token.failures.to_string().into(),
            token.last_accepted.as_deref().into(),
        ]
    };
    let headings = ["Serial number", "User", "Type", "State", "Wrong codes", "Last accepted"];
    Rows::new(headings, tokens.iter().map(row), "There is no such token.")
}

fn facts(token: &Token, leads_to_user: bool) -> Facts {
    let user = match token.user.as_deref() {
        Some(user) if leads_to_user => Cell::leading(user, path(&["users", user])),
        user => user.into(),
    };
    let why = match token.disabled_by {
        None => "",
        Some(DisabledBy::Administrator) => " by an administrator",
        Some(DisabledBy::WrongCodes) => " by wrong codes",
    };
    let mut facts: Vec<(&'static str, Cell)> = vec![
        ("User", user),
        ("State", format!("{}{why}", state_word(token.state)).into()),
        ("Type", type_word(token.token_type).into()),
        ("Algorithm", token.algorithm.as_str().into()),
        ("Digits", token.digits.to_string().into()),
    ];
    facts.extend(token.time_interval.map(|seconds| ("Seconds per code", seconds.to_string().into())));
    facts.extend(token.time_drift.map(|steps| ("Drift, in steps", steps.to_string().into())));
    facts.extend(token.counter.map(|counter| ("Counter expected next", counter.to_string().into())));
    facts.extend([
        ("Wrong codes in a row", token.failures.to_string().into()),
        ("Created", token.created.as_str().into()),
        ("Associated", token.associated.as_deref().into()),
        ("Last accepted", token.last_accepted.as_deref().into()),
    ]);
    Facts(facts)
}

/// Where a token is in its life, as the command says it.
pub(super) fn state_word(state: TokenState) -> &'static str {
    match state {
        TokenState::Available => "available",
        TokenState::Assigned => "assigned",
        TokenState::Associated => "associated",
        TokenState::Disabled => "disabled",
        TokenState::Lost => "lost",
    }
}

/// What a token's codes follow.
pub(super) fn type_word(kind: TokenType) -> &'static str {
    match kind {
        TokenType::Totp => "TOTP",
        TokenType::Hotp => "HOTP",
    }
}
