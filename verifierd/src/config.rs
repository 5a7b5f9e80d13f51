//! The configuration: the file as written, and its checked form.
//!
//! All faults of a file are reported at once, each with its key, its value and what would be right. Secrets
//! are never in it, only the path of the file that holds one.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::files::{Access, OpenError, read_ours};

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
    /// Where the `postern` command asks.
    pub admin_socket: PathBuf,
    /// How users enrol.
    pub enrolment: Enrolment,
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
    /// Reads and checks a file.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let bytes = read_ours(path, Access::WrittenByUs)?;
        let fault = |fault: String| ConfigError::Content { path: path.into(), faults: Faults(vec![fault]) };
        let text = String::from_utf8(bytes).map_err(|_| fault("it is not UTF-8 text".into()))?;
        Self::parse(&text).map_err(|faults| ConfigError::Content { path: path.into(), faults })
    }

    /// Checks the text of a configuration.
    ///
    /// # Errors
    /// All faults that were found.
    pub fn parse(text: &str) -> Result<Self, Faults> {
        let raw: RawConfig = toml::from_str(text).map_err(|error| Faults(vec![error.to_string()]))?;
        raw.check()
    }

    /// The text of a file with every setting in effect.
    pub fn to_text(&self) -> String {
        toml::to_string(&RawConfig::from(self)).expect("a configuration holds only texts, paths and numbers")
    }

    /// Names the settings that a running daemon cannot take over from `newer`.
    pub fn needs_restart(&self, newer: &Self) -> Vec<&'static str> {
        [
            ("state_dir", self.state_dir != newer.state_dir),
            ("key_file", self.key_file != newer.key_file),
            ("sockets.login", self.login_socket != newer.login_socket),
            ("sockets.admin", self.admin_socket != newer.admin_socket),
        ]
        .into_iter()
        .filter_map(|(name, differs)| differs.then_some(name))
        .collect()
    }
}

/// The file as written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    version: u32,
    #[serde(default = "default_state_dir")]
    state_dir: PathBuf,
    key_file: Option<PathBuf>,
    #[serde(default)]
    on_unenrolled: OnUnenrolled,
    #[serde(default)]
    sockets: RawSockets,
    #[serde(default)]
    enrolment: RawEnrolment,
}

fn default_state_dir() -> PathBuf {
    "/var/lib/postern".into()
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawSockets {
    login: PathBuf,
    admin: PathBuf,
}

impl Default for RawSockets {
    fn default() -> Self {
        Self { login: wire::LOGIN_SOCKET.into(), admin: wire::ADMIN_SOCKET.into() }
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawEnrolment {
    issuer: String,
    grace: RawGrace,
    #[serde(with = "humantime_serde", skip_serializing_if = "Option::is_none")]
    grace_period: Option<Duration>,
    grace_logins: Option<u32>,
}

impl Default for RawEnrolment {
    fn default() -> Self {
        Self { issuer: "Postern".into(), grace: RawGrace::Unlimited, grace_period: None, grace_logins: None }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RawGrace {
    None,
    Limited,
    Unlimited,
}

impl From<&Config> for RawConfig {
    fn from(config: &Config) -> Self {
        let (grace, grace_period, grace_logins) = match config.enrolment.grace {
            Grace::None => (RawGrace::None, None, None),
            Grace::Unlimited => (RawGrace::Unlimited, None, None),
            Grace::Limited { period, logins } => (RawGrace::Limited, period, logins),
        };
        Self {
            version: 1,
            state_dir: config.state_dir.clone(),
            key_file: config.key_file.clone(),
            on_unenrolled: config.on_unenrolled,
            sockets: RawSockets { login: config.login_socket.clone(), admin: config.admin_socket.clone() },
            enrolment: RawEnrolment {
                issuer: config.enrolment.issuer.clone(),
                grace,
                grace_period,
                grace_logins,
            },
        }
    }
}

impl RawConfig {
    fn check(self) -> Result<Config, Faults> {
        let mut faults = Vec::new();
        if self.version != 1 {
            faults.push(format!("version = {}: this daemon reads version 1", self.version));
        }
        let paths = [
            ("state_dir", Some(&self.state_dir)),
            ("key_file", self.key_file.as_ref()),
            ("sockets.login", Some(&self.sockets.login)),
            ("sockets.admin", Some(&self.sockets.admin)),
        ];
        for (name, path) in paths {
            if let Some(path) = path.filter(|path| !path.is_absolute()) {
                faults.push(format!("{name} = {path:?}: an absolute path is needed"));
            }
        }
        if self.sockets.login == self.sockets.admin {
            faults.push("sockets.login and sockets.admin are the same path: two are needed".into());
        }
        let enrolment = self.enrolment.check(&mut faults);
        if !faults.is_empty() {
            return Err(Faults(faults));
        }
        Ok(Config {
            state_dir: self.state_dir,
            key_file: self.key_file,
            on_unenrolled: self.on_unenrolled,
            login_socket: self.sockets.login,
            admin_socket: self.sockets.admin,
            enrolment,
        })
    }
}

impl RawEnrolment {
    fn check(self, faults: &mut Vec<String>) -> Enrolment {
        let printable = self.issuer.chars().all(|c| (c.is_ascii_graphic() || c == ' ') && c != ':');
        if self.issuer.trim().is_empty() || self.issuer.len() > 32 || !printable {
            faults.push(format!(
                "enrolment.issuer = {:?}: 1 to 32 printable ASCII characters without a colon are needed",
                self.issuer
            ));
        }
        let limits = (self.grace_period, self.grace_logins);
        let grace = match (self.grace, limits) {
            (RawGrace::None, (None, None)) => Grace::None,
            (RawGrace::Unlimited, (None, None)) => Grace::Unlimited,
            (RawGrace::Limited, (None, None)) => {
                faults.push("enrolment.grace = \"limited\": grace_period or grace_logins is needed".into());
                Grace::None
            }
            (RawGrace::Limited, (period, logins)) => Grace::Limited { period, logins },
            (RawGrace::None | RawGrace::Unlimited, _) => {
                faults.push(
                    "enrolment.grace_period and grace_logins: these go with enrolment.grace = \"limited\" only".into(),
                );
                Grace::None
            }
        };
        Enrolment { issuer: self.issuer, grace }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let faults = Config::parse(text).expect_err(text).to_string();
        assert!(faults.contains(expected), "{faults:?} does not say {expected:?}");
    }

    // covers: I13
    #[test]
    fn a_configuration_that_says_only_its_version_has_the_safe_defaults() {
        let config = Config::parse("version = 1").unwrap();
        assert_eq!(config.on_unenrolled, OnUnenrolled::Deny);
        assert_eq!(config.login_socket, Path::new(wire::LOGIN_SOCKET));
        assert_eq!(config.enrolment, Enrolment { issuer: "Postern".into(), grace: Grace::Unlimited });
    }

    // covers: I13
    #[test]
    fn faults_name_the_key_the_value_and_what_would_be_right() {
        check("", "missing field `version`");
        check("version = 2", "version = 2: this daemon reads version 1");
        check("version = 1\nstate_dri = \"/x\"", "state_dri");
        check("version = 1\nstate_dir = \"x\"", "state_dir = \"x\": an absolute path is needed");
        check("version = 1\non_unenrolled = \"allow\"", "unknown variant `allow`");
        check("version = 1\n[enrolment]\ngrace = \"limited\"", "grace_period or grace_logins is needed");
        check("version = 1\n[enrolment]\ngrace_logins = 3", "go with enrolment.grace = \"limited\" only");
        check("version = 1\n[enrolment]\nissuer = \"a:b\"", "without a colon");
        check("version = 1\n[sockets]\nadmin = \"/run/postern/login.sock\"", "the same path");
    }

    #[test]
    fn all_faults_are_reported_at_once() {
        let faults = Config::parse("version = 3\nstate_dir = \"a\"\nkey_file = \"b\"").unwrap_err();
        assert_eq!(faults.0.len(), 3);
    }

    #[test]
    fn what_is_shown_is_a_configuration_with_the_same_settings() {
        for text in [
            "version = 1",
            "version = 1\nkey_file = \"/k\"\non_unenrolled = \"enroll\"\n[enrolment]\ngrace = \"none\"",
            "version = 1\n[enrolment]\ngrace = \"limited\"\ngrace_period = \"90m\"\ngrace_logins = 2",
        ] {
            let config = Config::parse(text).unwrap();
            assert_eq!(Config::parse(&config.to_text()).unwrap(), config);
        }
    }

    #[test]
    fn the_sample_file_is_a_configuration() {
        let sample = include_str!("../../systemd/verifierd.toml");
        Config::parse(sample).unwrap();
    }

    #[test]
    fn limited_grace_has_a_period_a_number_of_logins_or_both() {
        let text = "version = 1\n[enrolment]\ngrace = \"limited\"\ngrace_period = \"14d\"\ngrace_logins = 5";
        let grace = Config::parse(text).unwrap().enrolment.grace;
        assert_eq!(grace, Grace::Limited { period: Some(Duration::from_secs(14 * 86_400)), logins: Some(5) });
    }
}
