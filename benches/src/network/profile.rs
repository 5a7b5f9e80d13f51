//! Where a server's time goes under load: the functions that take most of it, and its system calls.
//!
//! `perf` and `strace` slow down what they look at, so no figure comes out of these runs but shares and counts.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};

use super::{Bench, Side};
use crate::load::Shape;
use crate::server::Transport;

/// Samples a second and thread; not a divisor of the kernel's own beat.
const SAMPLES: &str = "1999";

/// How many functions are told.
const FUNCTIONS: usize = 40;

/// What is looked at: who serves, over what, and how verifications travel.
const LOADS: [(Side, Transport, Shape); 5] = [
    (Side::Hello, Transport::Tcp, Shape::Single),
    (Side::Volatile, Transport::Tcp, Shape::Single),
    (Side::Volatile, Transport::Tcp, Shape::Batch(100)),
    (Side::Durable, Transport::Tcp, Shape::Single),
    (Side::Durable, Transport::Tcp, Shape::Batch(100)),
];

impl Bench {
    /// Profiles all loads and writes what was found. A load that fails says why, and the others go on.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn profile(&mut self, file: &Path) -> Result<()> {
        let mut text = String::new();
        for (side, transport, shape) in LOADS {
            let title = format!("{} over {transport:?}, {shape:?}", side.name());
            let found =
                self.profile_one(side, transport, shape).unwrap_or_else(|error| format!("{error:#}\n"));
            // Writing to a string does not fail.
            let _ = writeln!(text, "== {title}\n\n{found}");
        }
        fs::write(file, text).with_context(|| file.display().to_string())
    }

    fn profile_one(&mut self, side: Side, transport: Transport, shape: Shape) -> Result<String> {
        let (slice, dir) = (self.plan.slice, self.plan.dir.clone());
        let (server, keys) = self.side(side)?;
        let process = server.id().to_string();
        // The first slice warms up.
        let plain = server.closed(keys, transport, shape, slice)?;
        let mut text = format!(
            "{:.0} verifications/s, {:.2} us of the server's processor time each\n\n",
            plain.rate(),
            plain.server_cpu_us
        );

        let samples = dir.join("perf.data");
        let mut perf = Command::new("perf");
        perf.args(["record", "--quiet", "-F", SAMPLES, "-p", &process, "-o"]).arg(&samples);
        let perf = Watcher::start(perf)?;
        server.closed(keys, transport, shape, slice)?;
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
        text.push_str(&functions(&output(report.arg(&samples))?));

        let calls = dir.join("strace");
        let mut strace = Command::new("strace");
        strace.args(["-f", "-c", "-U", "calls,name", "-p", &process, "-o"]).arg(&calls);
        let strace = Watcher::start(strace)?;
        let traced = server.closed(keys, transport, shape, slice)?;
        strace.end()?;
        text.push_str(&system_calls(&fs::read_to_string(&calls)?, traced.tally.good));
        Ok(text)
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

/// The lines of a perf report that name functions.
fn functions(report: &str) -> String {
    let lines = report.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    lines.take(FUNCTIONS).map(|line| format!("{}\n", line.trim())).collect()
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
    let mut text = format!("\n{:.3} system calls for each verification, while traced:\n", each(total));
    for (count, name) in calls.iter().filter(|(count, _)| each(*count) >= 0.001) {
        let _ = writeln!(text, "{:>8.3}  {name}", each(*count));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_calls_are_counted_for_each_verification() {
        let summary =
            " calls syscall\n------ -----\n    10 read\n    25 epoll_wait\n------ -----\n    35 total\n";
        let text = system_calls(summary, 10);
        assert!(text.contains("3.500 system calls"), "{text}");
        assert!(text.find("epoll_wait") < text.find("read"), "{text}");
    }

    #[test]
    fn comments_of_a_report_are_left_out() {
        assert_eq!(functions("# Samples\n\n    12.00%  [.] hash\n"), "12.00%  [.] hash\n");
    }
}
