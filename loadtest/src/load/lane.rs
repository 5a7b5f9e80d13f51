//! One thread of the load: its share of the users, of the connections and of the rate.
//!
//! A lane shares nothing with the others but what is read, so that two cores make twice the load of one. Within it,
//! slots take the requests in the order in which they are meant to start; each has one on its way. A request that is
//! due while every slot is busy waits here, and the wait counts: the verifier's slowness never makes it fewer.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::{Arc, Barrier, OnceLock};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::sync::Notify;
use tokio::task::{JoinSet, LocalSet};
use wire::login::Verdict;

use super::deck::{Deck, Judged, Try};
use super::live::Recent;
use super::outage::Outage;
use super::profile::Mix;
use super::schedule::{Arrivals, Curve, Spacing};
use super::tally::{Answered, Tally};
use crate::ask::{Asker, Attempt, Way};
use crate::authenticator::{Authenticator, Pace};
use crate::chance::Chance;
use crate::clock::{Clock, pauses};
use crate::connection::{ANSWER_TIMEOUT, Connection};
use crate::journal::{Journal, Line, Sent};
use crate::login::RequestIds;
use crate::outcome::Outcome;
use crate::target::Target;
use crate::timer::Timer;

/// How long after the run's end requests that were due in it are still sent.
const DRAIN: Duration = ANSWER_TIMEOUT;

/// Where strangers come from: the addresses of RFC 5737, which are nobody's.
const STRANGE_NETWORKS: [&str; 3] = ["192.0.2", "198.51.100", "203.0.113"];

/// What makes a request start.
#[derive(Debug)]
pub enum Pacing {
    /// The answer to the one before it.
    Closed,
    /// The clock.
    Open {
        /// How many, when.
        curve: Arc<Curve>,
        /// How they follow one another.
        spacing: Spacing,
    },
}

/// What all lanes share.
#[derive(Debug)]
pub struct Plan {
    /// Whom to ask.
    pub target: Arc<Target>,
    /// How.
    pub way: Way,
    /// For which PAM service.
    pub service: String,
    /// Names requests.
    pub ids: Arc<RequestIds>,
    /// What to send.
    pub mix: Mix,
    /// When to send it.
    pub pacing: Pacing,
    /// How many lanes there are.
    pub lanes: u32,
    /// Connections of all lanes together.
    pub connections: u32,
    /// Requests on their way on each connection.
    pub in_flight: u32,
    /// Codes in each request.
    pub batch: u32,
    /// How long.
    pub duration: Duration,
    /// Stretches that the tally tells apart.
    pub stretch: Duration,
    /// Repeats the choices of a run.
    pub seed: u64,
    /// The clock.
    pub clock: Clock,
    /// When the verifier is known to be gone.
    pub outage: Outage,
    /// Where replies are written down.
    pub journal: Option<Journal>,
    /// For each lane, its latest answers.
    pub recents: Vec<Recent>,
    /// Lanes meet here once they are connected.
    pub meeting: Barrier,
    /// On the clock, when the run began.
    pub started: OnceLock<Duration>,
}

/// What a lane leaves.
#[derive(Debug)]
pub struct Finished {
    /// What it counted.
    pub tally: Tally,
    /// Its users, with the counters that come next.
    pub users: Vec<(Authenticator, Pace)>,
}

struct Lane {
    plan: Arc<Plan>,
    number: u32,
    deck: RefCell<Deck>,
    chance: RefCell<Chance>,
    tally: RefCell<Tally>,
    /// `None` in a closed loop.
    arrivals: Option<RefCell<Arrivals>>,
    /// A slot may look for a request.
    due: Notify,
    /// A slot took one.
    taken: Notify,
    /// Users are free again.
    freed: Notify,
    started: Cell<Duration>,
}

/// Runs a lane to its end; blocks the thread.
///
/// # Errors
/// When the thread cannot run, or the journal cannot be written.
pub fn run(plan: &Arc<Plan>, number: u32, authenticators: Vec<Authenticator>) -> Result<Finished> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("cannot start a lane")?;
    let mut chance = Chance::new(plan.seed, u64::from(number));
    let arrivals = match &plan.pacing {
        Pacing::Closed => None,
        Pacing::Open { curve, spacing } => {
            let own = Chance::new(chance.below(u64::MAX), u64::from(number));
            Some(RefCell::new(Arrivals::new(curve, *spacing, number, plan.lanes, own)))
        }
    };
    let lane = Rc::new(Lane {
        plan: Arc::clone(plan),
        number,
        deck: RefCell::new(Deck::new(authenticators, plan.mix)),
        chance: RefCell::new(chance),
        tally: RefCell::new(Tally::new(plan.stretch)),
        arrivals,
        due: Notify::new(),
        taken: Notify::new(),
        freed: Notify::new(),
        started: Cell::default(),
    });
    let local = LocalSet::new();
    local.block_on(&runtime, Rc::clone(&lane).drive())?;
    drop(local);
    let lane = Rc::into_inner(lane).context("a slot outlived its lane")?;
    Ok(Finished { tally: lane.tally.into_inner(), users: lane.deck.into_inner().into_users() })
}

impl Lane {
    async fn drive(self: Rc<Self>) -> Result<()> {
        let askers = self.connect().await;
        self.plan.meeting.wait();
        self.started.set(*self.plan.started.get_or_init(|| self.plan.clock.elapsed()));
        let mut slots = JoinSet::new();
        for asker in askers {
            slots.spawn_local(Rc::clone(&self).work(asker));
        }
        let all = async {
            while let Some(worked) = slots.join_next().await {
                worked.context("a slot ended early")??;
            }
            anyhow::Ok(())
        };
        tokio::select! {
            worked = all => worked?,
            Err(error) = self.pace() => return Err(error),
        }
        self.count_unsent();
        Ok(())
    }

    /// One asker for each slot; the connections are open where they can be, so that the first request does not pay.
    async fn connect(&self) -> Vec<Asker> {
        let Plan { target, way, service, ids, lanes, connections, in_flight, .. } = &*self.plan;
        let mut askers = Vec::new();
        for _ in (self.number..*connections).step_by(*lanes as usize) {
            let mut connection = Connection::new(target);
            if !matches!(way, Way::Pam(_)) {
                // What does not answer here does not answer the first request either, which counts it.
                let _ = connection.open().await;
            }
            let more: Vec<_> = (1..*in_flight).map(|_| connection.share()).collect();
            let all = std::iter::once(connection).chain(more);
            askers.extend(all.map(|connection| Asker::new(way, connection, service, ids)));
        }
        askers
    }

    /// Wakes a slot whenever a request is due. The slots do the rest; with all of them busy, nothing is to be done.
    async fn pace(&self) -> Result<()> {
        let Some(arrivals) = &self.arrivals else { return Ok(()) };
        let mut timer = Timer::new()?;
        loop {
            let Some(next) = arrivals.borrow().next() else { break };
            timer.wait(next.saturating_sub(self.now())).await?;
            self.due.notify_one();
            self.taken.notified().await;
        }
        self.due.notify_waiters();
        Ok(())
    }

    /// One slot, until the run is over.
    async fn work(self: Rc<Self>, mut asker: Asker) -> Result<()> {
        let mut pauses = pauses();
        loop {
            let idle_since = self.now();
            let Some(intended) = self.next_start().await else { return Ok(()) };
            if self.arrivals.is_some() {
                let lag = self.now().saturating_sub(intended.max(idle_since));
                self.tally.borrow_mut().client_lag.record(lag);
            }
            let all_answered = self.make_request(&mut asker, intended).await?;
            // A closed loop that got no answer, or has nothing to send, must not spin.
            if self.arrivals.is_none() && !all_answered {
                pauses.tick().await;
            }
        }
    }

    /// Sends one request: in several parts, when not enough users are free for a whole batch. Waits for a user where
    /// all are busy, because that is the verifier's slowness, too. `false` when something was not sent or answered.
    async fn make_request(&self, asker: &mut Asker, intended: Duration) -> Result<bool> {
        let mut left = self.plan.batch;
        let mut all_answered = true;
        while left > 0 {
            let tries = self.deal(left);
            if !tries.is_empty() {
                left -= u32::try_from(tries.len()).expect("at most a batch");
                all_answered &= self.submit(asker, intended, tries).await?;
            } else if self.deck.borrow().is_busy() && self.now() <= self.plan.duration + DRAIN {
                self.freed.notified().await;
            } else {
                self.count_without_code(intended, left);
                return Ok(false);
            }
        }
        Ok(all_answered)
    }

    /// Waits for the next request that is due, and takes it: when it is meant to start. `None` at the end.
    async fn next_start(&self) -> Option<Duration> {
        let Some(arrivals) = &self.arrivals else {
            return Some(self.now()).filter(|now| *now < self.plan.duration);
        };
        loop {
            let now = self.now();
            if now > self.plan.duration + DRAIN {
                return None;
            }
            let next = arrivals.borrow().next()?;
            if next <= now {
                arrivals.borrow_mut().advance();
                self.taken.notify_one();
                return Some(next);
            }
            self.due.notified().await;
        }
    }

    fn deal(&self, at_most: u32) -> Vec<Try> {
        let (step, mut deck, mut chance) =
            (self.plan.clock.step(), self.deck.borrow_mut(), self.chance.borrow_mut());
        (0..at_most).map_while(|_| deck.deal(step, &mut chance)).collect()
    }

    /// Sends codes and counts the answers; `false` when one of them was no answer.
    async fn submit(&self, asker: &mut Asker, intended: Duration, tries: Vec<Try>) -> Result<bool> {
        let attempts: Vec<Attempt> = tries.iter().map(|dealt| self.attempt(dealt)).collect();
        let (sent, sent_at_ms) = (self.now(), self.plan.clock.unix_ms());
        let outcomes = asker.ask(&attempts).await;
        let (ended, step) = (self.now(), self.plan.clock.step());
        let in_outage = self.plan.outage.touches(sent, ended);
        let mut all_answered = true;
        for ((dealt, attempt), outcome) in tries.iter().zip(attempts).zip(&outcomes) {
            all_answered &= matches!(outcome, Outcome::Decided { .. } | Outcome::AskedAgain);
            if let Some(journal) = &self.plan.journal {
                journal.write(&line(dealt, attempt, outcome, sent_at_ms))?;
            }
            let judged = self.deck.borrow_mut().give_back(dealt, outcome, step, in_outage);
            self.count(dealt, outcome, judged, (intended, sent, ended));
        }
        self.freed.notify_waiters();
        Ok(all_answered)
    }

    fn attempt(&self, dealt: &Try) -> Attempt {
        Attempt {
            request_id: self.plan.ids.draw(),
            user: self.deck.borrow().authenticator(dealt.user).user().to_owned(),
            code: dealt.code.clone(),
            rhost: dealt.is_strange.then(|| strange_address(&mut self.chance.borrow_mut())),
        }
    }

    fn count(
        &self,
        dealt: &Try,
        outcome: &Outcome,
        judged: Judged,
        (intended, sent, ended): (Duration, Duration, Duration),
    ) {
        let took = outcome.is_allowed().then(|| ended.saturating_sub(intended));
        self.plan.recents[self.number as usize].note(took);
        let deck = self.deck.borrow();
        let authenticator = deck.authenticator(dealt.user);
        let (user, pace) = (authenticator.user(), authenticator.pace());
        self.tally.borrow_mut().count(&Answered {
            user,
            pace,
            dealt,
            outcome,
            judged,
            intended,
            sent,
            ended,
        });
    }

    /// A closed loop looks again; in an open one the moment is past.
    fn count_without_code(&self, intended: Duration, codes: u32) {
        if self.arrivals.is_some() {
            let mut tally = self.tally.borrow_mut();
            tally.counts.without_code += u64::from(codes);
            tally.stretch_at(intended).intended += u64::from(codes);
        }
    }

    /// What was due and is not sent any more.
    fn count_unsent(&self) {
        let Some(arrivals) = &self.arrivals else { return };
        let (mut arrivals, mut tally) = (arrivals.borrow_mut(), self.tally.borrow_mut());
        let batch = u64::from(self.plan.batch);
        while let Some(intended) = arrivals.next() {
            tally.counts.unsent += batch;
            tally.stretch_at(intended).intended += batch;
            arrivals.advance();
        }
    }

    /// Since the start of the run.
    fn now(&self) -> Duration {
        self.plan.clock.elapsed().saturating_sub(self.started.get())
    }
}

fn strange_address(chance: &mut Chance) -> String {
    let network = STRANGE_NETWORKS[usize::try_from(chance.below(3)).expect("an index")];
    format!("{network}.{}", 1 + chance.below(254))
}

fn line(dealt: &Try, attempt: Attempt, outcome: &Outcome, sent_at_ms: u64) -> Line {
    let (verdict, reference) = match outcome {
        Outcome::Decided { verdict, reference, .. } => (*verdict, Some(reference.clone())),
        Outcome::AskedAgain
        | Outcome::NoAnswer { .. }
        | Outcome::Foreign { .. }
        | Outcome::NotBegun { .. } => (Verdict::Unknown, None),
    };
    let Attempt { user, request_id, .. } = attempt;
    let step = (dealt.sent != Sent::Wrong).then_some(dealt.factor);
    Line { user, step, request_id, sent: dealt.sent, sent_at_ms, verdict, reference }
}
