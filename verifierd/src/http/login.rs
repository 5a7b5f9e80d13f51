//! The requests of the login socket: a dialogue here, a verdict in `verify`, what follows a login in `sessions`.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::{Method, Request};
use serde::de::DeserializeOwned;
use wire::error::ErrorCode;
use wire::login::{BEGIN_PATH, CONTINUE_PATH};
use wire::session::{CLOSE_PATH, LEFT_OUT_PATH, OPEN_PATH};

use super::sessions;
use super::verify::{Asker, Route, not_a_request, told};
use crate::dialogue::Dialogue;
use crate::hosts::HostIdentity;
use serve::body;
use serve::reply::{Reply, error_reply};

/// Answers a request of the PAM module.
///
/// * `host`: where the module is, by the host's certificate; none on this machine.
pub async fn answer(
    dialogue: &Arc<Dialogue>,
    host: Option<&HostIdentity>,
    request: Request<Incoming>,
) -> Reply {
    if let Some(route) = Route::of(&request) {
        return route.answer(dialogue, Asker { host, elsewhere: None }, request).await;
    }
    // Apart: a verdict's request carries no room for a dialogue.
    Box::pin(converse(dialogue, host.cloned(), request)).await
}

async fn converse(dialogue: &Arc<Dialogue>, host: Option<HostIdentity>, request: Request<Incoming>) -> Reply {
    let replied = match (request.method(), request.uri().path()) {
        (&Method::POST, BEGIN_PATH) => match parse(request).await {
            Ok(begin) => dialogue.begin(begin, host).await,
            Err(refusal) => return refusal,
        },
        (&Method::POST, CONTINUE_PATH) => match parse(request).await {
            Ok(proceed) => dialogue.proceed(proceed, host).await,
            Err(refusal) => return refusal,
        },
        (&Method::POST, OPEN_PATH) => {
            return sessions::open(&dialogue.sessions, &dialogue.config.load(), host, request).await;
        }
        (&Method::POST, CLOSE_PATH) => return sessions::close(&dialogue.sessions, host, request).await,
        (&Method::POST, LEFT_OUT_PATH) => {
            return sessions::left_out(&dialogue.sessions, host, request).await;
        }
        (_, path) => {
            return error_reply(ErrorCode::NotFound, format!("nothing is at {path:?} on this socket"));
        }
    };
    told(replied)
}

pub(super) async fn parse<T: DeserializeOwned>(request: Request<Incoming>) -> Result<T, Reply> {
    let body = body::read(request).await?;
    serde_json::from_slice(&body).map_err(|_| not_a_request())
}
