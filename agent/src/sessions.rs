//! What is to be said of this host's sessions: taken from the PAM module at once, told to a verifier when one answers.
//!
//! Nobody waits here for a verifier. What cannot be told yet waits in memory, in its order, and goes out one after the
//! other. What waits when the agent ends is gone: a session whose begin was not told is not listed, and one whose end was
//! not told is found to be over when the verifier asks about it.

mod waiting;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::StatusCode;
use hyper::body::Bytes;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout_at};
use wire::API_VERSION;
use wire::session::{
    CLOSE_PATH, CloseSession, LEFT_OUT_PATH, NamedSession, OPEN_PATH, OpenSession, Recording,
};

use crate::verifiers::{Unanswered, Verifiers};
use waiting::Waiting;

/// How long all verifiers together may take for one report. They are asked only when one of them has just answered.
const TELL_TIMEOUT: Duration = Duration::from_secs(10);

/// Between two reports. Forty a second are fewer than a verifier hears of one host (`TOLD_PER_SECOND_MAX` in verifierd),
/// which writes each of them to its disk: more would not be told sooner, but refused.
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
    /// What is to record sessions, as a verifier said last. Locked for a look or a change.
    recording: Mutex<Recording>,
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

    /// Whose begin it is: of who asked, where that is known, since everybody's sudo is root's.
    fn asker(&self) -> Option<&str> {
        let Self::Open(OpenSession { user, ruser, .. }) = self else { return None };
        Some(ruser.as_deref().filter(|ruser| !ruser.is_empty()).unwrap_or(user))
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

impl Sessions {
    /// Takes a report; it is told in its turn. `false` where there is no room for it.
    pub fn take(&self, report: Report) -> bool {
        let is_taken = self.lock().take(Instant::now(), report);
        self.come.notify_one();
        is_taken
    }

    /// A verifier asks about sessions: those that are over are told to be, unless that waits to be told already.
    pub fn answer(&self, asked: &[NamedSession]) {
        let over = |named: &&NamedSession| serve::leader::is_over(named.boot.as_deref(), named.leader);
        for NamedSession { session, .. } in asked.iter().filter(over) {
            let session = session.clone();
            let is_waiting = self.lock().reports.iter().any(|(_, report)| report.session() == session);
            if !is_waiting {
                let (api_version, is_lost, ago_seconds, is_unrecorded) = (API_VERSION, true, 0, false);
                let close = CloseSession { api_version, session, is_lost, ago_seconds, is_unrecorded };
                self.take(Report::Close(close));
            }
        }
    }

    /// A verifier has said what is to record the sessions of this host. One that does not say it changes nothing.
    pub fn heed_recording(&self, told: Recording) {
        if !told.is_unknown() {
            *self.recording.lock().unwrap_or_else(PoisonError::into_inner) = told;
        }
    }

    /// What is to record a session that begins; unknown until a verifier has said it.
    pub fn recording(&self) -> Recording {
        self.recording.lock().unwrap_or_else(PoisonError::into_inner).clone()
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
            let is_heard = match self.tell_next(verifiers).await {
                Some(told) => told.is_ok(),
                None => {
                    let due = self.lock().due(Instant::now());
                    match due {
                        // Either is a reason to look again.
                        Some(due) => drop(timeout_at(due, self.come.notified()).await),
                        None => self.come.notified().await,
                    }
                    continue;
                }
            };
            if is_heard {
                sleep_until(Instant::now() + TELL_PAUSE).await;
            } else {
                self.answered.notified().await;
            }
        }
    }

    /// Tells one thing, if there is one.
    async fn tell_next(&self, verifiers: &Verifiers) -> Option<Result<(), Unanswered>> {
        let left_out = self.lock().left_out(Instant::now());
        if let Some(left_out) = left_out {
            let body = serde_json::to_vec(&left_out).expect("reports hold only numbers and texts");
            let told = tell_one(verifiers, LEFT_OUT_PATH, body.into(), "").await;
            if told.is_ok() {
                let count = left_out.count;
                self.lock().told_left_out(Instant::now(), count);
                tracing::warn!(count, "a verifier was told how many sessions were left out");
            }
            return Some(told);
        }
        let next = self.lock().reports.front().cloned();
        let (taken, report) = next?;
        let (path, body) = report.request(taken.elapsed());
        let told = tell_one(verifiers, path, body, report.session()).await;
        if told.is_ok() {
            self.told(&report);
        }
        Some(told)
    }

    /// Takes away what was told.
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

/// Whether a verifier has heard it, or never will.
async fn tell_one(verifiers: &Verifiers, path: &str, body: Bytes, session: &str) -> Result<(), Unanswered> {
    let answer = verifiers.tell(path, &body, Instant::now() + TELL_TIMEOUT).await?;
    match answer.status {
        StatusCode::OK => Ok(()),
        // The host may be of the fleet again later; the verifier cannot write it down now.
        StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS => Err(Unanswered::Unreachable),
        status => {
            tracing::warn!(%status, session, "a verifier does not take what this host says of a session");
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests;
