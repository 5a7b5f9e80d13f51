//! `postern init`: has `verifierd` make its key, state directory and store.
//!
//! There is no daemon to ask yet, so this runs the program itself. It asks and says what it has to on our own
//! terminal; nothing passes through us.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::{Exit, Failure};

/// Where the packages install the daemon.
const VERIFIERD: &str = "/usr/sbin/verifierd";

/// Runs `verifierd init`; returns its exit code.
pub fn run(config: Option<&Path>) -> Result<u8, Failure> {
    let program = verifierd();
    let mut command = Command::new(&program);
    command.arg("init");
    if let Some(config) = config {
        command.arg("--config").arg(config);
    }
    let status = command.status().map_err(|source| Failure::Launch { program, source })?;
    // No code: a signal ended it, and whoever sent that knows.
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(Exit::Failed as u8))
}

/// The daemon beside this very command, as in a build folder; else the installed one.
fn verifierd() -> PathBuf {
    let sibling = std::env::current_exe().ok().and_then(|own| Some(own.parent()?.join("verifierd")));
    sibling.filter(|path| path.is_file()).unwrap_or_else(|| PathBuf::from(VERIFIERD))
}
