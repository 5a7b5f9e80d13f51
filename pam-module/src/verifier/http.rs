//! Requests and replies as bytes: HTTP/1.1 with a JSON body (RFC 9112), and nothing of it that is not used.
//!
//! Pure. A reply is believed if it has a `Content-Length` that is exactly the rest of the connection, and if
//! it repeats what this login was about.

use serde::Serialize;
use serde_json as json;
use wire::login::{BEGIN_PATH, Begin, CONTINUE_PATH, Continue, MESSAGES_MAX, Next, Reply};
use zeroize::Zeroizing;

use super::{Failure, Unavailable};
use crate::fault::fault_point;
use crate::login::Login;

/// Longest reply with its head: the body's limit and 4 KiB, an ample head for five header fields.
pub(super) const REPLY_BYTES_MAX: usize = wire::BODY_BYTES_MAX + 4 * 1024;

/// Most header fields of a reply. A verifier sends three or four.
const HEADERS_MAX: usize = 32;

/// JSON escapes a character with at most six bytes for one (`\u001f`), and the names around take the rest.
const ESCAPED_BYTES_PER_BYTE: usize = 6;
const FRAME_BYTES_MAX: usize = 1024;

/// The request that starts a dialogue.
pub(super) fn encode_begin(request: &Begin) -> Result<Zeroizing<Vec<u8>>, Failure> {
    fault_point!("http::encode_begin");
    let body = json::to_vec(request).map_err(|_| Failure::Protocol("request-not-encodable"))?;
    Ok(frame(BEGIN_PATH, &body))
}

/// The request that carries answers. Leaves no copy of them but the one it returns.
pub(super) fn encode_continue(request: &Continue) -> Result<Zeroizing<Vec<u8>>, Failure> {
    fault_point!("http::encode_continue");
    let text: usize =
        request.answers.iter().map(String::len).fold(request.state.len(), usize::saturating_add);
    let size = text.saturating_mul(ESCAPED_BYTES_PER_BYTE).saturating_add(FRAME_BYTES_MAX);
    // Large enough from the start: a vector that grows leaves its old bytes behind.
    let mut body = Zeroizing::new(Vec::with_capacity(size));
    json::to_writer(&mut *body, request).map_err(|_| Failure::Protocol("request-not-encodable"))?;
    if body.len() > wire::BODY_BYTES_MAX {
        return Err(Failure::Protocol("request-too-long"));
    }
    Ok(frame(CONTINUE_PATH, &body))
}

/// The request that tells something.
pub(super) fn encode_report(path: &str, said: &impl Serialize) -> Result<Zeroizing<Vec<u8>>, Failure> {
    fault_point!("http::encode_report");
    let body = json::to_vec(said).map_err(|_| Failure::Protocol("request-not-encodable"))?;
    Ok(frame(path, &body))
}

fn frame(path: &str, body: &[u8]) -> Zeroizing<Vec<u8>> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let mut request = Zeroizing::new(Vec::with_capacity(head.len().saturating_add(body.len())));
    request.extend_from_slice(head.as_bytes());
    request.extend_from_slice(body);
    request
}

/// Reads everything that came on a connection as the reply to `request_id`.
///
/// # Errors
/// `Unavailable` when there is none, when it is cut or its status is 503, `Rejected` for the protocol's other error
/// statuses, `Protocol` for everything that is not a reply about `login`.
pub(super) fn decode(bytes: &[u8], login: &Login, request_id: &str) -> Result<Reply, Failure> {
    fault_point!("http::decode");
    let (status, body) = split(bytes)?;
    match status {
        200 => {}
        503 => return Err(Failure::Unavailable(Unavailable::SaidSo)),
        400 | 403 | 404 | 409 | 413 => return Err(Failure::Rejected { status }),
        _ => return Err(Failure::Protocol("status-unknown")),
    }
    let reply: Reply = json::from_slice(body).map_err(|_| Failure::Protocol("body-not-a-reply"))?;
    match problem(&reply, login, request_id) {
        None => Ok(reply),
        Some(problem) => Err(Failure::Protocol(problem)),
    }
}

/// The status and the body of a complete response.
///
/// # Errors
/// `Unavailable` when it is cut, `Protocol` when it is none.
pub(super) fn split(bytes: &[u8]) -> Result<(u16, &[u8]), Failure> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let head_length = match response.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if bytes.is_empty() => {
            return Err(Failure::Unavailable(Unavailable::Closed));
        }
        Ok(httparse::Status::Partial) => return Err(Failure::Unavailable(Unavailable::Cut)),
        Err(_) => return Err(Failure::Protocol("head-not-http")),
    };
    let (Some(1), Some(status)) = (response.version, response.code) else {
        return Err(Failure::Protocol("version-not-http-1.1"));
    };
    let body_length = content_length(response.headers).map_err(Failure::Protocol)?;
    let body = bytes.get(head_length..).unwrap_or_default();
    match body.len().cmp(&body_length) {
        std::cmp::Ordering::Less => Err(Failure::Unavailable(Unavailable::Cut)),
        std::cmp::Ordering::Equal => Ok((status, body)),
        std::cmp::Ordering::Greater => Err(Failure::Protocol("bytes-after-the-reply")),
    }
}

fn content_length(headers: &[httparse::Header<'_>]) -> Result<usize, &'static str> {
    let mut length = None;
    for header in headers {
        if header.name.eq_ignore_ascii_case("transfer-encoding") {
            return Err("transfer-encoding-not-supported");
        }
        if !header.name.eq_ignore_ascii_case("content-length") {
            continue;
        }
        let digits = std::str::from_utf8(header.value).map_err(|_| "content-length-not-a-number")?;
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err("content-length-not-a-number");
        }
        let value: usize = digits.parse().map_err(|_| "content-length-not-a-number")?;
        if value > wire::BODY_BYTES_MAX {
            return Err("content-length-too-large");
        }
        if length.replace(value).is_some() {
            return Err("content-length-twice");
        }
    }
    length.ok_or("content-length-missing")
}

/// What is wrong with a well-formed reply, if anything.
fn problem(reply: &Reply, login: &Login, request_id: &str) -> Option<&'static str> {
    if reply.api_version != wire::API_VERSION {
        return Some("api-version-differs");
    }
    if reply.request_id != request_id {
        return Some("request-id-differs");
    }
    if reply.user != login.user {
        return Some("user-differs");
    }
    if reply.service != login.service {
        return Some("service-differs");
    }
    let questions = match &reply.next {
        Next::Ask { questions, .. } if questions.is_empty() => return Some("no-question"),
        Next::Ask { questions, .. } => questions.len(),
        Next::Done { .. } => 0,
    };
    (reply.show.len().saturating_add(questions) > MESSAGES_MAX).then_some("too-many-messages")
}

#[cfg(test)]
mod tests;
