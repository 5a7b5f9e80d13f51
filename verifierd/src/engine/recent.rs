//! Verdicts given a moment ago, by request: the same request again gets the same verdict.
//!
//! The first request with an id does the work on a task of its own, so that a caller that goes away leaves
//! no half-made claim; whoever comes with the same id and content waits for that verdict. The id is a hash
//! over the request's id and all its content, so a foreign or altered request never meets another's verdict.
//! After a restart the claim's id in the ledger takes over (see `engine`).

use std::future::Future;
use std::time::Duration;

use tokio::sync::watch;

use crate::expiry::{Fate, Figures, Swept, Table};

/// Names a request and its content.
pub type RequestKey = [u8; 16];

/// A host gives up after 20 s and does not retry later; a minute is more than that.
const KEEP: Duration = Duration::from_secs(60);

/// Verdicts kept at once: more than a minute of 1,000 logins a second. Older ones go first.
const VERDICTS_MAX: usize = 100_000;

/// Verdicts given a moment ago, and those on their way.
#[derive(Debug)]
pub struct Recent<T>(Table<Verdict<T>>);

#[derive(Debug)]
struct Verdict<T> {
    begun: Duration,
    told: watch::Receiver<Option<T>>,
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self(Table::new("requests"))
    }
}

impl<T> Verdict<T> {
    fn is_told(&self) -> bool {
        self.told.borrow().is_some()
    }

    fn is_over(&self, now: Duration) -> bool {
        now > self.begun + KEEP && self.is_told()
    }
}

impl<T: Clone + Send + Sync + 'static> Recent<T> {
    /// The verdict of `work`, done once for each key. `None` when the work ended without one (it panicked).
    pub async fn once<F>(&self, key: RequestKey, now: Duration, work: impl FnOnce() -> F) -> Option<T>
    where
        F: Future<Output = T> + Send + 'static,
    {
        // What a sweep has not come to is forgotten all the same.
        self.0.forget_if(&key, |verdict| verdict.is_over(now));
        if self.0.len() >= VERDICTS_MAX {
            let fate = |verdict: &mut Verdict<T>| match verdict.is_told() {
                true => Fate::Forget,
                false => Fate::Keep(now + KEEP),
            };
            self.0.sweep_one_near(&key, fate);
        }
        let mut begin = None;
        let mut told = {
            let begin = &mut begin;
            let new = || {
                let (tell, told) = watch::channel(None);
                *begin = Some(tell);
                Verdict { begun: now, told }
            };
            self.0.enter(key, now + KEEP, new, |verdict| verdict.told.clone())
        };
        match begin {
            Some(tell) => {
                let work = work();
                tokio::spawn(async move { tell.send_replace(Some(work.await)) });
            }
            // What this one brought along may be what the other waits for.
            None => drop(work),
        }
        told.wait_for(Option::is_some).await.ok().and_then(|verdict| verdict.clone())
    }

    /// Whether the request is known: its verdict is there, or on its way.
    pub fn knows(&self, key: &RequestKey) -> bool {
        self.0.contains(key)
    }

    /// Forgets up to `most` verdicts that are old.
    pub fn sweep(&self, now: Duration, most: usize) -> Swept {
        let fate = |verdict: &mut Verdict<T>| match verdict.is_over(now) {
            true => Fate::Forget,
            false => Fate::Keep(now + Duration::from_secs(1)),
        };
        self.0.sweep(now, most, fate, |_| ())
    }

    /// Counts what a sweep took.
    pub fn took(&self, time: Duration) {
        self.0.took(time);
    }

    /// What was counted.
    pub fn figures(&self) -> Figures {
        self.0.figures()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    const KEY: RequestKey = [1; 16];

    // covers: P6
    #[tokio::test]
    async fn a_request_that_comes_again_gets_the_first_verdict() {
        let recent = Recent::default();
        let runs = Arc::new(AtomicU32::new(0));
        let work = || {
            let runs = Arc::clone(&runs);
            move || async move { runs.fetch_add(1, Ordering::SeqCst) }
        };
        let both =
            tokio::join!(recent.once(KEY, Duration::ZERO, work()), recent.once(KEY, Duration::ZERO, work()),);
        assert_eq!(both, (Some(0), Some(0)));
        assert_eq!(recent.once(KEY, Duration::ZERO, work()).await, Some(0));
        assert_eq!(recent.once([2; 16], Duration::ZERO, work()).await, Some(1));
    }

    // covers: E14
    #[tokio::test]
    async fn work_goes_on_when_its_caller_goes_away() {
        let recent = Arc::new(Recent::default());
        let (go, gate) = tokio::sync::oneshot::channel::<()>();
        let first = Arc::clone(&recent);
        let caller = tokio::spawn(async move {
            first.once(KEY, Duration::ZERO, || async move { gate.await.map_or(0, |()| 7) }).await
        });
        tokio::task::yield_now().await;
        caller.abort();
        go.send(()).unwrap();
        assert_eq!(recent.once(KEY, Duration::ZERO, || async { 8 }).await, Some(7));
    }

    // covers: P6, E14
    #[tokio::test]
    async fn who_waits_for_anothers_verdict_holds_nothing_that_it_may_need() {
        let recent = Arc::new(Recent::default());
        let (mine, needed) = tokio::sync::oneshot::channel::<()>();
        let first = recent.once(KEY, Duration::ZERO, || async move { needed.await.is_err() });
        let second = recent.once(KEY, Duration::ZERO, || async move {
            drop(mine);
            false
        });
        assert_eq!(tokio::join!(first, second), (Some(true), Some(true)));
    }

    #[tokio::test]
    async fn old_verdicts_are_forgotten() {
        let recent = Recent::default();
        recent.once(KEY, Duration::ZERO, || async { 1 }).await;
        recent.once([2; 16], KEEP * 2, || async { 2 }).await;
        assert_eq!(recent.once(KEY, KEEP * 2, || async { 3 }).await, Some(3));
    }
}
