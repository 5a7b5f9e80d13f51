//! Which step a login is at: what to show, what to ask, and when it is over.
//!
//! The host carries the state and shows what it is told; all that is decided is decided here and below. The
//! dialogue never looks at a code itself.

mod answers;
mod direct;
mod enrolment;
mod metronome;
mod name_service;
mod remembered;
mod requests;
mod state;
mod terms;
mod texts;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use wire::login::{Begin, Continue, Next, Question, Reply, Verdict};
use zeroize::Zeroizing;

use crate::access::Requests;
use crate::accounts::{Accounts, Steward, Token, UserName};
use crate::audit::Reason;
use crate::audit::witness::Witness;
use crate::clock::Clock;
use crate::config::{Config, LoginStep};
use crate::engine::{Decision, Engine, Judgement, Occasion, Recent, Ruling};
use crate::expiry::Figures;
use crate::hosts::HostIdentity;
use crate::keys::{IndexHasher, KeyError, Sealer};
use crate::login::Login;
use crate::people::People;
use crate::policy::{Demand, Leave, Terms, demand, remembered_for};
use crate::sessions::Sessions;
use enrolment::Enrolment;
pub use enrolment::Key;
pub use metronome::Metronome;
use remembered::AtTerminal;
pub use remembered::Remembered;
pub use requests::Requested;
use state::{Asked, State, StateError};
pub use terms::ask_for_memberships;

/// Longer than the work and the commit of nearly every refusal (a commit takes 0.1 ms on a
/// quiet disk, 8 ms at the 99th percentile), too short for a person to notice.
const REFUSAL_BEAT: Duration = Duration::from_millis(10);

/// A secret that is shown again and again has one record in this time.
const SHOWN_EVERY: Duration = Duration::from_secs(60);

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
    /// Persons.
    pub people: Arc<People>,
    /// Requests, and the passwords that were issued on them.
    pub requests: Arc<Requests>,
    /// What came of requests of the last minute.
    pub requested: Recent<Requested>,
    /// Terminals where a code was given a moment ago.
    pub remembered: Remembered,
    /// Secrets that were shown a moment ago, by token and host.
    pub shown: Remembered,
    /// Ends the wait of refusals.
    pub metronome: Metronome,
    /// What hosts have seen of the audit trail.
    pub witness: Arc<Witness>,
    /// What logins lead to. The dialogue itself has no use for it.
    pub sessions: Arc<Sessions>,
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
    /// * `host`: who asks, by its certificate; none on the machine itself.
    ///
    /// # Errors
    /// See [`DialogueError`].
    pub async fn begin(
        self: &Arc<Self>,
        begin: Begin,
        host: Option<HostIdentity>,
    ) -> Result<Reply, DialogueError> {
        check_request(begin.api_version, &begin.request_id)?;
        let request_id = begin.request_id.clone();
        let login = Login::new(begin, host);
        let answer = if self.witness.is_behind() {
            self.stand_still(&login).await?
        } else {
            self.first_step(&login).await?
        };
        Ok(reply(request_id, login, answer))
    }

    /// Answers every later request. A dialogue goes on at the host where it began, and nowhere else.
    ///
    /// # Errors
    /// See [`DialogueError`].
    pub async fn proceed(
        self: &Arc<Self>,
        request: Continue,
        host: Option<HostIdentity>,
    ) -> Result<Reply, DialogueError> {
        check_request(request.api_version, &request.request_id)?;
        let state = State::open(&request.state, &self.state_sealer, self.clock.now())?;
        let id = |host: &Option<HostIdentity>| host.as_ref().map(|host| host.id);
        if id(&state.login.host) != id(&host) {
            tracing::debug!(began = ?state.login.host, asked = ?host, "a dialogue of one host came from another");
            return Err(StateError::Foreign.into());
        }
        let Continue { request_id, state: sealed, answers, .. } = request;
        let Ok([answer]) = <[String; 1]>::try_from(answers) else {
            return Err(DialogueError::Malformed("one answer is needed"));
        };
        let answer = Zeroizing::new(answer);
        let key = self.request_hasher.key(&[request_id.as_bytes(), sealed.as_bytes(), answer.as_bytes()]);
        let State { login, asked, .. } = state;
        // Its name and group are those of the present.
        let login = Login { host, ..login };
        if self.witness.is_behind() && !matches!(asked, Asked::Acknowledgement { .. }) {
            let answer = self.stand_still(&login).await?;
            return Ok(reply(request_id, login, answer));
        }
        let next = self.next_step(&login, asked, key, answer).await?;
        Ok(reply(request_id, login, next))
    }

    /// What is counted about the tables whose entries are forgotten after a time.
    pub fn tables(&self) -> [Figures; 5] {
        let [refusals, throttles] = self.engine.tables();
        [self.recent.figures(), self.remembered.figures(), self.shown.figures(), refusals, throttles]
    }

    /// Refusals leave a whole number of beats after they came in, so that their time does not tell a user
    /// that exists from one that does not, nor one reason from another.
    pub async fn wait_for_the_next_beat(&self, begun: Duration) {
        let spent = self.clock.elapsed().saturating_sub(begun);
        let beats = spent.as_nanos() / REFUSAL_BEAT.as_nanos() + 1;
        let until = REFUSAL_BEAT.saturating_mul(u32::try_from(beats).unwrap_or(u32::MAX));
        self.metronome.wait(until.saturating_sub(spent)).await;
    }

    async fn first_step(&self, login: &Login) -> Result<Answer, DialogueError> {
        let (terms, mut demanded) = self.demanded(login, self.clock.now()).await;
        let asks_for_a_code = matches!(demanded, Demand::Code { .. } | Demand::Refused(_));
        if self.has_loss.load(Ordering::Relaxed) && !asks_for_a_code {
            return self.rule(login, &terms, Reason::StoreShort).await;
        }
        if let (Demand::Enrol, Ok(name), true) = (&demanded, login.user_name(), terms.may_show_secrets) {
            let enrolled = self.steward.enrol(name).await.map_err(|error| {
                tracing::error!(%error, user = ?login.user, "a user could not be enrolled");
                DialogueError::Unavailable
            })?;
            demanded = demand(Some(&enrolled), true, &terms, self.clock.now());
        }
        match demanded {
            Demand::Nothing(reason) => self.rule(login, &terms, reason).await,
            // What is refused is refused; nothing more is asked of the others.
            Demand::Code { .. }
            | Demand::Request { .. }
            | Demand::Secondary { .. }
            | Demand::Association { .. }
            | Demand::Enrolment { .. }
                if let Some(until) = login.offline_grant_until.filter(|until| *until > self.clock.now()) =>
            {
                let mut answer = self.rule(login, &terms, Reason::OfflineGrant).await?;
                answer.show.push(texts::access_until(until));
                Ok(answer)
            }
            Demand::Code { .. } if self.is_remembered(login) => {
                self.rule(login, &terms, Reason::Remembered).await
            }
            Demand::Code { leave } => self.ask_for_code(login, leave),
            Demand::Request { leave } => self.ask_for_issued_again(login, Vec::new(), leave.is_given()),
            Demand::Secondary { leave } => self.ask_for_person(login, leave.is_given()),
            // Whoever could enrol no more, and whom a rule refuses, is asked like everybody else.
            Demand::Refused(_) => match terms.settings.login_step.value {
                LoginStep::None | LoginStep::Token => self.ask_for_code(login, Leave::No),
                LoginStep::Request => self.ask_for_issued_again(login, Vec::new(), false),
                LoginStep::Secondary => self.ask_for_person(login, false),
            },
            Demand::Enrol | Demand::Closed => self.ask_for_code(login, Leave::No),
            Demand::Association { leave } => {
                self.ask(login, Vec::new(), texts::serial_question(leave.is_given()), Asked::Serial)
            }
            Demand::Enrolment { token, leave } => {
                let mut show = Vec::new();
                if terms.may_show_secrets {
                    show.push(self.enrolment_text(login, &token)?);
                    self.note_shown(login, &token).await?;
                }
                let grace = leave.is_given();
                let asked = Asked::Code { enrolling: Some(token.record.id), grace };
                self.ask(login, show, texts::code_question(grace), asked)
            }
        }
    }

    /// Puts on record that a secret was shown, and where: once a minute for each token and host. Without a record nothing
    /// is shown.
    async fn note_shown(&self, login: &Login, token: &Token) -> Result<(), DialogueError> {
        let host = login.host.as_ref().map(|host| host.id.bytes());
        let host = host.as_ref().map_or(&b"here"[..], |host| host);
        let shown = self.request_hasher.key(&[b"shown", &token.record.id.0.to_be_bytes(), host]);
        if !self.shown.is_first(shown, self.clock.elapsed(), SHOWN_EVERY) {
            return Ok(());
        }
        let noted = self.engine.note_shown(&Occasion::login(login.clone()), &token.record.serial).await;
        if noted {
            return Ok(());
        }
        self.shown.forget(&shown);
        Err(DialogueError::Unavailable)
    }

    /// Whether a code was accepted in this session of the terminal a moment ago, and still counts.
    fn is_remembered(&self, login: &Login) -> bool {
        if self.has_loss.load(Ordering::Relaxed) {
            return false;
        }
        let period = remembered_for(login.host.as_ref(), &login.service, &self.config.load()).value;
        let at = (!period.is_zero()).then(|| self.at_terminal(login)).flatten();
        at.is_some_and(|at| self.remembered.holds(at, self.clock.elapsed()))
    }

    /// Keeps in mind that a code was accepted, where that counts for a while.
    fn remember(&self, login: &Login) {
        let period = remembered_for(login.host.as_ref(), &login.service, &self.config.load()).value;
        if let Some(at) = (!period.is_zero()).then(|| self.at_terminal(login)).flatten() {
            self.remembered.keep(at, self.clock.elapsed(), period);
        }
    }

    fn at_terminal(&self, login: &Login) -> Option<AtTerminal> {
        let user = login.user_name().ok().and_then(|name| self.accounts.find(&name))?;
        AtTerminal::of(login, &user, &self.request_hasher)
    }

    /// Nothing is decided while a host has seen more than we know.
    async fn stand_still(&self, login: &Login) -> Result<Answer, DialogueError> {
        let occasion = Occasion::login(login.clone());
        self.conclude(login, &self.engine.record(&occasion, Ruling::new(Reason::StoreBehind)).await)
    }

    fn ask_for_code(&self, login: &Login, leave: Leave) -> Result<Answer, DialogueError> {
        let grace = leave.is_given();
        self.ask(login, Vec::new(), texts::code_question(grace), Asked::Code { enrolling: None, grace })
    }

    fn ask_for_person(&self, login: &Login, grace: bool) -> Result<Answer, DialogueError> {
        self.ask(login, Vec::new(), texts::login_question(grace), Asked::SecondaryLogin { grace })
    }

    /// Ends a login that no answer decides.
    async fn rule(&self, login: &Login, terms: &Terms, reason: Reason) -> Result<Answer, DialogueError> {
        let ruling = terms::ruling(terms, reason);
        self.conclude(login, &self.engine.record(&terms::occasion(login.clone(), terms), ruling).await)
    }

    fn conclude(&self, login: &Login, decision: &Decision) -> Result<Answer, DialogueError> {
        let reference = decision.reference.to_string();
        let person = decision.person.clone().filter(|_| decision.verdict == Verdict::Allow);
        let done = |show| Answer { show, next: Next::Done { verdict: decision.verdict, reference, person } };
        match decision.verdict {
            Verdict::Allow | Verdict::NotRequired => Ok(done(texts::welcome(decision).into_iter().collect())),
            Verdict::Deny | Verdict::Unavailable | Verdict::Unknown => {
                let config = self.config.load();
                let contact = config.offline.contact.clone().filter(|_| decision.reason == Reason::Throttled);
                let show = [texts::refusal(decision)].into_iter().chain(contact).collect();
                if !login.needs_question_after_text() {
                    return Ok(done(show));
                }
                let state =
                    State::refused(login.clone(), decision, self.clock.now()).seal(&self.state_sealer)?;
                let next = Next::Ask { state, questions: vec![texts::acknowledge_question()] };
                Ok(Answer { show, next })
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
        let user = login.user_name().map_err(|_| DialogueError::Malformed("not an account name"))?;
        let mut text = self.enrolment(&user, token, |enrolment| enrolment.text(login.columns))?;
        Ok(std::mem::take(&mut *text))
    }

    /// What an app of this user takes over of a token.
    ///
    /// # Errors
    /// When its secret cannot be unsealed.
    pub fn enrolment_key(&self, user: &UserName, token: &Token) -> Result<Key, DialogueError> {
        self.enrolment(user, token, |enrolment| enrolment.key())
    }

    fn enrolment<T>(
        &self,
        user: &UserName,
        token: &Token,
        told: impl FnOnce(Enrolment<'_>) -> T,
    ) -> Result<T, DialogueError> {
        let secret = token.record.secret(&self.token_sealer).map_err(|error| {
            tracing::error!(%error, "a token cannot be shown for enrolment");
            DialogueError::Unavailable
        })?;
        let config = self.config.load();
        let (issuer, host, parameters) = (&config.enrolment.issuer, &self.host, &token.parameters);
        Ok(told(Enrolment { issuer, user, host, secret, parameters, counter: token.value() }))
    }
}

fn reply(request_id: String, login: Login, answer: Answer) -> Reply {
    let Login { user, service, host, .. } = login;
    let Answer { show, next } = answer;
    let host = host.map(|host| host.id.to_string());
    Reply { api_version: wire::API_VERSION, request_id, user, service, host, show, next }
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
