//! Persons: what is asked, what is shown, and a password that is typed and never an argument.

use serde_json::{Value, json};

use crate::asking::{exit, on_a_terminal};
use crate::fake::Fake;
use crate::forms::list;

pub fn person() -> Value {
    json!({"api_version": 1, "kind": "person", "id": "0123456789ABCDEFGHJKMNPQRS", "login": "carol",
        "email": "carol@example.org", "name": "Carol Danvers", "origin": "internal",
        "accounts": ["carol", "deploy"], "role": "admin", "enabled": true, "has_password": true, "security_keys": 2,
        "created": "2026-11-01T08:00:00Z"})
}

const SHOWN: &str = "login          carol
id             0123456789ABCDEFGHJKMNPQRS
name           Carol Danvers
e-mail         carol@example.org
from           Postern's own records
accounts       carol, deploy
role           admin
let in         yes
password       yes
security keys  2
added          2026-11-01T08:00:00Z
";

fn check(words: &[&str], input: &str, asked: (&str, &Value)) {
    let fake = Fake::saying(200, &person().to_string());
    let ended = fake.run_with_input(words, input.as_bytes());
    assert_eq!((ended.exit, ended.stdout.as_str()), (0, SHOWN), "{words:?}: {}", ended.stderr);
    let heard = fake.next();
    let body = serde_json::from_str(&heard.body).unwrap_or(Value::Null);
    assert_eq!((heard.line.as_str(), &body), asked, "{words:?}");
}

#[test]
fn each_verb_asks_what_it_says() {
    let nothing = Value::Null;
    check(&["person", "show", "carol"], "", ("GET /v1/persons/carol", &nothing));
    let words = ["person", "add", "carol", "--email", "carol@example.org"];
    let plain = json!({"login": "carol", "email": "carol@example.org", "role": "user"});
    check(&words, "", ("POST /v1/persons", &plain));
    let more = [
        "--role",
        "admin",
        "--name",
        "Carol Danvers",
        "--account",
        "carol",
        "--account",
        "deploy",
        "--password",
    ];
    let full = json!({"login": "carol", "email": "carol@example.org", "role": "admin", "name": "Carol Danvers",
        "accounts": ["carol", "deploy"], "password": "correct horse battery"});
    check(&[&words[..], &more].concat(), "correct horse battery\n", ("POST /v1/persons", &full));
    let set = json!({"email": "c@example.org", "enabled": false});
    check(
        &["person", "set", "carol", "--email", "c@example.org", "--disable"],
        "",
        ("PUT /v1/persons/carol", &set),
    );
    let password = json!({"password": "correct horse battery"});
    let words = ["person", "password", "carol"];
    check(&words, "correct horse battery\n", ("PUT /v1/persons/carol/password", &password));
    let account = json!({"account": "deploy"});
    check(&["person", "share", "carol", "deploy"], "", ("POST /v1/persons/carol/share", &account));
    check(&["person", "unshare", "carol", "deploy"], "", ("POST /v1/persons/carol/unshare", &account));
    check(&["person", "remove", "carol", "--yes"], "", ("DELETE /v1/persons/carol", &nothing));
}

#[test]
fn a_list_has_a_row_for_each() {
    let ended = Fake::saying(200, &list("person_list", &[person()])).run(&["person", "list"]);
    assert_eq!(
        ended.stdout,
        "LOGIN  NAME           E-MAIL             ACCOUNTS       ROLE   LET IN  PASSWORD\n\
         carol  Carol Danvers  carol@example.org  carol, deploy  admin  yes     yes\n"
    );
}

#[test]
fn a_change_of_nothing_and_a_password_that_is_missing_are_usage_errors() {
    let fake = Fake::saying(200, &person().to_string());
    assert_eq!(fake.run(&["person", "set", "carol"]).exit, 2);
    assert_eq!(fake.run(&["person", "set", "carol", "--enable", "--disable"]).exit, 2);
    assert_eq!(fake.run_with_input(&["person", "password", "carol"], b"\n").exit, 2);
    assert!(fake.lines().is_empty());
}

/// covers: I09
#[test]
fn a_password_is_typed_twice_and_not_shown() {
    let fake = Fake::saying(200, &person().to_string());
    let mut terminal = on_a_terminal(&fake, &["person", "password", "carol"]);
    terminal.exp_string("New password (12 to 256 characters): ").expect("the question");
    terminal.send_line("correct horse battery").expect("typed");
    let between = terminal.exp_string("The same again: ").expect("the second question");
    assert!(!between.contains("horse"), "{between:?}");
    terminal.send_line("correct horse bakery").expect("typed");
    assert_eq!(exit(&terminal), 2);
    assert!(fake.lines().is_empty());
}
