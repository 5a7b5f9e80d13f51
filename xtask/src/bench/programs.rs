//! Builds and runs the programs that measure, one for each group of rows, and hands on what they print.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;

use super::Scale;
use super::rows::Program;
use crate::packages::{self, Need};
use crate::{build, sandbox};

/// Has a program measure some rows.
///
/// # Errors
/// When it cannot be built or run, or ends with a failure.
pub fn measure(program: Program, rows: &[&str], scale: &Scale) -> Result<String> {
    match program {
        Program::Engine => engine(rows, scale),
        Program::Network => network(rows, scale),
        Program::Radius => {
            packages::install_missing(Need::Radius)?;
            network(rows, scale)
        }
        Program::Commit => commit(scale),
        Program::PamOverhead => pam("pam-overhead", &[&scale.repetitions.to_string()]),
        Program::PamPeers => {
            packages::install_missing(Need::PamPeers)?;
            let folder = scale.folder.join("pam-peers");
            let millis = scale.slice_ms().to_string();
            let runs = scale.runs().to_string();
            pam("pam-peers", &[&rows.join(","), &runs, &millis, &folder.display().to_string()])
        }
        Program::Nobody => bail!("this command has no program that measures it"),
    }
}

/// A program of the package `benches`, with symbols, so that a profiler can name its functions.
pub fn bench_program(name: &str) -> Result<PathBuf> {
    build::run_cargo(&["build", "--profile", "bench", "--locked", "-p", "benches", "--bins"])?;
    Ok(build::target().join("release").join(name))
}

fn engine(rows: &[&str], scale: &Scale) -> Result<String> {
    let mut command = Command::new(bench_program("bench-engine")?);
    command.args(["--rows", &rows.join(","), "--runs", &scale.runs().to_string()]);
    printed(&mut command)
}

/// `bench-network` with its servers.
///
/// # Errors
/// As [`measure`].
fn network(rows: &[&str], scale: &Scale) -> Result<String> {
    let mut command = Command::new(bench_program("bench-network")?);
    command.args(["--rows", &rows.join(","), "--runs", &scale.runs().to_string()]);
    command.args(["--slice-ms", &scale.slice_ms().to_string()]);
    command.arg("--dir").arg(scale.folder.join("network"));
    if sandbox::ensure_root("for a real-time priority").is_ok() {
        command.arg("--raise");
    }
    printed(&mut command)
}

/// One line of the bench `commit`: all turns of one figure.
#[derive(Deserialize)]
struct Turns {
    id: String,
    values: Vec<f64>,
}

/// The bench `commit` has a file of its own kind; its turns become runs.
fn commit(scale: &Scale) -> Result<String> {
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
    commit_runs(&text)
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
fn pam(name: &str, arguments: &[&str]) -> Result<String> {
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
    printed(&mut command)
}

/// Runs a program and returns what it printed; its errors are shown as they come.
pub fn printed(command: &mut Command) -> Result<String> {
    let name = Path::new(command.get_program()).file_name().unwrap_or(OsStr::new("it")).display().to_string();
    let output =
        command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().with_context(|| name.clone())?;
    ensure!(output.status.success(), "{name} ended with {}", output.status);
    String::from_utf8(output.stdout).with_context(|| name)
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
        let Outcome::Measured { figure, runs, sides } = runs.outcome("commit_over_file") else {
            panic!("it was measured")
        };
        assert_eq!((figure.min, figure.max, runs), (0.6, 0.8, 2));
        assert_eq!((sides["import_seconds"].median, sides["commit_over_file_64"].max), (12.0, 0.9));
        assert!(commit_runs("{\"id\":\"import_seconds\",\"values\":[12.0]}").is_err());
    }
}
