//! Shows the whole system to a person: installs, builds, and tells the story of `tests/src/bin/demo.rs` in a sandbox.

use anyhow::{Result, ensure};

use crate::build;
use crate::packages::{self, Need};
use crate::sandbox;
use crate::steps::Steps;
use crate::witness::Witness;

/// * `once`: end after the story instead of waiting for a person to try it.
///
/// # Errors
/// When something cannot be built, or the story did not go as expected.
pub fn run(once: bool) -> Result<()> {
    let mut steps = Steps::new(3);
    steps.run("packages", || {
        packages::install_missing(Need::Login)?;
        sandbox::ensure_possible()
    })?;
    steps.run("build release", || build::release(&[]))?;
    steps.run("build the rig", || {
        build::run_cargo(&["build", "--locked", "-p", "system-tests", "--bin", "demo"])
    })?;
    steps.print_timings();

    let witness = Witness::take()?;
    let mut command = sandbox::command(build::target().join("debug/demo"));
    if once {
        command.arg("--once");
    }
    // The terminal stays the person's: the story types on terminals of its own.
    let status = command.current_dir("/").stdin(std::process::Stdio::null()).status()?;
    ensure!(status.success(), "the demo did not go as expected: {status}");
    witness.compare()
}
