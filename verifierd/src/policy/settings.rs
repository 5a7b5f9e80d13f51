//! Settings that hosts and groups may have of their own: the host's counts, else its group's, else the default.

use std::time::Duration;

use wire::admin::EnrolWith;
use wire::session::{Recorder, RecorderFailure, Recording};

use crate::config::{
    Config, Grace, LoginStep, OnUnenrolled, Overrides, Profile, RequestMode, RequestOverrides, Rollout,
    STRICT_TTL_MAX,
};
use crate::hosts::HostIdentity;

/// Who says what holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetBy {
    /// The host's own table.
    Host,
    /// Its group's.
    Group,
    /// What the file says for all, or leaves as it is.
    Default,
}

/// A value, and who says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting<T> {
    /// What holds.
    pub value: T,
    /// Who says so.
    pub set_by: SetBy,
}

/// What holds at a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// See [`Config::on_unenrolled`].
    pub on_unenrolled: Setting<OnUnenrolled>,
    /// See [`Config::require_token`].
    pub require_token: Setting<bool>,
    /// See [`crate::config::Requesting::login_step`].
    pub login_step: Setting<LoginStep>,
    /// See [`Config::rollout`].
    pub rollout: Setting<Rollout>,
    /// See [`crate::config::Enrolment::with`].
    pub enrol_with: Setting<EnrolWith>,
    /// See [`crate::config::Enrolment::open_for`].
    pub open_for: Setting<Option<Duration>>,
    /// See [`crate::config::Enrolment::at_hosts`].
    pub enrol_at_hosts: Setting<bool>,
    /// See [`crate::config::Enrolment::grace`].
    pub grace: Setting<Grace>,
}

impl Settings {
    /// What holds at `host`; at the verifier's own machine and the API where that is `None`.
    pub fn at(host: Option<&HostIdentity>, config: &Config) -> Self {
        let levels = Levels::at(host, config);
        let enrolment = &config.enrolment;
        Self {
            on_unenrolled: levels.nearest(|said| said.on_unenrolled, config.on_unenrolled),
            require_token: levels.nearest(|said| said.require_token, config.require_token),
            login_step: levels.nearest(|said| said.requests.login_step, config.requests.login_step),
            rollout: levels.nearest(|said| said.rollout, config.rollout),
            enrol_with: levels.nearest(|said| said.enrol_with, enrolment.with),
            open_for: levels.nearest(|said| said.open_for.map(Some), enrolment.open_for),
            enrol_at_hosts: levels.nearest(|said| said.enrol_at_hosts, enrolment.at_hosts),
            grace: levels.nearest(|said| said.grace, enrolment.grace),
        }
    }
}

/// What a login asks for at `host`; at the verifier's own machine where that is `None`.
pub fn login_step_at(host: Option<&HostIdentity>, config: &Config) -> LoginStep {
    let levels = Levels::at(host, config);
    levels.requests(|said| said.login_step, config.requests.login_step).value
}

/// For how long a code counts that is given at a terminal of `host` for `service`; zero where it does not.
pub fn remembered_for(host: Option<&HostIdentity>, service: &str, config: &Config) -> Setting<Duration> {
    let default = config.remember.get(service).copied().unwrap_or_default();
    Levels::at(host, config).nearest(|said| said.remember.get(service).copied(), default)
}

/// What records the sessions of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordingTerms {
    /// The command; empty where nothing records.
    pub recorder: Setting<Vec<String>>,
    /// What becomes of a session whose recorder does not start.
    pub on_failure: Setting<RecorderFailure>,
}

impl RecordingTerms {
    /// What holds at `host`; at the verifier's own machine where that is `None`.
    pub fn at(host: Option<&HostIdentity>, config: &Config) -> Self {
        let levels = Levels::at(host, config);
        let default = config.session.clone();
        Self {
            recorder: levels
                .nearest(|said| said.session.recorder.clone(), default.recorder.unwrap_or_default()),
            on_failure: levels
                .nearest(|said| said.session.recorder_failure, default.recorder_failure.unwrap_or_default()),
        }
    }

    /// As a host is told it.
    pub fn told(self) -> Recording {
        let (command, on_failure) = (self.recorder.value, self.on_failure.value);
        if command.is_empty() { Recording::Off } else { Recording::By(Recorder { command, on_failure }) }
    }
}

/// What holds of requests at a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestTerms {
    /// See [`crate::config::Requesting::mode`].
    pub mode: Setting<RequestMode>,
    /// See [`crate::config::Requesting::approvers`].
    pub approvers: Setting<Vec<String>>,
    /// See [`crate::config::Requesting::request_ttl`].
    pub request_ttl: Setting<Duration>,
    /// See [`crate::config::Requesting::password_ttl`]; in the strict profile no longer than it permits.
    pub password_ttl: Setting<Duration>,
    /// See [`crate::config::Requesting::profile`].
    pub profile: Setting<Profile>,
}

impl RequestTerms {
    /// What holds at `host`; at the verifier's own machine where that is `None`.
    pub fn at(host: Option<&HostIdentity>, config: &Config) -> Self {
        let levels = Levels::at(host, config);
        let default = &config.requests;
        let profile = levels.requests(|said| said.profile, default.profile);
        let mut password_ttl = levels.requests(|said| said.password_ttl, default.password_ttl);
        if profile.value == Profile::Strict && password_ttl.value > STRICT_TTL_MAX {
            password_ttl = Setting { value: STRICT_TTL_MAX, set_by: profile.set_by };
        }
        Self {
            mode: levels.requests(|said| said.mode, default.mode),
            approvers: levels.requests(|said| said.approvers.clone(), default.approvers.clone()),
            request_ttl: levels.requests(|said| said.request_ttl, default.request_ttl),
            password_ttl,
            profile,
        }
    }
}

/// What was said besides the default.
#[derive(Clone, Copy)]
struct Levels<'a> {
    of_host: Option<&'a Overrides>,
    of_group: Option<&'a Overrides>,
}

impl<'a> Levels<'a> {
    fn at(host: Option<&HostIdentity>, config: &'a Config) -> Self {
        let of_host = host.and_then(|host| config.hosts.get(&host.name));
        let of_group = host.and_then(|host| config.groups.get(host.group.as_ref()?));
        Self { of_host, of_group }
    }

    fn requests<T>(self, said: impl Fn(&RequestOverrides) -> Option<T>, default: T) -> Setting<T> {
        self.nearest(|overrides| said(&overrides.requests), default)
    }

    fn nearest<T>(self, said: impl Fn(&Overrides) -> Option<T>, default: T) -> Setting<T> {
        if let Some(value) = self.of_host.and_then(&said) {
            return Setting { value, set_by: SetBy::Host };
        }
        if let Some(value) = self.of_group.and_then(&said) {
            return Setting { value, set_by: SetBy::Group };
        }
        Setting { value: default, set_by: SetBy::Default }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hosts::{GroupName, HostId, HostName};

    fn host(name: &str, group: Option<&str>) -> HostIdentity {
        HostIdentity {
            id: HostId::from_random([7; 16]),
            name: HostName::new(name).unwrap(),
            group: group.map(|group| GroupName::new(group).unwrap()),
        }
    }

    // covers: A10
    #[test]
    fn a_host_goes_before_its_group_and_the_group_before_the_default_setting_by_setting() {
        let config = Config::parse(
            "version = 1\non_unenrolled = \"deny\"\n[group.web]\non_unenrolled = \"ignore\"\nrequire_token = true\n\
             enrolment.grace = \"none\"\n[host.web1]\non_unenrolled = \"enroll\"\n\
             enrolment = { grace = \"limited\", grace_logins = 2, open_for = \"1h\" }",
        )
        .unwrap();
        let at = |host: Option<&HostIdentity>| {
            let Settings { on_unenrolled, require_token, grace, open_for, .. } = Settings::at(host, &config);
            let by = [on_unenrolled.set_by, require_token.set_by, grace.set_by, open_for.set_by];
            (on_unenrolled.value, require_token.value, grace.value, by)
        };
        use SetBy::{Default as File, Group, Host};
        let limited = Grace::Limited { period: None, logins: Some(2) };
        assert_eq!(
            at(Some(&host("web1", Some("web")))),
            (OnUnenrolled::Enroll, true, limited, [Host, Group, Host, Host])
        );
        assert_eq!(
            at(Some(&host("web2", Some("web")))),
            (OnUnenrolled::Ignore, true, Grace::None, [Group, Group, Group, File])
        );
        let default = (OnUnenrolled::Deny, false, Grace::Unlimited, [File; 4]);
        for other in [None, Some(host("db1", None)), Some(host("web", Some("db")))] {
            assert_eq!(at(other.as_ref()), default, "{other:?}");
        }
    }
}
