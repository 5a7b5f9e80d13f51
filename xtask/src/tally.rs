//! Passes the output of test runners through and adds up their closing lines (`test result: ...`).

use std::io::{BufRead as _, BufReader, Write};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

/// What the closing lines of some test runners say together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Tests that passed.
    pub passed: u64,
    /// Tests that failed.
    pub failed: u64,
    /// Tests that were not run although they should: ignored ones. Filtered ones are not counted.
    pub ignored: u64,
    /// How many closing lines were read.
    pub runners: u64,
}

impl Tally {
    /// Adds what another has.
    pub fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
        self.runners += other.runners;
    }

    /// Runs a test runner, shows what it says and adds its closing lines.
    ///
    /// # Errors
    /// When it cannot be run, ends with a failure, or says no closing line.
    pub fn run(&mut self, command: &mut Command) -> Result<()> {
        self.run_into(&mut std::io::stdout(), command)
    }

    /// The same, with what it says written to `shown`.
    ///
    /// # Errors
    /// As [`Self::run`], and when `shown` cannot be written to.
    pub fn run_into(&mut self, shown: &mut impl Write, command: &mut Command) -> Result<()> {
        let program = command.get_program().to_owned();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run {}", program.display()))?;
        let output = child.stdout.take().context("the runner has no output")?;
        let before = self.runners;
        for line in BufReader::new(output).split(b'\n') {
            let line = line.context("reading the runner's output")?;
            let line = String::from_utf8_lossy(&line);
            writeln!(shown, "{line}").context("showing the runner's output")?;
            self.read_line(&line);
        }
        let status = child.wait().context("waiting for the runner")?;
        ensure!(status.success(), "{} ended with {status}", program.display());
        ensure!(self.runners > before, "{} said no closing line", program.display());
        Ok(())
    }

    /// Adds one line if it is a closing line.
    pub fn read_line(&mut self, line: &str) {
        // The test harness writes a captured line in front of it when a test prints without a newline.
        let Some((_, counts)) = line.split_once("test result: ") else { return };
        self.runners += 1;
        for part in counts.split([';', '.']) {
            let mut words = part.split_whitespace();
            let (Some(number), Some(word)) = (words.next(), words.next()) else { continue };
            let Ok(number) = number.parse::<u64>() else { continue };
            match word {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Tally;

    fn check(lines: &[&str], passed: u64, failed: u64, ignored: u64, runners: u64) {
        let mut tally = Tally::default();
        for line in lines {
            tally.read_line(line);
        }
        assert_eq!(tally, Tally { passed, failed, ignored, runners });
    }

    #[test]
    fn closing_lines_of_several_runners_are_added() {
        check(
            &[
                "running 3 tests",
                "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 7 filtered out; finished in 0.00s",
                "test result: FAILED. 2 passed; 1 failed; 4 ignored; 0 measured; 0 filtered out; finished in 1.25s",
            ],
            5,
            1,
            4,
            2,
        );
    }

    #[test]
    fn other_lines_count_nothing() {
        check(&["3 passed; 1 failed", "test login::works ... ok", ""], 0, 0, 0, 0);
    }
}
