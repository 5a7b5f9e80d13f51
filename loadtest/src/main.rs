//! `loadtest`: puts a load on a verifier, as hosts and programs do, and counts what it is told.
//!
//! Speed is reported, correctness is judged: each valid code must be accepted exactly once, every replay and
//! every wrong code refused. It decides nothing itself and never looks into the daemon. Exit codes: 0 all as it
//! must be, 1 a miscount, 2 the run could not be made, 130 interrupted.
//!
//! | module | holds |
//! | --- | --- |
//! | [`args`] | the command line |
//! | [`load`] | many logins for a while: profiles, arrivals, who sends what, and whether the answers are right |
//! | [`race`] | one code on many connections at one instant |
//! | [`ask`], [`login`], [`pam`], [`outcome`] | how a code is submitted, and what became of it |
//! | [`target`], [`connection`] | HTTP over Unix socket, TCP or TLS, kept open |
//! | [`authenticator`] | a user's token: codes, and the file that keeps the secrets |
//! | [`embedded`], [`enrol`] | a verifier of our own; users to play with |
//! | [`journal`], [`history`] | what was told, line by line; and whether it agrees with the audit trail |
//! | [`latency`], [`report`], [`page`], [`plot`], [`machine`], [`progress`] | figures, and what they were measured on |
//! | [`clock`], [`timer`], [`chance`] | time and chance |

#![forbid(unsafe_code)]

mod args;
mod ask;
mod authenticator;
mod chance;
mod clock;
mod connection;
mod embedded;
mod enrol;
mod history;
mod journal;
mod latency;
mod load;
mod login;
mod machine;
mod outcome;
mod page;
mod pam;
mod plot;
mod progress;
mod race;
mod report;
mod target;
mod timer;

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser as _;
use mimalloc::MiMalloc;
use tokio::signal::unix::{SignalKind, signal};

use crate::args::{Args, Command};
use crate::clock::Clock;
use crate::report::Conclusion;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(Some(Conclusion::Right)) => ExitCode::SUCCESS,
        Ok(Some(Conclusion::Miscounted)) => ExitCode::from(1),
        Ok(None) => {
            eprintln!("loadtest: interrupted");
            ExitCode::from(INTERRUPTED)
        }
        Err(error) => {
            eprintln!("loadtest: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Exit status after SIGINT or SIGTERM, as shells have it for the former.
const INTERRUPTED: u8 = 130;

/// `None` when somebody interrupted it: then a verifier of our own and its folder are gone, too.
fn run(args: Args) -> Result<Option<Conclusion>> {
    let clock = Clock::start();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start")?;
    let concluded = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).context("cannot take signals")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot take signals")?;
        tokio::select! {
            concluded = obey(args, clock) => concluded.map(Some),
            _ = terminate.recv() => Ok(None),
            _ = interrupt.recv() => Ok(None),
        }
    });
    // Threads that are still busy end with the process.
    runtime.shutdown_background();
    concluded
}

async fn obey(args: Args, clock: Clock) -> Result<Conclusion> {
    let Args { host, command } = args;
    match command {
        Command::Run(run) => load::run(&host, &run, clock).await,
        Command::Race(race) => race::run(&host, &race, clock).await,
        Command::Steady(steady) => load::steady(&host, &steady, clock).await,
        Command::Enrol(enrol) => enrol::run(&host, &enrol).await,
        Command::Check(check) => history::run(&check),
    }
}
