//! The one clock. `main` starts it; everything else gets it as an argument.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use otp_core::TimeSteps;

/// How often a loop that waits for a time looks at the clock. Short against a time step of 30 s.
const LOOK_PERIOD: Duration = Duration::from_millis(50);

/// Wall time for codes, monotonic time for latencies.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: Instant,
}

impl Clock {
    /// Starts the monotonic side at zero.
    #[expect(clippy::disallowed_methods, reason = "the one place where time enters")]
    pub fn start() -> Self {
        Self { started: Instant::now() }
    }

    /// Since the Unix epoch; zero for a clock that stands before it.
    #[expect(clippy::disallowed_methods, reason = "the one place where time enters")]
    pub fn unix(self) -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }

    /// Milliseconds since the Unix epoch, for records.
    pub fn unix_ms(self) -> u64 {
        u64::try_from(self.unix().as_millis()).unwrap_or(u64::MAX)
    }

    /// The time step that the tokens of Postern are in.
    pub fn step(self) -> u64 {
        TimeSteps::default().step_at(self.unix().as_secs()).expect("the initial time is 0")
    }

    /// Waits for the next time step.
    pub async fn next_step(self) {
        let (present, mut pauses) = (self.step(), pauses());
        while self.step() <= present {
            pauses.tick().await;
        }
    }

    /// Since [`Clock::start`]; never goes back.
    pub fn elapsed(self) -> Duration {
        self.started.elapsed()
    }
}

/// A pause for loops that have nothing to do before some time: each `tick` takes at most 50 ms.
pub fn pauses() -> tokio::time::Interval {
    let mut pauses = tokio::time::interval(LOOK_PERIOD);
    pauses.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    pauses
}
