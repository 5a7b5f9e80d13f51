//! Ends waits at their moment, to some 50 µs.
//!
//! The runtime's own timer is exact to a millisecond, and the fraction of it at which a wait ends is the one at which the
//! runtime's thread went to sleep: the moment when the work before the wait was done, which no wait for a beat may tell.
//! So one thread does nothing but sleep until the next moment.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// Waits at once. Refusals wait for up to 10 ms, and a machine does not refuse a million in a second.
const WAITS_MAX: usize = 10_000;

/// See the module. Its thread ends with it.
#[derive(Debug)]
pub struct Metronome {
    waits: Sender<Wait>,
    room: Arc<Semaphore>,
}

#[derive(Debug)]
struct Wait {
    until: Instant,
    over: oneshot::Sender<()>,
    _room: OwnedSemaphorePermit,
}

impl Default for Metronome {
    fn default() -> Self {
        let (waits, coming) = channel();
        let started = thread::Builder::new().name("metronome".into()).spawn(|| keep_time(coming));
        if let Err(error) = started {
            tracing::error!(%error, "the thread that ends waits cannot be started: the time of refusals is less even");
        }
        Self { waits, room: Arc::new(Semaphore::new(WAITS_MAX)) }
    }
}

impl Metronome {
    /// Waits for so long. Where too many wait, or there is no thread, the runtime's timer does it.
    #[expect(clippy::disallowed_methods, reason = "what is waited for is the time itself")]
    pub async fn wait(&self, time: Duration) {
        let until = Instant::now() + time;
        if let Ok(room) = Arc::clone(&self.room).try_acquire_owned() {
            let (over, is_over) = oneshot::channel();
            if self.waits.send(Wait { until, over, _room: room }).is_ok() && is_over.await.is_ok() {
                return;
            }
        }
        tokio::time::sleep_until(until.into()).await;
    }
}

/// Until the last who could wait is gone.
#[expect(clippy::disallowed_methods, reason = "what is waited for is the time itself")]
fn keep_time(coming: Receiver<Wait>) {
    let mut waits = BinaryHeap::new();
    loop {
        let next = match waits.peek() {
            None => coming.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(Reverse(Wait { until, .. })) => {
                coming.recv_timeout(until.saturating_duration_since(Instant::now()))
            }
        };
        match next {
            Ok(wait) => waits.push(Reverse(wait)),
            Err(RecvTimeoutError::Timeout) => {
                if let Some(Reverse(wait)) = waits.pop() {
                    // Who waited may have gone.
                    let _gone = wait.over.send(());
                }
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

impl Ord for Wait {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.until.cmp(&other.until)
    }
}

impl PartialOrd for Wait {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Wait {
    fn eq(&self, other: &Self) -> bool {
        self.until == other.until
    }
}

impl Eq for Wait {}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    // covers: E07
    #[tokio::test]
    async fn waits_end_in_the_order_of_their_moments_and_not_before() {
        let (metronome, ended, begun) =
            (Metronome::default(), Mutex::new(Vec::new()), tokio::time::Instant::now());
        let wait = async |time: u64| {
            metronome.wait(Duration::from_millis(time)).await;
            assert!(begun.elapsed() >= Duration::from_millis(time));
            ended.lock().unwrap().push(time);
        };
        tokio::join!(wait(30), wait(10), wait(20), wait(0));
        assert_eq!(*ended.lock().unwrap(), [0, 10, 20, 30]);
    }

    #[tokio::test]
    async fn a_wait_that_there_is_no_room_for_ends_too() {
        let metronome = Metronome::default();
        let all = Arc::clone(&metronome.room).acquire_many_owned(WAITS_MAX as u32).await.unwrap();
        let begun = tokio::time::Instant::now();
        metronome.wait(Duration::from_millis(1)).await;
        assert!(begun.elapsed() >= Duration::from_millis(1));
        drop(all);
    }
}
