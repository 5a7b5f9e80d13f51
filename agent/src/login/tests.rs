//! The login socket as the PAM module meets it, in front of a verifier that says what a test wants.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use serde_json::{Value, json};
use serve::{Audience, Listener};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::watch;

use super::*;
use crate::config::VerifierAddress;
use crate::identity::tests::{Authority, HOST};
use crate::offline::keeper::Keeper;
use crate::offline::messages::{Redeem, Redeemed};
use crate::offline::service::tests::Running;
use crate::offline::tries::Place;
use crate::verifiers::tests::{Act, Fake, resting_verifiers, verifiers};

const REQUEST: &str = "00112233445566778899aabbccddeeff";

/// An agent, and the folder of its socket.
struct Rig {
    folder: tempfile::TempDir,
    sessions: Arc<Sessions>,
    _stop: watch::Sender<bool>,
    _fake: Fake,
}

impl Rig {
    async fn start(decide: impl Fn(&str, &Value) -> Act + Send + Sync + 'static) -> Self {
        Self::start_with(verifiers, decide).await
    }

    /// * `verifiers`: makes the agent's side.
    async fn start_with(
        verifiers: fn(&Authority, Vec<VerifierAddress>) -> Verifiers,
        decide: impl Fn(&str, &Value) -> Act + Send + Sync + 'static,
    ) -> Self {
        let authority = Authority::generate();
        let fake = Fake::start(&authority, decide).await;
        let verifiers = Arc::new(verifiers(&authority, vec![fake.verifier()]));
        let identity = Arc::new(ArcSwap::from_pointee(authority.host()));
        let reporter = Reporter { identity, told: Arc::default() };
        let sessions = Arc::new(Sessions::default());
        let folder = tempfile::tempdir().unwrap();
        let (told, timeout) = (sessions.clone(), Duration::from_secs(3));
        let link = Link::new(folder.path().join("offline.sock"));
        let socket = LoginSocket::new(verifiers, HOST.into(), timeout, reporter, told, link);
        let listener = Listener::bind(&folder.path().join("login.sock"), Audience::Everybody).unwrap();
        let (stop, stopping) = watch::channel(false);
        serve::serve_here(listener, socket, stopping).unwrap();
        Self { folder, sessions, _stop: stop, _fake: fake }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("login.sock")
    }

    async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let mut stream = UnixStream::connect(self.path()).await.unwrap();
        let body = body.to_string();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        let body = answer.split_once("\r\n\r\n").expect("a head").1;
        (status, serde_json::from_str(body).unwrap_or_else(|_| panic!("{answer}")))
    }

    /// A login as far as its question; the state that came with it.
    async fn question(&self) -> String {
        let (status, reply) = self.post(BEGIN_PATH, &begin()).await;
        assert_eq!(status, 200, "{reply}");
        reply["next"]["ask"]["state"].as_str().expect("a question").to_owned()
    }
}

fn begin() -> Value {
    json!({"api_version": 1, "request_id": REQUEST, "user": "alice", "service": "sshd"})
}

fn answer_to(state: &str) -> Value {
    json!({"api_version": 1, "request_id": REQUEST, "state": state, "answers": ["123456"]})
}

fn code() -> Value {
    json!({"request_id": REQUEST, "user": "alice", "service": "sshd", "code": "123456"})
}

/// What a verifier answers: a question to whoever begins, an allow to all else, with one field changed.
fn honest_but_for(field: &'static str, value: Value) -> impl Fn(&str, &Value) -> Act + Send + Sync {
    move |path, asked| {
        let one = |asked: &Value| {
            let mut reply = json!({
                "api_version": 1, "request_id": asked["request_id"], "user": "alice", "service": "sshd",
                "host": HOST, "show": [], "verdict": "allow", "reference": "7QK2-9ZB4",
                "next": {"done": {"verdict": "allow", "reference": "7QK2-9ZB4"}},
            });
            if path == BEGIN_PATH {
                let question = json!([{"text": "Code: ", "echo": false, "empty_allowed": false}]);
                reply["next"] = json!({"ask": {"state": "sealed", "questions": question}});
            } else if !field.is_empty() {
                reply[field] = value.clone();
            }
            reply
        };
        let reply = match asked["items"].as_array() {
            Some(items) => json!({"items": items.iter().map(one).collect::<Vec<_>>()}),
            None => one(asked),
        };
        Act::Answer(200, reply)
    }
}

// covers: F13
#[tokio::test]
async fn an_answer_that_belongs_to_the_login_is_passed_on_without_the_host() {
    let rig = Rig::start(honest_but_for("", Value::Null)).await;
    let state = rig.question().await;
    assert_ne!(state, "sealed");
    let (status, reply) = rig.post(CONTINUE_PATH, &answer_to(&state)).await;
    assert_eq!((status, &reply["next"]["done"]["verdict"]), (200, &json!("allow")));
    assert_eq!((&reply["user"], &reply["host"]), (&json!("alice"), &Value::Null));
    let (status, reply) = rig.post(VERIFY_PATH, &code()).await;
    assert_eq!((status, &reply["verdict"], &reply["host"]), (200, &json!("allow"), &Value::Null));
    let (status, reply) = rig.post(BATCH_PATH, &json!({"items": [code(), code()]})).await;
    assert_eq!((status, &reply["items"][1]["verdict"]), (200, &json!("allow")));
}

// covers: F13
#[tokio::test]
async fn an_answer_to_another_login_is_no_answer_at_every_route() {
    let other = "00000000-0000-4000-8000-000000000000";
    let cases = [
        ("request_id", json!("ffeeddccbbaa99887766554433221100")),
        ("user", json!("bob")),
        ("service", json!("sudo")),
        ("host", json!(other)),
        ("host", Value::Null),
    ];
    for (field, value) in cases {
        let rig = Rig::start(honest_but_for(field, value)).await;
        let state = rig.question().await;
        for (path, body) in [
            (CONTINUE_PATH, answer_to(&state)),
            (VERIFY_PATH, code()),
            (BATCH_PATH, json!({"items": [code()]})),
        ] {
            let (status, reply) = rig.post(path, &body).await;
            assert_eq!((status, &reply["error"]["code"]), (409, &json!("conflict")), "{field} at {path}");
        }
    }
}

// covers: F14
#[tokio::test]
async fn a_newer_verifier_is_understood_as_far_as_it_can_be() {
    let newer = json!({"done": {"verdict": "allow_mostly", "reference": "7QK2-9ZB4", "more": 1}});
    let rig = Rig::start(honest_but_for("next", newer)).await;
    let (_, reply) = rig.post(CONTINUE_PATH, &answer_to(&rig.question().await)).await;
    assert_eq!(reply["next"]["done"]["verdict"], "deny");
    let rig = Rig::start(honest_but_for("api_version", json!(2))).await;
    let (status, _) = rig.post(CONTINUE_PATH, &answer_to(&rig.question().await)).await;
    assert_eq!(status, 409);
    let rig = Rig::start(honest_but_for("verdict", json!("allow_mostly"))).await;
    let (_, reply) = rig.post(VERIFY_PATH, &code()).await;
    assert_eq!(reply["verdict"], "deny");
}

#[tokio::test]
async fn the_state_of_one_login_answers_for_nobody_else() {
    let rig = Rig::start(honest_but_for("", Value::Null)).await;
    let forged =
        Envelope { user: "bob".into(), service: "sshd".into(), state: "sealed".into(), offline: None };
    let (status, _) = rig.post(CONTINUE_PATH, &answer_to(&forged.close())).await;
    assert_eq!(status, 409, "the verifier speaks of alice");
    for wrong in ["sealed", "", "e30="] {
        let (status, reply) = rig.post(CONTINUE_PATH, &answer_to(wrong)).await;
        assert_eq!((status, &reply["error"]["code"]), (400, &json!("malformed")), "{wrong}");
    }
}

// covers: F14
#[tokio::test]
async fn what_is_not_a_request_of_this_version_is_refused_here() {
    let asked = Arc::new(AtomicUsize::new(0));
    let seen = asked.clone();
    let rig = Rig::start(move |_, _| {
        seen.fetch_add(1, Ordering::SeqCst);
        Act::Answer(200, json!({}))
    })
    .await;
    let mut more = begin();
    more["host"] = json!(HOST);
    let envelope =
        Envelope { user: "alice".into(), service: "sshd".into(), state: "sealed".into(), offline: None };
    let mut newer = answer_to(&envelope.close());
    newer["api_version"] = json!(2);
    for (path, body) in [
        (BEGIN_PATH, more),
        (BEGIN_PATH, json!({})),
        (CONTINUE_PATH, newer),
        (VERIFY_PATH, json!([])),
        (BATCH_PATH, json!({"items": [{}]})),
    ] {
        let (status, _) = rig.post(path, &body).await;
        assert_eq!(status, 400, "{path} {body}");
    }
    let (status, _) = rig.post("/v1/host/renew", &json!({})).await;
    assert_eq!((status, asked.load(Ordering::SeqCst)), (404, 0));
}

#[tokio::test]
async fn a_refusal_of_the_verifier_is_passed_on_and_an_answer_that_is_none_is_not() {
    for (status, code) in [(403, "not_allowed"), (400, "malformed"), (429, "throttled")] {
        let error = json!({"error": {"code": code, "message": "no"}});
        let rig = Rig::start(move |_, _| Act::Answer(status, error.clone())).await;
        let (told, reply) = rig.post(BEGIN_PATH, &begin()).await;
        assert_eq!((told, &reply["error"]["code"]), (status, &json!(code)));
    }
    for (status, body) in [
        (200, json!({})),
        (200, json!("allow")),
        (500, json!({})),
        (204, json!({"error": {"code": "not_allowed", "message": "no"}})),
        (200, json!("a".repeat(wire::verify::BATCH_REPLY_BYTES_MAX))),
    ] {
        let rig = Rig::start(move |_, _| Act::Answer(status, body.clone())).await;
        assert_eq!(rig.post(BEGIN_PATH, &begin()).await.0, 409, "{status}: `fail=open` lets in at 503");
    }
}

// covers: F04
#[tokio::test]
async fn a_host_that_was_revoked_stays_refused_while_it_does_not_ask() {
    let error = json!({"error": {"code": "not_allowed", "message": "this host was revoked"}});
    let rig = Rig::start_with(resting_verifiers, move |_, _| Act::Answer(403, error.clone())).await;
    // The verifier is left alone after the first one, for longer than a login waits.
    for _ in 0..2 {
        let (status, reply) = rig.post(BEGIN_PATH, &begin()).await;
        assert_eq!((status, &reply["error"]["code"]), (403, &json!("not_allowed")));
    }
    let path = rig.path();
    let status = tokio::task::spawn_blocking(move || crate::status::ask(&path)).await.unwrap().unwrap();
    let problem = status.verifiers[0].problem.clone().unwrap_or_default();
    assert!(problem.ends_with("one of its fleet: this host was revoked"), "{problem}");
}

// covers: D08, E22
#[tokio::test]
async fn without_an_answer_a_login_is_told_that_none_can_be_had() {
    for hang in [true, false] {
        let rig = Rig::start(move |_, _| if hang { Act::Hang } else { Act::Answer(503, json!({})) }).await;
        let (status, reply) = rig.post(BEGIN_PATH, &begin()).await;
        assert_eq!((status, &reply["error"]["code"]), (503, &json!("unavailable")));
    }
}

fn verdict(reply: &Value) -> &str {
    reply["next"]["done"]["verdict"].as_str().unwrap_or("none")
}

// covers: N1, N3, N7, N12, N15, D08
#[tokio::test]
async fn without_a_verifier_an_offline_password_opens_once_and_what_it_gave_goes_on() {
    let rig = Rig::start(|_, _| Act::Hang).await;
    assert_eq!(rig.post(BEGIN_PATH, &begin()).await.0, 503, "there is no such service");
    let offline = Running::start(rig.folder.path());
    assert_eq!(rig.post(BEGIN_PATH, &begin()).await.0, 503, "it has no key");
    offline.give_key(1).await;
    let typed = async |begin: &Value, typed: &str| {
        let (status, asked) = rig.post(BEGIN_PATH, begin).await;
        assert_eq!(status, 200, "{asked}");
        let show: Vec<_> =
            asked["show"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
        assert!(
            show[0].contains("No verifier can be reached") && show[1].starts_with("This host is "),
            "{show:?}"
        );
        assert_eq!(show[2], "Call 4711");
        let state = &asked["next"]["ask"]["state"];
        let answer = json!({"api_version": 1, "request_id": REQUEST, "state": state, "answers": [typed]});
        rig.post(CONTINUE_PATH, &answer).await.1
    };
    let mut bob = begin();
    bob["user"] = json!("bob");
    let password = offline.password(Some("alice"), 1);
    for (begin, wrong) in [(&bob, password.as_str()), (&begin(), "123456"), (&begin(), "0A1BZ-9XK00-00000")] {
        let refused = typed(begin, wrong).await;
        assert_eq!(verdict(&refused), "deny", "{refused}");
    }
    let allowed = typed(&begin(), &password).await;
    assert_eq!((verdict(&allowed), &allowed["user"]), ("allow", &json!("alice")), "{allowed}");
    assert!(allowed["show"][0].as_str().unwrap().starts_with("Access until "), "{allowed}");
    // Within its time nothing more is asked of her, and of nobody else less.
    let (_, granted) = rig.post(BEGIN_PATH, &begin()).await;
    assert_eq!(verdict(&granted), "allow", "{granted}");
    assert!(granted["show"][0].as_str().unwrap().starts_with("Access until "), "{granted}");
    assert_eq!(verdict(&typed(&bob, &password).await), "deny");
    // Also after the service was started anew.
    let places = offline.places.clone();
    offline.stop.send(true).unwrap();
    let again = Keeper::open(places);
    let now = crate::offline::moment::moment(0, "a", 0);
    assert_eq!(again.standing(&now).uses.iter().map(|used| used.counter).collect::<Vec<_>>(), [1]);
}

// covers: D08
#[tokio::test]
async fn where_a_verifier_answers_no_offline_password_is_asked_for() {
    let rig = Rig::start(honest_but_for("", Value::Null)).await;
    let offline = Running::start(rig.folder.path());
    offline.give_key(1).await;
    let (_, asked) = rig.post(BEGIN_PATH, &begin()).await;
    assert!(!asked["show"].to_string().contains("No verifier"), "{asked}");
    // Nor where it refuses, or answers something else.
    for act in [
        Act::Answer(403, json!({"error": {"code": "not_allowed", "message": "revoked"}})),
        Act::Answer(200, json!({})),
    ] {
        let act = Mutex::new(Some(act));
        let rig =
            Rig::start(move |_, _| act.lock().unwrap().take().unwrap_or(Act::Answer(400, json!({})))).await;
        let offline = Running::start(rig.folder.path());
        offline.give_key(1).await;
        let (status, refused) = rig.post(BEGIN_PATH, &begin()).await;
        assert!(status != 200 && !refused.to_string().contains("No verifier"), "{refused}");
    }
}

#[tokio::test]
async fn the_agent_says_how_it_is() {
    let rig = Rig::start(honest_but_for("", Value::Null)).await;
    rig.question().await;
    let path = rig.path();
    let status = tokio::task::spawn_blocking(move || crate::status::ask(&path)).await.unwrap().unwrap();
    assert_eq!((&status.host[..], status.ready), (HOST, false));
    assert!(status.verifiers[0].connected);
    assert!(status.to_string().contains("connected"), "{status}");
}

// covers: R10
#[tokio::test]
async fn a_session_is_taken_whether_or_not_a_verifier_answers_and_what_is_no_report_is_refused() {
    let rig = Rig::start(|_, _| Act::Hang).await;
    let opening = || json!({"api_version": 1, "session": REQUEST, "user": "alice", "service": "sshd"});
    let closing = json!({"api_version": 1, "session": REQUEST});
    for (path, body) in [(OPEN_PATH, opening()), (CLOSE_PATH, closing.clone())] {
        let told = rig.post(path, &body).await;
        assert_eq!(told, (200, json!({"api_version": 1, "session": REQUEST})));
    }
    assert_eq!(rig.sessions.waiting(), 2);
    let but_for = |field: &str, value: Value| {
        let mut body = opening();
        body[field] = value;
        body
    };
    for (path, body) in [
        (OPEN_PATH, but_for("api_version", json!(2))),
        (OPEN_PATH, but_for("host", json!(HOST))),
        (OPEN_PATH, but_for("user", Value::Null)),
        (OPEN_PATH, but_for("tty", json!("x".repeat(REPORT_BYTES_MAX)))),
        (CLOSE_PATH, opening()),
    ] {
        let (status, told) = rig.post(path, &body).await;
        assert_eq!((status, &told["error"]["code"]), (400, &json!("malformed")), "{path}");
    }
    assert_eq!(rig.sessions.waiting(), 2);
}

// covers: R10
#[tokio::test]
async fn whose_session_is_left_out_is_told_so() {
    let rig = Rig::start(|_, _| Act::Hang).await;
    let opening = |number: usize| json!({"api_version": 1, "session": format!("{number:032x}"), "user": "alice", "service": "sshd"});
    let mut number = 0;
    while rig.sessions.take(Report::Open(serde_json::from_value(opening(number)).unwrap())) {
        number += 1;
    }
    let (status, told) = rig.post(OPEN_PATH, &opening(number + 1)).await;
    assert_eq!((status, &told["error"]["code"]), (429, &json!("throttled")));
    assert_eq!(rig.sessions.waiting(), number);
}

// covers: N10
#[tokio::test]
async fn within_a_grant_a_verifier_that_answers_is_told_of_it_or_is_not_asked_at_all() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = asked.clone();
    let rig = Rig::start(move |path, body| {
        seen.lock().unwrap().push(body["offline_grant_until"].clone());
        honest_but_for("", Value::Null)(path, body)
    })
    .await;
    let offline = Running::start(rig.folder.path());
    offline
        .obey(&json!({"key": crate::offline::service::tests::key_of(1), "asks_within_grants": true}))
        .await;
    let link = Link::new(rig.folder.path().join("offline.sock"));
    rig.post(BEGIN_PATH, &begin()).await;
    let redeem = Redeem {
        user: "alice".into(),
        service: "sshd".into(),
        place: Place::Elsewhere,
        typed: offline.password(Some("alice"), 1),
    };
    let Redeemed::Access { until } = link.redeem(&redeem).await.unwrap() else { panic!("refused") };
    assert_eq!(rig.post(BEGIN_PATH, &begin()).await.0, 200);
    let mut bob = begin();
    bob["user"] = json!("bob");
    rig.post(BEGIN_PATH, &bob).await;
    assert_eq!(*asked.lock().unwrap(), [Value::Null, json!(until), Value::Null]);
    // Where nothing is to reach the host before it is over, nobody is asked.
    offline.obey(&json!({"asks_within_grants": false})).await;
    let (_, granted) = rig.post(BEGIN_PATH, &begin()).await;
    assert_eq!(verdict(&granted), "allow", "{granted}");
    assert_eq!(asked.lock().unwrap().len(), 3);
    rig.post(BEGIN_PATH, &bob).await;
    assert_eq!(asked.lock().unwrap().len(), 4, "bob is asked as ever");
}

// covers: N10
#[tokio::test]
async fn a_verifier_that_has_too_much_to_do_lets_nobody_in_whom_it_could_refuse() {
    let rig = Rig::start(|_, _| Act::Answer(503, json!({}))).await;
    let offline = Running::start(rig.folder.path());
    offline
        .obey(&json!({"key": crate::offline::service::tests::key_of(1), "asks_within_grants": true}))
        .await;
    let (_, asked) = rig.post(BEGIN_PATH, &begin()).await;
    assert!(asked["next"]["ask"].is_object(), "an offline password is an administrator's word: {asked}");
    let link = Link::new(rig.folder.path().join("offline.sock"));
    let typed = offline.password(Some("alice"), 1);
    let redeem = Redeem { user: "alice".into(), service: "sshd".into(), place: Place::Elsewhere, typed };
    assert!(matches!(link.redeem(&redeem).await.unwrap(), Redeemed::Access { .. }));
    assert_eq!(rig.post(BEGIN_PATH, &begin()).await.0, 503);
    offline.obey(&json!({"asks_within_grants": false})).await;
    assert_eq!(verdict(&rig.post(BEGIN_PATH, &begin()).await.1), "allow");
}
