//! Hosts of the fleet: names, groups, join secrets, revocation.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use offline_password::HostCode;
use wire::admin::{EnrolHost, HostList, JoinSecret, RenameHost, SetGroup};
use wire::error::ErrorCode;

use super::Administration;
use super::asked::{Body, Named};
use super::refusals::{Refusal, refusal};
use super::routes::Granted;
use crate::audit::rfc3339;
use crate::hosts::registrar::Enrolled;
use crate::hosts::{GroupName, Host, HostError, HostName};
use crate::http::fleet;

type Admin = State<Arc<Administration>>;

impl From<HostError> for Refusal {
    fn from(error: HostError) -> Self {
        refusal(fleet::code_of(&error), error.to_string())
    }
}

pub(super) async fn list(State(admin): Admin) -> Json<HostList> {
    let items = admin.registrar.hosts().all().iter().map(|host| admin.show_host(host)).collect();
    Json(HostList { api_version: wire::API_VERSION, kind: "host_list".into(), items })
}

pub(super) async fn show(
    State(admin): Admin,
    Named(name): Named,
) -> Result<Json<wire::admin::Host>, Refusal> {
    let name = host_name(&name)?;
    let host = admin.registrar.hosts().find_by_name(&name).ok_or(HostError::NoSuchHost { name })?;
    Ok(Json(admin.show_host(&host)))
}

pub(super) async fn enrol(
    State(admin): Admin,
    granted: Granted,
    Body(wish): Body<EnrolHost>,
) -> Result<Json<JoinSecret>, Refusal> {
    let name = host_name(&wish.name)?;
    let group = wish.group.as_deref().map(group_name).transpose()?;
    let authority = admin.registrar.authority().ok_or(HostError::NoFleet)?;
    let Enrolled { host, secret } = admin.registrar.enrol(name, group, wish.again, granted.actor()).await?;
    let until = host.record.join.map(|join| rfc3339(join.until)).unwrap_or_default();
    let verifiers = admin.dialogue.config.load().fleet.as_ref().map(|fleet| fleet.urls()).unwrap_or_default();
    Ok(Json(JoinSecret {
        api_version: wire::API_VERSION,
        kind: "join_secret".into(),
        host: admin.show_host(&host),
        secret: secret.text(&authority.fingerprint()).to_string(),
        until,
        verifiers,
    }))
}

pub(super) async fn revoke(
    State(admin): Admin,
    granted: Granted,
    Named(name): Named,
) -> Result<Json<wire::admin::Host>, Refusal> {
    let host = admin.registrar.revoke(host_name(&name)?, granted.actor()).await?;
    Ok(Json(admin.show_host(&host)))
}

pub(super) async fn rename(
    State(admin): Admin,
    granted: Granted,
    Named(name): Named,
    Body(wish): Body<RenameHost>,
) -> Result<Json<wire::admin::Host>, Refusal> {
    let (name, to) = (host_name(&name)?, host_name(&wish.name)?);
    let host = admin.registrar.rename(name, to, granted.actor()).await?;
    Ok(Json(admin.show_host(&host)))
}

pub(super) async fn set_group(
    State(admin): Admin,
    granted: Granted,
    Named(name): Named,
    Body(wish): Body<SetGroup>,
) -> Result<Json<wire::admin::Host>, Refusal> {
    let group = wish.group.as_deref().map(group_name).transpose()?;
    let host = admin.registrar.set_group(host_name(&name)?, group, granted.actor()).await?;
    Ok(Json(admin.show_host(&host)))
}

impl Administration {
    /// A host with what is known of it since the start.
    fn show_host(&self, host: &Host) -> wire::admin::Host {
        let Host { record, presence, .. } = host;
        let (said, ticket) = (presence.said(), host.join_ticket(&*self.dialogue.clock));
        wire::admin::Host {
            api_version: wire::API_VERSION,
            kind: "host".into(),
            id: record.id.to_string(),
            name: record.name.to_string(),
            former_names: record.former_names.iter().map(ToString::to_string).collect(),
            group: record.group.as_ref().map(ToString::to_string),
            state: record.state(),
            created: rfc3339(record.created),
            joined: record.joined.map(rfc3339),
            revoked: record.revoked.map(rfc3339),
            join_until: ticket.filter(|join| join.used_by.is_none()).map(|join| rfc3339(join.until)),
            certificate_until: record.keys().map(|key| key.until).max().map(rfc3339),
            last_seen: presence.seen().map(rfc3339),
            connections: u32::try_from(presence.connections()).unwrap_or(u32::MAX),
            agent_version: said.as_ref().map(|said| said.agent_version.clone()),
            clock_ahead_seconds: said.map(|said| said.clock_ahead),
            host_code: HostCode::of(&record.id.bytes()).to_string(),
            frozen_until: self.offline.shelf().frozen_until(&host.identity).map(rfc3339),
        }
    }
}

pub(super) fn host_name(text: &str) -> Result<HostName, Refusal> {
    HostName::new(text).map_err(|error| refusal(ErrorCode::Malformed, format!("{text:?}: {error}")))
}

fn group_name(text: &str) -> Result<GroupName, Refusal> {
    GroupName::new(text).map_err(|error| refusal(ErrorCode::Malformed, format!("{text:?}: {error}")))
}
