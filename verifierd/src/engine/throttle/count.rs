//! One count: what it stands for, how it rises and ends, and its form in the ledger.

use std::time::Duration;

use ledger::Change;
use otp_core::ThrottleRules;
use serde::{Deserialize, Serialize};

use super::bans::Whose;
use crate::accounts::kind;
use crate::clock::UnixTime;
use crate::engine::Source;
use crate::engine::telling::Telling;
use crate::expiry::{Fate, Key};

/// How often a sweep looks at one that counts failures.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// How often it looks at one that only remembers that a source is usual.
const LOOK_AT_USUAL_EVERY: Duration = Duration::from_secs(3600);

/// A count is forgotten this long after its last failure: no guesser who waits so long gets far.
const FORGET_AFTER: Duration = Duration::from_secs(24 * 3600);

/// Failures in a row of one user at one host, from one place or from all unusual ones, after which the host is not
/// listened to about him: with both, half of the hundred that disable a token, which leaves the other half to the rest of
/// the fleet.
pub(super) const HOST_FAILURES_MAX: u32 = 25;

/// For how long. Then one more try counts, and so on.
const HOST_CLOSED_FOR: Duration = Duration::from_secs(24 * 3600);

/// What a host's failures add up to is remembered this long after the last one, so that pauses win nothing.
const FORGET_HOST_AFTER: Duration = Duration::from_secs(30 * 24 * 3600);

/// A source stays usual this long after the last login from it.
const USUAL_SECONDS: u64 = 90 * 24 * 3600;

/// What a count stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Lane {
    /// One user from one source.
    #[default]
    Pair,
    /// One user from everywhere unusual.
    Elsewhere,
    /// One source, for all users new to it.
    Source,
    /// As [`Self::Pair`], at one host of the fleet.
    HostPair,
    /// As [`Self::Elsewhere`], at one host of the fleet.
    Host,
    /// As [`Self::Source`], at all hosts of the fleet.
    FleetSource,
    /// One user at one host of the fleet, from everywhere: only counted.
    HostTotal,
}

impl Lane {
    pub(super) fn of_pair(source: &Source) -> Self {
        if source.host().is_some() { Self::HostPair } else { Self::Pair }
    }

    /// How long to wait after so many failures in a row.
    pub(super) fn wait_after(self, failures: u32) -> Duration {
        match self {
            Self::HostPair | Self::Host if failures >= HOST_FAILURES_MAX => HOST_CLOSED_FOR,
            Self::HostTotal => Duration::ZERO,
            _ => self.rules().wait_after(failures),
        }
    }

    /// Whether it counts a source's tries, whoever they are for.
    pub(super) fn is_of_a_source(self) -> bool {
        matches!(self, Self::Source | Self::FleetSource)
    }

    /// How long after its last failure a count is forgotten.
    fn forgotten_after(self) -> Duration {
        match self {
            Self::HostPair | Self::Host | Self::HostTotal => FORGET_HOST_AFTER,
            Self::Pair | Self::Elsewhere | Self::Source | Self::FleetSource => FORGET_AFTER,
        }
    }

    pub(super) fn rules(self) -> ThrottleRules {
        let rules = ThrottleRules::default();
        match self {
            // Typing errors are free, then the wait doubles up to a quarter of an hour.
            Self::Pair | Self::HostPair | Self::HostTotal => rules,
            // Up to an hour, so that strangers need days, not hours, to use up a token's hundred failures.
            Self::Elsewhere | Self::Host => ThrottleRules { wait_max: Duration::from_secs(3600), ..rules },
            // An office behind one address makes many typing errors.
            Self::Source | Self::FleetSource => {
                ThrottleRules { free_failures: 50, wait_max: Duration::from_secs(60), ..rules }
            }
        }
    }

    /// What is left of a row of failures after an accepted login.
    pub(super) fn after_success(self, failures: u32) -> u32 {
        match self {
            Self::Pair | Self::Elsewhere | Self::HostPair | Self::Host | Self::HostTotal => 0,
            Self::Source | Self::FleetSource => failures.saturating_sub(SOURCE_CREDIT),
        }
    }
}

/// How much of a source's count one accepted login takes away.
const SOURCE_CREDIT: u32 = 5;

/// How one of them stands.
#[derive(Debug, Default)]
pub(super) struct Count {
    pub(super) lane: Lane,
    pub(super) failures: u32,
    pub(super) in_flight: u32,
    pub(super) wait_until: Duration,
    pub(super) last_failure: Duration,
    pub(super) usual_since: Option<UnixTime>,
    /// Apart, because few counts ever refuse.
    pub(super) refusals: Option<Box<Telling>>,
    /// Whose try it counts; none for a source's.
    pub(super) who: Option<Key>,
}

/// A count as kept in the ledger.
#[derive(Serialize, Deserialize)]
pub(super) struct Stored {
    pub(super) lane: Lane,
    pub(super) failures: u32,
    pub(super) usual: Option<UnixTime>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) who: Option<Key>,
    /// In words, where it makes somebody wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) whose: Option<Whose>,
}

impl Count {
    /// What is to become of it when a sweep comes.
    pub(super) fn fate(&self, elapsed: Duration, now: UnixTime) -> Fate {
        let is_quiet =
            self.failures == 0 || elapsed.saturating_sub(self.last_failure) > self.lane.forgotten_after();
        let is_told = self.refusals.as_ref().is_none_or(|refusals| refusals.is_over(elapsed));
        if is_quiet && is_told && self.in_flight == 0 && !is_usual(self.usual_since, now) {
            return Fate::Forget;
        }
        let is_busy = self.in_flight > 0 || self.failures > 0;
        Fate::Keep(elapsed + if is_busy { LOOK_EVERY } else { LOOK_AT_USUAL_EVERY })
    }

    /// Whether nothing would be different without it.
    pub(super) fn is_empty(&self) -> bool {
        self.failures == 0
            && self.in_flight == 0
            && self.wait_until.is_zero()
            && self.usual_since.is_none()
            && self.refusals.is_none()
    }

    pub(super) fn stored(&self) -> Stored {
        Stored {
            lane: self.lane,
            failures: self.failures,
            usual: self.usual_since,
            who: self.who,
            whose: None,
        }
    }
}

pub(super) fn put(key: Key, stored: &Stored) -> Change {
    let value = serde_json::to_vec(stored).expect("a count holds only numbers");
    Change::Put { kind: kind::THROTTLE, key: key.into(), value }
}

/// Whether a usual source is to be written down anew.
pub(super) fn is_due(since: UnixTime, now: UnixTime) -> bool {
    const REFRESH_SECONDS: u64 = 24 * 3600;
    now.saturating_sub(since) >= REFRESH_SECONDS
}

pub(super) fn is_usual(since: Option<UnixTime>, now: UnixTime) -> bool {
    since.is_some_and(|since| now.saturating_sub(since) < USUAL_SECONDS)
}
