//! `postern request`: its verbs and their flags.

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};

/// What can be done with requests for passwords.
#[derive(Debug, Subcommand)]
pub enum RequestVerb {
    /// List requests: yours and those you decide about; administrators see all
    List(RequestFilter),
    /// Show one request
    Show(RequestName),
    /// Approve a request: its password goes to whoever asked, or is shown to you to be told
    Approve(Approval),
    /// Deny a request
    Deny(RequestName),
    /// Take a request back, or its password as long as it was not used
    Cancel(RequestName),
}

/// Which requests are wanted.
#[derive(Debug, Args)]
pub struct RequestFilter {
    /// Only those that wait for your decision
    #[arg(long)]
    pub mine: bool,
    /// Only those that wait for a decision, or for their password to be used
    #[arg(long)]
    pub open: bool,
}

/// Which request.
#[derive(Debug, Args)]
pub struct RequestName {
    /// Its id, as the mail and `postern request list` have it
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub id: String,
}

/// An approval.
#[derive(Debug, Args)]
pub struct Approval {
    #[command(flatten)]
    pub which: RequestName,
    /// The number that stands at the requester's prompt: ask him for it, by a way that you trust
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(10..=99))]
    pub number: u16,
}
