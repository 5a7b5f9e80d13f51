//! What callers are told: JSON, with the one header that it needs.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;
use wire::error::{ErrorBody, ErrorCode, ErrorDetail};

/// A reply in one buffer.
pub type Reply = Response<Full<Bytes>>;

/// A verdict has some 200 bytes: most replies fit at once.
const REPLY_BYTES: usize = 256;

/// A body of JSON.
pub fn json_reply<T: Serialize>(status: StatusCode, body: &T) -> Reply {
    json_reply_of(status, body, REPLY_BYTES)
}

/// The same where about how many bytes it has is known.
pub fn json_reply_of<T: Serialize>(status: StatusCode, body: &T, bytes: usize) -> Reply {
    let mut buffer = Vec::with_capacity(bytes);
    serde_json::to_writer(&mut buffer, body).expect("replies hold only numbers, texts and lists");
    let mut reply = Response::new(Full::new(Bytes::from(buffer)));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    reply
}

/// An error in one line.
pub fn error_reply(code: ErrorCode, message: String) -> Reply {
    json_reply(status_of(code), &ErrorBody { error: ErrorDetail { code, message } })
}

/// The HTTP status that goes with each error.
pub fn status_of(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::Malformed => StatusCode::BAD_REQUEST,
        ErrorCode::NotAllowed => StatusCode::FORBIDDEN,
        ErrorCode::NotFound => StatusCode::NOT_FOUND,
        ErrorCode::Conflict => StatusCode::CONFLICT,
        ErrorCode::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorCode::WrongCode => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorCode::Throttled => StatusCode::TOO_MANY_REQUESTS,
        ErrorCode::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorCode::Unknown => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
