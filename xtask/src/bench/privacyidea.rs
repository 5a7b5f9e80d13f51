//! Installs privacyIDEA, which Debian does not have: by pip, in a folder of its own below cargo's target directory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Result, ensure};

use crate::build;
use crate::packages::{self, Need};

/// What is asked of pip: privacyIDEA, the library below it in the one series that it runs with, and what serves it.
const WANTED: [&str; 3] = ["privacyidea==3.14", "SQLAlchemy>=2.0,<2.1", "gunicorn>=23"];

/// Says in the folder what was installed there, once all of it was.
const MARK: &str = "installed-for-bench";

/// The virtual environment.
pub fn folder() -> PathBuf {
    let target = build::target();
    let target = target.canonicalize().unwrap_or(target);
    target.join("tools").join("privacyidea")
}

/// Makes the folder unless it is there.
///
/// # Errors
/// When Python or its registry is not to be had.
pub fn install() -> Result<()> {
    packages::install_missing(Need::Python)?;
    let folder = folder();
    let (mark, wanted) = (folder.join(MARK), WANTED.join(" "));
    if fs::read_to_string(&mark).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    println!("      installing {wanted}");
    run(Command::new("/usr/bin/python3").args(["-m", "venv", "--clear"]).arg(&folder), &folder)?;
    run(Command::new(folder.join("bin/pip")).args(["install", "--quiet"]).args(WANTED), &folder)?;
    fs::write(mark, wanted)?;
    Ok(())
}

/// Runs a step, and says its last words when it fails.
fn run(command: &mut Command, folder: &Path) -> Result<()> {
    let output = command.stdin(Stdio::null()).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.lines().last().unwrap_or("it said nothing");
    ensure!(output.status.success(), "cannot install privacyIDEA in {}: {said}", folder.display());
    Ok(())
}
