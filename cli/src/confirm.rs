//! Asks before something is done that cannot be undone.

use std::io::{self, BufRead, IsTerminal, Write};

use crate::args::{
    Asking, Globals, HostName, HostVerb, PersonKeysVerb, PersonLogin, PersonVerb, RecoveryVerb, Serial,
    StoreVerb, Switch, TokenVerb, UserVerb,
};
use crate::failure::Failure;
use crate::output::escape::escaped;
use crate::verbs::Session;

/// Returns when the command may go ahead: it destroys nothing, `--yes` was given, or the person said yes.
///
/// Where the question needs what only `verifierd` knows, it is asked later ([`consent`]); here that only has to be
/// possible.
///
/// # Errors
/// [`Failure::NeedsYes`] where nobody can be asked; [`Failure::NotConfirmed`] on any answer but yes.
pub fn before(asking: &Asking, globals: &Globals) -> Result<(), Failure> {
    let Some((verb, when)) = question(asking) else { return Ok(()) };
    if globals.yes {
        return Ok(());
    }
    if globals.no_input || !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Failure::NeedsYes { verb });
    }
    match when {
        When::Later => Ok(()),
        When::Now(question) => ask(&question),
    }
}

/// When a destructive verb asks.
enum When {
    /// Before anything else.
    Now(String),
    /// When it knows what it will do.
    Later,
}

/// The name of a destructive verb and what to ask before it; nothing for the others.
fn question(asking: &Asking) -> Option<(&'static str, When)> {
    let (verb, question) = match asking {
        Asking::User(UserVerb::Set { name, otp: Switch::Off, .. }) => (
            "`user set --otp off`",
            format!(
                "Demand no one-time password of {}, wipe the secrets of apps and void the recovery codes?",
                escaped(name)
            ),
        ),
        Asking::Token(verb) => return token_question(verb),
        Asking::Recovery(RecoveryVerb::Regenerate(whose)) => {
            let whose = whose.user.as_deref().map_or("yourself".to_owned(), escaped);
            ("`recovery regenerate`", format!("Make recovery codes for {whose}, and void the old ones?"))
        }
        Asking::Host(HostVerb::Revoke(HostName { name })) => {
            let question = format!(
                "Refuse host {} at once and for ever? Nobody logs in there with Postern until it has another name.",
                escaped(name)
            );
            ("`host revoke`", question)
        }
        Asking::Person(verb) => return person_question(verb),
        Asking::Store(StoreVerb::Settle) => (
            "`store settle`",
            "Have you looked at what is missing in the store (`postern audit show`), and settle it?".into(),
        ),
        Asking::User(
            UserVerb::List
            | UserVerb::Show { .. }
            | UserVerb::Set { otp: Switch::On, .. }
            | UserVerb::Unlock { .. },
        )
        | Asking::Recovery(RecoveryVerb::Status(_))
        | Asking::Host(
            HostVerb::Enrol(_)
            | HostVerb::List
            | HostVerb::Show(_)
            | HostVerb::Rename { .. }
            | HostVerb::Group { .. },
        )
        | Asking::Explain { .. }
        | Asking::Audit(_)
        | Asking::Ban(_)
        | Asking::Session(_)
        | Asking::Offline(_)
        | Asking::Request(_)
        | Asking::Policy(_)
        | Asking::Rollout(_)
        | Asking::Whoami
        | Asking::Status => return None,
    };
    Some((verb, When::Now(question)))
}

/// The same of persons.
fn person_question(verb: &PersonVerb) -> Option<(&'static str, When)> {
    let (verb, question) = match verb {
        PersonVerb::Remove(PersonLogin { login }) => {
            let question = format!(
                "Remove person {} for ever? Whoever gets the login name later is another person.",
                escaped(login)
            );
            ("`person remove`", question)
        }
        PersonVerb::SecurityKeys(PersonKeysVerb::Remove(PersonLogin { login })) => {
            let question = format!("Remove all security keys of person {}?", escaped(login));
            ("`person security-keys remove`", question)
        }
        PersonVerb::List
        | PersonVerb::Show(_)
        | PersonVerb::Add(_)
        | PersonVerb::Set(_)
        | PersonVerb::Password(_)
        | PersonVerb::Share(_)
        | PersonVerb::Unshare(_)
        | PersonVerb::Key(_) => return None,
    };
    Some((verb, When::Now(question)))
}

/// The same of tokens.
fn token_question(verb: &TokenVerb) -> Option<(&'static str, When)> {
    let (verb, question) = match verb {
        TokenVerb::Import(order) => {
            return (!order.dry_run).then_some(("`token import` without --dry-run", When::Later));
        }
        TokenVerb::Disassociate(_) => return Some(("`token disassociate`", When::Later)),
        TokenVerb::Disable(Serial { serial }) => {
            ("`token disable`", format!("Accept no code of token {} any more?", escaped(serial)))
        }
        TokenVerb::Lost(Serial { serial }) => {
            ("`token lost`", format!("Mark token {} as lost and accept no code of it?", escaped(serial)))
        }
        TokenVerb::Remove(Serial { serial }) => {
            let question =
                format!("Remove token {} with its secret? Nothing of it is left.", escaped(serial));
            ("`token remove`", question)
        }
        TokenVerb::List(_)
        | TokenVerb::Show(_)
        | TokenVerb::ExportTemplate { .. }
        | TokenVerb::Add(_)
        | TokenVerb::Assign(_)
        | TokenVerb::Associate(_)
        | TokenVerb::Resync(_)
        | TokenVerb::Test(_)
        | TokenVerb::Enable(_) => return None,
    };
    Some((verb, When::Now(question)))
}

/// Asks whether to go on, unless `--yes` was given; in a thread, since Ctrl-C must reach us meanwhile. `question` is
/// escaped already.
///
/// # Errors
/// [`Failure::NotConfirmed`] on any answer but yes.
pub async fn consent(session: &Session, question: String) -> Result<(), Failure> {
    if session.yes {
        return Ok(());
    }
    let asked = tokio::task::spawn_blocking(move || ask(&question)).await;
    asked.unwrap_or_else(|error| Err(Failure::Runtime { source: error.into() }))
}

fn ask(question: &str) -> Result<(), Failure> {
    let fault = |source| Failure::ReadTerminal { source };
    // Not locked while we wait: an import that Ctrl-C ends has something to say meanwhile.
    let mut words = io::stderr();
    write!(words, "{question} [y/N] ").and_then(|()| words.flush()).map_err(fault)?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(fault)?;
    let is_yes = matches!(answer.trim(), "y" | "Y" | "yes" | "Yes" | "YES");
    is_yes.then_some(()).ok_or(Failure::NotConfirmed)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};

    fn check(line: &str, asks: bool) {
        let cli = Cli::try_parse_from(line.split_whitespace()).expect("a valid command line");
        let Command::Asking(asking) = cli.command else { panic!("{line} asks nothing of verifierd") };
        assert_eq!(question(&asking).is_some(), asks, "{line}");
    }

    #[test]
    fn only_destructive_verbs_ask() {
        check("postern user set alice --otp off", true);
        check("postern token disassociate T1", true);
        check("postern token disable T1", true);
        check("postern token lost T1", true);
        check("postern token remove T1", true);
        check("postern token import F", true);
        check("postern recovery regenerate", true);
        check("postern token import F --dry-run", false);
        check("postern token enable T1", false);
        check("postern token associate T1 --user alice", false);
        check("postern user set alice --otp on", false);
        check("postern user show alice", false);
        check("postern user unlock alice", false);
        check("postern recovery status", false);
        check("postern audit verify", false);
    }

    #[test]
    fn a_name_cannot_draw_on_the_terminal() {
        let nasty = "a\u{1b}[2J";
        for line in [
            ["postern", "token", "lost", nasty],
            ["postern", "token", "disable", nasty],
            ["postern", "token", "remove", nasty],
            ["postern", "recovery", "regenerate", nasty],
        ] {
            let Command::Asking(asking) = Cli::try_parse_from(line).expect("valid").command else {
                panic!("{line:?} asks nothing of verifierd")
            };
            let Some((_, When::Now(question))) = question(&asking) else { panic!("{line:?} asks nobody") };
            assert!(question.contains(r"a\x1b[2J"), "{question}");
        }
    }
}
