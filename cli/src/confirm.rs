//! Asks before something is done that cannot be undone.

use std::io::{self, BufRead, IsTerminal, Write};

use crate::args::{Asking, Globals, StoreVerb, Switch, TokenVerb, UserVerb};
use crate::failure::Failure;
use crate::output::escape::escaped;

/// Returns when the command may go ahead: it destroys nothing, `--yes` was given, or the person said yes.
///
/// # Errors
/// [`Failure::NeedsYes`] where nobody can be asked; [`Failure::NotConfirmed`] on any answer but yes.
pub fn before(asking: &Asking, globals: &Globals) -> Result<(), Failure> {
    let Some((verb, question)) = question(asking) else { return Ok(()) };
    if globals.yes {
        return Ok(());
    }
    if globals.no_input || !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Failure::NeedsYes { verb });
    }
    if ask(&question)? { Ok(()) } else { Err(Failure::NotConfirmed) }
}

/// The name of a destructive verb and what to ask before it; nothing for the others.
fn question(asking: &Asking) -> Option<(&'static str, String)> {
    match asking {
        Asking::User(UserVerb::Set { name, otp: Switch::Off }) => Some((
            "`user set --otp off`",
            format!("Demand no one-time password of {} and wipe the secret?", escaped(name)),
        )),
        Asking::Token(TokenVerb::Disable { serial }) => {
            Some(("`token disable`", format!("Disable token {} for ever?", escaped(serial))))
        }
        Asking::Store(StoreVerb::Settle) => Some((
            "`store settle`",
            "Have you looked at what is missing in the store (`postern audit show`), and settle it?".into(),
        )),
        Asking::User(UserVerb::List | UserVerb::Show { .. } | UserVerb::Set { otp: Switch::On, .. })
        | Asking::Token(TokenVerb::List | TokenVerb::Show { .. })
        | Asking::Explain { .. }
        | Asking::Audit(_)
        | Asking::Status => None,
    }
}

fn ask(question: &str) -> Result<bool, Failure> {
    let fault = |source| Failure::ReadConfirmation { source };
    let mut words = io::stderr().lock();
    write!(words, "{question} [y/N] ").and_then(|()| words.flush()).map_err(fault)?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(fault)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes" | "Yes" | "YES"))
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
        check("postern token disable T1", true);
        check("postern user set alice --otp on", false);
        check("postern user show alice", false);
        check("postern audit verify", false);
    }

    #[test]
    fn a_name_cannot_draw_on_the_terminal() {
        let name = "a\u{1b}[2J".to_owned();
        let asking = Asking::User(UserVerb::Set { name, otp: Switch::Off });
        let (_, question) = question(&asking).expect("destructive");
        assert!(question.contains(r"a\x1b[2J"));
    }
}
