//! A verifier of a hundred lines: accepts each step of a user once, on one socket for logins and administration.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use otp_core::{Algorithm, Digits, OtpKey, OtpValue, SharedSecret};
use serde::Serialize;
use serde_json::json;
use tempfile::TempDir;
use tokio::net::UnixListener;
use wire::login::{BEGIN_PATH, Begin, CONTINUE_PATH, Continue, Next, Question, Reply, Verdict};

/// What a verifier must never do, one at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Every code is accepted a second time.
    AcceptsTwice,
    /// Codes that are nobody's are accepted.
    AcceptsWrong,
    /// Codes that are right are refused.
    RefusesValid,
    /// Every tenth reply to a code is lost, after its decision.
    LosesReplies,
    /// Every reply is for a user who did not ask.
    MixesUp,
}

/// A running verifier; its socket and whatever a test writes is in `folder`.
pub struct Fake {
    pub folder: TempDir,
}

#[derive(Debug)]
struct Verifier {
    fault: Fault,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    secrets: BTreeMap<String, SharedSecret>,
    accepted: BTreeMap<(String, u64), u32>,
    decided: u32,
}

impl Fake {
    /// Listens at `{}/socket`; a file `{}/secrets` holds its users `user0` and so on.
    pub fn start(users: u32, fault: Fault) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut state = State::default();
        let mut file = String::new();
        for number in 0..users {
            let user = format!("user{number}");
            let secret = secret_of(&user);
            file += &format!("{user} {}\n", secret.to_base32().as_str());
            state.secrets.insert(user, secret);
        }
        std::fs::write(folder.path().join("secrets"), file).expect("a file");
        let socket = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).expect("a socket");
        socket.set_nonblocking(true).expect("a mode");
        let verifier = Arc::new(Verifier { fault, state: Mutex::new(state) });
        // The thread ends with the process.
        std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(serve(socket, verifier))
        });
        Self { folder }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

async fn serve(socket: std::os::unix::net::UnixListener, verifier: Arc<Verifier>) {
    let socket = UnixListener::from_std(socket).expect("a socket");
    loop {
        let (stream, _) = socket.accept().await.expect("a connection");
        let verifier = Arc::clone(&verifier);
        let service = service_fn(move |request| Arc::clone(&verifier).answer(request));
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

impl Verifier {
    /// An error ends the connection without a reply.
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        match head.uri.path() {
            BEGIN_PATH => self.begin(serde_json::from_slice(&body)?),
            CONTINUE_PATH => self.proceed(serde_json::from_slice(&body)?),
            path => self.enrol(path),
        }
    }

    fn begin(&self, begin: Begin) -> Result<Response<Full<Bytes>>> {
        let state = self.state.lock().expect("no panic");
        let secret = state.secrets.get(&begin.user).context("unknown user")?;
        let show = vec![format!("\nAdd this:\nSecret key: {}\n", secret.to_base32().as_str())];
        let question = Question { text: "One-time password: ".into(), echo: false, empty_allowed: false };
        let next =
            Next::Ask { state: format!("{} {}", begin.user, begin.service), questions: vec![question] };
        self.reply(begin.request_id, begin.user, begin.service, show, next)
    }

    fn proceed(&self, request: Continue) -> Result<Response<Full<Bytes>>> {
        let (user, service) = request.state.split_once(' ').context("not our state")?;
        let (verdict, decided) = self.decide(user, &request.answers[0])?;
        if self.fault == Fault::LosesReplies && decided.is_multiple_of(10) {
            bail!("lost");
        }
        let next = Next::Done { verdict, reference: format!("REF{decided:05}") };
        self.reply(request.request_id, user.into(), service.into(), Vec::new(), next)
    }

    fn decide(&self, user: &str, typed: &str) -> Result<(Verdict, u32)> {
        let mut state = self.state.lock().expect("no panic");
        state.decided += 1;
        let decided = state.decided;
        let key = OtpKey::new(state.secrets.get(user).context("unknown user")?, Algorithm::Sha1, Digits::SIX);
        let typed = OtpValue::from_typed(typed, Digits::SIX)?;
        let now = present_step();
        let Some(step) = (now - 1..=now + 1).find(|step| key.value(*step).matches(&typed)) else {
            let accepts = self.fault == Fault::AcceptsWrong;
            return Ok((if accepts { Verdict::Allow } else { Verdict::Deny }, decided));
        };
        let times = state.accepted.entry((user.to_owned(), step)).or_default();
        *times += 1;
        let most = match self.fault {
            Fault::AcceptsTwice => 2,
            Fault::RefusesValid => 0,
            Fault::None | Fault::AcceptsWrong | Fault::LosesReplies | Fault::MixesUp => 1,
        };
        Ok((if *times <= most { Verdict::Allow } else { Verdict::Deny }, decided))
    }

    fn enrol(&self, path: &str) -> Result<Response<Full<Bytes>>> {
        let name =
            path.strip_prefix("/v1/users/").and_then(|rest| rest.strip_suffix("/otp")).context("no route")?;
        self.state.lock().expect("no panic").secrets.insert(name.to_owned(), secret_of(name));
        Ok(json_of(&json!({ "name": name, "otp": "on", "activated": false, "tokens": ["PT1"] })))
    }

    fn reply(
        &self,
        request_id: String,
        user: String,
        service: String,
        show: Vec<String>,
        next: Next,
    ) -> Result<Response<Full<Bytes>>> {
        let is_over = matches!(next, Next::Done { .. });
        let user = if is_over && self.fault == Fault::MixesUp { "mallory".to_owned() } else { user };
        Ok(json_of(&Reply { api_version: wire::API_VERSION, request_id, user, service, show, next }))
    }
}

fn json_of(body: &impl Serialize) -> Response<Full<Bytes>> {
    Response::new(Full::new(Bytes::from(serde_json::to_vec(body).expect("JSON"))))
}

fn secret_of(user: &str) -> SharedSecret {
    SharedSecret::from_bytes(format!("{user:=>20}").as_bytes()).expect("20 bytes")
}

#[expect(clippy::disallowed_methods, reason = "the verifier's one clock")]
fn present_step() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock that is set").as_secs() / 30
}
