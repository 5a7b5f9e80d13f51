//! The command line: every noun, verb and flag. Its doc comments are the help texts.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::output::Format;
use crate::verbs::explain::Reference;

/// Administer Postern: one-time passwords in front of Linux logins.
#[derive(Debug, Parser)]
#[command(name = "postern", version, arg_required_else_help = true, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(flatten)]
    pub globals: Globals,
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0 done                   3 verifierd not reachable   6 conflict
  1 failed                 4 not found                 7 not ready or degraded
  2 usage, configuration   5 not allowed               130 interrupted";

/// Flags that every verb takes.
#[derive(Debug, Args)]
pub struct Globals {
    /// How to print what was asked for
    #[arg(short, long, value_enum, global = true, env = "POSTERN_OUTPUT", default_value = "table")]
    output: Format,
    /// The same as `-o json`
    #[arg(long, global = true)]
    json: bool,
    /// Print data and errors only
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Say on stderr what is asked of verifierd
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// Never ask, not even on a terminal
    #[arg(long, global = true)]
    pub no_input: bool,
    /// Do it without asking
    #[arg(short, long, global = true)]
    pub yes: bool,
    /// verifierd's admin socket [default: what the configuration says, else /run/postern/admin.sock]
    #[arg(long, value_name = "PATH", global = true, env = "POSTERN_SOCKET")]
    pub socket: Option<PathBuf>,
    /// verifierd's configuration [default: /etc/postern/verifierd.toml]
    #[arg(long, value_name = "PATH", global = true, env = "POSTERN_CONFIG")]
    pub config: Option<PathBuf>,
    /// How long the whole command may take, such as 500ms, 10s or 2m
    #[arg(long, value_name = "DURATION", global = true, env = "POSTERN_TIMEOUT", default_value = "10s",
        value_parser = humantime::parse_duration)]
    pub timeout: Duration,
}

impl Globals {
    /// The form of the output, `--json` taken into account.
    pub fn format(&self) -> Format {
        if self.json { Format::Json } else { self.output }
    }
}

/// Everything that can be said after `postern`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make the key, the state directory and the store, once, before the first start
    Init,
    #[command(flatten)]
    Asking(Asking),
    /// Print the version of this command
    Version,
}

/// The nouns, and the verbs without a noun, that ask verifierd.
#[derive(Debug, Subcommand)]
pub enum Asking {
    /// Users and whether a one-time password is demanded of them
    #[command(subcommand)]
    User(UserVerb),
    /// Tokens: enrolled secrets, never shown themselves
    #[command(subcommand)]
    Token(TokenVerb),
    /// Say why a login was decided as it was
    Explain {
        /// The reference that the user saw, such as 7K2M-9QXD
        reference: Reference,
    },
    /// The audit trail
    #[command(subcommand)]
    Audit(AuditVerb),
    /// The store
    #[command(subcommand)]
    Store(StoreVerb),
    /// How verifierd is; exit 0 when all is well, 7 when it is not ready or degraded, 3 when it does not run
    Status,
}

/// What can be done with users.
#[derive(Debug, Subcommand)]
pub enum UserVerb {
    /// List the users that Postern knows
    List,
    /// Show one user
    Show {
        /// The Unix account
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        name: String,
    },
    /// Change what is demanded of a user
    Set {
        /// The Unix account
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        name: String,
        /// on: the next login shows a QR code with a new secret; off: no code is demanded, the secret is wiped
        #[arg(long)]
        otp: Switch,
    },
}

/// The two positions of `--otp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// Demand a one-time password.
    On,
    /// Demand none.
    Off,
}

/// What can be done with tokens.
#[derive(Debug, Subcommand)]
pub enum TokenVerb {
    /// List all tokens
    List,
    /// Show one token
    Show {
        /// Its serial number
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        serial: String,
    },
    /// Disable a token for ever
    Disable {
        /// Its serial number
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        serial: String,
    },
}

/// What can be done with the store.
#[derive(Debug, Subcommand)]
pub enum StoreVerb {
    /// Say that you have dealt with commits that are missing in the store, so that status stops telling of them
    Settle,
}

/// What can be done with the audit trail.
#[derive(Debug, Subcommand)]
pub enum AuditVerb {
    /// Show records: the newest ones, or those after a sequence number
    Show(AuditWish),
    /// Walk the whole chain; exit 1 when it is broken
    Verify,
}

/// Which audit records are wanted.
#[derive(Debug, Args)]
pub struct AuditWish {
    /// Start after this sequence number instead of showing the newest
    #[arg(long, value_name = "SEQUENCE")]
    pub after: Option<u64>,
    /// How many records at most
    #[arg(long, value_name = "COUNT", default_value_t = 50,
        value_parser = clap::value_parser!(u32).range(1..=i64::from(AUDIT_SHOW_MAX)))]
    pub limit: u32,
    /// Only records about this user
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
}

/// Most records that one `audit show` collects: about 50 MB of them, a hundred pages.
const AUDIT_SHOW_MAX: u32 = 100_000;

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn json_is_the_same_as_output_json() {
        let cli = Cli::try_parse_from(["postern", "status", "--json"]).expect("valid");
        assert_eq!(cli.globals.format(), Format::Json);
    }

    /// covers: I12
    #[test]
    fn no_flag_takes_a_secret() {
        fn walk(command: &clap::Command, names: &mut Vec<String>) {
            names.extend(command.get_arguments().map(|argument| argument.get_id().to_string()));
            command.get_subcommands().for_each(|below| walk(below, names));
        }
        let mut names = Vec::new();
        walk(&Cli::command(), &mut names);
        for word in ["secret", "password", "code", "pin", "key"] {
            assert!(!names.iter().any(|name| name.contains(word)), "a flag is named after a {word}");
        }
    }
}
