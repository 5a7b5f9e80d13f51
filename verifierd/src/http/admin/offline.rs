//! Passwords that hosts check alone: making, looking, revoking.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use offline_password::HostCode;
use serde::Deserialize;
use wire::admin::{
    BothClocks, MadeOfflinePassword, NewOfflinePassword, OfflinePassword, OfflinePasswordList, OfflineScope,
    OfflineState, OfflineUsed,
};
use wire::error::ErrorCode;
use zeroize::Zeroize as _;

use super::Administration;
use super::asked::{Asked, Body, Named, Questions};
use super::described::Written;
use super::refusals::{Refusal, refusal};
use super::routes::Granted;
use crate::audit::rfc3339;
use crate::clock::UnixTime;
use crate::config::Justification;
use crate::hosts::{Host, HostError, HostName};
use crate::offline::{
    MakeError, NewPassword, PasswordRecord, Reach, Standing, Time, WhenError, WishError, Wished, Zone,
};

type Admin = State<Arc<Administration>>;

impl From<MakeError> for Refusal {
    fn from(error: MakeError) -> Self {
        let code = match error {
            MakeError::NoSuchPassword { .. } => ErrorCode::NotFound,
            MakeError::Why => ErrorCode::Malformed,
            MakeError::NoKey { .. } | MakeError::TooManyOpen { .. } | MakeError::NotOpen { .. } => {
                ErrorCode::Conflict
            }
            MakeError::NotStored { .. } | MakeError::Random(_) | MakeError::Busy => ErrorCode::Unavailable,
        };
        refusal(code, error.to_string())
    }
}

impl From<WishError> for Refusal {
    fn from(error: WishError) -> Self {
        refusal(ErrorCode::Malformed, error.to_string())
    }
}

impl From<WhenError> for Refusal {
    fn from(error: WhenError) -> Self {
        WishError::from(error).into()
    }
}

/// Which passwords are listed.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// Name of their host, or its code.
    host: Option<String>,
}

impl Questions for Wanted {
    const TAKES: &str = "host=NAME";
}

pub(super) async fn list(
    State(admin): Admin,
    Asked(wanted): Asked<Wanted>,
) -> Result<Json<OfflinePasswordList>, Refusal> {
    let hosts = match wanted.host {
        Some(name) => vec![admin.host_called(&name)?],
        None => admin.registrar.hosts().all(),
    };
    let mut found: Vec<_> = hosts
        .iter()
        .flat_map(|host| admin.offline.of_host(&host.identity).into_iter().map(move |record| (host, record)))
        .collect();
    found.sort_by_key(|(_, record)| std::cmp::Reverse((record.made, record.epoch, record.counter)));
    let items = found.iter().map(|(host, record)| admin.show_offline(host, record)).collect();
    Ok(Json(OfflinePasswordList {
        api_version: wire::API_VERSION,
        kind: "offline_password_list".into(),
        items,
    }))
}

pub(super) async fn show(State(admin): Admin, Named(id): Named) -> Result<Json<OfflinePassword>, Refusal> {
    let (host, record) = admin.offline_password(&id)?;
    Ok(Json(admin.show_offline(&host, &record)))
}

pub(super) async fn issue(
    State(admin): Admin,
    granted: Granted,
    Body(wish): Body<NewOfflinePassword>,
) -> Result<Written<MadeOfflinePassword>, Refusal> {
    let config = admin.dialogue.config.load_full();
    if !config.offline.enabled {
        return Err(refusal(
            ErrorCode::Conflict,
            "offline passwords are turned off (offline.enabled)".into(),
        ));
    }
    if wish.scope == OfflineScope::LockoutReset && !config.offline.lockout_reset {
        let message = "passwords that end a wait are turned off (offline.lockout_reset)";
        return Err(refusal(ErrorCode::Conflict, message.into()));
    }
    let why = wish.why.as_deref().map(str::trim).filter(|why| !why.is_empty()).map(str::to_owned);
    if why.is_none() && config.offline.justification == Justification::Required {
        return Err(refusal(ErrorCode::Malformed, "say why: a reason is needed here".into()));
    }
    let host = admin.host_called(&wish.host)?;
    let there = admin.zone_of(&host);
    let clocks = match wish.time_zone.as_deref() {
        None | Some("host") => there.clone(),
        Some("server") => Zone::here(),
        Some(name) => Zone::named(name)?,
    };
    let Wished { purpose, user, term } = Wished::of(&wish, admin.dialogue.clock.now(), &there, &clocks)?;
    let by = granted.actor().name;
    let new = NewPassword { host: host.identity.clone(), purpose, user, term, why, by };
    let (record, password) = admin.offline.make(new).await?;
    let made = admin.show_offline(&host, &record);
    let mut told = MadeOfflinePassword { made, password: password.expose().to_owned() };
    let written = Written::of(&told);
    told.password.zeroize();
    Ok(written)
}

pub(super) async fn revoke(
    State(admin): Admin,
    granted: Granted,
    Named(id): Named,
) -> Result<Json<OfflinePassword>, Refusal> {
    let (host, record) = admin.offline_password(&id)?;
    if admin.state_of_offline(&host, &record) == OfflineState::Void {
        let message = format!("{id} opens nothing any more: its host has another key");
        return Err(refusal(ErrorCode::Conflict, message));
    }
    let revoked = admin.offline.revoke(host.identity.clone(), record.counter, granted.actor().name).await?;
    Ok(Json(admin.show_offline(&host, &revoked)))
}

impl Administration {
    /// A host by its name, or by the code at its prompt.
    fn host_called(&self, text: &str) -> Result<Arc<Host>, Refusal> {
        let name = HostName::new(text);
        let named = name.as_ref().ok().and_then(|name| self.registrar.hosts().find_by_name(name));
        if let Some(host) = named {
            return Ok(host);
        }
        if let Ok(code) = HostCode::read(text) {
            let has_it = |host: &Arc<Host>| HostCode::of(&host.record.id.bytes()) == code;
            let mut found = self.registrar.hosts().all().into_iter().filter(has_it);
            match (found.next(), found.next()) {
                (Some(host), None) => return Ok(host),
                (Some(_), Some(_)) => {
                    let message = format!("two hosts have the code {code}: give the host's name");
                    return Err(refusal(ErrorCode::Conflict, message));
                }
                (None, _) => {}
            }
        }
        Err(match name {
            Ok(name) => HostError::NoSuchHost { name }.into(),
            Err(_) => refusal(ErrorCode::NotFound, format!("no host has the name or the code {text:?}")),
        })
    }

    /// A password by its id.
    fn offline_password(&self, id: &str) -> Result<(Arc<Host>, Arc<PasswordRecord>), Refusal> {
        let none = || {
            refusal(
                ErrorCode::NotFound,
                format!("no offline password {id:?}: `postern offline list` has their ids"),
            )
        };
        let (numbers, name) = id.split_once('@').ok_or_else(none)?;
        let (epoch, counter) = numbers.split_once('-').ok_or_else(none)?;
        let (epoch, counter): (u32, u64) = epoch.parse().ok().zip(counter.parse().ok()).ok_or_else(none)?;
        let name = HostName::new(name).map_err(|_| none())?;
        let host = self.registrar.hosts().find_by_name(&name).ok_or_else(none)?;
        let is_it = |record: &Arc<PasswordRecord>| record.epoch == epoch && record.counter == counter;
        let record = self.offline.of_host(&host.identity).into_iter().find(is_it).ok_or_else(none)?;
        Ok((host, record))
    }

    /// The clocks of a host: as it says itself, and else ours.
    fn zone_of(&self, host: &Host) -> Zone {
        let said = self.offline.time_zone(&host.identity);
        said.and_then(|name| Zone::named(&name).ok()).unwrap_or_else(Zone::here)
    }

    fn state_of_offline(&self, host: &Host, record: &PasswordRecord) -> OfflineState {
        let is_present = self.offline.epoch(&host.identity) == Some(record.epoch);
        match record.standing {
            Standing::Used { .. } => OfflineState::Used,
            Standing::Revoked { .. } => OfflineState::Revoked,
            Standing::Open if !is_present => OfflineState::Void,
            Standing::Open if record.usable_until() <= self.dialogue.clock.now() => OfflineState::Expired,
            Standing::Open => OfflineState::Open,
        }
    }

    fn show_offline(&self, host: &Host, record: &PasswordRecord) -> OfflinePassword {
        let (there, here) = (self.zone_of(host), Zone::here());
        let both =
            |at: UnixTime| BothClocks { utc: rfc3339(at), host: there.told(at), server: here.told(at) };
        let (scope, service) = match &record.reach {
            Reach::Service(name) => (OfflineScope::Service, Some(name.clone())),
            Reach::All => (OfflineScope::AllServices, None),
            Reach::FileTransfers => (OfflineScope::FileTransfer, None),
            Reach::LockoutReset => (OfflineScope::LockoutReset, None),
        };
        let (minutes, from) = match record.time {
            Time::Preset { minutes, .. } => (Some(minutes), None),
            Time::Window { start, .. } => (None, Some(both(start))),
        };
        let (used, revoked_by) = match &record.standing {
            Standing::Open => (None, None),
            Standing::Revoked { by, .. } => (None, Some(by.clone())),
            Standing::Used { user, service, at, until } => {
                let (user, service) = (user.clone(), service.clone());
                (Some(OfflineUsed { user, service, at: rfc3339(*at), until: rfc3339(*until) }), None)
            }
        };
        OfflinePassword {
            id: format!("{}-{}@{}", record.epoch, record.counter, host.record.name),
            host: host.record.name.to_string(),
            user: record.user.clone(),
            scope,
            service,
            minutes: minutes.filter(|_| scope != OfflineScope::LockoutReset),
            from,
            until: both(record.usable_until()),
            host_time_zone: self.offline.time_zone(&host.identity),
            state: self.state_of_offline(host, record),
            why: record.why.clone(),
            made_by: record.by.clone(),
            made: rfc3339(record.made),
            used,
            revoked_by,
        }
    }
}
