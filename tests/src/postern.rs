//! The command `postern`, run as root without a terminal.

use std::process::{Command, Output, Stdio};

use serde::de::DeserializeOwned;
use wire::admin::{AuditPage, AuditRecord, Decision, Status, Token, User};

use crate::programs;
use crate::terminal::plain_environment;

/// Runs it and returns what it said.
pub fn run(arguments: &[&str]) -> Output {
    command(arguments).output().expect("postern")
}

/// The command, ready to be run otherwise.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(programs::ours("postern"));
    command.args(arguments).stdin(Stdio::null());
    plain_environment(&mut command);
    command
}

/// Runs it with `--json` and reads its answer.
///
/// # Panics
/// When it fails or says something else.
pub fn ask<T: DeserializeOwned>(arguments: &[&str]) -> T {
    let output = run(&[&["--json"], arguments].concat());
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "postern {arguments:?}: {output:?}");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("postern {arguments:?} said {text}: {error}"))
}

/// Turns the demand for a one-time password on.
pub fn otp_on(user: &str) {
    set_otp(user, "on");
}

/// Turns it off.
pub fn otp_off(user: &str) {
    set_otp(user, "off");
}

fn set_otp(user: &str, wish: &str) {
    let output = run(&["user", "set", user, "--otp", wish, "--yes"]);
    assert!(output.status.success(), "postern user set {user} --otp {wish}: {output:?}");
}

/// What Postern knows of a user.
pub fn user(name: &str) -> User {
    ask(&["user", "show", name])
}

/// A token.
pub fn token(serial: &str) -> Token {
    ask(&["token", "show", serial])
}

/// How the daemon is.
pub fn status() -> Status {
    ask(&["status"])
}

/// Why a login was decided as it was.
pub fn explain(reference: &str) -> AuditRecord {
    ask::<Decision>(&["explain", reference]).record
}

/// The whole audit trail, oldest first.
pub fn audit() -> Vec<AuditRecord> {
    let mut records: Vec<AuditRecord> = Vec::new();
    loop {
        let after = records.last().map_or(0, |record| record.sequence).to_string();
        let page: AuditPage = ask(&["audit", "show", "--after", &after, "--limit", "50000"]);
        if page.items.is_empty() {
            return records;
        }
        records.extend(page.items);
    }
}
