//! Hosts of the fleet and their groups: looking, letting one join, its name and group, the end of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use hyper::{Method, StatusCode};
use serve::Reply;
use wire::admin::{EnrolHost, Host, HostList, HostState, JoinSecret, Policy, RenameHost, SetGroup};
use zeroize::Zeroizing;

use super::asking::{Ask, Refused, path, query};
use super::pages::{Page, Shown, may, redirect, shown};
use super::parts::{Cell, Facts, Field, NOTHING_TO_SAY, Rows, joined, sentence};
use super::policy::{rules, settings};
use super::{Asked, Web};
use crate::http::roles::Verb;
use crate::people::Person;

#[derive(Template)]
#[template(path = "web/hosts.html")]
struct HostsPage<'a> {
    visitor: &'a Shown,
    fault: String,
    hosts: Rows,
    groups: Rows,
    may_enrol: bool,
    fields: [Field; 2],
    is_again: bool,
}

#[derive(Template)]
#[template(path = "web/host_enrolled.html")]
struct EnrolledPage<'a> {
    visitor: &'a Shown,
    name: &'a str,
    until: &'a str,
    secret: &'a str,
    verifiers: &'a [String],
    link: String,
}

/// A form that changes one thing of a host.
struct ChangeForm {
    heading: &'static str,
    action: String,
    field: Field,
    button: &'static str,
}

#[derive(Template)]
#[template(path = "web/host.html")]
struct HostPage<'a> {
    visitor: &'a Shown,
    fault: String,
    name: &'a str,
    facts: Facts,
    settings: Rows,
    rules: Rows,
    forms: Vec<ChangeForm>,
    /// Where it is revoked; nowhere where this is empty.
    revoke: String,
}

#[derive(Template)]
#[template(path = "web/host_revoke.html")]
struct RevokePage<'a> {
    visitor: &'a Shown,
    fault: &'a str,
    name: &'a str,
    field: Field,
    action: String,
    link: String,
}

impl Web {
    /// Whatever is asked below `/hosts`.
    pub(super) async fn hosts(&self, asked: &Asked<'_>, person: &Arc<Person>, rest: &[&str]) -> Reply {
        match (*asked.method == Method::POST, rest) {
            (false, []) => self.hosts_page(asked, person, None).await,
            (true, []) => self.enrol_host(asked, person).await,
            (false, [name]) => self.host_page(asked, person, name, None).await,
            (false, [name, "revoke"]) => self.revoke_page(asked, person, name, "").await,
            (true, [name, "revoke"]) => self.revoke_host(asked, person, name).await,
            (true, [name, "rename"]) => {
                let to = asked.form.typed("name").unwrap_or_default();
                let wish = Ask::post(of(name, &["rename"]), &RenameHost { name: to.to_owned() });
                self.change_host(asked, person, name, wish).await
            }
            (true, [name, "group"]) => {
                let group = asked.form.typed("group").map(str::to_owned);
                let wish = Ask::put(of(name, &["group"]), &SetGroup { group });
                self.change_host(asked, person, name, wish).await
            }
            _ => {
                let visitor = shown(asked, person);
                Page::message("Not found", "Nothing is at this address.", &visitor)
                    .reply(StatusCode::NOT_FOUND)
            }
        }
    }

    async fn hosts_page(&self, asked: &Asked<'_>, person: &Arc<Person>, fault: Option<Refused>) -> Reply {
        let visitor = shown(asked, person);
        let list = match self.ask::<HostList>(person, Ask::get("/v1/hosts")).await {
            Ok(list) => list.items,
            Err(refused) => return refusal("Hosts", &refused, &visitor),
        };
        let typed = |name| asked.form.typed(name).filter(|_| fault.is_some());
        let page = HostsPage {
            visitor: &visitor,
            hosts: rows(&list),
            groups: groups(&list),
            may_enrol: may(person, Verb::HostEnrol),
            fields: [
                Field::new("name", "Name", typed("name")).required(),
                Field::new("group", "Group", typed("group")).with_hint("It may be in none."),
            ],
            is_again: typed("again").is_some(),
            fault: fault.as_ref().map(|fault| sentence(&fault.message)).unwrap_or_default(),
        };
        Page::of(&page).reply(fault.map_or(StatusCode::OK, |fault| fault.status))
    }

    /// Tells the join secret, once: in this answer, which nobody keeps.
    async fn enrol_host(&self, asked: &Asked<'_>, person: &Arc<Person>) -> Reply {
        let wish = EnrolHost {
            name: asked.form.typed("name").unwrap_or_default().to_owned(),
            group: asked.form.typed("group").map(str::to_owned),
            again: asked.form.typed("again").is_some(),
        };
        match self.ask::<JoinSecret>(person, Ask::post("/v1/hosts", &wish)).await {
            Ok(JoinSecret { host, secret, until, verifiers, .. }) => {
                let (secret, visitor) = (Zeroizing::new(secret), shown(asked, person));
                let (name, link) = (host.name.as_str(), page_of(&host.name, &[]));
                let (until, verifiers) = (until.as_str(), verifiers.as_slice());
                let page = EnrolledPage { visitor: &visitor, name, until, secret: &secret, verifiers, link };
                Page::of(&page).reply(StatusCode::OK)
            }
            Err(refused) => self.hosts_page(asked, person, Some(refused)).await,
        }
    }

    async fn host_page(
        &self,
        asked: &Asked<'_>,
        person: &Arc<Person>,
        name: &str,
        fault: Option<Refused>,
    ) -> Reply {
        let visitor = shown(asked, person);
        let host = match self.ask::<Host>(person, Ask::get(of(name, &[]))).await {
            Ok(host) => host,
            Err(refused) => return refusal("Host", &refused, &visitor),
        };
        let holds = Ask::get(format!("/v1/policy{}", query([("host", host.name.as_str())])));
        let policy = match self.ask::<Policy>(person, holds).await {
            Ok(policy) => policy,
            Err(refused) => return refusal("Host", &refused, &visitor),
        };
        let is_revoked = host.state == HostState::Revoked;
        let may_revoke = may(person, Verb::HostRevoke) && !is_revoked;
        let page = HostPage {
            visitor: &visitor,
            fault: fault.as_ref().map(|fault| sentence(&fault.message)).unwrap_or_default(),
            name: &host.name,
            facts: facts(&host),
            settings: settings(&policy.settings),
            rules: rules(&policy.rules),
            forms: if is_revoked { Vec::new() } else { forms(&host, person) },
            revoke: if may_revoke { page_of(&host.name, &["revoke"]) } else { String::new() },
        };
        Page::of(&page).reply(fault.map_or(StatusCode::OK, |fault| fault.status))
    }

    async fn change_host(&self, asked: &Asked<'_>, person: &Arc<Person>, name: &str, wish: Ask) -> Reply {
        match self.ask::<Host>(person, wish).await {
            Ok(host) => redirect(&page_of(&host.name, &[])),
            Err(refused) => self.host_page(asked, person, name, Some(refused)).await,
        }
    }

    /// What follows, and a field for the host's name: no click alone is the end of a machine.
    async fn revoke_page(&self, asked: &Asked<'_>, person: &Arc<Person>, name: &str, fault: &str) -> Reply {
        let visitor = shown(asked, person);
        if !may(person, Verb::HostRevoke) {
            return refusal("Revoke", &Refused::denied(), &visitor);
        }
        let host = match self.ask::<Host>(person, Ask::get(of(name, &[]))).await {
            Ok(host) => host,
            Err(refused) => return refusal("Revoke", &refused, &visitor),
        };
        let page = RevokePage {
            visitor: &visitor,
            fault,
            name: &host.name,
            field: Field::new("name", "Type the host's name", None).required(),
            action: page_of(&host.name, &["revoke"]),
            link: page_of(&host.name, &[]),
        };
        Page::of(&page).reply(if fault.is_empty() { StatusCode::OK } else { StatusCode::CONFLICT })
    }

    async fn revoke_host(&self, asked: &Asked<'_>, person: &Arc<Person>, name: &str) -> Reply {
        if asked.form.typed("name") != Some(name) {
            return self.revoke_page(asked, person, name, "That is not the name of this host.").await;
        }
        self.change_host(asked, person, name, Ask::post(of(name, &["revoke"]), &())).await
    }
}

/// The route of a host.
fn of(name: &str, more: &[&str]) -> String {
    path(&[&["v1", "hosts", name], more].concat())
}

/// The page of a host.
fn page_of(name: &str, more: &[&str]) -> String {
    path(&[&["hosts", name], more].concat())
}

fn refusal(title: &str, refused: &Refused, visitor: &Shown) -> Reply {
    Page::message(title, &sentence(&refused.message), visitor).reply(refused.status)
}

fn rows(hosts: &[Host]) -> Rows {
    let row = |host: &Host| {
        [
            Cell::leading(&host.name, page_of(&host.name, &[])),
            host.group.as_deref().into(),
            standing(host).into(),
            host.last_seen.as_deref().into(),
            host.certificate_until.as_deref().into(),
            host.agent_version.as_deref().into(),
            clock(host.clock_ahead_seconds).into(),
        ]
    };
    let headings = ["Host", "Group", "State", "Last seen", "Certificate until", "Agent", "Clock"];
    Rows::new(headings, hosts.iter().map(row), "There are no hosts.")
}

/// Groups with those of their hosts that are not revoked.
fn groups(hosts: &[Host]) -> Rows {
    let mut groups: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for host in hosts.iter().filter(|host| host.state != HostState::Revoked) {
        if let Some(group) = &host.group {
            groups.entry(group).or_default().push(host.name.clone());
        }
    }
    let rows = groups.into_iter().map(|(group, hosts)| [Cell::from(group), joined(&hosts).into()]);
    Rows::new(["Group", "Hosts"], rows, "No host is in a group.")
}

fn facts(host: &Host) -> Facts {
    Facts(vec![
        ("Id", host.id.as_str().into()),
        ("Former names", joined(&host.former_names).into()),
        ("Group", host.group.as_deref().into()),
        ("State", standing(host).into()),
        ("Created", host.created.as_str().into()),
        ("Joined", host.joined.as_deref().into()),
        ("Revoked", host.revoked.as_deref().into()),
        ("May join until", host.join_until.as_deref().into()),
        ("Certificate until", host.certificate_until.as_deref().into()),
        ("Last seen", host.last_seen.as_deref().into()),
        ("Connections", host.connections.to_string().into()),
        ("Agent", host.agent_version.as_deref().into()),
        ("Clock", clock(host.clock_ahead_seconds).into()),
        ("Code when cut off", host.host_code.clone().into()),
        ("Frozen until", host.frozen_until.as_deref().into()),
        (
            "Offline passwords",
            Cell::leading("Those of this host", format!("/offline{}", query([("host", host.name.as_str())]))),
        ),
    ])
}

fn forms(host: &Host, person: &Person) -> Vec<ChangeForm> {
    let form = |verb, heading, what, field, button| {
        let action = page_of(&host.name, &[what]);
        may(person, verb).then_some(ChangeForm { heading, action, field, button })
    };
    let name = Field::new("name", "New name", None).required();
    let group = Field::new("group", "Group", host.group.as_deref()).with_hint("Empty: in none.");
    [
        form(Verb::HostRename, "Rename", "rename", name, "Rename"),
        form(Verb::HostGroup, "Group", "group", group, "Set the group"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn standing(host: &Host) -> String {
    let state = match host.state {
        HostState::Pending => "pending",
        HostState::Active => "active",
        HostState::Revoked => "revoked",
    };
    if host.connections > 0 { format!("{state}, connected") } else { state.to_owned() }
}

/// How far the host's clock is off. A second or two is the way of the message.
fn clock(ahead: Option<i64>) -> String {
    match ahead {
        None => NOTHING_TO_SAY.to_owned(),
        Some(-2..=2) => "right".to_owned(),
        Some(ahead) if ahead > 0 => format!("{ahead} s ahead"),
        Some(behind) => format!("{} s behind", behind.unsigned_abs()),
    }
}
