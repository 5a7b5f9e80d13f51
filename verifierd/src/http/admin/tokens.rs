//! Tokens: what is known of them, and what can be done with them.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use otp_core::matching::RESYNCHRONIZE_MAX;
use serde::Deserialize;
use wire::admin::{
    Assign, Associate, CodeCheck, Disassociated, NewToken, Proof, Resynchronize, Role, Test, Token,
    TokenList, TokenState,
};
use wire::error::ErrorCode;
use wire::login::Verdict;
use zeroize::Zeroizing;

use super::Administration;
use super::asked::{Asked, Body, BodyOrDefault, Named, Questions};
use super::codes::{Telling, allowed, occasion, proved, request_key};
use super::refusals::{Refusal, refusal};
use super::routes::Granted;
use super::shown::on_off;
use crate::accounts::{ChangeError, NewToken as Order, User, UserName};
use crate::audit::Reason;
use crate::engine::{Association, Attempt, Judgement, Resynchronization, TOTP_REACH};
use crate::http::imports::{Said, check_serial, parameters, secret};

type Admin = State<Arc<Administration>>;
type Answer = Result<Json<Token>, Refusal>;

/// Which tokens are listed.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    state: Option<TokenState>,
    user: Option<String>,
}

impl Questions for Wanted {
    const TAKES: &str = "state=available|assigned|associated|disabled|lost and user=NAME";
}

pub(super) async fn list(
    State(admin): Admin,
    granted: Granted,
    Asked(wanted): Asked<Wanted>,
) -> Result<Json<TokenList>, Refusal> {
    let user = wanted.user.map(|name| granted.user(&name)).transpose()?;
    let tokens = match &user {
        None => admin.dialogue.accounts.tokens(),
        Some(name) => {
            let mut own =
                admin.dialogue.accounts.find(name).map_or_else(Vec::new, |user| user.tokens.clone());
            own.sort_by(|one, other| one.record.serial.cmp(&other.record.serial));
            own
        }
    };
    let is_wanted = |state: TokenState| wanted.state.is_none_or(|wanted| state == wanted);
    let tokens = tokens.iter().filter(|token| is_wanted(token.state()));
    let items = tokens.map(|token| admin.show_token(token)).collect();
    Ok(Json(TokenList { api_version: wire::API_VERSION, kind: "token_list".into(), items }))
}

pub(super) async fn show(State(admin): Admin, granted: Granted, Named(serial): Named) -> Answer {
    Ok(Json(admin.show_token(&*granted.token(&admin, &serial)?)))
}

pub(super) async fn add(State(admin): Admin, granted: Granted, Body(new): Body<NewToken>) -> Answer {
    let order = order(new).map_err(|fault| refusal(ErrorCode::Malformed, fault))?;
    let token = admin.dialogue.steward.add_token(order, granted.actor()).await?;
    Ok(Json(admin.show_token(&token)))
}

/// Checks a new token.
fn order(new: NewToken) -> Result<Order, String> {
    let NewToken { serial, user, token_type, secret: hexadecimal, algorithm, digits, time_interval, counter } =
        new;
    let hexadecimal = hexadecimal.map(Zeroizing::new);
    if let Some(serial) = &serial {
        check_serial(serial)?;
    }
    let user =
        user.map(|name| UserName::new(&name).map_err(|error| format!("{name:?}: {error}"))).transpose()?;
    if hexadecimal.is_none() && user.is_none() {
        return Err("a new secret needs a user, who is shown it: `user` or `secret` is missing".into());
    }
    let said = Said { token_type, algorithm: algorithm.as_deref(), digits, time_interval, counter };
    let (parameters, counter) = parameters(said)?;
    let secret = hexadecimal.map(|hexadecimal| secret(&hexadecimal)).transpose()?;
    Ok(Order { serial, user, parameters, secret, counter })
}

pub(super) async fn remove(State(admin): Admin, granted: Granted, Named(serial): Named) -> Answer {
    granted.token(&admin, &serial)?;
    let token = admin.dialogue.steward.remove(serial, granted.actor()).await?;
    Ok(Json(admin.show_token(&token)))
}

pub(super) async fn assign(
    State(admin): Admin,
    granted: Granted,
    Named(serial): Named,
    Body(wish): Body<Assign>,
) -> Answer {
    let user = granted.user(&wish.user)?;
    let token = admin.dialogue.steward.assign(serial, user, granted.actor()).await?;
    Ok(Json(admin.show_token(&token)))
}

pub(super) async fn associate(
    State(admin): Admin,
    granted: Granted,
    Named(serial): Named,
    Body(wish): Body<Associate>,
) -> Answer {
    let Associate { user, code, next_code } = wish;
    let (code, next_code) = (Zeroizing::new(code), next_code.map(Zeroizing::new));
    let user = granted.user(&user)?;
    granted.reaches(&admin, &user).await?;
    demanded_or_may_demand(&admin, &granted, &user)?;
    // Whether the serial number exists is not looked at here: a wrong one and a wrong code look alike.
    let association = Association {
        occasion: occasion("token_associated", &granted, user.as_str()),
        request: request_key()?,
        name: user,
        serial: serial.clone(),
        code,
        next_code,
    };
    let decision = match admin.dialogue.engine.associate(association).await {
        Judgement::Decided(decision) | Judgement::NextCode { decision, .. } => decision,
        Judgement::LastRecoveryCode => unreachable!("an association looks at no recovery codes"),
    };
    allowed(&decision, Telling::Nothing)?;
    Ok(Json(admin.show_token(&*granted.token(&admin, &serial)?)))
}

pub(super) async fn resynchronize(
    State(admin): Admin,
    granted: Granted,
    Named(serial): Named,
    Body(codes): Body<Resynchronize>,
) -> Answer {
    let (code, next_code) = (Zeroizing::new(codes.code), Zeroizing::new(codes.next_code));
    let user = owner(&admin, &*granted.token(&admin, &serial)?);
    reaches_owner(&admin, &granted, user.as_deref()).await?;
    let resync = Resynchronization {
        occasion: occasion("token_resynchronized", &granted, name_of(user.as_deref())),
        request: request_key()?,
        user,
        serial: serial.clone(),
        code,
        next_code,
        // Farther back, two codes that somebody saw on the token would bring it into step for him too: that takes
        // the help desk, who knows whom it speaks with.
        reach: if granted.is_only_for_himself() { TOTP_REACH } else { RESYNCHRONIZE_MAX },
    };
    allowed(&admin.dialogue.engine.resynchronize(resync).await, Telling::Why)?;
    Ok(Json(admin.show_token(&*granted.token(&admin, &serial)?)))
}

/// A wrong code is an answer here, not an error.
pub(super) async fn test(
    State(admin): Admin,
    granted: Granted,
    Named(serial): Named,
    Body(test): Body<Test>,
) -> Result<Json<CodeCheck>, Refusal> {
    let code = Zeroizing::new(test.code);
    let token = granted.token(&admin, &serial)?;
    let user = owner(&admin, &token);
    reaches_owner(&admin, &granted, user.as_deref()).await?;
    let occasion = occasion("token_tested", &granted, name_of(user.as_deref()));
    let attempt = Attempt { occasion, request: request_key()?, user, typed: code };
    let decision = admin.dialogue.engine.test(attempt, &token).await;
    if decision.verdict == Verdict::Unavailable || decision.reason == Reason::Throttled {
        allowed(&decision, Telling::Why)?;
    }
    Ok(Json(CodeCheck {
        serial,
        right: decision.verdict == Verdict::Allow,
        reason: decision.reason.word(),
        detail: decision.detail,
        reference: decision.reference.to_string(),
    }))
}

pub(super) async fn disassociate(
    State(admin): Admin,
    granted: Granted,
    Named(serial): Named,
    BodyOrDefault(proof): BodyOrDefault<Proof>,
) -> Result<Json<Disassociated>, Refusal> {
    let token = granted.token(&admin, &serial)?;
    let himself = token.record.user.filter(|_| granted.is_only_for_himself());
    if himself.is_some() && owner(&admin, &token).is_some_and(|user| user.is_last_that_works(&token)) {
        // Asked before a code is used up for it; the steward asks again.
        return Err(ChangeError::LastToken { serial }.into());
    }
    if let Some(name) = granted.caller().account() {
        proved(&admin, &granted, &name, proof).await?;
    }
    let done = admin.dialogue.steward.disassociate(serial, himself, granted.actor()).await?;
    Ok(Json(Disassociated {
        serial: done.serial,
        user: done.user.to_string(),
        wiped: done.wiped,
        otp: on_off(done.otp_on),
    }))
}

pub(super) async fn disable(State(admin): Admin, granted: Granted, Named(serial): Named) -> Answer {
    granted.token(&admin, &serial)?;
    let token = admin.dialogue.steward.disable(serial, granted.actor()).await?;
    Ok(Json(admin.show_token(&token)))
}

pub(super) async fn lost(State(admin): Admin, granted: Granted, Named(serial): Named) -> Answer {
    let user = owner(&admin, &*granted.token(&admin, &serial)?);
    reaches_owner(&admin, &granted, user.as_deref()).await?;
    let Some(of) = user.map(|user| user.id) else {
        return Err(refusal(
            ErrorCode::Conflict,
            format!("token {serial} belongs to nobody: nobody can have lost it"),
        ));
    };
    let token = admin.dialogue.steward.lose(serial, Some(of), granted.actor()).await?;
    Ok(Json(admin.show_token(&token)))
}

pub(super) async fn enable(State(admin): Admin, granted: Granted, Named(serial): Named) -> Answer {
    granted.token(&admin, &serial)?;
    let token = admin.dialogue.steward.enable(serial, granted.actor()).await?;
    Ok(Json(admin.show_token(&token)))
}

async fn reaches_owner(
    admin: &Administration,
    granted: &Granted,
    user: Option<&User>,
) -> Result<(), Refusal> {
    match user {
        Some(user) => granted.reaches(admin, &user.name).await,
        None => Ok(()),
    }
}

/// Goes on where a code is demanded of the user already, or the caller may bring that about: the first token of
/// somebody of whom nothing is demanded keeps him out until he holds it.
fn demanded_or_may_demand(admin: &Administration, granted: &Granted, user: &UserName) -> Result<(), Refusal> {
    let demanded = admin.dialogue.config.load().require_token
        || admin.dialogue.accounts.find(user).is_some_and(|user| user.otp_on);
    if demanded || granted.caller().role >= Role::Admin {
        return Ok(());
    }
    let message = format!("no one-time password is demanded of {user}: an administrator turns that on first");
    Err(refusal(ErrorCode::Conflict, message))
}

/// Whose a token is.
fn owner(admin: &Administration, token: &crate::accounts::Token) -> Option<Arc<User>> {
    token.record.user.and_then(|id| admin.dialogue.accounts.find_by_id(id))
}

fn name_of(user: Option<&User>) -> &str {
    user.map_or("", |user| user.name.as_str())
}
