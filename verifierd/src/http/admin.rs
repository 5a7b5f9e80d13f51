//! The administrator's requests: `wire::admin` has the table.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use data_encoding::HEXLOWER;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::body::Incoming;
use ledger::{Ledger, ReadError, StartState};
use serde::Deserialize;
use tower::ServiceExt;
use wire::admin::{
    AUDIT_PAGE_MAX, AuditCheck, AuditPage, Decision, OnOff, SetOtp, Status, TokenList, User as WireUser,
    UserList,
};
use wire::error::{ErrorBody, ErrorCode, ErrorDetail};

use super::{Reply, error_reply, read_body};
use crate::accounts::{ChangeError, Token, TokenState, User, UserName};
use crate::audit::{Reference, record, rfc3339};
use crate::clock::UnixTime;
use crate::dialogue::Dialogue;
use crate::policy::grace_left;

/// Everything that administration needs.
#[derive(Debug)]
pub struct Administration {
    /// What logins use.
    pub dialogue: Arc<Dialogue>,
    /// For reading the audit trail.
    pub ledger: Arc<dyn Ledger>,
    /// When the daemon started.
    pub started: UnixTime,
    store_start: StartState,
    router: Router<Arc<Self>>,
}

impl Administration {
    /// Puts the routes together.
    pub fn new(
        dialogue: Arc<Dialogue>,
        ledger: Arc<dyn Ledger>,
        started: UnixTime,
        store_start: StartState,
    ) -> Self {
        let router = Router::new()
            .route("/v1/users", get(list_users))
            .route("/v1/users/{name}", get(show_user))
            .route("/v1/users/{name}/otp", put(set_otp))
            .route("/v1/tokens", get(list_tokens))
            .route("/v1/tokens/{serial}", get(show_token))
            .route("/v1/tokens/{serial}/disable", post(disable_token))
            .route("/v1/decisions/{reference}", get(show_decision))
            .route("/v1/audit", get(show_audit))
            .route("/v1/audit/verify", get(verify_audit))
            .route("/v1/status", get(show_status))
            .route("/v1/store/settle", post(settle_store))
            .fallback(|| async {
                refusal(ErrorCode::NotFound, "nothing is at this path on this socket".into())
            });
        Self { dialogue, ledger, started, store_start, router }
    }

    /// Answers a request of the `postern` command.
    pub async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Reply {
        let (parts, head) = (request.method().clone(), request.uri().clone());
        let body = match read_body(request).await {
            Ok(body) => body,
            Err(refusal) => return refusal,
        };
        let mut inner = Request::new(axum::body::Body::from(body));
        (*inner.method_mut(), *inner.uri_mut()) = (parts, head);
        inner
            .headers_mut()
            .insert(hyper::header::CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
        let router = self.router.clone().with_state(self);
        let Ok(response) = router.oneshot(inner).await;
        let (head, body) = response.into_parts();
        match body.collect().await {
            Ok(body) => Reply::from_parts(head, Full::new(body.to_bytes())),
            Err(_) => error_reply(ErrorCode::Unavailable, "the answer could not be put together".into()),
        }
    }

    fn user(&self, user: &User) -> WireUser {
        let token = user.token.as_deref();
        let pending = token.filter(|token| token.state() == TokenState::Assigned);
        let config = self.dialogue.config.load();
        let left = pending.and_then(|token| grace_left(token, &config, self.dialogue.clock.now()));
        WireUser {
            name: user.name.to_string(),
            otp: if user.otp_on { OnOff::On } else { OnOff::Off },
            activated: token
                .is_some_and(|token| token.state() != TokenState::Assigned && token.last_accepted() > 0),
            grace_until: left.and_then(|left| left.until).map(rfc3339),
            grace_logins_left: left
                .and_then(|left| left.logins)
                .and_then(|logins| u32::try_from(logins).ok()),
            last_login: token.and_then(last_accepted),
            tokens: token.map(|token| token.record.serial.clone()).into_iter().collect(),
        }
    }
}

type Admin = State<Arc<Administration>>;
type Answer = Result<Response, Response>;

async fn list_users(State(admin): Admin) -> Response {
    let items = admin.dialogue.accounts.users().iter().map(|user| admin.user(user)).collect();
    Json(UserList { api_version: wire::API_VERSION, kind: "user_list".into(), items }).into_response()
}

async fn show_user(State(admin): Admin, Path(name): Path<String>) -> Answer {
    let name = user_name(&name)?;
    let user = admin.dialogue.accounts.find(&name);
    let user = user.ok_or_else(|| refusal(ErrorCode::NotFound, format!("no user {:?}", name.as_str())))?;
    Ok(Json(admin.user(&user)).into_response())
}

async fn set_otp(State(admin): Admin, Path(name): Path<String>, Json(wish): Json<SetOtp>) -> Answer {
    let name = user_name(&name)?;
    let changed = admin.dialogue.steward.set_otp(name, wish.otp == OnOff::On).await;
    Ok(Json(admin.user(&*changed.map_err(change_refusal)?)).into_response())
}

async fn list_tokens(State(admin): Admin) -> Response {
    let users = admin.dialogue.accounts.users();
    let tokens = users.iter().filter_map(|user| user.token.as_ref().map(|token| token_of(user, token)));
    let mut items: Vec<_> = tokens.collect();
    items.sort_by(|one, other| one.serial.cmp(&other.serial));
    Json(TokenList { api_version: wire::API_VERSION, kind: "token_list".into(), items }).into_response()
}

async fn show_token(State(admin): Admin, Path(serial): Path<String>) -> Answer {
    let found = admin.dialogue.accounts.find_by_serial(&serial);
    let (user, token) = found.ok_or_else(|| refusal(ErrorCode::NotFound, format!("no token {serial:?}")))?;
    Ok(Json(token_of(&user, &token)).into_response())
}

async fn disable_token(State(admin): Admin, Path(serial): Path<String>) -> Answer {
    let (user, token) = admin.dialogue.steward.disable_token(serial).await.map_err(change_refusal)?;
    Ok(Json(token_of(&user, &token)).into_response())
}

async fn show_decision(State(admin): Admin, Path(reference): Path<String>) -> Answer {
    let wanted = Reference::parse(&reference).ok_or_else(|| {
        refusal(
            ErrorCode::Malformed,
            format!("{reference:?} is not a reference: eight characters, XXXX-XXXX"),
        )
    })?;
    let line = read(&admin, move |ledger| ledger.audit_by_reference(wanted.bytes())).await?;
    let line = line.ok_or_else(|| refusal(ErrorCode::NotFound, format!("no decision {wanted}")))?;
    let decision =
        Decision { api_version: wire::API_VERSION, kind: "decision".into(), record: record(&line) };
    Ok(Json(decision).into_response())
}

#[derive(Deserialize)]
struct AuditQuery {
    #[serde(default)]
    after: u64,
    limit: Option<u32>,
}

async fn show_audit(State(admin): Admin, Query(query): Query<AuditQuery>) -> Answer {
    let limit = query.limit.unwrap_or(AUDIT_PAGE_MAX).min(AUDIT_PAGE_MAX) as usize;
    let page =
        move |ledger: &dyn Ledger| Ok((ledger.audit_after(query.after, limit)?, ledger.audit_newest()?));
    let (lines, newest) = read(&admin, page).await?;
    let items = lines.iter().map(record).collect();
    Ok(Json(AuditPage { api_version: wire::API_VERSION, kind: "audit_page".into(), items, newest })
        .into_response())
}

async fn verify_audit(State(admin): Admin) -> Answer {
    let report = read(&admin, |ledger| ledger.audit_verify()).await?;
    let check = AuditCheck {
        api_version: wire::API_VERSION,
        kind: "audit_check".into(),
        whole: report.broken_at.is_none(),
        records: report.records,
        broken: report
            .broken_at
            .map(|sequence| format!("record {sequence} does not follow from the one before")),
        head: HEXLOWER.encode(&report.head),
    };
    Ok(Json(check).into_response())
}

async fn show_status(State(admin): Admin) -> Response {
    Json(status(&admin)).into_response()
}

async fn settle_store(State(admin): Admin) -> Answer {
    if !matches!(admin.store_start, StartState::Short { .. }) {
        return Err(refusal(
            ErrorCode::Conflict,
            "nothing is missing in the store: there is nothing to settle".into(),
        ));
    }
    read(&admin, |ledger| ledger.settle_loss()).await?;
    admin.dialogue.steward.note("store_loss_settled").await.map_err(change_refusal)?;
    admin.dialogue.has_loss.store(false, Ordering::Relaxed);
    Ok(Json(status(&admin)).into_response())
}

fn status(admin: &Administration) -> Status {
    let users = admin.dialogue.accounts.users();
    let counters = admin.dialogue.engine.counters();
    let (store_start, missing) = match admin.store_start {
        StartState::Clean => ("clean", None),
        StartState::Unclean => ("unclean", None),
        StartState::Short { found, expected } => ("short", Some((found, expected))),
    };
    let missing = missing.filter(|_| admin.dialogue.has_loss.load(Ordering::Relaxed));
    let reasons = missing.map(|(found, expected)| {
        format!(
            "the store ends at commit {found}, but commit {expected} had been made: an old copy, or damage; \
             until `postern store settle` nobody gets in without a code"
        )
    });
    Status {
        api_version: wire::API_VERSION,
        kind: "status".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        ready: true,
        reasons: reasons.into_iter().collect(),
        started: rfc3339(admin.started),
        users: users.len() as u64,
        tokens: users.iter().filter(|user| user.token.is_some()).count() as u64,
        codes_evaluated: counters.codes_evaluated.load(Ordering::Relaxed),
        accepted: counters.accepted.load(Ordering::Relaxed),
        refused: counters.refused.load(Ordering::Relaxed),
        store_start: store_start.into(),
    }
}

/// Reads the ledger off the runtime's threads.
async fn read<T: Send + 'static>(
    admin: &Arc<Administration>,
    what: impl FnOnce(&dyn Ledger) -> Result<T, ReadError> + Send + 'static,
) -> Result<T, Response> {
    let ledger = Arc::clone(&admin.ledger);
    let result = tokio::task::spawn_blocking(move || what(&*ledger)).await;
    match result {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) => {
            tracing::error!(%error, "the audit trail cannot be read");
            Err(refusal(ErrorCode::Unavailable, error.to_string()))
        }
        Err(_) => Err(refusal(ErrorCode::Unavailable, "the audit trail cannot be read".into())),
    }
}

#[expect(clippy::result_large_err, reason = "axum's handlers return responses by value on both sides")]
fn user_name(name: &str) -> Result<UserName, Response> {
    UserName::new(name).map_err(|error| refusal(ErrorCode::Malformed, format!("{name:?}: {error}")))
}

fn change_refusal(error: ChangeError) -> Response {
    let code = match error {
        ChangeError::NoSuchToken { .. } => ErrorCode::NotFound,
        ChangeError::NotStored { .. }
        | ChangeError::Random(_)
        | ChangeError::Busy
        | ChangeError::Invalid(_) => ErrorCode::Unavailable,
    };
    refusal(code, error.to_string())
}

fn refusal(code: ErrorCode, message: String) -> Response {
    let (status, _) = error_reply(code, String::new()).into_parts();
    let status = StatusCode::from_u16(status.status.as_u16()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, Json(ErrorBody { error: ErrorDetail { code, message } })).into_response()
}

fn token_of(user: &User, token: &Token) -> wire::admin::Token {
    wire::admin::Token {
        serial: token.record.serial.clone(),
        user: user.name.to_string(),
        token_type: "totp".into(),
        algorithm: token.parameters.algorithm.name().into(),
        digits: token.parameters.digits.count(),
        time_interval: token.parameters.time_interval.seconds(),
        state: token.state(),
        failures: token.failures(),
        created: rfc3339(token.record.created),
        last_accepted: last_accepted(token),
    }
}

/// When the newest accepted code was shown by the token: the start of its time step.
fn last_accepted(token: &Token) -> Option<String> {
    let step = token.last_accepted();
    (step > 0).then(|| rfc3339(token.steps.start_of(step)))
}
