//! `postern token`: its verbs and their flags.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand, ValueEnum};
use wire::admin::{TokenState, TokenType};

/// What can be done with tokens.
#[derive(Debug, Subcommand)]
pub enum TokenVerb {
    /// List tokens, by serial number
    List(TokenFilter),
    /// Show one token
    Show(Serial),
    /// Import tokens from a PSKC (RFC 6030) or CSV file: all of them, or none
    ///
    /// The file is checked first, here and by verifierd. Every faulty row is named by its line and the reason, and
    /// then nothing is imported. `--timeout` bounds each request to verifierd, not the whole import.
    Import(ImportOrder),
    /// Print a file as `import` reads it, to be filled in
    ExportTemplate {
        /// The format of the file
        #[arg(long, value_enum, default_value = "csv")]
        format: FileFormat,
    },
    /// Add one token
    ///
    /// Without a secret: a new one for the authenticator app of `--user`, who sees it as a QR code at the next login.
    /// With `--secret-file`: a hardware token, which is available, or assigned to `--user`.
    Add(AddOrder),
    /// Give an available token to a user, whom the next login asks for a code of it
    Assign(Holder),
    /// Give a token to a user who holds it, as a code of it proves; asks for the code
    ///
    /// The code is typed at the terminal and not shown, or is a line of stdin. A token that is far out of step takes
    /// its next code too: a second question, or a second line.
    Associate(Holder),
    /// Find the counter or the clock's drift again from two successive codes; asks for them
    ///
    /// The codes are typed at the terminal and not shown, or are two lines of stdin.
    Resync(Serial),
    /// Say whether a code of a token is right; asks for it, and uses it up; exit 8 when it is wrong
    ///
    /// The code is typed at the terminal and not shown, or is a line of stdin.
    Test(Serial),
    /// Take a token from its user; asks first
    ///
    /// A hardware token becomes available; one of an authenticator app is gone with its secret. A user who takes away a
    /// token of his own is asked for a code, and keeps his last one.
    Disassociate(Serial),
    /// Disable a token until it is enabled again; asks first
    Disable(Serial),
    /// Disable a token because its user does not have it any more; asks first
    Lost(Serial),
    /// Enable a token that was disabled or lost
    Enable(Serial),
    /// Remove a token that nobody has and of which no code was ever accepted, with its secret; asks first
    ///
    /// For a wrong import or a mistyped serial number. Every other token stays, and the command ends with 6.
    Remove(Serial),
}

/// One token.
#[derive(Debug, Args)]
pub struct Serial {
    /// Its serial number
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub serial: String,
}

/// Which tokens are listed.
#[derive(Debug, Args)]
pub struct TokenFilter {
    /// Only tokens in this state
    #[arg(long, value_enum)]
    pub state: Option<State>,
    /// Only tokens of this user
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub user: Option<String>,
}

/// Where a token is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum State {
    /// Belongs to nobody
    Available,
    /// Belongs to a user who has not shown a code of it
    Assigned,
    /// A code of it was accepted
    Associated,
    /// Not accepted until it is enabled again
    Disabled,
    /// The same, because its user does not have it any more
    Lost,
}

impl From<State> for TokenState {
    fn from(state: State) -> Self {
        match state {
            State::Available => Self::Available,
            State::Assigned => Self::Assigned,
            State::Associated => Self::Associated,
            State::Disabled => Self::Disabled,
            State::Lost => Self::Lost,
        }
    }
}

/// What is imported, and how.
#[derive(Clone, Debug, Args)]
pub struct ImportOrder {
    /// The file, at most 512 MiB; `-` is stdin
    pub file: PathBuf,
    /// The format of the file [default: pskc when it begins as XML does, else csv]
    #[arg(long, value_enum)]
    pub format: Option<FileFormat>,
    /// The pre-shared key of an encrypted PSKC file: a file with 32 hexadecimal digits, readable by its owner alone
    #[arg(long, value_name = "FILE", conflicts_with = "passphrase_file")]
    pub key_file: Option<PathBuf>,
    /// The passphrase of an encrypted PSKC file: a file with one line, readable by its owner alone
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
    /// What every serial number looks like: `#` a digit, `@` a capital letter, the rest itself; or `any`
    /// [default: 13 digits]
    #[arg(long, value_name = "FORMAT", value_parser = NonEmptyStringValueParser::new())]
    pub serial_format: Option<String>,
    /// Check everything and import nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Write every fault to this file as CSV: row, serial, reason; never a secret
    #[arg(long, value_name = "FILE")]
    pub reject_file: Option<PathBuf>,
}

/// The formats of files with tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FileFormat {
    /// Portable Symmetric Key Container, RFC 6030
    Pskc,
    /// One token a line: serial, secret, type, digits, period or counter
    Csv,
}

/// The token to be added.
#[derive(Debug, Args)]
pub struct AddOrder {
    /// The user it is for; needed where no secret is given
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub user: Option<String>,
    /// Its serial number [default: a new one]
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    pub serial: Option<String>,
    /// What its codes follow: the time (TOTP) or a counter of presses (HOTP)
    #[arg(long = "type", value_enum, value_name = "TYPE", default_value = "totp")]
    pub token_type: Type,
    /// The hash function [default: SHA1]
    #[arg(long, value_enum, ignore_case = true)]
    pub algorithm: Option<Algorithm>,
    /// How many digits a code has: 6, 7 or 8 [default: 6]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u8).range(6..=8))]
    pub digits: Option<u8>,
    /// For TOTP: how many seconds a code stands [default: 30]
    #[arg(long, value_name = "SECONDS",
        value_parser = clap::value_parser!(u32).range(1..))]
    pub period: Option<u32>,
    /// For HOTP: the counter of the next press [default: 0]
    #[arg(long, value_name = "NUMBER")]
    pub counter: Option<u64>,
    /// A file with the secret, one line of base 32 or hexadecimal, readable by its owner alone; `-` is stdin
    #[arg(long, value_name = "FILE")]
    pub secret_file: Option<PathBuf>,
}

/// What a token's codes follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Type {
    /// The time (RFC 6238)
    Totp,
    /// A counter of presses (RFC 4226)
    Hotp,
}

impl From<Type> for TokenType {
    fn from(token_type: Type) -> Self {
        match token_type {
            Type::Totp => Self::Totp,
            Type::Hotp => Self::Hotp,
        }
    }
}

/// The hash functions, in the words of the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Algorithm {
    /// SHA-1
    #[value(name = "SHA1")]
    Sha1,
    /// SHA-256
    #[value(name = "SHA256")]
    Sha256,
    /// SHA-512
    #[value(name = "SHA512")]
    Sha512,
}

impl Algorithm {
    /// As it is said to verifierd.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
            Self::Sha512 => "SHA512",
        }
    }
}

/// A token and the user who is to have it.
#[derive(Debug, Args)]
pub struct Holder {
    /// Its serial number
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub serial: String,
    /// The Unix account
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub user: String,
}
