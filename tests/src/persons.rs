//! Persons, and what they do at a prompt that asks for an issued password.

use crate::login_socket::{Dialogue, Login};
use crate::postern;

/// The password of every person of the tests.
pub const PASSWORD: &str = "a password of twelve and more";

/// Adds a person who may use the account of his name, and reads mails at `NAME@example.org`.
///
/// # Panics
/// When he cannot be added.
#[track_caller]
pub fn add(name: &str) {
    let address = format!("{name}@example.org");
    postern::done_with_input(
        &["person", "add", name, "--email", &address, "--password"],
        &format!("{PASSWORD}\n"),
    );
}

/// Adds a person who may use the account of somebody else, and reads mails at `NAME@example.org`.
///
/// # Panics
/// When he cannot be added.
#[track_caller]
pub fn add_for(name: &str, account: &str) {
    let address = format!("{name}@example.org");
    let arguments = ["person", "add", name, "--email", &address, "--account", account, "--password"];
    postern::done_with_input(&arguments, &format!("{PASSWORD}\n"));
}

/// The section of the configuration with which everybody who knows his password is mailed one for the login.
pub const AUTOMATIC: &str = "[access]\nlogin_step = \"request\"\nrequest_mode = \"internal\"\n";

/// The one with which an approver decides.
///
/// * `approvers`: names of persons.
pub fn approved_by(approvers: &[&str]) -> String {
    format!("[access]\nlogin_step = \"request\"\nrequest_mode = \"approval\"\napprovers = {approvers:?}\n")
}

/// Asks for a password, by login name and password; returns what is asked then.
///
/// # Panics
/// When the daemon does not answer, or asks for something else.
#[track_caller]
pub fn ask_automatically(name: &str) -> Dialogue {
    let dialogue = Login::by_ssh(name).begin().expect("an answer");
    let dialogue = dialogue.follow("request").follow(name).follow(PASSWORD);
    assert!(dialogue.question().starts_with("One-time password"), "{dialogue:?}");
    dialogue
}

/// Asks an approver for one.
///
/// # Panics
/// When the daemon does not answer, or asks for something else.
#[track_caller]
pub fn ask_for_approval(name: &str) -> Dialogue {
    let dialogue = Login::by_ssh(name).begin().expect("an answer");
    let dialogue = dialogue.follow("request").follow(&format!("{name}@example.org"));
    assert!(dialogue.question().starts_with("One-time password"), "{dialogue:?}");
    dialogue
}
