use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use otp_core::{Algorithm, Digits, OtpKey, OtpValue, SharedSecret};
use serde::Serialize;
use serde_json::json;
use wire::admin::NewToken;
use wire::login::{BEGIN_PATH, Begin, CONTINUE_PATH, Continue, Next, Question, Reply, Verdict};
use wire::verify::{BATCH_PATH, Batch, BatchVerified, VERIFY_PATH, Verified, Verify};

use super::{KEY, secret_of};

/// How many counters are tried, as by `verifierd` when nothing else is configured.
const LOOK_AHEAD: u64 = 10;

/// Which decision a stall comes before, and how long it lasts.
const STALLED_DECISION: u32 = 40;
const STALL: Duration = Duration::from_millis(400);

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
    /// The first two verdicts of a batch change their places.
    SwapsVerdicts,
    /// Nothing is ever decided.
    Unavailable,
    /// One decision takes a while, and everything waits for it. No miscount.
    Stalls,
}

#[derive(Debug)]
pub(super) struct Verifier {
    fault: Fault,
    state: Mutex<State>,
    /// Held by the decision that everything waits for.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    users: BTreeMap<String, User>,
    accepted: BTreeMap<(String, u64), u32>,
    decided: u32,
}

#[derive(Debug)]
struct User {
    secret: SharedSecret,
    /// The counter expected next; absent for a token that follows the time.
    counter: Option<u64>,
}

impl Verifier {
    pub(super) fn new(fault: Fault) -> Self {
        Self { fault, state: Mutex::default(), turn: tokio::sync::Mutex::default() }
    }

    pub(super) fn add(&mut self, user: String, secret: SharedSecret, counter: Option<u64>) {
        self.state.get_mut().expect("no panic").users.insert(user, User { secret, counter });
    }

    /// An error ends the connection without a reply.
    pub(super) async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        with_key: bool,
    ) -> Result<Response<Full<Bytes>>> {
        let (head, body) = request.into_parts();
        let key = head.headers.get("authorization").and_then(|value| value.to_str().ok());
        if with_key && key != Some(&format!("Bearer {KEY}")) {
            return Ok(Response::builder().status(401).body(Full::default())?);
        }
        let body = body.collect().await?.to_bytes();
        match head.uri.path() {
            BEGIN_PATH if !with_key => self.begin(serde_json::from_slice(&body)?),
            CONTINUE_PATH if !with_key => self.proceed(serde_json::from_slice(&body)?),
            VERIFY_PATH => Ok(json_of(&self.verify(serde_json::from_slice(&body)?).await?)),
            BATCH_PATH => self.verify_all(serde_json::from_slice(&body)?).await,
            "/v1/tokens" => self.add_token(serde_json::from_slice(&body)?),
            path => self.enrol(path),
        }
    }

    fn begin(&self, begin: Begin) -> Result<Response<Full<Bytes>>> {
        let state = self.state.lock().expect("no panic");
        let secret = &state.users.get(&begin.user).context("unknown user")?.secret;
        let show = vec![format!("\nAdd this:\nSecret key: {}\n", secret.to_base32().as_str())];
        let question = Question { text: "One-time password: ".into(), echo: false, empty_allowed: false };
        let next =
            Next::Ask { state: format!("{} {}", begin.user, begin.service), questions: vec![question] };
        self.reply(begin.request_id, begin.user, begin.service, show, next)
    }

    fn proceed(&self, request: Continue) -> Result<Response<Full<Bytes>>> {
        let (user, service) = request.state.split_once(' ').context("not our state")?;
        let (verdict, reference) = self.decide(user, &request.answers[0])?;
        let next = Next::Done { verdict, reference, person: None };
        self.reply(request.request_id, user.into(), service.into(), Vec::new(), next)
    }

    async fn verify<'a>(&self, request: Verify<'a>) -> Result<Verified<'a>> {
        self.stall().await;
        let Verify { request_id, user, service, code, .. } = request;
        let (verdict, reference) = self.decide(&user, &code)?;
        let user = if self.fault == Fault::MixesUp { "mallory".into() } else { user };
        Ok(Verified { request_id, user, service, host: None, verdict, reference, message: None })
    }

    async fn verify_all(&self, request: Batch<'_>) -> Result<Response<Full<Bytes>>> {
        let mut items = Vec::new();
        for item in request.items {
            items.push(self.verify(item).await?);
        }
        if self.fault == Fault::SwapsVerdicts && items.len() > 1 {
            items.swap(0, 1);
        }
        Ok(json_of(&BatchVerified { items }))
    }

    async fn stall(&self) {
        let _turn = self.turn.lock().await;
        let decided = self.state.lock().expect("no panic").decided;
        if self.fault == Fault::Stalls && decided == STALLED_DECISION {
            let mut stall = tokio::time::interval(STALL);
            stall.tick().await;
            stall.tick().await;
        }
    }

    fn decide(&self, user: &str, typed: &str) -> Result<(Verdict, String)> {
        let mut state = self.state.lock().expect("no panic");
        state.decided += 1;
        let decided = state.decided;
        let verdict = match self.fault {
            Fault::Unavailable => Verdict::Unavailable,
            _ => self.judge(&mut state, user, typed)?,
        };
        if self.fault == Fault::LosesReplies && decided.is_multiple_of(10) {
            bail!("lost");
        }
        Ok((verdict, format!("REF{decided:05}")))
    }

    fn judge(&self, state: &mut State, user: &str, typed: &str) -> Result<Verdict> {
        let User { secret, counter } = state.users.get_mut(user).context("unknown user")?;
        let key = OtpKey::new(secret, Algorithm::Sha1, Digits::SIX);
        let typed = OtpValue::from_typed(typed, Digits::SIX)?;
        let now = present_step();
        let mut looked_at = match counter {
            // The one before, too, so that a fault can accept it again.
            Some(next) => next.saturating_sub(1)..=*next + LOOK_AHEAD,
            None => now - 1..=now + 1,
        };
        let Some(factor) = looked_at.find(|factor| key.value(*factor).matches(&typed)) else {
            let accepts = self.fault == Fault::AcceptsWrong;
            return Ok(if accepts { Verdict::Allow } else { Verdict::Deny });
        };
        if let Some(next) = counter {
            *next = (*next).max(factor + 1);
        }
        let times = state.accepted.entry((user.to_owned(), factor)).or_default();
        *times += 1;
        let most = match self.fault {
            Fault::AcceptsTwice => 2,
            Fault::RefusesValid => 0,
            _ => 1,
        };
        Ok(if *times <= most { Verdict::Allow } else { Verdict::Deny })
    }

    fn enrol(&self, path: &str) -> Result<Response<Full<Bytes>>> {
        let name =
            path.strip_prefix("/v1/users/").and_then(|rest| rest.strip_suffix("/otp")).context("no route")?;
        let user = User { secret: secret_of(name), counter: None };
        self.state.lock().expect("no panic").users.insert(name.to_owned(), user);
        Ok(json_of(&json!({ "name": name, "otp": "on", "activated": false, "tokens": ["PT1"] })))
    }

    fn add_token(&self, new: NewToken) -> Result<Response<Full<Bytes>>> {
        let secret = data_encoding::HEXLOWER.decode(new.secret.context("a secret")?.as_bytes())?;
        let user = User { secret: SharedSecret::from_bytes(&secret)?, counter: new.counter };
        self.state.lock().expect("no panic").users.insert(new.user.context("a user")?, user);
        Ok(json_of(&json!({ "serial": "PT1" })))
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
        Ok(json_of(&Reply {
            api_version: wire::API_VERSION,
            request_id,
            user,
            service,
            host: None,
            show,
            next,
        }))
    }
}

fn json_of(body: &impl Serialize) -> Response<Full<Bytes>> {
    Response::new(Full::new(Bytes::from(serde_json::to_vec(body).expect("JSON"))))
}

#[expect(clippy::disallowed_methods, reason = "the verifier's one clock")]
fn present_step() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock that is set").as_secs() / 30
}
