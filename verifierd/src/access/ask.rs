//! Asking for a password, and having one sent again.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use ledger::{Change, Outcome};

use super::letters::{About, Occasion};
use super::record::{DONE, Issue, RequestId, RequestRecord, Requester, Standing, Way};
use super::table::{Asker, ISSUED_AT_PLACE_MAX, Item, OPEN_AT_PLACE_MAX, Place, kept};
use super::telling::{self, plain};
use super::{AccessRules, Requests, Step, Stepped};
use crate::accounts::UserName;
use crate::audit::{self, Reference};
use crate::clock::UnixTime;
use crate::config::Profile;
use crate::hosts::HostIdentity;
use crate::keys::{KeyError, random_bytes};
use crate::login::Login;
use crate::mail::MailId;
use crate::people::{EmailAddress, PeopleError, Person};

/// How soon after a mail the same password is mailed again: a mail takes some seconds, and an inbox is looked at after
/// a minute.
const RESEND_EVERY: Duration = Duration::from_secs(60);

/// How long a field of a login is kept, in bytes: what an approver can look at.
const FIELD_BYTES_MAX: usize = 256;

/// How long what somebody says he is is kept, in characters: the longest address.
const TYPED_CHARACTERS_MAX: usize = 254;

/// How long the reason of an emergency is kept, in characters. Source: check C10.
const REASON_CHARACTERS_MAX: usize = 500;

/// How a password is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum How {
    /// An approver decides.
    Approval,
    /// Nobody does. In the strict profile an approver does all the same, who tells the password.
    Automatic,
    /// An approver decides, wherever nobody else would.
    Emergency {
        /// Why.
        reason: String,
    },
}

/// What somebody at a prompt wants.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Where to.
    pub login: Login,
    /// What he said he is; empty where nobody asked him.
    pub typed: String,
    /// Who he is, where that is somebody who may use the account.
    pub person: Option<Arc<Person>>,
    /// How he asks.
    pub how: How,
    /// What holds there.
    pub rules: AccessRules,
}

/// What came of a wish. The same for somebody unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// It is on its way.
    Sent {
        /// What the approver is to be told.
        number: u16,
        /// Until when it waits, or its password is usable.
        until: UnixTime,
    },
    /// He asked before, and that waits still.
    OpenAlready {
        /// As above, of that one.
        number: u16,
        /// As above.
        until: UnixTime,
    },
    /// As many requests of others wait for this account as may.
    Busy {
        /// Until when at most.
        until: UnixTime,
    },
    /// He was given one not long ago.
    TooSoon {
        /// From when on he may ask.
        until: UnixTime,
    },
}

/// What came of the wish for another mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resent {
    /// The same password is on its way.
    Sent,
    /// There is none to be sent.
    Nothing,
    /// It was sent a moment ago.
    NotYet {
        /// From when on it can be sent again.
        until: UnixTime,
    },
}

/// Why a wish was not taken.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// As many requests are known as can be, of this host or in all.
    #[error("too many requests wait, of this host or in all")]
    Full,
    /// Nobody can tell who approves.
    #[error("the approvers cannot be looked up")]
    People(#[from] PeopleError),
    /// The store did not take it.
    #[error("the store did not take the request: {outcome:?}")]
    NotStored {
        /// What became of it.
        outcome: Outcome,
    },
    /// No random bytes.
    #[error("cannot draw an id")]
    Random(#[from] KeyError),
    /// The daemon is stopping or overloaded.
    #[error("no more requests are taken at the moment")]
    Busy,
}

impl Requests {
    /// Takes a wish.
    ///
    /// # Errors
    /// See [`AskError`].
    pub async fn ask(self: &Arc<Self>, wish: Wish) -> Result<Asked, AskError> {
        // Looked up for somebody unknown too, so that it takes as long.
        let approvers = self.approvers(&wish).await?;
        let me = Arc::clone(self);
        self.turns
            .take(async move { me.ask_in_turn(wish, &approvers).await })
            .await
            .unwrap_or(Err(AskError::Busy))
    }

    /// Where mails to those who decide go. The requester is none of them.
    async fn approvers(&self, wish: &Wish) -> Result<Vec<EmailAddress>, PeopleError> {
        let found = self.tools.people.by_logins(&wish.rules.approvers).await?;
        let other = |person: &&Arc<Person>| wish.person.as_ref().is_none_or(|asker| asker.id != person.id);
        Ok(found.iter().filter(other).filter_map(|person| person.email.clone()).collect())
    }

    async fn ask_in_turn(self: Arc<Self>, wish: Wish, approvers: &[EmailAddress]) -> Result<Asked, AskError> {
        let record = self.new_record(&wish)?;
        if let Some(asked) = self.hindrance(&record) {
            return Ok(asked);
        }
        if !self.shelf.lock().has_room(record.host.as_ref().map(|host| host.id)) {
            return Err(AskError::Full);
        }
        let step = match record.way {
            Way::Automatic => self.issue_at_once(record, &wish)?,
            Way::Approval | Way::Emergency => {
                let (about, until) = (About::Request, record.until);
                let occasion = Occasion { request: record.id, about };
                let mails = match record.person {
                    Some(_) => self.letters(approvers, &occasion, until),
                    None => Vec::new(),
                };
                let event =
                    telling::event(&record, "access_requested", record.way.word(), self.tools.clock.now());
                let changes = vec![add(record.id, 0)];
                Step { claim: None, changes, record, mails, event }
            }
        };
        match self.step(step).await {
            Stepped::Done(item) => {
                let (number, until) = (item.record.number, item.deadline.until);
                Ok(Asked::Sent { number, until })
            }
            // Two requests with one id: it is drawn from 2^127.
            Stepped::Lost(_) => Err(AskError::Busy),
            Stepped::NotStored(outcome) => Err(AskError::NotStored { outcome }),
            Stepped::NoRandom(error) => Err(error.into()),
        }
    }

    fn new_record(&self, wish: &Wish) -> Result<RequestRecord, AskError> {
        let Wish { login, typed, person, how, rules } = wish;
        let asked = self.tools.clock.now();
        let (way, reason) = match (how, rules.profile) {
            (How::Automatic, Profile::Standard) => (Way::Automatic, None),
            (How::Approval, _) | (How::Automatic, Profile::Strict) => (Way::Approval, None),
            (How::Emergency { reason }, _) => (Way::Emergency, Some(plain(reason, REASON_CHARACTERS_MAX))),
        };
        let field = |field: &Option<String>| field.as_deref().map(|text| plain(text, FIELD_BYTES_MAX));
        let person = person.as_ref().map(|person| Requester {
            id: person.id,
            login: person.login.clone(),
            email: person.email.as_ref().map(ToString::to_string),
        });
        Ok(RequestRecord {
            format: RequestRecord::FORMAT,
            id: RequestId::from_random(random_bytes()?),
            user: kept(&login.user),
            service: plain(&login.service, FIELD_BYTES_MAX),
            host: login.host.clone(),
            rhost: field(&login.rhost),
            tty: field(&login.tty),
            ruser: field(&login.ruser),
            typed: plain(typed, TYPED_CHARACTERS_MAX),
            person,
            way,
            reason,
            number: draw_number()?,
            asked,
            until: asked.saturating_add(rules.request_ttl.as_secs()),
            password_ttl_seconds: rules.password_ttl.as_secs(),
            profile: rules.profile,
            issue: None,
            end: None,
        })
    }

    /// What stands in the way of a request, as whoever asks is told.
    fn hindrance(&self, record: &RequestRecord) -> Option<Asked> {
        let clock = &*self.tools.clock;
        let host = record.host.as_ref().map(|host| host.id);
        let table = self.shelf.lock();
        let (asker, place) = (Asker::of(record), Place { host, user: record.user.clone() });
        let here = table.at(&place);
        let standing = |standing| move |item: &&Arc<Item>| item.standing(clock) == standing;
        let open: Vec<_> = here.iter().filter(standing(Standing::Pending)).collect();
        if let Some(own) = open.iter().find(|item| Asker::of(&item.record) == asker) {
            return Some(Asked::OpenAlready { number: own.record.number, until: own.deadline.until });
        }
        if open.len() >= OPEN_AT_PLACE_MAX {
            let until = open.iter().map(|item| item.deadline.until).min().unwrap_or(0);
            return Some(Asked::Busy { until });
        }
        if let Some(until) = self.too_soon(&table.of(asker, host)) {
            return Some(Asked::TooSoon { until });
        }
        let issued: Vec<_> = here.iter().filter(standing(Standing::Issued)).collect();
        if issued.len() >= ISSUED_AT_PLACE_MAX {
            let until = issued.iter().map(|item| item.deadline.until).min().unwrap_or(0);
            return Some(Asked::Busy { until });
        }
        None
    }

    /// From when on a person may have a new password at a host, where that is not now.
    ///
    /// * `known`: what he asked for there.
    pub(super) fn too_soon(&self, known: &[Arc<Item>]) -> Option<UnixTime> {
        let clock = &*self.tools.clock;
        let until = |item: &Arc<Item>| {
            let renewal = item.renewal.filter(|renewal| renewal.is_ahead(clock)).map(|renewal| renewal.until);
            // One that is usable still is sent again, not followed by another.
            let live = (item.standing(clock) == Standing::Issued).then_some(item.deadline.until);
            renewal.max(live)
        };
        known.iter().filter_map(until).max()
    }

    /// The one step of a request that nobody has to decide.
    fn issue_at_once(&self, record: RequestRecord, wish: &Wish) -> Result<Step, AskError> {
        let id = record.id;
        let issue = self.new_issue(&record, None, record.password_ttl_seconds)?;
        let (record, mails) = self.with_issue(record, issue, wish.person.as_deref());
        let event = telling::event(&record, "access_issued", record.way.word(), self.tools.clock.now());
        Ok(Step { claim: None, changes: vec![add(id, DONE), add_use(id)], record, mails, event })
    }

    /// A password that no other known one is equal to.
    pub(super) fn new_issue(
        &self,
        record: &RequestRecord,
        by: Option<String>,
        ttl_seconds: u64,
    ) -> Result<Issue, KeyError> {
        let at = self.tools.clock.now();
        let generation = loop {
            let generation = u64::from_be_bytes(random_bytes()?);
            let password = self.shelf.passwords.derive(record.id, generation);
            if !self.shelf.lock().has_digest(&self.shelf.passwords.digest(&password)) {
                break generation;
            }
        };
        let quarantine = self.tools.accounts.quarantine.last().number;
        Ok(Issue { generation, at, until: at.saturating_add(ttl_seconds), by, quarantine, mail: None })
    }

    /// The record with its password, and the mail that tells it, where one does.
    pub(super) fn with_issue(
        &self,
        record: RequestRecord,
        mut issue: Issue,
        person: Option<&Person>,
    ) -> (RequestRecord, Vec<(MailId, Change)>) {
        let to =
            person.and_then(|person| person.email.as_ref()).filter(|_| record.profile == Profile::Standard);
        let occasion = Occasion { request: record.id, about: About::Password };
        let mails = self.letters(to, &occasion, issue.until);
        issue.mail = mails.first().map(|(id, _)| format!("{:032x}", id.0));
        (RequestRecord { issue: Some(issue), ..record }, mails)
    }

    /// Mails the password that waits at a place once more: the same one, for as long as it was usable anyway.
    ///
    /// # Errors
    /// See [`AskError`].
    pub async fn resend(
        self: &Arc<Self>,
        host: Option<&HostIdentity>,
        user: &UserName,
    ) -> Result<Resent, AskError> {
        let place = Place { host: host.map(|host| host.id), user: user.as_str().to_owned() };
        let me = Arc::clone(self);
        let resent = self.turns.take(async move { me.resend_in_turn(&place).await }).await;
        resent.unwrap_or(Err(AskError::Busy))
    }

    async fn resend_in_turn(self: Arc<Self>, place: &Place) -> Result<Resent, AskError> {
        let clock = &*self.tools.clock;
        let here = self.shelf.lock().at(place);
        let mailed = |item: &&Arc<Item>| {
            item.standing(clock) == Standing::Issued && item.record.profile == Profile::Standard
        };
        let live: Vec<_> = here.iter().filter(mailed).collect();
        // Of persons who share an account, nobody can tell who asks: each has his own again.
        let mut resent = Resent::Nothing;
        for item in live {
            match self.resend_one(item).await? {
                Resent::Sent => resent = Resent::Sent,
                later if resent == Resent::Nothing => resent = later,
                _ => {}
            }
        }
        Ok(resent)
    }

    async fn resend_one(&self, item: &Item) -> Result<Resent, AskError> {
        let clock = &*self.tools.clock;
        let Some(issue) = &item.record.issue else { return Ok(Resent::Nothing) };
        let now = clock.elapsed();
        let last = Duration::from_millis(item.moving.resent_ms.load(Ordering::Relaxed));
        let since = if last.is_zero() {
            Duration::from_secs(clock.now().saturating_sub(issue.at))
        } else {
            now.saturating_sub(last)
        };
        if since < RESEND_EVERY {
            let left = (RESEND_EVERY - since).as_secs().max(1);
            return Ok(Resent::NotYet { until: clock.now().saturating_add(left) });
        }
        let to = item.record.person.as_ref().and_then(|person| person.email.as_deref());
        let to = to.and_then(|to| EmailAddress::parse(to).ok());
        let occasion = Occasion { request: item.record.id, about: About::Password };
        let (letters, changes): (Vec<_>, Vec<_>) =
            self.letters(&to, &occasion, issue.until).into_iter().unzip();
        let event = telling::event(&item.record, "access_resent", item.record.way.word(), clock.now());
        let reference = Reference::draw()?;
        let audit = Some(audit::entry(&event, reference));
        match self.tools.ledger.submit(ledger::Entry { claim: None, changes, audit }).await {
            Outcome::Committed => {
                let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX).max(1);
                item.moving.resent_ms.store(now, Ordering::Relaxed);
                *item.moving.resent.lock().unwrap_or_else(PoisonError::into_inner) = letters.last().copied();
                self.tools.outbox.committed(&letters);
                Ok(Resent::Sent)
            }
            outcome => Err(AskError::NotStored { outcome }),
        }
    }
}

/// The credential of a request's decision.
fn add(id: RequestId, value: u64) -> Change {
    Change::AddCredential { credential: id.decision(), value }
}

/// The credential of its password's use.
pub(super) fn add_use(id: RequestId) -> Change {
    Change::AddCredential { credential: id.use_of_password(), value: 0 }
}

/// Two digits that are easily said: 10 to 99, each as likely as the others to one part in two hundred million.
fn draw_number() -> Result<u16, KeyError> {
    let drawn = u32::from_be_bytes(random_bytes()?) % 90;
    Ok(10 + u16::try_from(drawn).expect("below ninety"))
}
