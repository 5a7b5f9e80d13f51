//! Destructive verbs: asked on a terminal, `--yes` elsewhere.

use rexpect::session::{PtySession, spawn_command};
use serde_json::json;

use crate::fake::{Fake, PATIENCE, by_line};
use crate::forms::{alice, token};
use crate::recovery::recovery_codes;
use crate::tokens::taken;

const TURN_OFF: &[&str] = &["user", "set", "alice", "--otp", "off"];
const DISABLE: &[&str] = &["token", "disable", "PT1"];

/// Every verb that destroys something, an answer to each, and what the command calls it.
fn destructive() -> Vec<(&'static [&'static str], Fake, &'static str)> {
    let own = || ("GET /v1/self", 200, json!({"name": "root", "role": "super"}));
    vec![
        (TURN_OFF, Fake::saying(200, &alice().to_string()), "`user set --otp off`"),
        (DISABLE, Fake::saying(200, &token().to_string()), "`token disable`"),
        (&["token", "lost", "PT1"], Fake::saying(200, &token().to_string()), "`token lost`"),
        (&["token", "remove", "PT1"], Fake::saying(200, &token().to_string()), "`token remove`"),
        (
            &["token", "disassociate", "PT1"],
            by_line(&[own(), ("POST /v1/tokens/PT1/disassociate", 200, taken())]),
            "`token disassociate`",
        ),
        (
            &["recovery", "regenerate", "alice"],
            by_line(&[own(), ("POST /v1/users/alice/recovery", 200, recovery_codes())]),
            "`recovery regenerate`",
        ),
    ]
}

#[test]
fn without_a_terminal_nothing_is_destroyed_unless_yes_is_said() {
    for (words, fake, verb) in destructive() {
        let refused = fake.run(words);
        assert_eq!(refused.exit, 2);
        assert_eq!(refused.stderr, format!("postern: {verb} needs --yes where it cannot ask\n"));
        assert_eq!(fake.lines(), [""; 0], "nothing was asked of the daemon");
        let done = fake.run(&[words, &["--yes"]].concat());
        assert_eq!(done.exit, 0, "{}", done.stderr);
        assert!(!fake.lines().is_empty());
    }
}

#[test]
fn on_a_terminal_yes_goes_ahead() {
    let fake = Fake::saying(200, &token().to_string());
    let mut terminal = on_a_terminal(&fake, DISABLE);
    terminal.exp_string("Accept no code of token PT1 any more? [y/N] ").expect("the question");
    terminal.send_line("y").expect("typed");
    terminal.exp_string("token PT1 of alice is disabled").expect("the result");
    assert_eq!(exit(&terminal), 0);
    assert_eq!(fake.next().line, "POST /v1/tokens/PT1/disable");
}

/// A daemon that knows alice and her only token.
fn daemon_of(role: &'static str) -> Fake {
    by_line(&[
        ("GET /v1/self", 200, json!({"name": "alice", "role": role, "user": alice()})),
        ("GET /v1/tokens/PT1", 200, token()),
        ("POST /v1/tokens/PT1/disassociate", 200, taken()),
    ])
}

#[test]
fn taking_a_token_away_is_asked_with_what_follows() {
    let fake = daemon_of("super");
    let mut terminal = on_a_terminal(&fake, &["token", "disassociate", "PT1"]);
    let question = "Take token PT1 from alice? It is the last token of alice: no one-time password is demanded any \
                    more, and 9 recovery codes are void. It becomes available; if it is an app's, it is gone and \
                    its secret is wiped. [y/N] ";
    terminal.exp_string(question).expect("the question");
    terminal.send_line("n").expect("typed");
    terminal.exp_string("not confirmed; nothing was changed").expect("the result");
    assert_eq!(exit(&terminal), 1);
    assert_eq!(fake.lines(), ["GET /v1/self", "GET /v1/tokens/PT1"]);
}

#[test]
fn taking_a_token_of_ones_own_away_asks_first_and_then_for_the_code() {
    let fake = daemon_of("helpdesk");
    let mut terminal = on_a_terminal(&fake, &["token", "disassociate", "PT1"]);
    terminal.exp_string("Take token PT1 from alice?").expect("the question");
    terminal.exp_string("[y/N] ").expect("the question");
    terminal.send_line("y").expect("typed");
    terminal.exp_string("Your one-time password: ").expect("the code");
    terminal.send_line("123456").expect("typed");
    terminal.exp_string("token PT1 is gone with its secret").expect("the result");
    assert_eq!(exit(&terminal), 0);
}

#[test]
fn another_users_token_is_asked_about_with_what_that_user_has() {
    let fake = by_line(&[
        ("GET /v1/self", 200, json!({"name": "ann", "role": "admin"})),
        ("GET /v1/tokens/PT1", 200, token()),
        ("GET /v1/users/alice", 200, alice()),
    ]);
    let mut terminal = on_a_terminal(&fake, &["token", "disassociate", "PT1"]);
    terminal.exp_string("It is the last token of alice").expect("the question");
    terminal.exp_string("[y/N] ").expect("the question");
    terminal.send_control('c').expect("typed");
    terminal.exp_string("interrupted").expect("the result");
    assert_eq!(exit(&terminal), 130);
}

#[test]
fn removing_a_token_is_asked_with_what_follows() {
    let fake = Fake::saying(200, &token().to_string());
    let mut terminal = on_a_terminal(&fake, &["token", "remove", "PT1"]);
    let question = "Remove token PT1 with its secret? Nothing of it is left. [y/N] ";
    terminal.exp_string(question).expect("the question");
    terminal.send_line("y").expect("typed");
    terminal.exp_string("token PT1 is removed with its secret").expect("the result");
    assert_eq!(exit(&terminal), 0);
    assert_eq!(fake.next().line, "DELETE /v1/tokens/PT1");
}

#[test]
fn on_a_terminal_anything_but_yes_changes_nothing() {
    for answer in ["", "n", "no", "yesterday"] {
        let fake = Fake::saying(200, &alice().to_string());
        let mut terminal = on_a_terminal(&fake, TURN_OFF);
        terminal.exp_string("of alice, wipe the secrets").expect("the question");
        terminal.exp_string("? [y/N] ").expect("the question");
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
pub fn exit(terminal: &PtySession) -> i32 {
    let ended = format!("{:?}", terminal.process().wait().expect("it ends"));
    let code = ended.strip_suffix(')').and_then(|text| text.rsplit(", ").next()?.parse().ok());
    code.unwrap_or_else(|| panic!("ended by {ended}"))
}
