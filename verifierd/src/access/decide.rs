//! Deciding about requests: approving, denying, taking back.
//!
//! Whoever decides is looked up when he decides, not when he opened the page: whether he is enabled, whether he decides at
//! that host, and whether what he was shown is what is there. Nobody decides about his own request. The directory is asked
//! before the turn, so that a slow one holds up nobody else; what our own records say is looked at in the turn.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use ledger::{ClaimId, Outcome};

use super::ask::add_use;
use super::letters::{About, Occasion};
use super::own::is_own;
use super::password::IssuedPassword;
use super::record::{End, Ending, RequestId, RequestRecord, Requester, Standing};
use super::table::{Asker, ISSUED_AT_PLACE_MAX, Item, Place};
use super::{Requests, Step, Stepped, telling};
use crate::accounts::UserName;
use crate::audit::{AuditRecord, rfc3339};
use crate::clock::UnixTime;
use crate::config::Profile;
use crate::keys::{KeyError, random_bytes};
use crate::people::{EmailAddress, PeopleError, Person, as_one_request};
use crate::policy::RequestTerms;

/// Wrong numbers that a request survives: a slip of the finger, and one of the ear. With three of ninety, who guesses is
/// more likely to end the request than to approve it.
const WRONG_NUMBERS_MAX: u32 = 3;

/// How long a mail about a request that came to nothing is tried, in seconds: it is of use while whoever asked remembers.
const LATE_MAIL_SECONDS: u64 = 3_600;

/// Somebody who decides.
#[derive(Clone, Debug)]
pub struct Decider {
    /// Who he is.
    pub person: Arc<Person>,
    /// The Unix account that he acts from, where he acts from one.
    pub account: Option<UserName>,
}

/// A request that was approved.
#[derive(Clone, Debug)]
pub struct Approved {
    /// As it is from now on.
    pub record: RequestRecord,
    /// The password that he tells the requester, in the strict profile; else it goes by mail.
    pub password: Option<IssuedPassword>,
}

/// Why a request was not decided.
#[derive(Debug, thiserror::Error)]
pub enum DecideError {
    /// There is none, or none that is his affair: they are not told apart.
    #[error("no request {id} that you decide about")]
    NoSuchRequest {
        /// What was asked for.
        id: RequestId,
    },
    /// It is his own.
    #[error("request {id} is your own: somebody else decides about it")]
    OwnRequest {
        /// Which.
        id: RequestId,
    },
    /// Whoever asked is nobody.
    #[error("request {id} is of somebody unknown: nobody can approve it")]
    NobodyAsked {
        /// Which.
        id: RequestId,
    },
    /// Not the number that the requester sees.
    #[error(
        "that is not the number that the requester sees: ask him, by a way that you trust; {left} more tries"
    )]
    WrongNumber {
        /// How many wrong ones are left.
        left: u32,
    },
    /// Somebody was faster, or it was over before.
    #[error("already {how}")]
    Decided {
        /// `approved by carol at 2026-11-23T14:05:00Z`.
        how: String,
    },
    /// What he was shown is not so any more.
    #[error("the request is void: {what} changed since it was made; it has to be made again")]
    Changed {
        /// What is another.
        what: &'static str,
    },
    /// The person was given a password at this host not long ago.
    #[error("this person can have a new password at this host from {} on", rfc3339(*.until))]
    TooSoon {
        /// From when on.
        until: UnixTime,
    },
    /// Too many passwords wait for the account.
    #[error(
        "{ISSUED_AT_PLACE_MAX} passwords wait for this account already: approve it when one of them was used"
    )]
    TooMany,
    /// Nobody can tell who somebody is.
    #[error("persons cannot be looked up")]
    People(#[from] PeopleError),
    /// The store did not take it.
    #[error("the store did not take the decision: {outcome:?}")]
    NotStored {
        /// What became of it.
        outcome: Outcome,
    },
    /// No random bytes.
    #[error("cannot draw a password")]
    Random(#[from] KeyError),
    /// The daemon is stopping or overloaded.
    #[error("no more decisions are taken at the moment")]
    Busy,
}

/// Whom a decision is about, looked up before its turn.
struct Known {
    decider: Option<Arc<Person>>,
    requester: Option<Arc<Person>>,
}

/// Who takes a request back.
#[derive(Clone, Debug)]
pub enum Canceller {
    /// Whoever asked.
    Person(Arc<Person>),
    /// Whoever has the mail that tells its password, or tells of its end.
    Holder,
    /// An administrator, by his signature.
    Administrator(String),
}

impl Requests {
    /// Approves a request: its password is issued.
    ///
    /// * `number`: what the requester sees, as he told it.
    ///
    /// # Errors
    /// See [`DecideError`].
    pub async fn approve(
        self: &Arc<Self>,
        id: RequestId,
        by: Decider,
        number: u16,
    ) -> Result<Approved, DecideError> {
        let me = Arc::clone(self);
        let known = as_one_request(self.whom(id, &by)).await?;
        let approved = self.turns.take(async move { me.approve_in_turn(id, &by, number, known).await });
        approved.await.unwrap_or(Err(DecideError::Busy))
    }

    /// Denies a request.
    ///
    /// # Errors
    /// See [`DecideError`].
    pub async fn deny(self: &Arc<Self>, id: RequestId, by: Decider) -> Result<RequestRecord, DecideError> {
        let me = Arc::clone(self);
        let decider = self.tools.people.by_id(by.person.id).await?;
        let denied = self.turns.take(async move { me.deny_in_turn(id, &by, decider).await });
        denied.await.unwrap_or(Err(DecideError::Busy))
    }

    /// Takes a request back, or its password, as long as that was not used.
    ///
    /// # Errors
    /// See [`DecideError`].
    pub async fn cancel(
        self: &Arc<Self>,
        id: RequestId,
        by: Canceller,
    ) -> Result<RequestRecord, DecideError> {
        let me = Arc::clone(self);
        let cancelled = self.turns.take(async move { me.cancel_in_turn(id, &by).await });
        cancelled.await.unwrap_or(Err(DecideError::Busy))
    }

    /// Takes a request back for whoever has its mail and says that he did not ask: "this was not me".
    ///
    /// * `proof`: what the link in the mail carries.
    ///
    /// # Errors
    /// See [`DecideError`]; a wrong proof is no such request.
    pub async fn disown(self: &Arc<Self>, id: RequestId, proof: u128) -> Result<RequestRecord, DecideError> {
        if !self.may_disown(id, proof) {
            return Err(DecideError::NoSuchRequest { id });
        }
        self.cancel(id, Canceller::Holder).await
    }

    /// Whether `proof` is that of the mail about a request.
    pub fn may_disown(&self, id: RequestId, proof: u128) -> bool {
        self.shelf.passwords.is_disowning(id, proof)
    }

    /// Whoever decides and whoever asked, as they are a moment before the turn. Who asked is nobody's affair who does not
    /// decide.
    async fn whom(&self, id: RequestId, by: &Decider) -> Result<Known, PeopleError> {
        let people = &self.tools.people;
        let decider = people.by_id(by.person.id).await?;
        let item = self.shelf.find(id);
        let record = item.as_ref().map(|item| &item.record);
        let decides = |record: &&RequestRecord| {
            decider.as_ref().is_some_and(|decider| self.may_decide(decider, record))
        };
        let requester = match record.filter(decides).and_then(|record| record.person.as_ref()) {
            Some(requester) => people.by_id(requester.id).await?,
            None => None,
        };
        Ok(Known { decider, requester })
    }

    async fn approve_in_turn(
        self: Arc<Self>,
        id: RequestId,
        by: &Decider,
        number: u16,
        known: Known,
    ) -> Result<Approved, DecideError> {
        let (item, decider) = self.open_to(id, by, known.decider).await?;
        let record = &item.record;
        let Some(requester) = &record.person else { return Err(DecideError::NobodyAsked { id }) };
        let person = match self.as_shown(record, requester, known.requester) {
            Ok(person) => person,
            Err(what) => return Err(self.void_changed(&item, what).await),
        };
        if number != record.number {
            return Err(self.wrong_number(&item, &decider).await);
        }
        self.check_limits(record)?;
        let terms = self.terms_now(record);
        let ttl = record.password_ttl_seconds.min(terms.password_ttl.value.as_secs());
        let profile = match (record.profile, terms.profile.value) {
            (Profile::Standard, Profile::Standard) => Profile::Standard,
            (Profile::Strict, _) | (_, Profile::Strict) => Profile::Strict,
        };
        let issue = self.new_issue(record, Some(decider.login.clone()), ttl)?;
        let record = RequestRecord { profile, password_ttl_seconds: ttl, ..record.clone() };
        let (record, mails) = self.with_issue(record, issue, Some(&person));
        let event = self.event_by(&record, "access_approved", record.way.word(), &decider.login);
        let claim = Some(item.record.claim(ClaimId(random_bytes()?)));
        let item = self.take_step(Step { claim, changes: vec![add_use(id)], record, mails, event }).await?;
        let issued = item.record.issue.as_ref();
        let password = issued
            .filter(|_| profile == Profile::Strict)
            .map(|issue| self.shelf.passwords.derive(id, issue.generation));
        Ok(Approved { record: item.record.clone(), password })
    }

    async fn deny_in_turn(
        self: Arc<Self>,
        id: RequestId,
        by: &Decider,
        decider: Option<Arc<Person>>,
    ) -> Result<RequestRecord, DecideError> {
        let (item, decider) = self.open_to(id, by, decider).await?;
        let end = self.end_by(Ending::Denied, Some(decider.login.clone()), None);
        let step = self.ending(&item, end, "access_denied", "approver", Some(About::Denied))?;
        Ok(self.take_step(step).await?.record.clone())
    }

    async fn cancel_in_turn(
        self: Arc<Self>,
        id: RequestId,
        by: &Canceller,
    ) -> Result<RequestRecord, DecideError> {
        let item = self.shelf.find(id).ok_or(DecideError::NoSuchRequest { id })?;
        let (name, reason) = match by {
            Canceller::Person(person) => {
                let own = item.record.person.as_ref().is_some_and(|requester| requester.id == person.id);
                if !own {
                    return Err(DecideError::NoSuchRequest { id });
                }
                (Some(person.login.clone()), "requester")
            }
            Canceller::Holder => {
                (item.record.person.as_ref().map(|requester| requester.login.clone()), "not_me")
            }
            Canceller::Administrator(signature) => (Some(signature.clone()), "administrator"),
        };
        self.settle_if_over(&item).await?;
        let end = self.end_by(Ending::Cancelled, name, None);
        let step = self.ending(&item, end, "access_cancelled", reason, None)?;
        Ok(self.take_step(step).await?.record.clone())
    }

    /// Makes every password void that waits: the store has lost something, and which were used, the store that knew it
    /// is gone.
    ///
    /// * `by`: the administrator who says that the loss is dealt with.
    ///
    /// # Errors
    /// See [`DecideError`]; some may be void by then.
    pub async fn void_all_passwords(self: &Arc<Self>, by: &str) -> Result<(), DecideError> {
        let all = self.shelf.lock().all();
        for item in all.into_iter().filter(|item| item.record.standing() == Standing::Issued) {
            let (me, by) = (Arc::clone(self), by.to_owned());
            let void = async move {
                let why = Some("the store lost something".to_owned());
                let end = me.end_by(Ending::Void, Some(by), why);
                me.take_step(me.ending(&item, end, "access_voided", "store_loss", None)?).await
            };
            match self.turns.take(void).await.unwrap_or(Err(DecideError::Busy)) {
                Ok(_) | Err(DecideError::Decided { .. } | DecideError::NoSuchRequest { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The request, if it waits and this person decides about it at this moment; and the person as he is now.
    ///
    /// * `known`: he, as he was looked up before the turn.
    async fn open_to(
        &self,
        id: RequestId,
        by: &Decider,
        known: Option<Arc<Person>>,
    ) -> Result<(Arc<Item>, Arc<Person>), DecideError> {
        let no_such = || DecideError::NoSuchRequest { id };
        let item = self.shelf.find(id).ok_or_else(no_such)?;
        let person = known.and_then(|known| self.tools.people.as_of_now(known)).ok_or_else(no_such)?;
        if !self.may_decide(&person, &item.record) {
            return Err(no_such());
        }
        if is_own(&item.record, &person, by.account.as_ref()) {
            return Err(DecideError::OwnRequest { id });
        }
        // Whoever approves there is told the password: he could ask in a colleague's name at an account that they share.
        let is_told =
            [item.record.profile, self.terms_now(&item.record).profile.value].contains(&Profile::Strict);
        if is_told && person.accounts.iter().any(|account| account.as_str() == item.record.user) {
            return Err(DecideError::OwnRequest { id });
        }
        if item.record.standing() != Standing::Pending {
            return Err(decided(&item.record));
        }
        self.settle_if_over(&item).await?;
        Ok((item, person))
    }

    /// Ends what is over by time; whoever decides is told so.
    async fn settle_if_over(&self, item: &Arc<Item>) -> Result<(), DecideError> {
        match (item.record.standing(), item.standing(&*self.tools.clock)) {
            (Standing::Ended(_), _) => Err(decided(&item.record)),
            (_, Standing::Ended(_)) => match self.end_if_over(item).await {
                Stepped::Done(item) => Err(decided(&item.record)),
                other => Err(self.not_done(other, item.record.id)),
            },
            (_, Standing::Pending | Standing::Issued) => Ok(()),
        }
    }

    /// The person, if he, his right to the account, and the host are what was shown; else what is another.
    ///
    /// * `known`: who has the requester's id, as he was looked up a moment ago.
    pub(super) fn as_shown(
        &self,
        record: &RequestRecord,
        requester: &Requester,
        known: Option<Arc<Person>>,
    ) -> Result<Arc<Person>, &'static str> {
        if let Some(then) = &record.host {
            match self.present_host(record) {
                Some(now) if now.name != then.name => return Err("the host's name"),
                Some(now) if now.group != then.group => return Err("the host's group"),
                None => return Err("the host"),
                Some(_) => {}
            }
        }
        let is_his = |account: &UserName| account.as_str() == record.user;
        let known = known.and_then(|known| self.tools.people.as_of_now(known));
        let Some(person) = known.filter(|person| person.accounts.iter().any(is_his)) else {
            return Err("the person's right to the account");
        };
        let email = person.email.as_ref().map(ToString::to_string);
        match (person.login == requester.login, email == requester.email) {
            (true, true) => Ok(person),
            (false, _) => Err("the person's login name"),
            (true, false) => Err("the person's address"),
        }
    }

    fn check_limits(&self, record: &RequestRecord) -> Result<(), DecideError> {
        let host = record.host.as_ref().map(|host| host.id);
        let table = self.shelf.lock();
        if let Some(until) = self.too_soon(&table.of(Asker::of(record), host)) {
            return Err(DecideError::TooSoon { until });
        }
        let here = table.at(&Place { host, user: record.user.clone() });
        let clock = &*self.tools.clock;
        let issued = here.iter().filter(|item| item.standing(clock) == Standing::Issued).count();
        if issued < ISSUED_AT_PLACE_MAX { Ok(()) } else { Err(DecideError::TooMany) }
    }

    fn terms_now(&self, record: &RequestRecord) -> RequestTerms {
        let host = self.present_host(record);
        RequestTerms::at(host.as_ref().or(record.host.as_ref()), &self.tools.config.load())
    }

    async fn wrong_number(&self, item: &Arc<Item>, decider: &Person) -> DecideError {
        let wrong = item.moving.wrong_numbers.fetch_add(1, Ordering::AcqRel) + 1;
        if wrong < WRONG_NUMBERS_MAX {
            return DecideError::WrongNumber { left: WRONG_NUMBERS_MAX - wrong };
        }
        let why = Some(format!("{wrong} wrong numbers"));
        let end = self.end_by(Ending::Denied, Some(decider.login.clone()), why);
        let step = match self.ending(item, end, "access_denied", "wrong_number", Some(About::Denied)) {
            Ok(step) => step,
            Err(error) => return error.into(),
        };
        match self.take_step(step).await {
            Ok(item) => decided(&item.record),
            Err(error) => error,
        }
    }

    /// Ends a request that is not any more what was shown.
    async fn void_changed(&self, item: &Arc<Item>, what: &'static str) -> DecideError {
        match self.void(item, what).await {
            Ok(_) => DecideError::Changed { what },
            Err(error) => error,
        }
    }

    /// Makes a request or its password void.
    pub(super) async fn void(&self, item: &Arc<Item>, what: &str) -> Result<Arc<Item>, DecideError> {
        let end = self.end_by(Ending::Void, None, Some(format!("{what} changed")));
        let step = self.ending(item, end, "access_voided", "changed", None)?;
        self.take_step(step).await
    }

    pub(super) fn end_by(&self, what: Ending, by: Option<String>, why: Option<String>) -> End {
        End { what, at: self.tools.clock.now(), by, why }
    }

    /// The step that ends the present stage of a request.
    pub(super) fn ending(
        &self,
        item: &Item,
        end: End,
        event: &str,
        reason: &str,
        mail: Option<About>,
    ) -> Result<Step, KeyError> {
        let record = &item.record;
        let claim = Some(record.claim(ClaimId(random_bytes()?)));
        let by = end.by.clone();
        let ended = record.ended(end);
        let event = match by {
            Some(by) => self.event_by(&ended, event, reason, &by),
            None => telling::event(&ended, event, reason, self.tools.clock.now()),
        };
        let to = record.person.as_ref().and_then(|person| person.email.as_deref());
        let to = to.and_then(|to| EmailAddress::parse(to).ok());
        let mails = match (mail, &to) {
            (Some(about), Some(to)) => {
                let until = self.tools.clock.now().saturating_add(LATE_MAIL_SECONDS);
                self.letters([to], &Occasion { request: record.id, about }, until)
            }
            _ => Vec::new(),
        };
        // What its password counted is of no use any more.
        let changes = vec![record.put_failures(0)];
        Ok(Step { claim, changes, record: ended, mails, event })
    }

    fn event_by(&self, record: &RequestRecord, event: &str, reason: &str, by: &str) -> AuditRecord {
        let event = telling::event(record, event, reason, self.tools.clock.now());
        AuditRecord { actor: Some(by.to_owned()), ..event }
    }

    /// Makes a step, or says who was faster.
    pub(super) async fn take_step(&self, step: Step) -> Result<Arc<Item>, DecideError> {
        let id = step.record.id;
        match self.step(step).await {
            Stepped::Done(item) => Ok(item),
            other => Err(self.not_done(other, id)),
        }
    }

    fn not_done(&self, stepped: Stepped, id: RequestId) -> DecideError {
        match stepped {
            Stepped::Done(item) | Stepped::Lost(Some(item)) => decided(&item.record),
            Stepped::Lost(None) => DecideError::NoSuchRequest { id },
            Stepped::NotStored(outcome) => DecideError::NotStored { outcome },
            Stepped::NoRandom(error) => DecideError::Random(error),
        }
    }
}

fn decided(record: &RequestRecord) -> DecideError {
    DecideError::Decided { how: record.decided().unwrap_or_else(|| "decided".into()) }
}
