//! The requests of the login socket.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use wire::error::ErrorCode;
use wire::login::{BEGIN_PATH, CONTINUE_PATH};
use wire::verify::VERIFY_PATH;

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
        (&Method::POST, VERIFY_PATH) => return verify(dialogue, request).await,
        (_, path) => {
            return error_reply(ErrorCode::NotFound, format!("nothing is at {path:?} on this socket"));
        }
    };
    told(replied)
}

/// One code, one verdict.
async fn verify(dialogue: &Arc<Dialogue>, request: Request<Incoming>) -> Reply {
    let body = match read_body(request).await {
        Ok(body) => body,
        Err(refusal) => return refusal,
    };
    match serde_json::from_slice(&body) {
        Ok(request) => told(dialogue.verify(request).await),
        Err(_) => not_a_request(),
    }
}

fn told<T: Serialize>(replied: Result<T, DialogueError>) -> Reply {
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
    serde_json::from_slice(&body).map_err(|_| not_a_request())
}

/// The parser's own words may quote what was typed; they stay inside.
fn not_a_request() -> Reply {
    error_reply(ErrorCode::Malformed, "not a request of this route".into())
}
