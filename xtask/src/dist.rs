//! Makes what is installed beside the programs: man pages and the completions of three shells, in `target/dist`.
//!
//! Pages of section 1 and completions are made by package cli, from its command line; the others are written by
//! hand in `docs/man`.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::build;

/// Makes `target/dist/man` and `target/dist/completions` anew, and says how many files each has.
///
/// # Errors
/// When cargo fails, or a file cannot be written.
pub fn run() -> Result<()> {
    let dist = build::target().join("dist");
    if dist.exists() {
        fs::remove_dir_all(&dist).with_context(|| dist.display().to_string())?;
    }
    let folder = dist.display().to_string();
    build::run_cargo(&["run", "--quiet", "--locked", "-p", "cli", "--example", "pages", "--", &folder])?;
    copy_all(&build::workspace().join("docs/man"), &dist.join("man"))?;
    for folder in ["man", "completions"] {
        let folder = dist.join(folder);
        println!("{:>4} files in {}", count(&folder)?, folder.display());
    }
    Ok(())
}

/// Copies the files of a folder into another that exists.
fn copy_all(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
        let path = entry.context("folder entry")?.path();
        let name = path.file_name().context("a file without a name")?;
        fs::copy(&path, to.join(name)).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

fn count(folder: &Path) -> Result<usize> {
    Ok(fs::read_dir(folder).with_context(|| folder.display().to_string())?.count())
}
