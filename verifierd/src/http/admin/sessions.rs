//! Who is in.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use wire::admin::{SESSIONS_PAGE_MAX, SessionList, SessionLogin, SessionReported};
use wire::error::ErrorCode;

use super::Administration;
use super::asked::{Asked, Named, Questions};
use super::hosts::host_name;
use super::refusals::{Refusal, refusal};
use super::routes::Granted;
use crate::accounts::UserName;
use crate::audit::rfc3339;
use crate::hosts::HostError;
use crate::http::roles::Who;
use crate::sessions::Session;

/// Which sessions are listed.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    user: Option<String>,
    host: Option<String>,
    /// The `next` of an answer.
    after: Option<String>,
}

impl Questions for Wanted {
    const TAKES: &str = "user=NAME, host=NAME and after=PLACE";
}

pub(super) async fn list(
    State(admin): State<Arc<Administration>>,
    granted: Granted,
    Asked(wanted): Asked<Wanted>,
) -> Result<Json<SessionList>, Refusal> {
    let own = Own::of(&granted)?;
    let user = wanted.user.map(|name| granted.user(&name)).transpose()?;
    // Shown so where the host is this machine.
    let is_here = wanted.host.as_deref() == Some("-");
    let host = wanted.host.filter(|_| !is_here).map(|name| host_name(&name)).transpose()?;
    let owner =
        host.as_ref().and_then(|name| admin.registrar.hosts().owner_of(name)).map(|host| host.record.id);
    // Whoever sees his own alone does not learn which hosts there are.
    if let (Some(name), None, false) = (&host, owner, granted.is_only_for_himself()) {
        return Err(HostError::NoSuchHost { name: name.clone() }.into());
    }
    let is_wanted = |session: &Arc<Session>| {
        own.as_ref().is_none_or(|own| own.has(session))
            && user.as_ref().is_none_or(|user| user.as_str() == session.user)
            && (!is_here || session.place().is_none())
            && (host.is_none() || (owner.is_some() && session.place() == owner))
    };
    let after = wanted.after.unwrap_or_default();
    let mut sessions: Vec<_> = admin
        .dialogue
        .sessions
        .all()
        .into_iter()
        .filter(is_wanted)
        .map(|session| (place(&session), session))
        .collect();
    sessions.retain(|(place, _)| *place > after);
    sessions.sort_by(|(one, _), (other, _)| one.cmp(other));
    let has_more = sessions.len() > SESSIONS_PAGE_MAX;
    sessions.truncate(SESSIONS_PAGE_MAX);
    let next = sessions.last().filter(|_| has_more).map(|(place, _)| place.clone());
    let items = sessions.iter().map(|(_, session)| admin.show_session(session)).collect();
    Ok(Json(SessionList { api_version: wire::API_VERSION, kind: "session_list".into(), items, next }))
}

/// Puts on record that a session was begun by somebody else than its user, as he says, and tells whoever is told of events.
/// It goes on: that its user stole nobody's session is not known here, nor who of the two is he.
pub(super) async fn report(
    State(admin): State<Arc<Administration>>,
    granted: Granted,
    Named(id): Named,
) -> Result<Json<SessionReported>, Refusal> {
    let own = Own::of(&granted)?;
    let is_it = |session: &Arc<Session>| {
        session.id.to_string() == id && own.as_ref().is_some_and(|own| own.has(session))
    };
    let sessions = &admin.dialogue.sessions;
    let session = sessions.all().into_iter().find(is_it);
    let session =
        session.ok_or_else(|| refusal(ErrorCode::NotFound, format!("you have no open session {id:?}")))?;
    let record = sessions.report(&session, granted.actor()).await;
    let record = record.map_err(|error| refusal(ErrorCode::Unavailable, error.to_string()))?;
    admin.dialogue.engine.notifier().tell(&record);
    Ok(Json(SessionReported { session: admin.show_session(&session), reference: record.reference }))
}

/// Which sessions are those of somebody who sees no others: of his account, and those that he began as a person, whichever
/// account he shares.
struct Own {
    account: Option<UserName>,
    person: Option<String>,
}

impl Own {
    fn of(granted: &Granted) -> Result<Option<Self>, Refusal> {
        if !granted.is_only_for_himself() {
            return Ok(None);
        }
        let caller = granted.caller();
        match &caller.who {
            Who::Account(_) => Ok(Some(Self { account: Some(granted.user(&caller.name)?), person: None })),
            Who::Person(person) => {
                Ok(Some(Self { account: caller.account(), person: Some(person.login.clone()) }))
            }
        }
    }

    fn has(&self, session: &Session) -> bool {
        let began_it = session.origin.as_ref().and_then(|origin| origin.person.as_ref());
        self.account.as_ref().is_some_and(|account| account.as_str() == session.user)
            || (self.person.is_some() && began_it == self.person.as_ref())
    }
}

/// Where a session stands in the list; no other one stands there. Compares as text, the longest open first.
fn place(session: &Session) -> String {
    let host = session.place().map(|host| host.to_string()).unwrap_or_default();
    format!("{:020}-{}-{host}", session.since, session.id)
}

impl Administration {
    /// A session as administrators see it; its host under its present name.
    fn show_session(&self, session: &Session) -> wire::admin::Session {
        let host = session.host.as_ref().map(|then| {
            let now = self.registrar.hosts().find(then.id);
            now.map_or_else(|| then.name.to_string(), |now| now.record.name.to_string())
        });
        wire::admin::Session {
            id: session.id.to_string(),
            user: session.user.clone(),
            service: session.service.clone(),
            host,
            rhost: session.rhost.clone(),
            tty: session.tty.clone(),
            ruser: session.ruser.clone(),
            since: rfc3339(session.since),
            login: session.origin.as_ref().map(|origin| SessionLogin {
                reference: origin.reference.clone(),
                reason: origin.reason.clone(),
                token: origin.token.clone(),
                person: origin.person.clone(),
                email: origin.email.clone(),
            }),
        }
    }
}
