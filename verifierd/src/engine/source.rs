//! Where a login comes from, in the form that throttles count.

use std::borrow::Cow;
use std::net::IpAddr;

use crate::hosts::HostId;

/// A source of logins. It slows guesses; it never grants anything.
///
/// What one host says of where its users come from is worth nothing at another: the same address seen by two hosts
/// is two sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    place: Cow<'static, str>,
    host: Option<HostId>,
}

/// The source of every login without a remote host: consoles, `sudo`, `su`.
const LOCAL: &str = "local";

/// The source of codes that users tell an administrator.
const ADMINISTRATION: &str = "administration";

impl Source {
    /// From what PAM or sshd names: an address, a host's name, or nothing.
    ///
    /// * `host`: the host of the fleet that says so; none for the verifier's own machine and the API.
    ///
    /// IPv4 addresses stand for themselves, also when written as IPv6; IPv6 addresses stand for their /64,
    /// the least that one customer holds (RFC 6177). Anything else is taken as a name.
    pub fn new(host: Option<HostId>, rhost: Option<&str>) -> Self {
        Self { place: place(rhost), host }
    }

    /// Codes that users tell an administrator.
    pub fn administration() -> Self {
        Self { place: ADMINISTRATION.into(), host: None }
    }

    /// Whether it is no remote host.
    pub fn is_inside(&self) -> bool {
        self.place == LOCAL || self.place == ADMINISTRATION
    }

    /// What was said of where the login comes from, in one form.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// The host of the fleet that said it.
    pub fn host(&self) -> Option<HostId> {
        self.host
    }
}

fn place(rhost: Option<&str>) -> Cow<'static, str> {
    let Some(rhost) = rhost.map(str::trim).filter(|rhost| !rhost.is_empty()) else {
        return LOCAL.into();
    };
    let without_zone = rhost.split('%').next().unwrap_or(rhost);
    match without_zone.parse::<IpAddr>().map(|address| address.to_canonical()) {
        Ok(IpAddr::V4(address)) => format!("address {address}").into(),
        Ok(IpAddr::V6(address)) => {
            let [a, b, c, d, ..] = address.segments();
            format!("network {a:x}:{b:x}:{c:x}:{d:x}::/64").into()
        }
        Err(_) => format!("name {}", rhost.to_ascii_lowercase()).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rhost: Option<&str>, expected: &str) {
        assert_eq!(Source::new(None, rhost).place, expected, "{rhost:?}");
    }

    // covers: E18
    #[test]
    fn every_remote_host_has_one_form() {
        check(None, "local");
        check(Some(""), "local");
        check(Some("192.0.2.1"), "address 192.0.2.1");
        check(Some("::ffff:192.0.2.1"), "address 192.0.2.1");
        check(Some("2001:db8:1:2:3::4"), "network 2001:db8:1:2::/64");
        check(Some("2001:db8:1:2:ffff::9"), "network 2001:db8:1:2::/64");
        check(Some("fe80::1%eth0"), "network fe80:0:0:0::/64");
        check(Some("localhost"), "name localhost");
        check(Some("Evil\nname"), "name evil\nname");
    }

    #[test]
    fn a_remote_host_that_calls_itself_local_is_not() {
        assert!(!Source::new(None, Some("local")).is_inside());
        assert!(!Source::new(None, Some("administration")).is_inside());
        assert!(Source::new(None, None).is_inside());
        assert!(Source::administration().is_inside());
    }
}
