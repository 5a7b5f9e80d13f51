//! Destructive verbs: asked on a terminal, `--yes` elsewhere.

use rexpect::session::{PtySession, spawn_command};

use crate::fake::{Fake, PATIENCE};
use crate::forms::{alice, token};

const TURN_OFF: &[&str] = &["user", "set", "alice", "--otp", "off"];
const DISABLE: &[&str] = &["token", "disable", "PT1"];

#[test]
fn without_a_terminal_nothing_is_destroyed_unless_yes_is_said() {
    let table = [(TURN_OFF, alice(), "`user set --otp off`"), (DISABLE, token(), "`token disable`")];
    for (words, body, verb) in table {
        let fake = Fake::saying(200, &body.to_string());
        let refused = fake.run(words);
        assert_eq!(refused.exit, 2);
        assert_eq!(refused.stderr, format!("postern: {verb} needs --yes where it cannot ask\n"));
        assert_eq!(fake.lines(), [""; 0], "nothing was asked of the daemon");
        assert_eq!(fake.run(&[words, &["--yes"]].concat()).exit, 0);
        assert_eq!(fake.lines().len(), 1);
    }
}

#[test]
fn on_a_terminal_yes_goes_ahead() {
    let fake = Fake::saying(200, &token().to_string());
    let mut terminal = on_a_terminal(&fake, DISABLE);
    terminal.exp_string("Disable token PT1 for ever? [y/N] ").expect("the question");
    terminal.send_line("y").expect("typed");
    terminal.exp_string("token PT1 of alice is disabled").expect("the result");
    assert_eq!(exit(&terminal), 0);
    assert_eq!(fake.next().line, "POST /v1/tokens/PT1/disable");
}

#[test]
fn on_a_terminal_anything_but_yes_changes_nothing() {
    for answer in ["", "n", "no", "yesterday"] {
        let fake = Fake::saying(200, &alice().to_string());
        let mut terminal = on_a_terminal(&fake, TURN_OFF);
        terminal.exp_string("of alice and wipe the secret? [y/N] ").expect("the question");
        terminal.send_line(answer).expect("typed");
        terminal.exp_string("not confirmed; nothing was changed").expect("the result");
        assert_eq!(exit(&terminal), 1, "{answer:?}");
        assert_eq!(fake.lines(), [""; 0], "nothing was asked of the daemon");
    }
}

#[test]
fn no_input_does_not_ask_on_a_terminal_either() {
    let fake = Fake::saying(200, &alice().to_string());
    let mut terminal = on_a_terminal(&fake, &[TURN_OFF, &["--no-input"]].concat());
    terminal.exp_string("needs --yes").expect("the refusal");
    assert_eq!(exit(&terminal), 2);
}

/// Runs `postern` on a terminal of its own.
pub fn on_a_terminal(fake: &Fake, words: &[&str]) -> PtySession {
    let patience = u64::try_from(PATIENCE.as_millis()).ok();
    let mut command = fake.command(words);
    // The pseudo-terminal becomes its stdin, stdout and stderr.
    command.stdin(std::process::Stdio::inherit());
    spawn_command(command, patience).expect("a terminal")
}

/// The exit code. rexpect does not export the type it comes in, so it is taken from its `Exited(Pid(7), 0)`.
fn exit(terminal: &PtySession) -> i32 {
    let ended = format!("{:?}", terminal.process().wait().expect("it ends"));
    let code = ended.strip_suffix(')').and_then(|text| text.rsplit(", ").next()?.parse().ok());
    code.unwrap_or_else(|| panic!("ended by {ended}"))
}
