//! How the agent is: asked on its own login socket, by root.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use wire::API_VERSION;

use crate::VERSION;
use crate::clock::UnixTime;
use crate::clocks::{self, ClockFault};
use crate::identity::Identity;
use crate::offline::keeper::Standing;
use crate::verifiers::Verifiers;

/// Where it is asked.
pub const PATH: &str = "/v1/agent/status";

/// How long an agent may take to say how it is. It looks at nothing but its own memory.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// How the agent is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// [`API_VERSION`].
    pub api_version: u16,
    /// Always `agent_status`.
    pub kind: String,
    /// The agent's version.
    pub version: String,
    /// Whether a verifier answers and decides.
    pub ready: bool,
    /// Why the verifier that answers decides nothing, in its own words.
    #[serde(default)]
    pub standing_still: Option<String>,
    /// The host's id.
    pub host: String,
    /// The host's name, once a verifier has told it.
    pub name: Option<String>,
    /// Its group, where it is in one.
    pub group: Option<String>,
    /// How far its clock is ahead of the verifier's, in seconds, when it was compared last.
    pub clock_ahead_seconds: Option<i64>,
    /// Whose clock seems to be off, the host's or a verifier's, in words; absent while they agree.
    #[serde(default)]
    pub clock_fault: Option<String>,
    /// Until when the certificate is good, RFC 3339 in UTC.
    pub certificate_until: String,
    /// How the host stands to its offline passwords; absent before that was asked.
    #[serde(default)]
    pub offline: Option<OfflineStatus>,
    /// The verifiers, in the order in which they are asked.
    pub verifiers: Vec<VerifierStatus>,
}

/// How the host stands to its offline passwords.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfflineStatus {
    /// Whether a password would be checked if no verifier answered.
    pub ready: bool,
    /// Why not, in words; absent where it would, or where they are turned off.
    #[serde(default)]
    pub problem: Option<String>,
    /// The number of the key that it has.
    #[serde(default)]
    pub key: Option<u32>,
    /// How many uses no verifier has heard of.
    pub uses_to_tell: u32,
    /// Until when a password that was used lets somebody in, whatever the verifiers' policy asks now; RFC 3339 in UTC.
    #[serde(default)]
    pub frozen_until: Option<String>,
}

impl From<OfflineTold> for OfflineStatus {
    fn from(told: OfflineTold) -> Self {
        let standing = match told {
            OfflineTold::Stands(standing) => standing,
            OfflineTold::Silent => {
                let problem = Some("postern-offline.service does not answer".to_owned());
                return Self { ready: false, problem, key: None, uses_to_tell: 0, frozen_until: None };
            }
        };
        Self {
            ready: standing.is_enabled && standing.epoch.is_some(),
            problem: standing.fault.filter(|_| standing.is_enabled),
            key: standing.epoch,
            uses_to_tell: u32::try_from(standing.uses.len()).unwrap_or(u32::MAX),
            frozen_until: standing.frozen_until.map(rfc3339),
        }
    }
}

/// What was heard of offline passwords last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OfflineTold {
    /// How they stand.
    Stands(Standing),
    /// The service does not answer.
    Silent,
}

/// How one verifier stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifierStatus {
    /// Where.
    pub address: String,
    /// Whether a connection is open.
    pub connected: bool,
    /// Why it failed last; absent since it answered.
    pub problem: Option<String>,
    /// Milliseconds until it is tried again.
    pub retry_in_ms: u64,
    /// How far the host's clock was ahead of its own, in seconds, when it said its time last; absent before.
    #[serde(default)]
    pub clock_ahead_seconds: Option<i64>,
}

/// What verifiers have told the host about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Its name.
    pub name: Option<String>,
    /// Its group.
    pub group: Option<String>,
    /// How far its clock is ahead, in seconds.
    pub clock_ahead_seconds: Option<i64>,
    /// The same of each verifier that has answered, in their order.
    pub clocks: Vec<Option<i64>>,
    /// What was logged about them last.
    pub clock_fault: Option<ClockFault>,
    /// Whether the last report was answered.
    pub is_answered: bool,
    /// Why the verifier decides nothing, as it said when it answered last.
    pub standing_still: Option<String>,
    /// What was heard of offline passwords last.
    pub offline: Option<OfflineTold>,
}

/// Says how the agent is.
#[derive(Clone, Debug)]
pub struct Reporter {
    /// Who we are.
    pub identity: Arc<ArcSwap<Identity>>,
    /// What we were told. Locked for a look or a change.
    pub told: Arc<Mutex<Told>>,
}

impl Reporter {
    /// At this moment.
    pub fn status(&self, verifiers: &Verifiers) -> Status {
        let identity = self.identity.load();
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let verifiers: Vec<_> = verifiers
            .stands()
            .into_iter()
            .enumerate()
            .map(|(number, stand)| VerifierStatus {
                address: stand.address,
                connected: stand.is_connected,
                problem: stand.problem,
                retry_in_ms: u64::try_from(stand.rests_for.as_millis()).unwrap_or(u64::MAX),
                clock_ahead_seconds: told.clocks.get(number).copied().flatten(),
            })
            .collect();
        let place = |number: usize| verifiers[number].address.clone();
        let clock_fault = clock_words(clocks::judge(&told.clocks), &told.clocks, place);
        let is_well = |verifier: &VerifierStatus| verifier.connected && verifier.problem.is_none();
        let is_decided = told.is_answered && told.standing_still.is_none();
        Status {
            api_version: API_VERSION,
            kind: "agent_status".into(),
            version: VERSION.into(),
            ready: is_decided && verifiers.iter().any(is_well),
            standing_still: told.standing_still.filter(|_| told.is_answered),
            host: identity.host.clone(),
            name: told.name,
            group: told.group,
            clock_ahead_seconds: told.clock_ahead_seconds,
            clock_fault,
            certificate_until: rfc3339(identity.not_after),
            offline: told.offline.map(Into::into),
            verifiers,
        }
    }
}

/// Whose clock is off, in one line.
///
/// * `ahead`: how far the host's is ahead of each verifier's.
/// * `place`: where a verifier is.
pub fn clock_words(
    fault: Option<ClockFault>,
    ahead: &[Option<i64>],
    place: impl Fn(usize) -> String,
) -> Option<String> {
    Some(match fault? {
        ClockFault::Verifier(number) => {
            let ahead = ahead.get(number).copied().flatten().unwrap_or_default();
            let direction = if ahead > 0 { "behind" } else { "ahead" };
            let seconds = ahead.unsigned_abs();
            format!(
                "the clock of the verifier {} is {seconds} s {direction}, and another agrees with this host's",
                place(number)
            )
        }
        ClockFault::Host => "this host's clock is off: the verifiers' agree with each other".into(),
        ClockFault::Unclear => {
            "the clocks of this host and of its verifiers differ, and which is right is not known".into()
        }
    })
}

/// Why nobody said how the agent is.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody answers.
    #[error("no agent answers at {socket}: start it with `systemctl start postern-agent`")]
    NotRunning {
        /// The socket.
        socket: String,
        /// Why.
        source: std::io::Error,
    },
    /// Something else answers.
    #[error("what answers at {socket} is not an agent; `postern status` asks a verifier")]
    NotAnAgent {
        /// The socket.
        socket: String,
    },
}

/// Asks the agent that runs. Blocks, for a few seconds at most.
///
/// # Errors
/// See [`AskError`].
pub fn ask(socket: &Path) -> Result<Status, AskError> {
    let place = || socket.display().to_string();
    let answer = exchange(socket).map_err(|source| AskError::NotRunning { socket: place(), source })?;
    let body = answer.windows(4).position(|window| window == b"\r\n\r\n").map(|at| &answer[at + 4..]);
    let not_an_agent = || AskError::NotAnAgent { socket: place() };
    serde_json::from_slice(body.ok_or_else(not_an_agent)?).map_err(|_| not_an_agent())
}

fn exchange(socket: &Path) -> std::io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
    let request = format!("GET {PATH} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(wire::BODY_BYTES_MAX as u64).read_to_end(&mut answer)?;
    Ok(answer)
}

/// A moment as people and programs read it.
pub fn rfc3339(at: UnixTime) -> String {
    i64::try_from(at)
        .ok()
        .and_then(|at| OffsetDateTime::from_unix_timestamp(at).ok())
        .and_then(|at| at.format(&Rfc3339).ok())
        .unwrap_or_else(|| at.to_string())
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ready = match (self.ready, &self.standing_still) {
            (true, _) => "a verifier answers",
            (false, Some(_)) => "THE VERIFIER DECIDES NOTHING: logins are refused",
            (false, None) => "NO VERIFIER DECIDES FOR THIS HOST: logins are refused",
        };
        writeln!(f, "postern-agent {}: {ready}", self.version)?;
        if let Some(why) = &self.standing_still {
            writeln!(f, "verifier     {}", printable(why))?;
        }
        writeln!(
            f,
            "host         {} ({})",
            printable(self.name.as_deref().unwrap_or("not told yet")),
            self.host
        )?;
        writeln!(f, "group        {}", printable(self.group.as_deref().unwrap_or("none")))?;
        writeln!(f, "certificate  until {}", self.certificate_until)?;
        if let Some(ahead) = self.clock_ahead_seconds {
            writeln!(f, "clock        {ahead} s ahead of the verifier's")?;
        }
        if let Some(fault) = &self.clock_fault {
            writeln!(f, "clocks       {}", printable(fault))?;
        }
        if let Some(offline) = &self.offline {
            writeln!(f, "offline      {}", printable(&offline.told()))?;
        }
        for verifier in &self.verifiers {
            let state = match (verifier.connected, &verifier.problem) {
                (true, None) => "connected".to_owned(),
                (true, Some(problem)) => format!("connected, but {problem}"),
                (false, None) => "not connected".to_owned(),
                (false, Some(problem)) => {
                    format!("{problem}; tried again in {} s", verifier.retry_in_ms.div_ceil(1_000))
                }
            };
            writeln!(f, "verifier     {}: {}", verifier.address, printable(&state))?;
        }
        Ok(())
    }
}

impl OfflineStatus {
    fn told(&self) -> String {
        let state = match (self.ready, &self.problem) {
            (true, _) => "a password would be checked".to_owned(),
            (false, Some(problem)) => format!("NO PASSWORD WOULD BE CHECKED: {problem}"),
            (false, None) => "turned off".to_owned(),
        };
        match &self.frozen_until {
            Some(until) => format!("{state}; frozen until {until}"),
            None => state,
        }
    }
}

/// What others chose draws nothing on a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { '?' } else { character }).collect()
}
