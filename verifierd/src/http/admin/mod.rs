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
mod tokens;
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
use super::roles::{Caller, Verb, Who};
use crate::audit::sinks::Sinks;
use crate::clock::UnixTime;
use crate::dialogue::Dialogue;
use crate::hosts::Registrar;
use crate::offline::Maker;
use crate::person_keys::PersonKeys;
use asked::RequestBody;
use refusals::{Refusal, refusal};
use routes::{Route, Routes};
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
        let (router, routes) = routes().into_parts();
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
            Role::Auditor | Role::Helpdesk | Role::Admin | Role::Super => Some(None),
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

#[expect(clippy::too_many_lines, reason = "a table: an entry for each route")]
fn routes() -> Routes {
    const GET: Method = Method::GET;
    const PUT: Method = Method::PUT;
    const POST: Method = Method::POST;
    const DELETE: Method = Method::DELETE;
    Routes::new()
        .add(
            Verb::SelfShow,
            (GET, "/v1/self"),
            users::show_self,
            ("show_self", "Who you are, and what Postern knows of you"),
        )
        .add(Verb::UserList, (GET, "/v1/users"), users::list, ("list_users", "All users"))
        .add(Verb::UserShow, (GET, "/v1/users/{name}"), users::show, ("show_user", "One user"))
        .add(
            Verb::UserSetOtp,
            (PUT, "/v1/users/{name}/otp"),
            users::set_otp,
            ("set_otp", "Turn the demand for a one-time password on or off"),
        )
        .add(
            Verb::UserUnlock,
            (POST, "/v1/users/{name}/unlock"),
            users::unlock,
            ("unlock_user", "Clear counts of wrong codes"),
        )
        .add(
            Verb::RecoveryStatus,
            (GET, "/v1/users/{name}/recovery"),
            recovery::status,
            ("show_recovery", "How many recovery codes are left"),
        )
        .add(
            Verb::RecoveryRegenerate,
            (POST, "/v1/users/{name}/recovery"),
            recovery::regenerate,
            ("make_recovery_codes", "Make new recovery codes; those before are void"),
        )
        .add(Verb::TokenList, (GET, "/v1/tokens"), tokens::list, ("list_tokens", "All tokens"))
        .add(Verb::TokenAdd, (POST, "/v1/tokens"), tokens::add, ("add_token", "Add a token"))
        .add(Verb::TokenShow, (GET, "/v1/tokens/{serial}"), tokens::show, ("show_token", "One token"))
        .add(
            Verb::TokenRemove,
            (DELETE, "/v1/tokens/{serial}"),
            tokens::remove,
            ("remove_token", "Remove a token that never worked"),
        )
        .add(
            Verb::TokenAssign,
            (POST, "/v1/tokens/{serial}/assign"),
            tokens::assign,
            ("assign_token", "Give a token to a user, who proves it at his next login"),
        )
        .add(
            Verb::TokenAssociate,
            (POST, "/v1/tokens/{serial}/associate"),
            tokens::associate,
            ("associate_token", "Give a token to a user, proved by a code"),
        )
        .add(
            Verb::TokenResync,
            (POST, "/v1/tokens/{serial}/resync"),
            tokens::resynchronize,
            ("resynchronize_token", "Find counter or drift again"),
        )
        .add(
            Verb::TokenTest,
            (POST, "/v1/tokens/{serial}/test"),
            tokens::test,
            ("test_token", "Check a code, and use it up"),
        )
        .add(
            Verb::TokenDisassociate,
            (POST, "/v1/tokens/{serial}/disassociate"),
            tokens::disassociate,
            ("disassociate_token", "Take a token from its user"),
        )
        .add(
            Verb::TokenDisable,
            (POST, "/v1/tokens/{serial}/disable"),
            tokens::disable,
            ("disable_token", "Stop a token"),
        )
        .add(
            Verb::TokenLost,
            (POST, "/v1/tokens/{serial}/lost"),
            tokens::lost,
            ("lose_token", "Mark a token as lost"),
        )
        .add(
            Verb::TokenEnable,
            (POST, "/v1/tokens/{serial}/enable"),
            tokens::enable,
            ("enable_token", "Let a token work again"),
        )
        .add(
            Verb::TokenImport,
            (POST, "/v1/imports"),
            imports::begin,
            ("begin_import", "Begin an import of many tokens"),
        )
        .add(
            Verb::TokenImport,
            (POST, "/v1/imports/{id}/rows"),
            imports::add,
            ("add_import_rows", "Check rows of an import, and keep them until its end"),
        )
        .add(
            Verb::TokenImport,
            (POST, "/v1/imports/{id}/finish"),
            imports::finish,
            ("finish_import", "Store all rows of an import, or none"),
        )
        .add(
            Verb::TokenImport,
            (DELETE, "/v1/imports/{id}"),
            imports::abandon,
            ("abandon_import", "Forget an import"),
        )
        .add(Verb::BanList, (GET, "/v1/bans"), bans::list, ("list_bans", "Who has to wait after wrong codes"))
        .add(Verb::BanLift, (POST, "/v1/bans/{id}/lift"), bans::lift, ("lift_ban", "End somebody's wait"))
        .add(
            Verb::RequestList,
            (GET, "/v1/requests"),
            requests::list,
            ("list_requests", "Requests for passwords"),
        )
        .add(Verb::RequestShow, (GET, "/v1/requests/{id}"), requests::show, ("show_request", "One request"))
        .add(
            Verb::RequestApprove,
            (POST, "/v1/requests/{id}/approve"),
            requests::approve,
            ("approve_request", "Issue the password of a request, by the number that the requester sees"),
        )
        .add(
            Verb::RequestDeny,
            (POST, "/v1/requests/{id}/deny"),
            requests::deny,
            ("deny_request", "Refuse a request"),
        )
        .add(
            Verb::RequestCancel,
            (POST, "/v1/requests/{id}/cancel"),
            requests::cancel,
            ("cancel_request", "Take a request back"),
        )
        .add(Verb::SessionList, (GET, "/v1/sessions"), sessions::list, ("list_sessions", "Who is in"))
        .add(
            Verb::SessionReport,
            (POST, "/v1/sessions/{id}/report"),
            sessions::report,
            ("report_session", "Say that a session of your own was begun by somebody else"),
        )
        .add(Verb::HostList, (GET, "/v1/hosts"), hosts::list, ("list_hosts", "All hosts of the fleet"))
        .add(Verb::HostEnrol, (POST, "/v1/hosts"), hosts::enrol, ("enrol_host", "Let a host join"))
        .add(Verb::HostShow, (GET, "/v1/hosts/{name}"), hosts::show, ("show_host", "One host"))
        .add(
            Verb::HostRevoke,
            (POST, "/v1/hosts/{name}/revoke"),
            hosts::revoke,
            ("revoke_host", "Refuse a host for ever"),
        )
        .add(
            Verb::HostRename,
            (POST, "/v1/hosts/{name}/rename"),
            hosts::rename,
            ("rename_host", "Give a host another name"),
        )
        .add(
            Verb::HostGroup,
            (PUT, "/v1/hosts/{name}/group"),
            hosts::set_group,
            ("set_host_group", "Put a host into a group, or into none"),
        )
        .add(
            Verb::PersonList,
            (GET, "/v1/persons"),
            people::list,
            ("list_persons", "All persons of Postern's own records"),
        )
        .add(Verb::PersonAdd, (POST, "/v1/persons"), people::add, ("add_person", "Add a person"))
        .add(Verb::PersonShow, (GET, "/v1/persons/{name}"), people::show, ("show_person", "One person"))
        .add(
            Verb::PersonSet,
            (PUT, "/v1/persons/{name}"),
            people::set,
            ("set_person", "Change a person's address, name or role, or whether he is let in"),
        )
        .add(
            Verb::PersonRemove,
            (DELETE, "/v1/persons/{name}"),
            people::remove,
            ("remove_person", "Remove a person"),
        )
        .add(
            Verb::PersonKeysRemove,
            (DELETE, "/v1/persons/{name}/keys"),
            people::remove_keys,
            ("remove_security_keys", "Remove all security keys of a person"),
        )
        .add(
            Verb::PersonPassword,
            (PUT, "/v1/persons/{name}/password"),
            people::set_password,
            ("set_person_password", "Give a person another password"),
        )
        .add(
            Verb::PersonShare,
            (POST, "/v1/persons/{name}/share"),
            people::share,
            ("share_account", "Let a person use an account"),
        )
        .add(
            Verb::PersonShare,
            (POST, "/v1/persons/{name}/unshare"),
            people::unshare,
            ("unshare_account", "Let a person use an account no longer"),
        )
        .add(Verb::KeyList, (GET, "/v1/keys"), keys::list, ("list_keys", "Keys of persons"))
        .add(Verb::KeyAdd, (POST, "/v1/keys"), keys::add, ("add_key", "Make a key, which is told once"))
        .add(Verb::KeyRevoke, (DELETE, "/v1/keys/{id}"), keys::revoke, ("revoke_key", "End a key"))
        .add(
            Verb::OfflineList,
            (GET, "/v1/offline"),
            offline::list,
            ("list_offline_passwords", "Passwords that hosts check alone"),
        )
        .add(
            Verb::OfflineIssue,
            (POST, "/v1/offline"),
            offline::issue,
            ("issue_offline_password", "Make a password that a host checks alone; it is told once"),
        )
        .add(
            Verb::OfflineList,
            (GET, "/v1/offline/{id}"),
            offline::show,
            ("show_offline_password", "One password that a host checks alone, without itself"),
        )
        .add(
            Verb::OfflineRevoke,
            (POST, "/v1/offline/{id}/revoke"),
            offline::revoke,
            ("revoke_offline_password", "Have a password open nothing, once its host hears of it"),
        )
        .add(Verb::PolicyShow, (GET, "/v1/policy"), policy::show, ("show_policy", "What holds where"))
        .add(
            Verb::PolicyTry,
            (GET, "/v1/policy/try"),
            policy::try_login,
            ("try_policy", "What a login would meet"),
        )
        .add(
            Verb::RolloutStatus,
            (GET, "/v1/rollout"),
            rollout::status,
            ("show_rollout", "How far the roll-out is"),
        )
        .add(
            Verb::Explain,
            (GET, "/v1/decisions/{reference}"),
            audit::explain,
            ("explain_decision", "What a reference stands for"),
        )
        .add(Verb::AuditShow, (GET, "/v1/audit"), audit::show, ("show_audit", "A stretch of the audit trail"))
        .add(
            Verb::AuditVerify,
            (GET, "/v1/audit/verify"),
            audit::verify,
            ("verify_audit", "Check the whole chain of the audit trail"),
        )
        .add(Verb::Status, (GET, "/v1/status"), store::status, ("show_status", "How the daemon is"))
        .add(Verb::Metrics, (GET, "/metrics"), metrics::show, ("show_metrics", "What the daemon counts"))
        .add(
            Verb::StoreSettle,
            (POST, "/v1/store/settle"),
            store::settle,
            ("settle_store", "Accept that the store lost something"),
        )
}

#[cfg(test)]
mod tests;
