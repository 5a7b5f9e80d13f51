//! The command line. What is read here is also what a report states as its settings.

mod run;

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use serde::Serialize;

pub use run::RunArgs;

/// Most connections at once: `verifierd` serves 1,024 on a socket, and the usual limit lets a process open 1,024
/// files; a few of both are left for others.
const CONNECTIONS_MAX: i64 = 1_000;

/// Most rounds, users or seconds in one run: bounds what the tallies hold.
const COUNT_MAX: i64 = 1_000_000;

/// Load and correctness tool for Postern.
///
/// Exit codes: 0 all as it must be, 1 a miscount, 2 the run could not be made.
#[derive(Debug, Parser)]
#[command(name = "loadtest", version)]
pub struct Args {
    /// Which verifier to ask, and as what.
    #[command(flatten)]
    pub host: HostArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Which verifier to ask, and as what.
#[derive(Clone, Debug, clap::Args, Serialize)]
pub struct HostArgs {
    /// The login socket.
    #[arg(long, global = true, value_name = "PATH", default_value = wire::LOGIN_SOCKET)]
    pub socket: PathBuf,
    /// The PAM service that the logins name.
    #[arg(long, global = true, value_name = "NAME", default_value = "sshd")]
    pub service: String,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Put a load on a verifier, after a profile, and measure and count.
    Run(Box<RunArgs>),
    /// Submit one valid code on many connections at once, round after round: exactly one may be accepted.
    Race(RaceArgs),
    /// Keep connections busy with valid, replayed and wrong codes, and measure.
    Steady(SteadyArgs),
    /// Make users with one-time passwords on, and keep their secrets in a file.
    Enrol(EnrolArgs),
    /// Compare a journal of `steady` with the audit trail.
    Check(CheckArgs),
}

/// What every measured run takes.
#[derive(Clone, Debug, clap::Args, Serialize)]
pub struct ReportArgs {
    /// Wait for the next time step first: for users who logged in just before, whose codes are used up.
    #[arg(long)]
    pub next_step: bool,
    /// Write the whole report as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// The commit that the tested programs were built from, for the report.
    #[arg(long, value_name = "TEXT", env = "POSTERN_COMMIT")]
    pub commit: Option<String>,
}

impl ReportArgs {
    /// What is asked for can be written, which nobody wants to learn after an hour.
    ///
    /// # Errors
    /// When one of the files cannot be made.
    pub fn check(&self, html: Option<&Path>) -> Result<()> {
        for path in self.json.as_deref().into_iter().chain(html) {
            let opened = OpenOptions::new().append(true).create(true).open(path);
            opened.with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }
}

/// Settings of `race`.
#[derive(Clone, Debug, clap::Args, Serialize)]
pub struct RaceArgs {
    /// How many codes to race for.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=COUNT_MAX))]
    pub rounds: u32,
    /// How many connections submit each code.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=CONNECTIONS_MAX))]
    pub connections: u32,
    /// The one user to log in as: a round each 30 s.
    #[arg(long, value_name = "NAME", requires = "secret_file", required_unless_present = "secrets")]
    pub user: Option<String>,
    /// File with the user's secret in base32.
    #[arg(long, value_name = "FILE", requires = "user")]
    pub secret_file: Option<PathBuf>,
    /// File with many users, `name secret` on each line: every round takes another, so none waits.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["user", "secret_file"])]
    pub secrets: Option<PathBuf>,
    /// What every measured run takes.
    #[command(flatten)]
    #[serde(flatten)]
    pub report: ReportArgs,
}

/// Settings of `steady`.
#[derive(Clone, Debug, clap::Args, Serialize)]
pub struct SteadyArgs {
    /// File with the users, `name secret` on each line. Each gives one valid code every 30 s.
    #[arg(long, value_name = "FILE")]
    pub secrets: PathBuf,
    /// How long.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=COUNT_MAX))]
    pub seconds: u32,
    /// How many connections, each with one login at a time.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=CONNECTIONS_MAX))]
    pub connections: u32,
    /// How many of 100 tries replay a code. More, when all codes of a time step are used.
    #[arg(long, value_name = "P", default_value_t = 30, value_parser = clap::value_parser!(u8).range(0..=99))]
    pub replay_percent: u8,
    /// How many of 100 tries are wrong. Fewer, where the throttle would step in.
    #[arg(long, value_name = "W", default_value_t = 5, value_parser = clap::value_parser!(u8).range(0..=99))]
    pub wrong_percent: u8,
    /// Append one line of JSON for each reply, before it is counted.
    #[arg(long, value_name = "FILE")]
    pub journal: Option<PathBuf>,
    /// The daemon is killed and started meanwhile: lost replies and refused valid codes are no miscounts.
    #[arg(long)]
    pub expect_restarts: bool,
    /// Repeats the choices of a run; drawn anew when absent.
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// What every measured run takes.
    #[command(flatten)]
    #[serde(flatten)]
    pub report: ReportArgs,
}

/// Settings of `enrol`.
#[derive(Clone, Debug, clap::Args)]
pub struct EnrolArgs {
    /// How many users.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=COUNT_MAX))]
    pub users: u32,
    /// How many of 100 get a token that counts presses (HOTP): they have a valid code at any time.
    #[arg(long, value_name = "P", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub hotp_percent: u8,
    /// The admin socket.
    #[arg(long, value_name = "PATH", default_value = wire::ADMIN_SOCKET)]
    pub admin_socket: PathBuf,
    /// File to make, mode 0600, with `name secret` or `name secret counter` on each line. Must not exist.
    #[arg(long, value_name = "FILE")]
    pub secrets: PathBuf,
    /// What the users' names start with; a number follows.
    #[arg(long, value_name = "TEXT", default_value = "load")]
    pub prefix: String,
}

/// Settings of `check`.
#[derive(Clone, Debug, clap::Args)]
pub struct CheckArgs {
    /// What `steady --journal` wrote.
    #[arg(long, value_name = "FILE")]
    pub journal: PathBuf,
    /// What `postern audit show --json` printed: one page or several.
    #[arg(long, value_name = "FILE")]
    pub audit: PathBuf,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[track_caller]
    fn check(line: &str, right: bool) {
        let parsed = Args::try_parse_from(line.split(' '));
        assert_eq!(parsed.is_ok(), right, "{line}: {parsed:?}");
    }

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_race_takes_one_user_with_his_secret_or_a_file_of_many() {
        check("loadtest race --user alice --secret-file s", true);
        check("loadtest race --secrets s --rounds 5 --connections 200 --socket /x", true);
        check("loadtest --socket /x race --secrets s --service sudo", true);
        check("loadtest race", false);
        check("loadtest race --user alice", false);
        check("loadtest race --secret-file s", false);
        check("loadtest race --user alice --secret-file s --secrets s", false);
    }

    #[test]
    fn counts_have_limits() {
        check("loadtest race --secrets s --connections 0", false);
        check("loadtest race --secrets s --connections 1001", false);
        check("loadtest race --secrets s --rounds 0", false);
        check("loadtest steady --secrets s --replay-percent 100", false);
        check("loadtest enrol --users 1000001 --secrets s", false);
    }
}
