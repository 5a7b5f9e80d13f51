//! `postern host`: its verbs and their flags.

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};

/// What can be done with hosts of the fleet.
#[derive(Debug, Subcommand)]
pub enum HostVerb {
    /// Let a host join: prints a secret that works once, within 15 minutes, and what to run there
    Enrol(EnrolOrder),
    /// List the hosts, those that were revoked too
    List,
    /// Show one host
    Show(HostName),
    /// Refuse a host at once and for ever; its name is never used again; asks first
    Revoke(HostName),
    /// Give a host another name; nobody else gets its old one
    Rename {
        /// Its name
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        name: String,
        /// Its new name: lower-case letters, digits and `-`, in parts that `.` separates
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        to: String,
    },
    /// Put a host into a group, whose policy holds for it
    Group {
        /// Its name
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        name: String,
        /// The group
        #[arg(value_parser = NonEmptyStringValueParser::new(), required_unless_present = "none")]
        group: Option<String>,
        /// Take it out of its group
        #[arg(long, conflicts_with = "group")]
        none: bool,
    },
}

/// Which host is to join.
#[derive(Debug, Args)]
pub struct EnrolOrder {
    /// Its name: lower-case letters, digits and `-`, in parts that `.` separates
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub name: String,
    /// Its group [default: the one it is in, if any]
    #[arg(long, value_name = "GROUP", value_parser = NonEmptyStringValueParser::new())]
    pub group: Option<String>,
    /// Also one that has joined already: it was installed anew, or lost its certificate
    #[arg(long)]
    pub again: bool,
}

/// Which host.
#[derive(Debug, Args)]
pub struct HostName {
    /// Its name
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub name: String,
}
