//! What a request says: its path, its query and its body, or a refusal in our own form.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use wire::error::ErrorCode;
use zeroize::Zeroizing;

use super::refusals::{Refusal, refusal};

/// A request's body, wiped when the request is done.
#[derive(Clone)]
pub(super) struct RequestBody(Arc<Zeroizing<Vec<u8>>>);

impl RequestBody {
    pub(super) fn new(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(Arc::new(bytes))
    }
}

/// A body, read. The parser's own words may quote what was sent, so they stay inside; where it stopped does not.
pub(super) struct Body<T>(pub(super) T);

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for Body<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let body = parts.extensions.get::<RequestBody>();
        let bytes = body.map_or_else(Default::default, |body| body.0.as_slice());
        serde_json::from_slice(bytes).map(Self).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            let message = format!("the body is not what this route takes: see line {line}, column {column}");
            refusal(ErrorCode::Malformed, message)
        })
    }
}

/// The same, for routes whose body may be empty.
pub(super) struct BodyOrDefault<T>(pub(super) T);

impl<S: Sync, T: DeserializeOwned + Default> FromRequestParts<S> for BodyOrDefault<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        if parts.extensions.get::<RequestBody>().is_none_or(|body| body.0.is_empty()) {
            return Ok(Self(T::default()));
        }
        Body::from_request_parts(parts, state).await.map(|Body(body)| Self(body))
    }
}

/// The one variable of a route's path.
pub(super) struct Named(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let named = Path::<String>::from_request_parts(parts, state).await;
        named.map(|Path(name)| Self(name)).map_err(|_| {
            refusal(ErrorCode::Malformed, "the path is not UTF-8 text once its % signs are resolved".into())
        })
    }
}

/// What a route's query may say.
pub(super) trait Questions: DeserializeOwned {
    /// The same for people.
    const TAKES: &str;
}

/// A query, read.
pub(super) struct Asked<T>(pub(super) T);

impl<S: Sync, T: Questions> FromRequestParts<S> for Asked<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let query = Query::<T>::try_from_uri(&parts.uri);
        query.map(|Query(query)| Self(query)).map_err(|_| {
            refusal(ErrorCode::Malformed, format!("the query is not what this route takes: {}", T::TAKES))
        })
    }
}
