//! Shows what is being done, and at the end how long each step took.
//!
//! Plain lines only: the output of the tools that a step runs stands between them, on a terminal and in a log.

use std::time::{Duration, Instant};

use anyhow::Result;

/// The steps of one command, in order.
pub struct Steps {
    total: usize,
    finished: Vec<Finished>,
}

/// One step that ended.
struct Finished {
    name: String,
    took: Duration,
    good: bool,
}

impl Steps {
    /// * `total`: how many steps there will be, for `[2/9]`.
    pub fn new(total: usize) -> Self {
        Self { total, finished: Vec::new() }
    }

    /// Runs one step and keeps its time. The error is the step's own.
    pub fn run<T>(&mut self, name: &str, job: impl FnOnce() -> Result<T>) -> Result<T> {
        println!("[{}/{}] {name}", self.finished.len() + 1, self.total);
        let started = now();
        let outcome = job();
        let took = now().duration_since(started);
        if let Err(error) = &outcome {
            println!("      FAILED: {name}: {error:#}");
        }
        self.finished.push(Finished { name: name.to_owned(), took, good: outcome.is_ok() });
        outcome
    }

    /// Names of the steps that failed.
    pub fn failed(&self) -> Vec<&str> {
        self.finished.iter().filter(|step| !step.good).map(|step| step.name.as_str()).collect()
    }

    /// Prints one line for each step.
    pub fn print_timings(&self) {
        println!();
        for step in &self.finished {
            let state = if step.good { "ok" } else { "FAILED" };
            println!("{:>8.1} s  {state:<6}  {}", step.took.as_secs_f64(), step.name);
        }
        let total: Duration = self.finished.iter().map(|step| step.took).sum();
        println!("{:>8.1} s  in all", total.as_secs_f64());
    }
}

/// The one clock of this program; it only measures how long steps take.
#[expect(clippy::disallowed_methods, reason = "the one clock of xtask")]
pub fn now() -> Instant {
    Instant::now()
}
