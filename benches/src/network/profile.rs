//! Where a server's time goes under load: the functions that take most of it, and its system calls.
//!
//! `perf` and `strace` slow down what they look at, so no figure comes out of these runs but shares and counts. What is
//! written is Markdown, to be pasted beside a row of the page.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};

use super::{Bench, Load, Side};
use crate::load::Shape;
use crate::server::Transport;
use crate::tell;

/// Samples a second and thread; not a divisor of the kernel's own beat.
const SAMPLES: &str = "1999";

/// The least time that a turn takes: the tools need a part of it to begin.
const TURN_LEAST: Duration = Duration::from_secs(2);

/// How many functions are told.
const FUNCTIONS: usize = 25;

/// What is looked at: who serves, over what, and how verifications travel.
const LOADS: [(Side, Transport, Shape); 9] = [
    (Side::Hello, Transport::Tcp, Shape::Single),
    (Side::Volatile, Transport::Tcp, Shape::Single),
    (Side::Durable, Transport::Tcp, Shape::Single),
    (Side::Hello, Transport::Unix, Shape::Single),
    (Side::Volatile, Transport::Unix, Shape::Single),
    (Side::Durable, Transport::Unix, Shape::Single),
    (Side::Volatile, Transport::Tcp, Shape::Batch(100)),
    (Side::Durable, Transport::Tcp, Shape::Batch(100)),
    (Side::Durable, Transport::Tcp, Shape::Streams(16)),
];

impl Bench {
    /// Profiles all loads and writes what was found. A load that fails says why, and the others go on.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn profile(&mut self, file: &Path) -> Result<()> {
        self.plan.slice = self.plan.slice.max(TURN_LEAST);
        let mut text = String::new();
        for (side, transport, shape) in LOADS {
            let load = Load { side, transport, shape };
            tell::progress(&format!("profiling {}", load.name()));
            let found = self.profile_one(load).unwrap_or_else(|error| format!("{error:#}\n"));
            // Writing to a string does not fail.
            let _ = writeln!(text, "### {}\n\n{found}", load.name());
        }
        fs::write(file, text).with_context(|| file.display().to_string())
    }

    fn profile_one(&mut self, load: Load) -> Result<String> {
        // The first turn warms up.
        let warm = self.turn(load, true)?;
        let plain = self.turn(load, true)?;
        let process = self.running(load.side).0.id().to_string();
        let samples = self.plan.dir.join("perf.data");
        let mut perf = Command::new("perf");
        perf.args(["record", "--quiet", "-F", SAMPLES, "-p", &process, "-o"]).arg(&samples);
        let perf = Watcher::start(perf)?;
        self.turn(load, true)?;
        perf.end()?;
        let mut report = Command::new("perf");
        report.args([
            "report",
            "--stdio",
            "--no-children",
            "--percent-limit",
            "0.3",
            "--sort",
            "symbol",
            "-i",
        ]);
        let functions = functions(&output(report.arg(&samples))?);

        let calls = self.plan.dir.join("strace");
        let mut strace = Command::new("strace");
        strace.args(["-f", "-c", "-U", "calls,name", "-p", &process, "-o"]).arg(&calls);
        let strace = Watcher::start(strace)?;
        let traced = self.turn(load, true)?;
        strace.end()?;
        let calls = system_calls(&fs::read_to_string(&calls)?, traced.tally.good);
        let rate = warm.rate().max(plain.rate());
        let cost = plain.server_cpu_us;
        Ok(format!(
            "{rate:.0} requests/s, {cost:.2} us of the server's processor time each. {calls}\n{functions}"
        ))
    }
}

/// A program that looks at another one until it is interrupted.
struct Watcher(Child);

impl Watcher {
    fn start(mut command: Command) -> Result<Self> {
        let name = command.get_program().display().to_string();
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self(quiet.spawn().with_context(|| name)?))
    }

    fn end(mut self) -> Result<()> {
        kill_process(Pid::from_child(&self.0), Signal::INT)?;
        self.0.wait()?;
        Ok(())
    }
}

fn output(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The lines of a perf report that name functions, as a table.
fn functions(report: &str) -> String {
    let mut text = "| share | function |\n| --- | --- |\n".to_owned();
    let lines = report.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    for line in lines.take(FUNCTIONS) {
        let Some((share, rest)) = line.trim().split_once("  ") else { continue };
        let (place, name) = rest.trim().split_once(' ').unwrap_or_default();
        let place = if place == "[k]" { "kernel: " } else { "" };
        // Columns that are empty here may follow.
        let name = name.split("  ").next().unwrap_or_default();
        let _ = writeln!(text, "| {share} | {place}`{}` |", without_hash(name.trim()));
    }
    text
}

/// A symbol without the hash that the compiler adds.
fn without_hash(symbol: &str) -> &str {
    match symbol.rsplit_once("::h") {
        Some((name, hash)) if hash.len() == 16 && hash.chars().all(|digit| digit.is_ascii_hexdigit()) => name,
        _ => symbol,
    }
}

/// System calls for each verification, the most frequent first.
fn system_calls(summary: &str, verifications: u64) -> String {
    let mut calls: Vec<(u64, &str)> = summary
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace();
            let (count, name) = (fields.next()?.parse().ok()?, fields.next()?);
            (name != "total").then_some((count, name))
        })
        .collect();
    calls.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
    let each = |count: u64| count as f64 / verifications.max(1) as f64;
    let total: u64 = calls.iter().map(|(count, _)| count).sum();
    let often = calls.iter().filter(|(count, _)| each(*count) >= 0.001);
    let list: Vec<String> = often.map(|(count, name)| format!("{name} {:.3}", each(*count))).collect();
    format!("{:.3} system calls each, while traced: {}.\n", each(total), list.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_calls_are_counted_for_each_verification() {
        let summary =
            " calls syscall\n------ -----\n    10 read\n    25 epoll_wait\n------ -----\n    35 total\n";
        let text = system_calls(summary, 10);
        assert_eq!(text, "3.500 system calls each, while traced: epoll_wait 2.500, read 1.000.\n");
    }

    #[test]
    fn a_report_becomes_a_table_of_names() {
        let report = "# Samples\n\n    12.00%  [.] ours::hash::h0123456789abcdef     -      -\n     3.10%  [k] do_sys\n";
        let table = functions(report);
        assert!(table.ends_with("| 12.00% | `ours::hash` |\n| 3.10% | kernel: `do_sys` |\n"), "{table}");
    }
}
