//! `postern session`: who is in, and that somebody is who should not be.

use wire::admin::{Session, SessionList, SessionLogin, SessionReported};

use crate::args::{SessionFilter, SessionVerb};
use crate::client::{Client, segment};
use crate::failure::Failure;
use crate::output::json::Document;
use crate::output::table::{self, NOTHING_TO_SAY, or_dash, short};
use crate::output::{Answer, Format};
use crate::verbs::policy::path;

/// Runs the verb.
pub async fn run(client: &Client, verb: SessionVerb, format: Format) -> Result<Answer, Failure> {
    match verb {
        SessionVerb::List(filter) => list(client, filter, format).await,
        SessionVerb::Report { id } => {
            let route = format!("/v1/sessions/{}/report", segment(&id));
            let reported: SessionReported = client.post_nothing(&route).await?;
            Answer::one(format, &Document::new("session_reported", &reported), || {
                let session = &reported.session;
                table::properties([
                    ("session", session.id.clone()),
                    ("user", who(session)),
                    ("host", or_dash(session.host.as_deref())),
                    ("since", session.since.clone()),
                    ("reported", "yes".into()),
                    ("reference", reported.reference.clone()),
                ])
            })
        }
    }
}

async fn list(client: &Client, filter: SessionFilter, format: Format) -> Result<Answer, Failure> {
    let SessionFilter { user, host } = filter;
    let mut sessions: SessionList = page(client, &user, &host, None).await?;
    while let Some(after) = sessions.next.take() {
        let more = page(client, &user, &host, Some(after)).await?;
        // A page without sessions is the last one, whatever it says.
        sessions.next = more.next.filter(|_| !more.items.is_empty());
        sessions.items.extend(more.items);
    }
    Answer::list(format, &sessions, &sessions.items, || rows(&sessions.items))
}

async fn page(
    client: &Client,
    user: &Option<String>,
    host: &Option<String>,
    after: Option<String>,
) -> Result<SessionList, Failure> {
    client
        .get(&path("/v1/sessions", [("user", user.clone()), ("host", host.clone()), ("after", after)]))
        .await
}

fn rows(sessions: &[Session]) -> String {
    table::list(
        ["USER", "SERVICE", "HOST", "FROM", "TERMINAL", "SINCE", "WITH", "LOGIN"],
        sessions.iter().map(|session| {
            [
                who(session),
                short(&session.service),
                or_dash(session.host.as_deref()),
                short(&or_dash(session.rhost.as_deref())),
                short(&or_dash(session.tty.as_deref())),
                session.since.clone(),
                session.login.as_ref().map_or_else(|| NOTHING_TO_SAY.to_owned(), with),
                or_dash(session.login.as_ref().map(|login| login.reference.as_str())),
            ]
        }),
    )
}

/// Whose session it is, which person that is where it is known, and who asked for it where that is somebody else, as
/// under sudo.
fn who(session: &Session) -> String {
    let login = session.login.as_ref();
    let person = login.and_then(|login| login.email.as_ref().or(login.person.as_ref()));
    let mut who = short(&session.user);
    if let Some(person) = person {
        who += &format!(" ({})", short(person));
    }
    if let Some(asker) = session.ruser.as_ref().filter(|asker| **asker != session.user) {
        who += &format!(" (by {})", short(asker));
    }
    who
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

#[cfg(test)]
mod tests {
    use super::*;

    // covers: R10
    #[test]
    fn a_session_is_told_with_the_person_behind_the_account() {
        let told = |person: Option<&str>, email: Option<&str>, ruser: Option<&str>| {
            let session = serde_json::json!({
                "id": "0".repeat(32), "user": "deploy", "service": "sshd", "since": "2026-11-23T01:00:00Z", "ruser": ruser,
                "login": {"reference": "7QK2-9ZB4", "reason": "issued_password", "person": person, "email": email},
            });
            who(&serde_json::from_value(session).expect("a session"))
        };
        assert_eq!(told(None, None, None), "deploy");
        assert_eq!(told(Some("jane"), Some("jane@example.org"), None), "deploy (jane@example.org)");
        assert_eq!(told(Some("jane"), None, Some("deploy")), "deploy (jane)");
        assert_eq!(told(Some("jane"), None, Some("bob")), "deploy (jane) (by bob)");
    }

    #[test]
    fn what_let_a_user_in_is_told_in_words() {
        let told = |reason: &str, token: Option<&str>| {
            let (reference, reason) = ("7QK2-9ZB4".into(), reason.into());
            with(&SessionLogin { reference, reason, token: token.map(Into::into), person: None, email: None })
        };
        assert_eq!(told("accepted", Some("PT1")), "token PT1");
        assert_eq!(told("recovery_code", None), "recovery code");
        assert_eq!(told("issued_password", None), "issued password");
        assert_eq!(told("secondary", None), "a person's password");
        assert_eq!(told("otp_off", None), "no code (otp_off)");
    }
}
