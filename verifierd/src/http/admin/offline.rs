//! Passwords that hosts check alone: making, looking, revoking.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use offline_password::HostCode;
use serde::Deserialize;
use wire::admin::{
    HostState, MadeOfflinePassword, NewOfflinePassword, OfflinePassword, OfflinePasswordList, OfflineScope,
    OfflineState,
};
use wire::error::ErrorCode;
use zeroize::Zeroize as _;

use super::Administration;
use super::asked::{Asked, Body, Named, Questions};
use super::described::Written;
use super::refusals::{Refusal, refusal};
use super::routes::Granted;
use crate::config::{Config, Justification};
use crate::hosts::{Host, HostError, HostName};
use crate::offline::{MakeError, NewPassword, PasswordRecord, WhenError, WishError, Wished, Zone};
use crate::people::{ADDRESS_BYTES_MAX, EmailAddress};

type Admin = State<Arc<Administration>>;

impl From<MakeError> for Refusal {
    fn from(error: MakeError) -> Self {
        let code = match error {
            MakeError::NoSuchPassword { .. } => ErrorCode::NotFound,
            MakeError::Why => ErrorCode::Malformed,
            MakeError::NoKey { .. } | MakeError::TooManyOpen { .. } | MakeError::NotOpen { .. } => {
                ErrorCode::Conflict
            }
            MakeError::NotStored { .. }
            | MakeError::Random(_)
            | MakeError::Busy
            | MakeError::TooManyMails => ErrorCode::Unavailable,
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
        .flat_map(|host| {
            admin.offline.shelf().of_host(&host.identity).into_iter().map(move |record| (host, record))
        })
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
    let why = admin.reason(wish.why.clone())?;
    let mail = wish.mail.as_deref().map(|to| address(to, &config)).transpose()?;
    let host = admin.host_called(&wish.host)?;
    if host.record.state() == HostState::Revoked {
        let message = format!("{} was revoked: no password is made for it", host.record.name);
        return Err(refusal(ErrorCode::Conflict, message));
    }
    let there = admin.offline.shelf().zone(&host.identity);
    let clocks = match wish.time_zone.as_deref() {
        None | Some("host") => there.clone(),
        Some("server") => Zone::here(),
        Some(name) => Zone::named(name)?,
    };
    let Wished { purpose, user, term } = Wished::of(&wish, admin.dialogue.clock.now(), &there, &clocks)?;
    let by = granted.actor().name;
    let new = NewPassword { host: host.identity.clone(), purpose, user, term, why, by, mail };
    let (record, password) = admin.offline.make(new).await?;
    let made = admin.show_offline(&host, &record);
    let password = record.mailed.is_none().then(|| password.expose().to_owned());
    let mut told = MadeOfflinePassword { made, password };
    let written = Written::of(&told);
    told.password.zeroize();
    Ok(written)
}

/// Where a password is to be mailed to.
fn address(to: &str, config: &Config) -> Result<EmailAddress, Refusal> {
    if config.mail.is_none() {
        let message = "no mail can be sent: the verifier has no mail server ([mail])";
        return Err(refusal(ErrorCode::Conflict, message.into()));
    }
    EmailAddress::parse(to).map_err(|error| {
        let message = if to.len() > ADDRESS_BYTES_MAX {
            format!(
                "an e-mail address has up to {ADDRESS_BYTES_MAX} characters, and this one {}",
                to.chars().count()
            )
        } else {
            format!("{to:?} is {error}")
        };
        refusal(ErrorCode::Malformed, message)
    })
}

pub(super) async fn revoke(
    State(admin): Admin,
    granted: Granted,
    Named(id): Named,
) -> Result<Json<OfflinePassword>, Refusal> {
    let (host, record) = admin.offline_password(&id)?;
    if admin.offline.shelf().state(&host, &record) == OfflineState::Void {
        let message = format!("{id} opens nothing any more: its host has another key");
        return Err(refusal(ErrorCode::Conflict, message));
    }
    let (which, by) = ((record.epoch, record.counter), granted.actor().name);
    let revoked = admin.offline.revoke(host.identity.clone(), which, by).await?;
    Ok(Json(admin.show_offline(&host, &revoked)))
}

impl Administration {
    /// A reason, where policy does not demand one or there is one.
    pub(super) fn reason(&self, said: Option<String>) -> Result<Option<String>, Refusal> {
        let why = said.map(|why| why.trim().to_owned()).filter(|why| !why.is_empty());
        if why.is_none() && self.dialogue.config.load().offline.justification == Justification::Required {
            return Err(refusal(ErrorCode::Malformed, "say why: a reason is needed here".into()));
        }
        Ok(why)
    }

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
        let record = self.offline.shelf().find(host.record.id, epoch, counter).ok_or_else(none)?;
        Ok((host, record))
    }

    /// A password as it is told of.
    fn show_offline(&self, host: &Host, record: &PasswordRecord) -> OfflinePassword {
        let told = self.offline.shelf().told(host, record);
        OfflinePassword { mail: self.offline.mail(record, told.state), ..told }
    }
}
