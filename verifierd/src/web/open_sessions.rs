//! Who is in, on a page that renews itself as the list of requests does; and that a session of one's own is somebody else's.

use std::sync::Arc;

use hyper::Method;
use serve::Reply;
use wire::admin::{Session, SessionList, SessionLogin, SessionReported};

use super::asking::{Ask, named, path, query};
use super::look::{Look, Section};
use super::pages::{may, nothing_here, shown};
use super::parts::{Cell, Field, Rows, or_dash};
use super::sheet::{ActionForm, Outcome, Sheet};
use super::{Asked, Web};
use crate::http::roles::{Caller, Right, Verb, right};
use crate::people::Person;

impl Web {
    /// The sessions that somebody may see.
    pub(super) async fn list_sessions(&self, asked: &Asked<'_>, person: &Arc<Person>) -> Reply {
        let visitor = shown(asked, person);
        let [user, host, after] = ["user", "host", "after"].map(|name| asked.form.typed(name));
        let said = |pairs: [(&'static str, Option<String>); 3]| {
            let pairs: Vec<_> = pairs.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
            query(pairs.iter().map(|(name, value)| (*name, value.as_str())))
        };
        let [user, host, after] = [user, host, after].map(|value| value.map(str::to_owned));
        let wanted = said([("user", user.clone()), ("host", host.clone()), ("after", after)]);
        let mut page = Look::new(&visitor, "Sessions");
        if right(Verb::SessionList, person.role) == Right::All {
            page.action = "/sessions";
            page.questions = vec![
                Field::new("user", "User", user.as_deref()),
                Field::new("host", "Host", host.as_deref())
                    .with_hint("A dash is the verifier's own machine."),
            ];
        }
        let list = match self.ask::<SessionList>(person, Ask::get(format!("/v1/sessions{wanted}"))).await {
            Ok(list) => list,
            Err(refused) => return page.refused(&refused),
        };
        page.renewal = format!("/sessions{wanted}");
        let may_explain = may(person, Verb::Explain);
        let rows = list.items.iter().map(|session| row(session, may_explain, is_own(session, person)));
        let headings = ["User", "Service", "Host", "From", "Since", "With", "Login", "Yours"];
        page.sections.push(Section::new("", &Rows::new(headings, rows, "Nobody is in at the moment.")));
        if let Some(next) = list.next {
            page.links.push((
                "More",
                format!("/sessions{}", said([("user", user), ("host", host), ("after", Some(next))])),
            ));
        }
        page.reply()
    }

    /// "This was not me": what follows, and a button; then what he can do himself.
    pub(super) async fn report_session(&self, asked: &Asked<'_>, person: &Arc<Person>, id: &str) -> Reply {
        let Some(id) = named(id) else { return nothing_here(asked, person) };
        let visitor = shown(asked, person);
        let mut page = Sheet::new(&visitor, "This was not me");
        page.links = vec![("Your sessions", "/sessions".into())];
        let mut outcome = Outcome::None;
        if *asked.method == Method::POST {
            let route = path(&["v1", "sessions", &id, "report"]);
            match self.ask::<SessionReported>(person, Ask::post(route, &())).await {
                Ok(reported) => {
                    page.texts = AFTER.map(str::to_owned).to_vec();
                    page.links.insert(0, ("Your tokens and recovery codes", "/account".into()));
                    outcome = Outcome::Said(format!("It is on record. Reference {}.", reported.reference));
                    return page.reply(asked, outcome);
                }
                Err(refused) => outcome = Outcome::Refused(refused),
            }
        }
        page.texts = vec![
            "A session of yours that you did not begin goes on record, and whoever is told of events here is told.".into(),
        ];
        page.offer(ActionForm::new("report", "Put it on record", page_of(&id), []).grave());
        page.reply(asked, outcome)
    }
}

/// What he can do himself then.
const AFTER: [&str; 3] = [
    "The session goes on until an administrator ends it at its host: call one.",
    "Mark a token as lost if it may be in other hands, and make new recovery codes: on the page of your account.",
    "Change your password, here and on the hosts.",
];

fn row(session: &Session, may_explain: bool, is_own: bool) -> [Cell; 8] {
    let login = session.login.as_ref();
    let reference = match login {
        Some(login) if may_explain => Cell::leading(
            &login.reference,
            format!("/explain{}", query([("reference", login.reference.as_str())])),
        ),
        _ => login.map(|login| login.reference.as_str()).into(),
    };
    [
        who(session).into(),
        service(session).into(),
        session.host.as_deref().into(),
        session.rhost.as_deref().into(),
        session.since.as_str().into(),
        or_dash(login.map(with).as_deref()).into(),
        reference,
        if is_own { Cell::leading("This was not me", page_of(&session.id)) } else { None.into() },
    ]
}

/// The PAM service, with the terminal.
fn service(session: &Session) -> String {
    let terminal = session.tty.as_ref().map(|tty| format!(" ({tty})"));
    format!("{}{}", session.service, terminal.unwrap_or_default())
}

fn page_of(id: &str) -> String {
    path(&["sessions", id, "not-me"])
}

/// Whether it is of his own account, or begun by him in another one.
fn is_own(session: &Session, person: &Arc<Person>) -> bool {
    let own = Caller::from(person).account();
    let began_it = session.login.as_ref().and_then(|login| login.person.as_ref());
    own.is_some_and(|own| own.as_str() == session.user) || began_it == Some(&person.login)
}

/// Whose session it is, which person that is, and who asked for it where that is somebody else, as under sudo.
fn who(session: &Session) -> String {
    let login = session.login.as_ref();
    let person = login.and_then(|login| login.email.as_ref().or(login.person.as_ref()));
    let person = person.map(|person| format!(" ({person})")).unwrap_or_default();
    let asker = session.ruser.as_ref().filter(|asker| **asker != session.user);
    let asker = asker.map(|asker| format!(" (by {asker})")).unwrap_or_default();
    format!("{}{person}{asker}", session.user)
}

/// What let the user in: the token whose code it was, or why none was needed.
fn with(login: &SessionLogin) -> String {
    match (&login.token, login.reason.as_str()) {
        (Some(serial), _) => format!("token {serial}"),
        (None, "recovery_code") => "recovery code".to_owned(),
        (None, "issued_password") => "issued password".to_owned(),
        (None, "secondary") => "a person's password".to_owned(),
        (None, reason) => format!("no code ({reason})"),
    }
}
