//! Users: who is asking, who is known, what is demanded of whom.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use wire::admin::{OnOff, SelfInfo, SetOtp, Unlocked, User, UserList};
use wire::error::ErrorCode;

use super::Administration;
use super::asked::{Body, Named};
use super::refusals::{Refusal, refusal};
use super::routes::Granted;

type Admin = State<Arc<Administration>>;

pub(super) async fn show_self(State(admin): Admin, granted: Granted) -> Json<SelfInfo> {
    let caller = granted.caller();
    let user = caller.account().and_then(|name| admin.dialogue.accounts.find(&name));
    let user = user.map(|user| admin.show_user(&user));
    Json(SelfInfo { name: caller.name.clone(), role: caller.role, user })
}

pub(super) async fn list(State(admin): Admin) -> Json<UserList> {
    let items = admin.dialogue.accounts.users().iter().map(|user| admin.show_user(user)).collect();
    Json(UserList { api_version: wire::API_VERSION, kind: "user_list".into(), items })
}

pub(super) async fn show(
    State(admin): Admin,
    granted: Granted,
    Named(name): Named,
) -> Result<Json<User>, Refusal> {
    let name = granted.user(&name)?;
    let user = admin.dialogue.accounts.find(&name);
    let user = user.ok_or_else(|| refusal(ErrorCode::NotFound, format!("no user {:?}", name.as_str())))?;
    Ok(Json(admin.show_user(&user)))
}

pub(super) async fn set_otp(
    State(admin): Admin,
    granted: Granted,
    Named(name): Named,
    Body(wish): Body<SetOtp>,
) -> Result<Json<User>, Refusal> {
    let name = granted.user(&name)?;
    let known = admin.dialogue.accounts.find(&name).filter(|user| user.otp_on && wish.otp == OnOff::On);
    if let (Some(known), Some(with)) = (known, wish.enrol_with)
        && known.enrol_with != with
    {
        let message =
            format!("{name} is asked for a one-time password already: turn it off first to enrol otherwise");
        return Err(refusal(ErrorCode::Conflict, message));
    }
    let with = wish.enrol_with.unwrap_or(admin.dialogue.config.load().enrolment.with);
    let user = admin.dialogue.steward.set_otp(name, wish.otp == OnOff::On, with, granted.actor()).await?;
    Ok(Json(admin.show_user(&user)))
}

pub(super) async fn unlock(
    State(admin): Admin,
    granted: Granted,
    Named(name): Named,
) -> Result<Json<Unlocked>, Refusal> {
    let name = granted.user(&name)?;
    granted.reaches(&admin, &name).await?;
    let unlocked = admin.dialogue.engine.unlock(name.clone(), granted.actor()).await?;
    Ok(Json(Unlocked {
        user: name.to_string(),
        counts_cleared: unlocked.counts_cleared,
        tokens_enabled: unlocked.tokens_enabled,
    }))
}
