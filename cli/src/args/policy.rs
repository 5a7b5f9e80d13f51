//! `postern policy` and `postern rollout`: the command line.

use std::time::SystemTime;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};

/// What can be asked of policy.
#[derive(Debug, Subcommand)]
pub enum PolicyVerb {
    /// Show what holds at a host, each value with whoever says it, and the access rules that may decide there
    Show(PolicyWish),
    /// Say what a login would meet, and which access rule decides; nothing is tried
    Try(Attempt),
}

/// Of which policy.
#[derive(Debug, Args)]
pub struct PolicyWish {
    /// The host [default: the verifier's own machine]
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub host: Option<String>,
    /// Only rules that may decide for this user
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub user: Option<String>,
    /// Only rules that may decide for this PAM service
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub service: Option<String>,
}

/// Which login.
#[derive(Debug, Args)]
pub struct Attempt {
    /// The Unix account; one that Postern does not know will do
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub user: String,
    /// The host [default: the verifier's own machine]
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub host: Option<String>,
    /// The PAM service
    #[arg(long, value_name = "NAME", default_value = "sshd", value_parser = NonEmptyStringValueParser::new())]
    pub service: String,
    /// Where from: an address, or what else the host would say [default: from the host itself]
    #[arg(long, value_name = "ADDRESS", value_parser = NonEmptyStringValueParser::new())]
    pub from: Option<String>,
    /// When, such as 2026-12-01T09:00:00Z [default: now]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_rfc3339)]
    pub at: Option<SystemTime>,
}

/// What can be asked of the roll-out.
#[derive(Debug, Subcommand)]
pub enum RolloutVerb {
    /// Say how far it is: who has a token, who would be refused, and how many days are left
    Status,
}
