//! What pages ask: just what the `postern` command asks, by the same routes, on behalf of whoever is signed in.
//!
//! So one table says what a role may do at the command, over the network and here, and one text says why not.

use std::borrow::Cow;
use std::sync::Arc;

use http_body_util::BodyExt as _;
use hyper::{Method, StatusCode, Uri};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use wire::error::ErrorBody;
use zeroize::Zeroizing;

use super::Web;
use crate::http::roles::Caller;
use crate::people::Person;

/// What may stand in a part of a path as it is. Source: RFC 3986, section 2.3.
const IN_PATHS: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// One request.
pub(super) struct Ask {
    method: Method,
    target: String,
    body: Zeroizing<Vec<u8>>,
}

/// A request that was refused.
#[derive(Debug)]
pub(super) struct Refused {
    /// As the route answered.
    pub(super) status: StatusCode,
    /// One line for people.
    pub(super) message: String,
}

impl Refused {
    /// What a route says to whom it is not granted, for what no route is asked.
    pub(super) fn denied() -> Self {
        Self { status: StatusCode::FORBIDDEN, message: "your role does not permit this".into() }
    }
}

impl Ask {
    /// Asks to see something.
    pub(super) fn get(target: impl Into<String>) -> Self {
        Self { method: Method::GET, target: target.into(), body: Zeroizing::default() }
    }

    /// Asks to do something.
    pub(super) fn post(target: impl Into<String>, body: &impl Serialize) -> Self {
        Self { method: Method::POST, ..Self::with(target, body) }
    }

    /// Asks to set something.
    pub(super) fn put(target: impl Into<String>, body: &impl Serialize) -> Self {
        Self { method: Method::PUT, ..Self::with(target, body) }
    }

    /// Asks to remove something.
    pub(super) fn delete(target: impl Into<String>) -> Self {
        Self { method: Method::DELETE, ..Self::get(target) }
    }

    fn with(target: impl Into<String>, body: &impl Serialize) -> Self {
        // Room for what is asked, so that no copy of a secret is left behind where the text grew.
        let mut text = Zeroizing::new(Vec::with_capacity(wire::BODY_BYTES_MAX));
        serde_json::to_writer(&mut *text, body).expect("messages of ours become JSON");
        Self { body: text, ..Self::get(target) }
    }
}

/// A path of these parts, each as it is meant: `/`, `%` and the like in a part are no part of the path's own.
pub(super) fn path(parts: &[&str]) -> String {
    parts.iter().flat_map(|part| [Cow::Borrowed("/"), encoded(part)]).collect()
}

/// A query of these names and values, with its `?`; nothing where there are none.
pub(super) fn query<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let pairs: Vec<_> =
        pairs.into_iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
    if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
}

/// What a part of a path names, with its `%` signs resolved; nothing where that is no text.
pub(super) fn named(part: &str) -> Option<String> {
    percent_decode_str(part).decode_utf8().ok().map(Cow::into_owned)
}

fn encoded(text: &str) -> Cow<'_, str> {
    utf8_percent_encode(text, IN_PATHS).into()
}

impl Web {
    /// Asks as a person.
    ///
    /// # Errors
    /// What the route refused, and that the answer could not be read.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        person: &Arc<Person>,
        ask: Ask,
    ) -> Result<T, Refused> {
        let Ask { method, target, body } = ask;
        let uri: Uri = target.parse().map_err(|_| Refused {
            status: StatusCode::NOT_FOUND,
            message: "nothing is at this address".into(),
        })?;
        let administration = Arc::clone(&self.administration);
        let reply = Box::pin(administration.ask(Caller::from(person), method, uri, body)).await;
        let (head, body) = reply.into_parts();
        let Ok(body) = body.collect().await;
        let body = Zeroizing::new(body.to_bytes().to_vec());
        if !head.status.is_success() {
            let said = serde_json::from_slice::<ErrorBody>(&body);
            let message = said.map_or_else(|_| "the answer cannot be read".into(), |said| said.error.message);
            return Err(Refused { status: head.status, message });
        }
        serde_json::from_slice(&body).map_err(|error| {
            tracing::error!(%error, %target, "an answer of our own cannot be read");
            Refused { status: StatusCode::INTERNAL_SERVER_ERROR, message: "the answer cannot be read".into() }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // covers: C18
    #[test]
    fn a_part_of_a_path_stays_one_part() {
        assert_eq!(path(&["v1", "users", "alice"]), "/v1/users/alice");
        assert_eq!(path(&["v1", "users", "../hosts?x=%2e#y z"]), "/v1/users/..%2Fhosts%3Fx%3D%252e%23y%20z");
        assert_eq!(path(&["v1", "users", "zoë"]), "/v1/users/zo%C3%AB");
        assert_eq!(query([]), "");
        assert_eq!(query([("user", "a&b=c"), ("host", "web-1")]), "?user=a%26b%3Dc&host=web-1");
        for part in ["..", "."] {
            // Left as they are by the parser of addresses: no route has them.
            assert_eq!(path(&["v1", part]).parse::<Uri>().unwrap().path(), format!("/v1/{part}"));
        }
    }
}
