//! The verbs of the `postern` command for programs, below `/api`, and the document that tells of them.
//!
//! Who asks is said by a key of a person, and by nothing else: the cookie of somebody who is signed in opens nothing here,
//! so no page of others can make a browser ask. What is asked goes to the routes of the sockets (see
//! [`Administration::ask`](crate::http::Administration::ask)), which know one table of roles.

use std::net::IpAddr;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{ALLOW, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, StatusCode, Uri};
use serve::{Reply, Tally, body, error_reply};
use wire::error::ErrorCode;
use zeroize::Zeroizing;

use super::Web;
use super::guard;
use crate::config::BaseUrl;
use crate::http::api::unauthorized;
use crate::http::document::{BELOW, is_of_network};
use crate::http::roles::{Caller, ShownKey, Who};
use crate::http::wrong_secrets::Recording;
use crate::people::{PeopleError, Person};
use crate::person_keys::Held;

/// Where the document is.
const DOCUMENT: &str = "/openapi.json";

/// What everybody gets whose key opens nothing, whatever the reason.
const WRONG: &str =
    "no key that is good was shown: the API wants `authorization: Bearer` and a key of a person";

/// Whether a path is none of the pages'.
pub(super) fn is_for_programs(path: &str) -> bool {
    path == DOCUMENT || path == BELOW || path.strip_prefix(BELOW).is_some_and(|rest| rest.starts_with('/'))
}

impl Web {
    /// Answers a program. The listener's tally tells of those without a key that is good.
    pub(super) async fn answer_program(
        &self,
        (source, tally): (IpAddr, &Tally),
        head: Parts,
        body: Incoming,
        base: &BaseUrl,
    ) -> Reply {
        match asked_of(&head.uri, &head.headers, base) {
            AskedOf::SomebodyElse => {
                let mut reply = error_reply(ErrorCode::Malformed, "this server has another name".into());
                *reply.status_mut() = StatusCode::MISDIRECTED_REQUEST;
                return reply;
            }
            AskedOf::Document => return self.show_document(&head.method),
            AskedOf::Routes => {}
        }
        let found = match bearer(&head.headers) {
            Some(key) => self.caller(key).await,
            None => {
                tally.count_without_key();
                return unauthorized(Request::from_parts(head, body), WRONG).await;
            }
        };
        match found {
            Ok(Some(caller)) => self.ask_for_program(caller, head, body).await,
            Ok(None) => {
                tally.count_without_key();
                self.refuse_key(source, Request::from_parts(head, body)).await
            }
            Err(error) => error_reply(ErrorCode::Unavailable, error.to_string()),
        }
    }

    /// The same wherever Postern is: it tells nothing of this installation, so everybody may read it.
    fn show_document(&self, method: &Method) -> Reply {
        if !matches!(*method, Method::GET | Method::HEAD) {
            let mut reply =
                error_reply(ErrorCode::NotFound, "the document can be read, and nothing else".into());
            *reply.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            reply.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return reply;
        }
        let mut reply = Reply::new(self.administration.document().into());
        reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        reply
    }

    /// Who asks with a key: its person, as he is at this moment.
    async fn caller(&self, shown: &[u8]) -> Result<Option<Caller>, PeopleError> {
        let Some(held) = self.administration.keys.find(shown) else { return Ok(None) };
        let person = self.administration.dialogue.people.by_id(held.record.person).await?;
        let caller = person.and_then(|person| caller_of(&held, &person));
        if caller.is_some() {
            self.administration.keys.note_use(&held);
        }
        Ok(caller)
    }

    async fn refuse_key(&self, source: IpAddr, request: Request<Incoming>) -> Reply {
        let now = self.administration.dialogue.clock.elapsed();
        if self.wrong_keys.is_barred(source, now) {
            let message = "too many wrong keys from this address: try again in a quarter of an hour";
            let mut reply = unauthorized(request, message).await;
            *reply.body_mut() = error_reply(ErrorCode::Throttled, message.into()).into_body();
            *reply.status_mut() = StatusCode::TOO_MANY_REQUESTS;
            return reply;
        }
        let detail = match self.wrong_keys.count(source, now) {
            Recording::Itself => Some(None),
            Recording::Last => {
                Some(Some("there are many: those of the next quarter of an hour have no record".to_owned()))
            }
            Recording::Nothing => None,
        };
        if let Some(detail) = detail
            && let Err(error) = self.administration.keys.tell_refused(source, detail).await
        {
            tracing::warn!(%error, %source, "a key was refused, and no record tells of it");
        }
        unauthorized(request, WRONG).await
    }

    async fn ask_for_program(&self, caller: Caller, head: Parts, body: Incoming) -> Reply {
        let Some(uri) = inner(&head.uri) else {
            return error_reply(ErrorCode::NotFound, format!("nothing is at this path: see {DOCUMENT}"));
        };
        let (method, is_json) = (head.method.clone(), is_json(&head.headers));
        let body = match body::read(Request::from_parts(head, body)).await {
            Ok(body) => Zeroizing::new(body.to_vec()),
            Err(refusal) => return refusal,
        };
        if !body.is_empty() && !is_json {
            let message = "bodies are JSON: say `content-type: application/json`";
            let mut reply = error_reply(ErrorCode::Malformed, message.into());
            *reply.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return reply;
        }
        Arc::clone(&self.administration).ask(caller, method, uri, body).await
    }
}

/// Whom a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AskedOf {
    /// A server of another name.
    SomebodyElse,
    /// What tells of the routes.
    Document,
    /// The routes.
    Routes,
}

fn asked_of(uri: &Uri, headers: &HeaderMap, base: &BaseUrl) -> AskedOf {
    if !guard::is_for_us(uri, headers, base) {
        return AskedOf::SomebodyElse;
    }
    if uri.path() == DOCUMENT { AskedOf::Document } else { AskedOf::Routes }
}

/// With the lesser of the two roles, everywhere; nobody, where the person is not who he was when the key was made.
fn caller_of(held: &Held, person: &Arc<Person>) -> Option<Caller> {
    let role = held.caller_role(person)?;
    let mut lesser = Person::clone(person);
    lesser.role = role;
    let person = Arc::new(lesser);
    let key = ShownKey { name: held.record.name.clone(), is_his_own: held.record.is_his_own };
    Some(Caller { name: person.login.clone(), who: Who::Person(person), role, key: Some(key) })
}

/// What is shown as a key. Of two, somebody in front of us may have looked at the other.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut shown = headers.get_all(AUTHORIZATION).iter();
    let (scheme, key) = shown.next()?.as_bytes().split_at_checked(7)?;
    (scheme.eq_ignore_ascii_case(b"Bearer ") && shown.next().is_none()).then_some(key)
}

/// What is said to be two things may be read as either.
fn is_json(headers: &HeaderMap) -> bool {
    let mut kinds = headers.get_all(CONTENT_TYPE).iter();
    let (Some(kind), None) = (kinds.next(), kinds.next()) else { return false };
    let kind = kind.to_str().unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
}

/// What a route is called at the sockets.
fn inner(uri: &Uri) -> Option<Uri> {
    let target = uri.path_and_query()?.as_str().strip_prefix(BELOW)?;
    is_of_network(target).then(|| target.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| {
                (name.parse::<hyper::header::HeaderName>().unwrap(), HeaderValue::from_static(value))
            })
            .collect()
    }

    // covers: C08
    #[test]
    fn what_is_for_another_name_is_not_looked_at() {
        let base = BaseUrl::parse("https://otp.example.org").unwrap();
        let asked =
            |target: &str, host| asked_of(&target.parse().unwrap(), &headers(&[("host", host)]), &base);
        assert_eq!(asked("/api/v1/self", "otp.example.org"), AskedOf::Routes);
        assert_eq!(asked(DOCUMENT, "otp.example.org"), AskedOf::Document);
        for target in ["/api/v1/self", DOCUMENT] {
            assert_eq!(asked(target, "evil.example"), AskedOf::SomebodyElse);
        }
    }

    // covers: C18
    #[test]
    fn of_two_keys_none_is_looked_at() {
        let shown = |lines| bearer(&headers(lines)).map(<[u8]>::to_vec);
        assert_eq!(shown(&[("authorization", "Bearer postern_x")]).as_deref(), Some(&b"postern_x"[..]));
        assert_eq!(shown(&[("authorization", "bearer postern_x")]).as_deref(), Some(&b"postern_x"[..]));
        for lines in [
            &[][..],
            &[("authorization", "Bearer")],
            &[("authorization", "Basic postern_x")],
            &[("authorization", "Bearer postern_x"), ("authorization", "Bearer postern_y")],
            &[("cookie", "__Host-postern=x")],
        ] {
            assert_eq!(shown(lines), None, "{lines:?}");
        }
    }

    // covers: C04
    #[test]
    fn only_what_is_said_to_be_json_is_read_as_such() {
        let json = ("content-type", "application/json");
        assert!(is_json(&headers(&[json])));
        assert!(is_json(&headers(&[("content-type", "Application/JSON; charset=utf-8")])));
        for lines in [
            &[][..],
            &[("content-type", "text/plain")],
            &[("content-type", "application/x-www-form-urlencoded")],
            &[json, ("content-type", "text/plain")],
        ] {
            assert!(!is_json(&headers(lines)), "{lines:?}");
        }
    }

    // covers: C18
    #[test]
    fn only_what_is_below_v1_is_asked_of_the_routes() {
        let asked = |target: &str| inner(&target.parse().unwrap()).map(|uri| uri.to_string());
        assert_eq!(asked("/api/v1/users?x=%2f").as_deref(), Some("/v1/users?x=%2f"));
        assert_eq!(asked("https://otp.example.org/api/v1/self").as_deref(), Some("/v1/self"));
        for target in
            ["/api", "/api/", "/api/metrics", "/api//v1/users", "/apiv1/users", "/v1/users", "/api/v1"]
        {
            assert_eq!(asked(target), None, "{target}");
        }
        assert!(is_for_programs("/api") && is_for_programs("/api/x") && is_for_programs("/openapi.json"));
        assert!(!is_for_programs("/apix") && !is_for_programs("/requests"));
    }
}
