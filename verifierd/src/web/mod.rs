//! Pages for browsers: signing in, and what people decide there.
//!
//! | module | does |
//! | --- | --- |
//! | `guard` | refuses requests that are not for us or not from our pages; says what browsers are to keep from |
//! | `sessions` | knows who is signed in |
//! | `sign_in` | a person's login name and password, then a one-time password |
//! | `way_back` | the page that was asked for before signing in |
//! | `keys` | security keys and passkeys in the place of a one-time password |
//! | `requests` | access requests: the list, deciding, "this was not me" |
//! | `account` | one's own account |
//! | `users`, `tokens`, `persons` | looking, and what the command does to them |
//! | `sheet` | pages of facts, tables and forms, one like the other |
//! | `open_sessions`, `hosts`, `offline`, `policy`, `bans`, `audit`, `status` | what administrators look at and change, each as the command does |
//! | `export` | audit records for spreadsheets |
//! | `look`, `parts` | pages on which somebody only looks; tables, facts and fields of any page |
//! | `escaping` | how text of others stands on a page |
//! | `asking` | asks what pages show and change, by the routes of the `postern` command |
//! | `api` | programs with a key of a person, and the document that tells them what they may ask |
//! | `pages` | makes pages of templates |
//! | `assets` | the one style and the scripts |
//!
//! Every page works without scripts, which only renew lists, but for that of security keys, which browsers hand to scripts
//! alone. A GET changes nothing: mail scanners follow every link.

mod account;
mod api;
mod asking;
mod assets;
mod audit;
mod bans;
mod escaping;
mod export;
mod guard;
mod hosts;
#[cfg(feature = "webauthn")]
mod keys;
mod look;
mod offline;
mod open_sessions;
mod pages;
mod parts;
mod persons;
mod policy;
mod requests;
mod sessions;
mod sheet;
mod sign_in;
mod status;
mod tokens;
mod users;
mod way_back;

use std::sync::Arc;

use arc_swap::ArcSwap;
use hyper::body::Incoming;
use hyper::header::HeaderMap;
use hyper::{Method, Request, StatusCode};
use rustls::ServerConfig;
use serve::{Peer, Reply, Tally};
use tokio_rustls::TlsAcceptor;
use zeroize::Zeroizing;

use crate::config::WebConfig;
use crate::http::Administration;
use crate::http::certificate::{CertificateFileError, server_config};
use crate::http::wrong_secrets::WrongSecrets;
use crate::keys::{MasterKey, NameHasher};
use crate::people::{PeopleError, Person};
use guard::Foreign;
use pages::{Form, Page, redirect};
use sessions::{Stage, Visitor, WebSessions};

/// Everything that pages need.
#[derive(Debug)]
pub struct Web {
    administration: Arc<Administration>,
    tls: ArcSwap<ServerConfig>,
    sessions: WebSessions,
    /// Keys of persons that open nothing, of late.
    wrong_keys: WrongSecrets,
}

/// A request that is for us, and where it changes something, from one of our pages.
struct Asked<'a> {
    method: &'a Method,
    path: &'a str,
    /// The part after it, without the `?`.
    query: &'a str,
    /// Where it comes from, as throttles count.
    place: String,
    /// The name of the session that it shows, and whose that is.
    visitor: Option<(String, Visitor)>,
    form: Form,
}

impl Web {
    /// Reads the certificate.
    ///
    /// # Errors
    /// See [`CertificateFileError`].
    pub fn new(
        administration: Arc<Administration>,
        config: &WebConfig,
        master: &MasterKey,
    ) -> Result<Self, CertificateFileError> {
        let tls = ArcSwap::from_pointee(server_config("web", &config.certificate)?);
        Ok(Self {
            administration,
            tls,
            sessions: WebSessions::new(NameHasher::new(master, "web sessions")),
            wrong_keys: WrongSecrets::default(),
        })
    }

    /// Takes over another certificate, for new connections.
    pub fn change_certificate(&self, config: ServerConfig) {
        self.tls.store(Arc::new(config));
    }

    /// What encrypts new connections.
    pub(crate) fn tls(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.tls.load_full())
    }

    /// Answers a request.
    pub(crate) async fn answer(&self, peer: Peer, tally: &Tally, request: Request<Incoming>) -> Reply {
        let mut reply = self.answered(peer, tally, request).await;
        guard::say(reply.headers_mut());
        reply
    }

    async fn answered(&self, peer: Peer, tally: &Tally, request: Request<Incoming>) -> Reply {
        let config = self.administration.dialogue.config.load_full();
        let Some(web) = &config.web else {
            return Page::nothing("These pages are turned off.").reply(StatusCode::SERVICE_UNAVAILABLE);
        };
        let (head, body) = request.into_parts();
        let Peer::Source(address) = peer else {
            return Page::nothing("These pages are for the network.").reply(StatusCode::FORBIDDEN);
        };
        if api::is_for_programs(head.uri.path()) {
            return self.answer_program((address, tally), head, body, &web.base_url).await;
        }
        match guard::check(&head.method, &head.uri, &head.headers, &web.base_url) {
            Ok(()) => {}
            Err(Foreign::Host) => {
                return Page::nothing("This server has another name.").reply(StatusCode::MISDIRECTED_REQUEST);
            }
            Err(Foreign::Origin) => {
                return Page::nothing("This form is none of ours.").reply(StatusCode::FORBIDDEN);
            }
        }
        if let Some(reply) = assets::find(&head.method, head.uri.path()) {
            return reply;
        }
        let form = match Form::read(&head, body).await {
            Ok(form) => form,
            Err(refusal) => return refusal,
        };
        let visitor = self.visitor(&head.method, &head.headers);
        let (path, query) = (head.uri.path(), head.uri.query().unwrap_or_default());
        let asked = Asked { method: &head.method, path, query, place: address.to_string(), visitor, form };
        // Apart: what each page keeps while it waits would lie on the stack of all others.
        Box::pin(self.route(asked)).await
    }

    /// Whose session a request shows, with its name. A list that renews itself keeps none alive.
    fn visitor(&self, method: &Method, headers: &HeaderMap) -> Option<(String, Visitor)> {
        let now = self.administration.dialogue.clock.elapsed();
        let is_renewal = headers.contains_key("hx-request") && *method == Method::GET;
        let name = guard::session_name(headers)?;
        Some((name.to_owned(), self.sessions.find(name, !is_renewal, now)?))
    }

    async fn route(&self, asked: Asked<'_>) -> Reply {
        const GET: &Method = &Method::GET;
        const HEAD: &Method = &Method::HEAD;
        const POST: &Method = &Method::POST;
        let segments: Vec<&str> = asked.path.split('/').skip(1).collect();
        match (asked.method, segments.as_slice()) {
            (GET | HEAD, ["sign-in"]) => self.show_sign_in(&asked),
            (POST, ["sign-in"]) => self.take_password(asked).await,
            (POST, ["sign-in", "code"]) => self.take_code(asked).await,
            #[cfg(feature = "webauthn")]
            (POST, ["sign-in", "key", "begin"]) => self.ask_for_key(&asked).await,
            #[cfg(feature = "webauthn")]
            (POST, ["sign-in", "key"]) => self.take_key(&asked).await,
            (POST, ["sign-out"]) => self.sign_out(&asked),
            (GET | HEAD, ["not-me", _, _]) => self.show_not_me(),
            (POST, ["not-me", id, proof]) => self.take_not_me(&asked, id, proof).await,
            _ => match self.signed_in(&asked).await {
                Err(error) => {
                    tracing::warn!(%error, "nobody can tell whether somebody is still signed in");
                    sign_in::unavailable()
                }
                Ok(None) => redirect(&way_back::sign_in(&way_back::asked(&asked))),
                Ok(Some(person)) => Box::pin(self.route_signed_in(&asked, person, segments.as_slice())).await,
            },
        }
    }

    async fn route_signed_in(&self, asked: &Asked<'_>, person: Arc<Person>, segments: &[&str]) -> Reply {
        const GET: &Method = &Method::GET;
        const HEAD: &Method = &Method::HEAD;
        const POST: &Method = &Method::POST;
        // Here, and so at every form there will ever be.
        let is_own = asked.visitor.as_ref().is_some_and(|(_, visitor)| sign_in::is_own_form(asked, visitor));
        if !matches!(*asked.method, Method::GET | Method::HEAD) && !is_own {
            let visitor = pages::shown(asked, &person);
            return Page::message("Too old", "This form is too old. Load the page again.", &visitor)
                .reply(StatusCode::FORBIDDEN);
        }
        match (asked.method, segments) {
            (GET | HEAD, [""]) => requests::start(),
            (GET | HEAD, ["account"]) => self.show_account(asked, &person).await,
            (GET | HEAD, ["account", "password"]) => self.show_own_password(asked, &person),
            (POST, ["account", "password"]) => self.change_own_password(asked, &person).await,
            (GET | HEAD, ["account", "app"]) => self.show_app(asked, &person),
            (POST, ["account", "app"]) => self.begin_app(asked, &person).await,
            (POST, ["account", "app", "first"]) => self.finish_app(asked, &person).await,
            #[cfg(feature = "webauthn")]
            (GET | HEAD, ["account", "keys"]) => self.show_keys(asked, &person),
            #[cfg(feature = "webauthn")]
            (POST, ["account", "keys", what @ ..]) => self.change_keys(asked, &person, what).await,
            (_, ["users", rest @ ..]) => self.users(asked, &person, rest).await,
            (_, ["tokens", rest @ ..]) => self.tokens(asked, &person, rest).await,
            (_, ["persons", rest @ ..]) => self.persons(asked, &person, rest).await,
            (_, ["hosts", rest @ ..]) => self.hosts(asked, &person, rest).await,
            (_, ["offline", rest @ ..]) => self.offline(asked, &person, rest).await,
            (GET | HEAD, ["policy"]) => self.show_policy(asked, &person).await,
            (GET | HEAD, ["policy", "try"]) => self.try_policy(asked, &person).await,
            (GET | HEAD, ["sessions"]) => self.list_sessions(asked, &person).await,
            (_, ["sessions", id, "not-me"]) => self.report_session(asked, &person, id).await,
            (GET | HEAD, ["audit"]) => self.show_audit(asked, &person).await,
            (GET | HEAD, ["audit.csv"]) => self.export_audit(asked, &person).await,
            (GET | HEAD, ["explain"]) => self.explain(asked, &person).await,
            (GET | HEAD, ["bans"]) => self.list_bans(asked, &person).await,
            (POST, ["bans", id, "lift"]) => self.lift_ban(asked, &person, id).await,
            (GET | HEAD, ["status"]) => self.show_status(asked, &person).await,
            (GET | HEAD, ["requests"]) => self.list_requests(asked, &person),
            (GET | HEAD, ["requests", id]) => self.show_request(asked, &person, id),
            (POST, ["requests", id, choice]) => self.decide_request(asked, person, id, choice).await,
            _ => pages::nothing_here(asked, &person),
        }
    }

    /// Who is signed in, where he is still who he was then. Where nobody can tell, he stays so.
    async fn signed_in(&self, asked: &Asked<'_>) -> Result<Option<Arc<Person>>, PeopleError> {
        let visitor = asked.visitor.as_ref().filter(|(_, visitor)| visitor.stage == Stage::SignedIn);
        let Some((name, visitor)) = visitor else { return Ok(None) };
        let person = self.administration.dialogue.people.by_id(visitor.person).await?;
        let person = person.filter(|person| person.version() == visitor.version && self.has_key(visitor));
        if person.is_none() {
            self.sessions.end(name);
        }
        Ok(person)
    }

    /// Whether the key by which somebody signed in, if any, is his still.
    fn has_key(&self, visitor: &Visitor) -> bool {
        let held = self.administration.dialogue.people.keyring().of(visitor.person);
        visitor.key.as_deref().is_none_or(|id| held.iter().any(|key| key.id == id))
    }
}

/// What was typed into a field of a form.
type Typed = Zeroizing<String>;

#[cfg(test)]
mod tests;
