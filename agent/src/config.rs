//! The configuration: the file as written, and its checked form.
//!
//! All faults of a file are reported at once, each with its key, its value and what would be right. No secret is ever
//! in it. The raw form mirrors the file, the checked one is right by construction.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use hyper::Uri;
use owned_files::{Access, OpenError, read_ours};
use rustls_pki_types::ServerName;
use serde::{Deserialize, Serialize};
use wire::fleet::FLEET_PORT;

/// Where the agent looks when it is not told.
pub const DEFAULT_PATH: &str = "/etc/postern/agent.toml";

/// Most verifiers that an agent may ask. Each gets its share of one deadline, and with more than this many the shares
/// are too small for a network across a continent.
pub const VERIFIERS_MAX: usize = 8;

/// Bounds of `timeout`, in seconds. The PAM module waits 20 s for a whole login (`WAITING_MAX` in pam-module).
const TIMEOUT_SECONDS: std::ops::RangeInclusive<u64> = 1..=19;

/// Inside the 5 s that the PAM module gives a reply unless it is told otherwise.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(4);

/// The checked configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Holds the host's key and certificate, mode 0700.
    pub state_dir: PathBuf,
    /// Whom to ask, in this order. Empty before anybody wrote it: then there is nothing to run.
    pub verifiers: Vec<VerifierAddress>,
    /// How long a request of the PAM module may take, over all verifiers.
    pub timeout: Duration,
    /// What happens when no verifier answers.
    pub on_unreachable: OnUnreachable,
    /// Where the PAM module asks.
    pub login_socket: PathBuf,
    /// Where the service of offline passwords is asked.
    pub offline_socket: PathBuf,
    /// Where it keeps its key and what was used; mode 0700.
    pub offline_dir: PathBuf,
    /// Where it notes how far that has come: a folder of its own, which no copy of the other one brings along.
    pub offline_note_dir: PathBuf,
}

/// What happens when no verifier answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnUnreachable {
    /// Logins are refused.
    #[default]
    Deny,
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
        let lines: Vec<String> = self.0.iter().map(|fault| format!("  {}", fault.trim_end())).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let bytes = read_ours(path, Access::WrittenByUs)?;
        let content = |faults| ConfigError::Content { path: path.into(), faults };
        let text =
            String::from_utf8(bytes).map_err(|_| content(Faults(vec!["it is not UTF-8 text".into()])))?;
        Self::parse(&text).map_err(content)
    }

    /// Checks the text of a configuration.
    ///
    /// # Errors
    /// All faults that were found.
    pub fn parse(text: &str) -> Result<Self, Faults> {
        let raw: RawConfig = toml::from_str(text).map_err(|error| Faults(vec![in_one_line(&error, text)]))?;
        raw.check()
    }

    /// The text of a file with every setting in effect.
    pub fn to_text(&self) -> String {
        toml::to_string(&RawConfig::from(self)).expect("a configuration holds only texts, paths and numbers")
    }
}

/// What is wrong with the text as such, and in which line.
fn in_one_line(error: &toml::de::Error, text: &str) -> String {
    let at = error.span().map_or(0, |span| span.start.min(text.len()));
    let line = text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count();
    let written = text.lines().nth(line).unwrap_or_default().trim();
    format!("line {}, `{written}`: {}", line + 1, error.message().trim_end().replace('\n', ", "))
}

/// The file as written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    version: u32,
    #[serde(default = "default_state_dir")]
    state_dir: PathBuf,
    #[serde(default)]
    verifiers: Vec<String>,
    #[serde(default = "default_timeout", with = "humantime_serde")]
    timeout: Duration,
    #[serde(default)]
    on_unreachable: OnUnreachable,
    #[serde(default)]
    sockets: RawSockets,
    #[serde(default)]
    offline: RawOffline,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawOffline {
    state_dir: PathBuf,
    note_dir: PathBuf,
}

impl Default for RawOffline {
    fn default() -> Self {
        Self {
            state_dir: "/var/lib/postern-offline".into(),
            note_dir: "/var/lib/postern-offline-note".into(),
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawSockets {
    login: PathBuf,
    offline: PathBuf,
}

impl Default for RawSockets {
    fn default() -> Self {
        Self { login: wire::LOGIN_SOCKET.into(), offline: "/run/postern-offline/offline.sock".into() }
    }
}

fn default_state_dir() -> PathBuf {
    "/var/lib/postern-agent".into()
}

fn default_timeout() -> Duration {
    TIMEOUT_DEFAULT
}

impl From<&Config> for RawConfig {
    fn from(config: &Config) -> Self {
        Self {
            version: 1,
            state_dir: config.state_dir.clone(),
            verifiers: config.verifiers.iter().map(ToString::to_string).collect(),
            timeout: config.timeout,
            on_unreachable: config.on_unreachable,
            sockets: RawSockets {
                login: config.login_socket.clone(),
                offline: config.offline_socket.clone(),
            },
            offline: RawOffline {
                state_dir: config.offline_dir.clone(),
                note_dir: config.offline_note_dir.clone(),
            },
        }
    }
}

impl RawConfig {
    fn check(self) -> Result<Config, Faults> {
        let mut faults = Vec::new();
        if self.version != 1 {
            faults.push(format!("version = {}: this agent reads version 1", self.version));
        }
        let paths = [
            ("state_dir", &self.state_dir),
            ("sockets.login", &self.sockets.login),
            ("sockets.offline", &self.sockets.offline),
            ("offline.state_dir", &self.offline.state_dir),
            ("offline.note_dir", &self.offline.note_dir),
        ];
        for (name, path) in paths {
            if !path.is_absolute() {
                faults.push(format!("{name} = {path:?}: an absolute path is needed"));
            }
        }
        let (seconds, odd) = (self.timeout.as_secs(), self.timeout.subsec_nanos());
        if !TIMEOUT_SECONDS.contains(&seconds) || (seconds == *TIMEOUT_SECONDS.end() && odd > 0) {
            let (least, most) = (TIMEOUT_SECONDS.start(), TIMEOUT_SECONDS.end());
            faults.push(format!("timeout = {:?}: {least}s to {most}s is needed", self.timeout));
        }
        let verifiers = check_verifiers(&self.verifiers, &mut faults);
        if !faults.is_empty() {
            return Err(Faults(faults));
        }
        Ok(Config {
            state_dir: self.state_dir,
            verifiers,
            timeout: self.timeout,
            on_unreachable: self.on_unreachable,
            login_socket: self.sockets.login,
            offline_socket: self.sockets.offline,
            offline_dir: self.offline.state_dir,
            offline_note_dir: self.offline.note_dir,
        })
    }
}

fn check_verifiers(texts: &[String], faults: &mut Vec<String>) -> Vec<VerifierAddress> {
    if texts.len() > VERIFIERS_MAX {
        faults.push(format!("verifiers: {} are named, at most {VERIFIERS_MAX} are asked", texts.len()));
    }
    let mut verifiers: Vec<VerifierAddress> = Vec::new();
    for text in texts {
        match text.parse() {
            Ok(address) if verifiers.contains(&address) => {
                faults.push(format!("verifiers: {address} is named twice"));
            }
            Ok(address) => verifiers.push(address),
            Err(error) => faults.push(format!("verifiers: {error}")),
        }
    }
    verifiers
}

/// Where a verifier listens to agents, and the name that its certificate must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierAddress {
    /// A DNS name or an address.
    host: ServerName<'static>,
    port: u16,
}

/// Not an address of a verifier.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no verifier: write https://NAME:PORT, where NAME is a DNS name or an address")]
pub struct AddressError {
    text: String,
}

impl FromStr for VerifierAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let error = || AddressError { text: text.to_owned() };
        let uri: Uri = text.parse().map_err(|_| error())?;
        let is_bare = uri.scheme_str() == Some("https")
            && uri.path() == "/"
            && uri.query().is_none()
            && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
        let host = uri.host().filter(|_| is_bare).ok_or_else(error)?;
        // The library takes a number that is no port for none.
        let port = match uri.authority().and_then(|authority| authority.as_str().strip_prefix(host)) {
            None | Some("") => FLEET_PORT,
            Some(_) => uri.port_u16().filter(|port| *port > 0).ok_or_else(error)?,
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        let host = ServerName::try_from(host).map_err(|_| error())?;
        Ok(Self { host, port })
    }
}

impl VerifierAddress {
    /// The name that the verifier's certificate must have.
    pub fn name(&self) -> &ServerName<'static> {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `NAME:PORT`, as HTTP writes it.
    pub fn authority(&self) -> String {
        match &self.host {
            ServerName::IpAddress(rustls_pki_types::IpAddr::V6(_)) => {
                format!("[{}]:{}", self.host.to_str(), self.port)
            }
            host => format!("{}:{}", host.to_str(), self.port),
        }
    }
}

impl fmt::Display for VerifierAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}", self.authority())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    const SAMPLE: &str = include_str!("../../systemd/agent.toml");

    fn check_fault(text: &str, expected: &str) {
        let faults = Config::parse(text).expect_err("must be refused").to_string();
        assert!(faults.contains(expected), "{faults:?} does not say {expected:?}");
    }

    #[test]
    fn the_sample_is_a_configuration_with_the_defaults() {
        let sample = Config::parse(SAMPLE).unwrap();
        let verifiers = sample.verifiers.clone();
        assert_eq!(verifiers.len(), 2);
        let least = Config { verifiers, ..Config::parse("version = 1\n").unwrap() };
        assert_eq!(sample, least);
        assert_eq!(Config::parse(&sample.to_text()).unwrap(), sample);
    }

    #[test]
    fn every_fault_is_told_at_once_with_what_would_be_right() {
        let text = "version = 2\nstate_dir = \"here\"\ntimeout = \"20s\"\nverifiers = [\"http://a\"]\n";
        for expected in [
            "version = 2: this agent reads version 1",
            "state_dir = \"here\": an absolute path is needed",
            "timeout = 20s: 1s to 19s is needed",
            "verifiers: \"http://a\" is no verifier: write https://NAME:PORT",
        ] {
            check_fault(text, expected);
        }
        check_fault("version = 1\nverifers = []\n", "unknown field `verifers`");
        check_fault("version = 1\non_unreachable = \"allow\"\n", "unknown variant `allow`");
        check_fault("version = 1\ntimeout = \"19s 1ms\"\n", "1s to 19s is needed");
        let twice = "version = 1\nverifiers = [\"https://a\", \"https://A:7443/\"]\n";
        check_fault(twice, "verifiers: https://a:7443 is named twice");
        let many: Vec<String> = (0..9).map(|number| format!("\"https://otp{number}\"")).collect();
        check_fault(&format!("version = 1\nverifiers = [{}]\n", many.join(", ")), "at most 8 are asked");
    }

    #[test]
    fn a_verifier_has_a_name_and_a_port_and_nothing_else() {
        let forms = [
            ("https://otp1.example.org", "https://otp1.example.org:7443"),
            ("https://OTP1.example.org:443/", "https://otp1.example.org:443"),
            ("https://192.0.2.5:7443", "https://192.0.2.5:7443"),
            ("https://[2001:db8::5]", "https://[2001:db8::5]:7443"),
        ];
        for (text, expected) in forms {
            assert_eq!(text.parse::<VerifierAddress>().unwrap().to_string(), expected);
        }
        let wrong = [
            "",
            "otp1.example.org",
            "https://",
            "http://otp1.example.org",
            "https://otp1.example.org/path",
            "https://otp1.example.org?x=y",
            "https://user@otp1.example.org",
            "https://otp1.example.org:70000",
            "https://otp1.example.org:0",
            "https://otp1.example.org:",
            "https://otp 1",
            "https://*.example.org",
        ];
        for text in wrong {
            assert!(text.parse::<VerifierAddress>().is_err(), "{text}");
        }
    }

    // covers: E25
    #[test]
    fn a_file_that_others_can_change_is_no_configuration() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.toml");
        std::fs::write(&path, "version = 1\n").unwrap();
        let check = |path: &Path, mode: u32, expected: &str| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
            match Config::load(path) {
                Ok(config) => assert_eq!((config.verifiers.len(), expected), (0, "")),
                Err(ConfigError::File(error)) => {
                    assert!(error.to_string().contains(expected) && !expected.is_empty(), "{error}");
                }
                Err(error) => panic!("{error}"),
            }
        };
        check(&path, 0o644, "");
        check(&path, 0o664, "take away 0020");
        check(&path, 0o646, "take away 0002");
        let link = folder.path().join("link.toml");
        symlink(&path, &link).unwrap();
        check(&link, 0o644, "symbolic link");
        assert!(matches!(Config::load(&folder.path().join("none")), Err(ConfigError::File(_))));
    }
}
