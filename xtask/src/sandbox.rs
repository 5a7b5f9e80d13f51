//! Runs a program in private name spaces, where it may change users, PAM files and sockets at will.
//!
//! Deliberately knows nothing of Postern: `isolate.sh` makes the machine's own /etc, /home, /run, /var and /dev
//! throwaway copies, and the kernel ends every process that is left over.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// The script that runs inside, before the program.
const ISOLATE: &str = include_str!("isolate.sh");

/// The tests of these packages change users and PAM files, so they run here and nowhere else.
pub const PACKAGES: [&str; 3] = ["pam-harness", "system-tests", "fleet-harness"];

/// A command that runs `program` in a sandbox of its own.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    // The sandbox ends with us, however we end.
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "--", "unshare"])
        .args([
            "--mount",
            "--net",
            "--pid",
            "--ipc",
            "--uts",
            "--fork",
            "--kill-child",
            "--propagation",
            "private",
        ])
        .args(["--", "bash", "-c", ISOLATE, "isolate"])
        .arg(program);
    command
}

/// # Errors
/// When this process is not root, or the kernel gives it no private mounts (a container without CAP_SYS_ADMIN).
pub fn ensure_possible() -> Result<()> {
    ensure_root("to log in as several users in private name spaces")?;
    // What isolate.sh lays its own file systems over is not to be seen inside.
    for hidden in ["/dev", "/mnt", "/run"] {
        ensure!(
            !crate::build::workspace().starts_with(hidden),
            "the sandbox hides {hidden}: work in a clone elsewhere"
        );
    }
    let probe = command("true").output().context("cannot run unshare (package util-linux)")?;
    let why = String::from_utf8_lossy(&probe.stderr);
    ensure!(probe.status.success(), "this machine allows no private name spaces: {}", why.trim());
    Ok(())
}

/// # Errors
/// One line that says why root is needed, when this process is not root.
pub fn ensure_root(why: &str) -> Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    let owner = Path::new("/proc/self").metadata().context("/proc is not mounted")?.uid();
    ensure!(owner == 0, "must run as root {why}: try `sudo -E cargo xtask ...`");
    Ok(())
}
