//! The one style, the icon and the scripts of the pages. All are in the program; browsers may keep them for a day.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Response};
use serve::Reply;

/// Path, type, and what is there. htmx is 2.0.11, as its makers give it out; its licence stands beside it.
const ASSETS: [(&str, &str, &str); 4] = [
    ("/assets/style.css", "text/css; charset=utf-8", include_str!("assets/style.css")),
    ("/assets/icon.svg", "image/svg+xml", include_str!("assets/icon.svg")),
    ("/assets/htmx.js", "text/javascript; charset=utf-8", include_str!("assets/htmx.min.js")),
    ("/assets/keys.js", "text/javascript; charset=utf-8", include_str!("assets/keys.js")),
];

/// What is at a path, if it is one of these.
pub fn find(method: &Method, path: &str) -> Option<Reply> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return None;
    }
    let (_, kind, text) = ASSETS.into_iter().find(|(known, _, _)| *known == path)?;
    let mut reply = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    reply.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("private, max-age=86400"));
    Some(reply)
}
