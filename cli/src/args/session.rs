//! `postern session`: its verb and its flags.

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};

/// What can be asked of sessions.
#[derive(Debug, Subcommand)]
pub enum SessionVerb {
    /// List the sessions that are open: who is in, where, since when, and by which login; users see their own
    List(SessionFilter),
    /// Say that a session of your own was begun by somebody else: goes on record, and whoever is told of events is told
    Report {
        /// Its id, as `postern session list --json` has it
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        id: String,
    },
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
