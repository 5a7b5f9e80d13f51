//! One try after the other: counted, then compared, then kept, and only then allowed.

use std::sync::{Mutex, PoisonError, RwLock};
use std::time::Duration;

use offline_password::universal::Anchor;
use offline_password::{Asked, Purpose, Redemption, Refusal, Typed, TypingError};
use wire::offline::{OfflineOrders, UNIVERSAL_FROM};

use super::grants::Login;
use super::kept::{Kept, USES_MAX, Use};
use super::moment::{Latest, Moment};
use super::store::{Store, StoreError};
use super::tries::{AllTries, Heard, Place};
use crate::clock::UnixTime;

/// How far the wall clock may be behind what is known to have passed: more than that, and it was lost (a battery, a step), so
/// nobody can tell which day it is.
const BEHIND_MAX: u64 = 24 * 3_600;

/// Seconds by which what is kept of the time may differ from what a verifier says: more, and it is kept anew. Less than the
/// hour of a universal password.
const CLOCK_APART_MAX: u64 = 1_200;

/// Uses of universal passwords that wait to be told: the rest of [`USES_MAX`] is for those of this host's own, of which no more
/// can be made before a verifier has heard of some.
const UNIVERSAL_USES_MAX: usize = USES_MAX / 2;

/// Seconds of the hour of a universal password.
const HOUR: u64 = 3_600;

/// What a right password did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    /// The login is allowed, and later ones like it until then.
    Access {
        /// Seconds since the Unix epoch.
        until: UnixTime,
    },
    /// Somebody who had to wait waits no longer.
    Again,
}

/// Why a password opened nothing. For records: whoever types reads one text for all but typing errors and waits.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// It can be no password.
    #[error(transparent)]
    Typing(#[from] TypingError),
    /// It is not one for this login.
    #[error(transparent)]
    Password(#[from] Refusal),
    /// There were too many tries.
    #[error("too many tries: nobody is listened to for {} s", .left.as_secs())]
    TooMany {
        /// For how long.
        left: Duration,
    },
    /// It ends a wait, and may not do so here.
    #[error("passwords that end a wait are not enabled")]
    NoResets,
    /// Nobody can tell which day it is.
    #[error("the clock says {wall} s since 1970, and {now} s have passed at least: set it right")]
    ClockBehind {
        /// What it says.
        wall: UnixTime,
        /// How late it is at least.
        now: UnixTime,
    },
    /// Nothing can be decided.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is enabled besides the passwords of this host.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// Checks universal passwords; absent where they are not enabled.
    pub anchor: Option<Anchor>,
    /// Whether a password may end a wait after wrong tries.
    pub has_resets: bool,
}

/// Answers for this host while nobody else does.
#[derive(Debug)]
pub struct Desk {
    /// Held for one try: there is never a second one beside it.
    store: Mutex<Store>,
    terms: RwLock<Terms>,
}

impl Desk {
    /// * `store`: what this host remembers.
    pub fn new(store: Store, terms: Terms) -> Self {
        Self { store: Mutex::new(store), terms: RwLock::new(terms) }
    }

    /// Goes by others from the next try on.
    pub fn change_terms(&self, terms: Terms) {
        *self.terms.write().unwrap_or_else(PoisonError::into_inner) = terms;
    }

    /// Decides nothing any more, so that another desk can: whoever still has this one finds it closed.
    pub fn close(&self) {
        self.store.lock().unwrap_or_else(PoisonError::into_inner).give_up();
    }

    /// Whether a change could not be kept: nothing is decided any more then.
    pub fn is_unknown(&self) -> bool {
        self.store.lock().unwrap_or_else(PoisonError::into_inner).is_unknown()
    }

    fn terms(&self) -> Terms {
        self.terms.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Until when a login needs no password, by one that was used before; `None` where it needs one.
    ///
    /// # Errors
    /// Where it cannot be kept how late it is: else a grant would go on with each restart of a machine without a clock.
    pub fn granted(&self, login: &Login<'_>, moment: &Moment) -> Result<Option<UnixTime>, StoreError> {
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        if store.kept().grants.is_empty() {
            return Ok(None);
        }
        let now = store.kept().latest.now(moment);
        let mut kept = Kept { latest: store.kept().latest.moved(moment), ..store.kept().clone() };
        kept.grants.forget_over(now, moment);
        // Nobody can tell how late it is then.
        let is_behind = moment.wall.saturating_add(BEHIND_MAX) < now;
        let until = kept.grants.until(login, now, moment).filter(|_| !is_behind);
        store.commit(kept)?;
        Ok(until)
    }

    /// Checks what was typed. Blocks while the disk works.
    ///
    /// # Errors
    /// See [`Refused`]. Nobody is let in then.
    pub fn redeem(
        &self,
        login: &Login<'_>,
        place: Place,
        typed: &str,
        moment: &Moment,
    ) -> Result<Opened, Refused> {
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        let read = Typed::read(typed);
        let (typed, heard) = self.count(&mut store, place, read, moment)?;
        let now = store.kept().latest.now(moment);
        if moment.wall.saturating_add(BEHIND_MAX) < now {
            return Err(Refused::ClockBehind { wall: moment.wall, now });
        }
        let terms = self.terms();
        let is_universal = terms.anchor.as_ref().is_some_and(|anchor| anchor.is_right(&typed, now));
        if is_universal && heard == Heard::Everything {
            let until = now - now % HOUR + HOUR;
            let counter = UNIVERSAL_FROM | store.kept().generation;
            let mut kept = told(store.kept(), counter, UNIVERSAL_USES_MAX, login, (now, until));
            kept.tries.of(place).forget();
            store.commit(kept)?;
            return Ok(Opened::Access { until });
        }
        let Login { user, service, is_file_transfer } = *login;
        let asked = Asked { user, service, is_file_transfer, now };
        let redemption = typed.check(store.key(), &asked, &store.kept().redeemed)?;
        let is_reset = redemption.grant.purpose == Purpose::LockoutReset;
        match heard {
            _ if is_reset && !terms.has_resets => return Err(Refused::NoResets),
            // It said that it ends a wait, or it would not have been compared.
            Heard::Resets { left } if !is_reset => return Err(Refused::TooMany { left }),
            Heard::Resets { .. } | Heard::Everything => {}
        }
        let kept = used(store.kept(), &redemption, login, place, (now, moment));
        store.commit(kept)?;
        Ok(if is_reset { Opened::Again } else { Opened::Access { until: redemption.until } })
    }

    /// Until when what was used still lets somebody in; `None` where it lets in nobody.
    pub fn frozen_until(&self, moment: &Moment) -> Option<UnixTime> {
        let store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = store.kept();
        kept.grants.latest_end(kept.latest.now(moment), moment)
    }

    /// How often what is remembered has changed, the highest counter that was used or revoked, and what the verifiers have not
    /// heard of.
    pub fn told(&self) -> (u64, u64, Vec<Use>) {
        let store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = store.kept();
        (kept.generation, kept.redeemed.highest(), kept.uses.clone())
    }

    /// Takes note of what a verifier says: which uses it has on record, which passwords open nothing any more, what ends of
    /// what they gave, and how late it is. Blocks while the disk works.
    ///
    /// # Errors
    /// Where that cannot be kept.
    pub fn heed(&self, orders: &OfflineOrders, moment: &Moment) -> Result<(), StoreError> {
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        let mut kept = store.kept().clone();
        kept.uses.retain(|used| !orders.noted.contains(&used.counter));
        for counter in orders.revoked.iter().filter(|counter| !store.kept().redeemed.is_used(**counter)) {
            kept.redeemed = kept.redeemed.with(*counter);
        }
        kept.grants.end(&orders.ended);
        let is_known = kept.latest.is_about(orders.clock, CLOCK_APART_MAX);
        if kept == *store.kept() && is_known {
            return Ok(());
        }
        // Whoever makes the passwords says how late it is: a clock that was ahead closes nothing for ever, and one that is put
        // back between two starts opens nothing.
        kept.latest = Latest::new(orders.clock, moment);
        store.commit(kept)
    }

    /// Counts a try, durably, before it is looked at.
    fn count(
        &self,
        store: &mut Store,
        place: Place,
        read: Result<Typed, TypingError>,
        moment: &Moment,
    ) -> Result<(Typed, Heard), Refused> {
        let mut kept = store.kept().clone();
        kept.latest = kept.latest.moved(moment);
        let told = read.as_ref().map(drop).map_err(|error| *error);
        let says_reset = self.terms().has_resets && read.as_ref().is_ok_and(Typed::says_reset);
        let counted = kept.tries.of(place).count(told, says_reset, moment);
        let heard = counted.map_err(|left| Refused::TooMany { left })?;
        store.commit(kept)?;
        Ok((read?, heard))
    }
}

/// What is remembered after a password was used.
fn used(
    kept: &Kept,
    redemption: &Redemption,
    login: &Login<'_>,
    place: Place,
    (now, moment): (UnixTime, &Moment),
) -> Kept {
    let counter = redemption.grant.counter;
    let mut kept = told(kept, counter, USES_MAX, login, (now, redemption.until));
    kept.redeemed = kept.redeemed.with(counter);
    kept.grants.add(redemption, now, moment);
    if redemption.grant.purpose == Purpose::LockoutReset {
        kept.tries = AllTries::default();
    } else {
        kept.tries.of(place).forget();
    }
    kept
}

/// The same, with a use that verifiers are to hear of.
///
/// * `most`: how many may wait, this one included.
fn told(
    kept: &Kept,
    counter: u64,
    most: usize,
    login: &Login<'_>,
    (now, until): (UnixTime, UnixTime),
) -> Kept {
    let mut kept = kept.clone();
    if kept.uses.len() < most {
        let (user, service) = (login.user.to_owned(), login.service.to_owned());
        kept.uses.push(Use { counter, user, service, at: now, until });
    }
    kept
}

#[cfg(test)]
mod tests;
