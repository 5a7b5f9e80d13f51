//! Verdicts given a moment ago, by request: the same request again gets the same verdict.
//!
//! The first request with an id does the work on a task of its own, so that a caller that goes away leaves
//! no half-made claim; whoever comes with the same id and content waits for that verdict. The id is a hash
//! over the request's id and all its content, so a foreign or altered request never meets another's verdict.
//! After a restart the claim's id in the ledger takes over (see `engine`).

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use tokio::sync::watch;

/// Names a request and its content.
pub type RequestKey = [u8; 16];

/// A host gives up after 20 s and does not retry later; a minute is more than that.
const KEEP: Duration = Duration::from_secs(60);

/// Verdicts kept at once: more than a minute of 1,000 logins a second. Older ones go first.
const VERDICTS_MAX: usize = 100_000;

/// How many old ones each new request removes: more than come in, so that the table shrinks.
const REMOVED_EACH: usize = 4;

/// Verdicts of the last minute.
#[derive(Debug)]
pub struct Recent<T> {
    verdicts: DashMap<RequestKey, watch::Receiver<Option<T>>>,
    /// In the order in which they came; locked for a push and a few pops.
    order: Mutex<VecDeque<(Duration, RequestKey)>>,
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self { verdicts: DashMap::new(), order: Mutex::default() }
    }
}

impl<T: Clone + Send + Sync + 'static> Recent<T> {
    /// The verdict of `work`, done once for each key. `None` when the work ended without one (it panicked).
    pub async fn once<F>(&self, key: RequestKey, now: Duration, work: impl FnOnce() -> F) -> Option<T>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut verdict = match self.verdicts.entry(key) {
            Entry::Occupied(known) => known.get().clone(),
            Entry::Vacant(vacant) => {
                let (sender, receiver) = watch::channel(None);
                vacant.insert(receiver.clone());
                let work = work();
                tokio::spawn(async move { sender.send_replace(Some(work.await)) });
                receiver
            }
        };
        self.note(key, now);
        verdict.wait_for(Option::is_some).await.ok().and_then(|verdict| verdict.clone())
    }

    fn note(&self, key: RequestKey, now: Duration) {
        let removed = {
            let mut order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
            order.push_back((now, key));
            let mut removed = Vec::with_capacity(REMOVED_EACH);
            while removed.len() < REMOVED_EACH {
                let full = order.len() > VERDICTS_MAX;
                let old = |(at, _): &(Duration, RequestKey)| full || now.saturating_sub(*at) > KEEP;
                let Some((_, key)) = order.pop_front_if(|oldest| old(oldest)) else { break };
                removed.push(key);
            }
            removed
        };
        for key in removed {
            self.verdicts.remove_if(&key, |_, verdict| verdict.borrow().is_some());
        }
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

    #[tokio::test]
    async fn old_verdicts_are_forgotten() {
        let recent = Recent::default();
        recent.once(KEY, Duration::ZERO, || async { 1 }).await;
        recent.once([2; 16], KEEP * 2, || async { 2 }).await;
        assert_eq!(recent.once(KEY, KEEP * 2, || async { 3 }).await, Some(3));
    }
}
