//! The verifiers in their order: asks the first that answers, goes on to the next, and gives up at a deadline.
//!
//! A request is sent again with the same bytes, to the same verifier or another: its id makes that one claim. Each
//! verifier has at most one connection in use, which is kept. One that fails is left alone for a while ([`Backoff`]),
//! also by logins: what waits for it waits until it may be tried, or until its deadline.
//!
//! One lock for each verifier, held for a look or a change and never across a wait.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use hyper::StatusCode;
use hyper::body::Bytes;
use rustls::ClientConfig;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::backoff::Backoff;
use crate::chance::Chance;
use crate::checkpoint::Checkpoints;
use crate::config::VerifierAddress;
use crate::connection::{self, Answer, Fault, Sender, chain};

/// All verifiers that may be asked.
#[derive(Debug)]
pub struct Verifiers {
    places: Vec<Place>,
    tls: ArcSwap<ClientConfig>,
    chance: Arc<dyn Chance>,
    checkpoints: Arc<Checkpoints>,
    lost: Arc<Notify>,
}

/// One of them.
#[derive(Debug)]
struct Place {
    address: VerifierAddress,
    standing: Arc<Mutex<Standing>>,
    /// Held while a connection is made, so that many logins make one.
    connecting: tokio::sync::Mutex<()>,
}

/// How it stands.
#[derive(Debug)]
struct Standing {
    /// The connection in use.
    sender: Option<Sender>,
    /// Which connection that is: what fails on an earlier one says nothing of this one.
    generation: u64,
    /// Answers that came on it.
    answers: u64,
    /// Requests on it that were not answered in time, since the last answer.
    late: u32,
    backoff: Backoff,
    /// Not before.
    due: Instant,
    /// Why it failed last; nothing since it answered.
    problem: Option<String>,
    /// Its words when it refused this host; nothing since it answered.
    refusal: Option<String>,
    /// Whether it said last that it cannot answer now: it is there, all the same.
    is_busy: bool,
}

/// How a verifier stands, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stand {
    /// Where.
    pub address: String,
    /// Whether a connection is open and in use.
    pub is_connected: bool,
    /// Why it failed last; nothing since it answered.
    pub problem: Option<String>,
    /// How often it has failed since it answered.
    pub failures: u32,
    /// How long it is still left alone.
    pub rests_for: Duration,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// No verifier answered in time.
    #[error("no verifier answered in time")]
    Unreachable,
    /// None did, and one said that it cannot now.
    #[error("no verifier can answer now")]
    Busy,
    /// One answered last that this host is none of its fleet, and no other answered in time.
    #[error("{0}")]
    Refused(String),
    /// One answered, and it is not known what.
    #[error("what a verifier answered is too long, or is not sealed for us")]
    NotUnderstood,
}

impl Verifiers {
    /// Nothing is connected yet.
    ///
    /// * `tls`: as whom we ask, and whom we trust.
    pub fn new(addresses: Vec<VerifierAddress>, tls: Arc<ClientConfig>, chance: Arc<dyn Chance>) -> Self {
        let now = Instant::now();
        let place = |address| {
            let standing = Standing {
                sender: None,
                generation: 0,
                answers: 0,
                late: 0,
                backoff: Backoff::default(),
                due: now,
                problem: None,
                refusal: None,
                is_busy: false,
            };
            Place {
                address,
                standing: Arc::new(Mutex::new(standing)),
                connecting: tokio::sync::Mutex::default(),
            }
        };
        let places = addresses.into_iter().map(place).collect();
        Self { places, tls: ArcSwap::new(tls), chance, checkpoints: Arc::default(), lost: Arc::default() }
    }

    /// The same, showing what was seen of the verifiers' audit trail.
    pub fn showing(self, checkpoints: Arc<Checkpoints>) -> Self {
        Self { checkpoints, ..self }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.places.len()
    }

    /// Asks until one answers. An answer is anything but 503.
    ///
    /// # Errors
    /// When none has until the deadline, or what came is no answer.
    pub async fn ask(&self, path: &str, body: &Bytes, deadline: Instant) -> Result<Answer, Unanswered> {
        loop {
            for number in 0..self.places.len() {
                let now = Instant::now();
                let (may_be_asked, left) = self.candidates(number, now);
                if !may_be_asked || now >= deadline {
                    continue;
                }
                let until = now + (deadline - now) / left;
                match self.ask_one(number, path, body, until).await {
                    Ok(answer) => return Ok(answer),
                    Err(Fault::TooLarge | Fault::Sealed) => return Err(Unanswered::NotUnderstood),
                    Err(fault) => {
                        let verifier = &self.places[number].address;
                        tracing::warn!(%verifier, fault = chain(&fault), "a verifier did not answer");
                    }
                }
            }
            let due = self.places.iter().map(|place| place.lock().due).min();
            match due.filter(|due| *due < deadline) {
                // Never at once again: whoever is due now failed after it was looked at.
                Some(due) => sleep_until(due.max(Instant::now() + ROUND_PAUSE).min(deadline)).await,
                None => return Err(self.unanswered()),
            }
            if Instant::now() >= deadline {
                return Err(self.unanswered());
            }
        }
    }

    /// Tells what no login waits for, over a connection that is there already. Whatever comes of it, how a verifier
    /// stands does not change: logins ask it as before.
    ///
    /// * `until`: for all of them together.
    ///
    /// # Errors
    /// When none is connected, or none answered.
    pub async fn tell(&self, path: &str, body: &Bytes, until: Instant) -> Result<Answer, Unanswered> {
        for place in &self.places {
            let open = {
                let mut standing = place.lock();
                if standing.due <= Instant::now() { standing.open() } else { None }
            };
            let Some((mut sender, _)) = open else { continue };
            let shown = self.checkpoints.newest();
            let told = connection::ask(&mut sender, &place.address, path, body.clone(), shown);
            let Ok(Ok(answer)) = timeout_at(until, told).await else { continue };
            if let Some(told) = &answer.checkpoint {
                self.checkpoints.take(told);
            }
            if answer.status != StatusCode::SERVICE_UNAVAILABLE {
                return Ok(answer);
            }
        }
        Err(Unanswered::Unreachable)
    }

    /// A host that was refused is refused until that verifier answers it, or another: that it does not ask in between, or
    /// that nobody is there, takes nothing back.
    fn unanswered(&self) -> Unanswered {
        let refusal = |place: &Place| place.lock().refusal.clone();
        if let Some(said) = self.places.iter().find_map(refusal) {
            return Unanswered::Refused(said);
        }
        let is_busy = self.places.iter().any(|place| place.lock().is_busy);
        if is_busy { Unanswered::Busy } else { Unanswered::Unreachable }
    }

    /// Asks one of them, once.
    ///
    /// # Errors
    /// Why it did not answer.
    pub async fn ask_one(
        &self,
        number: usize,
        path: &str,
        body: &Bytes,
        until: Instant,
    ) -> Result<Answer, Fault> {
        let place = &self.places[number];
        let (mut sender, generation) = self.sender(place, until).await?;
        let (shown, answers) = (self.checkpoints.newest(), place.lock().answers);
        let asked = connection::ask(&mut sender, &place.address, path, body.clone(), shown);
        let answered = timeout_at(until, asked).await.unwrap_or(Err(Fault::TimedOut));
        if let Ok(Answer { checkpoint: Some(told), .. }) = &answered {
            self.checkpoints.take(told);
        }
        match answered {
            Ok(answer) if answer.status == StatusCode::SERVICE_UNAVAILABLE => {
                let fault = Fault::Busy { said: answer.said() };
                place.lock().rest(&fault, &*self.chance);
                Err(fault)
            }
            // Who is told that he is not of the fleet need not hear it a hundred times a second.
            Ok(answer) if answer.status == StatusCode::FORBIDDEN => {
                place.lock().rest(&Fault::NotOfTheFleet { said: answer.said() }, &*self.chance);
                Ok(answer)
            }
            Ok(answer) => {
                place.lock().answered(generation);
                Ok(answer)
            }
            Err(Fault::TimedOut) if !place.lock().is_silent(generation, answers) => Err(Fault::TimedOut),
            Err(fault) => {
                if place.lock().fail(generation, &fault, &*self.chance) {
                    self.lost.notify_one();
                }
                Err(fault)
            }
        }
    }

    /// Leaves a verifier alone that answered, but not as a verifier of this host does.
    pub fn distrust(&self, number: usize) {
        let said = "what it answered to a report is no answer to this host".into();
        self.places[number].lock().rest(&Fault::NotOfTheFleet { said }, &*self.chance);
    }

    /// Whether a verifier may be asked now, and how many may be from it on, itself counted in.
    fn candidates(&self, number: usize, now: Instant) -> (bool, u32) {
        let is_due = |place: &Place| place.lock().due <= now;
        let left = self.places[number..].iter().filter(|place| is_due(place)).count();
        (is_due(&self.places[number]), u32::try_from(left.max(1)).unwrap_or(1))
    }

    /// The connection to one of them, made if need be.
    async fn sender(&self, place: &Place, until: Instant) -> Result<(Sender, u64), Fault> {
        if let Some(open) = place.lock().open() {
            return Ok(open);
        }
        let _turn = timeout_at(until, place.connecting.lock()).await.map_err(|_| Fault::TimedOut)?;
        // Whoever had the turn before has connected, or failed.
        let generation = {
            let mut standing = place.lock();
            if let Some(open) = standing.open() {
                return Ok(open);
            }
            if standing.due > Instant::now() {
                return Err(Fault::Resting);
            }
            standing.generation
        };
        match connection::open(&place.address, self.tls.load_full(), until).await {
            Ok((sender, driver)) => Ok(self.take_over(place, sender, driver)),
            Err(fault) => {
                let mut standing = place.lock();
                let before = standing.problem.clone();
                standing.fail(generation, &fault, &*self.chance);
                if standing.problem != before {
                    tracing::warn!(verifier = %place.address, fault = chain(&fault), "a verifier cannot be reached");
                }
                drop(standing);
                Err(fault)
            }
        }
    }

    fn take_over(&self, place: &Place, sender: Sender, driver: connection::Driver) -> (Sender, u64) {
        let generation = {
            let mut standing = place.lock();
            standing.generation += 1;
            (standing.answers, standing.late) = (0, 0);
            standing.sender = Some(sender.clone());
            standing.generation
        };
        tracing::info!(verifier = %place.address, "connected");
        let (standing, lost) = (Arc::clone(&place.standing), Arc::clone(&self.lost));
        let (chance, verifier) = (Arc::clone(&self.chance), place.address.clone());
        tokio::spawn(async move {
            let ended = driver.await;
            let mut standing = standing.lock().unwrap_or_else(PoisonError::into_inner);
            if standing.generation != generation || standing.sender.is_none() {
                return;
            }
            match ended {
                Ok(()) => tracing::info!(%verifier, "the connection has ended"),
                Err(error) => tracing::warn!(%verifier, fault = chain(&error), "the connection broke"),
            }
            standing.fail(generation, &Fault::Ended, &*chance);
            drop(standing);
            lost.notify_one();
        });
        (sender, generation)
    }

    /// Resolves when a connection was lost that was in use.
    pub async fn lost(&self) {
        self.lost.notified().await;
    }

    /// From when on a verifier may be tried.
    pub fn due(&self, number: usize) -> Instant {
        self.places[number].lock().due
    }

    /// Leaves none of them alone any longer, and has whoever waits for [`Verifiers::lost`] look at once.
    pub fn try_again(&self) {
        for place in &self.places {
            let mut standing = place.lock();
            standing.backoff.reset();
            standing.due = Instant::now();
        }
        self.lost.notify_one();
    }

    /// Gives up the connections to all verifiers from one on: what was begun on them is answered.
    pub fn retire_from(&self, number: usize) {
        for place in &self.places[number.min(self.places.len())..] {
            place.lock().sender = None;
        }
    }

    /// Asks as somebody else from now on: connections of before are given up, what was begun on them is answered.
    pub fn become_host(&self, tls: Arc<ClientConfig>) {
        self.tls.store(tls);
        self.retire_from(0);
    }

    /// How all of them stand.
    pub fn stands(&self) -> Vec<Stand> {
        let now = Instant::now();
        let stand = |place: &Place| {
            let mut standing = place.lock();
            Stand {
                address: place.address.to_string(),
                is_connected: standing.open().is_some(),
                problem: standing.problem.clone(),
                failures: standing.backoff.failures(),
                rests_for: standing.due.saturating_duration_since(now),
            }
        };
        self.places.iter().map(stand).collect()
    }
}

/// Requests in a row that a connection may leave unanswered: one may wait for something of its own, two
/// say that nobody is answered.
const LATE_MAX: u32 = 2;

/// Between two rounds of a request over all verifiers, where none of them has to rest.
const ROUND_PAUSE: Duration = Duration::from_millis(20);

impl Place {
    fn lock(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Standing {
    /// The connection in use.
    fn open(&mut self) -> Option<(Sender, u64)> {
        let sender = self.sender.as_ref().filter(|sender| !sender.is_closed())?;
        Some((sender.clone(), self.generation))
    }

    /// It is left alone for a while. Its connection is kept.
    fn rest(&mut self, fault: &Fault, chance: &dyn Chance) {
        // That a connection ended does not say why, where something before it did.
        if !matches!(fault, Fault::Ended) || self.problem.is_none() {
            self.problem = Some(chain(fault));
        }
        if matches!(fault, Fault::NotOfTheFleet { .. }) {
            self.refusal = Some(chain(fault));
        }
        self.is_busy = matches!(fault, Fault::Busy { .. });
        self.due = Instant::now() + self.backoff.wait(chance);
    }

    /// The connection is of no use any more. Many requests that fail with one connection are one failure.
    /// `false` where it was one of those.
    fn fail(&mut self, generation: u64, fault: &Fault, chance: &dyn Chance) -> bool {
        let is_first = generation == self.generation;
        if is_first {
            self.sender = None;
            self.generation += 1;
            self.rest(fault, chance);
        }
        is_first
    }

    /// Whether a verifier that did not answer one request in time answers nobody. One request may wait for something of its
    /// own, a directory for example, while others are answered; alone it says little, and a connection that is dead is
    /// found by its pings.
    ///
    /// * `answers`: how many had come when it was sent.
    fn is_silent(&mut self, generation: u64, answers: u64) -> bool {
        if generation != self.generation || answers != self.answers {
            return false;
        }
        self.late += 1;
        self.problem.get_or_insert_with(|| chain(&Fault::TimedOut));
        self.late >= LATE_MAX
    }

    fn answered(&mut self, generation: u64) {
        if generation == self.generation {
            self.answers += 1;
            self.late = 0;
            self.backoff.reset();
            self.due = Instant::now();
            (self.problem, self.refusal, self.is_busy) = (None, None, false);
        }
    }
}

#[cfg(test)]
pub mod tests;
