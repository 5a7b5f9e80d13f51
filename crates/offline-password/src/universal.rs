//! One password an hour for every host of a fleet: a chain of hashes, released link by link, from its far end backwards in
//! time order.
//!
//! Each hour's link is the hash of the next hour's. Hosts hold the link of an hour long past, the anchor, and check by
//! hashing forward from what was typed; nobody comes from one link to a later one. Whoever has a link has all earlier ones,
//! which open nothing any more. Salted with the fleet and the hour, so no table serves two fleets or two hours.

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize as _, Zeroizing};

use crate::text::{Typed, UNIVERSAL_CHARACTERS, written};

/// Hours of a chain: two years. A host hashes at most as often for one try.
pub const HOURS_MAX: u32 = 2 * 366 * 24;

/// Bits of a link: 24 characters.
const LINK_BITS: u32 = 120;

/// What the hash is for.
const PURPOSE: &[u8] = b"postern universal password 1";

/// One hour's link. Later ones come from it for nobody.
#[derive(Clone)]
struct Link(Zeroizing<u128>);

impl Link {
    fn new(bits: u128) -> Self {
        Self(Zeroizing::new(bits & ((1 << LINK_BITS) - 1)))
    }

    /// The link of the hour before.
    ///
    /// * `hour`: that hour, since 1970.
    fn before(&self, fleet: &[u8; 16], hour: u64) -> Self {
        let mut hash = Sha256::new();
        hash.update(PURPOSE);
        hash.update(fleet);
        hash.update(hour.to_be_bytes());
        hash.update(self.0.to_be_bytes());
        let mut code: [u8; 32] = hash.finalize().into();
        let bits = u128::from_be_bytes(code[..16].try_into().expect("a hash has 32 bytes"));
        code.zeroize();
        Self::new(bits)
    }
}

/// The end of a chain, from which all of its links come: never leaves those who release passwords.
pub struct Chain {
    fleet: [u8; 16],
    /// The last hour, since 1970.
    last: u64,
    end: Link,
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Chain {{ last: {}, .. }}", self.last)
    }
}

/// What a host holds: a link of an hour that is over.
#[derive(Clone)]
pub struct Anchor {
    fleet: [u8; 16],
    hour: u64,
    link: Link,
}

impl std::fmt::Debug for Anchor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Anchor {{ hour: {}, .. }}", self.hour)
    }
}

impl Chain {
    /// A chain that ends with an hour.
    ///
    /// * `end`: 120 random bits, drawn once and kept as a secret.
    /// * `last`: the last hour that it has a password for, since 1970.
    pub fn new(fleet: [u8; 16], end: u128, last: u64) -> Self {
        Self { fleet, last, end: Link::new(end) }
    }

    /// The password of an hour; `None` where the chain does not reach it.
    pub fn password(&self, hour: u64) -> Option<Zeroizing<String>> {
        Some(written(*self.link(hour)?.0, UNIVERSAL_CHARACTERS))
    }

    /// What hosts are given: it opens no hour after this one. `None` where the chain does not reach it.
    ///
    /// * `hour`: one that is over, since 1970.
    pub fn anchor(&self, hour: u64) -> Option<Anchor> {
        Some(Anchor { fleet: self.fleet, hour, link: self.link(hour)? })
    }

    fn link(&self, hour: u64) -> Option<Link> {
        let steps = self.last.checked_sub(hour).filter(|steps| *steps <= HOURS_MAX.into())?;
        let hours = (hour..hour + steps).rev();
        Some(hours.fold(self.end.clone(), |link, hour| link.before(&self.fleet, hour)))
    }
}

impl Anchor {
    /// Reads what a host was given.
    pub fn new(fleet: [u8; 16], hour: u64, link: u128) -> Self {
        Self { fleet, hour, link: Link::new(link) }
    }

    /// What it is salted with, its hour since 1970, and its link: for the host that keeps it.
    pub fn expose(&self) -> ([u8; 16], u64, u128) {
        (self.fleet, self.hour, *self.link.0)
    }

    /// Whether what was typed is the password of the hour in which it was typed.
    ///
    /// * `now`: seconds since 1970.
    pub fn is_right(&self, typed: &Typed, now: u64) -> bool {
        let hour = now / 3_600;
        let ahead = hour.checked_sub(self.hour);
        let Some(_) = ahead.filter(|ahead| (1..=u64::from(HOURS_MAX)).contains(ahead)) else { return false };
        if typed.characters() != UNIVERSAL_CHARACTERS {
            return false;
        }
        let hours = (self.hour..hour).rev();
        let found = hours.fold(Link::new(typed.bits()), |link, hour| link.before(&self.fleet, hour));
        found.0.ct_eq(&self.link.0).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLEET: [u8; 16] = [3; 16];
    const START: u64 = 497_000;

    fn chain() -> Chain {
        Chain::new(FLEET, 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef, START + 1_000)
    }

    fn is_right(anchor: &Anchor, text: &str, hour: u64) -> bool {
        anchor.is_right(&Typed::read(text).unwrap(), hour * 3_600 + 1_800)
    }

    // covers: N8
    #[test]
    fn a_password_is_right_for_its_own_hour_and_for_no_other() {
        let (chain, anchor) = (chain(), chain().anchor(START).unwrap());
        let password = chain.password(START + 500).unwrap();
        assert_eq!(password.len(), 29);
        for hour in START + 400..START + 600 {
            assert_eq!(is_right(&anchor, &password, hour), hour == START + 500, "{hour}");
        }
        let (first, last) = (chain.password(START + 1).unwrap(), chain.password(START + 1_000).unwrap());
        assert!(is_right(&anchor, &first, START + 1) && is_right(&anchor, &last, START + 1_000));
        let typed = Typed::read(&password).unwrap();
        let bounds =
            [(500 * 3_600 - 1, false), (500 * 3_600, true), (501 * 3_600 - 1, true), (501 * 3_600, false)];
        for (seconds, expected) in bounds {
            assert_eq!(anchor.is_right(&typed, START * 3_600 + seconds), expected, "{seconds}");
        }
    }

    // covers: N8, D10
    #[test]
    fn what_a_host_holds_opens_nothing() {
        let anchor = chain().anchor(START).unwrap();
        let held = chain().password(START).unwrap();
        for hour in START - 2..START + 1_002 {
            assert!(!is_right(&anchor, &held, hour), "{hour}");
        }
        let (_, hour, link) = anchor.expose();
        let kept = Anchor::new(FLEET, hour, link);
        assert!(is_right(&kept, &chain().password(START + 7).unwrap(), START + 7));
        let other = Anchor::new([4; 16], hour, link);
        assert!(!is_right(&other, &chain().password(START + 7).unwrap(), START + 7), "another fleet");
        assert_eq!(
            format!("{anchor:?} {:?}", chain()),
            "Anchor { hour: 497000, .. } Chain { last: 498000, .. }"
        );
    }

    #[test]
    fn a_chain_reaches_two_years_and_not_beyond_its_end() {
        let chain = chain();
        assert!(chain.password(START + 1_001).is_none() && chain.anchor(START + 1_001).is_none());
        let last = START + 1_000;
        assert!(chain.password(last - u64::from(HOURS_MAX)).is_some());
        assert!(chain.password(last - u64::from(HOURS_MAX) - 1).is_none());
        let early = chain.anchor(last - u64::from(HOURS_MAX)).unwrap();
        assert!(is_right(&early, &chain.password(last).unwrap(), last));
        // A clock that is years ahead is not followed.
        assert!(!is_right(&early, &chain.password(last).unwrap(), last + 1));
    }
}
