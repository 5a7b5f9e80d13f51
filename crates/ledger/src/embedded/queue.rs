//! The hand-over: many threads put requests in, one takes them out in their order, all that wait at once.
//!
//! The lock is held for one push or one exchange of buffers. Whoever pushes wakes the taker only if it sleeps, so
//! that under load no system call is made. Once closed, nothing goes in any more, and what was in comes out: each
//! request is taken, or given back, exactly once. `tests/handover.rs` checks this in all interleavings it can find.
//!
//! Does not know what the requests are.

use std::collections::VecDeque;
use std::time::Duration;

use super::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// A queue with one taker.
#[derive(Debug)]
pub(super) struct Queue<T> {
    // Protects what waits, for one push or one exchange.
    state: Mutex<State<T>>,
    /// Something came, or the queue was closed, while the taker slept.
    arrived: Condvar,
}

#[derive(Debug)]
struct State<T> {
    waiting: VecDeque<T>,
    is_taker_asleep: bool,
    is_closed: bool,
}

/// A request that did not go in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused<T> {
    /// As many wait as may.
    Full(T),
    /// Nothing goes in any more.
    Closed(T),
}

impl<T> Queue<T> {
    pub(super) fn new() -> Self {
        let state = State { waiting: VecDeque::new(), is_taker_asleep: false, is_closed: false };
        Self { state: Mutex::new(state), arrived: Condvar::new() }
    }

    /// Puts a request in, behind those that wait already, unless these are `waiting_max` or more.
    pub(super) fn push(&self, request: T, waiting_max: usize) -> Result<(), Refused<T>> {
        let mut state = self.lock();
        if state.is_closed {
            return Err(Refused::Closed(request));
        }
        if state.waiting.len() >= waiting_max {
            return Err(Refused::Full(request));
        }
        state.waiting.push_back(request);
        let is_taker_asleep = std::mem::take(&mut state.is_taker_asleep);
        drop(state);
        if is_taker_asleep {
            self.arrived.notify_one();
        }
        Ok(())
    }

    /// Adds what waits to `taken`, up to `count_max` requests in it. Sleeps while nothing waits: until something
    /// comes, or for `patience`. True if something was added.
    pub(super) fn take(&self, taken: &mut VecDeque<T>, count_max: usize, patience: Option<Duration>) -> bool {
        let mut state = self.lock();
        if state.waiting.is_empty() && patience != Some(Duration::ZERO) {
            state = self.sleep(state, patience);
        }
        if taken.is_empty() && state.waiting.len() <= count_max {
            std::mem::swap(taken, &mut state.waiting);
        } else {
            let count = state.waiting.len().min(count_max.saturating_sub(taken.len()));
            taken.extend(state.waiting.drain(..count));
            return count > 0;
        }
        !taken.is_empty()
    }

    /// Lets nothing in any more, and gives back what still waits.
    pub(super) fn close(&self) -> VecDeque<T> {
        let mut state = self.lock();
        state.is_closed = true;
        std::mem::take(&mut state.waiting)
    }

    fn sleep<'a>(
        &self,
        mut state: MutexGuard<'a, State<T>>,
        patience: Option<Duration>,
    ) -> MutexGuard<'a, State<T>> {
        // Whoever pushes clears it, so that only the first one wakes.
        state.is_taker_asleep = true;
        while state.is_taker_asleep {
            match patience {
                None => state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(patience) => {
                    let (woken, timeout) =
                        self.arrived.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner);
                    state = woken;
                    if timeout.timed_out() {
                        break;
                    }
                }
            }
        }
        state.is_taker_asleep = false;
        state
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
