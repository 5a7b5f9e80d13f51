//! A copy of the workspace, and what is built of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// Takes over what is built of libraries elsewhere, where nothing is built yet: they are the same ones. By links, for
/// cargo writes nothing into what is there and knows by its time that it is fresh.
///
/// # Errors
/// When a folder cannot be made or a file not be linked.
pub fn take_over(built: &Path, place: &Path) -> Result<()> {
    if place.exists() || !built.exists() {
        return Ok(());
    }
    for folder in [".fingerprint", "build", "deps"] {
        link_all(&built.join(folder), &place.join(folder)).with_context(|| folder.to_owned())?;
    }
    Ok(())
}

/// Links the files of a folder and of all below it at another place, but for programs: those of our tests are large, and
/// of no use there.
fn link_all(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, path, copy) = (entry.file_type()?, entry.path(), to.join(entry.file_name()));
        let is_program = from.ends_with("deps") && path.extension().is_none();
        if kind.is_dir() {
            link_all(&path, &copy)?;
        } else if !is_program {
            fs::hard_link(&path, &copy)?;
        }
    }
    Ok(())
}

/// Copies what cargo needs, some files with another text, and keeps files that are the same, so that the next build is
/// short.
///
/// # Errors
/// When a file cannot be read or written.
pub fn make(root: &Path, tree: &Path, changed: &BTreeMap<PathBuf, String>) -> Result<()> {
    let mut kept = BTreeSet::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry.context("folder entry")?.path();
            let relative = path.strip_prefix(root).context("outside the workspace")?.to_owned();
            if path.is_dir() {
                if !["target", ".git"].iter().any(|name| path.ends_with(name)) {
                    folders.push(path);
                }
                continue;
            }
            let copy = tree.join(&relative);
            let text = match changed.get(&relative) {
                Some(text) => text.clone().into_bytes(),
                None => fs::read(&path).with_context(|| path.display().to_string())?,
            };
            if fs::read(&copy).ok().as_ref() != Some(&text) {
                fs::create_dir_all(copy.parent().context("no folder")?).context("making the copy")?;
                fs::write(&copy, text).with_context(|| copy.display().to_string())?;
            }
            kept.insert(copy);
        }
    }
    remove_others(tree, &kept)
}

/// Removes files of an older copy that the workspace has no more.
fn remove_others(tree: &Path, kept: &BTreeSet<PathBuf>) -> Result<()> {
    let mut folders = vec![tree.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry.context("folder entry")?.path();
            if path.is_dir() {
                folders.push(path);
            } else if !kept.contains(&path) {
                fs::remove_file(&path).with_context(|| path.display().to_string())?;
            }
        }
    }
    Ok(())
}
