//! Takes pictures of every page in every state, and fails where one of them cannot be read.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::packages::{self, Need};
use crate::steps::Steps;
use crate::{build, sandbox};

/// * `folder`: where the pictures go; `target/screenshots` where none is named.
///
/// # Errors
/// When something cannot be built, or a page has a fault.
pub fn run(folder: Option<PathBuf>) -> Result<()> {
    let folder = folder.unwrap_or_else(|| build::target().join("screenshots"));
    std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let folder = folder.canonicalize().with_context(|| folder.display().to_string())?;
    let mut steps = Steps::new(4);
    steps.run("packages", || {
        packages::install_missing(Need::Tests)?;
        sandbox::ensure_possible()
    })?;
    steps.run("build release", || build::release(&[]))?;
    steps.run("build the rig", || {
        build::run_cargo(&["build", "--locked", "-p", "system-tests", "--bin", "screenshots"])
    })?;
    steps.run("pictures", || {
        let mut command = sandbox::command(build::target().join("debug/screenshots"));
        build::run(command.arg(&folder).current_dir("/"))
    })?;
    steps.print_timings();
    Ok(())
}
