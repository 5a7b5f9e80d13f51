//! Measures what the PAM module adds to a transaction, and keeps the raw numbers.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;

use crate::packages::{self, Need};
use crate::{build, sandbox};

/// The figure that the project promises.
const ADDED_MS_MAX: f64 = 2.0;

/// What `pam-overhead` prints: milliseconds for one transaction, one number for each repetition.
#[derive(serde::Deserialize, Serialize)]
struct Measured {
    /// `pam_permit` alone.
    permit: Vec<f64>,
    /// The module, a user of whom nothing is asked, and `pam_permit`.
    not_required: Vec<f64>,
    /// The module and a one-time password, and `pam_permit`.
    with_code: Vec<f64>,
}

/// The file that `--json` names.
#[derive(Serialize)]
struct Report<'a> {
    machine: String,
    commit: String,
    unit: &'static str,
    measured: &'a Measured,
}

/// * `json`: where the raw numbers go.
///
/// # Errors
/// When it cannot be measured, or the module adds more than promised.
pub fn run(json: Option<&Path>, repetitions: u32) -> Result<()> {
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
        "pam-overhead",
    ])?;
    let mut command = sandbox::command(build::target().join("release/pam-overhead"));
    command.arg(repetitions.to_string()).stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = command.output().context("pam-overhead")?;
    ensure!(output.status.success(), "pam-overhead ended with {}", output.status);
    let measured: Measured = serde_json::from_slice(&output.stdout).context("what pam-overhead measured")?;

    let report = Report { machine: machine(), commit: commit(), unit: "ms", measured: &measured };
    println!("PAM overhead, {}, commit {}, {repetitions} repetitions", report.machine, report.commit);
    println!("The store lies in memory: the time of a disk's fsync is not in these figures.");
    println!("{:<38} {:>8} {:>8} {:>8}", "ms for one transaction", "median", "least", "most");
    print_row("pam_permit", &measured.permit);
    print_row("module, nothing asked", &measured.not_required);
    print_row("module, one-time password", &measured.with_code);
    let added_nothing = added(&measured.not_required, &measured.permit);
    let added_code = added(&measured.with_code, &measured.permit);
    print_row("added where nothing is asked", &added_nothing);
    print_row("added with a one-time password", &added_code);
    if let Some(file) = json {
        fs::write(file, serde_json::to_vec_pretty(&report)?).with_context(|| file.display().to_string())?;
    }
    let worst = median(&added_nothing).max(median(&added_code));
    ensure!(worst < ADDED_MS_MAX, "the module adds {worst:.2} ms, more than {ADDED_MS_MAX}");
    println!("the module adds less than {ADDED_MS_MAX} ms");
    Ok(())
}

/// Differences within the same repetition, so that a busy moment weighs on both sides.
fn added(with: &[f64], without: &[f64]) -> Vec<f64> {
    with.iter().zip(without).map(|(with, without)| with - without).collect()
}

fn print_row(what: &str, values: &[f64]) {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    println!("{what:<38} {:>8.3} {least:>8.3} {most:>8.3}", median(values));
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

fn machine() -> String {
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let models: Vec<&str> =
        processors.lines().filter_map(|line| line.strip_prefix("model name\t: ")).collect();
    format!("{} x {}", models.len(), models.first().unwrap_or(&"unknown processor"))
}

fn commit() -> String {
    let mut git = std::process::Command::new("git");
    let output = git.current_dir(build::workspace()).args(["rev-parse", "--short", "HEAD"]).output();
    let text =
        output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    if text.is_empty() { "unknown".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_one() {
        assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn what_is_added_is_compared_within_a_repetition() {
        assert_eq!(added(&[2.0, 5.0], &[1.0, 4.5]), [1.0, 0.5]);
    }
}
