//! The configuration: the file as written, and its checked form.
//!
//! All faults of a file are reported at once, each with its key, its value and what would be right. Secrets
//! are never in it, only the path of the file that holds one.
//!
//! | module | holds |
//! | --- | --- |
//! | `api` | the listener of the network |
//! | `audit` | where the audit trail goes, and how long it is kept |
//! | `directory` | the directory of persons |
//! | `fleet` | the listener of the fleet |
//! | `mail` | the mail server |
//! | `offline` | passwords that hosts check alone |
//! | `policy` | what holds at some hosts instead of the defaults, and the roll-out |
//! | `remember` | for how long a code given at a terminal counts |
//! | `requests` | what a login asks for, and the terms of issued passwords |
//! | `raw` | the file as written, and the checks that need nothing but the file |
//! | `roles` | which account has which role, by name and by uid |
//! | `rules` | access rules |
//! | `session` | what records sessions |
//! | `web` | the listener for browsers |
//! | `window` | times of the week |

mod api;
mod audit;
mod directory;
mod fleet;
mod mail;
mod offline;
mod policy;
mod raw;
mod remember;
mod requests;
mod roles;
mod rules;
mod session;
mod web;
mod window;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use wire::admin::EnrolWith;

pub use api::{ApiConfig, CertificateFiles};
pub use audit::{AuditConfig, KEPT_MIN, Retention};
pub use directory::{DirectoryAttributes, DirectoryConfig};
pub use fleet::{FleetConfig, NAMES_MAX};
pub use mail::{MailConfig, MailTls};
pub use offline::{Justification, OfflineConfig, UniversalVisibleTo};
pub use policy::{Lenience, Named, Overrides, Rollout};
pub use remember::{REMEMBER_MAX, Remember};
pub use requests::{LoginStep, Profile, RequestMode, RequestOverrides, Requesting, STRICT_TTL_MAX};
pub use roles::Roles;
pub use rules::{Rule, UnixGroup};
pub use session::SessionOverrides;
pub use web::{BaseUrl, WebConfig};
pub use window::Window;

use crate::accounts::number_of;
use crate::hosts::{GroupName, HostName};
use owned_files::{Access, OpenError, check_program, read_ours};
use raw::RawConfig;

/// Where the daemon looks when it is not told.
pub const DEFAULT_PATH: &str = "/etc/postern/verifierd.toml";

/// The checked configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Holds the store; made by `postern init`, mode 0700.
    pub state_dir: PathBuf,
    /// The file with the master key; a systemd credential is used where there is none.
    pub key_file: Option<PathBuf>,
    /// What happens to users that Postern has no record of.
    pub on_unenrolled: OnUnenrolled,
    /// Where the PAM module asks.
    pub login_socket: PathBuf,
    /// Where the `postern` command asks when root runs it.
    pub admin_socket: PathBuf,
    /// Where it asks when anybody else does.
    pub user_socket: PathBuf,
    /// Where programs of the network ask; nowhere, where there is none.
    pub api: Option<ApiConfig>,
    /// Where agents ask; nowhere, where there is none.
    pub fleet: Option<FleetConfig>,
    /// Where browsers ask; nowhere, where there is none.
    pub web: Option<WebConfig>,
    /// Where mails are handed in; none are sent, where there is none.
    pub mail: Option<MailConfig>,
    /// Where persons are looked up besides our own records; nowhere, where there is none.
    pub directory: Option<DirectoryConfig>,
    /// How users enrol.
    pub enrolment: Enrolment,
    /// How many counters a code of an event-based token is looked for at, the expected one counted in: 1 to
    /// [`otp_core::matching::LOOK_AHEAD_MAX`].
    pub look_ahead: u32,
    /// Whether a code is demanded also of users whose last token was taken away.
    pub require_token: bool,
    /// What a login asks for, and what holds of passwords that are issued on request.
    pub requests: Requesting,
    /// For how long a code given at a terminal counts, by service.
    pub remember: Remember,
    /// What records sessions.
    pub session: SessionOverrides,
    /// What holds of passwords that hosts check alone.
    pub offline: OfflineConfig,
    /// How far all this is enforced.
    pub rollout: Rollout,
    /// Access rules: the first that holds decides.
    pub rules: Vec<Rule>,
    /// What holds at the hosts of a group instead.
    pub groups: BTreeMap<GroupName, Overrides>,
    /// What holds at a host instead, its group or not.
    pub hosts: BTreeMap<HostName, Overrides>,
    /// Where the audit trail goes besides the store, and for how long it is kept.
    pub audit: AuditConfig,
    /// The program that is told of some events, an absolute path, and its arguments; nobody is told where
    /// there is none.
    pub notify: Option<Vec<String>>,
    /// What callers other than root may do.
    pub roles: Roles,
}

/// What happens to users that Postern has no record of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnUnenrolled {
    /// They are refused.
    #[default]
    Deny,
    /// Their next login enrols them.
    Enroll,
    /// Nothing is asked of them.
    Ignore,
}

/// How users enrol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrolment {
    /// The name that authenticator apps show, 1 to 32 printable characters without a colon.
    pub issuer: String,
    /// How a user without a token gets one, where nobody said otherwise for him.
    pub with: EnrolWith,
    /// How long after the demand was turned on he may enrol at the prompt; `None` without a limit.
    pub open_for: Option<Duration>,
    /// Whether he may enrol at the prompt of a host of the fleet too. That host, and whoever has taken it over, sees the
    /// secret, and can ask for it whether or not he logs in there.
    pub at_hosts: bool,
    /// Whether a user may still log in without a code before he has shown one.
    pub grace: Grace,
}

/// Whether a user may still log in without a code before he has shown one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grace {
    /// The first login needs a code.
    None,
    /// As long as he likes.
    Unlimited,
    /// Until the first of these is used up.
    Limited {
        /// Counted from when the demand was turned on.
        period: Option<Duration>,
        /// Logins without a code.
        logins: Option<u32>,
    },
}

/// What is wrong with the text as such, and in which line.
fn in_one_line(error: &toml::de::Error, text: &str) -> String {
    let at = error.span().map_or(0, |span| span.start.min(text.len()));
    let line = text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count();
    let written = text.lines().nth(line).unwrap_or_default().trim();
    format!("line {}, `{written}`: {}", line + 1, error.message().trim_end().replace('\n', ", "))
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot use the configuration")]
    File(#[from] OpenError),
    /// It says something wrong, or nothing that can be understood.
    #[error("{path} is not a configuration:\n{faults}")]
    Content {
        /// The file.
        path: PathBuf,
        /// Every fault found, one to a line.
        faults: Faults,
    },
}

/// Faults of a configuration file.
#[derive(Debug, PartialEq, Eq)]
pub struct Faults(Vec<String>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            &self.0.iter().map(|fault| format!("  {}", fault.trim_end())).collect::<Vec<_>>().join("\n"),
        )
    }
}

impl Config {
    /// Reads and checks a file, for use on this machine: roles have the uids of their accounts, and the
    /// program to be told is one that only we can change. May ask the name service; blocks.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let bytes = read_ours(path, Access::WrittenByUs)?;
        let content = |faults| ConfigError::Content { path: path.into(), faults };
        let text =
            String::from_utf8(bytes).map_err(|_| content(Faults(vec!["it is not UTF-8 text".into()])))?;
        let config =
            Self::parse(&text).and_then(|config| config.on_this_machine(roles::uid_of)).map_err(content)?;
        for absent in config.roles.absent() {
            tracing::warn!("{absent}: the role is nobody's");
        }
        for (place, group) in config.named_in_policy().unix_groups {
            if let Err(error) = number_of(&group) {
                tracing::warn!("{place}: {error}: whom the rule may concern is refused");
            }
        }
        Ok(config)
    }

    /// Checks the text of a configuration. Looks at nothing else: whoever has a role in it is still a user
    /// (see [`Config::load`]).
    ///
    /// # Errors
    /// All faults that were found.
    pub fn parse(text: &str) -> Result<Self, Faults> {
        let raw: RawConfig = toml::from_str(text).map_err(|error| Faults(vec![in_one_line(&error, text)]))?;
        raw.check()
    }

    /// Checks what only the machine can tell.
    fn on_this_machine(self, uid_of: impl Fn(&str) -> Result<Option<u32>, String>) -> Result<Self, Faults> {
        let mut faults = Vec::new();
        let roles = self.roles.resolve(uid_of, &mut faults);
        if let Some(program) = self.notify.as_ref().and_then(|command| command.first())
            && let Err(error) = check_program(Path::new(program))
        {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
            faults.push(format!("notify.command = {program:?}: {error}{}", cause.unwrap_or_default()));
        }
        if faults.is_empty() { Ok(Self { roles, ..self }) } else { Err(Faults(faults)) }
    }

    /// The text of a file with every setting in effect.
    pub fn to_text(&self) -> String {
        toml::to_string(&RawConfig::from(self)).expect("a configuration holds only texts, paths and numbers")
    }

    /// Names the settings that a running daemon cannot take over from `newer`.
    pub fn needs_restart(&self, newer: &Self) -> Vec<&'static str> {
        let listen = |config: &Self| config.api.as_ref().map(|api| api.listen);
        let web = |config: &Self| config.web.as_ref().map(|web| web.listen);
        let fleet =
            |config: &Self| config.fleet.as_ref().map(|fleet| (fleet.listen, fleet.authority.clone()));
        [
            ("state_dir", self.state_dir != newer.state_dir),
            ("key_file", self.key_file != newer.key_file),
            ("sockets.login", self.login_socket != newer.login_socket),
            ("sockets.admin", self.admin_socket != newer.admin_socket),
            ("sockets.user", self.user_socket != newer.user_socket),
            ("api.listen", listen(self) != listen(newer)),
            ("fleet", fleet(self) != fleet(newer)),
            ("web.listen", web(self) != web(newer)),
            ("directory", self.directory != newer.directory),
            ("audit.journald", self.audit.journald != newer.audit.journald),
            ("audit.json_lines", self.audit.json_lines != newer.audit.json_lines),
        ]
        .into_iter()
        .filter_map(|(name, differs)| differs.then_some(name))
        .collect()
    }
}

#[cfg(test)]
mod tests;
