//! What is to be said of this host's sessions: taken from the PAM module at once, told to a verifier when one answers.
//!
//! Nobody waits here for a verifier. What cannot be told yet waits in memory, in its order, and goes out one after the
//! other. What waits when the agent ends is gone: a session whose begin was not told is not listed, and one whose end was
//! not told is found to be over when the verifier asks about it.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::StatusCode;
use hyper::body::Bytes;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use wire::API_VERSION;
use wire::session::{CLOSE_PATH, CloseSession, NamedSession, OPEN_PATH, OpenSession};

use crate::verifiers::{Unanswered, Verifiers};

/// Reports that wait: an outage of a quarter of an hour at one login a second. A kilobyte each, as a rule.
const WAITING_MAX: usize = 1_024;

/// How long all verifiers together may take for one report. They are asked only when one of them has just answered.
const TELL_TIMEOUT: Duration = Duration::from_secs(10);

/// Between two reports. Forty a second are fewer than what a verifier forgets of a host's requests in that time
/// (`ASKED_PER_SECOND_MAX` in verifierd), so that all that a host may ask in a rush is left to its logins.
const TELL_PAUSE: Duration = Duration::from_millis(25);

/// Reports that wait to be told.
#[derive(Debug, Default)]
pub struct Sessions {
    /// Locked for a look or a change.
    waiting: Mutex<Waiting>,
    /// There is something to tell.
    come: Notify,
    /// A verifier has answered a report of this host.
    answered: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    /// Oldest first; at most [`WAITING_MAX`].
    reports: VecDeque<(Instant, Report)>,
    /// Reports that were left out since the last one that fitted.
    left_out: u64,
}

/// What is said of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// It has begun.
    Open(OpenSession),
    /// It is over.
    Close(CloseSession),
}

impl Report {
    fn session(&self) -> &str {
        match self {
            Self::Open(OpenSession { session, .. }) | Self::Close(CloseSession { session, .. }) => session,
        }
    }

    /// Where it is told, and how.
    ///
    /// * `waited`: since it was taken.
    fn request(&self, waited: Duration) -> (&'static str, Bytes) {
        let ago_seconds = waited.as_secs();
        let (path, json) = match self {
            Self::Open(said) => (OPEN_PATH, serde_json::to_vec(&OpenSession { ago_seconds, ..said.clone() })),
            Self::Close(said) => {
                (CLOSE_PATH, serde_json::to_vec(&CloseSession { ago_seconds, ..said.clone() }))
            }
        };
        (path, json.expect("reports hold only numbers and texts").into())
    }
}

impl Waiting {
    /// Takes a report, if there is room. An end that has a begun session before it is worth more than a begin: for it
    /// a begin gives way, its own first.
    fn take(&mut self, now: Instant, report: Report) {
        if self.reports.len() < WAITING_MAX {
            self.left_out = 0;
            self.reports.push_back((now, report));
            return;
        }
        if self.left_out == 0 {
            tracing::error!(
                waiting = WAITING_MAX,
                "no verifier hears of this host's sessions: some are left out"
            );
        }
        self.left_out += 1;
        let Report::Close(close) = &report else { return };
        let is_open = |(_, other): &(Instant, Report)| matches!(other, Report::Open(_));
        let own = |other: &(Instant, Report)| is_open(other) && other.1.session() == close.session;
        if let Some(own) = self.reports.iter().position(own) {
            // Neither its begin nor its end was told: there was no session.
            self.reports.remove(own);
        } else if let Some(newest) = self.reports.iter().rposition(is_open) {
            self.reports.remove(newest);
            self.reports.push_back((now, report));
        }
    }
}

impl Sessions {
    /// Takes a report; it is told in its turn.
    pub fn take(&self, report: Report) {
        self.lock().take(Instant::now(), report);
        self.come.notify_one();
    }

    /// A verifier asks about sessions: those that are over are told to be, unless that waits to be told already.
    pub fn answer(&self, asked: &[NamedSession]) {
        let over = |named: &&NamedSession| serve::leader::is_over(named.boot.as_deref(), named.leader);
        for NamedSession { session, .. } in asked.iter().filter(over) {
            let session = session.clone();
            let is_waiting = self.lock().reports.iter().any(|(_, report)| report.session() == session);
            if !is_waiting {
                let (api_version, is_lost, ago_seconds) = (API_VERSION, true, 0);
                self.take(Report::Close(CloseSession { api_version, session, is_lost, ago_seconds }));
            }
        }
    }

    /// A verifier has answered a report of this host: what waits can be told.
    pub fn note_answer(&self) {
        self.answered.notify_one();
    }

    /// How many reports wait.
    pub fn waiting(&self) -> usize {
        self.lock().reports.len()
    }

    /// Tells what waits, one after the other, for ever. After a failure not before a verifier has answered something
    /// else: what nobody waits for makes no connection that a login would have to wait for.
    pub async fn tell(&self, verifiers: &Verifiers) {
        loop {
            let next = self.lock().reports.front().cloned();
            match next {
                None => self.come.notified().await,
                Some((taken, report)) => match self.tell_one(verifiers, taken, &report).await {
                    Ok(()) => {
                        self.told(&report);
                        sleep_until(Instant::now() + TELL_PAUSE).await;
                    }
                    Err(_) => self.answered.notified().await,
                },
            }
        }
    }

    /// Whether a verifier has heard it, or never will.
    async fn tell_one(
        &self,
        verifiers: &Verifiers,
        taken: Instant,
        report: &Report,
    ) -> Result<(), Unanswered> {
        let (path, body) = report.request(taken.elapsed());
        let answer = verifiers.ask(path, &body, Instant::now() + TELL_TIMEOUT).await?;
        match answer.status {
            StatusCode::OK => Ok(()),
            // The host may be of the fleet again later; the verifier cannot write it down now.
            StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS => Err(Unanswered::Unreachable),
            status => {
                let session = report.session();
                tracing::warn!(%status, session, "a verifier does not take what this host says of a session");
                Ok(())
            }
        }
    }

    /// Takes away what was told, unless something else gave way for it meanwhile.
    fn told(&self, report: &Report) {
        let mut waiting = self.lock();
        if waiting.reports.front().is_some_and(|(_, first)| first == report) {
            waiting.reports.pop_front();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
