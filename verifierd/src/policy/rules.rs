//! Access rules: the first that holds decides.
//!
//! A condition holds, does not hold, or cannot be told: a name service that fails, a source that is no address. A rule
//! with a condition that does not hold is passed over, whatever the others are. One that might hold ends the walk:
//! nobody can tell what is demanded then, so the login is refused. What a rule that restricts cannot see, it would
//! otherwise let through.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use wire::admin::Then;

use crate::accounts::UserName;
use crate::clock::UnixTime;
use crate::config::{Rule, UnixGroup};
use crate::hosts::HostIdentity;

/// What rules look at.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'a> {
    /// At which host; none on the verifier's own machine and at the API.
    pub host: Option<&'a HostIdentity>,
    /// Who wants to log in.
    pub user: &'a UserName,
    /// The PAM service.
    pub service: &'a str,
    /// Where from; none where there is no remote host.
    pub rhost: Option<&'a str>,
    /// When.
    pub now: UnixTime,
}

/// Whether a user is in a Unix group, or why nobody knows; for each group that was asked about.
pub type Memberships = BTreeMap<UnixGroup, Result<bool, String>>;

/// What rules make of a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ruled {
    /// None holds: the settings decide.
    NoRule,
    /// This one decides.
    Decided {
        /// Its name.
        rule: Arc<str>,
        /// What follows.
        then: Then,
    },
    /// Nobody can tell whether this one holds, and none before it does.
    Undecidable {
        /// Its name.
        rule: Arc<str>,
        /// What cannot be told.
        why: String,
    },
}

/// How far a walk along the rules came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Walk {
    /// To its end.
    Ended(Ruled),
    /// To a rule that depends on whether the user is in one of these groups; those of later rules are with them.
    NeedsGroups(BTreeSet<UnixGroup>),
}

/// Finds the first rule that holds.
///
/// * `memberships`: what the name service said; `None` where it was not asked yet.
pub fn decide(rules: &[Rule], login: &Circumstances<'_>, memberships: Option<&Memberships>) -> Walk {
    for (number, rule) in rules.iter().enumerate() {
        let name = || Arc::clone(&rule.name);
        match holding(rule, login, memberships) {
            Holding::No => {}
            Holding::Yes => return Walk::Ended(Ruled::Decided { rule: name(), then: rule.then }),
            Holding::Unknown(why) => return Walk::Ended(Ruled::Undecidable { rule: name(), why }),
            Holding::NotAsked => return Walk::NeedsGroups(groups_of(&rules[number..], login)),
        }
    }
    Walk::Ended(Ruled::NoRule)
}

/// The rules that may decide at a host, whatever the conditions that are not looked at here: the source and the time.
///
/// * `service`: none for every service.
/// * `user`: with what the name service says of him; none for every user.
pub fn that_may_hold<'a>(
    rules: &'a [Rule],
    host: Option<&HostIdentity>,
    service: Option<&str>,
    user: Option<(&UserName, &Memberships)>,
) -> Vec<&'a Rule> {
    let may_hold = |rule: &&Rule| {
        let of_user = |(user, memberships): (&UserName, &Memberships)| {
            is_listed(&rule.users, Some(user))
                && in_groups(&rule.user_groups, Some(memberships)) != Holding::No
        };
        is_listed(&rule.hosts, host.map(|host| &host.name))
            && is_listed(&rule.groups, host.and_then(|host| host.group.as_ref()))
            && service.is_none_or(|service| rule.services.is_empty() || rule.services.contains(service))
            && user.is_none_or(of_user)
    };
    rules.iter().filter(may_hold).collect()
}

/// Whether a condition holds.
#[derive(Debug, PartialEq, Eq)]
enum Holding {
    Yes,
    No,
    Unknown(String),
    NotAsked,
}

fn holding(rule: &Rule, login: &Circumstances<'_>, memberships: Option<&Memberships>) -> Holding {
    if !holds_but_for_groups(rule, login) {
        return Holding::No;
    }
    match (comes_from(&rule.sources, login.rhost), in_groups(&rule.user_groups, memberships)) {
        (Holding::No, _) | (_, Holding::No) => Holding::No,
        (Holding::Unknown(why), _) | (_, Holding::Unknown(why)) => Holding::Unknown(why),
        (Holding::NotAsked, _) | (_, Holding::NotAsked) => Holding::NotAsked,
        (Holding::Yes, Holding::Yes) => Holding::Yes,
    }
}

/// The conditions that are always known.
fn holds_but_for_groups(rule: &Rule, login: &Circumstances<'_>) -> bool {
    is_listed(&rule.hosts, login.host.map(|host| &host.name))
        && is_listed(&rule.groups, login.host.and_then(|host| host.group.as_ref()))
        && (rule.services.is_empty() || rule.services.contains(login.service))
        && is_listed(&rule.users, Some(login.user))
        && rule.window.as_ref().is_none_or(|window| window.holds_at(login.now))
}

/// Whether a value is in a list, or there is no list.
fn is_listed<T: Ord>(list: &BTreeSet<T>, value: Option<&T>) -> bool {
    list.is_empty() || value.is_some_and(|value| list.contains(value))
}

/// Compares addresses, IPv4 ones also when they are written as IPv6. Who has no remote host comes from no network.
fn comes_from(networks: &[IpNet], rhost: Option<&str>) -> Holding {
    if networks.is_empty() {
        return Holding::Yes;
    }
    let Some(rhost) = rhost.map(str::trim).filter(|rhost| !rhost.is_empty()) else { return Holding::No };
    let without_zone = rhost.split('%').next().unwrap_or(rhost);
    let Ok(address) = without_zone.parse::<IpAddr>().map(|address| address.to_canonical()) else {
        return Holding::Unknown("the source is a name, not an address".into());
    };
    if networks.iter().any(|network| network.contains(&address)) { Holding::Yes } else { Holding::No }
}

fn in_groups(groups: &BTreeSet<UnixGroup>, memberships: Option<&Memberships>) -> Holding {
    if groups.is_empty() {
        return Holding::Yes;
    }
    let Some(memberships) = memberships else { return Holding::NotAsked };
    if groups.iter().any(|group| memberships.get(group) == Some(&Ok(true))) {
        return Holding::Yes;
    }
    let unknown = groups.iter().find_map(|group| match memberships.get(group) {
        Some(Ok(_)) => None,
        Some(Err(why)) => Some(why.clone()),
        None => Some(format!("nobody asked about the Unix group {group}")),
    });
    unknown.map_or(Holding::No, Holding::Unknown)
}

/// The Unix groups on which the first rule that holds may depend.
fn groups_of(rules: &[Rule], login: &Circumstances<'_>) -> BTreeSet<UnixGroup> {
    let may_hold = |rule: &&Rule| {
        holds_but_for_groups(rule, login) && comes_from(&rule.sources, login.rhost) != Holding::No
    };
    rules.iter().filter(may_hold).flat_map(|rule| rule.user_groups.iter().cloned()).collect()
}

#[cfg(test)]
mod tests;
