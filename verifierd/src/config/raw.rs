//! The file as written, and the checks that need nothing but the file.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use otp_core::matching::LOOK_AHEAD_MAX;
use serde::{Deserialize, Serialize};
use wire::admin::{EnrolWith, RolloutMode};

use super::api::RawApi;
use super::audit::RawAudit;
use super::directory::RawDirectory;
use super::fleet::RawFleet;
use super::mail::RawMail;
use super::offline::OfflineConfig;
use super::policy::{RawPlaces, check_places, check_rollout, raw_places};
use super::remember::{RawRemember, check_remember, written};
use super::requests::{LoginStep, Profile, RawRequesting, RequestMode, RequestOverrides, Requesting};
use super::roles::RawRoles;
use super::rules::{RawRule, check_rules};
use super::session::RawSession;
use super::web::RawWeb;
use super::{Config, Enrolment, Faults, Grace, OnUnenrolled};
use crate::hosts::{GroupName, HostName};

/// The file as written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawConfig {
    version: u32,
    #[serde(default = "default_state_dir")]
    state_dir: PathBuf,
    key_file: Option<PathBuf>,
    #[serde(default)]
    on_unenrolled: OnUnenrolled,
    #[serde(default)]
    sockets: RawSockets,
    #[serde(skip_serializing_if = "Option::is_none")]
    api: Option<RawApi>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fleet: Option<RawFleet>,
    #[serde(skip_serializing_if = "Option::is_none")]
    web: Option<RawWeb>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mail: Option<RawMail>,
    #[serde(skip_serializing_if = "Option::is_none")]
    directory: Option<RawDirectory>,
    #[serde(default)]
    enrolment: RawEnrolment,
    #[serde(default)]
    token: RawToken,
    #[serde(default)]
    access: RawAccess,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    remember: RawRemember,
    #[serde(default, skip_serializing_if = "RawSession::says_nothing")]
    session: RawSession,
    #[serde(default)]
    offline: OfflineConfig,
    #[serde(default)]
    audit: RawAudit,
    #[serde(default)]
    notify: RawNotify,
    #[serde(default)]
    roles: RawRoles,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    group: RawPlaces,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    host: RawPlaces,
}

fn default_state_dir() -> PathBuf {
    "/var/lib/postern".into()
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawSockets {
    login: PathBuf,
    admin: PathBuf,
    user: PathBuf,
}

impl Default for RawSockets {
    fn default() -> Self {
        Self {
            login: wire::LOGIN_SOCKET.into(),
            admin: wire::ADMIN_SOCKET.into(),
            user: wire::USER_SOCKET.into(),
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawEnrolment {
    issuer: String,
    with: EnrolWith,
    #[serde(with = "humantime_serde", skip_serializing_if = "Option::is_none")]
    open_for: Option<Duration>,
    at_hosts: bool,
    grace: RawGrace,
    #[serde(with = "humantime_serde", skip_serializing_if = "Option::is_none")]
    grace_period: Option<Duration>,
    grace_logins: Option<u32>,
}

impl Default for RawEnrolment {
    fn default() -> Self {
        Self {
            issuer: "Postern".into(),
            with: EnrolWith::App,
            open_for: None,
            at_hosts: false,
            grace: RawGrace::Unlimited,
            grace_period: None,
            grace_logins: None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RawGrace {
    None,
    Limited,
    Unlimited,
}

impl RawGrace {
    /// A grace, its period and its logins, as written.
    pub(super) fn parts(grace: Grace) -> (Self, Option<Duration>, Option<u32>) {
        match grace {
            Grace::None => (Self::None, None, None),
            Grace::Unlimited => (Self::Unlimited, None, None),
            Grace::Limited { period, logins } => (Self::Limited, period, logins),
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawToken {
    /// Wide enough for every number a file can hold, so that the fault names the number.
    look_ahead: i128,
}

impl Default for RawToken {
    /// Nine presses in a pocket are absorbed.
    fn default() -> Self {
        Self { look_ahead: 10 }
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawAccess {
    require_token: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    login_step: Option<LoginStep>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_mode: Option<RequestMode>,
    #[serde(skip_serializing_if = "Option::is_none")]
    approvers: Option<Vec<String>>,
    #[serde(with = "humantime_serde", skip_serializing_if = "Option::is_none")]
    request_ttl: Option<Duration>,
    #[serde(with = "humantime_serde", skip_serializing_if = "Option::is_none")]
    password_ttl: Option<Duration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<Profile>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rollout: Option<RolloutMode>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rollout_until: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rule: Vec<RawRule>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawNotify {
    command: Option<Vec<String>>,
}

impl From<&Config> for RawConfig {
    fn from(config: &Config) -> Self {
        let enrolment = &config.enrolment;
        let (grace, grace_period, grace_logins) = RawGrace::parts(enrolment.grace);
        let requests = RawRequesting::from(RequestOverrides::from(config.requests.clone()));
        Self {
            version: 1,
            state_dir: config.state_dir.clone(),
            key_file: config.key_file.clone(),
            on_unenrolled: config.on_unenrolled,
            sockets: RawSockets {
                login: config.login_socket.clone(),
                admin: config.admin_socket.clone(),
                user: config.user_socket.clone(),
            },
            api: config.api.as_ref().map(RawApi::from),
            fleet: config.fleet.as_ref().map(RawFleet::from),
            web: config.web.as_ref().map(RawWeb::from),
            mail: config.mail.as_ref().map(RawMail::from),
            directory: config.directory.as_ref().map(RawDirectory::from),
            enrolment: RawEnrolment {
                issuer: enrolment.issuer.clone(),
                with: enrolment.with,
                open_for: enrolment.open_for,
                at_hosts: enrolment.at_hosts,
                grace,
                grace_period,
                grace_logins,
            },
            token: RawToken { look_ahead: config.look_ahead.into() },
            access: RawAccess {
                require_token: config.require_token,
                login_step: requests.login_step,
                request_mode: requests.request_mode,
                approvers: requests.approvers,
                request_ttl: requests.request_ttl,
                password_ttl: requests.password_ttl,
                profile: requests.profile,
                rollout: Some(config.rollout.mode()),
                rollout_until: config.rollout.until(),
                rule: config.rules.iter().map(RawRule::from).collect(),
            },
            remember: written(&config.remember),
            session: RawSession::from(config.session.clone()),
            offline: config.offline.clone(),
            audit: RawAudit::from(&config.audit),
            notify: RawNotify { command: config.notify.clone() },
            roles: RawRoles::from(&config.roles),
            group: raw_places(&config.groups),
            host: raw_places(&config.hosts),
        }
    }
}

impl RawConfig {
    pub(super) fn check(self) -> Result<Config, Faults> {
        let mut faults = Vec::new();
        if self.version != 1 {
            faults.push(format!("version = {}: this daemon reads version 1", self.version));
        }
        self.check_paths(&mut faults);
        let api = self.api.and_then(|api| api.check(&mut faults));
        let fleet = self.fleet.and_then(|fleet| fleet.check(&mut faults));
        let web = self.web.and_then(|web| web.check(&mut faults));
        let mail = self.mail.and_then(|mail| mail.check(&mut faults));
        let directory = self.directory.and_then(|directory| directory.check(&mut faults));
        let listeners = [
            ("api", api.as_ref().map(|api| api.listen)),
            ("fleet", fleet.as_ref().map(|fleet| fleet.listen)),
            ("web", web.as_ref().map(|web| web.listen)),
        ];
        check_listeners(listeners, &mut faults);
        let enrolment = self.enrolment.check(&mut faults);
        let look_ahead = self.token.check(&mut faults);
        let audit = self.audit.check(&self.state_dir, self.key_file.as_deref(), &mut faults);
        let notify = self.notify.check(&mut faults);
        let roles = self.roles.check(&mut faults);
        let remember = check_remember("remember", self.remember, &mut faults);
        let session = self.session.check("session", &mut faults);
        let offline = self.offline.check(&mut faults);
        let (requests, access) = self.access.split();
        let requests = Requesting::from(requests.check("access", &mut faults));
        let RawAccess { require_token, rollout, rollout_until, rule, .. } = access;
        let rollout = check_rollout("access", rollout, rollout_until, &mut faults).unwrap_or_default();
        let rules = check_rules(rule, &mut faults);
        let groups = check_places("group", self.group, GroupName::new, &mut faults);
        let hosts = check_places("host", self.host, HostName::new, &mut faults);
        if !faults.is_empty() {
            return Err(Faults(faults));
        }
        Ok(Config {
            state_dir: self.state_dir,
            key_file: self.key_file,
            on_unenrolled: self.on_unenrolled,
            login_socket: self.sockets.login,
            admin_socket: self.sockets.admin,
            user_socket: self.sockets.user,
            api,
            fleet,
            web,
            mail,
            directory,
            enrolment,
            look_ahead,
            require_token,
            requests,
            remember,
            session,
            offline,
            rollout,
            rules,
            groups,
            hosts,
            audit,
            notify,
            roles,
        })
    }

    fn check_paths(&self, faults: &mut Vec<String>) {
        let sockets = [
            ("sockets.login", &self.sockets.login),
            ("sockets.admin", &self.sockets.admin),
            ("sockets.user", &self.sockets.user),
        ];
        let others = [("state_dir", Some(&self.state_dir)), ("key_file", self.key_file.as_ref())];
        let others = others.into_iter().filter_map(|(name, path)| Some((name, path?)));
        for (name, path) in others.chain(sockets).filter(|(_, path)| !path.is_absolute()) {
            faults.push(format!("{name} = {path:?}: an absolute path is needed"));
        }
        let mut taken = BTreeMap::new();
        for (name, path) in sockets {
            if let Some(other) = taken.insert(path, name) {
                faults.push(format!("{other} and {name} are the same path: each socket needs its own"));
            }
        }
    }
}

/// Two listeners at one address would be one of them.
fn check_listeners(listeners: [(&str, Option<SocketAddr>); 3], faults: &mut Vec<String>) {
    let listening = listeners.into_iter().filter_map(|(name, address)| Some((name, address?)));
    let mut taken = BTreeMap::new();
    for (name, address) in listening {
        if let Some(other) = taken.insert(address, name) {
            faults.push(format!(
                "{other}.listen and {name}.listen = \"{address}\": each listener needs its own"
            ));
        }
    }
}

impl RawAccess {
    /// What it says of requests, and the rest.
    fn split(self) -> (RawRequesting, Self) {
        let Self { login_step, request_mode, approvers, request_ttl, password_ttl, profile, .. } = &self;
        let requests = RawRequesting {
            login_step: *login_step,
            request_mode: *request_mode,
            approvers: approvers.clone(),
            request_ttl: *request_ttl,
            password_ttl: *password_ttl,
            profile: *profile,
        };
        (requests, self)
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
        check_open_for("enrolment", self.open_for, faults);
        let limits = (self.grace_period, self.grace_logins);
        let grace = check_grace("enrolment", Some(self.grace), limits, faults).unwrap_or(Grace::None);
        let Self { issuer, with, open_for, at_hosts, .. } = self;
        Enrolment { issuer, with, open_for, at_hosts, grace }
    }
}

/// * `section`: where the setting stands.
pub(super) fn check_open_for(section: &str, open_for: Option<Duration>, faults: &mut Vec<String>) {
    if open_for.is_some_and(|open_for| open_for.is_zero()) {
        faults.push(format!(
            "{section}.open_for = \"0s\": a time such as \"30d\" is needed, or none for no limit"
        ));
    }
}

/// Checks a grace and its limits, which go together.
///
/// * `section`: where the settings stand.
pub(super) fn check_grace(
    section: &str,
    grace: Option<RawGrace>,
    limits: (Option<Duration>, Option<u32>),
    faults: &mut Vec<String>,
) -> Option<Grace> {
    match (grace, limits) {
        (None, (None, None)) => None,
        (Some(RawGrace::None), (None, None)) => Some(Grace::None),
        (Some(RawGrace::Unlimited), (None, None)) => Some(Grace::Unlimited),
        (Some(RawGrace::Limited), (None, None)) => {
            faults.push(format!("{section}.grace = \"limited\": grace_period or grace_logins is needed"));
            None
        }
        (Some(RawGrace::Limited), (period, logins)) => Some(Grace::Limited { period, logins }),
        (Some(RawGrace::None | RawGrace::Unlimited) | None, _) => {
            faults.push(format!(
                "{section}.grace_period and grace_logins: these go with {section}.grace = \"limited\" only"
            ));
            None
        }
    }
}

impl RawToken {
    fn check(&self, faults: &mut Vec<String>) -> u32 {
        let given = self.look_ahead;
        let right = u32::try_from(given).ok().filter(|given| (1..=LOOK_AHEAD_MAX).contains(given));
        right.unwrap_or_else(|| {
            faults.push(format!("token.look_ahead = {given}: 1 to {LOOK_AHEAD_MAX} is needed"));
            1
        })
    }
}

impl RawNotify {
    fn check(self, faults: &mut Vec<String>) -> Option<Vec<String>> {
        let command = self.command?;
        let is_absolute = command.first().is_some_and(|program| program.starts_with('/'));
        if !is_absolute || command.iter().any(|part| part.contains('\0')) {
            faults.push(format!(
                "notify.command = {command:?}: the absolute path of a program is needed, then its arguments"
            ));
        }
        Some(command)
    }
}
