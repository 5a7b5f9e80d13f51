//! Builds what the commands run: the installed programs in release, the test programs in dev.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

/// One compiled test program.
#[derive(Clone)]
pub struct TestProgram {
    /// `login` for tests/tests/login.rs, the crate's name for unit tests.
    pub name: String,
    /// Where it is.
    pub executable: PathBuf,
    /// Where cargo would run it: the folder of its package.
    pub folder: PathBuf,
}

/// The lines of `cargo test --no-run --message-format=json` that we read.
#[derive(Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    executable: Option<PathBuf>,
    #[serde(default)]
    manifest_path: PathBuf,
    #[serde(default)]
    target: Option<Target>,
    #[serde(default)]
    profile: Option<Profile>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

/// The cargo that runs us, or the one on the path.
pub fn cargo() -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.current_dir(workspace()).stdin(std::process::Stdio::null());
    command
}

/// The workspace's root folder.
pub fn workspace() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_owned()
}

/// Where cargo builds.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from)
}

/// Runs cargo and shows what it says.
///
/// # Errors
/// When it cannot be run or ends with a failure.
pub fn run_cargo(arguments: &[&str]) -> Result<()> {
    run(cargo().args(arguments))
}

/// Runs a command and shows what it says.
///
/// # Errors
/// When it cannot be run or ends with a failure.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run {command:?}"))?;
    ensure!(status.success(), "{:?} ended with {status}", command.get_program());
    Ok(())
}

/// Builds the programs that an administrator installs, as he would get them.
///
/// # Errors
/// When cargo fails.
pub fn release(extra: &[&str]) -> Result<()> {
    let mut arguments = vec!["build", "--release", "--locked"];
    for package in ["pam-module", "verifierd", "agent", "cli"].iter().chain(extra) {
        arguments.extend(["-p", package]);
    }
    run_cargo(&arguments)
}

/// Builds the module that can panic on demand, which only the PAM harness loads.
///
/// # Errors
/// When cargo fails.
pub fn fault_module() -> Result<()> {
    let folder = target().join("postern-fault").display().to_string();
    let arguments = ["rustc", "--release", "--locked", "-p", "pam-module", "--target-dir", &folder];
    run_cargo(&[&arguments[..], &["--", "--cfg", "postern_fault"]].concat())
}

/// Builds the test programs of some packages without running them.
///
/// # Errors
/// When cargo fails.
pub fn test_programs(packages: &[&str]) -> Result<Vec<TestProgram>> {
    let mut command = cargo();
    command.arg("test");
    for package in packages {
        command.args(["-p", package]);
    }
    test_programs_of(&mut command)
}

/// Builds what a `cargo test` would run.
///
/// # Errors
/// When cargo fails.
pub fn test_programs_of(command: &mut Command) -> Result<Vec<TestProgram>> {
    command.args(["--no-run", "--locked", "--message-format=json-render-diagnostics"]);
    let output = command.stderr(std::process::Stdio::inherit()).output().context("cannot run cargo")?;
    ensure!(output.status.success(), "{command:?} could not build the tests");
    let mut programs = Vec::new();
    for line in String::from_utf8(output.stdout).context("cargo's messages")?.lines() {
        let message: Message = serde_json::from_str(line).context("a message of cargo")?;
        let is_test = message.reason == "compiler-artifact" && message.profile.is_some_and(|it| it.test);
        if let (true, Some(executable), Some(target)) = (is_test, message.executable, message.target) {
            let folder = message.manifest_path.parent().context("manifest path")?.to_owned();
            programs.push(TestProgram { name: target.name, executable, folder });
        }
    }
    programs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(programs)
}
