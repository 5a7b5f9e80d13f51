//! `postern session`: its verb and its flags.

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};

/// What can be asked of sessions.
#[derive(Debug, Subcommand)]
pub enum SessionVerb {
    /// List the sessions that are open: who is in, where, since when, and by which login; users see their own
    List(SessionFilter),
}

/// Which sessions.
#[derive(Debug, Args)]
pub struct SessionFilter {
    /// Only those of this Unix account
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub user: Option<String>,
    /// Only those at this host of the fleet; `-` for this machine
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new(), allow_hyphen_values = true)]
    pub host: Option<String>,
}
