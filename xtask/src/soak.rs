//! The long runs: the races and kills of `cargo xtask test` with all their rounds.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};

use crate::packages::{self, Need};
use crate::steps::Steps;
use crate::tally::Tally;
use crate::{build, sandbox};

/// A test with a number of rounds, and how many of them a long run makes.
struct Run {
    program: &'static str,
    test: &'static str,
    variable: &'static str,
    rounds: &'static str,
}

/// What the project promises to have shown.
const RUNS: [Run; 2] = [
    Run {
        program: "single_use",
        test: "of_200_connections_with_one_valid_password_exactly_one_is_accepted",
        variable: "POSTERN_RACE_ROUNDS",
        rounds: "1000",
    },
    Run {
        program: "crash",
        test: "every_accept_outlives_a_kill_at_any_moment",
        variable: "POSTERN_KILLS",
        rounds: "200",
    },
];

/// # Errors
/// When something cannot be built, or a run failed.
pub fn run() -> Result<()> {
    let mut steps = Steps::new(3 + RUNS.len());
    let mut tally = Tally::default();
    steps.run("packages", || {
        packages::install_missing(Need::Tests)?;
        sandbox::ensure_possible()
    })?;
    steps.run("build release", || build::release(&[]))?;
    let programs = steps.run("build the tests", || build::test_programs(&["system-tests"]))?;
    for run in &RUNS {
        let program = programs.iter().find(|program| program.name == run.program).context(run.program)?;
        let mut command = sandbox::command(PathBuf::from(&program.executable));
        command
            .current_dir(&program.folder)
            .args(["--exact", "--nocapture", run.test])
            .env(run.variable, run.rounds);
        let name = format!("{}, {} rounds", run.test, run.rounds);
        let _ = steps.run(&name, || tally.run(&mut command));
    }
    steps.print_timings();
    println!("{} passed, {} failed", tally.passed, tally.failed);
    ensure!(tally.passed == RUNS.len() as u64 && tally.failed == 0, "not every run passed");
    Ok(())
}
