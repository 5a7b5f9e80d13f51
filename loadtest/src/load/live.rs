//! What a run tells while it lasts: a bar with rate, p50 and p99 of the last moments.

use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use indicatif::ProgressBar;

use super::lane::Plan;
use crate::progress;

/// How often the bar tells a rate and times. Shorter stretches jump about.
const TELL_PERIOD: Duration = Duration::from_secs(1);

/// The latest answers of one lane.
#[derive(Debug)]
pub struct Recent {
    /// Locked for one record, or once in a second to take all.
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    answers: u64,
    accepts: Histogram<u32>,
}

impl Default for Recent {
    fn default() -> Self {
        Self { state: Mutex::new(State::new()) }
    }
}

impl State {
    fn new() -> Self {
        // Two digits up to a minute, as in a stretch of the tally.
        Self { answers: 0, accepts: Histogram::new_with_max(60_000_000, 2).expect("valid bounds") }
    }
}

impl Recent {
    /// Notes an answer, and how long it took if it was an accept.
    pub fn note(&self, took: Option<Duration>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.answers += 1;
        if let Some(took) = took {
            state.accepts.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        }
    }

    fn take(&self) -> State {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut state, State::new())
    }
}

/// Moves the bar until it is dropped.
pub async fn show(plan: &Plan) -> Infallible {
    let bar = progress::seconds(plan.duration.as_secs());
    let mut moves = tokio::time::interval(Duration::from_millis(progress::MOVE_PERIOD_MS));
    let mut told = plan.clock.elapsed();
    loop {
        moves.tick().await;
        let (now, started) = (plan.clock.elapsed(), plan.started.get());
        bar.set_position(started.map_or(0, |started| now.saturating_sub(*started).as_secs()));
        if now.saturating_sub(told) >= TELL_PERIOD {
            tell(&bar, &plan.recents, now.saturating_sub(told));
            told = now;
        }
    }
}

fn tell(bar: &ProgressBar, recents: &[Recent], passed: Duration) {
    let mut all = State::new();
    for recent in recents.iter().map(Recent::take) {
        all.answers += recent.answers;
        all.accepts.add(&recent.accepts).expect("both have the same bounds");
    }
    bar.set_message(line(&all, passed));
}

fn line(state: &State, passed: Duration) -> String {
    let rate = state.answers as f64 / passed.as_secs_f64();
    let milliseconds = |percent| state.accepts.value_at_percentile(percent) as f64 / 1_000.0;
    if state.accepts.is_empty() {
        return format!("{rate:.0}/s, nothing accepted");
    }
    format!("{rate:.0}/s  p50 {:.2} ms  p99 {:.2} ms", milliseconds(50.0), milliseconds(99.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_the_rate_and_the_times_of_accepts_since_the_last_one() {
        let recent = Recent::default();
        recent.note(None);
        (0..99).for_each(|_| recent.note(Some(Duration::from_millis(1))));
        assert_eq!(line(&recent.take(), Duration::from_secs(2)), "50/s  p50 1.00 ms  p99 1.00 ms");
        assert_eq!(line(&recent.take(), Duration::from_secs(1)), "0/s, nothing accepted");
    }
}
