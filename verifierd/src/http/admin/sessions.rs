//! Who is in.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use wire::admin::{SessionList, SessionLogin};

use super::Administration;
use super::asked::{Asked, Questions};
use super::hosts::host_name;
use super::refusals::Refusal;
use super::routes::Granted;
use crate::audit::rfc3339;
use crate::hosts::HostError;
use crate::sessions::Session;

/// Which sessions are listed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    user: Option<String>,
    host: Option<String>,
}

impl Questions for Wanted {
    const TAKES: &str = "user=NAME and host=NAME";
}

pub(super) async fn list(
    State(admin): State<Arc<Administration>>,
    granted: Granted,
    Asked(wanted): Asked<Wanted>,
) -> Result<Json<SessionList>, Refusal> {
    let own = || granted.is_only_for_himself().then(|| granted.caller().name.clone());
    let user = wanted.user.or_else(own).map(|name| granted.user(&name)).transpose()?;
    let host = match wanted.host {
        None => None,
        Some(name) => {
            let name = host_name(&name)?;
            let owner = admin.registrar.hosts().owner_of(&name);
            Some(owner.ok_or(HostError::NoSuchHost { name })?.record.id)
        }
    };
    let is_wanted = |session: &&Arc<Session>| {
        user.as_ref().is_none_or(|user| user.as_str() == session.user)
            && (host.is_none() || session.place() == host)
    };
    let sessions = admin.dialogue.sessions.all();
    let items = sessions.iter().filter(is_wanted).map(|session| admin.show_session(session)).collect();
    Ok(Json(SessionList { api_version: wire::API_VERSION, kind: "session_list".into(), items }))
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
            }),
        }
    }
}
