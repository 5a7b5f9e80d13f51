//! Who has to wait after wrong codes.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use wire::admin::{Ban, BanList, Lifted};
use wire::error::ErrorCode;

use super::Administration;
use super::asked::Named;
use super::refusals::{Refusal, refusal};
use super::routes::Granted;
use crate::accounts::UserName;
use crate::audit::rfc3339;

type Admin = State<Arc<Administration>>;

pub(super) async fn list(State(admin): Admin) -> Json<BanList> {
    let now = admin.dialogue.clock.now();
    let shown = |ban: crate::engine::throttle::Ban| Ban {
        id: ban.id,
        user: ban.whose.user,
        host: ban.whose.host,
        from: ban.whose.place,
        failures: ban.failures,
        until: rfc3339(now.saturating_add(ban.wait.as_secs().max(1))),
    };
    let items = admin.dialogue.engine.bans().into_iter().map(shown).collect();
    Json(BanList { api_version: wire::API_VERSION, kind: "ban_list".into(), items })
}

pub(super) async fn lift(
    State(admin): Admin,
    granted: Granted,
    Named(id): Named,
) -> Result<Json<Lifted>, Refusal> {
    let no_ban =
        || refusal(ErrorCode::NotFound, format!("no ban {id:?}: `postern ban list` shows their ids"));
    let ban = admin.dialogue.engine.bans().into_iter().find(|ban| ban.id == id).ok_or_else(no_ban)?;
    if let Some(Ok(user)) = ban.whose.user.as_deref().map(UserName::new) {
        granted.reaches(&admin, &user).await?;
    }
    let whose = admin.dialogue.engine.lift_ban(&id, &granted.actor()).await?.ok_or_else(no_ban)?;
    Ok(Json(Lifted { id, user: whose.user, host: whose.host, from: whose.place }))
}
