//! What serves the login socket of this machine: `verifierd`, or a fleet host's agent, which asks one elsewhere.

use std::path::Path;

use super::agent::{self, AgentStatus, Unasked};
use super::configuration;
use super::daemon::Daemon;

/// Who it is, with what it said.
pub enum Server {
    /// Decides here.
    Verifierd(Box<Daemon>),
    /// Asks a verifier.
    Agent(Result<AgentStatus, Unasked>),
}

impl Server {
    /// The program's name.
    pub fn program(&self) -> &'static str {
        match self {
            Self::Verifierd(_) => "verifierd",
            Self::Agent(_) => "postern-agent",
        }
    }

    /// The unit that makes the login socket.
    pub fn socket_unit(&self) -> &'static str {
        match self {
            Self::Verifierd(_) => "postern-login.socket",
            Self::Agent(_) => "postern-agent.socket",
        }
    }

    /// What comes of it where this server does not serve.
    pub fn refusals(&self) -> &'static str {
        match self {
            Self::Verifierd(_) => "every login that needs a code is refused",
            Self::Agent(_) => "every login that our line guards is refused",
        }
    }

    /// What a state folder holds that is for root alone.
    pub fn holdings(&self) -> &'static str {
        match self {
            Self::Verifierd(_) => "the store's folder",
            Self::Agent(_) => "the folder of the host's key",
        }
    }

    /// The answers of `verifierd`, where it serves here.
    pub fn daemon(&self) -> Option<&Daemon> {
        match self {
            Self::Verifierd(daemon) => Some(daemon),
            Self::Agent(_) => None,
        }
    }
}

/// Whether the machine below `root` is a host of a fleet: the agent's configuration is there, `verifierd`'s is not.
pub fn is_host(root: &Path) -> bool {
    let is_there = |path: &str| root.join(path.trim_start_matches('/')).try_exists();
    matches!(is_there(agent::CONFIGURATION), Ok(true))
        && matches!(is_there(configuration::CONFIGURATION), Ok(false))
}
