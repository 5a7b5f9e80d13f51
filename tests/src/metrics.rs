//! What the daemon counts, and how much memory it has.

use std::fs;

use rustix::process::Pid;

use crate::machine::run;

/// A number of `GET /metrics`.
///
/// * `line`: name and labels, such as `postern_verifications_total{result="allow"}`.
///
/// # Panics
/// When the daemon does not answer, or has no such line.
#[track_caller]
pub fn read(line: &str) -> u64 {
    let curl = ["--silent", "--fail", "--unix-socket", wire::ADMIN_SOCKET, "http://localhost/metrics"];
    let text = run("curl", &curl);
    let value = text.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no {line} in:\n{text}")).parse().expect("a number")
}

/// Logins that were let in so far.
#[track_caller]
pub fn allowed() -> u64 {
    read("postern_verifications_total{result=\"allow\"}")
}

/// Logins that were refused so far.
#[track_caller]
pub fn refused() -> u64 {
    read("postern_verifications_total{result=\"deny\"}")
}

/// Codes that were compared with tokens so far: the work of an HMAC, or of several.
#[track_caller]
pub fn codes_evaluated() -> u64 {
    read("postern_codes_evaluated_total{kind=\"all\"}")
}

/// Bytes of memory that a process has at present (`VmRSS`, proc_pid_status(5)).
///
/// # Panics
/// When there is no such process.
#[track_caller]
pub fn resident_bytes(process: Pid) -> u64 {
    let status =
        fs::read_to_string(format!("/proc/{}/status", process.as_raw_nonzero())).expect("its status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kibibytes * 1_024
}
