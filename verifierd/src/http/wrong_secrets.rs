//! Counts wrong secrets that nobody can guess, of joins and of keys: who shows many is not listened to for a while, and
//! does not fill the trail.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::hosts::Window;

/// Wrong secrets from one source within [`WITHIN`], before it is barred. A person mistypes a few times; nobody guesses 128
/// bits.
pub(crate) const WRONG_PER_SOURCE_MAX: u32 = 10;

/// See [`WRONG_PER_SOURCE_MAX`]: as long as a join secret is good.
pub(crate) const WITHIN: Duration = Duration::from_secs(15 * 60);

/// Sources that are remembered, some 100 bytes each. When there are more, the others' tries are refused and recorded
/// as any other, and only the limit of each is gone: secrets cannot be guessed with or without it.
const SOURCES_MAX: usize = 4_096;

/// Wrong secrets of all sources that are recorded one by one within [`WITHIN`]: some 10,000 records a day at most.
pub(crate) const RECORDED_MAX: u32 = 100;

/// What the audit trail is told of a wrong secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recording {
    /// It has a record of its own.
    Itself,
    /// The same, and those that follow for a while have none.
    Last,
    /// It is counted only.
    Nothing,
}

/// Wrong secrets of late.
#[derive(Debug, Default)]
pub(crate) struct WrongSecrets(Mutex<Late>);

#[derive(Debug, Default)]
struct Late {
    by_source: HashMap<IpAddr, Window>,
    all: Window,
}

impl WrongSecrets {
    /// Whether a source is barred.
    ///
    /// * `now`: of a clock that never goes back.
    pub(crate) fn is_barred(&self, source: IpAddr, now: Duration) -> bool {
        let late = self.lock();
        late.by_source
            .get(&network(source))
            .is_some_and(|wrong| wrong.counted(now, WITHIN) >= WRONG_PER_SOURCE_MAX)
    }

    /// Counts a wrong secret.
    pub(crate) fn count(&self, source: IpAddr, now: Duration) -> Recording {
        let (mut late, source) = (self.lock(), network(source));
        if late.by_source.len() >= SOURCES_MAX && !late.by_source.contains_key(&source) {
            late.by_source.retain(|_, wrong| wrong.is_open(now, WITHIN));
        }
        if late.by_source.len() < SOURCES_MAX || late.by_source.contains_key(&source) {
            late.by_source.entry(source).or_default().count(now, WITHIN);
        }
        match late.all.count(now, WITHIN) {
            ..RECORDED_MAX => Recording::Itself,
            RECORDED_MAX => Recording::Last,
            _ => Recording::Nothing,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Late> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One place for all addresses that a customer holds, as logins are counted: see `engine::Source`.
fn network(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(number: u32) -> IpAddr {
        IpAddr::from(number.to_be_bytes())
    }

    // covers: I13
    #[test]
    fn ten_wrong_secrets_bar_a_source_for_a_quarter_of_an_hour_and_nobody_else() {
        let (wrong, at) = (WrongSecrets::default(), Duration::from_secs);
        for _ in 0..WRONG_PER_SOURCE_MAX {
            assert!(!wrong.is_barred(source(1), at(0)));
            wrong.count(source(1), at(0));
        }
        assert!(wrong.is_barred(source(1), at(899)) && !wrong.is_barred(source(2), at(899)));
        assert!(!wrong.is_barred(source(1), at(900)));
    }

    // covers: B13
    #[test]
    fn a_customer_with_many_addresses_of_a_network_is_one_source() {
        let (wrong, at) = (WrongSecrets::default(), Duration::from_secs(0));
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        for last in 0..WRONG_PER_SOURCE_MAX {
            wrong.count(address(&format!("fd00::{last:x}")), at);
            wrong.count(address("::ffff:192.0.2.1"), at);
        }
        for barred in ["fd00::ffff:1", "192.0.2.1"] {
            assert!(wrong.is_barred(address(barred), at), "{barred}");
        }
        for other in ["fd00:0:0:1::1", "::ffff:192.0.2.2"] {
            assert!(!wrong.is_barred(address(other), at), "{other}");
        }
    }

    // covers: I13
    #[test]
    fn a_flood_fills_neither_the_memory_nor_the_trail() {
        let (wrong, at) = (WrongSecrets::default(), Duration::from_secs);
        let told: Vec<_> = (0..10_000).map(|number| wrong.count(source(number), at(1))).collect();
        let count = |what| told.iter().filter(|told| **told == what).count();
        assert_eq!((count(Recording::Itself), count(Recording::Last)), (99, 1));
        assert_eq!(told[99], Recording::Last);
        assert_eq!(wrong.lock().by_source.len(), SOURCES_MAX);
        assert_eq!(wrong.count(source(20_000), at(901)), Recording::Itself);
        assert_eq!(wrong.lock().by_source.len(), 1);
    }
}
