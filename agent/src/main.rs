//! `postern-agent`: reads its arguments, makes the one clock, and runs the agent.

#![forbid(unsafe_code)]

mod commands;
mod run;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use agent::config::VerifierAddress;
use clap::{Parser, Subcommand};

/// As in `verifierd`: requests make many small allocations.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Asks a verifier about the logins of this host.
#[derive(Debug, Parser)]
#[command(name = "postern-agent", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve until SIGTERM
    Run(ConfigArgument),
    /// Check offline passwords until SIGTERM: what the agent asks where no verifier answers; needs no network
    Offline(ConfigArgument),
    /// Make this host one of a fleet, with the secret that `postern host enrol` printed
    Join(JoinArguments),
    /// Say how the agent is that runs
    Status(StatusArguments),
    /// Look at the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print the version
    Version,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Say what is wrong with the file and with what it names, or nothing
    Check(ConfigArgument),
    /// Print a file with every setting and its default
    Default,
    /// Print the settings in effect
    Show(ConfigArgument),
}

#[derive(Debug, clap::Args)]
struct ConfigArgument {
    /// The configuration file
    #[arg(long, value_name = "PATH", default_value = agent::config::DEFAULT_PATH)]
    config: PathBuf,
}

#[derive(Debug, clap::Args)]
struct JoinArguments {
    #[command(flatten)]
    config: ConfigArgument,
    /// A verifier, https://NAME:PORT; may be given several times. Without it those of the configuration
    #[arg(long, value_name = "URL")]
    verifier: Vec<VerifierAddress>,
    /// Read the join secret from a file of root's, mode 0600; without it from standard input
    #[arg(long, value_name = "PATH")]
    secret_file: Option<PathBuf>,
    /// What somebody takes for the place of the secret. Without this the refusal would repeat it
    #[arg(hide = true, value_name = "SECRET")]
    misplaced: Vec<OsString>,
}

#[derive(Debug, clap::Args)]
struct StatusArguments {
    #[command(flatten)]
    config: ConfigArgument,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    serve::process::abort_on_panic();
    let command = Arguments::parse().command;
    let is_open_to_all = matches!(command, Command::Version | Command::Config(ConfigCommand::Default));
    if !is_open_to_all && !rustix::process::geteuid().is_root() {
        eprintln!("postern-agent: run it as root: its files and the login socket are root's");
        return ExitCode::from(2);
    }
    let done = match command {
        Command::Run(argument) => run::run(&argument.config),
        Command::Offline(argument) => run::run_offline(&argument.config),
        Command::Join(arguments) if !arguments.misplaced.is_empty() => {
            Err(Failure::new(2, anyhow::anyhow!(commands::SECRET_AS_ARGUMENT)))
        }
        Command::Join(arguments) => {
            commands::join(&arguments.config.config, arguments.verifier, arguments.secret_file.as_deref())
        }
        Command::Status(arguments) => commands::status(&arguments.config.config, arguments.json),
        Command::Config(ConfigCommand::Check(argument)) => commands::check(&argument.config),
        Command::Config(ConfigCommand::Default) => commands::print_default(),
        Command::Config(ConfigCommand::Show(argument)) => commands::show(&argument.config),
        Command::Version => commands::version(),
    };
    done.unwrap_or_else(|failure| {
        eprintln!("postern-agent: {:#}", failure.error);
        ExitCode::from(failure.status)
    })
}

/// A failure and the exit status that tells of it: 1 failed, 2 configuration, 3 not running, 5 refused, 7 not ready.
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
