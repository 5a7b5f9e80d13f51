//! Access rules: which logins they are about, and what follows.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use wire::admin::Then;

use super::window::{Window, WindowError};
use crate::accounts::UserName;
use crate::hosts::{GroupName, HostName};

/// Longest name of a rule, in characters: it stands in a record of every login that the rule decides.
const RULE_NAME_MAX: usize = 64;

/// One access rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What records and people call it; no other rule has this name.
    pub name: Arc<str>,
    /// Networks; none where it holds for every source. So with all conditions: an empty one is none.
    pub sources: Vec<IpNet>,
    /// Hosts of the fleet.
    pub hosts: BTreeSet<HostName>,
    /// Groups of hosts.
    pub groups: BTreeSet<GroupName>,
    /// PAM services.
    pub services: BTreeSet<String>,
    /// Accounts.
    pub users: BTreeSet<UserName>,
    /// Unix groups, as the verifier's name service knows them.
    pub user_groups: BTreeSet<UnixGroup>,
    /// When.
    pub window: Option<Window>,
    /// What follows.
    pub then: Then,
}

/// A Unix group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum UnixGroup {
    /// By its number.
    Id(u32),
    /// By its name, for whose number the name service is asked.
    Name(String),
}

impl fmt::Display for UnixGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "{id}"),
            Self::Name(name) => write!(f, "{name:?}"),
        }
    }
}

/// A rule as written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRule {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<Vec<String>>,
    /// Numbers and texts; a fault of ours says more than the parser's.
    #[serde(skip_serializing_if = "Option::is_none")]
    user_group: Option<Vec<toml::Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    zone: Option<String>,
    then: Then,
}

/// Checks all rules; those with faults are left out.
pub(super) fn check_rules(rules: Vec<RawRule>, faults: &mut Vec<String>) -> Vec<Rule> {
    let mut names = BTreeSet::new();
    let mut checked = Vec::with_capacity(rules.len());
    for (rule, number) in rules.into_iter().zip(1..) {
        let is_name = (1..=RULE_NAME_MAX).contains(&rule.name.len())
            && rule.name.chars().all(|c| (c.is_ascii_graphic() || c == ' ') && c != '"')
            && rule.name.trim() == rule.name;
        if !is_name {
            faults.push(format!(
                "access.rule {number}: name = {:?}: 1 to {RULE_NAME_MAX} printable ASCII characters without quotes are needed",
                rule.name
            ));
        } else if !names.insert(rule.name.clone()) {
            faults.push(format!("access.rule {number}: name = {:?}: another rule has it", rule.name));
        }
        checked.push(rule.check(faults));
    }
    checked
}

impl RawRule {
    fn check(self, faults: &mut Vec<String>) -> Rule {
        let Self { name, source, host, group, service, user, user_group, time, zone, then } = self;
        let mut of = Conditions { rule: &name, faults };
        let is_service = |service: &String| {
            let fits = !service.is_empty() && service.chars().all(|c| c.is_ascii_graphic() && c != '/');
            fits.then(|| service.clone()).ok_or("the name of a PAM service such as \"sshd\" is needed")
        };
        let sources = of.each("source", source, |text: &String| network(text));
        let hosts = of.each("host", host, |text: &String| HostName::new(text));
        let groups = of.each("group", group, |text: &String| GroupName::new(text));
        let services = of.each("service", service, is_service);
        let users = of.each("user", user, |text: &String| UserName::new(text));
        let user_groups = of.each("user_group", user_group, unix_group);
        let window = of.window(time, zone);
        Rule {
            name: name.into(),
            sources,
            hosts: hosts.into_iter().collect(),
            groups: groups.into_iter().collect(),
            services: services.into_iter().collect(),
            users: users.into_iter().collect(),
            user_groups: user_groups.into_iter().collect(),
            window,
            then,
        }
    }
}

/// The conditions of one rule, and what is wrong with them.
struct Conditions<'a> {
    rule: &'a str,
    faults: &'a mut Vec<String>,
}

impl Conditions<'_> {
    fn fault(&mut self, key: &str, rest: impl fmt::Display) {
        self.faults.push(format!("access.rule {:?}: {key}{rest}", self.rule));
    }

    /// Checks a list. One without anything in it is a fault: who took the last name off it did not mean everybody.
    fn each<V: fmt::Debug, T, E: fmt::Display>(
        &mut self,
        key: &str,
        values: Option<Vec<V>>,
        check: impl Fn(&V) -> Result<T, E>,
    ) -> Vec<T> {
        let Some(values) = values else { return Vec::new() };
        if values.is_empty() {
            self.fault(key, " = []: something is needed in it; a rule without this key holds for all");
        }
        let mut checked = Vec::with_capacity(values.len());
        for value in &values {
            match check(value) {
                Ok(value) => checked.push(value),
                Err(error) => self.fault(key, format_args!(" = {value:?}: {error}")),
            }
        }
        checked
    }

    fn window(&mut self, time: Option<String>, zone: Option<String>) -> Option<Window> {
        let Some(time) = time else {
            if zone.is_some() {
                self.fault("zone", ": goes with time only");
            }
            return None;
        };
        let zone = zone.as_deref().unwrap_or("UTC");
        match Window::parse(&time, zone) {
            Ok(window) => return Some(window),
            Err(WindowError::Time) => {
                let right = "days and times such as \"mon-fri 08:00-18:00\" are needed";
                self.fault("time", format_args!(" = {time:?}: {right}"));
            }
            Err(WindowError::Zone) => {
                self.fault(
                    "zone",
                    format_args!(" = {zone:?}: \"UTC\" or a distance from it such as \"+01:00\" is needed"),
                );
            }
        }
        None
    }
}

fn network(text: &str) -> Result<IpNet, String> {
    const FORM: &str = "a network such as \"192.0.2.0/24\" or \"2001:db8::/32\" is needed";
    let network: IpNet = text.parse().map_err(|_| FORM)?;
    if network.trunc() != network {
        return Err(format!("{} is its network", network.trunc()));
    }
    match network {
        // Addresses are compared in the form that they have without IPv6.
        IpNet::V6(mapped) if mapped.addr().to_ipv4_mapped().is_some() && mapped.prefix_len() >= 96 => {
            Err("an IPv4 network is written as one".into())
        }
        network => Ok(network),
    }
}

fn unix_group(value: &toml::Value) -> Result<UnixGroup, &'static str> {
    const FORM: &str = "the name of a Unix group in quotes, or its number without, is needed";
    match value {
        // The last number is no group (see chown(2)).
        toml::Value::Integer(id) => {
            u32::try_from(*id).ok().filter(|id| *id != u32::MAX).map(UnixGroup::Id).ok_or(FORM)
        }
        toml::Value::String(name) => {
            let is_number = name.bytes().all(|byte| byte.is_ascii_digit());
            let odd = |c: char| c.is_control() || matches!(c, ':' | ',');
            if is_number || name.contains(odd) { Err(FORM) } else { Ok(UnixGroup::Name(name.clone())) }
        }
        _ => Err(FORM),
    }
}

impl From<&Rule> for RawRule {
    fn from(rule: &Rule) -> Self {
        fn texts<'a, T: ToString + 'a>(values: impl IntoIterator<Item = &'a T>) -> Option<Vec<String>> {
            let texts: Vec<String> = values.into_iter().map(ToString::to_string).collect();
            (!texts.is_empty()).then_some(texts)
        }
        let user_groups = rule.user_groups.iter().map(|group| match group {
            UnixGroup::Id(id) => toml::Value::Integer((*id).into()),
            UnixGroup::Name(name) => toml::Value::String(name.clone()),
        });
        Self {
            name: rule.name.to_string(),
            source: texts(&rule.sources),
            host: texts(&rule.hosts),
            group: texts(&rule.groups),
            service: texts(&rule.services),
            user: texts(&rule.users),
            user_group: Some(user_groups.collect::<Vec<_>>()).filter(|groups| !groups.is_empty()),
            time: rule.window.as_ref().map(|window| window.text().to_owned()),
            zone: rule.window.as_ref().map(Window::zone),
            then: rule.then,
        }
    }
}
