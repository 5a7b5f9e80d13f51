//! The verbs. Each asks `verifierd`, and turns what it said into an [`Answer`]; one file for each noun.

pub mod audit;
mod ban;
pub mod explain;
mod host;
pub mod init;
mod key;
mod offline;
mod person;
mod policy;
mod proof;
mod recovery;
mod request;
mod session;
mod status;
mod store;
mod token;
mod user;
pub mod version;
mod whoami;

use std::time::SystemTime;

use crate::args::{Asking, Globals, TokenVerb};
use crate::client::{Client, Patience};
use crate::failure::Failure;
use crate::output::{Answer, Format};
use crate::typed::Typed;
use crate::{import, settings};

/// What a verb works with.
pub struct Session {
    /// The way to verifierd.
    pub client: Client,
    /// Where codes and passphrases come from.
    pub typed: Typed,
    /// The form of the output.
    pub format: Format,
    /// Whether words are left out.
    pub quiet: bool,
    /// Whether more is said than was asked for.
    pub verbose: bool,
    /// Whether a question counts as answered with yes.
    pub yes: bool,
    /// The time at which the command began.
    pub now: SystemTime,
}

/// Runs a verb that asks `verifierd`. Ctrl-C ends it as [`Failure::Interrupted`].
pub fn run(globals: &Globals, asking: Asking, now: SystemTime) -> Result<Answer, Failure> {
    if let Asking::Token(TokenVerb::ExportTemplate { format }) = asking {
        return import::template::run(format, globals.format());
    }
    let patience = match asking {
        Asking::Token(TokenVerb::Import(_)) => Patience::Each { limit: globals.timeout },
        _ => Patience::together(globals.timeout),
    };
    let session = Session {
        client: Client::new(settings::socket(globals, settings::Side::ours())?, globals.verbose, patience),
        typed: Typed::new(globals.no_input),
        format: globals.format(),
        quiet: globals.quiet,
        verbose: globals.verbose,
        yes: globals.yes,
        now,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| Failure::Runtime { source })?;
    let outcome = runtime.block_on(async {
        match asking {
            // It has to clear up after Ctrl-C, and sees to that itself.
            Asking::Token(TokenVerb::Import(order)) => import::run(&session, order).await,
            asking => until_interrupted(answer(&session, asking)).await,
        }
    });
    // A thread may still wait for a key.
    runtime.shutdown_background();
    outcome
}

/// Does something until it is done or Ctrl-C is pressed.
///
/// # Errors
/// [`Failure::Interrupted`], or its own.
pub async fn until_interrupted<T>(job: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::select! {
        outcome = job => outcome,
        _ = tokio::signal::ctrl_c() => Err(Failure::Interrupted),
    }
}

async fn answer(session: &Session, asking: Asking) -> Result<Answer, Failure> {
    let (client, format) = (&session.client, session.format);
    match asking {
        Asking::User(verb) => user::run(client, verb, format).await,
        Asking::Token(verb) => token::run(session, verb).await,
        Asking::Recovery(verb) => recovery::run(session, verb).await,
        Asking::Ban(verb) => ban::run(client, verb, format).await,
        Asking::Session(verb) => session::run(client, verb, format).await,
        Asking::Host(verb) => host::run(client, verb, format).await,
        Asking::Offline(verb) => offline::run(client, verb, format).await,
        Asking::Person(verb) => person::run(session, verb).await,
        Asking::Request(verb) => request::run(client, verb, format).await,
        Asking::Policy(verb) => policy::run(client, verb, format).await,
        Asking::Rollout(verb) => policy::run_rollout(client, &verb, format).await,
        Asking::Whoami => whoami::run(client, format).await,
        Asking::Explain { reference } => explain::run(client, &reference, format).await,
        Asking::Audit(verb) => audit::run(session, verb).await,
        Asking::Store(verb) => store::run(client, &verb, format).await,
        Asking::Status => status::run(client, format).await,
    }
}
