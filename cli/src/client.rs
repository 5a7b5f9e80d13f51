//! HTTP/1.1 with JSON to `verifierd`'s socket: one connection per request, nothing retried.
//!
//! The limits are here too: how long answers may take ([`Patience`]), and how large one may be. What a person
//! takes to type an answer counts for nothing.

use std::cell::Cell;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use wire::error::{ErrorBody, ErrorCode};
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::output::escape::escaped;

/// Largest answer that is read, in bytes. A user or a token takes about 300 bytes, so this is a list of
/// 200,000 of them; a full audit page with every field at its limit stays below it too.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How long answers may take.
pub enum Patience {
    /// All answers together; the cell holds what is left.
    Together { limit: Duration, left: Cell<Duration> },
    /// Each of them.
    Each { limit: Duration },
}

impl Patience {
    /// `limit` for all answers together.
    pub fn together(limit: Duration) -> Self {
        Self::Together { limit, left: Cell::new(limit) }
    }

    fn limit(&self) -> Duration {
        match self {
            Self::Together { limit, .. } | Self::Each { limit } => *limit,
        }
    }

    /// Waits for one answer.
    async fn wait<T>(&self, answer: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        let (limit, left) = match self {
            Self::Together { left, .. } => (self.limit(), left.get()),
            Self::Each { limit } => (*limit, *limit),
        };
        let deadline = tokio::time::Instant::now() + left;
        let outcome = tokio::time::timeout_at(deadline, answer).await;
        if let Self::Together { left, .. } = self {
            left.set(deadline.saturating_duration_since(tokio::time::Instant::now()));
        }
        outcome.unwrap_or(Err(Failure::TimedOut { timeout: limit }))
    }
}

/// The way to one `verifierd`.
pub struct Client {
    socket: PathBuf,
    verbose: bool,
    patience: Patience,
}

impl Client {
    /// A client of the socket at `socket`; it connects when something is asked.
    pub fn new(socket: PathBuf, verbose: bool, patience: Patience) -> Self {
        Self { socket, verbose, patience }
    }

    /// Reads something. `path` is percent-encoded already.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.exchange(Method::GET, path, Zeroizing::default()).await
    }

    /// Puts something into a state.
    pub async fn put<T: DeserializeOwned>(&self, path: &str, wish: &impl Serialize) -> Result<T, Failure> {
        self.exchange(Method::PUT, path, encode(wish)?).await
    }

    /// Asks for an action.
    pub async fn post<T: DeserializeOwned>(&self, path: &str, wish: &impl Serialize) -> Result<T, Failure> {
        self.exchange(Method::POST, path, encode(wish)?).await
    }

    /// Asks for an action whose words are JSON already.
    pub async fn post_json<T: DeserializeOwned>(
        &self,
        path: &str,
        json: Zeroizing<Vec<u8>>,
    ) -> Result<T, Failure> {
        self.exchange(Method::POST, path, json).await
    }

    /// Asks for an action that needs no further words.
    pub async fn post_nothing<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.exchange(Method::POST, path, Zeroizing::default()).await
    }

    /// Asks where the work takes `more` than an answer usually may.
    pub async fn patiently<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        more: Duration,
    ) -> Result<T, Failure> {
        let limit = self.patience.limit() + more;
        Patience::Each { limit }.wait(self.exchange_now(method, path, Zeroizing::default())).await
    }

    /// Gives something up.
    pub async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.exchange(Method::DELETE, path, Zeroizing::default()).await
    }

    async fn exchange<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Zeroizing<Vec<u8>>,
    ) -> Result<T, Failure> {
        self.patience.wait(self.exchange_now(method, path, body)).await
    }

    async fn exchange_now<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Zeroizing<Vec<u8>>,
    ) -> Result<T, Failure> {
        let said = format!("{method} {path}");
        let response = self.send(method, path, body).await?;
        let status = response.status();
        if self.verbose {
            eprintln!("postern: {}: {said}: {}", escaped(&self.socket.to_string_lossy()), status.as_u16());
        }
        let bytes = read(response).await?;
        if status.is_success() { parse(&bytes) } else { Err(refusal(status, &bytes)) }
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Zeroizing<Vec<u8>>,
    ) -> Result<Response<Incoming>, Failure> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|source| match source.kind() {
            ErrorKind::PermissionDenied => Failure::ConnectNotAllowed { socket: self.socket.clone() },
            _ => Failure::Connect { socket: self.socket.clone(), source },
        })?;
        let broken = |source| Failure::Broken { source };
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        // An error of the connection reaches us through the request as well.
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost")
            .header("connection", "close")
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from_owner(body)))
            .map_err(|error| Failure::Garbled { problem: format!("cannot build the request: {error}") })?;
        sender.send_request(request).await.map_err(broken)
    }
}

/// A message as JSON, in memory that is wiped: it may hold a code or a secret.
pub fn encode(message: &impl Serialize) -> Result<Zeroizing<Vec<u8>>, Failure> {
    // Room for every message, so that none is copied about while it grows.
    let mut json = Zeroizing::new(Vec::with_capacity(wire::BODY_BYTES_MAX));
    serde_json::to_writer(&mut *json, message)
        .map_err(|error| Failure::Garbled { problem: format!("cannot encode the request: {error}") })?;
    Ok(json)
}

/// One segment of a path, with everything but letters, digits, `-` and `_` percent-encoded: no name can
/// become another path.
pub fn segment(name: &str) -> String {
    name.bytes().fold(String::new(), |mut encoded, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => encoded.push(char::from(byte)),
            other => encoded.push_str(&format!("%{other:02X}")),
        }
        encoded
    })
}

async fn read(response: Response<Incoming>) -> Result<Bytes, Failure> {
    match Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(Failure::Garbled { problem: format!("it is larger than {ANSWER_BYTES_MAX} bytes") })
        }
        Err(error) => match error.downcast::<hyper::Error>() {
            Ok(source) => Err(Failure::Broken { source: *source }),
            Err(other) => Err(Failure::Garbled { problem: other.to_string() }),
        },
    }
}

/// Reads the answer, the version first: an answer of another version is not half understood.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    #[derive(serde::Deserialize)]
    struct Head {
        api_version: Option<u16>,
    }
    let garbled = |error: serde_json::Error| Failure::Garbled { problem: error.to_string() };
    let head: Head = serde_json::from_slice(bytes).map_err(garbled)?;
    match head.api_version {
        Some(other) if other != wire::API_VERSION => Err(Failure::Garbled {
            problem: format!(
                "it is of version {other}, and this command speaks version {}",
                wire::API_VERSION
            ),
        }),
        _ => serde_json::from_slice(bytes).map_err(garbled),
    }
}

/// The failure behind an error status, also where the body is not ours.
fn refusal(status: StatusCode, bytes: &[u8]) -> Failure {
    match serde_json::from_slice::<ErrorBody>(bytes) {
        Ok(body) => Failure::Refused { code: body.error.code, message: body.error.message },
        Err(_) => Failure::Refused {
            code: match status.as_u16() {
                400 => ErrorCode::Malformed,
                403 => ErrorCode::NotAllowed,
                404 => ErrorCode::NotFound,
                409 => ErrorCode::Conflict,
                413 => ErrorCode::TooLarge,
                422 => ErrorCode::WrongCode,
                429 => ErrorCode::Throttled,
                503 => ErrorCode::Unavailable,
                _ => ErrorCode::Unknown,
            },
            message: format!("verifierd answered with HTTP status {}", status.as_u16()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_becomes_another_path() {
        assert_eq!(segment("alice"), "alice");
        assert_eq!(segment("../audit/verify?x=1#y"), "%2E%2E%2Faudit%2Fverify%3Fx%3D1%23y");
        assert_eq!(segment("josé\n"), "jos%C3%A9%0A");
    }

    #[test]
    fn an_answer_of_another_version_is_refused() {
        let answer = parse::<serde_json::Value>(br#"{"api_version":2,"kind":"status"}"#);
        assert!(matches!(answer, Err(Failure::Garbled { .. })));
    }

    #[test]
    fn an_error_without_a_body_of_ours_keeps_its_status() {
        let failure = refusal(StatusCode::NOT_FOUND, b"<html>");
        assert!(matches!(failure, Failure::Refused { code: ErrorCode::NotFound, .. }));
    }
}
