//! `postern offline`: passwords that a host checks alone.

use wire::admin::{
    BothClocks, MadeOfflinePassword, NewOfflinePassword, OfflinePassword, OfflinePasswordList, OfflineScope,
    OfflineState,
};
use zeroize::Zeroize;

use crate::args::{OfflineOrder, OfflineVerb};
use crate::client::{Client, segment};
use crate::failure::Failure;
use crate::output::json::Document;
use crate::output::table::{self, or_dash, short};
use crate::output::{Answer, Format};
use crate::verbs::policy::path;

/// Runs one of the verbs.
pub async fn run(client: &Client, verb: OfflineVerb, format: Format) -> Result<Answer, Failure> {
    match verb {
        OfflineVerb::Issue(order) => issue(client, *order, format).await,
        OfflineVerb::List { host } => {
            let list: OfflinePasswordList = client.get(&path("/v1/offline", [("host", host)])).await?;
            Answer::list(format, &list, &list.items, || rows(&list.items))
        }
        OfflineVerb::Show(which) => {
            one(client.get(&format!("/v1/offline/{}", segment(&which.id))).await?, format)
        }
        OfflineVerb::Revoke(which) => {
            let route = format!("/v1/offline/{}/revoke", segment(&which.id));
            let shown = one(client.post_nothing(&route).await?, format)?;
            Ok(shown.saying("its host refuses it as soon as it has reached a verifier"))
        }
    }
}

async fn issue(client: &Client, order: OfflineOrder, format: Format) -> Result<Answer, Failure> {
    let scope = match (&order.service, order.all_services, order.file_transfer) {
        (Some(_), _, _) => OfflineScope::Service,
        (None, true, _) => OfflineScope::AllServices,
        (None, false, true) => OfflineScope::FileTransfer,
        (None, false, false) => OfflineScope::LockoutReset,
    };
    let wish = NewOfflinePassword {
        host: order.host.or(order.host_code).unwrap_or_default(),
        user: order.user,
        scope,
        service: order.service,
        valid_for: order.valid_for,
        from: order.from,
        until: order.until,
        time_zone: Some(order.tz),
        why: order.why,
    };
    let mut made: MadeOfflinePassword = client.post("/v1/offline", &wish).await?;
    let answer = Answer::one(format, &Document::new("made_offline_password", &made), || {
        let mut lines = vec![("password", made.password.clone())];
        lines.extend(properties(&made.made));
        table::properties(lines)
    });
    made.password.zeroize();
    Ok(answer?.saying("the password is not shown again: read it out in groups; `O` is 0, `I` and `L` are 1"))
}

fn one(password: OfflinePassword, format: Format) -> Result<Answer, Failure> {
    Answer::one(format, &Document::new("offline_password", &password), || {
        table::properties(properties(&password))
    })
}

fn properties(password: &OfflinePassword) -> Vec<(&'static str, String)> {
    let used = password.used.as_ref();
    let used =
        used.map(|used| format!("{} by {} ({}), until {}", used.at, used.user, used.service, used.until));
    let zone = password.host_time_zone.as_deref().unwrap_or("as here: the host has not said");
    vec![
        ("id", password.id.clone()),
        ("host", password.host.clone()),
        ("user", password.user.clone().unwrap_or_else(|| "everybody".into())),
        ("for", scope(password)),
        ("lets in", lets_in(password)),
        (if password.minutes.is_some() { "to be used by" } else { "until" }, clocks(&password.until)),
        ("clocks of the host", zone.to_owned()),
        ("state", state(password.state).to_owned()),
        ("used", or_dash(used.as_deref())),
        ("why", or_dash(password.why.as_deref())),
        ("made", format!("{} by {}", password.made, password.made_by)),
        ("revoked by", or_dash(password.revoked_by.as_deref())),
    ]
}

fn rows(passwords: &[OfflinePassword]) -> String {
    table::list(
        ["ID", "USER", "FOR", "LETS IN", "UNTIL (HOST)", "STATE", "MADE BY"],
        passwords.iter().map(|password| {
            [
                password.id.clone(),
                or_dash(password.user.as_deref()),
                scope(password),
                lets_in(password),
                password.until.host.clone(),
                state(password.state).to_owned(),
                short(&password.made_by),
            ]
        }),
    )
}

/// A moment by both clocks, side by side.
fn clocks(at: &BothClocks) -> String {
    format!("{} at the host, {} here", at.host, at.server)
}

fn scope(password: &OfflinePassword) -> String {
    match (password.scope, &password.service) {
        (OfflineScope::Service, Some(service)) => service.clone(),
        (OfflineScope::Service, None) => "one service".into(),
        (OfflineScope::AllServices, _) => "all services".into(),
        (OfflineScope::FileTransfer, _) => "file transfers".into(),
        (OfflineScope::LockoutReset, _) => "ending a wait".into(),
    }
}

/// For how long, as it was wished for.
fn lets_in(password: &OfflinePassword) -> String {
    match (password.minutes, &password.from) {
        (Some(minutes), _) if minutes % (24 * 60) == 0 => {
            format!("{} d from its use on", minutes / (24 * 60))
        }
        (Some(minutes), _) if minutes % 60 == 0 => format!("{} h from its use on", minutes / 60),
        (Some(minutes), _) => format!("{minutes} min from its use on"),
        (None, Some(from)) => format!("from {}", clocks(from)),
        (None, None) => "nobody".into(),
    }
}

fn state(state: OfflineState) -> &'static str {
    match state {
        OfflineState::Open => "open",
        OfflineState::Used => "used",
        OfflineState::Revoked => "revoked",
        OfflineState::Expired => "expired",
        OfflineState::Void => "void",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(minutes: Option<u64>, scope: OfflineScope) -> OfflinePassword {
        let at = BothClocks {
            utc: "2026-11-23T14:00:00Z".into(),
            host: "2026-11-23T16:00:00+02:00".into(),
            server: "2026-11-23T15:00:00+01:00".into(),
        };
        OfflinePassword {
            id: "1-1@web1".into(),
            host: "web1".into(),
            user: None,
            scope,
            service: None,
            minutes,
            from: minutes.is_none().then(|| at.clone()).filter(|_| scope != OfflineScope::LockoutReset),
            until: at,
            host_time_zone: Some("Europe/Helsinki".into()),
            state: OfflineState::Open,
            why: None,
            made_by: "ann (admin)".into(),
            made: "2026-11-23T13:00:00Z".into(),
            used: None,
            revoked_by: None,
        }
    }

    // covers: N4, N6
    #[test]
    fn for_how_long_is_told_in_words_and_times_by_both_clocks() {
        let told = |minutes| lets_in(&password(minutes, OfflineScope::AllServices));
        assert_eq!(told(Some(15)), "15 min from its use on");
        assert_eq!(told(Some(480)), "8 h from its use on");
        assert_eq!(told(Some(43_200)), "30 d from its use on");
        assert_eq!(told(None), "from 2026-11-23T16:00:00+02:00 at the host, 2026-11-23T15:00:00+01:00 here");
        assert_eq!(lets_in(&password(None, OfflineScope::LockoutReset)), "nobody");
        let labels: Vec<_> =
            properties(&password(None, OfflineScope::AllServices)).into_iter().map(|line| line.0).collect();
        assert!(labels.contains(&"until") && !labels.contains(&"to be used by"), "{labels:?}");
    }
}
