//! What people do again and again: enrol, log in, get refused.

use std::process::Command;

use wire::login::Verdict;

use crate::authenticator::{Authenticator, enrol};
use crate::fob::Fob;
use crate::login_socket::{Login, verdict};
use crate::machine::{Account, Machine};
use crate::postern;
use crate::sshd;
use crate::terminal::Terminal;
use crate::verifier::Verifier;

/// The question for a one-time password.
pub const QUESTION: &str = "One-time password: ";
/// The same while the user may do without.
pub const GRACE_QUESTION: &str = "One-time password (Enter to continue without): ";
/// Asks for the next code of a token that is out of step.
pub const NEXT_CODE_QUESTION: &str = "Your token is out of step; type its next code: ";
/// Said when two codes have brought it back.
pub const IN_STEP_AGAIN: &str = "Your token is in step again.";
/// Asks a user who has no token for the one he was handed.
pub const SERIAL_QUESTION: &str = "Serial number of your token: ";
/// Asks who has used up his recovery codes.
pub const NEW_SET_QUESTION: &str = "Make ten new ones now? [y/n]: ";
/// Asks who was shown new recovery codes.
pub const WRITTEN_DOWN_QUESTION: &str = "Write them down, then type yes to log in: ";
/// Ends a refusal under sshd.
pub const PRESS_ENTER: &str = "Press Enter to continue: ";
/// What the command of an ssh login says, so that a test sees that it ran.
pub const LOGGED_IN: &str = "logged in as ";
/// Says [`LOGGED_IN`] and who.
pub const SAY_WHO: &str = "echo \"logged in\" as $(id -un)";

/// How a login ended.
#[derive(Debug)]
pub enum Outcome {
    /// The command ran; all that the terminal showed.
    LoggedIn(String),
    /// It did not; all that the terminal showed.
    Refused(String),
}

impl Outcome {
    /// All that the terminal showed of a login.
    ///
    /// # Panics
    /// When it was refused.
    #[track_caller]
    pub fn logged_in(self) -> String {
        match self {
            Self::LoggedIn(shown) => shown,
            Self::Refused(shown) => panic!("refused instead of logged in:\n{shown}"),
        }
    }

    /// All that the terminal showed of a refusal.
    ///
    /// # Panics
    /// When the login succeeded.
    #[track_caller]
    pub fn refused(self) -> String {
        match self {
            Self::LoggedIn(shown) => panic!("logged in instead of refused:\n{shown}"),
            Self::Refused(shown) => shown,
        }
    }

    /// The reference that a refused user reads.
    ///
    /// # Panics
    /// When the login succeeded, or no reference was shown.
    #[track_caller]
    pub fn reference(self) -> String {
        reference_in(&self.refused())
    }
}

/// The reference in a text that ends a login.
///
/// # Panics
/// When there is none.
#[track_caller]
pub fn reference_in(shown: &str) -> String {
    let rest = shown.split("Reference ").nth(1).unwrap_or_else(|| panic!("no reference in {shown}"));
    rest.chars().take(9).collect()
}

/// A text without what differs in every refusal: two that are equal tell a guesser the same.
///
/// # Panics
/// When there is no reference.
#[track_caller]
pub fn without_reference(shown: &str) -> String {
    shown.replace(&reference_in(shown), "XXXX-XXXX")
}

/// Turns the demand on for a user and enrols his phone over the login socket.
///
/// Activates with the code before the present one, as a slow typist does, so that the present one is fresh.
pub fn activated(verifier: &Verifier, user: &str) -> Authenticator {
    postern::otp_on(user);
    verifier.leave_end_of_step();
    let begun = Login::by_ssh(user).begin().expect("the enrolment begins");
    let phone = enrol(&begun.reply.show.join("\n"));
    let reply = begun.answer(&phone.code(verifier.now() - 30)).expect("an answer");
    assert_eq!(verdict(&reply), Verdict::Allow, "{reply:?}");
    phone
}

/// Tells the daemon a hardware token and gives it to a user, who shows its next code. The demand is then on.
///
/// # Panics
/// When the daemon refuses.
#[track_caller]
pub fn associated(fob: &mut Fob, user: &str) {
    postern::add_token(fob, None);
    let code = fob.press();
    let output = postern::associate(&fob.serial, user, &code);
    assert!(output.status.success(), "{}", postern::said(&output));
}

/// Logs in by ssh with password and one-time password.
pub fn ssh_login(account: Account, code: &str) -> Outcome {
    ssh_dialogue(account, &[(QUESTION, code)])
}

/// Logs in by ssh with password and an empty answer while that is allowed.
pub fn ssh_login_without_code(account: Account) -> Outcome {
    ssh_dialogue(account, &[(GRACE_QUESTION, "")])
}

/// Logs in by ssh with password, and answers one question after the other.
pub fn ssh_dialogue(account: Account, answers: &[(&str, &str)]) -> Outcome {
    let mut terminal = sshd::login_up_to_password(account, SAY_WHO);
    answer_all(&mut terminal, answers);
    ssh_outcome(terminal)
}

/// Answers one question after the other.
///
/// # Panics
/// When one of them is not asked.
pub fn answer_all(terminal: &mut Terminal, answers: &[(&str, &str)]) {
    for (question, answer) in answers {
        terminal.expect(question);
        terminal.type_line(answer);
    }
}

/// Reads an ssh login to its end, and presses Enter where a refusal asks for it.
pub fn ssh_outcome(mut terminal: Terminal) -> Outcome {
    let (which, _) = terminal.expect_any(&[LOGGED_IN, PRESS_ENTER, "Permission denied", "Connection closed"]);
    if which == 1 {
        terminal.type_line("");
    }
    let ended = terminal.finish();
    let ran = ended.transcript.contains(LOGGED_IN);
    assert_eq!(ran, ended.status.success(), "{}", ended.transcript);
    if ran { Outcome::LoggedIn(ended.transcript) } else { Outcome::Refused(ended.transcript) }
}

/// `sudo id -un` as a user, up to the question for a one-time password.
pub fn sudo_up_to_code(machine: &Machine, account: Account) -> Terminal {
    let mut command = machine.as_user(account, "sudo");
    command.args(["id", "-un"]);
    let mut terminal = Terminal::start(command);
    terminal.expect(&format!("password for {}: ", account.name));
    terminal.type_line(account.password);
    terminal
}

/// `sudo id -un` with password and one-time password. A refused sudo asks anew; it is interrupted then.
pub fn sudo(machine: &Machine, account: Account, code: &str) -> Outcome {
    sudo_dialogue(machine, account, &[(QUESTION, code)])
}

/// `sudo id -un` with password, and one answer after the other.
pub fn sudo_dialogue(machine: &Machine, account: Account, answers: &[(&str, &str)]) -> Outcome {
    let mut terminal = sudo_up_to_code(machine, account);
    answer_all(&mut terminal, answers);
    let again = format!("password for {}: ", account.name);
    let (which, _) = terminal.expect_any(&["root\r\n", &again]);
    if which == 0 {
        return Outcome::LoggedIn(terminal.finish().transcript);
    }
    let (ended, _) = terminal.interrupt_until_end();
    assert!(!ended.status.success(), "{}", ended.transcript);
    Outcome::Refused(ended.transcript)
}

/// A console login up to the question for a one-time password.
pub fn console_up_to_code(account: Account) -> Terminal {
    let mut terminal = Terminal::start(Command::new("login"));
    terminal.expect("login: ");
    terminal.type_line(account.name);
    terminal.expect("Password: ");
    terminal.type_line(account.password);
    terminal
}

/// A console login with password and one-time password.
pub fn console(account: Account, code: &str) -> Outcome {
    console_dialogue(account, &[(QUESTION, code)])
}

/// A console login with password, and one answer after the other.
pub fn console_dialogue(account: Account, answers: &[(&str, &str)]) -> Outcome {
    let mut terminal = console_up_to_code(account);
    answer_all(&mut terminal, answers);
    let (which, _) = terminal.expect_any(&["$ ", "Login incorrect"]);
    if which == 0 {
        terminal.type_line(&format!("{SAY_WHO}; exit"));
        terminal.expect(&format!("{LOGGED_IN}{}", account.name));
        return Outcome::LoggedIn(terminal.finish().transcript);
    }
    Outcome::Refused(terminal.transcript_after(std::time::Duration::ZERO))
}
