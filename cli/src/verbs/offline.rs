//! `postern offline`: passwords that a host checks alone.

use wire::admin::{
    Host, HostList, HostState, MadeOfflinePassword, MailProgress, NewOfflinePassword, OfflinePassword,
    OfflinePasswordList, OfflineScope, SteppedUniversal, Universal, UniversalStep, UniversalWish,
};
use zeroize::Zeroize;

use crate::args::{OfflineOrder, OfflineVerb, UniversalReason, UniversalVerb};
use crate::client::{Client, segment};
use crate::failure::{Exit, Failure};
use crate::output::json::Document;
use crate::output::table::{self, or_dash, short};
use crate::output::{Answer, Format};
use crate::verbs::policy::path;

/// Most hosts of one sheet: each has a password of its own, which is a change of its own at the verifier.
const SHEET_HOSTS_MAX: usize = 64;

/// Said of whatever was made.
const ONCE: &str = "a password is not shown again: read it out in groups; `O` is 0, `I` and `L` are 1";

/// Said of whatever is mailed.
const MAILED: &str = "it is mailed, and told nowhere else: `postern offline show` says how the mail stands";

/// Passwords for several hosts.
#[derive(serde::Serialize)]
struct MadeOfflineSheet {
    items: Vec<MadeOfflinePassword>,
    /// Hosts for which none was made, and why.
    left_out: Vec<String>,
}

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
        OfflineVerb::Universal(verb) => universal(client, verb, format).await,
    }
}

async fn universal(client: &Client, verb: UniversalVerb, format: Format) -> Result<Answer, Failure> {
    let (step, UniversalReason { why }) = match verb {
        UniversalVerb::Show => return how_universal(client.get("/v1/universal").await?, format),
        UniversalVerb::Enable(reason) => (UniversalStep::Enable, reason),
        UniversalVerb::Release(reason) => (UniversalStep::Release, reason),
        UniversalVerb::Disable(reason) => (UniversalStep::Disable, reason),
    };
    let stepped = client.post(&format!("/v1/universal/{}", step.word()), &UniversalWish { why }).await?;
    stepped_universal(stepped, format)
}

fn how_universal(universal: Universal, format: Format) -> Result<Answer, Failure> {
    Answer::one(format, &Document::new("universal_password", &universal), || {
        table::properties(universal_properties(&universal))
    })
}

fn stepped_universal(mut stepped: SteppedUniversal, format: Format) -> Result<Answer, Failure> {
    let answer = Answer::one(format, &Document::new("stepped_universal_password", &stepped), || {
        let password = stepped.password.iter().map(|password| ("password", password.clone()));
        let until = stepped.until.iter().map(|until| ("ends", until.clone()));
        table::properties(password.chain(until).chain(universal_properties(&stepped.universal)))
    });
    let said = match (&stepped.password, &stepped.universal.waiting) {
        (Some(_), _) => {
            "every host that has reached a verifier since it was turned on takes it until then, for every user"
        }
        (None, Some(_)) => "another administrator has to say the same",
        (None, None) if stepped.universal.is_on => {
            "hosts can check it as soon as they have reached a verifier"
        }
        (None, None) => "a host checks it no longer as soon as it has reached a verifier",
    };
    stepped.password.zeroize();
    Ok(answer?.saying(said))
}

fn universal_properties(universal: &Universal) -> Vec<(&'static str, String)> {
    let waiting = universal.waiting.as_ref().map(|waiting| {
        let step = waiting.step.word();
        let why = waiting.why.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
        format!("{step}, asked for by {}, until {}{why}", waiting.by, waiting.until)
    });
    let turned_on =
        universal.enabled.as_ref().map(|at| format!("{at} by {}", universal.enabled_by.join(" and ")));
    vec![
        ("state", if universal.is_on { "on" } else { "off" }.to_owned()),
        ("turned on", or_dash(turned_on.as_deref())),
        ("can be released until", or_dash(universal.ends.as_deref())),
        ("waits for a second", or_dash(waiting.as_deref())),
    ]
}

async fn issue(client: &Client, order: OfflineOrder, format: Format) -> Result<Answer, Failure> {
    let scope = match (&order.service, order.all_services, order.file_transfer) {
        (Some(_), _, _) => OfflineScope::Service,
        (None, true, _) => OfflineScope::AllServices,
        (None, false, true) => OfflineScope::FileTransfer,
        (None, false, false) => OfflineScope::LockoutReset,
    };
    let host = order.host.or(order.host_code);
    let group = order.group;
    let wish = NewOfflinePassword {
        host: host.clone().unwrap_or_default(),
        user: order.user,
        scope,
        service: order.service,
        valid_for: order.valid_for,
        from: order.from,
        until: order.until,
        time_zone: Some(order.tz),
        why: order.why,
        mail: order.mail,
    };
    if host.is_none() {
        return issue_sheet(client, wish, group.as_deref(), format).await;
    }
    let mut made: MadeOfflinePassword = client.post("/v1/offline", &wish).await?;
    let answer = Answer::one(format, &Document::new("made_offline_password", &made), || {
        let password = made.password.iter().map(|password| ("password", password.clone()));
        table::properties(password.chain(properties(&made.made)))
    });
    let said = how_told(&made);
    made.password.zeroize();
    Ok(answer?.saying(said))
}

fn how_told(made: &MadeOfflinePassword) -> &'static str {
    if made.password.is_some() { ONCE } else { MAILED }
}

/// A password for each host, since none opens two.
async fn issue_sheet(
    client: &Client,
    wish: NewOfflinePassword,
    group: Option<&str>,
    format: Format,
) -> Result<Answer, Failure> {
    let list: HostList = client.get("/v1/hosts").await?;
    let is_meant = |host: &&Host| {
        host.state == HostState::Active && group.is_none_or(|group| host.group.as_deref() == Some(group))
    };
    let hosts: Vec<_> = list.items.iter().filter(is_meant).collect();
    if hosts.is_empty() || hosts.len() > SHEET_HOSTS_MAX {
        let found = hosts.len();
        return Err(Failure::HostsMeant { found, most: SHEET_HOSTS_MAX });
    }
    let (mut made, mut left_out, mut last) = (Vec::new(), Vec::new(), None);
    for host in hosts {
        let wish = NewOfflinePassword { host: host.name.clone(), ..wish.clone() };
        match client.post::<MadeOfflinePassword>("/v1/offline", &wish).await {
            Ok(one) => made.push(one),
            // What is wrong of the wish is wrong for each of them.
            Err(failure) if made.is_empty() && left_out.is_empty() && failure.exit() != Exit::Conflict => {
                return Err(failure);
            }
            Err(failure) => {
                left_out.push(format!("{}: {failure}", host.name));
                last = Some(failure);
            }
        }
    }
    if let Some(failure) = last.filter(|_| made.is_empty()) {
        return Err(failure);
    }
    let sheet = MadeOfflineSheet { items: made, left_out };
    let answer = Answer::one(format, &Document::new("made_offline_password_list", &sheet), || {
        let rows = sheet.items.iter().map(|one| {
            let password = one.password.clone().unwrap_or_else(|| "mailed".into());
            [one.made.host.clone(), password, one.made.until.host.clone(), one.made.id.clone()]
        });
        let left_out = sheet.left_out.iter().map(|why| format!("not made for {why}\n"));
        format!(
            "{}{}",
            table::list(["HOST", "PASSWORD", "UNTIL (HOST)", "ID"], rows),
            left_out.collect::<String>()
        )
    });
    let said = sheet.items.first().map_or(ONCE, how_told);
    sheet.items.into_iter().for_each(|mut one| one.password.zeroize());
    Ok(answer?.saying(said))
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
        ("for", password.logins().to_owned()),
        ("lets in", password.lets_in()),
        (if password.minutes.is_some() { "to be used by" } else { "until" }, password.until.to_string()),
        ("clocks of the host", zone.to_owned()),
        ("state", password.state.word().to_owned()),
        ("used", or_dash(used.as_deref())),
        ("why", or_dash(password.why.as_deref())),
        ("made", format!("{} by {}", password.made, password.made_by)),
        ("revoked by", or_dash(password.revoked_by.as_deref())),
        ("mailed to", or_dash(password.mail.as_ref().map(ToString::to_string).as_deref())),
    ]
}

fn rows(passwords: &[OfflinePassword]) -> String {
    table::list(
        ["ID", "USER", "FOR", "LETS IN", "UNTIL (HOST)", "STATE", "MAIL", "MADE BY"],
        passwords.iter().map(|password| {
            let mail = password.mail.as_ref().and_then(|mail| mail.state);
            [
                password.id.clone(),
                or_dash(password.user.as_deref()),
                password.logins().to_owned(),
                password.lets_in(),
                password.until.host.clone(),
                password.state.word().to_owned(),
                or_dash(mail.map(MailProgress::words)),
                short(&password.made_by),
            ]
        }),
    )
}
