//! `verifierd`: reads its arguments, makes the one clock, and runs the service.

#![forbid(unsafe_code)]

mod commands;
mod run;
mod warnings;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Claims, index and requests make many small allocations on several threads (measured: 1.2 to 1.3 times
/// the requests of the system's allocator).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Decides one-time password logins.
#[derive(Debug, Parser)]
#[command(name = "verifierd", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve until SIGTERM; SIGHUP reads the configuration anew
    Run(ConfigArgument),
    /// Make the master key, where a file is configured for it, and an empty store
    Init(ConfigArgument),
    /// Look at the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Say what is wrong with the file, or nothing
    Check(ConfigArgument),
    /// Print a file with every setting and its default
    Default,
    /// Print the settings in effect
    Show(ConfigArgument),
}

#[derive(Debug, clap::Args)]
struct ConfigArgument {
    /// The configuration file
    #[arg(long, value_name = "PATH", default_value = verifierd::config::DEFAULT_PATH)]
    config: PathBuf,
}

fn main() -> ExitCode {
    serve::process::abort_on_panic_but_in(Some(verifierd::people::directory::THREAD_NAME));
    let done = match Arguments::parse().command {
        Command::Run(argument) => run::run(&argument.config),
        Command::Init(argument) => commands::init(&argument.config),
        Command::Config(ConfigCommand::Check(argument)) => commands::check(&argument.config),
        Command::Config(ConfigCommand::Default) => commands::print_default(),
        Command::Config(ConfigCommand::Show(argument)) => commands::show(&argument.config),
    };
    done.unwrap_or_else(|failure| {
        eprintln!("verifierd: {:#}", failure.error);
        ExitCode::from(failure.status)
    })
}

/// A failure and the exit status that tells of it: 1 failed, 2 configuration, 6 exists already.
#[derive(Debug)]
struct Failure {
    status: u8,
    error: anyhow::Error,
}

impl Failure {
    fn new(status: u8, error: impl Into<anyhow::Error>) -> Self {
        Self { status, error: error.into() }
    }
}
