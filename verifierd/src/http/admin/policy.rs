//! What holds where, and what a login would meet. Both ask the parts that logins ask.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use wire::admin::{AccessRule, Demanded, EffectiveSetting, Policy, PolicyTrial, RolloutMode};
use wire::error::ErrorCode;

use super::Administration;
use super::asked::{Asked, Questions};
use super::refusals::{Refusal, refusal};
use crate::accounts::{User, UserName};
use crate::audit::{Reason, rfc3339};
use crate::clock::UnixTime;
use crate::config::{Config, Grace, Lenience, Rule};
use crate::dialogue::ask_for_memberships;
use crate::hosts::{HostIdentity, HostName};
use crate::login::Login;
use crate::policy::{
    Demand, Leave, Memberships, RecordingTerms, RequestTerms, Ruled, SetBy, Setting, Settings, Terms,
    remembered_for, that_may_hold,
};

type Admin = State<Arc<Administration>>;

/// Of which policy.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    host: Option<String>,
    user: Option<String>,
    service: Option<String>,
}

impl Questions for Wish {
    const TAKES: &str = "host=NAME, user=NAME and service=NAME";
}

pub(super) async fn show(State(admin): Admin, Asked(wish): Asked<Wish>) -> Result<Json<Policy>, Refusal> {
    let host = wish.host.as_deref().map(|name| admin.host_named(name)).transpose()?;
    let user = wish.user.as_deref().map(user_name).transpose()?;
    if let Some(unknown) = user.as_ref().filter(|name| admin.dialogue.accounts.find(name).is_none()) {
        return Err(refusal(ErrorCode::NotFound, format!("no user {:?}", unknown.as_str())));
    }
    let config = admin.dialogue.config.load_full();
    let memberships = match &user {
        Some(name) => memberships_of(name, &config.rules).await,
        None => Memberships::new(),
    };
    let user = user.as_ref().map(|name| (name, &memberships));
    let rules = that_may_hold(&config.rules, host.as_ref(), wish.service.as_deref(), user);
    Ok(Json(Policy {
        api_version: wire::API_VERSION,
        kind: "policy".into(),
        host: host.as_ref().map(|host| host.name.to_string()),
        group: host.as_ref().and_then(|host| Some(host.group.as_ref()?.to_string())),
        settings: effective_settings(host.as_ref(), &config),
        rules: rules.into_iter().map(access_rule).collect(),
    }))
}

/// Which login.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Attempted {
    user: String,
    service: String,
    host: Option<String>,
    from: Option<String>,
    at: Option<String>,
}

impl Questions for Attempted {
    const TAKES: &str = "user=NAME and service=NAME, and maybe host=NAME, from=ADDRESS and at=TIME";
}

pub(super) async fn try_login(
    State(admin): Admin,
    Asked(attempted): Asked<Attempted>,
) -> Result<Json<PolicyTrial>, Refusal> {
    let Attempted { user, service, host, from, at } = attempted;
    let host = host.as_deref().map(|name| admin.host_named(name)).transpose()?;
    let user = user_name(&user)?;
    let now = match at {
        Some(at) => parse_time(&at)?,
        None => admin.dialogue.clock.now(),
    };
    let login = Login::from(user.as_str(), &service, host, from.as_deref());
    let (terms, demanded) = admin.dialogue.demanded(&login, now).await;
    let known = admin.dialogue.accounts.find(&user);
    let (demand, reason) = meaning(&demanded, known.as_deref(), &terms);
    Ok(Json(PolicyTrial {
        api_version: wire::API_VERSION,
        kind: "policy_trial".into(),
        user: user.to_string(),
        host: login.host.as_ref().map(|host| host.name.to_string()),
        group: login.host.as_ref().and_then(|host| Some(host.group.as_ref()?.to_string())),
        service: login.service,
        from: login.rhost,
        at: rfc3339(now),
        rule: terms.rule().map(|rule| rule.as_ref().to_owned()),
        then: match terms.ruled {
            Ruled::Decided { then, .. } => Some(then),
            Ruled::NoRule | Ruled::Undecidable { .. } => None,
        },
        rollout: match terms.lenience {
            None => RolloutMode::Enforce,
            Some(Lenience::Observe) => RolloutMode::Observe,
            Some(Lenience::Grace) => RolloutMode::Grace,
        },
        demand,
        reason: reason.map(Reason::word),
        why: terms.why().map(str::to_owned),
    }))
}

/// What a demand comes to for this user, and the reason where no answer decides.
fn meaning(demanded: &Demand, user: Option<&User>, terms: &Terms) -> (Demanded, Option<Reason>) {
    let either = |leave: Leave, asked, or_nothing| if leave.is_given() { or_nothing } else { asked };
    match demanded {
        Demand::Nothing(reason) => (Demanded::Nothing, Some(*reason)),
        Demand::Refused(reason) => (Demanded::Refusal, Some(*reason)),
        Demand::Code { leave } => match user {
            None => (Demanded::Refusal, Some(Reason::UnknownUser)),
            Some(user) if !user.can_answer() => (Demanded::Refusal, Some(Reason::TokenMissing)),
            Some(_) => (either(*leave, Demanded::Code, Demanded::CodeOrNothing), None),
        },
        // Where no secret is shown, whoever has one from elsewhere may use it.
        Demand::Enrolment { leave, .. } if !terms.may_show_secrets => {
            (either(*leave, Demanded::Code, Demanded::CodeOrNothing), None)
        }
        Demand::Enrol if !terms.may_show_secrets => (Demanded::Refusal, Some(Reason::UnknownUser)),
        Demand::Enrolment { leave, .. } => {
            (either(*leave, Demanded::Enrolment, Demanded::EnrolmentOrNothing), None)
        }
        Demand::Enrol => {
            (either(terms.leave_of_a_new_app(), Demanded::Enrolment, Demanded::EnrolmentOrNothing), None)
        }
        Demand::Association { leave } => {
            (either(*leave, Demanded::Association, Demanded::AssociationOrNothing), None)
        }
        Demand::Request { leave } => (either(*leave, Demanded::Request, Demanded::RequestOrNothing), None),
        Demand::Secondary { leave } => {
            (either(*leave, Demanded::Secondary, Demanded::SecondaryOrNothing), None)
        }
        Demand::Closed => (Demanded::RecoveryCode, Some(Reason::EnrolmentClosed)),
    }
}

impl Administration {
    /// A host by its present name.
    pub(super) fn host_named(&self, name: &str) -> Result<HostIdentity, Refusal> {
        let known = HostName::new(name).ok().and_then(|name| self.registrar.hosts().find_by_name(&name));
        let known = known.ok_or_else(|| refusal(ErrorCode::NotFound, format!("no host {name:?}")))?;
        Ok(known.identity.clone())
    }
}

fn user_name(name: &str) -> Result<UserName, Refusal> {
    UserName::new(name).map_err(|error| refusal(ErrorCode::Malformed, format!("{name:?}: {error}")))
}

fn parse_time(text: &str) -> Result<UnixTime, Refusal> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok();
    let time = time.and_then(|time| UnixTime::try_from(time.unix_timestamp()).ok());
    time.ok_or_else(|| {
        refusal(ErrorCode::Malformed, format!("{text:?} is no time such as 2026-12-01T09:00:00Z"))
    })
}

async fn memberships_of(user: &UserName, rules: &[Rule]) -> Memberships {
    let groups: BTreeSet<_> = rules.iter().flat_map(|rule| rule.user_groups.iter().cloned()).collect();
    if groups.is_empty() { Memberships::new() } else { ask_for_memberships(None, user.clone(), groups).await }
}

fn effective_settings(host: Option<&HostIdentity>, config: &Config) -> Vec<EffectiveSetting> {
    let Settings { on_unenrolled, require_token, login_step, rollout, .. } = Settings::at(host, config);
    let Settings { enrol_with, open_for, enrol_at_hosts, grace, .. } = Settings::at(host, config);
    let RequestTerms { mode, approvers, request_ttl, password_ttl, profile } = RequestTerms::at(host, config);
    let RecordingTerms { recorder, on_failure } = RecordingTerms::at(host, config);
    let records = !recorder.value.is_empty();
    let (limits, until) = (limits_of(grace.value), rollout.value.until());
    let shown = |name: &str, set_by: SetBy, value: Option<String>| {
        let (name, source) = (name.into(), source_of(set_by, host));
        Some(EffectiveSetting { name, value: value?, source })
    };
    [
        shown("on_unenrolled", on_unenrolled.set_by, word(&on_unenrolled)),
        shown("require_token", require_token.set_by, word(&require_token)),
        shown("login_step", login_step.set_by, word(&login_step)),
        shown("request_mode", mode.set_by, word(&mode)),
        shown("approvers", approvers.set_by, Some(approvers.value.join(", ")).filter(|all| !all.is_empty())),
        shown("request_ttl", request_ttl.set_by, Some(duration(request_ttl.value))),
        shown("password_ttl", password_ttl.set_by, Some(duration(password_ttl.value))),
        shown("profile", profile.set_by, word(&profile)),
        shown("rollout", rollout.set_by, Some(mode_word(rollout.value.mode()))),
        shown("rollout_until", rollout.set_by, until),
        shown("enrolment.with", enrol_with.set_by, word(&enrol_with)),
        shown(
            "enrolment.open_for",
            open_for.set_by,
            Some(open_for.value.map_or("no limit".into(), duration)),
        ),
        shown("enrolment.at_hosts", enrol_at_hosts.set_by, word(&enrol_at_hosts)),
        shown("enrolment.grace", grace.set_by, Some(limits.grace.into())),
        shown("enrolment.grace_period", grace.set_by, limits.period.map(duration)),
        shown("enrolment.grace_logins", grace.set_by, limits.logins.map(|logins| logins.to_string())),
        shown("session.recorder", recorder.set_by, records.then(|| recorder.value.join(" "))),
        shown("session.recorder_failure", on_failure.set_by, word(&on_failure).filter(|_| records)),
    ]
    .into_iter()
    .flatten()
    .chain(remembered(host, config))
    .collect()
}

/// For how long a code counts, for each service of which that is said somewhere.
fn remembered(host: Option<&HostIdentity>, config: &Config) -> Vec<EffectiveSetting> {
    let own = host.and_then(|host| config.hosts.get(&host.name));
    let of_group = host.and_then(|host| config.groups.get(host.group.as_ref()?));
    let said = [own, of_group].into_iter().flatten().map(|said| &said.remember);
    let services: BTreeSet<_> = said.chain([&config.remember]).flat_map(|said| said.keys()).collect();
    let shown = services.into_iter().map(|service| {
        let Setting { value, set_by } = remembered_for(host, service, config);
        let (name, source) = (format!("remember.{service}"), source_of(set_by, host));
        EffectiveSetting { name, value: duration(value), source }
    });
    shown.collect()
}

/// The three settings that say a grace.
struct Limits {
    grace: &'static str,
    period: Option<Duration>,
    logins: Option<u32>,
}

fn limits_of(grace: Grace) -> Limits {
    match grace {
        Grace::None => Limits { grace: "none", period: None, logins: None },
        Grace::Unlimited => Limits { grace: "unlimited", period: None, logins: None },
        Grace::Limited { period, logins } => Limits { grace: "limited", period, logins },
    }
}

fn source_of(set_by: SetBy, host: Option<&HostIdentity>) -> String {
    let host_name = host.map(|host| format!("host {}", host.name));
    let group_name = host.and_then(|host| Some(format!("group {}", host.group.as_ref()?)));
    let named = match set_by {
        SetBy::Host => host_name,
        SetBy::Group => group_name,
        SetBy::Default => None,
    };
    named.unwrap_or_else(|| "default".into())
}

fn duration(duration: Duration) -> String {
    humantime_serde::re::humantime::format_duration(duration).to_string()
}

/// As the file writes it.
fn word<T: Serialize>(setting: &Setting<T>) -> Option<String> {
    let value = serde_json::to_value(&setting.value).ok()?;
    Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}

/// As the file writes it.
pub(super) fn mode_word(mode: RolloutMode) -> String {
    match mode {
        RolloutMode::Observe => "observe",
        RolloutMode::Grace => "grace",
        RolloutMode::Enforce => "enforce",
    }
    .into()
}

fn access_rule(rule: &Rule) -> AccessRule {
    fn condition<'a, T: ToString + 'a>(key: &str, values: impl IntoIterator<Item = &'a T>) -> Option<String> {
        let values: Vec<String> = values.into_iter().map(ToString::to_string).collect();
        (!values.is_empty()).then(|| format!("{key} {}", values.join(" or ")))
    }
    let window = rule.window.as_ref().map(|window| format!("time {} {}", window.text(), window.zone()));
    let conditions = [
        condition("source", &rule.sources),
        condition("host", &rule.hosts),
        condition("group", &rule.groups),
        condition("service", &rule.services),
        condition("user", &rule.users),
        condition("user_group", &rule.user_groups),
        window,
    ];
    AccessRule {
        name: rule.name.as_ref().to_owned(),
        then: rule.then,
        conditions: conditions.into_iter().flatten().collect(),
    }
}
