//! The service as its agent meets it, behind a socket.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use offline_password::{Deadline, Duration as For, Grant, HostKey, OfflinePassword, Purpose, Services, Term};
use serde_json::{Value, json};
use serve::{Audience, Listener};
use tokio::sync::watch;

use super::super::link::Link;
use super::super::store::Places;
use super::super::tries::Place;
use super::*;
use crate::clock::SystemClock;
use crate::identity::tests::HOST;

/// One that runs, with folders below that of its socket.
pub struct Running {
    /// Its folders.
    pub places: Places,
    /// Ends it.
    pub stop: watch::Sender<bool>,
    socket: PathBuf,
}

impl Running {
    /// It listens at `offline.sock` in a folder.
    pub fn start(folder: &Path) -> Self {
        let below = |name: &str| {
            let path = folder.join(name);
            if !path.exists() {
                std::fs::DirBuilder::new().mode(0o700).create(&path).unwrap();
            }
            path
        };
        let places = Places { folder: below("offline"), elsewhere: below("note"), run: below("run") };
        let socket = folder.join("offline.sock");
        let listener = Listener::bind(&socket, Audience::Everybody).unwrap();
        let (stop, stopping) = watch::channel(false);
        let service = Service::new(Keeper::open(places.clone()), Arc::new(SystemClock));
        serve::serve_here(listener, service, stopping).unwrap();
        Self { places, stop, socket }
    }

    /// Has it obey.
    ///
    /// * `more`: what a verifier says besides that offline passwords are enabled.
    pub async fn obey(&self, more: &Value) {
        let mut orders = orders();
        for (name, value) in more.as_object().unwrap() {
            orders[name] = value.clone();
        }
        Link::new(self.socket.clone()).obey(&serde_json::from_value(orders).unwrap()).await.unwrap();
    }

    /// Gives it a key.
    pub async fn give_key(&self, epoch: u32) {
        self.obey(&json!({ "key": key_of(epoch) })).await;
    }

    /// A password under the first key, for an hour.
    pub fn password(&self, user: Option<&str>, counter: u64) -> String {
        let before = Deadline::new((SystemClock.now() / 900 + 20) * 900).unwrap();
        let term = Term::Preset { duration: For::Hours1, before };
        let (purpose, user) = (Purpose::Access(Services::All), user.map(str::to_owned));
        let made = OfflinePassword::make(&key(1), &Grant { purpose, user, term, counter });
        made.expose().to_owned()
    }

    /// One of another host: without a typing error.
    fn foreign(&self) -> String {
        let term = Term::Preset { duration: For::Hours1, before: Deadline::new(0).unwrap() };
        let grant = Grant { purpose: Purpose::Access(Services::All), user: None, term, counter: 1 };
        OfflinePassword::make(&key(2), &grant).expose().to_owned()
    }
}

/// What a verifier says that has nothing to say.
pub fn orders() -> Value {
    json!({"api_version": 1, "host": HOST, "clock": SystemClock.now(), "is_enabled": true, "contact": "Call 4711"})
}

fn key(epoch: u32) -> HostKey {
    HostKey::new(Zeroizing::new([u8::try_from(epoch).unwrap(); 32]))
}

/// A key as a verifier gives it.
pub fn key_of(epoch: u32) -> Value {
    json!({"epoch": epoch, "key": BASE64.encode(key(epoch).expose())})
}

// covers: D03
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tries_at_once_are_counted_together_and_one_password_opens_once() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(folder.path());
    running.give_key(1).await;
    let link = Link::new(running.socket.clone());
    let redeem = |typed: String| {
        let link = link.clone();
        let redeem = Redeem { user: "alice".into(), service: "sshd".into(), place: Place::Elsewhere, typed };
        tokio::spawn(async move { link.redeem(&redeem).await.unwrap() })
    };
    let right: Vec<_> = (0..8).map(|_| redeem(running.password(None, 1))).collect();
    let mut opened = 0;
    for tried in right {
        opened += usize::from(matches!(tried.await.unwrap(), Redeemed::Access { .. }));
    }
    assert_eq!(opened, 1);
    let mut waits = 0;
    let guesses: Vec<_> = (0..60).map(|_| redeem(running.foreign())).collect();
    for tried in guesses {
        let said = tried.await.unwrap();
        let Redeemed::Refused { text } = said else { panic!("{said:?}") };
        assert!(text == WRONG || text.starts_with("Too many tries"), "no typing error: {text}");
        waits += usize::from(text != WRONG);
    }
    assert!(waits >= 40, "{waits}");
}

// covers: E03
#[tokio::test]
async fn what_is_no_request_is_refused_and_nothing_is_told_twice_of_what_is_typed() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(folder.path());
    let service = Service::new(Keeper::open(running.places.clone()), Arc::new(SystemClock));
    for (method, path, body, expected) in [
        (Method::POST, REDEEM_PATH, "{}", StatusCode::BAD_REQUEST),
        (Method::POST, ORDERS_PATH, "x", StatusCode::BAD_REQUEST),
        (Method::GET, REDEEM_PATH, "", StatusCode::NOT_FOUND),
        (Method::POST, "/v1/login/begin", "{}", StatusCode::NOT_FOUND),
    ] {
        assert_eq!(service.0.answer(&method, path, body.as_bytes()).status(), expected, "{path} {body}");
    }
    let typed = Redeem {
        user: "alice".into(),
        service: "sshd".into(),
        place: Place::Elsewhere,
        typed: "geheim".into(),
    };
    assert!(!format!("{typed:?}").contains("geheim"));
}
