//! The long runs: a steady load for an hour, and the races, kills and losses of `cargo xtask test` with all their
//! rounds.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};

use crate::packages::{self, Need};
use crate::steps::Steps;
use crate::tally::Tally;
use crate::{build, sandbox};

/// A test with a number of rounds, or of seconds, and how many of them a long run makes.
struct Run {
    program: &'static str,
    test: &'static str,
    variable: &'static str,
    rounds: &'static str,
}

/// What the project promises to have shown.
const RUNS: [Run; 11] = [
    Run {
        program: "single_use",
        test: "of_200_connections_with_one_valid_password_exactly_one_is_accepted",
        variable: "POSTERN_RACE_ROUNDS",
        rounds: "1000",
    },
    Run {
        program: "verify_races",
        test: "of_200_verifications_of_one_valid_code_exactly_one_is_allowed",
        variable: "POSTERN_RACE_ROUNDS",
        rounds: "1000",
    },
    Run {
        program: "verify_races",
        test: "of_three_counters_verified_at_once_none_is_accepted_twice_and_none_falls",
        variable: "POSTERN_COUNTER_ROUNDS",
        rounds: "500",
    },
    Run {
        program: "request_races",
        test: "of_200_connections_with_one_issued_password_exactly_one_is_accepted",
        variable: "POSTERN_REQUEST_ROUNDS",
        rounds: "200",
    },
    Run {
        program: "crash",
        test: "every_accept_outlives_a_kill_at_any_moment",
        variable: "POSTERN_KILLS",
        rounds: "1000",
    },
    Run {
        program: "crash_points",
        test: "killed_around_a_write_of_the_store_the_daemon_loses_nothing_that_it_told",
        variable: "POSTERN_KILL_POINTS",
        rounds: "50",
    },
    Run {
        program: "crash_points",
        test: "killed_around_a_sync_the_daemon_loses_nothing_that_it_told",
        variable: "POSTERN_KILL_POINTS",
        rounds: "50",
    },
    Run {
        program: "crash_points",
        test: "killed_around_an_answer_the_daemon_loses_nothing_that_it_told",
        variable: "POSTERN_KILL_POINTS",
        rounds: "50",
    },
    Run {
        program: "powerloss",
        test: "after_any_loss_of_power_what_was_told_is_in_the_store_and_nothing_is_accepted_again",
        variable: "POSTERN_LOSSES",
        rounds: "200",
    },
    Run {
        program: "power_loss",
        test: "no_loss_of_power_takes_back_what_was_told_between_sessions_that_fold_and_empty_the_log",
        variable: "POSTERN_LOSSES",
        rounds: "2000",
    },
    Run {
        program: "fleet_guessing",
        test: "a_host_that_guesses_for_everybody_keeps_nobody_out_elsewhere",
        variable: "POSTERN_GUESSING_SECONDS",
        rounds: "60",
    },
];

/// The steady load.
const STEADY: &str = "under_a_steady_load_nothing_grows_and_nothing_is_miscounted";

/// Runs the steady load, and then everything else with all its rounds.
///
/// * `minutes`: of the steady load.
///
/// # Errors
/// When something cannot be built, or a run failed.
pub fn run(minutes: u32) -> Result<()> {
    let mut steps = Steps::new(4 + RUNS.len());
    let mut tally = Tally::default();
    steps.run("packages", || {
        packages::install_missing(Need::Tests)?;
        sandbox::ensure_possible()
    })?;
    steps.run("build release", || build::release(&[]))?;
    let programs = steps.run("build the tests", || {
        build::test_programs(&["system-tests", "ledger-harness", "fleet-harness"])
    })?;
    let report = report_file()?;
    let seconds = (u64::from(minutes) * 60).to_string();
    let variables = [("POSTERN_SOAK_SECONDS", seconds.as_str()), ("POSTERN_SOAK_REPORT", report.as_str())];
    let name = format!("{STEADY}, {minutes} minutes");
    let _ = steps.run(&name, || tally.run(&mut command(&programs, "soak", STEADY, &variables)?));
    println!("      report: {report}");
    for run in &RUNS {
        let name = format!("{}, {}={}", run.test, run.variable, run.rounds);
        let variables = [(run.variable, run.rounds)];
        let _ = steps.run(&name, || tally.run(&mut command(&programs, run.program, run.test, &variables)?));
    }
    steps.print_timings();
    println!("{} passed, {} failed", tally.passed, tally.failed);
    let expected = 1 + RUNS.len() as u64;
    ensure!(tally.passed == expected && tally.failed == 0, "not every run passed");
    Ok(())
}

/// One test of a test program, in a sandbox of its own.
fn command(
    programs: &[build::TestProgram],
    program: &str,
    test: &str,
    variables: &[(&str, &str)],
) -> Result<std::process::Command> {
    let program = programs.iter().find(|it| it.name == program).with_context(|| program.to_owned())?;
    let mut command = sandbox::command(PathBuf::from(&program.executable));
    command.current_dir(&program.folder).args(["--exact", "--nocapture", test]);
    command.envs(variables.iter().copied());
    Ok(command)
}

/// Where the report of the steady load goes: its samples, its lines, and what was told.
fn report_file() -> Result<String> {
    let folder = build::target().join("soak");
    std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    Ok(folder.join("report.json").display().to_string())
}
