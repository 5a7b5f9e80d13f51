//! Codes: typed at the terminal without being shown, or lines of stdin; never arguments.

use std::time::Duration;

use serde_json::{Value, json};

use crate::asking::{exit, on_a_terminal};
use crate::fake::{Fake, Reply};
use crate::forms::token;
use crate::tokens::code_check;

/// Runs one verb with lines in its stdin; compares the request.
fn check(words: &[&str], input: &str, line: &str, body: &Value) {
    let fake = Fake::saying(200, &token().to_string());
    let ended = fake.run_with_input(words, input.as_bytes());
    assert_eq!(ended.exit, 0, "{words:?}: {}", ended.stderr);
    let asked = fake.next();
    let sent: Value = serde_json::from_str(&asked.body).expect("JSON");
    assert_eq!((asked.line.as_str(), &sent), (line, body), "{words:?}");
}

/// covers: I12
#[test]
fn codes_are_lines_of_stdin_where_that_is_no_terminal() {
    let associate = ["token", "associate", "PT1", "--user", "alice"];
    let line = "POST /v1/tokens/PT1/associate";
    check(&associate, "123456\n", line, &json!({"user": "alice", "code": "123456"}));
    let both = json!({"user": "alice", "code": "123456", "next_code": "654321"});
    check(&associate, "123456\n654321\n", line, &both);
    check(&associate, "123456\r\n654321", line, &both);
    let pair = json!({"code": "123456", "next_code": "654321"});
    check(&["token", "resync", "PT1"], "123456\n654321\n", "POST /v1/tokens/PT1/resync", &pair);
}

#[test]
fn a_line_that_is_missing_is_a_usage_error() {
    let table = [
        (&["token", "test", "PT1"][..], "", "the code"),
        (&["token", "test", "PT1"], "\n", "the code"),
        (&["token", "resync", "PT1"], "123456\n", "the next code"),
        (&["token", "associate", "PT1", "--user", "alice"], "", "the code"),
    ];
    for (words, input, what) in table {
        let fake = Fake::saying(200, &token().to_string());
        let ended = fake.run_with_input(words, input.as_bytes());
        let said = format!("postern: {what} is missing: it is a line of stdin\n");
        assert_eq!((ended.exit, ended.stderr), (2, said), "{words:?}");
        assert_eq!(fake.lines(), [""; 0], "nothing was asked of the daemon");
    }
}

#[test]
fn a_right_code_is_exit_0_and_a_wrong_one_8_with_the_reason() {
    let words = ["token", "test", "PT1"];
    let right = Fake::saying(200, &code_check(true).to_string()).run_with_input(&words, b"123456\n");
    assert_eq!((right.exit, right.stderr.as_str()), (0, ""));
    let table = "serial     PT1\nright      yes\nreason     accepted\ndetail     used 12 s ago\nreference  7K2M-9QXD\n";
    assert_eq!(right.stdout, table);
    let wrong = Fake::saying(200, &code_check(false).to_string()).run_with_input(&words, b"123456\n");
    let said = "postern: the code was not accepted: replayed, used 12 s ago\n";
    assert_eq!((wrong.exit, wrong.stderr.as_str()), (8, said));
    assert!(wrong.stdout.contains("right      no\n"));
}

/// covers: I12
#[test]
fn a_code_typed_at_the_terminal_is_not_shown() {
    let fake = Fake::saying(200, &code_check(true).to_string());
    let mut terminal = on_a_terminal(&fake, &["token", "test", "PT1"]);
    terminal.exp_string("Code of the token: ").expect("the question");
    terminal.send_line("9123456").expect("typed");
    let seen = terminal.exp_eof().expect("it ends");
    assert!(seen.contains("accepted") && !seen.contains("9123456"), "{seen:?}");
    assert_eq!(fake.next().body, r#"{"code":"9123456"}"#);
}

#[test]
fn an_empty_code_at_the_terminal_is_not_said_to_be_a_line_of_stdin() {
    let fake = Fake::saying(200, &code_check(true).to_string());
    let mut terminal = on_a_terminal(&fake, &["token", "test", "PT1"]);
    terminal.exp_string("Code of the token: ").expect("the question");
    terminal.send_line("").expect("typed");
    terminal.exp_string("postern: the code is missing: nothing was typed").expect("the reason");
    assert_eq!(exit(&terminal), 2);
    assert_eq!(fake.lines(), [""; 0]);
}

#[test]
fn ctrl_c_at_the_question_is_exit_130_and_asks_nothing() {
    let fake = Fake::saying(200, &token().to_string());
    let mut terminal = on_a_terminal(&fake, &["token", "resync", "PT1"]);
    terminal.exp_string("Code of the token: ").expect("the question");
    terminal.send_line("123456").expect("typed");
    terminal.exp_string("Its next code: ").expect("the question");
    terminal.send("12\u{3}").expect("typed");
    terminal.flush().expect("sent");
    terminal.exp_string("interrupted").expect("the result");
    assert_eq!(exit(&terminal), 130);
    assert_eq!(fake.lines(), [""; 0]);
}

#[test]
fn no_input_on_a_terminal_is_a_usage_error() {
    let fake = Fake::saying(200, &token().to_string());
    let mut terminal = on_a_terminal(&fake, &["token", "test", "PT1", "--no-input"]);
    terminal
        .exp_string("the code is asked for on the terminal, which --no-input forbids")
        .expect("the reason");
    assert_eq!(exit(&terminal), 2);
    assert_eq!(fake.lines(), [""; 0]);
}

/// Refuses until it has both codes.
fn out_of_step() -> Fake {
    Fake::hearing(|asked| match asked.body.contains("next_code") {
        true => Reply::Says(200, token().to_string()),
        false => {
            Reply::Says(422, json!({"error": {"code": "wrong_code", "message": "it is wrong"}}).to_string())
        }
    })
}

#[test]
fn a_token_out_of_step_is_associated_by_its_next_code() {
    let fake = out_of_step();
    let mut terminal = on_a_terminal(&fake, &["token", "associate", "PT1", "--user", "alice"]);
    terminal.exp_string("Code of the token: ").expect("the question");
    terminal.send_line("123456").expect("typed");
    terminal.exp_string("Its next code, where it is out of step (else Enter): ").expect("the question");
    terminal.send_line("654321").expect("typed");
    terminal.exp_string("token PT1 is alice's").expect("the result");
    assert_eq!(exit(&terminal), 0);
    assert_eq!(fake.next().body, r#"{"user":"alice","code":"123456"}"#);
    assert_eq!(fake.next().body, r#"{"user":"alice","code":"123456","next_code":"654321"}"#);
}

#[test]
fn a_wrong_code_without_a_next_one_is_exit_8() {
    let fake = out_of_step();
    let mut terminal = on_a_terminal(&fake, &["token", "associate", "PT1", "--user", "alice"]);
    terminal.exp_string("Code of the token: ").expect("the question");
    terminal.send_line("123456").expect("typed");
    terminal.exp_string("(else Enter): ").expect("the question");
    terminal.send_line("").expect("typed");
    terminal.exp_string("it is wrong").expect("the result");
    assert_eq!(exit(&terminal), 8);
    assert_eq!(fake.lines().len(), 1);
}

#[test]
fn a_throttled_code_is_exit_7() {
    let body = json!({"error": {"code": "throttled", "message": "try again in 60 s"}}).to_string();
    let ended = Fake::saying(429, &body).run_with_input(&["token", "test", "PT1"], b"123456\n");
    assert_eq!((ended.exit, ended.stderr.as_str()), (7, "postern: try again in 60 s\n"));
}

#[test]
fn the_time_that_typing_takes_is_nobodys_timeout() {
    let fake = Fake::saying(200, &code_check(true).to_string());
    let mut terminal = on_a_terminal(&fake, &["token", "test", "PT1", "--timeout", "2s"]);
    terminal.exp_string("Code of the token: ").expect("the question");
    assert!(fake.is_quiet_for(Duration::from_millis(2_200)), "nothing is asked before the code is there");
    terminal.send_line("123456").expect("typed");
    terminal.exp_string("accepted").expect("the result");
}
