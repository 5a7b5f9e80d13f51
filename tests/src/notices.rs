//! The command that `verifierd` runs when something happened that a user should hear of.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use wire::admin::AuditRecord;

use crate::machine::folder;
use crate::time::wait_for;

/// Installs the command, with nothing told yet; returns the section of the configuration that names it.
///
/// # Panics
/// When it cannot be written.
pub fn install() -> String {
    let _ = fs::remove_file(told_file());
    let command = folder().join("tell");
    // One write, so that a half-told line is never read; the environment shows whether it is clean.
    let script = format!(
        "#!/bin/sh\nline=$(cat)\nprintf '%s\\n' \"$line\" >> {}\nenv > {}\n",
        told_file().display(),
        environment_file().display()
    );
    fs::write(&command, script).expect("the command");
    fs::set_permissions(&command, fs::Permissions::from_mode(0o755)).expect("its mode");
    format!("[notify]\ncommand = [\"{}\", \"argument\"]\n", command.display())
}

/// What was told so far, oldest first.
///
/// # Panics
/// When something other than an audit record was told.
pub fn told() -> Vec<AuditRecord> {
    let text = fs::read_to_string(told_file()).unwrap_or_default();
    let read = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("told {line}: {error}"));
    text.lines().map(read).collect()
}

/// Waits until an event was told about a user.
///
/// # Panics
/// When it was not.
pub fn expect_told(event: &str, user: &str) -> AuditRecord {
    let is_it = |record: &AuditRecord| {
        (record.event == event || record.reason == event) && record.user.as_deref() == Some(user)
    };
    wait_for(&format!("{event} of {user} to be told"), || told().into_iter().find(is_it))
}

/// The environment in which the command ran last, by name.
///
/// # Panics
/// When it did not run.
pub fn environment() -> Vec<String> {
    let text = wait_for("the command's environment", || fs::read_to_string(environment_file()).ok());
    text.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name.to_owned()).collect()
}

fn told_file() -> PathBuf {
    folder().join("told")
}

fn environment_file() -> PathBuf {
    folder().join("told-environment")
}
