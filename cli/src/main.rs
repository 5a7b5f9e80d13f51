//! `postern`: the administrator's command. It asks `verifierd` over the admin socket and shows the answer.
//!
//! It decides nothing, keeps nothing and holds no secret: what may be done is `verifierd`'s to say. Data goes
//! to stdout, words to stderr, and the exit code tells a script what happened ([`failure::Exit`]).

#![forbid(unsafe_code)]

mod args;
mod client;
mod confirm;
mod failure;
mod output;
mod settings;
mod verbs;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use crate::args::{Asking, Cli, Command};
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{Answer, Format};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(usage) => return ExitCode::from(output::show_usage(usage)),
    };
    let format = cli.globals.format();
    let quiet = cli.globals.quiet;
    ExitCode::from(match run(cli) {
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

fn run(cli: Cli) -> Result<End, Failure> {
    let format = cli.globals.format();
    match cli.command {
        Command::Init => verbs::init::run(cli.globals.config.as_deref()).map(End::Child),
        Command::Version => verbs::version::run(format).map(End::Answer),
        Command::Asking(asking) => {
            confirm::before(&asking, &cli.globals)?;
            let client = Client::new(settings::admin_socket(&cli.globals)?, cli.globals.verbose);
            ask(&client, asking, format, cli.globals.timeout).map(End::Answer)
        }
    }
}

/// Runs one verb within `timeout`, all its requests together. Ctrl-C ends it as [`Failure::Interrupted`].
fn ask(client: &Client, asking: Asking, format: Format, timeout: Duration) -> Result<Answer, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| Failure::Runtime { source })?;
    runtime.block_on(async {
        tokio::select! {
            answer = tokio::time::timeout(timeout, verbs::run(client, asking, format)) => {
                answer.unwrap_or(Err(Failure::TimedOut { timeout }))
            }
            _ = tokio::signal::ctrl_c() => Err(Failure::Interrupted),
        }
    })
}
