//! What a typed password is. The engine counts the try and makes the claim.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use ledger::{Change, Claim, ClaimId};
use wire::login::Identity;

use super::password::IssuedPassword;
use super::record::{Ending, RequestRecord, Standing};
use super::table::{Item, Place, WRONG_TRIES_MAX};
use super::{DecideError, Requests};
use crate::audit::Reason;
use crate::clock::UnixTime;
use crate::engine::RequestKey;
use crate::login::Login;
use crate::people::PeopleError;

/// What was typed as an issued password.
#[derive(Debug)]
pub enum Looked {
    /// The password of this place, to be claimed.
    Good(Good),
    /// Not one that opens anything here.
    Bad {
        /// Why.
        reason: Reason,
        /// For the administrator.
        detail: Option<String>,
        /// Whose it is.
        person: Option<Identity>,
        /// Whether it is a wrong try at those that wait here; a right one that is over, or meant for another service, is
        /// none.
        is_guess: bool,
    },
}

/// A password that is good here, if its claim wins.
#[derive(Debug)]
pub struct Good {
    item: Arc<Item>,
}

impl Good {
    /// The claim that uses it up.
    pub fn claim(&self, request: RequestKey) -> Claim {
        self.item.record.claim(ClaimId(request))
    }

    /// The record as it is once it was used, and what else its use changes.
    ///
    /// * `at`: when.
    pub fn used(&self, at: UnixTime) -> (RequestRecord, Vec<Change>) {
        let end = super::End { what: Ending::Used, at, by: None, why: None };
        let record = match self.item.record.end {
            None => self.item.record.ended(end),
            Some(_) => self.item.record.clone(),
        };
        let changes = vec![record.put(), record.put_failures(0)];
        (record, changes)
    }

    /// Whose it is.
    pub fn person(&self) -> Option<Identity> {
        self.item.record.person.as_ref().map(Identity::from)
    }

    /// What stands in the record of its use.
    pub fn detail(&self) -> String {
        detail(&self.item.record)
    }
}

/// Passwords that wait at a place, for the count of wrong tries.
#[derive(Debug)]
pub struct Waiting(Vec<Arc<Item>>);

impl Waiting {
    /// Counts a wrong try at each. Returns what keeps that, and what to say where it was the last.
    pub fn count_wrong(&self) -> (Vec<Change>, Option<String>) {
        let mut spoilt = None;
        let count = |item: &Arc<Item>| {
            let failures = item.moving.failures.fetch_add(1, Ordering::AcqRel).saturating_add(1);
            if failures == WRONG_TRIES_MAX {
                spoilt =
                    Some(format!("wrong try {failures}: request {} is void from now on", item.record.id));
            }
            item.record.put_failures(failures)
        };
        let changes = self.0.iter().map(count).collect();
        (changes, spoilt)
    }
}

impl Requests {
    /// What a typed password is at a login.
    pub fn look_up(&self, login: &Login, typed: &IssuedPassword) -> Looked {
        let digest = self.shelf.passwords.digest(typed);
        let found = self.shelf.lock().find_by_digest(&digest);
        let quarantine = &self.tools.accounts.quarantine;
        // While some wait, whoever types what looks like one is told that, so that it tells nobody whose do.
        let or_waiting = |reason| if quarantine.holds_recovery(0) { Reason::IssuedWaiting } else { reason };
        let Some(item) = found.filter(|item| item.record.person.is_some()) else {
            return Looked::Bad {
                reason: or_waiting(Reason::WrongCode),
                detail: None,
                person: None,
                is_guess: true,
            };
        };
        let bad = |reason, is_guess| Looked::Bad {
            reason,
            detail: Some(detail(&item.record)),
            person: item.record.person.as_ref().map(Identity::from),
            is_guess,
        };
        let (here, place) = (Place::of(login), Place::of_record(&item.record));
        if here.host != place.host {
            return bad(or_waiting(Reason::WrongHost), true);
        }
        if here.user != place.user {
            return bad(or_waiting(Reason::WrongUser), true);
        }
        if item.record.service != super::telling::plain(&login.service, login.service.len()) {
            return bad(or_waiting(Reason::WrongService), false);
        }
        let made = item.record.issue.as_ref().map_or(0, |issue| issue.quarantine);
        if quarantine.holds_recovery(made) {
            return bad(Reason::IssuedWaiting, false);
        }
        match item.standing(&*self.tools.clock) {
            Standing::Issued => Looked::Good(Good { item }),
            // The claim of this very login may stand in the ledger: its retry is an accept, all else is not.
            Standing::Ended(Ending::Used) if item.is_in_time(&*self.tools.clock) => {
                Looked::Good(Good { item })
            }
            Standing::Ended(ending) => bad(reason_of(ending), false),
            Standing::Pending => unreachable!("a request that waits has no password"),
        }
    }

    /// Passwords that a wrong try at this place may have meant.
    pub fn waiting_at(&self, login: &Login) -> Waiting {
        let clock = &*self.tools.clock;
        let here = self.shelf.lock().at(&Place::of(login));
        Waiting(here.into_iter().filter(|item| item.standing(clock) == Standing::Issued).collect())
    }

    /// Whether its person may use the account still, and all else is as it was shown to whoever approved: none where it
    /// is, else what is another. The password is void then.
    ///
    /// # Errors
    /// Where nobody can tell.
    pub async fn has_changed(&self, good: &Good) -> Result<Option<&'static str>, PeopleError> {
        let record = &good.item.record;
        let Some(requester) = &record.person else { return Ok(Some("the person")) };
        let known = self.tools.people.by_id(requester.id).await?;
        let Err(what) = self.as_shown(record, requester, known) else { return Ok(None) };
        match self.void(&good.item, what).await {
            Ok(_) | Err(DecideError::Decided { .. } | DecideError::NoSuchRequest { .. }) => {}
            Err(error) => {
                tracing::warn!(%error, request = %record.id, "a password is not written down as void yet")
            }
        }
        Ok(Some(what))
    }

    /// Takes note of a use that is durable.
    pub fn set_used(&self, used: RequestRecord) {
        self.shelf.put(used);
    }

    /// Why a password whose claim lost is not good, by what whoever was faster wrote.
    pub async fn why_lost(&self, good: &Good) -> Reason {
        let item = self.read_again(good.item.record.id).await;
        match item.map(|item| item.record.standing()) {
            Some(Standing::Ended(ending)) => reason_of(ending),
            Some(Standing::Pending | Standing::Issued) | None => Reason::IssuedUsed,
        }
    }

    /// Writes down that passwords are void which too many wrong tries have spoilt.
    pub async fn end_spoilt(&self, waiting: &Waiting) {
        for item in waiting.0.iter().filter(|item| item.is_spoilt()) {
            // What comes to nothing is done by the next sweep, or by the one after the next start.
            self.end_if_over(item).await;
        }
    }
}

fn reason_of(ending: Ending) -> Reason {
    match ending {
        Ending::Used => Reason::IssuedUsed,
        Ending::Expired => Reason::IssuedExpired,
        Ending::Void | Ending::Cancelled | Ending::Denied => Reason::IssuedVoid,
    }
}

/// Whose and for what a password is.
fn detail(record: &RequestRecord) -> String {
    let host = record.host.as_ref().map_or("this machine", |host| host.name.as_str());
    format!("request {}: {} at {host}, service {}", record.id, record.user, record.service)
}
