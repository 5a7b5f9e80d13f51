//! A service on a ledger in memory and a clock that stands, for the unit tests of this crate.

use std::collections::HashSet;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ledger::memory::MemoryLedger;
use ledger::{Ledger, StartState};
use otp_core::{Algorithm, Digits, OtpKey, SharedSecret, TimeInterval};

use wire::admin::EnrolWith;
use wire::login::{Begin, Continue, Next, Reply, Verdict};

use crate::accounts::{Actor, Factor, NewToken, Token, TokenParameters, UserName};
use crate::audit::{self, AuditRecord};
use crate::clock::{Clock, ManualClock};
use crate::config::Config;
use crate::dialogue::DialogueError;
use crate::keys::{MasterKey, random_bytes};
use crate::service::{Foundations, Service};

/// What is logged on this thread, at the finest level, until somebody looks.
pub struct Log {
    lines: Lines,
    _another: tracing::Dispatch,
    listening: tracing::subscriber::DefaultGuard,
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Log {
    pub fn listen() -> Self {
        let lines = Lines::default();
        let writer = lines.clone();
        // With only one listener the library asks nobody but the thread that comes to a line first, and remembers.
        let another = tracing::Dispatch::new(tracing_subscriber::registry());
        let format = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_ansi(false);
        let format = format.with_writer(move || writer.clone()).finish();
        Self { lines, _another: another, listening: tracing::subscriber::set_default(format) }
    }

    pub fn end(self) -> String {
        drop(self.listening);
        String::from_utf8_lossy(&self.lines.0.lock().unwrap()).into_owned()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The middle of a time step.
pub const NOON: u64 = 1_800_000_015;

/// Length of a step.
pub const STEP: Duration = Duration::from_secs(30);

/// A service and what a test needs to move it.
pub struct Trial {
    pub service: Service,
    pub ledger: Arc<MemoryLedger>,
    pub clock: Arc<ManualClock>,
    pub key_text: String,
    next_request: AtomicU64,
}

/// How a login ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    pub verdict: Verdict,
    pub reference: String,
    pub text: String,
}

/// A hardware token in somebody's hand.
pub struct Fob {
    pub serial: String,
    pub key: OtpKey,
    secret: [u8; 20],
    factor: Factor,
}

impl Fob {
    /// One that counts presses.
    pub fn hotp(serial: &str) -> Self {
        Self::new(serial, Factor::Counter)
    }

    /// One with a clock.
    pub fn totp(serial: &str) -> Self {
        Self::new(serial, Factor::Time(TimeInterval::THIRTY))
    }

    fn new(serial: &str, factor: Factor) -> Self {
        let secret: [u8; 20] = random_bytes().unwrap();
        let key = OtpKey::new(&SharedSecret::from_bytes(&secret).unwrap(), Algorithm::Sha1, Digits::SIX);
        Self { serial: serial.into(), key, secret, factor }
    }

    /// The code of a counter or time step.
    pub fn code(&self, factor: u64) -> String {
        self.key.value(factor).expose().to_string()
    }

    /// A code that is none of the next two thousand, nor of those before.
    pub fn wrong_code(&self) -> String {
        let near: HashSet<String> = (0..3_000).map(|factor| self.code(factor)).collect();
        (0..).map(|n| format!("{n:06}")).find(|code| !near.contains(code)).unwrap()
    }

    /// As it is added or imported.
    pub fn new_token(&self, user: Option<&str>) -> NewToken {
        NewToken {
            user: user.map(|user| UserName::new(user).unwrap()),
            serial: Some(self.serial.clone()),
            parameters: TokenParameters { factor: self.factor, ..TokenParameters::default() },
            secret: Some(SharedSecret::from_bytes(&self.secret).unwrap()),
            counter: 0,
        }
    }
}

/// A question that waits for its answer.
#[derive(Clone, Debug)]
pub struct Asked {
    pub state: String,
    pub show: String,
    pub question: String,
    pub empty_allowed: bool,
}

impl Trial {
    pub async fn new() -> Self {
        Self::with_config("version = 1").await
    }

    pub async fn with_config(config: &str) -> Self {
        let master = MasterKey::generate().unwrap();
        let key_text = master.to_file_text().to_string();
        let (ledger, clock) = (Arc::new(MemoryLedger::new()), Arc::new(ManualClock::at(NOON)));
        Self::start(ledger, clock, key_text, config, StartState::Clean).await
    }

    /// A new daemon on the same store, with another configuration.
    pub async fn restart_with(self, config: &str) -> Self {
        Self::start(self.ledger, self.clock, self.key_text, config, StartState::Clean).await
    }

    /// A new daemon with the same key on a store that is empty.
    pub async fn restart_empty(self) -> Self {
        self.restart_on(MemoryLedger::new(), "version = 1").await
    }

    /// A new daemon with the same key on another store.
    pub async fn restart_on(self, ledger: MemoryLedger, config: &str) -> Self {
        Self::start(Arc::new(ledger), self.clock, self.key_text, config, StartState::Clean).await
    }

    /// A new daemon on the same store, after a stop of this kind.
    pub async fn restart(self, state: StartState) -> Self {
        Self::start(self.ledger, self.clock, self.key_text, "version = 1", state).await
    }

    async fn start(
        ledger: Arc<MemoryLedger>,
        clock: Arc<ManualClock>,
        key_text: String,
        config: &str,
        state: StartState,
    ) -> Self {
        let foundations = Foundations {
            config: Config::parse(config).unwrap(),
            config_path: "/nonexistent".into(),
            master: MasterKey::parse(key_text.as_bytes()).unwrap(),
            clock: clock.clone(),
            host: "web-1".into(),
        };
        let service = Service::on_ledger(foundations, ledger.clone(), state).await.unwrap();
        // A daemon that starts again draws other request ids than the one before.
        let next_request = AtomicU64::new(clock.elapsed().as_secs() << 20);
        Self { service, ledger, clock, key_text, next_request }
    }

    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// Turns the demand on and returns the new secret's key, as the prompt shows it.
    pub async fn enrol(&self, user: &str) -> OtpKey {
        self.set_otp(user, true).await;
        let asked = self.ask(user, "sshd", None).await;
        secret_shown(&asked.show)
    }

    /// Enrols and shows the first code; the clock then stands one step later.
    pub async fn activate(&self, user: &str) -> OtpKey {
        let key = self.enrol(user).await;
        assert_eq!(self.login(user, "sshd", &self.code(&key, 0)).await.verdict, Verdict::Allow);
        self.advance(STEP);
        key
    }

    pub async fn set_otp(&self, user: &str, on: bool) {
        self.service
            .dialogue
            .steward
            .set_otp(UserName::new(user).unwrap(), on, EnrolWith::App, root())
            .await
            .unwrap();
    }

    /// Makes a token known; assigned where a user is named.
    pub async fn add(&self, fob: &Fob, user: Option<&str>) {
        self.service.dialogue.steward.add_token(fob.new_token(user), root()).await.unwrap();
    }

    /// The token with this serial number.
    pub fn token_of(&self, serial: &str) -> Arc<Token> {
        self.service.dialogue.accounts.find_by_serial(serial).expect("it is known")
    }

    /// Sends an answer that more questions follow.
    pub async fn go_on(&self, asked: &Asked, answer: &str) -> Asked {
        self::asked(self.proceed(&self.request_id(), &asked.state, answer).await.unwrap())
    }

    /// The reason of a refusal or an accept.
    pub fn reason(&self, end: &End) -> String {
        self.explain(&end.reference).reason
    }

    /// The first token of the first user.
    pub fn token(&self) -> Arc<Token> {
        Arc::clone(&self.service.dialogue.accounts.users()[0].tokens[0])
    }

    /// The code of the step `offset` steps from now.
    pub fn code(&self, key: &OtpKey, offset: i64) -> String {
        let step = (self.clock.now() / 30).checked_add_signed(offset).unwrap();
        key.value(step).expose().to_string()
    }

    /// Some code that is wrong now and stays so for the next steps.
    pub fn wrong_code(&self, key: &OtpKey) -> String {
        let near: Vec<_> = (-15..15).map(|offset| self.code(key, offset)).collect();
        (0..).map(|n| format!("{n:06}")).find(|code| !near.contains(code)).unwrap()
    }

    pub async fn begin(&self, user: &str, service: &str, rhost: Option<&str>) -> Reply {
        let begin = Begin {
            api_version: 1,
            request_id: self.request_id(),
            user: user.into(),
            service: service.into(),
            rhost: rhost.map(Into::into),
            ruser: None,
            tty: None,
            columns: None,
            session: None,
            offline_grant_until: None,
        };
        self.service.dialogue.begin(begin, None).await.unwrap()
    }

    /// Begins a login that must ask something.
    pub async fn ask(&self, user: &str, service: &str, rhost: Option<&str>) -> Asked {
        asked(self.begin(user, service, rhost).await)
    }

    pub async fn answer(&self, asked: &Asked, answer: &str) -> End {
        ended(self.proceed(&self.request_id(), &asked.state, answer).await.unwrap())
    }

    pub async fn proceed(&self, request_id: &str, state: &str, answer: &str) -> Result<Reply, DialogueError> {
        let request = Continue {
            api_version: 1,
            request_id: request_id.into(),
            state: state.into(),
            answers: vec![answer.into()],
        };
        self.service.dialogue.proceed(request, None).await
    }

    /// A whole login with one code, on the machine itself.
    pub async fn login(&self, user: &str, service: &str, code: &str) -> End {
        self.login_from(user, service, None, code).await
    }

    pub async fn login_from(&self, user: &str, service: &str, rhost: Option<&str>, code: &str) -> End {
        let asked = self.ask(user, service, rhost).await;
        self.answer(&asked, code).await
    }

    pub fn request_id(&self) -> String {
        format!("{:032x}", self.next_request.fetch_add(1, Ordering::SeqCst))
    }

    /// The whole audit trail, oldest first.
    pub fn audit(&self) -> Vec<AuditRecord> {
        self.ledger.audit_after(0, usize::MAX).unwrap().iter().map(audit::record).collect()
    }

    /// The record behind a reference.
    pub fn explain(&self, reference: &str) -> AuditRecord {
        self.audit().into_iter().rev().find(|record| record.reference == reference).expect("is recorded")
    }

    pub fn evaluated(&self) -> u64 {
        self.service.dialogue.engine.counters().codes_evaluated.load(Ordering::SeqCst)
    }
}

/// Who makes changes in these tests.
pub fn root() -> Actor {
    Actor::administrator("root")
}

pub fn asked(reply: Reply) -> Asked {
    match reply.next {
        Next::Ask { state, questions } => Asked {
            state,
            show: reply.show.join("\n"),
            question: questions[0].text.clone(),
            empty_allowed: questions[0].empty_allowed,
        },
        Next::Done { verdict, .. } => panic!("nothing is asked: {verdict:?}"),
    }
}

pub fn ended(reply: Reply) -> End {
    match reply.next {
        Next::Done { verdict, reference, .. } => End { verdict, reference, text: reply.show.join("\n") },
        Next::Ask { questions, .. } => panic!("more is asked: {questions:?}"),
    }
}

/// Reads the secret off the prompt, as a person would.
pub fn secret_shown(show: &str) -> OtpKey {
    let line = show.lines().find_map(|line| line.strip_prefix("Secret key: ")).expect("a secret is shown");
    OtpKey::new(&SharedSecret::from_base32(line).unwrap(), Algorithm::Sha1, Digits::SIX)
}
