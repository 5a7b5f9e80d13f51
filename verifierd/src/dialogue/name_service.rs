//! Asks the machine's name service, which may be slow or away: off the runtime's threads, in turns, and not for long.
//!
//! One for the process, as its threads are. A host of the fleet has a few turns of its own, so that one whose users are
//! slow to look up, or that asks without end, leaves the others theirs.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::hosts::HostId;

/// How long one step of a login may wait for the name service in all. Each of the waits that follow is longer than the one
/// before, so that whoever waits hears the refusal: 1.5 s here, 2 s of an agent that has two verifiers to ask, its 4 s
/// for both of them (`agent::config`), the 5 s of the PAM module.
pub(super) const WAIT_MAX: Duration = Duration::from_millis(1_500);

/// How many questions are at the name service at once, each with a thread that waits and, as a rule, a descriptor: with one
/// that takes 10 ms, 6,400 logins a second. Further ones wait for their turn, and not longer than for an answer.
const QUESTIONS_MAX: usize = 64;

/// How many of them are of one host's logins: with a name service that takes 100 ms, 80 a second, which is more than a
/// host may ask for long. It takes eight hosts that are slow to look up to make a ninth wait.
const OF_ONE_HOST_MAX: usize = 8;

/// How many are of logins on the verifier's own machine and at the API, which speaks for many machines.
const OF_OURS_MAX: usize = 32;

static QUESTIONS: LazyLock<Questions> = LazyLock::new(Questions::default);

/// Whose threads wait: not those of the runtimes that serve, of which each has a few for other things. Nothing else runs
/// on it.
static THREADS: LazyLock<Runtime> = LazyLock::new(|| {
    let mut threads = Builder::new_current_thread();
    threads.max_blocking_threads(QUESTIONS_MAX).thread_name("name-service");
    threads.build().expect("a runtime without a driver needs nothing of the machine")
});

/// Asks, in a turn of the host's.
///
/// * `host`: at which the login is; none on the verifier's own machine and at the API.
///
/// # Errors
/// When no answer came in time, with what is to be said of it.
pub(super) async fn ask<T: Send + 'static>(
    host: Option<HostId>,
    wait: Duration,
    question: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    let asking = async {
        let turn = QUESTIONS.turn(host).await?;
        let asking = THREADS.spawn_blocking(move || {
            let answer = question();
            // Also when nobody waits for it any more, a question holds its turn until it is answered.
            drop(turn);
            answer
        });
        asking.await.ok()
    };
    match tokio::time::timeout(wait, asking).await {
        Ok(Some(answer)) => Ok(answer),
        Ok(None) => Err("asking the name service failed".to_owned()),
        Err(_) => Err(format!("the name service gave no answer within {} ms", WAIT_MAX.as_millis())),
    }
}

/// The turns.
#[derive(Debug)]
struct Questions {
    all: Arc<Semaphore>,
    /// Of each host that asks or waits, and of our own under none; locked for one look.
    shares: Mutex<HashMap<Option<HostId>, Arc<Semaphore>>>,
}

impl Default for Questions {
    fn default() -> Self {
        Self { all: Arc::new(Semaphore::new(QUESTIONS_MAX)), shares: Mutex::default() }
    }
}

impl Questions {
    /// Waits for a turn, first among those of the same host, then among all. Given back when it is dropped.
    async fn turn(&self, host: Option<HostId>) -> Option<[OwnedSemaphorePermit; 2]> {
        let own = self.share(host).acquire_owned().await.ok()?;
        let one_of_all = Arc::clone(&self.all).acquire_owned().await.ok()?;
        Some([own, one_of_all])
    }

    fn share(&self, host: Option<HostId>) -> Arc<Semaphore> {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        if !shares.contains_key(&host) {
            // Whoever holds a turn or waits for one holds the share: the others are of no use to anybody.
            shares.retain(|_, share| Arc::strong_count(share) > 1);
        }
        let most = if host.is_some() { OF_ONE_HOST_MAX } else { OF_OURS_MAX };
        Arc::clone(shares.entry(host).or_insert_with(|| Arc::new(Semaphore::new(most))))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use tokio::sync::oneshot;

    use super::*;

    fn host(number: u8) -> Option<HostId> {
        Some(HostId::from_random([number; 16]))
    }

    /// Takes so many turns that are free at once.
    fn take(questions: &Questions, host: Option<HostId>) -> Vec<[OwnedSemaphorePermit; 2]> {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let next = || match std::pin::pin!(questions.turn(host)).poll(&mut context) {
            std::task::Poll::Ready(turn) => turn,
            std::task::Poll::Pending => None,
        };
        std::iter::from_fn(next).collect()
    }

    // covers: B08, I14
    #[test]
    fn a_host_has_its_own_turns_and_leaves_the_others_theirs() {
        let questions = Questions::default();
        let slow = take(&questions, host(1));
        assert_eq!(slow.len(), OF_ONE_HOST_MAX);
        let ours = take(&questions, None);
        assert_eq!(ours.len(), OF_OURS_MAX);
        assert_eq!(take(&questions, host(2)).len(), OF_ONE_HOST_MAX);
        let all: Vec<_> = (3..=9).map(|number| take(&questions, host(number))).collect();
        let taken: usize = all.iter().map(Vec::len).sum();
        assert_eq!(slow.len() + ours.len() + taken, QUESTIONS_MAX);
        drop((slow, ours, all));
        assert_eq!(take(&questions, host(1)).len(), OF_ONE_HOST_MAX);
    }

    #[test]
    fn nothing_is_kept_of_a_host_that_asks_no_more() {
        let questions = Questions::default();
        for number in 0..100 {
            assert_eq!(take(&questions, host(number)).len(), OF_ONE_HOST_MAX);
        }
        assert_eq!(questions.shares.lock().unwrap().len(), 1);
    }

    // covers: I14
    #[tokio::test(start_paused = true)]
    async fn a_question_that_hangs_is_given_up_and_holds_its_turn() {
        let (answer, hanging) = mpsc::channel::<()>();
        let (began, begun) = oneshot::channel();
        let asked = ask(host(77), WAIT_MAX, move || {
            began.send(()).unwrap();
            hanging.recv()
        });
        let asked = tokio::spawn(asked);
        begun.await.unwrap();
        tokio::time::advance(WAIT_MAX).await;
        let told = asked.await.unwrap().unwrap_err();
        assert_eq!(told, "the name service gave no answer within 1500 ms");
        assert_eq!(take(&QUESTIONS, host(77)).len(), OF_ONE_HOST_MAX - 1);
        answer.send(()).unwrap();
    }
}
