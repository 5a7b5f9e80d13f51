//! Routes and their guards. There is no way to add a route but [`Routes::add`], which wants its verb, and what the
//! document at `/openapi.json` says of it.

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRequestParts, Request};
use axum::handler::Handler;
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, on};
use wire::admin::Role;
use wire::error::ErrorCode;

use super::Administration;
use super::described::{Described, Telling};
use super::refusals::{Refusal, refusal};
use crate::accounts::{Actor, Token, UserName};
use crate::http::roles::{Caller, Right, Verb, right};

/// Routes, each guarded by its verb.
pub(super) struct Routes {
    router: Router<Arc<Administration>>,
    added: Vec<Route>,
}

/// A route that was added.
pub(super) struct Route {
    pub(super) verb: Verb,
    pub(super) method: Method,
    pub(super) path: &'static str,
    /// What programs call it.
    pub(super) name: &'static str,
    /// What people call it.
    pub(super) summary: &'static str,
    /// Tells what it takes and answers.
    pub(super) tell: fn(&mut Telling),
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

impl Routes {
    pub(super) fn new() -> Self {
        Self { router: Router::new(), added: Vec::new() }
    }

    /// Adds a route. Its handler runs only for callers whom the table of roles grants the verb.
    ///
    /// * `told`: what programs and people call it.
    pub(super) fn add<H, T>(
        mut self,
        verb: Verb,
        (method, path): (Method, &'static str),
        handler: H,
        (name, summary): (&'static str, &'static str),
    ) -> Self
    where
        H: Handler<T, Arc<Administration>> + Described<T>,
        T: 'static,
    {
        let filter = MethodFilter::try_from(method.clone()).expect("the methods are those of HTTP");
        let guarded = on(filter, handler)
            .route_layer(from_fn(move |request: Request, next: Next| guard(verb, request, next)));
        self.router = self.router.route(path, guarded);
        self.added.push(Route { verb, method, path, name, summary, tell: <H as Described<T>>::tell });
        self
    }

    /// The router, with an answer of ours wherever nothing is, and what was added to it.
    pub(super) fn into_parts(self) -> (Router<Arc<Administration>>, Vec<Route>) {
        (self.router.fallback(nothing_here).method_not_allowed_fallback(nothing_here), self.added)
    }

    /// What was added.
    #[cfg(test)]
    pub(super) fn added(&self) -> &[Route] {
        &self.added
    }
}

async fn nothing_here() -> Refusal {
    refusal(ErrorCode::NotFound, "nothing is at this path with this method on this socket".into())
}

async fn guard(verb: Verb, mut request: Request, next: Next) -> Response {
    let Some(caller) = request.extensions().get::<Caller>().cloned() else {
        return refusal(ErrorCode::NotAllowed, "nobody knows who you are".into()).into_response();
    };
    let only_own = match right(verb, caller.role) {
        Right::Nothing => return denied(&caller).into_response(),
        Right::Own => true,
        Right::All => false,
    };
    request.extensions_mut().insert(Granted { caller, only_own });
    next.run(request).await
}

/// What somebody reads whose role does not have it.
pub(super) fn denied(caller: &Caller) -> Refusal {
    refusal(ErrorCode::NotAllowed, format!("your role ({}) does not permit this", caller.role.word()))
}

/// A caller who was granted the verb of this route, for everybody or for himself alone. A handler that reads the
/// caller from anywhere else does not exist.
#[derive(Clone, Debug)]
pub(super) struct Granted {
    caller: Caller,
    only_own: bool,
}

impl Granted {
    pub(super) fn caller(&self) -> &Caller {
        &self.caller
    }

    pub(super) fn actor(&self) -> Actor {
        let signature = self.caller.signature();
        if self.only_own { Actor::owner(signature) } else { Actor::administrator(signature) }
    }

    /// Goes on unless the help desk would change what belongs to somebody with more rights: whoever unlocks,
    /// re-syncs or replaces an administrator's token is soon one himself.
    pub(super) async fn reaches(&self, admin: &Administration, user: &UserName) -> Result<(), Refusal> {
        if self.only_own || self.caller.role >= Role::Admin {
            return Ok(());
        }
        let roles = &admin.dialogue.config.load().roles;
        // Nobody knows who it is: somebody with all rights, for all that can be told.
        let of_account =
            uid_of(user).await.map_or(Role::Super, |uid| uid.map_or(Role::User, |uid| roles.of(uid)));
        let of_person = role_of_person(admin, user).await?;
        if of_account.max(of_person) <= self.caller.role {
            return Ok(());
        }
        Err(refusal(
            ErrorCode::NotAllowed,
            format!("{user} has more rights than you: this takes an administrator"),
        ))
    }

    /// Whether he acts for himself, and so has to prove that he holds a token.
    pub(super) fn is_only_for_himself(&self) -> bool {
        self.only_own
    }

    /// The user that a path names, if the caller may do this to him.
    pub(super) fn user(&self, name: &str) -> Result<UserName, Refusal> {
        let parsed = UserName::new(name);
        if self.only_own {
            return parsed
                .ok()
                .filter(|name| self.caller.account().as_ref() == Some(name))
                .ok_or_else(not_yours);
        }
        parsed.map_err(|error| refusal(ErrorCode::Malformed, format!("{name:?}: {error}")))
    }

    /// The token that a path names, if the caller may do this to it.
    pub(super) fn token(&self, admin: &Administration, serial: &str) -> Result<Arc<Token>, Refusal> {
        let token = admin.dialogue.accounts.find_by_serial(serial);
        if !self.only_own {
            return token.ok_or_else(|| refusal(ErrorCode::NotFound, format!("no token {serial:?}")));
        }
        let own = self.caller.account().and_then(|name| admin.dialogue.accounts.find(&name));
        let own = own.map(|user| user.id);
        token.filter(|token| own.is_some() && token.record.user == own).ok_or_else(not_yours)
    }
}

/// The role of the person who signs in with the codes of an account: of our own records, also while he is not let in, or of
/// the directory.
async fn role_of_person(admin: &Administration, user: &UserName) -> Result<Role, Refusal> {
    let people = &admin.dialogue.people;
    if let Some(record) = people.roster().by_login(user.as_str()) {
        return Ok(record.role);
    }
    match people.by_login(user.as_str()).await {
        Ok(person) => Ok(person.map_or(Role::User, |person| person.role)),
        Err(error) => Err(refusal(ErrorCode::Unavailable, format!("nobody can tell who {user} is: {error}"))),
    }
}

/// The uid of an account, if there is such an account. Asks the name service, off the runtime's threads; an error
/// when that fails.
async fn uid_of(user: &UserName) -> Result<Option<u32>, ()> {
    let name = user.clone();
    let found = tokio::task::spawn_blocking(move || nix::unistd::User::from_name(name.as_str())).await;
    let found =
        found.map_err(|_| ())?.map_err(|error| tracing::warn!(%user, %error, "the name service failed"))?;
    Ok(found.map(|found| found.uid.as_raw()))
}

/// The one answer to whoever names something that is not his: it does not tell whether it exists.
pub(super) fn not_yours() -> Refusal {
    refusal(ErrorCode::NotAllowed, "this is not yours, or does not exist".into())
}

impl<S: Sync> FromRequestParts<S> for Granted {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        // Only a route without a guard could get here, and there is none.
        parts.extensions.get::<Self>().cloned().ok_or_else(|| StatusCode::FORBIDDEN.into_response())
    }
}
