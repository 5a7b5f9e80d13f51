//! `--profile`: where the servers' time goes, for rows that are not reached.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use super::Scale;
use super::programs::bench_program;
use crate::packages::{self, Need};

/// Has `bench-network` profile its servers.
///
/// # Errors
/// When the tools cannot be installed, or the profile cannot be made.
pub fn run(file: &Path, scale: &Scale) -> Result<()> {
    packages::install_missing(Need::Profile)?;
    let mut command = Command::new(bench_program("bench-network")?);
    command.arg("--profile").arg(file).arg("--dir").arg(scale.folder.join("network"));
    command.args(["--slice-ms", &scale.slice_ms().to_string()]);
    let status = command.stdin(Stdio::null()).status().context("bench-network")?;
    ensure!(status.success(), "bench-network ended with {status}");
    println!("written to {}", file.display());
    Ok(())
}
