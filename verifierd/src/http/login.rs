//! The two requests of the login socket.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};
use serde::de::DeserializeOwned;
use wire::error::ErrorCode;
use wire::login::{BEGIN_PATH, CONTINUE_PATH};

use super::{Reply, error_reply, json_reply, read_body};
use crate::dialogue::{Dialogue, DialogueError};

/// Answers a request of the PAM module.
pub async fn answer(dialogue: &Arc<Dialogue>, request: Request<Incoming>) -> Reply {
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
    match replied {
        Ok(reply) => json_reply(StatusCode::OK, &reply),
        Err(error @ (DialogueError::Malformed(_) | DialogueError::State(_))) => {
            error_reply(ErrorCode::Malformed, error.to_string())
        }
        Err(error @ DialogueError::Unavailable) => error_reply(ErrorCode::Unavailable, error.to_string()),
    }
}

async fn parse<T: DeserializeOwned>(request: Request<Incoming>) -> Result<T, Reply> {
    let body = read_body(request).await?;
    // The parser's own words may quote what was typed; they stay inside.
    serde_json::from_slice(&body)
        .map_err(|_| error_reply(ErrorCode::Malformed, "not a request of this route".into()))
}
