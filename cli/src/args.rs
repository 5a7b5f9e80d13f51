//! The command line: every noun, verb and flag. Its doc comments are the help texts.

mod audit;
mod host;
mod offline;
mod person;
mod policy;
mod request;
mod session;
mod token;

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::failure::Failure;
use crate::output::Format;
use crate::verbs::explain::Reference;
pub use audit::{AuditVerb, AuditWish, Moment};
pub use host::{HostName, HostVerb};
pub use offline::{OfflineOrder, OfflineVerb, UniversalReason, UniversalVerb};
pub use person::{
    KeyOrder, KeyVerb, PersonAccount, PersonKeysVerb, PersonLogin, PersonOrder, PersonVerb, PersonWish,
};
pub use policy::{Attempt, PolicyVerb, PolicyWish, RolloutVerb};
pub use request::{Approval, RequestFilter, RequestName, RequestVerb};
pub use session::{SessionFilter, SessionVerb};
pub use token::{AddOrder, FileFormat, Holder, ImportOrder, Serial, TokenFilter, TokenVerb, Type};

/// Administer Postern, or your own tokens: one-time passwords in front of Linux logins.
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
  0 done                   4 not found     7 not ready, degraded or throttled
  1 failed                 5 not allowed   8 the code was wrong
  2 usage, configuration   6 conflict      130 interrupted
  3 verifierd not reachable";

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
    /// verifierd's socket [default: what the configuration says, else /run/postern/admin.sock for root and
    /// /run/postern/user.sock for everybody else]
    #[arg(long, value_name = "PATH", global = true, env = "POSTERN_SOCKET")]
    pub socket: Option<PathBuf>,
    /// verifierd's configuration [default: /etc/postern/verifierd.toml]
    #[arg(long, value_name = "PATH", global = true, env = "POSTERN_CONFIG")]
    pub config: Option<PathBuf>,
    /// How long verifierd may take, all requests of the command together, such as 500ms, 10s or 2m
    #[arg(long, value_name = "DURATION", global = true, env = "POSTERN_TIMEOUT", default_value = "10s",
        value_parser = some_time)]
    pub timeout: Duration,
}

impl Globals {
    /// The form of the output, `--json` taken into account.
    pub fn format(&self) -> Format {
        if self.json { Format::Json } else { self.output }
    }
}

/// Reads a duration; none at all is no time to do anything.
fn some_time(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(Duration::ZERO) => Err("it must be longer than nothing, such as 10s".to_owned()),
        Ok(time) => Ok(time),
        Err(problem) => Err(problem.to_string()),
    }
}

/// Everything that can be said after `postern`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make the key, the state directory and the store, once, before the first start
    Init,
    #[command(flatten)]
    Asking(Asking),
    /// Look at this machine's settings, and say what will happen at a login before anybody is locked out
    Doctor(DoctorArgs),
    /// Print the version of this command
    Version,
}

/// What the doctor looks at beside the machine itself.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Say what will happen at a login of this Unix account
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub user: Option<String>,
    /// Only this PAM service, such as sshd; may be given several times
    #[arg(long, value_name = "SERVICE", value_parser = NonEmptyStringValueParser::new())]
    pub service: Vec<String>,
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
    /// Recovery codes: printed, for when a token is not at hand
    #[command(subcommand)]
    Recovery(RecoveryVerb),
    /// Bans: who has to wait after wrong codes
    #[command(subcommand)]
    Ban(BanVerb),
    /// Sessions: who is in, where and since when
    #[command(subcommand)]
    Session(SessionVerb),
    /// Hosts of the fleet: machines that ask this verifier
    #[command(subcommand)]
    Host(HostVerb),
    /// Offline passwords: for hosts that reach no verifier, which check them alone
    #[command(subcommand)]
    Offline(OfflineVerb),
    /// Requests for one-time passwords: who asks, and the decision
    #[command(subcommand)]
    Request(RequestVerb),
    /// Persons: the humans behind accounts, whose mails and approvals count
    #[command(subcommand)]
    Person(PersonVerb),
    /// Policy: what is demanded of whom, where, and why
    #[command(subcommand)]
    Policy(PolicyVerb),
    /// The roll-out: from observing to enforcing
    #[command(subcommand)]
    Rollout(RolloutVerb),
    /// Say who verifierd takes you for, what you may do, and which tokens you have
    Whoami,
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

impl Asking {
    /// Refuses flags that do not go together; clap cannot tell by their values.
    pub fn check(&self) -> Result<(), Failure> {
        let problem = match self {
            Self::User(UserVerb::Set { otp: Switch::Off, with: Some(_), .. }) => "--with goes with --otp on",
            Self::Token(TokenVerb::Add(AddOrder { user: None, secret_file: None, .. })) => {
                "--user or --secret-file is needed"
            }
            Self::Token(TokenVerb::Add(order)) => match (order.token_type, order.period, order.counter) {
                (Type::Hotp, Some(_), _) => "--period goes with --type totp",
                (Type::Totp, _, Some(_)) => "--counter goes with --type hotp",
                _ => return Ok(()),
            },
            _ => return Ok(()),
        };
        Err(Failure::Usage { problem })
    }
}

/// What can be done with bans.
#[derive(Debug, Subcommand)]
pub enum BanVerb {
    /// List who has to wait at the moment, the longest wait first
    List,
    /// End a wait; of a user whose token was disabled too, `postern user unlock` ends everything
    Lift {
        /// The id that `postern ban list` shows
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        id: String,
    },
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
        /// on: a one-time password is demanded; off: none is, secrets of apps are wiped, hardware tokens become
        /// available, recovery codes are void; asks first
        #[arg(long)]
        otp: Switch,
        /// How the user enrols at the next login [default: as configured]
        #[arg(long, value_enum, value_name = "WAY")]
        with: Option<Way>,
    },
    /// Clear the counts of wrong codes, and enable the tokens that they had disabled
    Unlock {
        /// The Unix account
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        name: String,
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

/// How a user without a token gets one at the login prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Way {
    /// A QR code for an authenticator app
    App,
    /// The serial number and a code of a token that he was handed
    Token,
}

/// What can be done with recovery codes.
#[derive(Debug, Subcommand)]
pub enum RecoveryVerb {
    /// Say how many are left
    Status(Whose),
    /// Make ten new ones and print them; the old ones become void; asks first
    ///
    /// They are told once. A user who does this for himself is asked for a code of one of his tokens.
    Regenerate(Whose),
}

/// Whose recovery codes.
#[derive(Debug, Args)]
pub struct Whose {
    /// The Unix account [default: your own]
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub user: Option<String>,
}

/// What can be done with the store.
#[derive(Debug, Subcommand)]
pub enum StoreVerb {
    /// Say that you have dealt with a store that ended early or was not closed: status stops telling of it, and
    /// recovery codes that wait work again
    Settle,
}

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

    /// Every argument of every verb.
    fn arguments(command: &clap::Command) -> Vec<clap::Arg> {
        let below = command.get_subcommands().flat_map(arguments);
        command.get_arguments().cloned().chain(below).collect()
    }

    /// covers: I12
    #[test]
    fn no_flag_takes_a_secret() {
        let path = clap::value_parser!(PathBuf).type_id();
        let mut files = Vec::new();
        // A switch takes nothing, and what a host is called at its prompt opens nothing.
        let all = arguments(&Cli::command());
        let is_told =
            |argument: &clap::Arg| argument.get_action().takes_values() && argument.get_id() != "host_code";
        for argument in all.into_iter().filter(is_told) {
            let name = argument.get_id().as_str();
            let is_file = name.ends_with("_file") && argument.get_value_parser().type_id() == path;
            let words = ["secret", "password", "passphrase", "code", "pin", "key", "proof"];
            if let Some(word) = words.iter().find(|word| name.contains(**word)) {
                assert!(is_file, "{name} is named after a {word}, and takes more than the name of a file");
                files.push(name.to_owned());
            }
        }
        files.sort();
        assert_eq!(files, ["key_file", "passphrase_file", "secret_file"]);
    }

    #[test]
    fn no_time_at_all_is_no_timeout() {
        for (text, is_right) in [("0s", false), ("0ms", false), ("soon", false), ("1ms", true)] {
            let line = ["postern", "status", "--timeout", text];
            assert_eq!(Cli::try_parse_from(line).is_ok(), is_right, "{text}");
        }
    }
}
