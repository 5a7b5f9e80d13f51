//! `postern session`: who is in.

use wire::admin::{Session, SessionList, SessionLogin};

use crate::args::{SessionFilter, SessionVerb};
use crate::client::Client;
use crate::failure::Failure;
use crate::output::table::{self, NOTHING_TO_SAY, or_dash, short};
use crate::output::{Answer, Format};
use crate::verbs::policy::path;

/// Runs the verb.
pub async fn run(client: &Client, verb: SessionVerb, format: Format) -> Result<Answer, Failure> {
    let SessionVerb::List(SessionFilter { user, host }) = verb;
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

/// Whose session it is, and who asked for it where that is somebody else, as under sudo.
fn who(session: &Session) -> String {
    match &session.ruser {
        Some(asker) if *asker != session.user => format!("{} (by {})", short(&session.user), short(asker)),
        Some(_) | None => short(&session.user),
    }
}

/// What let the user in: the token whose code it was, or why none was needed.
fn with(login: &SessionLogin) -> String {
    match (&login.token, login.reason.as_str()) {
        (Some(serial), _) => format!("token {serial}"),
        (None, "recovery_code") => "recovery code".to_owned(),
        (None, reason) => format!("no code ({reason})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_let_a_user_in_is_told_in_words() {
        let told = |reason: &str, token: Option<&str>| {
            let (reference, reason) = ("7QK2-9ZB4".into(), reason.into());
            with(&SessionLogin { reference, reason, token: token.map(Into::into) })
        };
        assert_eq!(told("accepted", Some("PT1")), "token PT1");
        assert_eq!(told("recovery_code", None), "recovery code");
        assert_eq!(told("otp_off", None), "no code (otp_off)");
    }
}
