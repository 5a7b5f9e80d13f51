//! What holds at some hosts instead of the file's defaults, and the roll-out.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::Date;
use time::format_description::StaticFormatDescription;
use time::macros::format_description;
use wire::admin::{EnrolWith, RolloutMode};

use super::raw::{RawGrace, check_grace, check_open_for};
use super::remember::{RawRemember, Remember, check_remember, written};
use super::requests::{LoginStep, Profile, RawRequesting, RequestMode, RequestOverrides};
use super::rules::UnixGroup;
use super::session::{RawSession, SessionOverrides};
use super::{Config, Grace, OnUnenrolled};
use crate::clock::UnixTime;
use crate::hosts::{GroupName, HostName};

const DAY: StaticFormatDescription = format_description!("[year]-[month]-[day]");

/// How much less than decided is enforced, for some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lenience {
    /// Whoever would be refused is let in.
    Observe,
    /// Whoever has not activated a token may go without.
    Grace,
}

/// How far what is decided is enforced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rollout {
    /// As it is decided.
    #[default]
    Enforced,
    /// Less, for some time.
    Lenient {
        /// How much less.
        lenience: Lenience,
        /// The day from whose beginning, in UTC, it is enforced.
        until: Date,
    },
}

impl Rollout {
    /// How much less than decided is enforced at `now`; `None` where it is enforced.
    pub fn lenience_at(&self, now: UnixTime) -> Option<Lenience> {
        match self {
            Self::Enforced => None,
            Self::Lenient { lenience, .. } => self.ends().is_some_and(|end| now < end).then_some(*lenience),
        }
    }

    /// As the file says it.
    pub fn mode(&self) -> RolloutMode {
        match self {
            Self::Enforced => RolloutMode::Enforce,
            Self::Lenient { lenience: Lenience::Observe, .. } => RolloutMode::Observe,
            Self::Lenient { lenience: Lenience::Grace, .. } => RolloutMode::Grace,
        }
    }

    /// The day from whose beginning on it is enforced, as the file says it.
    pub fn until(&self) -> Option<String> {
        match self {
            Self::Enforced => None,
            Self::Lenient { until, .. } => until.format(DAY).ok(),
        }
    }

    /// From when on it is enforced; `None` where it is so already.
    pub fn ends(&self) -> Option<UnixTime> {
        match self {
            Self::Enforced => None,
            Self::Lenient { until, .. } => {
                Some(UnixTime::try_from(until.midnight().assume_utc().unix_timestamp()).unwrap_or(0))
            }
        }
    }
}

/// What holds at some hosts instead of what the file says for all; `None` where it says the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// See [`super::Config::on_unenrolled`].
    pub on_unenrolled: Option<OnUnenrolled>,
    /// See [`super::Config::require_token`].
    pub require_token: Option<bool>,
    /// See [`super::Config::rollout`].
    pub rollout: Option<Rollout>,
    /// See [`super::Enrolment::with`].
    pub enrol_with: Option<EnrolWith>,
    /// See [`super::Enrolment::open_for`].
    pub open_for: Option<Duration>,
    /// See [`super::Enrolment::at_hosts`].
    pub enrol_at_hosts: Option<bool>,
    /// See [`super::Enrolment::grace`].
    pub grace: Option<Grace>,
    /// See [`super::Config::requests`].
    pub requests: RequestOverrides,
    /// See [`super::Config::remember`]: of the services that it names.
    pub remember: Remember,
    /// See [`super::Config::session`].
    pub session: SessionOverrides,
}

/// What policy names, and where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// Hosts of the fleet.
    pub hosts: Vec<(String, HostName)>,
    /// Groups of hosts.
    pub groups: Vec<(String, GroupName)>,
    /// Unix groups.
    pub unix_groups: Vec<(String, UnixGroup)>,
}

impl Config {
    /// What policy names. Some of it may not be there; the file cannot tell.
    pub fn named_in_policy(&self) -> Named {
        let mut named = Named::default();
        named.groups.extend(self.groups.keys().map(|name| (format!("[group.{name}]"), name.clone())));
        named.hosts.extend(self.hosts.keys().map(|name| (format!("[host.{name}]"), name.clone())));
        for rule in &self.rules {
            let place = |key: &str| format!("access.rule {:?}: {key}", rule.name);
            named.groups.extend(rule.groups.iter().map(|name| (place("group"), name.clone())));
            named.hosts.extend(rule.hosts.iter().map(|name| (place("host"), name.clone())));
            named
                .unix_groups
                .extend(rule.user_groups.iter().map(|group| (place("user_group"), group.clone())));
        }
        named
    }
}

/// What a `[group.NAME]` or `[host.NAME]` says.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawOverrides {
    #[serde(skip_serializing_if = "Option::is_none")]
    on_unenrolled: Option<OnUnenrolled>,
    #[serde(skip_serializing_if = "Option::is_none")]
    require_token: Option<bool>,
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
    #[serde(skip_serializing_if = "RawEnrolmentOverrides::says_nothing")]
    enrolment: RawEnrolmentOverrides,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    remember: RawRemember,
    #[serde(skip_serializing_if = "RawSession::says_nothing")]
    session: RawSession,
}

/// What they say of enrolment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawEnrolmentOverrides {
    #[serde(skip_serializing_if = "Option::is_none")]
    with: Option<EnrolWith>,
    #[serde(with = "humantime_serde", skip_serializing_if = "Option::is_none")]
    open_for: Option<Duration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at_hosts: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grace: Option<RawGrace>,
    #[serde(with = "humantime_serde", skip_serializing_if = "Option::is_none")]
    grace_period: Option<Duration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grace_logins: Option<u32>,
}

impl RawEnrolmentOverrides {
    fn says_nothing(&self) -> bool {
        *self == Self::default()
    }
}

impl RawOverrides {
    /// * `table`: as the file calls it, such as `group.web`.
    fn check(self, table: &str, faults: &mut Vec<String>) -> Overrides {
        let Self { on_unenrolled, require_token, rollout, rollout_until, enrolment, .. } = self;
        let Self { remember, session, .. } = self;
        let Self { login_step, request_mode, approvers, request_ttl, password_ttl, profile, .. } = self;
        let requests =
            RawRequesting { login_step, request_mode, approvers, request_ttl, password_ttl, profile };
        let RawEnrolmentOverrides { with, open_for, at_hosts, grace, grace_period, grace_logins } = enrolment;
        let section = format!("{table}.enrolment");
        check_open_for(&section, open_for, faults);
        let limits = (grace_period, grace_logins);
        Overrides {
            on_unenrolled,
            require_token,
            rollout: check_rollout(table, rollout, rollout_until, faults),
            enrol_with: with,
            open_for,
            enrol_at_hosts: at_hosts,
            grace: check_grace(&section, grace, limits, faults),
            requests: requests.check(table, faults),
            remember: check_remember(&format!("{table}.remember"), remember, faults),
            session: session.check(&format!("{table}.session"), faults),
        }
    }
}

impl From<&Overrides> for RawOverrides {
    fn from(overrides: &Overrides) -> Self {
        let Overrides {
            on_unenrolled,
            require_token,
            rollout,
            enrol_with,
            open_for,
            enrol_at_hosts,
            grace,
            requests,
            remember,
            session,
        } = overrides.clone();
        let requests = RawRequesting::from(requests);
        let (grace, grace_period, grace_logins) = match grace.map(RawGrace::parts) {
            Some((grace, period, logins)) => (Some(grace), period, logins),
            None => (None, None, None),
        };
        Self {
            on_unenrolled,
            require_token,
            login_step: requests.login_step,
            request_mode: requests.request_mode,
            approvers: requests.approvers,
            request_ttl: requests.request_ttl,
            password_ttl: requests.password_ttl,
            profile: requests.profile,
            rollout: rollout.map(|rollout| rollout.mode()),
            rollout_until: rollout.and_then(|rollout| rollout.until()),
            remember: written(&remember),
            session: RawSession::from(session),
            enrolment: RawEnrolmentOverrides {
                with: enrol_with,
                open_for,
                at_hosts: enrol_at_hosts,
                grace,
                grace_period,
                grace_logins,
            },
        }
    }
}

/// What is said for each host, or for each group of them.
pub(super) type RawPlaces = BTreeMap<String, RawOverrides>;

/// Checks the tables of hosts or of groups.
///
/// * `kind`: `host` or `group`.
/// * `name`: makes a name of the table's.
pub(super) fn check_places<N: Ord, E: fmt::Display>(
    kind: &str,
    places: RawPlaces,
    name: impl Fn(&str) -> Result<N, E>,
    faults: &mut Vec<String>,
) -> BTreeMap<N, Overrides> {
    let mut checked = BTreeMap::new();
    for (written, overrides) in places {
        let overrides = overrides.check(&format!("{kind}.{written}"), faults);
        match name(&written) {
            Ok(name) => drop(checked.insert(name, overrides)),
            Err(error) => faults.push(format!("[{kind}.{written:?}]: {error}")),
        }
    }
    checked
}

/// The tables as written.
pub(super) fn raw_places<N: fmt::Display>(places: &BTreeMap<N, Overrides>) -> RawPlaces {
    places.iter().map(|(name, overrides)| (name.to_string(), overrides.into())).collect()
}

/// Checks a mode of the roll-out and its day, which go together.
///
/// * `table`: where they stand.
pub(super) fn check_rollout(
    table: &str,
    mode: Option<RolloutMode>,
    until: Option<String>,
    faults: &mut Vec<String>,
) -> Option<Rollout> {
    let lenience = match mode {
        Some(RolloutMode::Observe) => Lenience::Observe,
        Some(RolloutMode::Grace) => Lenience::Grace,
        Some(RolloutMode::Enforce) | None => {
            if until.is_some() {
                faults.push(format!(
                    "{table}.rollout_until: goes with rollout = \"observe\" or \"grace\" only"
                ));
            }
            return mode.map(|_| Rollout::Enforced);
        }
    };
    let Some(until) = until else {
        faults.push(format!(
            "{table}.rollout: rollout_until is needed, the day from which on it is enforced, such as \"2027-03-01\""
        ));
        return None;
    };
    let day = Date::parse(&until, DAY).ok().filter(|day| (1970..=9999).contains(&day.year()));
    if day.is_none() {
        faults.push(format!("{table}.rollout_until = {until:?}: a day such as \"2027-03-01\" is needed"));
    }
    day.map(|until| Rollout::Lenient { lenience, until })
}
