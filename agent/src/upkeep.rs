//! What goes on between logins: a connection is kept, the host reports and tells of its sessions, its certificate is
//! renewed.
//!
//! A verifier counts as there when it has answered a report. The agent reports to the first that does, and tries those
//! before it again when they have rested. Everything that a whole fleet would do in one second has a random part. What is said
//! of offline passwords stands in `offline`.

mod offline;

use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use hyper::StatusCode;
use hyper::body::Bytes;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use wire::API_VERSION;
use wire::fleet::{Certified, RENEW_PATH, REPORT_PATH, Renew, Report, Reported};

use crate::VERSION;
use crate::chance::Chance;
use crate::checkpoint::Checkpoints;
use crate::clock::{Clock, UnixTime};
use crate::clocks;
use crate::connection::Answer;
use crate::identity::NewKey;
use crate::offline::link::Link;
use crate::sessions::Sessions;
use crate::status::{self, Reporter};
use crate::tls;
use crate::verifiers::Verifiers;
use offline::OfflinePlan;

/// The longest time between two reports; the shortest is two thirds of it. Within the 60 s after which a verifier
/// ends a silent connection (`IDLE_SECONDS_MAX` in serve).
const REPORT_EVERY: Duration = Duration::from_secs(30);

/// How long a verifier may take to answer a report, the connection included.
const REPORT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long to wait, at most, before a lost connection is made again while nobody logs in: a login does not wait for
/// this. All hosts lose theirs in one second when a verifier restarts.
const RECONNECT_SPREAD: Duration = Duration::from_secs(5);

/// How long a renewal may take.
const RENEW_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest time between two tries to renew. A certificate is renewed when half of its 7 days are left.
const RENEW_RETRY: Duration = Duration::from_secs(600);

/// Which part of a certificate's life is the longest random delay of its renewal: a tenth.
const RENEW_SPREAD: u64 = 10;

/// How often other verifiers are asked for their time where clocks differ. What the answer leads to is done by people.
const CLOCKS_ASKED_EVERY: Duration = Duration::from_secs(600);

/// Keeps the host in the fleet.
#[derive(Debug)]
pub struct Upkeep {
    /// Whom to ask.
    pub verifiers: Arc<Verifiers>,
    /// Who we are, and what we are told.
    pub reporter: Reporter,
    /// Where key and certificate are kept.
    pub state_dir: PathBuf,
    /// What is to be told of this host's sessions.
    pub sessions: Arc<Sessions>,
    /// What we keep of the verifiers' audit trail.
    pub checkpoints: Arc<Checkpoints>,
    /// Who checks offline passwords.
    pub offline: Link,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// What spreads a fleet.
    pub chance: Arc<dyn Chance>,
}

/// When what is due.
struct Plan {
    report: Instant,
    /// Other verifiers are not asked for their time before.
    clocks: Instant,
    /// When offline passwords are spoken of.
    offline: OfflinePlan,
    renew: Renewal,
}

/// When the certificate is renewed: at a time of the wall clock, and not before a pause after a failure.
struct Renewal {
    at: UnixTime,
    not_before: Instant,
}

impl Upkeep {
    /// Goes on until `stop` says so.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        tokio::select! {
            () = serve::stopped(&mut stop) => {}
            () = self.go_on() => {}
            () = self.sessions.tell(&self.verifiers) => {}
        }
    }

    async fn go_on(&self) {
        let now = Instant::now();
        let mut plan = Plan {
            report: now,
            clocks: now,
            offline: OfflinePlan::at_once(),
            renew: Renewal { at: self.renewal(), not_before: now },
        };
        // The first report may take a while.
        self.look_at_offline().await;
        loop {
            let answered = self.report().await;
            self.note(answered.is_some());
            if let Some(number) = answered {
                self.compare_clocks(number, &mut plan.clocks).await;
            }
            if answered.is_some() {
                self.sessions.note_answer();
            }
            match answered {
                Some(number) => self.speak_of_offline(number, &mut plan.offline).await,
                None => drop(self.look_at_offline().await),
            }
            self.checkpoints.keep_aside();
            if answered.is_some() && self.renew_if_due(&mut plan.renew).await {
                // Shown at once: until then the verifier accepts two.
                continue;
            }
            plan.report = Instant::now() + REPORT_EVERY - self.chance.up_to(REPORT_EVERY / 3);
            let next = self.next(answered).map_or(plan.report, |due| due.min(plan.report));
            tokio::select! {
                () = sleep_until(next) => {}
                () = self.verifiers.lost() => {
                    self.note(false);
                    sleep_until(Instant::now() + self.chance.up_to(RECONNECT_SPREAD)).await;
                }
            }
        }
    }

    /// When to look again because of a verifier that is before the one which answered, or of any where none did.
    fn next(&self, answered: Option<usize>) -> Option<Instant> {
        (0..answered.unwrap_or(self.verifiers.count())).map(|number| self.verifiers.due(number)).min()
    }

    /// Reports to the first verifier that answers; says which.
    async fn report(&self) -> Option<usize> {
        for number in 0..self.verifiers.count() {
            let now = Instant::now();
            if self.verifiers.due(number) > now {
                continue;
            }
            match self.verifiers.ask_one(number, REPORT_PATH, &self.said(), now + REPORT_TIMEOUT).await {
                Ok(answer) if self.heed(number, &answer) => {
                    self.verifiers.retire_from(number + 1);
                    return Some(number);
                }
                // 403 has been heeded by whoever asked.
                Ok(answer) if answer.status == StatusCode::FORBIDDEN => {}
                Ok(_) => self.verifiers.distrust(number),
                Err(fault) => tracing::debug!(%fault, "a report was not answered"),
            }
        }
        None
    }

    /// What the host says of itself.
    fn said(&self) -> Bytes {
        json(&Report { api_version: API_VERSION, agent_version: VERSION.into(), clock: self.clock.now() })
    }

    /// Where clocks differ, hears the other verifiers too: two clocks do not say which of them is right. Logs whose is off,
    /// once.
    ///
    /// * `answered`: who keeps its connection.
    /// * `due`: not before.
    async fn compare_clocks(&self, answered: usize, due: &mut Instant) {
        let told = || self.reporter.told.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let differ = clocks::judge(&told().clocks).is_some();
        if differ && now >= *due {
            *due = now + CLOCKS_ASKED_EVERY;
            for number in (0..self.verifiers.count()).filter(|number| *number != answered) {
                let now = Instant::now();
                if self.verifiers.due(number) > now {
                    continue;
                }
                let said = self.said();
                let asked = self.verifiers.ask_one(number, REPORT_PATH, &said, now + REPORT_TIMEOUT);
                if let Ok(answer) = asked.await
                    && let Ok(reported) = serde_json::from_slice::<Reported>(&answer.body)
                {
                    self.note_clock(number, &reported);
                }
            }
            self.verifiers.retire_from(answered + 1);
        }
        let mut told = told();
        let fault = clocks::judge(&told.clocks);
        if std::mem::replace(&mut told.clock_fault, fault) == fault {
            return;
        }
        let stands = self.verifiers.stands();
        match status::clock_words(fault, &told.clocks, |number| stands[number].address.clone()) {
            Some(words) => tracing::warn!("{words}: set them by NTP"),
            None => tracing::info!("the clocks of host and verifiers agree again"),
        }
    }

    /// Takes note of a verifier's time.
    fn note_clock(&self, number: usize, reported: &Reported) {
        let ours = i64::try_from(self.clock.now()).unwrap_or(i64::MAX);
        let ahead = ours.checked_sub_unsigned(reported.clock);
        let mut told = self.reporter.told.lock().unwrap_or_else(PoisonError::into_inner);
        let count = told.clocks.len().max(self.verifiers.count());
        told.clocks.resize(count, None);
        told.clocks[number] = ahead;
    }

    /// Takes note of what a verifier says of the host. `false` when it does not take it for the host that it is.
    fn heed(&self, number: usize, answer: &Answer) -> bool {
        let status = answer.status;
        if status != StatusCode::OK {
            tracing::error!(%status, "the verifier does not take this host for one of its fleet");
            return false;
        }
        let Ok(reported) = serde_json::from_slice::<Reported>(&answer.body) else {
            tracing::error!("what came is not an answer to a report");
            return false;
        };
        if reported.host != self.reporter.identity.load().host {
            tracing::error!("ALERT: the answer to a report is for another host");
            return false;
        }
        self.sessions.answer(&reported.sessions);
        self.note_clock(number, &reported);
        self.sessions.heed_recording(reported.recording);
        let mut told = self.reporter.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.clock_ahead_seconds = told.clocks[number];
        (told.name, told.group) = (Some(reported.name), reported.group);
        told.standing_still = reported.standing_still;
        true
    }

    fn note(&self, is_answered: bool) {
        self.reporter.told.lock().unwrap_or_else(PoisonError::into_inner).is_answered = is_answered;
    }

    /// When to renew: half of the certificate's life, and a random part.
    fn renewal(&self) -> UnixTime {
        let identity = self.reporter.identity.load();
        let spread = Duration::from_secs(identity.life() / RENEW_SPREAD);
        identity.renew_at() + self.chance.up_to(spread).as_secs()
    }

    /// Whether there is another certificate now.
    async fn renew_if_due(&self, renewal: &mut Renewal) -> bool {
        let now = Instant::now();
        if self.clock.now() < renewal.at || now < renewal.not_before {
            return false;
        }
        // Also after a success: a verifier that makes certificates which are due at once is not asked without end.
        renewal.not_before = now + RENEW_RETRY / 2 + self.chance.up_to(RENEW_RETRY / 2);
        match self.renew().await {
            Ok(until) => {
                tracing::info!(until, "the host's certificate was renewed");
                renewal.at = self.renewal();
                true
            }
            Err(error) => {
                tracing::error!("the host's certificate could not be renewed: {error:#}");
                false
            }
        }
    }

    /// Gets the next certificate, keeps it, and asks with it from now on.
    async fn renew(&self) -> anyhow::Result<String> {
        let key = NewKey::generate()?;
        let renew = Renew { api_version: API_VERSION, signing_request: key.signing_request()? };
        let deadline = Instant::now() + RENEW_TIMEOUT;
        let answer = self.verifiers.ask(RENEW_PATH, &json(&renew), deadline).await?;
        anyhow::ensure!(answer.status == StatusCode::OK, "the verifier answered {}", answer.status);
        let certified: Certified = serde_json::from_slice(&answer.body)?;
        let next = key.certified(&certified.certificate)?;
        let present = self.reporter.identity.load();
        anyhow::ensure!(next.host == present.host, "the certificate that came is for another host");
        anyhow::ensure!(
            next.authority == present.authority,
            "the certificate that came is of another authority"
        );
        let tls = tls::for_host(&next)?;
        // On disk before it is shown: the verifier forgets the present one then.
        next.keep(&self.state_dir)?;
        let until = status::rfc3339(next.not_after);
        self.reporter.identity.store(Arc::new(next));
        self.verifiers.become_host(tls);
        Ok(until)
    }
}

fn json<T: Serialize>(message: &T) -> Bytes {
    serde_json::to_vec(message).expect("messages hold only numbers, texts and lists").into()
}

#[cfg(test)]
mod tests;
