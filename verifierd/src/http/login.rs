//! The requests of the login socket.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::{Method, Request};
use serde::de::DeserializeOwned;
use wire::error::ErrorCode;
use wire::login::{BEGIN_PATH, CONTINUE_PATH};

use super::body;
use super::reply::{Reply, error_reply};
use super::verify::{Route, not_a_request, told};
use crate::dialogue::Dialogue;

/// Answers a request of the PAM module.
pub async fn answer(dialogue: &Arc<Dialogue>, request: Request<Incoming>) -> Reply {
    if let Some(route) = Route::of(&request) {
        return route.answer(dialogue, request, None).await;
    }
    // Apart: a verdict's request carries no room for a dialogue.
    Box::pin(converse(dialogue, request)).await
}

async fn converse(dialogue: &Arc<Dialogue>, request: Request<Incoming>) -> Reply {
    let replied = match (request.method(), request.uri().path()) {
        (&Method::POST, BEGIN_PATH) => match parse(request).await {
            Ok(begin) => dialogue.begin(begin).await,
            Err(refusal) => return refusal,
        },
        (&Method::POST, CONTINUE_PATH) => match parse(request).await {
            Ok(proceed) => dialogue.proceed(proceed).await,
            Err(refusal) => return refusal,
        },
        (_, path) => {
            return error_reply(ErrorCode::NotFound, format!("nothing is at {path:?} on this socket"));
        }
    };
    told(replied)
}

async fn parse<T: DeserializeOwned>(request: Request<Incoming>) -> Result<T, Reply> {
    let body = body::read(request).await?;
    serde_json::from_slice(&body).map_err(|_| not_a_request())
}
