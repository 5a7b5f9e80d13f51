//! Builds and runs the programs that measure, one for each group of rows, and hands on what they print.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Error, Result, anyhow};
use serde::Deserialize;

use super::rows::Program;
use super::{Scale, privacyidea};
use crate::packages::{self, Need};
use crate::{build, sandbox};

/// How long one program may take, in seconds: three times what the longest takes. One that hangs keeps the others from
/// their turn no longer.
const SECONDS_MAX: u32 = 1_200;

/// What a program told, and how it failed if it did: what it told before stays.
#[derive(Debug)]
pub struct Told {
    /// One line of JSON for each run.
    pub lines: String,
    /// Why there are no more.
    pub failure: Option<Error>,
}

impl From<String> for Told {
    fn from(lines: String) -> Self {
        Self { lines, failure: None }
    }
}

/// Installs what a program needs of others.
///
/// # Errors
/// When that is not possible here.
pub fn prepare(program: Program) -> Result<()> {
    match program {
        Program::Radius => packages::install_missing(Need::Radius),
        Program::PamPeers => packages::install_missing(Need::PamPeers),
        Program::PrivacyIdea => privacyidea::install(),
        Program::Engine | Program::Network | Program::Commit | Program::PamOverhead => Ok(()),
    }
}

/// Has a program measure some rows.
///
/// # Errors
/// When it cannot be built or run.
pub fn measure(program: Program, rows: &[&str], scale: &Scale) -> Result<Told> {
    match program.runner() {
        Program::Engine => engine(rows, scale),
        Program::Commit => commit(scale),
        Program::PamOverhead => pam("pam-overhead", &[&scale.repetitions.to_string()]),
        Program::PamPeers => {
            let folder = scale.folder.join("pam-peers");
            let millis = scale.slice_ms().to_string();
            let runs = scale.runs().to_string();
            pam("pam-peers", &[&rows.join(","), &runs, &millis, &folder.display().to_string()])
        }
        Program::Network | Program::Radius | Program::PrivacyIdea => network(rows, scale),
    }
}

/// A program of the package `benches`, with symbols, so that a profiler can name its functions.
pub fn bench_program(name: &str) -> Result<PathBuf> {
    build::run_cargo(&["build", "--profile", "bench", "--locked", "-p", "benches", "--bins"])?;
    Ok(build::target().join("release").join(name))
}

fn engine(rows: &[&str], scale: &Scale) -> Result<Told> {
    let mut command = Command::new(bench_program("bench-engine")?);
    command.args(["--rows", &rows.join(","), "--runs", &scale.runs().to_string()]);
    printed(&command)
}

/// `bench-network` with its servers.
///
/// # Errors
/// As [`measure`].
fn network(rows: &[&str], scale: &Scale) -> Result<Told> {
    let mut command = Command::new(bench_program("bench-network")?);
    command.args(["--rows", &rows.join(","), "--runs", &scale.runs().to_string()]);
    command.args(["--slice-ms", &scale.slice_ms().to_string()]);
    command.arg("--dir").arg(scale.folder.join("network"));
    command.arg("--privacyidea").arg(privacyidea::folder());
    if sandbox::ensure_root("for a real-time priority").is_ok() {
        command.arg("--raise");
    }
    printed(&command)
}

/// One line of the bench `commit`: all turns of one figure.
#[derive(Deserialize)]
struct Turns {
    id: String,
    values: Vec<f64>,
}

/// The bench `commit` has a file of its own kind; its turns become runs.
fn commit(scale: &Scale) -> Result<Told> {
    let file = scale.folder.join("commit.json");
    let mut arguments = vec!["bench", "--locked", "-p", "benches", "--bench", "commit", "--"];
    if scale.is_quick {
        arguments.push("--quick");
    }
    let (path, folder) = (file.display().to_string(), scale.folder.display().to_string());
    arguments.extend(["--dir", &folder, "--json", &path]);
    build::run_cargo(&arguments)?;
    let text = std::fs::read_to_string(&file).with_context(|| path.clone())?;
    std::fs::remove_file(&file).with_context(|| path.clone())?;
    commit_runs(&text).map(Told::from)
}

fn commit_runs(text: &str) -> Result<String> {
    let mut figures = Vec::new();
    for line in text.lines() {
        let turns: Turns = serde_json::from_str(line).with_context(|| format!("not a figure: {line}"))?;
        figures.push(turns);
    }
    let of = |id: &str| figures.iter().find(|turns| turns.id == id).map(|turns| turns.values.as_slice());
    let small = of("commit_over_file_64").context("the bench `commit` told nothing of batches of 64")?;
    let large = of("commit_over_file_256").context("the bench `commit` told nothing of batches of 256")?;
    let line = |(turn, (small, large)): (usize, (&f64, &f64))| {
        // Figures that are measured once stand in every turn.
        let at = |turns: &Turns| turns.values.get(turn).or(turns.values.first()).copied();
        let sides: serde_json::Map<String, serde_json::Value> =
            figures.iter().filter_map(|turns| Some((turns.id.clone(), at(turns)?.into()))).collect();
        let value = small.min(*large);
        format!("{}\n", serde_json::json!({ "row": "commit_over_file", "value": value, "sides": sides }))
    };
    Ok(small.iter().zip(large).enumerate().map(line).collect())
}

/// A program that starts whole PAM transactions, in the sandbox.
fn pam(name: &str, arguments: &[&str]) -> Result<Told> {
    packages::install_missing(Need::Login)?;
    sandbox::ensure_possible()?;
    build::release(&[])?;
    build::run_cargo(&[
        "build",
        "--release",
        "--locked",
        "-p",
        "xtask",
        "--features",
        "measure",
        "--bin",
        name,
    ])?;
    let mut command = sandbox::command(build::target().join("release").join(name));
    command.args(arguments);
    printed(&command)
}

/// Runs a program and returns what it printed; its errors and its progress are shown as they come.
fn printed(command: &Command) -> Result<Told> {
    let name = Path::new(command.get_program()).file_name().unwrap_or(OsStr::new("it")).display().to_string();
    let mut limited = Command::new("timeout");
    limited.args(["--foreground", "--kill-after=20", &SECONDS_MAX.to_string()]);
    limited.arg(command.get_program()).args(command.get_args());
    let limited = limited.stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = limited.output().with_context(|| name.clone())?;
    let lines = String::from_utf8(output.stdout).with_context(|| name.clone())?;
    let failure = match output.status.code() {
        Some(0) => None,
        Some(124 | 137) => Some(anyhow!("{name} took more than {SECONDS_MAX} s")),
        _ => Some(anyhow!("{name} ended with {}", output.status)),
    };
    Ok(Told { lines, failure })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::runs::{Outcome, Runs};

    #[test]
    fn turns_of_the_commit_bench_become_runs_and_the_worse_size_counts() {
        let text = concat!(
            "{\"id\":\"commit_over_file_64\",\"values\":[0.9,0.6]}\n",
            "{\"id\":\"commit_over_file_256\",\"values\":[0.8,0.7]}\n",
            "{\"id\":\"import_seconds\",\"values\":[12.0]}\n",
        );
        let mut runs = Runs::default();
        runs.take(&commit_runs(text).unwrap()).unwrap();
        let Outcome::Measured { figure, sides } = runs.outcome("commit_over_file") else {
            panic!("it was measured")
        };
        assert_eq!((figure.min, figure.max, figure.values.len()), (0.6, 0.8, 2));
        assert_eq!((sides["import_seconds"].median, sides["commit_over_file_64"].max), (12.0, 0.9));
        assert!(commit_runs("{\"id\":\"import_seconds\",\"values\":[12.0]}").is_err());
    }
}
