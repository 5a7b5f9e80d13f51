//! `postern`: the command. It asks `verifierd` over a socket and shows the answer.
//!
//! It decides nothing and keeps nothing: what may be done is `verifierd`'s to say. Secrets pass through it when
//! tokens are imported or added, and are wiped. Data goes to stdout, words to stderr, and the exit code tells a
//! script what happened (`failure::Exit`).

#![forbid(unsafe_code)]

mod args;
mod client;
mod confirm;
mod doctor;
mod failure;
mod import;
mod output;
mod settings;
mod typed;
mod verbs;

use std::process::ExitCode;
use std::time::SystemTime;

use clap::{CommandFactory, Parser};

use crate::args::{Cli, Command};
use crate::failure::Failure;
use crate::output::Answer;

/// The whole command line, from which man pages and completions are made.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Does what the arguments of this process say; returns its exit code.
///
/// * `now`: the time, by which the validity of imported tokens is judged.
pub fn run_arguments(now: SystemTime) -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(usage) => return ExitCode::from(output::show_usage(usage)),
    };
    let format = cli.globals.format();
    let quiet = cli.globals.quiet;
    ExitCode::from(match run(cli, now) {
        Ok(End::Answer(answer)) => output::show(&answer, quiet, format),
        Ok(End::Child(code)) => code,
        Err(failure) => output::show_failure(&failure, format),
    })
}

/// How a run ended that did not fail.
enum End {
    /// There is something to show.
    Answer(Answer),
    /// Another program did the work and spoke for itself; its exit code is ours.
    Child(u8),
}

fn run(cli: Cli, now: SystemTime) -> Result<End, Failure> {
    let globals = cli.globals;
    match cli.command {
        Command::Init => verbs::init::run(globals.config.as_deref()).map(End::Child),
        Command::Doctor(args) => doctor::run(&globals, args, now).map(End::Answer),
        Command::Version => verbs::version::run(globals.format()).map(End::Answer),
        Command::Asking(asking) => {
            asking.check()?;
            confirm::before(&asking, &globals)?;
            verbs::run(&globals, asking, now).map(End::Answer)
        }
    }
}
