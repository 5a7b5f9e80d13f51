//! Settings that hosts and groups may have of their own: the host's counts, else its group's, else the default.

use std::time::Duration;

use wire::admin::EnrolWith;

use crate::config::{Config, Grace, OnUnenrolled, Overrides, Rollout};
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
        let of_host = host.and_then(|host| config.hosts.get(&host.name));
        let of_group = host.and_then(|host| config.groups.get(host.group.as_ref()?));
        let levels = Levels { of_host, of_group };
        let enrolment = &config.enrolment;
        Self {
            on_unenrolled: levels.nearest(|said| said.on_unenrolled, config.on_unenrolled),
            require_token: levels.nearest(|said| said.require_token, config.require_token),
            rollout: levels.nearest(|said| said.rollout, config.rollout),
            enrol_with: levels.nearest(|said| said.enrol_with, enrolment.with),
            open_for: levels.nearest(|said| said.open_for.map(Some), enrolment.open_for),
            enrol_at_hosts: levels.nearest(|said| said.enrol_at_hosts, enrolment.at_hosts),
            grace: levels.nearest(|said| said.grace, enrolment.grace),
        }
    }
}

/// For how long a code counts that is given at a terminal of `host` for `service`; zero where it does not.
pub fn remembered_for(host: Option<&HostIdentity>, service: &str, config: &Config) -> Setting<Duration> {
    let of_host = host.and_then(|host| config.hosts.get(&host.name));
    let of_group = host.and_then(|host| config.groups.get(host.group.as_ref()?));
    let default = config.remember.get(service).copied().unwrap_or_default();
    Levels { of_host, of_group }.nearest(|said| said.remember.get(service).copied(), default)
}

/// What was said besides the default.
#[derive(Clone, Copy)]
struct Levels<'a> {
    of_host: Option<&'a Overrides>,
    of_group: Option<&'a Overrides>,
}

impl Levels<'_> {
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
