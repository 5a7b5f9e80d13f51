//! One change after the other, in the order of asking.

use std::sync::Arc;

use tokio::sync::{Mutex, Semaphore};

/// How many changes may wait: the first codes of a thousand people who enrol in the same moment, or the renewals of all
/// hosts after a long outage. Each takes about as long as a commit.
const WAITING_MAX: usize = 1_024;

/// Whose turn it is.
#[derive(Clone, Debug)]
pub(crate) struct Turns {
    /// Held for the whole of a change, its commit included.
    turn: Arc<Mutex<()>>,
    waiting: Arc<Semaphore>,
}

impl Turns {
    pub(crate) fn new() -> Self {
        Self { turn: Arc::default(), waiting: Arc::new(Semaphore::new(WAITING_MAX)) }
    }

    /// Does `work` when all that was asked for before is done. A caller that goes away has it done all the same. `None`
    /// where too many wait.
    pub(crate) async fn take<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let place = Arc::clone(&self.waiting).try_acquire_owned().ok()?;
        let turn = Arc::clone(&self.turn);
        let task = tokio::spawn(async move {
            let _turn = turn.lock().await;
            let done = work.await;
            drop(place);
            done
        });
        task.await.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[tokio::test]
    async fn what_a_caller_left_is_done_before_what_was_asked_after_it() {
        let turns = Turns::new();
        let order = Arc::new(std::sync::Mutex::new(Vec::new()));
        let note = |what| {
            let order = Arc::clone(&order);
            async move {
                tokio::task::yield_now().await;
                order.lock().unwrap().push(what);
            }
        };
        // Polled once, and left.
        tokio::select! {
            biased;
            _ = turns.take(note("left")) => panic!("it is not done at once"),
            () = std::future::ready(()) => {}
        }
        assert_eq!(turns.take(note("stayed")).await, Some(()));
        assert_eq!(*order.lock().unwrap(), ["left", "stayed"]);
    }

    #[tokio::test]
    async fn whoever_comes_when_too_many_wait_is_told_at_once() {
        let turns = Turns::new();
        for _ in 0..WAITING_MAX {
            let turns = turns.clone();
            tokio::spawn(async move { turns.take(pending::<()>()).await });
        }
        while turns.waiting.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(turns.take(async {}).await, None);
    }
}
