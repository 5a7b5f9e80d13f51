//! What a configuration names and nobody knows. The file is right all the same: a host may join later, and a colleague
//! may have left.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use verifierd::accounts::number_of;
use verifierd::config::Config;
use wire::admin::HostList;

/// How long the daemon may take to say which hosts there are.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(5);

/// Longest answer that is read, in bytes: a host takes some 300, so this is a list of 200,000.
const ANSWER_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// One line for each host, group of hosts and Unix group that policy names and that is not there. Asks the name service,
/// and the daemon where hosts are named.
pub fn about(config: &Config) -> Vec<String> {
    let policy = config.named_in_policy();
    let mut warnings: Vec<String> = policy
        .unix_groups
        .iter()
        .filter_map(|(place, group)| Some(format!("{place}: {}", number_of(group).err()?)))
        .collect();
    if policy.hosts.is_empty() && policy.groups.is_empty() {
        return warnings;
    }
    let Some(known) = known_hosts(&config.admin_socket) else {
        warnings
            .push("the daemon does not answer: nobody knows whether the hosts and groups are there".into());
        return warnings;
    };
    let hosts: BTreeSet<&str> = known.items.iter().map(|host| host.name.as_str()).collect();
    let groups: BTreeSet<&str> = known.items.iter().filter_map(|host| host.group.as_deref()).collect();
    let absent_hosts = policy.hosts.iter().filter(|(_, name)| !hosts.contains(name.as_str()));
    warnings.extend(
        absent_hosts.map(|(place, name)| format!("{place}: no host of the fleet is called {name:?}")),
    );
    let absent_groups = policy.groups.iter().filter(|(_, name)| !groups.contains(name.as_str()));
    warnings.extend(
        absent_groups.map(|(place, name)| format!("{place}: no host of the fleet is in a group {name:?}")),
    );
    warnings
}

/// The hosts that the daemon knows; `None` when it does not answer.
fn known_hosts(socket: &Path) -> Option<HostList> {
    const REQUEST: &[u8] = b"GET /v1/hosts HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let mut stream = UnixStream::connect(socket).ok()?;
    stream.set_read_timeout(Some(ANSWER_WAIT_MAX)).ok()?;
    stream.set_write_timeout(Some(ANSWER_WAIT_MAX)).ok()?;
    stream.write_all(REQUEST).ok()?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).ok()?;
    body_of(&answer).and_then(|body| serde_json::from_slice(body).ok())
}

/// The body of an answer that says that all is well.
fn body_of(answer: &[u8]) -> Option<&[u8]> {
    const END_OF_HEAD: &[u8] = b"\r\n\r\n";
    let end = answer.windows(END_OF_HEAD.len()).position(|bytes| bytes == END_OF_HEAD)?;
    answer.starts_with(b"HTTP/1.1 200 ").then(|| &answer[end + END_OF_HEAD.len()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_body_of_a_good_answer_is_read() {
        assert_eq!(body_of(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"), Some(&b"{}"[..]));
        for other in ["", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 403 Forbidden\r\n\r\n{}", "{}"] {
            assert_eq!(body_of(other.as_bytes()), None, "{other:?}");
        }
    }

    // covers: I14
    #[test]
    fn groups_that_are_not_there_are_named_with_their_place() {
        let config = Config::parse(
            "version = 1\n[sockets]\nadmin = \"/nonexistent/admin.sock\"\n[[access.rule]]\nname = \"r\"\nthen = \"deny\"\n\
             user_group = [\"root\", \"no-such-group-here\"]\nhost = [\"web1\"]",
        )
        .unwrap();
        let warnings = about(&config);
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        assert!(
            warnings[0].starts_with("access.rule \"r\": user_group: the name service knows no Unix group"),
            "{warnings:?}"
        );
        assert!(warnings[1].starts_with("the daemon does not answer"), "{warnings:?}");
    }
}
