//! Which step a login is at: what to show, what to ask, and when it is over.
//!
//! The host carries the state and shows what it is told; all that is decided is decided here and below. The
//! dialogue never looks at a code itself.

mod answers;
mod direct;
mod enrolment;
mod state;
mod texts;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use wire::login::{Begin, Continue, Next, Question, Reply, Verdict};
use zeroize::Zeroizing;

use crate::accounts::{Accounts, Steward, Token, UserName, account_exists};
use crate::audit::Reason;
use crate::clock::Clock;
use crate::config::{Config, OnUnenrolled};
use crate::engine::{Decision, Engine, Judgement, Occasion, Recent, Ruling};
use crate::expiry::Figures;
use crate::keys::{IndexHasher, KeyError, Sealer};
use crate::login::Login;
use crate::policy::{Demand, demand};
use enrolment::Enrolment;
use state::{Asked, State, StateError};

/// Longer than the work and the commit of nearly every refusal (a commit takes 0.1 ms on a
/// quiet disk, 8 ms at the 99th percentile), too short for a person to notice.
const REFUSAL_BEAT: Duration = Duration::from_millis(10);

/// Everything a dialogue needs.
#[derive(Debug)]
pub struct Dialogue {
    /// Users and tokens.
    pub accounts: Arc<Accounts>,
    /// Makes changes to them.
    pub steward: Arc<Steward>,
    /// Checks codes.
    pub engine: Arc<Engine>,
    /// The present configuration.
    pub config: Arc<ArcSwap<Config>>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Unseals token secrets, to show them to who enrols.
    pub token_sealer: Arc<Sealer>,
    /// Seals states.
    pub state_sealer: Sealer,
    /// Names requests.
    pub request_hasher: IndexHasher,
    /// The machine's name, shown in authenticator apps.
    pub host: String,
    /// Judgements of the last minute.
    pub recent: Recent<Judgement>,
    /// Whether commits are missing in the store, and nobody has settled it: who needs no code is not known then.
    pub has_loss: AtomicBool,
}

/// Why a request got no reply.
#[derive(Debug, thiserror::Error)]
pub enum DialogueError {
    /// The request is not one that a host of ours would send.
    #[error("{0}")]
    Malformed(&'static str),
    /// The state is not ours, or too old.
    #[error(transparent)]
    State(#[from] StateError),
    /// Nothing can be drawn or sealed, or work ended without a verdict.
    #[error("the service cannot answer now")]
    Unavailable,
}

impl From<KeyError> for DialogueError {
    fn from(_: KeyError) -> Self {
        Self::Unavailable
    }
}

/// What a reply says besides whose it is.
struct Answer {
    show: Vec<String>,
    next: Next,
}

impl Dialogue {
    /// Answers the first request of a login.
    ///
    /// # Errors
    /// See [`DialogueError`].
    pub async fn begin(self: &Arc<Self>, begin: Begin) -> Result<Reply, DialogueError> {
        check_request(begin.api_version, &begin.request_id)?;
        let request_id = begin.request_id.clone();
        let login = Login::new(begin);
        let answer = self.first_step(&login).await?;
        Ok(reply(request_id, login, answer))
    }

    /// Answers every later request.
    ///
    /// # Errors
    /// See [`DialogueError`].
    pub async fn proceed(self: &Arc<Self>, request: Continue) -> Result<Reply, DialogueError> {
        check_request(request.api_version, &request.request_id)?;
        let state = State::open(&request.state, &self.state_sealer, self.clock.now())?;
        let Continue { request_id, state: sealed, answers, .. } = request;
        let Ok([answer]) = <[String; 1]>::try_from(answers) else {
            return Err(DialogueError::Malformed("one answer is needed"));
        };
        let answer = Zeroizing::new(answer);
        let key = self.request_hasher.key(&[request_id.as_bytes(), sealed.as_bytes(), answer.as_bytes()]);
        let State { login, asked, .. } = state;
        let next = self.next_step(&login, asked, key, answer).await?;
        Ok(reply(request_id, login, next))
    }

    /// What is counted about the tables whose entries are forgotten after a time.
    pub fn tables(&self) -> [Figures; 3] {
        let [refusals, throttles] = self.engine.tables();
        [self.recent.figures(), refusals, throttles]
    }

    /// Refusals leave a whole number of beats after they came in, so that their time does not tell a user
    /// that exists from one that does not, nor one reason from another.
    #[expect(clippy::disallowed_methods, reason = "what is waited for is the time itself")]
    async fn wait_for_the_next_beat(&self, begun: Duration) {
        let spent = self.clock.elapsed().saturating_sub(begun);
        let beats = spent.as_nanos() / REFUSAL_BEAT.as_nanos() + 1;
        let until = REFUSAL_BEAT.saturating_mul(u32::try_from(beats).unwrap_or(u32::MAX));
        tokio::time::sleep(until.saturating_sub(spent)).await;
    }

    async fn first_step(&self, login: &Login) -> Result<Answer, DialogueError> {
        let name = login.user_name().ok();
        let user = name.as_ref().and_then(|name| self.accounts.find(name));
        let exists = self.ask_for_account(name.as_ref().filter(|_| user.is_none())).await;
        let config = self.config.load();
        let mut demanded = demand(user.as_deref(), exists, &config, self.clock.now());
        if self.has_loss.load(Ordering::Relaxed) && !matches!(demanded, Demand::Code) {
            return self.rule(login, Reason::StoreShort).await;
        }
        if let (Demand::Enrol, Some(name)) = (&demanded, name) {
            let enrolled = self.steward.enrol(name).await.map_err(|error| {
                tracing::error!(%error, user = ?login.user, "a user could not be enrolled");
                DialogueError::Unavailable
            })?;
            demanded = demand(Some(&enrolled), true, &config, self.clock.now());
        }
        match demanded {
            Demand::Nothing(reason) => self.rule(login, reason).await,
            // Whoever could enrol no more is asked like everybody else.
            Demand::Code | Demand::Enrol | Demand::Closed => {
                let asked = Asked::Code { enrolling: None, grace: false };
                self.ask(login, Vec::new(), texts::code_question(false), asked)
            }
            Demand::Association => self.ask(login, Vec::new(), texts::serial_question(), Asked::Serial),
            Demand::Enrolment { token, grace } => {
                let show = vec![self.enrolment_text(login, &token)?];
                let asked = Asked::Code { enrolling: Some(token.record.id), grace };
                self.ask(login, show, texts::code_question(grace), asked)
            }
        }
    }

    /// Ends a login that no answer decides.
    async fn rule(&self, login: &Login, reason: Reason) -> Result<Answer, DialogueError> {
        let occasion = Occasion::login(login.clone());
        self.conclude(login, &self.engine.record(&occasion, Ruling::new(reason)).await)
    }

    fn conclude(&self, login: &Login, decision: &Decision) -> Result<Answer, DialogueError> {
        let reference = decision.reference.to_string();
        let done = |show| Answer { show, next: Next::Done { verdict: decision.verdict, reference } };
        match decision.verdict {
            Verdict::Allow | Verdict::NotRequired => Ok(done(texts::welcome(decision).into_iter().collect())),
            Verdict::Deny | Verdict::Unavailable | Verdict::Unknown => {
                let line = texts::refusal(decision);
                if !login.needs_question_after_text() {
                    return Ok(done(vec![line]));
                }
                let state =
                    State::refused(login.clone(), decision, self.clock.now()).seal(&self.state_sealer)?;
                let next = Next::Ask { state, questions: vec![texts::acknowledge_question()] };
                Ok(Answer { show: vec![line], next })
            }
        }
    }

    fn ask(
        &self,
        login: &Login,
        show: Vec<String>,
        question: Question,
        asked: Asked,
    ) -> Result<Answer, DialogueError> {
        let state = State::new(login.clone(), asked, self.clock.now()).seal(&self.state_sealer)?;
        Ok(Answer { show, next: Next::Ask { state, questions: vec![question] } })
    }

    fn enrolment_text(&self, login: &Login, token: &Token) -> Result<String, DialogueError> {
        let secret = token.record.secret(&self.token_sealer).map_err(|error| {
            tracing::error!(%error, "a token cannot be shown for enrolment");
            DialogueError::Unavailable
        })?;
        let user = login.user_name().map_err(|_| DialogueError::Malformed("not an account name"))?;
        let config = self.config.load();
        let enrolment = Enrolment {
            issuer: &config.enrolment.issuer,
            user: &user,
            host: &self.host,
            secret,
            parameters: &token.parameters,
            counter: token.value(),
        };
        Ok(std::mem::take(&mut *enrolment.text(login.columns)))
    }

    /// Asks the name service, off the runtime's threads, where policy lets in or enrols users it finds.
    async fn ask_for_account(&self, unknown: Option<&UserName>) -> bool {
        let wanted = self.config.load().on_unenrolled != OnUnenrolled::Deny;
        let Some(name) = unknown.filter(|_| wanted).cloned() else { return false };
        tokio::task::spawn_blocking(move || account_exists(&name)).await.unwrap_or(false)
    }
}

fn reply(request_id: String, login: Login, answer: Answer) -> Reply {
    let Login { user, service, .. } = login;
    let Answer { show, next } = answer;
    Reply { api_version: wire::API_VERSION, request_id, user, service, show, next }
}

fn check_request(api_version: u16, request_id: &str) -> Result<(), DialogueError> {
    if api_version != wire::API_VERSION {
        return Err(DialogueError::Malformed("api_version must be 1"));
    }
    check_request_id(request_id)
}

fn check_request_id(request_id: &str) -> Result<(), DialogueError> {
    let hexadecimal = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if request_id.len() != 32 || !request_id.bytes().all(hexadecimal) {
        return Err(DialogueError::Malformed("request_id must be 32 lower-case hexadecimal digits"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
