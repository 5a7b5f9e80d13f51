//! How far the roll-out is: counts the logins of the audit trail by the place whose roll-out they are part of.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use ledger::{Ledger, ReadError};
use wire::admin::{AuditRecord, RolloutMode, RolloutPlace, RolloutStatus};

use super::Administration;
use super::refusals::Refusal;
use crate::accounts::{Accounts, TokenState};
use crate::audit::record;
use crate::clock::UnixTime;
use crate::config::{Config, Lenience, Rollout};
use crate::hosts::{GroupName, HostIdentity, HostName, Hosts};

/// How many of the newest records are looked at: a million are the logins of a day of a large site, or of a year of a
/// small one, and take some seconds to read.
const RECORDS_MAX: u64 = 1_000_000;

/// How many are read at once.
const PAGE: usize = 1_000;

/// Whose roll-out a login is part of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Default,
    Group(GroupName),
    Host(HostName),
}

impl Place {
    fn of(host: &HostIdentity, config: &Config) -> Self {
        let has_own = config.hosts.get(&host.name).is_some_and(|said| said.rollout.is_some());
        match &host.group {
            _ if has_own => Self::Host(host.name.clone()),
            Some(group) => Self::Group(group.clone()),
            None => Self::Default,
        }
    }

    fn rollout(&self, config: &Config) -> Rollout {
        let said = match self {
            Self::Default => None,
            Self::Group(name) => config.groups.get(name),
            Self::Host(name) => config.hosts.get(name),
        };
        said.and_then(|said| said.rollout).unwrap_or(config.rollout)
    }

    fn name(&self) -> String {
        match self {
            Self::Default => "default".into(),
            Self::Group(name) => format!("group {name}"),
            Self::Host(name) => format!("host {name}"),
        }
    }
}

pub(super) async fn status(State(admin): State<Arc<Administration>>) -> Result<Json<RolloutStatus>, Refusal> {
    let config = admin.dialogue.config.load_full();
    let (mut tally, accounts) =
        (Tally::new(&config, admin.registrar.hosts()), Arc::clone(&admin.dialogue.accounts));
    let tally = admin
        .read(move |ledger| {
            tally.count_all(ledger, &accounts)?;
            Ok(tally)
        })
        .await?;
    let now = admin.dialogue.clock.now();
    Ok(Json(RolloutStatus {
        api_version: wire::API_VERSION,
        kind: "rollout_status".into(),
        items: tally.counts.iter().map(|(place, count)| shown(place, count, &config, now)).collect(),
        since: tally.since,
    }))
}

fn shown(place: &Place, count: &Count, config: &Config, now: UnixTime) -> RolloutPlace {
    const DAY_SECONDS: u64 = 86_400;
    let rollout = place.rollout(config);
    let left = rollout.ends().filter(|end| now < *end).map(|end| (end - now).div_ceil(DAY_SECONDS));
    RolloutPlace {
        place: place.name(),
        mode: match rollout.lenience_at(now) {
            None => RolloutMode::Enforce,
            Some(Lenience::Observe) => RolloutMode::Observe,
            Some(Lenience::Grace) => RolloutMode::Grace,
        },
        until: rollout.until(),
        days_left: left,
        users: count.users,
        with_token: count.with_token,
        would_be_refused: count.would_be_refused,
    }
}

/// What was counted in one place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    users: u64,
    with_token: u64,
    would_be_refused: u64,
}

/// What was counted.
struct Tally {
    counts: BTreeMap<Place, Count>,
    /// By present and former names.
    places: HashMap<String, Place>,
    /// Hashes of places and users, so that long names cost no more memory than short ones.
    seen: HashSet<u64>,
    hasher: RandomState,
    since: Option<String>,
}

impl Tally {
    fn new(config: &Config, hosts: &Hosts) -> Self {
        let own = config.hosts.iter().filter(|(_, said)| said.rollout.is_some());
        let own = own.map(|(name, _)| Place::Host(name.clone()));
        let groups = config.groups.keys().cloned().map(Place::Group);
        let places: HashMap<_, _> = hosts
            .all()
            .iter()
            .flat_map(|host| {
                let place = Place::of(&host.identity, config);
                host.record.names().map(move |name| (name.to_string(), place.clone())).collect::<Vec<_>>()
            })
            .collect();
        let all = [Place::Default].into_iter().chain(groups).chain(own).chain(places.values().cloned());
        let counts = all.map(|place| (place, Count::default())).collect();
        Self { counts, places, seen: HashSet::new(), hasher: RandomState::new(), since: None }
    }

    /// Counts the newest records.
    fn count_all(&mut self, ledger: &dyn Ledger, accounts: &Accounts) -> Result<(), ReadError> {
        let newest = ledger.audit_newest()?;
        let mut after = newest.saturating_sub(RECORDS_MAX);
        while after < newest {
            let lines = ledger.audit_after(after, PAGE)?;
            let Some(last) = lines.last() else { break };
            after = last.sequence;
            lines.iter().for_each(|line| self.count(&record(line), accounts));
        }
        Ok(())
    }

    fn count(&mut self, record: &AuditRecord, accounts: &Accounts) {
        if record.event != "login" {
            return;
        }
        self.since.get_or_insert_with(|| record.at.clone());
        let place = record.host.as_ref().and_then(|host| self.places.get(host)).unwrap_or(&Place::Default);
        let Some(count) = self.counts.get_mut(place) else { return };
        if record.rollout.is_some() {
            count.would_be_refused += 1 + record.repeats.unwrap_or(0);
        }
        let Some(user) = &record.user else { return };
        let known = accounts.find_named(user);
        // Names that somebody makes up are no users.
        let is_in = matches!(record.verdict.as_deref(), Some("allow" | "not_required"));
        if (known.is_some() || is_in) && self.seen.insert(self.hasher.hash_one((place.name(), user))) {
            count.users += 1;
            let works = known
                .is_some_and(|user| user.tokens.iter().any(|token| token.state() == TokenState::Associated));
            count.with_token += u64::from(works);
        }
    }
}
