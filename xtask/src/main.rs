//! Every command of the project by name: `cargo xtask demo`, `test`, `tidy`, `bench`, `mutants`, `soak`, `dist`,
//! `screenshots`.
//!
//! Holds no logic of the product. One module does one job; `cargo xtask test` is all that CI calls.

#![forbid(unsafe_code)]

mod bench;
mod build;
mod demo;
mod dist;
mod mutants;
mod packages;
mod python;
mod sandbox;
mod screenshots;
mod soak;
mod steps;
mod tally;
mod test;
mod tidy;
mod units;
mod witness;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

/// Every command of the project by name.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, about)]
enum Command {
    /// Show every kind of login, real and in a sandbox; then wait for you to try it with a phone.
    Demo {
        /// End after the story; exit 0 only if all went as expected.
        #[arg(long)]
        once: bool,
    },
    /// Run everything that a change must pass.
    Test,
    /// Check edges between packages, sizes, words, the feature list and links.
    Tidy,
    /// Measure what the project promises, and print one table of ratios.
    Bench(bench::Options),
    /// Remove one guard at a time and demand that a test notices.
    Mutants {
        /// Only mutants whose id contains this; several such parts are parted by commas.
        only: Option<String>,
    },
    /// Make man pages and shell completions in target/dist.
    Dist,
    /// Load the daemon for an hour, and race, kill and cut it off with all the rounds that the project promises.
    Soak {
        /// How long the steady load lasts. Memory is judged strictly from 25 on.
        #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=1_440))]
        minutes: u32,
    },
    /// Take pictures of every page in every state, and fail where one cannot be read.
    Screenshots {
        /// Where they go [default: target/screenshots].
        folder: Option<std::path::PathBuf>,
    },
    /// Install the Debian packages that demo and test need and the machine lacks.
    Packages,
    /// Run a program in private name spaces.
    Sandbox {
        /// The program and its arguments.
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
}

fn main() -> ExitCode {
    match run(Command::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Demo { once } => demo::run(once),
        Command::Test => test::run(),
        Command::Tidy => tidy::run(),
        Command::Bench(options) => bench::run(&options),
        Command::Mutants { only } => run_mutants(only.as_deref()),
        Command::Dist => dist::run(),
        Command::Soak { minutes } => soak::run(minutes),
        Command::Screenshots { folder } => screenshots::run(folder),
        Command::Packages => packages::install_missing(packages::Need::Tests),
        Command::Sandbox { command } => build::run(sandbox::command(&command[0]).args(&command[1..])),
    }
}

fn run_mutants(only: Option<&str>) -> Result<()> {
    let mut tally = tally::Tally::default();
    mutants::run(only.unwrap_or_default(), &mut tally)?;
    anyhow::ensure!(tally.failed == 0, "{} mutants were not caught", tally.failed);
    Ok(())
}
