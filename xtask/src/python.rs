//! Programs written in Python that Debian does not have: by pip, each in a folder of its own below cargo's target
//! directory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Result, ensure};

use crate::build;
use crate::packages::{self, Need};

/// What `cargo xtask test` sends requests of every shape to the network's API with.
pub const SCHEMATHESIS: Tool = Tool { name: "schemathesis", wanted: &["schemathesis==4.32.5"] };

/// Says in the folder what was installed there, once all of it was.
const MARK: &str = "installed";

/// A program and what is asked of pip for it.
pub struct Tool {
    /// The folder's name.
    pub name: &'static str,
    /// Packages with their versions.
    pub wanted: &'static [&'static str],
}

impl Tool {
    /// The virtual environment.
    pub fn folder(&self) -> PathBuf {
        let target = build::target();
        let target = target.canonicalize().unwrap_or(target);
        target.join("tools").join(self.name)
    }

    /// Makes the folder unless it is there.
    ///
    /// # Errors
    /// When Python or its registry is not to be had.
    pub fn install(&self) -> Result<()> {
        packages::install_missing(Need::Python)?;
        let folder = self.folder();
        let (mark, wanted) = (folder.join(MARK), self.wanted.join(" "));
        if fs::read_to_string(&mark).is_ok_and(|installed| installed == wanted) {
            return Ok(());
        }
        println!("      installing {wanted}");
        self.run(Command::new("/usr/bin/python3").args(["-m", "venv", "--clear"]).arg(&folder), &folder)?;
        self.run(
            Command::new(folder.join("bin/pip")).args(["install", "--quiet"]).args(self.wanted),
            &folder,
        )?;
        fs::write(mark, wanted)?;
        Ok(())
    }

    /// Runs a step, and says its last words when it fails.
    fn run(&self, command: &mut Command, folder: &Path) -> Result<()> {
        let output = command.stdin(Stdio::null()).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.lines().last().unwrap_or("it said nothing");
        ensure!(output.status.success(), "cannot install {} in {}: {said}", self.name, folder.display());
        Ok(())
    }
}
