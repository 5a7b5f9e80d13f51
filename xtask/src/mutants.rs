//! Removes one guard at a time from a copy of the workspace, and demands that a test notices.
//!
//! The table is `xtask/mutants.toml`. Deliberately textual and by hand: each mutant is a guard that a check names,
//! not a random change. The workspace itself is never touched. The copy is built once, with all its mutants in it, and
//! each test is run as the mutant that it must notice: see [`switches`].

mod copy;
mod switches;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use crate::build::{self, TestProgram};
use crate::sandbox;
use crate::tally::Tally;

/// Where the table stands.
const TABLE: &str = "xtask/mutants.toml";

/// The whole table.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    #[serde(default)]
    mutant: Vec<Mutant>,
}

/// One guard, how to remove it, and the test that must notice.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mutant {
    /// Short name: `replay-guard`.
    id: String,
    /// The checks that demand the guard: `["A01", "A05"]`.
    checks: Vec<String>,
    /// The file that holds the guard.
    file: PathBuf,
    /// Text that stands exactly once in the file, in the body of a function.
    find: String,
    /// What stands there instead.
    replace: String,
    /// The package of the test.
    package: String,
    /// The file of the package's `tests/` that holds the test; absent: one of the unit tests of its library.
    #[serde(default)]
    tests: Option<String>,
    /// The test's name or a part of it, as `cargo test` takes it.
    test: String,
}

impl Mutant {
    /// Which test program notices.
    fn program(&self) -> (&str, Option<&str>) {
        (&self.package, self.tests.as_deref())
    }
}

/// How the run of a mutant ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Caught,
    Passed,
    NoTest,
}

/// Runs the mutants whose id contains one of these parts, which commas part, and ends with a closing line as test
/// runners do. An empty part is in every id.
///
/// # Errors
/// When the table or the copy cannot be made, or a test fails where nothing was removed. A surviving mutant is a
/// failure in the tally, not an error.
pub fn run(parts: &str, tally: &mut Tally) -> Result<()> {
    let root = build::workspace();
    let text = fs::read_to_string(root.join(TABLE)).context(TABLE)?;
    let mut table: Table = toml::from_str(&text).context(TABLE)?;
    table.check()?;
    let (tree, built) = (root.join("target/mutants/tree"), root.join("target/mutants/build"));
    copy::make(&root, &tree, &table.switched(&root)?)?;
    copy::take_over(&build::target().join("debug"), &built.join("debug"))?;

    table.mutant.retain(|mutant| parts.split(',').any(|part| mutant.id.contains(part)));
    ensure!(!table.mutant.is_empty(), "{TABLE} has no such mutant");
    table.mutant.sort_by(|a, b| a.program().cmp(&b.program()));
    let mut runs = Vec::new();
    for mutants in table.mutant.chunk_by(|a, b| a.program() == b.program()) {
        let program = build_program(&tree, &built, &mutants[0])?;
        test_unharmed(&program, mutants)?;
        runs.extend(mutants.iter().map(|mutant| (program.clone(), mutant)));
    }
    let missed = run_each(runs)?;

    let (caught, word) = (table.mutant.len() - missed, if missed == 0 { "ok" } else { "FAILED" });
    let closing = format!("test result: {word}. {caught} passed; {missed} failed; 0 ignored");
    println!("\n{closing}");
    tally.read_line(&closing);
    Ok(())
}

impl Table {
    fn check(&self) -> Result<()> {
        let mut seen = BTreeSet::new();
        for mutant in &self.mutant {
            let id = &mutant.id;
            let is_plain = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            ensure!(
                is_plain && !id.is_empty(),
                "{TABLE}: the id {id:?} is not of letters, digits and hyphens"
            );
            ensure!(seen.insert(id), "{TABLE}: the id {id} stands twice");
            ensure!(!mutant.checks.is_empty(), "{TABLE}: mutant {id} names no check");
            let is_apart = sandbox::PACKAGES.contains(&mutant.package.as_str());
            ensure!(!is_apart, "{TABLE}: the test of {id} runs nowhere but in the sandbox");
        }
        Ok(())
    }

    /// The texts of the files that hold guards, with switches.
    fn switched(&mut self, root: &Path) -> Result<BTreeMap<PathBuf, String>> {
        self.mutant.sort_by(|a, b| a.file.cmp(&b.file));
        let of_one_file = self.mutant.chunk_by(|a, b| a.file == b.file);
        let switch = |mutants: &[Mutant]| {
            let file = &mutants[0].file;
            let text = fs::read_to_string(root.join(file)).with_context(|| file.display().to_string())?;
            let text = switches::place(&text, mutants).with_context(|| file.display().to_string())?;
            Ok((file.clone(), text))
        };
        of_one_file.map(switch).collect()
    }
}

/// Builds the program that notices a mutant.
fn build_program(tree: &Path, built: &Path, mutant: &Mutant) -> Result<TestProgram> {
    let mut command = build::cargo();
    command.current_dir(tree).env("CARGO_TARGET_DIR", built).args(["test", "-p", &mutant.package]);
    match &mutant.tests {
        Some(name) => command.args(["--test", name]),
        None => command.arg("--lib"),
    };
    let mut programs = build::test_programs_of(&mut command)?;
    let program = programs.pop().with_context(|| format!("{} has no such tests", mutant.package))?;
    ensure!(programs.is_empty(), "{} has more than one such program", mutant.package);
    Ok(program)
}

/// Demands that the tests of these mutants pass where nothing is removed.
fn test_unharmed(program: &TestProgram, mutants: &[Mutant]) -> Result<()> {
    let tests: BTreeSet<_> = mutants.iter().map(|mutant| mutant.test.as_str()).collect();
    let run = test(program).args(&tests).output().context("cannot run a test program")?;
    let said = String::from_utf8_lossy(&run.stdout);
    for test in tests {
        let mut lines = said.lines().filter(|line| line.starts_with("test ") && line.contains(test));
        let passed = lines.next().is_some_and(|line| line.ends_with(" ok"));
        let why = String::from_utf8_lossy(&run.stderr);
        ensure!(passed, "`{test}` of {} must pass without any mutant\n{said}\n{why}", program.name);
    }
    ensure!(run.status.success(), "a test of {} fails without any mutant\n{said}", program.name);
    Ok(())
}

/// Runs all, two beside each other because many tests wait. Tells how many were not caught.
fn run_each(runs: Vec<(TestProgram, &Mutant)>) -> Result<usize> {
    let queue = Mutex::new(runs.into_iter());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let lane = || {
        let mut missed = 0;
        while let Some((program, mutant)) = next() {
            let (word, why) = match run_as(&program, mutant)? {
                Outcome::Caught => ("caught", ""),
                Outcome::Passed => ("NOT CAUGHT", ": its test passes although the guard is gone"),
                Outcome::NoTest => ("NOT CAUGHT", ": there is no such test"),
            };
            println!("mutant {} ({}) ... {word}{why}", mutant.id, mutant.checks.join(", "));
            missed += usize::from(word != "caught");
        }
        anyhow::Ok(missed)
    };
    std::thread::scope(|scope| {
        let second = scope.spawn(lane);
        let missed = lane()?;
        Ok(missed + second.join().map_err(|_| anyhow::anyhow!("the second lane panicked"))??)
    })
}

fn run_as(program: &TestProgram, mutant: &Mutant) -> Result<Outcome> {
    let mut command = test(program);
    let run = command.env(switches::VARIABLE, &mutant.id).arg(&mutant.test).output();
    let run = run.context("cannot run a test program")?;
    let mut tally = Tally::default();
    for line in String::from_utf8_lossy(&run.stdout).lines() {
        tally.read_line(line);
    }
    // A runner that died (abort, signal) says no closing line, yet it noticed.
    Ok(match (tally.passed + tally.failed, run.status.success()) {
        (0, true) => Outcome::NoTest,
        (_, true) => Outcome::Passed,
        (_, false) => Outcome::Caught,
    })
}

fn test(program: &TestProgram) -> Command {
    let mut command = Command::new(&program.executable);
    command
        .current_dir(&program.folder)
        .env("CARGO_MANIFEST_DIR", &program.folder)
        .env("PROPTEST_FAILURE_PERSISTENCE", "off")
        .env_remove(switches::VARIABLE)
        .stdin(Stdio::null());
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_guard_of_the_projects_table_stands_where_it_can_be_switched() {
        let mut table: Table = toml::from_str(include_str!("../mutants.toml")).expect("the table parses");
        table.check().expect("ids are unique");
        table.switched(&build::workspace()).expect("each stands once, in a body");
    }
}
