//! Everything that a change must pass, in one command.
//!
//! A step that fails does not keep the later ones from running, so that one run tells all that is wrong. A test that
//! was skipped, or a tool that is missing, is a failure.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};

use crate::build::{self, TestProgram};
use crate::mutants;
use crate::packages::{self, Need};
use crate::steps::Steps;
use crate::tally::Tally;
use crate::witness::Witness;
use crate::{python, sandbox, tidy, units};

/// The version that this project's `deny.toml` was written for.
const CARGO_DENY_VERSION: &str = "0.20.2";

/// Runs every step and prints the sum of all test runners.
///
/// # Errors
/// When any step failed, or any test failed or was skipped.
pub fn run() -> Result<()> {
    let mut steps = Steps::new(14);
    let mut tally = Tally::default();

    let installed = steps.run("packages", || {
        packages::install_missing(Need::Tests)?;
        python::SCHEMATHESIS.install()
    });
    let witness = steps.run("what the machine looks like", Witness::take);
    let _ = steps.run("fmt", || build::run_cargo(&["fmt", "--all", "--check"]));
    let _ = steps.run("clippy", clippy);
    let _ = steps.run("tidy", tidy::run);
    let _ = steps.run("deny: bans, licences, sources", deny);
    let _ = steps.run("doc", doc);
    let built = steps.run("build release", || {
        build::release(&["loadtest"])?;
        build::fault_module()
    });
    let _ = steps.run("systemd units", units::check);
    let _ = steps.run("unit and property tests", || unit_tests(&mut tally));
    let programs =
        steps.run("build the tests of the whole system", || build::test_programs(&sandbox::PACKAGES));
    let _ = steps.run("PAM and whole-system tests", || {
        ensure!(installed.is_ok() && built.is_ok(), "packages or programs are missing");
        sandbox::ensure_possible()?;
        run_sandboxed(&programs.context("the tests are not built")?, &mut tally)
    });
    let _ = steps.run("mutants", || mutants::run("", &mut tally));
    let _ = steps.run("the machine is as it was", || witness?.compare());

    steps.print_timings();
    conclude(&steps, tally)
}

/// Prints the summary and decides.
fn conclude(steps: &Steps, tally: Tally) -> Result<()> {
    let failed = steps.failed();
    println!("\n{} test runners, {} tests skipped", tally.runners, tally.ignored);
    if !failed.is_empty() {
        println!("failed steps: {}", failed.join("; "));
    }
    println!("{} passed, {} failed", tally.passed, tally.failed);
    ensure!(failed.is_empty(), "failed: {}", failed.join("; "));
    ensure!(tally.failed == 0, "{} tests failed", tally.failed);
    ensure!(tally.ignored == 0, "{} tests were skipped", tally.ignored);
    Ok(())
}

fn clippy() -> Result<()> {
    build::run_cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--features",
        "xtask/measure",
        "--locked",
        "--",
        "-D",
        "warnings",
    ])
}

fn doc() -> Result<()> {
    let mut command = build::cargo();
    command.args(["doc", "--workspace", "--no-deps", "--document-private-items", "--locked"]);
    build::run(command.env("RUSTDOCFLAGS", "-D warnings"))
}

/// Bans, licences and sources need no network; advisories would need a copy of their database.
fn deny() -> Result<()> {
    let tools = build::workspace().join("target/tools");
    if cargo_deny(&tools).is_none() {
        let root = tools.to_string_lossy().into_owned();
        println!("      installing cargo-deny {CARGO_DENY_VERSION} into target/tools");
        let version = ["--version", CARGO_DENY_VERSION];
        let arguments =
            ["install", "cargo-deny", version[0], version[1], "--locked", "--debug", "--root", &root];
        build::run_cargo(&arguments)?;
    }
    // cargo-deny looks at the dependencies of every platform; offline they must all be there.
    build::run_cargo(&["fetch", "--locked"])?;
    let mut command = std::process::Command::new(cargo_deny(&tools).context("cargo-deny is not there")?);
    command.current_dir(build::workspace()).args(["--offline", "check", "bans", "licenses", "sources"]);
    build::run(&mut command)
}

fn cargo_deny(tools: &std::path::Path) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.push(tools.join("bin"));
    folders.into_iter().map(|folder| folder.join("cargo-deny")).find(|program| program.is_file())
}

fn unit_tests(tally: &mut Tally) -> Result<()> {
    let mut command = build::cargo();
    command.args(["test", "--workspace", "--locked", "--no-fail-fast"]);
    for package in sandbox::PACKAGES {
        command.args(["--exclude", package]);
    }
    tally.run(&mut command)
}

/// Runs each test program in a sandbox of its own, one test after the other: there is one port and one `/etc`. Two
/// programs run beside each other, because most of their time is waiting: for sshd, for clocks, for beats. Those of the
/// fleet measure how thousands share a machine, so they have it to themselves.
///
/// # Errors
/// When any of them failed; all of them are run.
fn run_sandboxed(programs: &[TestProgram], tally: &mut Tally) -> Result<()> {
    let (alone, shared): (Vec<_>, Vec<_>) =
        programs.iter().partition(|program| program.folder.ends_with("fleet"));
    let sum = Mutex::new((Tally::default(), Vec::new()));
    let lane = |queue: &Mutex<std::vec::IntoIter<_>>| {
        let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
        while let Some(program) = next() {
            run_one(program, &sum);
        }
    };
    let queue = Mutex::new(shared.into_iter());
    std::thread::scope(|scope| {
        scope.spawn(|| lane(&queue));
        lane(&queue);
    });
    lane(&Mutex::new(alone.into_iter()));
    let (counted, failed) = sum.into_inner().unwrap_or_else(PoisonError::into_inner);
    tally.add(counted);
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(())
}

/// Runs a program, shows what it said when it has ended, and adds it to the sum.
fn run_one<'a>(program: &'a TestProgram, sum: &Mutex<(Tally, Vec<&'a str>)>) {
    let mut command = sandbox::command(&program.executable);
    command.current_dir(&program.folder).arg("--test-threads=1");
    let (mut said, mut tally) = (Vec::new(), Tally::default());
    let outcome = tally.run_into(&mut said, &mut command);
    let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
    println!("      {}\n{}", program.name, String::from_utf8_lossy(&said));
    sum.0.add(tally);
    if let Err(error) = outcome {
        println!("      {}: {error:#}", program.name);
        sum.1.push(&program.name);
    }
}
