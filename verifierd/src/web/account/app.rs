//! Adding an authenticator app: a code of a token that one has, a QR code that is shown once, a first code.

use std::fmt::Write as _;
use std::sync::Arc;

use askama::Template;
use hyper::StatusCode;
use qrcode::{Color, EcLevel, QrCode};
use serve::Reply;
use wire::admin::EnrolWith;
use wire::login::Verdict;
use zeroize::Zeroizing;

use super::PROOF;
use crate::accounts::User;
use crate::dialogue::Key;
use crate::engine::Decision;
use crate::http::roles::Caller;
use crate::people::Person;
use crate::web::asking::Refused;
use crate::web::pages::{Page, Shown, redirect, shown};
use crate::web::sessions::NewApp;
use crate::web::sheet::{ActionForm, Input, Outcome, Sheet, refusal};
use crate::web::sign_in::said;
use crate::web::{Asked, Web};

/// Where it begins.
pub(super) const PAGE: &str = "/account/app";

const TITLE: &str = "Add an authenticator app";

/// The event of an app that is added.
const ASSOCIATED: &str = "token_associated";

/// Light modules around the code: ISO/IEC 18004 asks for four.
const QUIET: usize = 4;

/// The page that shows the secret.
#[derive(Template)]
#[template(path = "web/app.html")]
struct AppPage<'a> {
    visitor: &'a Shown,
    key: &'a Key,
    /// Modules on a side, those around it included.
    width: usize,
    /// What is dark, as a path of SVG.
    dark: &'a str,
}

impl Web {
    /// Whether people use apps here, and not only tokens that they are handed.
    pub(super) fn may_add_apps(&self) -> bool {
        self.administration.dialogue.config.load().enrolment.with == EnrolWith::App
    }

    /// The form that begins.
    pub(in crate::web) fn show_app(&self, asked: &Asked<'_>, person: &Arc<Person>) -> Reply {
        match self.holder(person) {
            Ok(_) => first_page(asked, person, Outcome::None),
            Err(refused) => refusal(TITLE, &refused, &shown(asked, person)),
        }
    }

    /// Shows a new secret to whoever shows a code of a token that he has: a session alone, which may be stolen, sees none.
    pub(in crate::web) async fn begin_app(&self, asked: &Asked<'_>, person: &Arc<Person>) -> Reply {
        let refused = |refused| first_page(asked, person, Outcome::Refused(refused));
        let user = match self.holder(person) {
            Ok(user) => user,
            Err(refused) => return refusal(TITLE, &refused, &shown(asked, person)),
        };
        // Before the code is used up.
        let token = match self.administration.dialogue.steward.draw_app(&user) {
            Ok(token) => token,
            Err(error) => {
                return refused(Refused { status: StatusCode::CONFLICT, message: error.to_string() });
            }
        };
        let app = NewApp::new(token, self.administration.dialogue.clock.elapsed());
        match self.prove_and_note(asked, person, &user, &app).await {
            Ok(key) => {
                if let Some((session, _)) = &asked.visitor {
                    self.sessions.keep_app(session, app);
                }
                key_page(asked, person, &key)
            }
            Err(why) => refused(why),
        }
    }

    /// What the app takes over, after a right code and once a record tells that it is shown.
    async fn prove_and_note(
        &self,
        asked: &Asked<'_>,
        person: &Arc<Person>,
        user: &User,
        app: &NewApp,
    ) -> Result<Key, Refused> {
        let dialogue = &self.administration.dialogue;
        let begun = dialogue.clock.elapsed();
        let code = asked.form.field("code").cloned().unwrap_or_default();
        let attempt = self.own_attempt(asked, person, PROOF, code).ok_or_else(unavailable)?;
        let occasion = attempt.occasion.clone();
        let decision = dialogue.engine.prove(attempt).await;
        if decision.verdict != Verdict::Allow {
            dialogue.wait_for_the_next_beat(begun).await;
            return Err(Refused { status: StatusCode::FORBIDDEN, message: said(&decision) });
        }
        if !dialogue.engine.note_shown(&occasion, &app.token.record.serial).await {
            return Err(unavailable());
        }
        dialogue.enrolment_key(&user.name, &app.token).map_err(|_| unavailable())
    }

    /// Takes the first code.
    pub(in crate::web) async fn finish_app(&self, asked: &Asked<'_>, person: &Arc<Person>) -> Reply {
        let (Some((session, _)), Ok(_)) = (&asked.visitor, self.holder(person)) else {
            return redirect(PAGE);
        };
        let dialogue = &self.administration.dialogue;
        let Some(app) = self.sessions.take_app(session, dialogue.clock.elapsed()) else {
            let message = "that took too long: begin again".into();
            let refused = Refused { status: StatusCode::CONFLICT, message };
            return first_page(asked, person, Outcome::Refused(refused));
        };
        let code = asked.form.field("code").cloned().unwrap_or_default();
        let Some(attempt) = self.own_attempt(asked, person, ASSOCIATED, code) else {
            return code_page(asked, person, unavailable());
        };
        let begun = dialogue.clock.elapsed();
        let decision = dialogue.engine.add_app(&attempt, &app.token).await;
        if decision.verdict == Verdict::Allow {
            return redirect("/account?done=app");
        }
        dialogue.wait_for_the_next_beat(begun).await;
        let Some(app) = app.tried() else {
            let message = "too many wrong codes: begin again".into();
            let refused = Refused { status: StatusCode::FORBIDDEN, message };
            return first_page(asked, person, Outcome::Refused(refused));
        };
        self.sessions.keep_app(session, app);
        code_page(asked, person, wrong(&decision))
    }

    /// The user whom a person is, where he may add an app.
    fn holder(&self, person: &Arc<Person>) -> Result<Arc<User>, Refused> {
        let refused = |message: &str| Refused { status: StatusCode::CONFLICT, message: message.into() };
        if !self.may_add_apps() {
            return Err(refused("authenticator apps are not used here: ask for a token"));
        }
        let account = Caller::from(person).account();
        let user = account.and_then(|name| self.administration.dialogue.accounts.find(&name));
        user.ok_or_else(|| refused("you have no account with tokens here"))
    }
}

fn first_page(asked: &Asked<'_>, person: &Arc<Person>, outcome: Outcome) -> Reply {
    let visitor = shown(asked, person);
    let mut page = Sheet::new(&visitor, TITLE);
    page.texts = vec![
        "Another app for your account, on another telephone say. What you have goes on. Its secret key is shown once, on \
         the next page: have the app at hand."
            .into(),
    ];
    let code = Input::code("code", "The digits that a token or an app of yours shows");
    page.offer(ActionForm::new("begin", "Show the QR code", PAGE.into(), [code]));
    page.links = vec![("Back to your account", "/account".into())];
    page.reply(asked, outcome)
}

fn key_page(asked: &Asked<'_>, person: &Arc<Person>, key: &Key) -> Reply {
    let (width, dark) = draw(&key.uri);
    let visitor = shown(asked, person);
    Page::of(&AppPage { visitor: &visitor, key, width, dark: &dark }).reply(StatusCode::OK)
}

/// The form for the first code once more. The secret is not shown again.
fn code_page(asked: &Asked<'_>, person: &Arc<Person>, why: Refused) -> Reply {
    let visitor = shown(asked, person);
    let mut page = Sheet::new(&visitor, TITLE);
    let code = Input::code("code", "The digits that the new app shows");
    page.offer(ActionForm::new("first", "Add it", format!("{PAGE}/first"), [code]));
    page.links = vec![("Begin again", PAGE.into()), ("Back to your account", "/account".into())];
    page.reply(asked, Outcome::Refused(why))
}

fn wrong(decision: &Decision) -> Refused {
    let message = match decision.verdict {
        Verdict::Unavailable | Verdict::Unknown => said(decision),
        _ => format!(
            "that is no code of the new app: compare the clock of the telephone, and type the next one. Reference {}",
            decision.reference
        ),
    };
    Refused { status: StatusCode::FORBIDDEN, message }
}

fn unavailable() -> Refused {
    let message = "nothing can be decided at the moment: try again later".into();
    Refused { status: StatusCode::SERVICE_UNAVAILABLE, message }
}

/// A QR code: modules on a side, and its dark ones as a path, line by line. None are dark where the text is too long for
/// one; the secret stands below it.
fn draw(uri: &str) -> (usize, Zeroizing<String>) {
    let Ok(code) = QrCode::with_error_correction_level(uri, EcLevel::M) else {
        return (0, Zeroizing::default());
    };
    let side = code.width();
    let mut path = Zeroizing::new(String::with_capacity(side * side * 8));
    for row in 0..side {
        for column in (0..side).filter(|column| code[(*column, row)] == Color::Dark) {
            let (x, y) = (column + QUIET, row + QUIET);
            write!(path, "M{x} {y}h1v1h-1z").expect("a text takes more");
        }
    }
    (side + 2 * QUIET, path)
}
