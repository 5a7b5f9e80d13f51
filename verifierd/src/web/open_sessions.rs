//! Who is in. A page that renews itself, as the list of requests does.

use std::sync::Arc;

use serve::Reply;
use wire::admin::{Session, SessionList, SessionLogin};

use super::asking::{Ask, query};
use super::look::{Look, Section};
use super::pages::{may, shown};
use super::parts::{Cell, Field, Rows, or_dash};
use super::{Asked, Web};
use crate::http::roles::{Right, Verb, right};
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
        let rows = list.items.iter().map(|session| row(session, may_explain));
        let headings = ["User", "Service", "Host", "From", "Terminal", "Since", "With", "Login"];
        page.sections.push(Section::new("", &Rows::new(headings, rows, "Nobody is in at the moment.")));
        if let Some(next) = list.next {
            page.links.push((
                "More",
                format!("/sessions{}", said([("user", user), ("host", host), ("after", Some(next))])),
            ));
        }
        page.reply()
    }
}

fn row(session: &Session, may_explain: bool) -> [Cell; 8] {
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
        session.service.as_str().into(),
        session.host.as_deref().into(),
        session.rhost.as_deref().into(),
        session.tty.as_deref().into(),
        session.since.as_str().into(),
        or_dash(login.map(with).as_deref()).into(),
        reference,
    ]
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
