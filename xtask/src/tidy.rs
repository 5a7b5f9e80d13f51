//! Checks what no other tool checks: allowed edges, sizes, words, the feature list and the links of the documents.
//!
//! Deliberately reads text and `cargo metadata` only; it compiles nothing and changes nothing.

mod edges;
mod features;
mod links;
mod sizes;
mod words;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

/// One thing that is not as it must be.
#[derive(Debug, PartialEq, Eq)]
pub struct Finding {
    /// File and line, or the thing's name.
    pub place: String,
    /// What is wrong and what would be right.
    pub problem: String,
}

/// A text file of the workspace.
pub struct Source {
    /// Relative to the workspace's root.
    pub path: PathBuf,
    /// All of it.
    pub text: String,
}

/// Runs every check and prints what it finds.
///
/// # Errors
/// When something was found, or the workspace cannot be read.
pub fn run() -> Result<()> {
    let root = crate::build::workspace();
    let sources = read_sources(&root)?;
    let metadata = edges::Metadata::read()?;
    let mut findings = edges::check(&metadata);
    for source in &sources {
        findings.extend(sizes::check(source));
        findings.extend(words::check(source));
        findings.extend(links::check(source, |target| root.join(target).exists()));
    }
    findings.extend(features::check(&sources, &metadata.folders(&root)));
    for finding in &findings {
        println!("      {}: {}", finding.place, finding.problem);
    }
    ensure!(findings.is_empty(), "tidy found {} things", findings.len());
    println!("      {} files are tidy", sources.len());
    Ok(())
}

/// Rust sources, documents and manifests, in the order of their names.
fn read_sources(root: &Path) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry.context("folder entry")?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                if name != "target" && name != ".git" {
                    folders.push(path);
                }
            } else if name.ends_with(".rs") || name.ends_with(".md") {
                let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
                let path = path.strip_prefix(root).context("outside the workspace")?.to_owned();
                sources.push(Source { path, text });
            }
        }
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(sources)
}

impl Source {
    fn is_rust(&self) -> bool {
        self.path.extension().is_some_and(|it| it == "rs")
    }

    fn finding(&self, line: usize, problem: impl Into<String>) -> Finding {
        Finding { place: format!("{}:{line}", self.path.display()), problem: problem.into() }
    }

    #[cfg(test)]
    fn sample(path: &str, text: &str) -> Self {
        Self { path: path.into(), text: text.to_owned() }
    }
}
