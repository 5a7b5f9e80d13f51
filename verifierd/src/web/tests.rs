//! Signing in, step by step, without a network: who gets in, and what ends that.

use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::header::{COOKIE, HeaderValue, LOCATION, SET_COOKIE};
use ledger::StartState;
use otp_core::OtpKey;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::PrivatePkcs8KeyDer;
use wire::admin::Role;

use super::sessions::Beginning;
use super::*;
use crate::accounts::{Actor, UserName};
use crate::config::Config;
use crate::people::{By, Desk, EmailAddress, NewPerson, PersonChanges, PersonId};
use crate::trial::{STEP, Trial};

pub(super) const PASSWORD: &str = "correct horse battery";
/// What the pages' addresses begin with.
pub(super) const BASE: &str = "https://otp.example.org:8443";
pub(super) const DESK: &str = "192.0.2.1";

/// Pages of a trial, and carol, who has a token.
pub(super) struct Site {
    pub(super) trial: Trial,
    web: Web,
    key: OtpKey,
}

/// A browser: where it is, and its cookie.
pub(super) struct Browser<'a> {
    site: &'a Site,
    place: String,
    pub(super) cookie: Option<String>,
}

/// What it was answered.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) to: Option<String>,
    cookie: Option<String>,
    pub(super) body: String,
}

impl Answer {
    /// What it says to a script.
    #[cfg(feature = "webauthn")]
    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.body))
    }
}

/// With pages in the configuration; what they show of certificates is none of these tests.
fn set_up(trial: &Trial) {
    let text = format!(
        "version = 1\n[web]\nlisten = \"127.0.0.1:0\"\nbase_url = \"{BASE}\"\n\
         certificate_file = \"/x\"\nprivate_key_file = \"/y\"\n"
    );
    trial.service.dialogue.config.store(Arc::new(Config::parse(&text).unwrap()));
}

fn pages(trial: &Trial) -> Web {
    let made = rcgen::generate_simple_self_signed(["localhost".into()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let tls = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .unwrap();
    let administration = Arc::clone(&trial.service.administration);
    let sessions = WebSessions::new(NameHasher::new(&MasterKey::generate().unwrap(), "web sessions"));
    Web { administration, tls: ArcSwap::from_pointee(tls), sessions, wrong_keys: WrongSecrets::default() }
}

pub(super) fn root() -> By {
    By { actor: Actor::administrator("root"), role: Role::Admin }
}

impl Site {
    pub(super) async fn new() -> Self {
        let trial = Trial::new().await;
        set_up(&trial);
        let new = NewPerson {
            login: UserName::new("carol").unwrap(),
            email: EmailAddress::parse("carol@example.org").unwrap(),
            name: None,
            role: Role::User,
            accounts: None,
            password: Some(Zeroizing::new(PASSWORD.into())),
        };
        trial.service.dialogue.people.clerk().add(new, root()).await.unwrap();
        let key = trial.activate("carol").await;
        let web = pages(&trial);
        Self { trial, web, key }
    }

    /// The same site, with a daemon that started again.
    pub(super) async fn restarted(self, state: StartState) -> Self {
        let Self { trial, key, .. } = self;
        let trial = trial.restart(state).await;
        set_up(&trial);
        Self { web: pages(&trial), trial, key }
    }

    #[cfg(feature = "webauthn")]
    pub(super) fn carol_id(&self) -> PersonId {
        self.trial.service.dialogue.people.roster().by_login("carol").unwrap().id
    }

    /// Carol's tokens.
    pub(super) fn serials(&self) -> Vec<String> {
        let carol = self.trial.service.dialogue.accounts.find_named("carol").unwrap();
        carol.tokens.iter().map(|token| token.record.serial.clone()).collect()
    }

    /// The events of the audit trail.
    pub(super) fn events(&self) -> Vec<String> {
        self.trial.audit().into_iter().map(|record| record.event).collect()
    }

    pub(super) fn browser(&self, place: &str) -> Browser<'_> {
        Browser { site: self, place: place.into(), cookie: None }
    }

    pub(super) fn code(&self) -> String {
        self.trial.advance(STEP);
        self.trial.code(&self.key, 0)
    }

    /// Carol, signed in at her desk.
    pub(super) async fn carol(&self) -> Browser<'_> {
        let mut carol = self.browser(DESK);
        carol.give_password(PASSWORD).await;
        let answer = carol.give_code(&self.code()).await;
        assert_eq!((answer.status, answer.to.as_deref()), (StatusCode::SEE_OTHER, Some("/")));
        carol
    }
}

impl Browser<'_> {
    fn headers(&self) -> HeaderMap {
        let line = self.cookie.as_ref().map(|cookie| format!("__Host-postern={cookie}"));
        line.iter().map(|line| (COOKIE, HeaderValue::from_str(line).unwrap())).collect()
    }

    pub(super) fn visitor(&self, method: &Method) -> Option<(String, Visitor)> {
        self.site.web.visitor(method, &self.headers())
    }

    pub(super) async fn send(&mut self, method: Method, path: &str, fields: &[(&str, &str)]) -> Answer {
        let visitor = self.visitor(&method);
        let form = Form::of_fields(fields);
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let asked = Asked { method: &method, path, query, place: self.place.clone(), visitor, form };
        let reply = self.site.web.route(asked).await;
        let header = |name| reply.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let cookie = header(SET_COOKIE);
        let value =
            cookie.as_deref().map(|cookie| cookie.split_once('=').unwrap().1.split(';').next().unwrap());
        if let Some(value) = value {
            self.cookie = Some(value.to_owned()).filter(|value| !value.is_empty());
        }
        let (status, to) = (reply.status(), header(LOCATION));
        let body = reply.into_body().collect().await.unwrap().to_bytes();
        Answer { status, to, cookie, body: String::from_utf8(body.into()).unwrap() }
    }

    pub(super) async fn give_password(&mut self, password: &str) -> Answer {
        self.send(Method::POST, "/sign-in", &[("login", "carol"), ("password", password)]).await
    }

    pub(super) async fn give_code(&mut self, code: &str) -> Answer {
        self.post("/sign-in/code", &[("code", code)]).await
    }

    /// Sends a form that its session was shown.
    pub(super) async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let word = self.visitor(&Method::POST).map(|(_, visitor)| visitor.form_word).unwrap_or_default();
        self.send(Method::POST, path, &[&[("form", word.as_str())], fields].concat()).await
    }

    /// Whether it is let in to where somebody who is signed in is.
    pub(super) async fn is_in(&mut self) -> bool {
        self.send(Method::GET, "/requests", &[]).await.status == StatusCode::OK
    }
}

// covers: B01, B07
#[tokio::test]
async fn strangers_guesses_do_not_keep_carol_out_where_she_signed_in_before() {
    let site = Site::new().await;
    site.carol().await;
    for number in 0..12 {
        let mut stranger = site.browser(&format!("203.0.113.{number}"));
        assert_eq!(stranger.give_password("a guess of a stranger").await.status, StatusCode::FORBIDDEN);
    }
    let mut elsewhere = site.browser("198.51.100.7");
    assert_eq!(elsewhere.give_password(PASSWORD).await.status, StatusCode::FORBIDDEN, "all have to wait");
    assert!(site.carol().await.is_in().await, "but she, at her desk");
    // That is so after a restart too.
    let site = site.restarted(StartState::Clean).await;
    for number in 0..12 {
        site.browser(&format!("203.0.113.{number}")).give_password("a guess of a stranger").await;
    }
    assert!(site.carol().await.is_in().await);
}

// covers: B07
#[tokio::test]
async fn a_password_alone_makes_no_place_usual() {
    let site = Site::new().await;
    let mut carol = site.browser(DESK);
    assert_eq!(carol.give_password(PASSWORD).await.status, StatusCode::SEE_OTHER);
    assert_eq!(carol.give_code("000000").await.status, StatusCode::FORBIDDEN);
    for number in 0..12 {
        site.browser(&format!("203.0.113.{number}")).give_password("a guess of a stranger").await;
    }
    assert_eq!(site.browser(DESK).give_password(PASSWORD).await.status, StatusCode::FORBIDDEN);
}

// covers: B07
#[tokio::test]
async fn pages_and_prompts_do_not_wait_for_each_others_passwords() {
    let site = Site::new().await;
    let people = &site.trial.service.dialogue.people;
    let prompts = people.fill(Desk::Prompt);
    assert_eq!(site.browser(DESK).give_password(PASSWORD).await.status, StatusCode::SEE_OTHER);
    drop(prompts);
    let _pages = people.fill(Desk::Page);
    let typed = Zeroizing::new(PASSWORD.to_owned());
    assert!(people.check_password("carol", &typed, Desk::Prompt).await.unwrap().is_some());
    assert_eq!(site.browser(DESK).give_password(PASSWORD).await.status, StatusCode::FORBIDDEN);
}

// covers: E5, I07
#[tokio::test]
async fn a_directory_that_does_not_answer_signs_nobody_out() {
    let trial =
        Trial::with_config("version = 1\n[directory]\nurl = \"ldaps://localhost:1\"\nbase = \"dc=x\"\n")
            .await;
    let web = pages(&trial);
    let key = OtpKey::new(
        &otp_core::SharedSecret::from_bytes(&[7; 20]).unwrap(),
        otp_core::Algorithm::Sha1,
        otp_core::Digits::SIX,
    );
    let site = Site { trial, web, key };
    for (stage, method, path) in
        [(Stage::SignedIn, Method::GET, "/requests"), (Stage::HalfWay, Method::POST, "/sign-in/code")]
    {
        let beginning = Beginning { person: PersonId(7), version: 1, stage, key: None, place: DESK };
        let (name, visitor) = site.web.sessions.begin(beginning, Duration::ZERO).unwrap();
        let mut browser = site.browser(DESK);
        browser.cookie = Some(name.expose().to_owned());
        let answer =
            browser.send(method.clone(), path, &[("form", &visitor.form_word), ("code", "123456")]).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert!(answer.cookie.is_none() && browser.visitor(&method).is_some(), "{path}: it is kept");
    }
}

// covers: I07
#[tokio::test]
async fn a_name_from_before_a_step_is_nobody_after_it() {
    let site = Site::new().await;
    let mut carol = site.browser(DESK);
    // A name that somebody made up is none.
    carol.cookie = Some("planted".into());
    assert_eq!(carol.give_password(PASSWORD).await.status, StatusCode::SEE_OTHER);
    let half_way = carol.cookie.clone().unwrap();
    assert_ne!(half_way, "planted");
    assert!(!carol.is_in().await, "a password is not enough");
    assert_eq!(carol.give_code(&site.code()).await.to.as_deref(), Some("/"));
    let mut thief = site.browser("203.0.113.9");
    for former in ["planted".to_owned(), half_way] {
        thief.cookie = Some(former);
        assert!(!thief.is_in().await && thief.visitor(&Method::GET).is_none());
    }
    // What a stranger planted of his own half-way session does not become hers.
    let mut stranger = site.browser("203.0.113.9");
    stranger.give_password(PASSWORD).await;
    let planted = stranger.cookie.clone();
    let mut victim = site.browser(DESK);
    victim.cookie = planted.clone();
    victim.give_password(PASSWORD).await;
    victim.give_code(&site.code()).await;
    assert!(victim.is_in().await);
    stranger.cookie = planted;
    assert!(!stranger.is_in().await && stranger.visitor(&Method::GET).is_none());
}

// covers: I07
#[tokio::test]
async fn a_stolen_cookie_opens_nothing_after_whatever_ends_a_sign_in() {
    let site = Site::new().await;
    let clerk = site.trial.service.dialogue.people.clerk();
    let set = |changes: PersonChanges| async move { clerk.set("carol", changes, root()).await.unwrap() };
    for what in ["sign-out", "password", "role", "disabled", "removed"] {
        let mut carol = site.carol().await;
        let mut thief = site.browser("203.0.113.9");
        thief.cookie.clone_from(&carol.cookie);
        assert!(thief.is_in().await, "{what}: he is she");
        match what {
            "sign-out" => {
                let word = carol.visitor(&Method::POST).unwrap().1.form_word;
                let without = carol.send(Method::POST, "/sign-out", &[]).await;
                assert!(without.status == StatusCode::FORBIDDEN && carol.is_in().await);
                let out = carol.send(Method::POST, "/sign-out", &[("form", &word)]).await;
                assert!(out.cookie.unwrap().contains("Max-Age=0"));
            }
            "password" => {
                clerk.set_password("carol", Zeroizing::new(PASSWORD.into()), root()).await.unwrap();
            }
            "role" => drop(set(PersonChanges { role: Some(Role::Auditor), ..Default::default() }).await),
            "disabled" => {
                set(PersonChanges { enabled: Some(false), ..Default::default() }).await;
                assert!(!thief.is_in().await);
                set(PersonChanges { enabled: Some(true), ..Default::default() }).await;
            }
            _ => drop(clerk.remove("carol", root()).await.unwrap()),
        }
        assert!(!thief.is_in().await && thief.visitor(&Method::GET).is_none(), "{what}");
    }
}

// covers: I07
#[tokio::test]
async fn half_an_hour_without_a_request_and_twelve_hours_with_them_end_a_sign_in() {
    const MINUTE: Duration = Duration::from_secs(60);
    let site = Site::new().await;
    let mut carol = site.carol().await;
    site.trial.advance(29 * MINUTE);
    assert!(carol.is_in().await);
    site.trial.advance(30 * MINUTE);
    assert!(!carol.is_in().await);
    let mut carol = site.carol().await;
    for _ in 0..24 {
        assert!(carol.is_in().await);
        site.trial.advance(29 * MINUTE);
    }
    assert!(carol.is_in().await);
    site.trial.advance(24 * MINUTE);
    assert!(!carol.is_in().await);
}
