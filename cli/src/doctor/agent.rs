//! What `postern-agent` says about itself, on a host of a fleet, and what is wrong with it.
//!
//! It decides nothing, so it cannot say what is demanded of users: that is asked at the verifier.

use std::path::Path;

use serde::Deserialize;
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use super::demand::Demand;
use super::finding::{Code, Finding, Level};
use super::programs::{self, Checker};
use super::{REFUSED_CONFIGURATION, not_checked};

/// The agent's configuration.
pub const CONFIGURATION: &str = "/etc/postern/agent.toml";

/// The agent's program.
pub const PROGRAM: Checker =
    Checker { name: "postern-agent", installed: "/usr/sbin/postern-agent", is_for_root_alone: true };

/// The exit codes with which it says that a verifier answers, that none does, that no agent runs (docs/agent.md).
const READY: i32 = 0;
const NOT_READY: i32 = 7;
const NOT_RUNNING: i32 = 3;

/// With less than this left of its certificate something is wrong: it is renewed when half of a week is left.
const CERTIFICATE_LEFT_MIN: Duration = Duration::days(2);

/// Of `postern-agent status --json` what matters here; docs/agent.md has all of it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct AgentStatus {
    /// Whether a verifier answers.
    pub ready: bool,
    /// The host's name, once a verifier has told it.
    pub name: Option<String>,
    /// Until when the host's certificate is good, RFC 3339.
    pub certificate_until: String,
    /// The verifiers, in the order in which they are asked.
    pub verifiers: Vec<AskedVerifier>,
    /// How offline passwords stand; absent before the agent knows.
    #[serde(default)]
    pub offline: Option<OfflineStatus>,
}

impl AgentStatus {
    /// Whether an offline password would open this host now.
    fn asks_offline(&self) -> bool {
        !self.ready && self.offline.as_ref().is_some_and(|offline| offline.ready)
    }
}

/// How offline passwords stand.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct OfflineStatus {
    /// Whether one would be checked if no verifier answered.
    pub ready: bool,
    /// Why not; absent where they are turned off.
    pub problem: Option<String>,
}

/// How one verifier stands.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct AskedVerifier {
    /// Where.
    pub address: String,
    /// Whether a connection is open.
    pub connected: bool,
    /// Why it failed last; absent since it answered.
    pub problem: Option<String>,
}

/// Why there is no status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unasked {
    /// No agent answers; the text says how that showed.
    NotRunning(String),
    /// Nobody could ask it; the text says why.
    Unknown(String),
}

/// Asks the agent that runs, through the program that knows how.
pub async fn ask(configuration: &Path) -> Result<AgentStatus, Unasked> {
    if !rustix::process::geteuid().is_root() {
        return Err(Unasked::Unknown("only root may ask it".to_owned()));
    }
    let program = programs::beside_us(PROGRAM.name, PROGRAM.installed);
    let path = configuration.to_str().ok_or_else(|| Unasked::Unknown("its path is not UTF-8".to_owned()))?;
    let ended = programs::ended_by_itself(&program, &["status", "--json", "--config", path]).await;
    let ended = ended.map_err(Unasked::Unknown)?;
    understand(ended.code, &ended.stdout, ended.complaint())
}

/// What its exit code and its words mean.
fn understand(code: Option<i32>, stdout: &str, complaint: String) -> Result<AgentStatus, Unasked> {
    match code {
        Some(READY | NOT_READY) => {
            let unclear = |_| Unasked::Unknown("what it says is not understood".to_owned());
            serde_json::from_str(stdout).map_err(unclear)
        }
        Some(NOT_RUNNING) => Err(Unasked::NotRunning(complaint)),
        Some(REFUSED_CONFIGURATION) => {
            Err(Unasked::Unknown("with this configuration it cannot be asked".to_owned()))
        }
        _ => Err(Unasked::Unknown(complaint)),
    }
}

/// Why our line cannot ask through this agent; absent where it can, or where that is not known.
pub fn obstacle(answer: &Result<AgentStatus, Unasked>) -> Option<Demand> {
    let undecided = |why: &str| Some(Demand::Undecided(why.to_owned()));
    match answer {
        Err(Unasked::NotRunning(_)) => undecided("postern-agent does not answer"),
        Ok(status) if status.asks_offline() => {
            Some(Demand::Code("an offline password, since no verifier answers".to_owned()))
        }
        Ok(status) if !status.ready => undecided("no verifier answers"),
        Ok(_) | Err(Unasked::Unknown(_)) => None,
    }
}

/// Looks at what the agent said of itself. `is_asked`: whether any service asks it.
pub fn findings(answer: &Result<AgentStatus, Unasked>, is_asked: bool, now: OffsetDateTime) -> Vec<Finding> {
    let status = match answer {
        Ok(status) => status,
        Err(Unasked::NotRunning(why)) if is_asked => {
            let message = format!("every login that our line guards is refused: {why}");
            let remedy = "systemctl status postern-agent; journalctl -u postern-agent";
            return vec![Finding::new(Code::AgentUnreachable, message, remedy)];
        }
        Err(Unasked::NotRunning(why) | Unasked::Unknown(why)) => {
            return vec![not_checked(&format!("how the agent is: {why}"))];
        }
    };
    [verifiers(status), certificate(status, now), offline(status)].into_iter().flatten().collect()
}

fn verifiers(status: &AgentStatus) -> Option<Finding> {
    let failing = status.verifiers.iter().filter(|verifier| !verifier.connected);
    let causes: Vec<String> = failing
        .filter_map(|verifier| Some(format!("{}: {}", verifier.address, verifier.problem.as_ref()?)))
        .collect();
    let causes = causes.join("; ");
    let remedy = "`postern-agent status`; docs/agent.md says what to look at";
    match (status.ready, causes.is_empty()) {
        (true, true) => None,
        (true, false) => {
            let message = format!("a verifier answers, but another one does not: {causes}");
            Some(Finding::new(Code::AgentDegraded, message, remedy).at_level(Level::Warning))
        }
        (false, is_unnamed) => {
            let causes = if is_unnamed { "none has been heard yet" } else { &causes };
            let so = if status.asks_offline() {
                "only offline passwords get past our line"
            } else {
                "every login that our line guards is refused"
            };
            let message = format!("no verifier answers, so {so}: {causes}");
            Some(Finding::new(Code::AgentDegraded, message, remedy))
        }
    }
}

fn certificate(status: &AgentStatus, now: OffsetDateTime) -> Option<Finding> {
    let until = &status.certificate_until;
    let Ok(end) = OffsetDateTime::parse(until, &Rfc3339) else {
        return Some(not_checked("until when the host's certificate is good: the agent gives no such time"));
    };
    if end <= now {
        let message = format!("the host's certificate ended at {until}: every verifier refuses this host");
        let remedy =
            "`postern host enrol NAME --again` at the verifier, then `postern-agent join` here; or the clock";
        return Some(Finding::new(Code::AgentDegraded, message, remedy));
    }
    (end - now < CERTIFICATE_LEFT_MIN).then(|| {
        let message = format!("the host's certificate ends at {until} and was not renewed in time");
        let remedy = "`journalctl -u postern-agent` says why; the clocks of host and verifier";
        Finding::new(Code::AgentDegraded, message, remedy).at_level(Level::Warning)
    })
}

/// Nothing is wrong where they are turned off.
fn offline(status: &AgentStatus) -> Option<Finding> {
    let problem = status.offline.as_ref()?.problem.as_ref()?;
    let message = format!("should no verifier answer, no offline password would open this host: {problem}");
    let remedy = "systemctl status postern-offline; `postern-agent status`; docs/offline.md";
    Some(Finding::new(Code::OfflineUnready, message, remedy))
}

/// Says where it can be asked what users will meet.
pub fn decided_elsewhere(answer: &Result<AgentStatus, Unasked>) -> Finding {
    let host = answer.as_ref().ok().and_then(|status| status.name.as_deref()).unwrap_or("HOST");
    let message = "not looked at: what is demanded of users here, which the verifier decides";
    let remedy = format!(
        "at the verifier, `postern policy try --user NAME --host {host} --service SERVICE --from IP`"
    );
    Finding::new(Code::NotChecked, message, remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = r#"{"api_version":1,"kind":"agent_status","version":"0.1.0","ready":false,
        "host":"01234567-89ab-4cde-8f01-23456789abcd","name":null,"group":null,"clock_ahead_seconds":null,
        "certificate_until":"2026-12-02T09:14:51Z","verifiers":[{"address":"https://otp1.example.org:7443",
        "connected":false,"problem":"timed out","retry_in_ms":12000}],"later":"a field of a newer agent"}"#;

    #[test]
    fn the_exit_code_tells_whether_there_is_a_status() {
        for code in [0, 7] {
            let status = understand(Some(code), STATUS, String::new()).expect("a status");
            assert!(!status.ready && status.name.is_none(), "{status:?}");
            assert_eq!(status.verifiers[0].problem.as_deref(), Some("timed out"));
        }
        let asked = |code, stdout| understand(code, stdout, "its words".to_owned());
        assert_eq!(asked(Some(3), ""), Err(Unasked::NotRunning("its words".to_owned())));
        let unknown = [
            (Some(0), "{}", "what it says is not understood"),
            (Some(1), STATUS, "its words"),
            (Some(2), "", "with this configuration it cannot be asked"),
            (None, STATUS, "its words"),
        ];
        for (code, stdout, why) in unknown {
            assert_eq!(asked(code, stdout), Err(Unasked::Unknown(why.to_owned())), "{code:?}");
        }
    }
}
