//! `loadtest`: speaks the login socket as the PAM module does, many logins at once, and counts what it is told.
//!
//! Speed is reported, correctness is judged: each valid code must be accepted exactly once, every replay and
//! every wrong code refused. It decides nothing itself and never looks into the daemon. Exit codes: 0 all as it
//! must be, 1 a miscount, 2 the run could not be made.
//!
//! | module | holds |
//! | --- | --- |
//! | [`args`] | the command line |
//! | [`authenticator`] | a user's phone: codes, and the file that keeps the secrets |
//! | [`connection`] | HTTP over a Unix socket, kept open |
//! | [`login`] | the dialogue of one login, as a host holds it |
//! | [`race`] | one code on many connections at one instant |
//! | [`steady`] | a closed loop of valid, replayed and wrong codes |
//! | [`journal`], [`history`] | what was told, line by line; and whether it agrees with the audit trail |
//! | [`enrol`] | makes users to play with |
//! | [`latency`], [`report`], [`machine`], [`progress`] | figures, and what they were measured on |

#![forbid(unsafe_code)]

mod args;
mod authenticator;
mod chance;
mod clock;
mod connection;
mod enrol;
mod history;
mod journal;
mod latency;
mod login;
mod machine;
mod progress;
mod race;
mod report;
mod steady;

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser as _;
use mimalloc::MiMalloc;

use crate::args::{Args, Command};
use crate::clock::Clock;
use crate::report::Conclusion;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(Conclusion::Right) => ExitCode::SUCCESS,
        Ok(Conclusion::Miscounted) => ExitCode::from(1),
        Err(error) => {
            eprintln!("loadtest: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(args: Args) -> Result<Conclusion> {
    let clock = Clock::start();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start")?;
    match args.command {
        Command::Race(race) => runtime.block_on(race::run(&args.host, &race, clock)),
        Command::Steady(steady) => runtime.block_on(steady::run(&args.host, &steady, clock)),
        Command::Enrol(enrol) => runtime.block_on(enrol::run(&args.host, &enrol)),
        Command::Check(check) => history::run(&check),
    }
}
