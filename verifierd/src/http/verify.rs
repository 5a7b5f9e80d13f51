//! One code, one verdict; and many at once. For the login socket and the API alike.

use std::borrow::Cow;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};
use serde::Serialize;
use wire::error::ErrorCode;
use wire::verify::{BATCH_ITEMS_MAX, BATCH_PATH, Batch, BatchVerified, VERIFY_PATH, Verify};

use crate::dialogue::{Dialogue, DialogueError};
use crate::hosts::HostIdentity;
use serve::body;
use serve::reply::{Reply, error_reply, json_reply, json_reply_of};

/// Bytes of one verdict in a reply, or a little more.
const VERDICT_BYTES: usize = 192;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// One verdict.
    One,
    /// Many.
    Batch,
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// A host of the fleet, by its certificate.
    pub host: Option<&'a HostIdentity>,
    /// Where users come from of whom the caller does not say it; none where they are local then.
    pub elsewhere: Option<&'static str>,
}

impl Route {
    /// Where a request goes, if it is one of these.
    pub fn of(request: &Request<Incoming>) -> Option<Self> {
        match (request.method(), request.uri().path()) {
            (&Method::POST, VERIFY_PATH) => Some(Self::One),
            (&Method::POST, BATCH_PATH) => Some(Self::Batch),
            _ => None,
        }
    }

    /// Answers it.
    pub async fn answer(
        self,
        dialogue: &Arc<Dialogue>,
        asker: Asker<'_>,
        request: Request<Incoming>,
    ) -> Reply {
        let Asker { host, elsewhere } = asker;
        let body = match body::read(request).await {
            Ok(body) => body,
            Err(refusal) => return refusal,
        };
        match self {
            Self::One => match serde_json::from_slice(&body) {
                Ok(request) => told(dialogue.verify(placed(request, elsewhere), host).await),
                Err(_) => not_a_request(),
            },
            Self::Batch => match serde_json::from_slice(&body) {
                Ok(Batch { items }) => {
                    let items = items.into_iter().map(|item| placed(item, elsewhere)).collect();
                    answer_batch(dialogue, host, items).await
                }
                Err(_) => not_a_request(),
            },
        }
    }
}

/// The request with a place that its user comes from, where that is not the machine itself.
fn placed<'a>(request: Verify<'a>, elsewhere: Option<&'static str>) -> Verify<'a> {
    let said = request.rhost.filter(|rhost| !rhost.trim().is_empty());
    Verify { rhost: said.or(elsewhere.map(Cow::Borrowed)), ..request }
}

async fn answer_batch<'a>(
    dialogue: &Arc<Dialogue>,
    host: Option<&'a HostIdentity>,
    items: Vec<Verify<'a>>,
) -> Reply {
    if items.is_empty() || items.len() > BATCH_ITEMS_MAX {
        let message = format!("a batch has 1 to {BATCH_ITEMS_MAX} items, not {}", items.len());
        return error_reply(ErrorCode::Malformed, message);
    }
    let count = items.len();
    match dialogue.verify_batch(items, host).await {
        Ok(items) => json_reply_of(StatusCode::OK, &BatchVerified { items }, count * VERDICT_BYTES),
        Err(error) => refused(&error),
    }
}

/// A reply, or why there is none.
pub fn told<T: Serialize>(replied: Result<T, DialogueError>) -> Reply {
    match replied {
        Ok(reply) => json_reply(StatusCode::OK, &reply),
        Err(error) => refused(&error),
    }
}

fn refused(error: &DialogueError) -> Reply {
    let code = match error {
        DialogueError::Malformed(_) | DialogueError::State(_) => ErrorCode::Malformed,
        DialogueError::Unavailable => ErrorCode::Unavailable,
    };
    error_reply(code, error.to_string())
}

/// The parser's own words may quote what was typed; they stay inside.
pub fn not_a_request() -> Reply {
    error_reply(ErrorCode::Malformed, "not a request of this route".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    // covers: P3
    #[test]
    fn whoever_comes_over_the_network_is_not_local() {
        let placed_at = |rhost: Option<&'static str>, elsewhere| {
            let rhost = rhost.map(Cow::Borrowed);
            let [request_id, user, service, code] = ["", "alice", "vpn", ""].map(Cow::Borrowed);
            placed(Verify { request_id, user, service, rhost, code }, elsewhere).rhost
        };
        assert_eq!(placed_at(None, Some("api")).as_deref(), Some("api"));
        assert_eq!(placed_at(Some(" "), Some("api")).as_deref(), Some("api"));
        assert_eq!(placed_at(Some("192.0.2.1"), Some("api")).as_deref(), Some("192.0.2.1"));
        assert_eq!(placed_at(None, None), None);
    }
}
