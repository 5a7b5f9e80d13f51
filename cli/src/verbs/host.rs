//! `postern host`: the machines of the fleet.

use wire::admin::{EnrolHost, Host, HostList, HostState, JoinSecret, RenameHost, SetGroup};
use zeroize::{Zeroize, Zeroizing};

use crate::args::{HostName, HostVerb};
use crate::client::{Client, segment};
use crate::failure::Failure;
use crate::output::escape::escaped;
use crate::output::table::{self, joined, or_dash};
use crate::output::{Answer, Format};

/// Runs one of the verbs.
pub async fn run(client: &Client, verb: HostVerb, format: Format) -> Result<Answer, Failure> {
    match verb {
        HostVerb::Enrol(order) => {
            let wish = EnrolHost { name: order.name, group: order.group, again: order.again };
            let mut told: JoinSecret = client.post("/v1/hosts", &wish).await?;
            let answer = Answer::one(format, &told, || sheet(&told));
            told.secret.zeroize();
            Ok(answer?.saying("the secret is not shown again"))
        }
        HostVerb::List => {
            let hosts: HostList = client.get("/v1/hosts").await?;
            Answer::list(format, &hosts, &hosts.items, || rows(&hosts.items))
        }
        HostVerb::Show(HostName { name }) => show(&client.get(&path(&name, "")).await?, format),
        HostVerb::Revoke(HostName { name }) => {
            let host: Host = client.post_nothing(&path(&name, "/revoke")).await?;
            Ok(show(&host, format)?.saying(&format!("{name} is refused from now on")))
        }
        HostVerb::Rename { name, to } => {
            show(&client.post(&path(&name, "/rename"), &RenameHost { name: to }).await?, format)
        }
        HostVerb::Group { name, group, none: _ } => {
            show(&client.put(&path(&name, "/group"), &SetGroup { group }).await?, format)
        }
    }
}

fn path(name: &str, what: &str) -> String {
    format!("/v1/hosts/{}{what}", segment(name))
}

/// The secret, and the command that takes it.
fn sheet(told: &JoinSecret) -> String {
    let verifiers: String =
        told.verifiers.iter().map(|verifier| format!(" --verifier {}", escaped(verifier))).collect();
    let secret = Zeroizing::new(escaped(&told.secret));
    let (name, until) = (escaped(&told.host.name), escaped(&told.until));
    format!(
        "Join secret of {name}, good for one join until {until}:\n\n    {}\n\n\
         Run there, as root, and type it in when it is asked for:\n\n    postern-agent join{verifiers}\n",
        *secret
    )
}

fn show(host: &Host, format: Format) -> Result<Answer, Failure> {
    Answer::one(format, host, || {
        table::properties([
            ("name", host.name.clone()),
            ("id", host.id.clone()),
            ("former names", joined(&host.former_names)),
            ("group", or_dash(host.group.as_deref())),
            ("state", state(host.state)),
            ("created", host.created.clone()),
            ("joined", or_dash(host.joined.as_deref())),
            ("revoked", or_dash(host.revoked.as_deref())),
            ("may join until", or_dash(host.join_until.as_deref())),
            ("certificate until", or_dash(host.certificate_until.as_deref())),
            ("last seen", or_dash(host.last_seen.as_deref())),
            ("connections", host.connections.to_string()),
            ("agent", or_dash(host.agent_version.as_deref())),
            ("clock", clock(host.clock_ahead_seconds)),
            ("code when cut off", host.host_code.clone()),
            ("frozen until", or_dash(host.frozen_until.as_deref())),
        ])
    })
}

fn rows(hosts: &[Host]) -> String {
    table::list(
        ["HOST", "GROUP", "STATE", "LAST SEEN", "CERTIFICATE UNTIL", "AGENT", "CLOCK"],
        hosts.iter().map(|host| {
            [
                host.name.clone(),
                or_dash(host.group.as_deref()),
                state(host.state),
                or_dash(host.last_seen.as_deref()),
                or_dash(host.certificate_until.as_deref()),
                or_dash(host.agent_version.as_deref()),
                clock(host.clock_ahead_seconds),
            ]
        }),
    )
}

fn state(state: HostState) -> String {
    match state {
        HostState::Pending => "pending",
        HostState::Active => "active",
        HostState::Revoked => "revoked",
    }
    .to_owned()
}

/// How far the host's clock is off. A second or two is the way of the message.
fn clock(ahead: Option<i64>) -> String {
    match ahead {
        None => or_dash(None),
        Some(-2..=2) => "right".to_owned(),
        Some(ahead) if ahead > 0 => format!("{ahead} s ahead"),
        Some(behind) => format!("{} s behind", behind.unsigned_abs()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_right_ahead_or_behind() {
        let told = [None, Some(0), Some(-2), Some(40), Some(-3_600), Some(i64::MIN)].map(clock);
        assert_eq!(
            told,
            ["-", "right", "right", "40 s ahead", "3600 s behind", "9223372036854775808 s behind"]
        );
    }
}
