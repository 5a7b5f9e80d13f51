//! Removes one guard at a time from copies of the workspace, and demands that a test notices.
//!
//! The table is `xtask/mutants.toml`. Deliberately textual and by hand: each mutant is a guard that a check names,
//! not a random change. The workspace itself is never touched.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, anyhow, ensure};
use serde::Deserialize;

use crate::build;
use crate::sandbox;
use crate::tally::Tally;

/// Where the table stands.
const TABLE: &str = "xtask/mutants.toml";

/// The checks that decide whether anybody is let in who must not be: `cargo xtask test` removes their guards each time.
/// All others are removed by `cargo xtask mutants`, and each time it is seen that they still stand where the table says.
const FIRST: [&str; 34] = [
    "A01", "A02", "A03", "A04", "A05", "A06", "A08", "A13", "B01", "B02", "B03", "B04", "B05", "C02", "C03",
    "C05", "C06", "D01", "D03", "D08", "D13", "E01", "E02", "E03", "E09", "F01", "F12", "G01", "G02", "G03",
    "G04", "G05", "H01", "H04",
];

/// Which mutants are run.
#[derive(Clone, Copy)]
pub enum Which<'a> {
    /// Those of [`FIRST`].
    First,
    /// Those whose id contains this; all of them where it is empty.
    Named(&'a str),
}

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
    /// Text that stands exactly once in the file.
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
    /// What is done to which file.
    fn removal(&self) -> (&Path, &str, &str) {
        (&self.file, &self.find, &self.replace)
    }

    fn is_among(&self, which: Which<'_>) -> bool {
        match which {
            Which::First => self.checks.iter().any(|check| FIRST.contains(&check.as_str())),
            Which::Named(parts) => parts.split(',').any(|part| self.id.contains(part)),
        }
    }

    /// Which test program notices.
    fn program(&self) -> (&str, Option<&str>) {
        (&self.package, self.tests.as_deref())
    }
}

/// Puts a guard back.
struct Undo {
    path: PathBuf,
    original: String,
}

impl Undo {
    fn run(self) -> Result<()> {
        fs::write(&self.path, self.original).with_context(|| self.path.display().to_string())
    }
}

/// How the run of one test ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed,
    NotBuilt,
    NoTest,
}

/// Runs some mutants, and ends with a closing line as test runners do.
///
/// # Errors
/// When the table or the copy cannot be made. A surviving mutant is a failure in the tally, not an error.
pub fn run(which: Which<'_>, tally: &mut Tally) -> Result<()> {
    let root = build::workspace();
    let text = fs::read_to_string(root.join(TABLE)).context(TABLE)?;
    let mut table: Table = toml::from_str(&text).context(TABLE)?;
    check_ids(&table)?;
    for mutant in &table.mutant {
        let text =
            fs::read_to_string(root.join(&mutant.file)).with_context(|| mutant.file.display().to_string())?;
        mutate(&text, mutant).with_context(|| format!("mutant {}", mutant.id))?;
    }
    table.mutant.retain(|mutant| mutant.is_among(which));
    ensure!(!table.mutant.is_empty(), "{TABLE} has no such mutant");

    let room = root.join("target/mutants");
    let first = Lane::at(&room.join("1"));
    copy_workspace(&root, &first.tree)?;
    first.take_over(&root.join("target/debug"))?;
    table.mutant.sort_by(|a, b| a.program().cmp(&b.program()));
    for mutants in table.mutant.chunk_by(|a, b| a.program() == b.program()) {
        first.test_unharmed(mutants)?;
    }
    let second = first.copy_to(&room.join("2"))?;

    // Those that remove the same guard share one build, and those of one file what is built upon its package.
    table.mutant.sort_by(|a, b| a.removal().cmp(&b.removal()));
    let guards = Mutex::new(table.mutant.chunk_by(|a, b| a.removal() == b.removal()));
    let missed = std::thread::scope(|scope| {
        let second = scope.spawn(|| second.remove_each(&guards));
        let missed = first.remove_each(&guards)?;
        anyhow::Ok(missed + second.join().map_err(|_| anyhow!("the second lane panicked"))??)
    })?;
    let (caught, word) = (table.mutant.len() - missed, if missed == 0 { "ok" } else { "FAILED" });
    let closing = format!("test result: {word}. {caught} passed; {missed} failed; 0 ignored");
    println!("\n{closing}");
    tally.read_line(&closing);
    Ok(())
}

fn check_ids(table: &Table) -> Result<()> {
    let mut seen = BTreeSet::new();
    for mutant in &table.mutant {
        ensure!(seen.insert(&mutant.id), "{TABLE}: the id {} stands twice", mutant.id);
        ensure!(!mutant.checks.is_empty(), "{TABLE}: mutant {} names no check", mutant.id);
        let is_apart = sandbox::PACKAGES.contains(&mutant.package.as_str());
        ensure!(!is_apart, "{TABLE}: the test of {} runs nowhere but in the sandbox", mutant.id);
    }
    Ok(())
}

/// The mutated text.
///
/// # Errors
/// When the guard does not stand exactly once in the text: then the mutant proves nothing.
fn mutate(text: &str, mutant: &Mutant) -> Result<String> {
    let times = text.matches(&mutant.find).count();
    ensure!(times == 1, "its text stands {times} times in {}, not once", mutant.file.display());
    ensure!(mutant.find != mutant.replace, "it changes nothing");
    Ok(text.replace(&mutant.find, &mutant.replace))
}

/// A copy of the workspace, and what is built of it. There are two beside each other, because half of the time only one
/// thread of a compiler is at work.
struct Lane {
    tree: PathBuf,
    build: PathBuf,
}

impl Lane {
    fn at(room: &Path) -> Self {
        Self { tree: room.join("tree"), build: room.join("build") }
    }

    /// Takes over what is built of libraries elsewhere, where nothing is built yet: they are the same ones. By links, for
    /// cargo writes nothing into what is there and knows by its time that it is fresh.
    fn take_over(&self, built: &Path) -> Result<()> {
        let place = self.build.join("debug");
        if place.exists() || !built.exists() {
            return Ok(());
        }
        for folder in [".fingerprint", "build", "deps"] {
            link_all(&built.join(folder), &place.join(folder)).with_context(|| folder.to_owned())?;
        }
        Ok(())
    }

    /// The same at another place, with all that is built.
    fn copy_to(&self, room: &Path) -> Result<Self> {
        let copy = Self::at(room);
        if room.exists() {
            fs::remove_dir_all(room).with_context(|| room.display().to_string())?;
        }
        fs::create_dir_all(room).with_context(|| room.display().to_string())?;
        // Times are kept: by them cargo knows that nothing has to be built again.
        let copying = ["--archive", "--reflink=auto"];
        build::run(Command::new("cp").args(copying).args([&self.tree, &self.build]).arg(room))?;
        Ok(copy)
    }

    /// Removes one guard after the other, as long as some are left. Tells how many were not caught.
    fn remove_each<'a>(&self, guards: &Mutex<impl Iterator<Item = &'a [Mutant]>>) -> Result<usize> {
        let next = || guards.lock().unwrap_or_else(PoisonError::into_inner).next();
        let mut missed = 0;
        while let Some(same) = next() {
            let undo = self.apply(&same[0]).with_context(|| format!("mutant {}", same[0].id))?;
            for mutant in same {
                let (word, why) = match self.test(mutant)? {
                    Outcome::Failed => ("caught", ""),
                    Outcome::Passed => ("NOT CAUGHT", ": its test passes although the guard is gone"),
                    Outcome::NotBuilt => ("NOT CAUGHT", ": the mutated copy does not build"),
                    Outcome::NoTest => ("NOT CAUGHT", ": the test is gone with the guard"),
                };
                println!("mutant {} ({}) ... {word}{why}", mutant.id, mutant.checks.join(", "));
                missed += usize::from(word != "caught");
            }
            undo.run()?;
        }
        Ok(missed)
    }

    /// Removes the guard from the copy.
    fn apply(&self, mutant: &Mutant) -> Result<Undo> {
        let path = self.tree.join(&mutant.file);
        let original = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        fs::write(&path, mutate(&original, mutant)?).with_context(|| path.display().to_string())?;
        Ok(Undo { path, original })
    }

    /// Demands that the tests of these mutants, which are in one program, pass in the whole copy.
    fn test_unharmed(&self, mutants: &[Mutant]) -> Result<()> {
        let mut command = self.cargo(&mutants[0]);
        let run = command.arg("--").args(mutants.iter().map(|mutant| &mutant.test)).output();
        let run = run.context("cannot run cargo")?;
        let said = String::from_utf8_lossy(&run.stdout);
        for Mutant { id, test, package, .. } in mutants {
            let mut lines =
                said.lines().filter(|line| line.starts_with("test ") && line.contains(test.as_str()));
            let passed = lines.next().is_some_and(|line| line.ends_with(" ok"));
            let why = String::from_utf8_lossy(&run.stderr);
            ensure!(passed, "{id}: `{test}` of {package} must pass without the mutant\n{said}\n{why}");
        }
        ensure!(run.status.success(), "a test of {} fails without any mutant\n{said}", mutants[0].package);
        Ok(())
    }

    fn test(&self, mutant: &Mutant) -> Result<Outcome> {
        let build = self.cargo(mutant).arg("--no-run").output().context("cannot run cargo")?;
        if !build.status.success() {
            println!("{}", String::from_utf8_lossy(&build.stderr));
            return Ok(Outcome::NotBuilt);
        }
        let run = self.cargo(mutant).args(["--", &mutant.test]).output().context("cannot run cargo")?;
        let mut tally = Tally::default();
        for line in String::from_utf8_lossy(&run.stdout).lines() {
            tally.read_line(line);
        }
        // A runner that died (abort, signal) says no closing line, yet it noticed.
        Ok(match (tally.passed + tally.failed, run.status.success()) {
            (0, true) => Outcome::NoTest,
            (_, true) => Outcome::Passed,
            (_, false) => Outcome::Failed,
        })
    }

    fn cargo(&self, mutant: &Mutant) -> Command {
        let mut command = build::cargo();
        command
            .current_dir(&self.tree)
            .env("CARGO_TARGET_DIR", &self.build)
            .env("PROPTEST_FAILURE_PERSISTENCE", "off")
            .args(["test", "--locked", "--no-fail-fast", "-p", &mutant.package])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        match &mutant.tests {
            Some(name) => command.args(["--test", name]),
            None => command.arg("--lib"),
        };
        command
    }
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

/// Copies what cargo needs, and keeps files that are the same, so that the next build is short.
fn copy_workspace(root: &Path, tree: &Path) -> Result<()> {
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
            let text = fs::read(&path).with_context(|| path.display().to_string())?;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(find: &str, replace: &str) -> Mutant {
        let text = format!(
            "id = 'x'\nchecks = ['A05']\nfile = 'a.rs'\npackage = 'p'\ntest = 't'\nfind = '{find}'\nreplace = '{replace}'"
        );
        toml::from_str(&text).expect("a mutant")
    }

    #[test]
    fn a_guard_that_stands_once_is_replaced() {
        let mutated =
            mutate("if step <= last { refuse() }", &sample("step <= last", "false")).expect("one place");
        assert_eq!(mutated, "if false { refuse() }");
    }

    #[test]
    fn a_guard_that_is_absent_or_stands_twice_is_an_error() {
        mutate("nothing", &sample("step <= last", "false")).expect_err("absent");
        mutate("a; a", &sample("a", "b")).expect_err("twice");
        mutate("a", &sample("a", "a")).expect_err("no change");
    }

    #[test]
    fn the_table_of_the_project_is_well_formed() {
        let text = include_str!("../mutants.toml");
        let table: Table = toml::from_str(text).expect("the table parses");
        check_ids(&table).expect("ids are unique");
    }
}
