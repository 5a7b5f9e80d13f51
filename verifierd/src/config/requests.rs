//! What a login asks for besides the user's own tokens, and the terms of passwords that are issued on request.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Shortest time that a request or a password may live: nobody reads a mail sooner.
const TTL_MIN: Duration = Duration::from_secs(60);

/// Longest time that a request may wait: over a weekend and a holiday.
const REQUEST_TTL_MAX: Duration = Duration::from_secs(7 * 86_400);

/// Longest time that an issued password may be usable: a working day and the night before it.
const PASSWORD_TTL_MAX: Duration = Duration::from_secs(86_400);

/// Longest time that a password may be usable in the strict profile. Source: NIST SP 800-63B-4, section 3.1.3.2, on
/// secrets that reach a person over another channel.
pub const STRICT_TTL_MAX: Duration = Duration::from_secs(600);

/// Most approvers in one place. Each gets a mail for each request.
const APPROVERS_MAX: usize = 32;

/// What a login asks for. One setting, so that no two of them can be on at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoginStep {
    /// Nothing.
    None,
    /// What the user's tokens demand.
    #[default]
    Token,
    /// A password that is issued on request.
    Request,
    /// Login name and password of the person.
    Secondary,
}

/// Who gets a password on request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestMode {
    /// Whom an approver approves.
    #[default]
    Approval,
    /// The directory's person whose account it is, at the address that the directory has.
    Directory,
    /// A person of Postern's own records, after his login name and password, at the address on record.
    Internal,
}

/// How an issued password reaches its person.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// By mail.
    #[default]
    Standard,
    /// His approver tells him, within [`STRICT_TTL_MAX`].
    Strict,
}

/// What holds of requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requesting {
    /// What a login asks for.
    pub login_step: LoginStep,
    /// Who gets a password on request.
    pub mode: RequestMode,
    /// Logins of the persons who decide.
    pub approvers: Vec<String>,
    /// How long a request waits for a decision.
    pub request_ttl: Duration,
    /// How long an issued password is usable.
    pub password_ttl: Duration,
    /// How it reaches its person.
    pub profile: Profile,
}

/// The spec's half hour: long enough for a mail and somebody who reads it, short enough to be of no use tomorrow.
const TTL: Duration = Duration::from_secs(1_800);

impl Default for Requesting {
    fn default() -> Self {
        Self {
            login_step: LoginStep::default(),
            mode: RequestMode::default(),
            approvers: Vec::new(),
            request_ttl: TTL,
            password_ttl: TTL,
            profile: Profile::default(),
        }
    }
}

/// What holds of requests at some hosts; `None` where they say nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestOverrides {
    /// See [`Requesting::login_step`].
    pub login_step: Option<LoginStep>,
    /// See [`Requesting::mode`].
    pub mode: Option<RequestMode>,
    /// See [`Requesting::approvers`].
    pub approvers: Option<Vec<String>>,
    /// See [`Requesting::request_ttl`].
    pub request_ttl: Option<Duration>,
    /// See [`Requesting::password_ttl`].
    pub password_ttl: Option<Duration>,
    /// See [`Requesting::profile`].
    pub profile: Option<Profile>,
}

/// The same as written: keys of `[access]`, `[group.NAME]` and `[host.NAME]`.
#[derive(Clone, Debug, Default)]
pub(super) struct RawRequesting {
    pub(super) login_step: Option<LoginStep>,
    pub(super) request_mode: Option<RequestMode>,
    pub(super) approvers: Option<Vec<String>>,
    pub(super) request_ttl: Option<Duration>,
    pub(super) password_ttl: Option<Duration>,
    pub(super) profile: Option<Profile>,
}

impl RawRequesting {
    /// * `table`: as the file calls it, such as `group.web`.
    pub(super) fn check(self, table: &str, faults: &mut Vec<String>) -> RequestOverrides {
        let Self { login_step, request_mode: mode, approvers, request_ttl, password_ttl, profile } = self;
        check_ttl(table, "request_ttl", request_ttl, REQUEST_TTL_MAX, faults);
        check_ttl(table, "password_ttl", password_ttl, PASSWORD_TTL_MAX, faults);
        if profile == Some(Profile::Strict) && password_ttl.is_some_and(|ttl| ttl > STRICT_TTL_MAX) {
            faults.push(format!("{table}.password_ttl: at most \"10m\" goes with profile = \"strict\""));
        }
        if let Some(approvers) = &approvers {
            check_approvers(table, approvers, faults);
        }
        RequestOverrides { login_step, mode, approvers, request_ttl, password_ttl, profile }
    }
}

impl From<RequestOverrides> for RawRequesting {
    fn from(said: RequestOverrides) -> Self {
        let RequestOverrides { login_step, mode, approvers, request_ttl, password_ttl, profile } = said;
        Self { login_step, request_mode: mode, approvers, request_ttl, password_ttl, profile }
    }
}

impl From<RequestOverrides> for Requesting {
    fn from(said: RequestOverrides) -> Self {
        let default = Self::default();
        let profile = said.profile.unwrap_or(default.profile);
        let longest = if profile == Profile::Strict { STRICT_TTL_MAX } else { PASSWORD_TTL_MAX };
        Self {
            login_step: said.login_step.unwrap_or(default.login_step),
            mode: said.mode.unwrap_or(default.mode),
            approvers: said.approvers.unwrap_or(default.approvers),
            request_ttl: said.request_ttl.unwrap_or(default.request_ttl),
            password_ttl: said.password_ttl.unwrap_or(default.password_ttl.min(longest)),
            profile,
        }
    }
}

impl From<Requesting> for RequestOverrides {
    fn from(all: Requesting) -> Self {
        let Requesting { login_step, mode, approvers, request_ttl, password_ttl, profile } = all;
        Self {
            login_step: Some(login_step),
            mode: Some(mode),
            approvers: Some(approvers),
            request_ttl: Some(request_ttl),
            password_ttl: Some(password_ttl),
            profile: Some(profile),
        }
    }
}

fn check_ttl(table: &str, key: &str, ttl: Option<Duration>, most: Duration, faults: &mut Vec<String>) {
    let written = |ttl| humantime_serde::re::humantime::format_duration(ttl).to_string();
    if let Some(ttl) = ttl.filter(|ttl| !(TTL_MIN..=most).contains(ttl)) {
        faults.push(format!(
            "{table}.{key} = \"{}\": \"{}\" to \"{}\" is needed",
            written(ttl),
            written(TTL_MIN),
            written(most)
        ));
    }
}

fn check_approvers(table: &str, approvers: &[String], faults: &mut Vec<String>) {
    if approvers.len() > APPROVERS_MAX {
        faults.push(format!("{table}.approvers: at most {APPROVERS_MAX} persons decide in one place"));
    }
    for (place, login) in approvers.iter().enumerate() {
        if login.is_empty() || !login.chars().all(|letter| letter.is_ascii_graphic()) {
            faults.push(format!(
                "{table}.approvers: {login:?} is no login name of a person, such as \"carol\""
            ));
        } else if approvers[..place].contains(login) {
            faults.push(format!("{table}.approvers: {login:?} stands there twice"));
        }
    }
}
