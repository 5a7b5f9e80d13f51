//! The `postern` command's requests: `wire::admin` has the table.
//!
//! A handler reads what is asked, asks the parts that know, and says it in the messages of `wire`. Who may
//! ask is decided before it runs (see [`mod@routes`]); on whose behalf, by [`routes::Granted`].

mod asked;
mod audit;
mod bans;
mod codes;
mod described;
pub mod document;
mod hosts;
mod imports;
mod keys;
mod metrics;
mod offline;
mod people;
mod policy;
mod recovery;
mod refusals;
mod requests;
mod rollout;
mod routes;
mod sessions;
mod shown;
mod store;
mod table;
mod tokens;
mod universal;
mod users;

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::http::{Method, Uri};
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::body::{Bytes, Incoming};
use ledger::{Ledger, ReadError, StartState};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wire::admin::Role;
use wire::error::ErrorCode;
use zeroize::Zeroizing;

use super::imports::Imports;
use super::read_body;
use super::roles::{Caller, Who};
use crate::audit::sinks::Sinks;
use crate::clock::UnixTime;
use crate::dialogue::Dialogue;
use crate::hosts::Registrar;
use crate::offline::Maker;
use crate::person_keys::PersonKeys;
use asked::RequestBody;
use refusals::{Refusal, refusal};
use routes::Route;
use serve::{Reply, Tally, error_reply};

/// Requests of callers without a role that are worked on at once. Each may have one change waiting with the
/// steward, who lets a thousand wait, and one thread that asks the name service: enough for many people who
/// each run a command, and a small part of both.
const USER_REQUESTS_MAX: usize = 16;

/// Everything that administration needs.
#[derive(Debug)]
pub struct Administration {
    /// What logins use.
    pub dialogue: Arc<Dialogue>,
    /// Hosts of the fleet, and who changes them.
    pub registrar: Arc<Registrar>,
    /// For reading the audit trail.
    pub ledger: Arc<dyn Ledger>,
    /// When the daemon started.
    pub started: UnixTime,
    /// Where the audit trail goes besides.
    pub sinks: Arc<Sinks>,
    /// Keys of persons.
    pub keys: PersonKeys,
    /// Makes passwords that hosts check alone.
    pub offline: Maker,
    /// The import that is on its way.
    pub imports: Imports,
    /// What happens at the listeners, by name; set once they are served.
    pub listeners: OnceLock<Vec<(&'static str, Arc<Tally>)>>,
    store_start: StartState,
    user_requests: Arc<Semaphore>,
    router: Router<Arc<Self>>,
    routes: Vec<Route>,
    /// Made when it is first asked for.
    document: OnceLock<Bytes>,
}

impl Administration {
    /// Puts the routes together.
    pub fn new(
        dialogue: Arc<Dialogue>,
        registrar: Arc<Registrar>,
        ledger: Arc<dyn Ledger>,
        sinks: Arc<Sinks>,
        (keys, offline): (PersonKeys, Maker),
        store_start: StartState,
    ) -> Self {
        let (router, routes) = table::routes().into_parts();
        Self {
            started: dialogue.clock.now(),
            dialogue,
            registrar,
            ledger,
            sinks,
            keys,
            offline,
            imports: Imports::default(),
            listeners: OnceLock::new(),
            store_start,
            user_requests: Arc::new(Semaphore::new(USER_REQUESTS_MAX)),
            router,
            routes,
            document: OnceLock::new(),
        }
    }

    /// Answers a request of the `postern` command.
    ///
    /// * `uid`: the caller's, as the kernel says.
    pub async fn answer(self: Arc<Self>, uid: u32, request: Request<Incoming>) -> Reply {
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let body = match read_body(request).await {
            Ok(body) => body,
            Err(refusal) => return refusal,
        };
        let role = self.dialogue.config.load().roles.of(uid);
        finished(self.decide(uid, role, inner(method, uri, body))).await
    }

    /// Answers the same request of a caller who is known already.
    pub async fn ask(
        self: Arc<Self>,
        caller: Caller,
        method: Method,
        uri: Uri,
        body: Zeroizing<Vec<u8>>,
    ) -> Reply {
        let mut request = inner(method, uri, body);
        finished(async move {
            let Some(_permit) = self.permit(caller.role) else { return too_many() };
            request.extensions_mut().insert(caller);
            Arc::clone(&self).route(request).await
        })
        .await
    }

    /// What the routes are, as OpenAPI 3.1: made from the very table that is served.
    pub fn document(&self) -> Bytes {
        self.document.get_or_init(|| Bytes::from(document::text(&self.routes))).clone()
    }

    /// Room for one more request; `None` where callers without a role have taken theirs.
    fn permit(&self, role: Role) -> Option<Option<OwnedSemaphorePermit>> {
        match role {
            Role::User => Arc::clone(&self.user_requests).try_acquire_owned().map(Some).ok(),
            _ => Some(None),
        }
    }

    async fn decide(self: Arc<Self>, uid: u32, role: Role, mut request: Request<axum::body::Body>) -> Reply {
        let Some(_permit) = self.permit(role) else { return too_many() };
        let Some(name) = name_of(uid).await else {
            return error_reply(
                ErrorCode::Unavailable,
                format!("the name service does not answer for uid {uid}"),
            );
        };
        request.extensions_mut().insert(Caller { who: Who::Account(uid), name, role, key: None });
        Arc::clone(&self).route(request).await
    }

    async fn route(self: Arc<Self>, request: Request<axum::body::Body>) -> Reply {
        let router = self.router.clone().with_state(self);
        let Ok(response) = tower::ServiceExt::oneshot(router, request).await;
        let (head, body) = response.into_parts();
        match body.collect().await {
            Ok(body) => Reply::from_parts(head, Full::new(body.to_bytes())),
            Err(_) => error_reply(ErrorCode::Unavailable, "the answer could not be put together".into()),
        }
    }

    /// Reads the ledger off the runtime's threads.
    async fn read<T: Send + 'static>(
        &self,
        what: impl FnOnce(&dyn Ledger) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, Refusal> {
        let ledger = Arc::clone(&self.ledger);
        match tokio::task::spawn_blocking(move || what(&*ledger)).await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(error)) => {
                tracing::error!(%error, "the store cannot be read");
                Err(refusal(ErrorCode::Unavailable, error.to_string()))
            }
            Err(_) => Err(refusal(ErrorCode::Unavailable, "the store cannot be read".into())),
        }
    }
}

/// A request as the routes take it.
fn inner(method: Method, uri: Uri, body: Zeroizing<Vec<u8>>) -> Request<axum::body::Body> {
    let mut inner = Request::new(axum::body::Body::empty());
    (*inner.method_mut(), *inner.uri_mut()) = (method, uri);
    inner.extensions_mut().insert(RequestBody::new(body));
    inner
}

/// The answer of a task of its own: what was begun is finished, also when the caller hangs up.
async fn finished(answer: impl Future<Output = Reply> + Send + 'static) -> Reply {
    match tokio::spawn(answer).await {
        Ok(reply) => reply,
        Err(_) => error_reply(ErrorCode::Unavailable, "the request was not finished".into()),
    }
}

fn too_many() -> Reply {
    error_reply(ErrorCode::Unavailable, "too many requests at once: try again".into())
}

/// The account of a uid; `uid 1234` where it has none. `None` when nobody knows. Asks the name service, off the
/// runtime's threads, for everybody but root.
async fn name_of(uid: u32) -> Option<String> {
    if uid == 0 {
        return Some("root".into());
    }
    let found = tokio::task::spawn_blocking(move || nix::unistd::User::from_uid(uid.into())).await;
    match found {
        Ok(Ok(found)) => Some(found.map_or_else(|| format!("uid {uid}"), |found| found.name)),
        Ok(Err(error)) => {
            tracing::warn!(uid, %error, "the name service failed");
            None
        }
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests;
