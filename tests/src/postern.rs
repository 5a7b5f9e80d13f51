//! The command `postern`, run without a terminal by root or by somebody else.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde::de::DeserializeOwned;
use wire::admin::{
    AuditPage, AuditRecord, Decision, RecoveryCodes, RecoveryStatus, Status, Token, TokenList, Unlocked, User,
};

use crate::fob::Fob;
use crate::machine::{Account, Machine, folder};
use crate::programs;
use crate::terminal::plain_environment;

/// Exit status where a code was wrong.
pub const WRONG_CODE: i32 = 8;
/// Exit status of a verb that the caller may not use.
pub const NOT_ALLOWED: i32 = 5;
/// Exit status where the thing is in a state that does not permit the verb.
pub const CONFLICT: i32 = 6;

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

/// Runs it by root with lines to read.
pub fn run_with_input(arguments: &[&str], input: &str) -> Output {
    feed(command(arguments), input)
}

/// Runs it as somebody else, with lines to read.
pub fn run_by(machine: &Machine, account: Account, arguments: &[&str], input: &str) -> Output {
    // The build's folder may be closed to others; a refusal must be the daemon's.
    let program = folder().join("postern");
    if !program.exists() {
        fs::copy(programs::ours("postern"), &program).expect("copying postern");
    }
    let mut command = machine.as_user(account, &program.display().to_string());
    command.args(arguments);
    plain_environment(&mut command);
    feed(command, input)
}

fn feed(mut command: Command, input: &str) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("postern");
    // A command that asks for nothing may have ended before it is fed.
    let _ = child.stdin.take().expect("its input").write_all(input.as_bytes());
    child.wait_with_output().expect("postern")
}

/// Runs it by root, and returns what it said on both streams.
///
/// # Panics
/// When it fails.
#[track_caller]
pub fn done(arguments: &[&str]) -> String {
    done_with_input(arguments, "")
}

/// The same with lines to read.
///
/// # Panics
/// When it fails.
#[track_caller]
pub fn done_with_input(arguments: &[&str], input: &str) -> String {
    let output = run_with_input(arguments, input);
    assert!(output.status.success(), "postern {arguments:?}: {}: {}", output.status, said(&output));
    said(&output)
}

/// What it said on both streams.
pub fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Runs it with `--json` and reads its answer.
///
/// # Panics
/// When it fails or says something else.
#[track_caller]
pub fn ask<T: DeserializeOwned>(arguments: &[&str]) -> T {
    let output = run(&[&["--json"], arguments].concat());
    assert!(output.status.success(), "postern {arguments:?}: {output:?}");
    read(&output)
}

/// Reads what it said with `--json`.
///
/// # Panics
/// When it said something else.
#[track_caller]
pub fn read<T: DeserializeOwned>(output: &Output) -> T {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("postern said {text}: {error}"))
}

/// Turns the demand for a one-time password on.
pub fn otp_on(user: &str) {
    set_otp(user, "on");
}

/// Turns it off.
pub fn otp_off(user: &str) {
    set_otp(user, "off");
}

/// Demands a one-time password of a user who gets a hardware token.
pub fn otp_on_with_token(user: &str) {
    done(&["user", "set", user, "--otp", "on", "--with", "token", "--yes"]);
}

fn set_otp(user: &str, wish: &str) {
    done(&["user", "set", user, "--otp", wish, "--yes"]);
}

/// What Postern knows of a user.
pub fn user(name: &str) -> User {
    ask(&["user", "show", name])
}

/// A token.
pub fn token(serial: &str) -> Token {
    ask(&["token", "show", serial])
}

/// All tokens, sorted by serial number.
pub fn tokens() -> Vec<Token> {
    ask::<TokenList>(&["token", "list"]).items
}

/// The token of a user who has one.
///
/// # Panics
/// When he has none, or several.
#[track_caller]
pub fn only_token(user: &str) -> Token {
    let tokens = self::user(user).tokens;
    assert_eq!(tokens.len(), 1, "{user} has {tokens:?}");
    token(&tokens[0].serial)
}

/// Tells the daemon a hardware token, which is then available, or assigned to a user.
///
/// # Panics
/// When the daemon does not take it.
#[track_caller]
pub fn add_token(fob: &Fob, user: Option<&str>) {
    let digits = fob.digits.to_string();
    let number = fob.pace_number().to_string();
    let which = if fob.type_name() == "hotp" { "--counter" } else { "--period" };
    let mut line = vec!["token", "add", "--serial", &fob.serial, "--type", fob.type_name()];
    line.extend(["--algorithm", fob.algorithm.name(), "--digits", &digits, which, &number]);
    line.extend(["--secret-file", "-"]);
    if let Some(user) = user {
        line.extend(["--user", user]);
    }
    done_with_input(&line, &format!("{}\n", fob.secret_hex()));
}

/// Gives a token to a user, with a code.
pub fn associate(serial: &str, user: &str, code: &str) -> Output {
    run_with_input(&["token", "associate", serial, "--user", user], &format!("{code}\n"))
}

/// Brings a token back into step with two codes.
pub fn resync(serial: &str, code: &str, next_code: &str) -> Output {
    run_with_input(&["token", "resync", serial], &format!("{code}\n{next_code}\n"))
}

/// Checks a code.
pub fn test(serial: &str, code: &str) -> Output {
    run_with_input(&["token", "test", serial], &format!("{code}\n"))
}

/// Takes a token from its user.
///
/// # Panics
/// When that is refused.
#[track_caller]
pub fn disassociate(serial: &str) -> String {
    done(&["token", "disassociate", serial, "--yes"])
}

/// Says that a token is lost.
///
/// # Panics
/// When that is refused.
#[track_caller]
pub fn lost(serial: &str) -> String {
    done(&["token", "lost", serial, "--yes"])
}

/// Clears a user's counts, and enables what wrong codes disabled.
///
/// # Panics
/// When that is refused.
#[track_caller]
pub fn unlock(user: &str) -> Unlocked {
    ask(&["user", "unlock", user, "--yes"])
}

/// Ten new recovery codes; the ones before are void.
///
/// # Panics
/// When that is refused.
#[track_caller]
pub fn recovery_codes(user: &str) -> Vec<String> {
    ask::<RecoveryCodes>(&["recovery", "regenerate", user, "--yes"]).codes
}

/// How many recovery codes a user has.
#[track_caller]
pub fn recovery_status(user: &str) -> RecoveryStatus {
    ask(&["recovery", "status", user])
}

/// Imports a file of tokens.
///
/// * `more`: further flags.
pub fn import(file: &Path, more: &[&str]) -> Output {
    let file = file.display().to_string();
    run(&[&["token", "import", &file, "--yes"], more].concat())
}

/// How the daemon is; one that complains of something answers too.
///
/// # Panics
/// When it does not answer.
pub fn status() -> Status {
    read(&run(&["--json", "status"]))
}

/// Whether the daemon decides logins.
pub fn is_ready() -> bool {
    let output = run(&["--json", "status"]);
    serde_json::from_slice::<Status>(&output.stdout).is_ok_and(|status| status.ready)
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
        let page: AuditPage = ask(&["audit", "show", "--after", &after, "--limit", "10000"]);
        if page.items.is_empty() {
            return records;
        }
        records.extend(page.items);
    }
}
