//! `postern offline`: its verbs and their flags.

use clap::builder::NonEmptyStringValueParser;
use clap::{ArgGroup, Args, Subcommand};

/// What can be done with passwords that a host checks alone.
#[derive(Debug, Subcommand)]
pub enum OfflineVerb {
    /// Make a password for a host that reaches no verifier; it is told once
    Issue(Box<OfflineOrder>),
    /// List the passwords that were made, and what became of each
    List {
        /// Only those of this host: its name, or the code at its prompt
        #[arg(long, value_name = "HOST", value_parser = NonEmptyStringValueParser::new())]
        host: Option<String>,
    },
    /// Show one, without the password
    Show(OfflineId),
    /// Have one open nothing: at once here, at its host as soon as it reaches a verifier
    Revoke(OfflineId),
    /// The password of an hour for every user and host: two administrators turn it on, and two release it
    #[command(subcommand)]
    Universal(UniversalVerb),
}

/// What can be done with the password for every host.
#[derive(Debug, Subcommand)]
pub enum UniversalVerb {
    /// Show whether it is on, and what waits for a second administrator
    Show,
    /// Turn it on, or say so as the second administrator
    Enable(UniversalReason),
    /// Release the password of this hour, or say so as the second administrator, who is told it
    Release(UniversalReason),
    /// Turn it off, at each host as soon as it reaches a verifier, or say so as the second administrator
    Disable(UniversalReason),
}

/// Why.
#[derive(Debug, Args)]
pub struct UniversalReason {
    /// Why; kept for the audit trail
    #[arg(long, value_name = "TEXT")]
    pub why: Option<String>,
}

/// A password that is wanted.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("at").args(["host", "host_code"])))]
#[command(group(ArgGroup::new("whom").required(true).multiple(true).args(["host", "host_code", "user"])))]
#[command(group(ArgGroup::new("what").required(true).args(["service", "all_services", "file_transfer", "lockout_reset"])))]
pub struct OfflineOrder {
    /// The host, by its name [default, with --user: a password for each host that has joined, or of --group]
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub host: Option<String>,
    /// The host, by the code at its prompt
    #[arg(long, value_name = "CODE", value_parser = NonEmptyStringValueParser::new())]
    pub host_code: Option<String>,
    /// Without a host: one for each host of this group
    #[arg(long, value_name = "GROUP", conflicts_with = "at", requires = "user")]
    pub group: Option<String>,
    /// The one Unix account that it is for [default: every one]
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub user: Option<String>,
    /// For logins of this PAM service, such as sshd
    #[arg(long, value_name = "SERVICE", value_parser = NonEmptyStringValueParser::new())]
    pub service: Option<String>,
    /// For logins of every service
    #[arg(long)]
    pub all_services: bool,
    /// For services that only move files
    #[arg(long)]
    pub file_transfer: bool,
    /// For nothing but to end a wait after wrong tries
    #[arg(long)]
    pub lockout_reset: bool,
    /// How long it lets in, from its use on, which has to be today at the host: 15m, 30m, 1h, 2h, 4h, 8h, 1d, 2d, 5d, 14d
    /// or 30d
    #[arg(long = "for", value_name = "TIME", conflicts_with_all = ["from", "until"])]
    pub valid_for: Option<String>,
    /// When it begins to count, such as 2026-11-23T16:00 [default: now]
    #[arg(long, value_name = "MOMENT", requires = "until")]
    pub from: Option<String>,
    /// When it ends, and what it gave with it
    #[arg(long, value_name = "MOMENT")]
    pub until: Option<String>,
    /// By whose clocks these are meant: host, server, or a time zone such as Europe/Vienna
    #[arg(long, value_name = "ZONE", default_value = "host")]
    pub tz: String,
    /// Why; kept for the audit trail
    #[arg(long, value_name = "TEXT")]
    pub why: Option<String>,
    /// Mail it to this address; it is not printed then
    #[arg(long, value_name = "ADDRESS", value_parser = NonEmptyStringValueParser::new(), conflicts_with = "print")]
    pub mail: Option<String>,
    /// Print it here, once: the default
    #[arg(long)]
    pub print: bool,
}

/// Which password.
#[derive(Debug, Args)]
pub struct OfflineId {
    /// Its id, as `postern offline list` has it, such as 1-17@web1
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub id: String,
}
