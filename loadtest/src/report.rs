//! What a run tells at its end: a few lines for people, everything as JSON.
//!
//! Both name the machine, the commit if it is known, and the settings: a figure without them means little.

use std::fmt::Display;

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::args::ReportArgs;
use crate::clock::Clock;
use crate::machine::Machine;

/// Most miscounts that are shown to people; the JSON report holds more.
pub const MISCOUNTS_SHOWN_MAX: usize = 20;

/// Whether everything was as it must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Conclusion {
    /// It was.
    Right,
    /// It was not.
    Miscounted,
}

impl Conclusion {
    /// For people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Right => "all as it must be",
            Self::Miscounted => "MISCOUNTED",
        }
    }
}

/// One line for people.
#[derive(Debug)]
pub struct Row {
    label: &'static str,
    value: String,
}

impl Row {
    /// A line.
    pub fn new(label: &'static str, value: impl Display) -> Self {
        Self { label, value: value.to_string() }
    }
}

/// A whole run.
#[derive(Debug, Serialize)]
pub struct Report<'a, S, R> {
    tool: &'static str,
    version: &'static str,
    machine: Machine,
    commit: Option<&'a str>,
    ended_at_ms: u64,
    duration_ms: u64,
    settings: S,
    conclusion: Option<Conclusion>,
    result: R,
}

impl<'a, S: Serialize, R: Serialize> Report<'a, S, R> {
    /// A report of a run that ends now.
    pub fn new(tool: &'static str, args: &'a ReportArgs, settings: S, result: R, clock: Clock) -> Self {
        Self {
            tool,
            version: env!("CARGO_PKG_VERSION"),
            machine: Machine::here(),
            commit: args.commit.as_deref(),
            ended_at_ms: clock.unix_ms(),
            duration_ms: u64::try_from(clock.elapsed().as_millis()).unwrap_or(u64::MAX),
            settings,
            conclusion: None,
            result,
        }
    }

    /// Prints and writes it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn publish(
        mut self,
        args: &ReportArgs,
        rows: Vec<Row>,
        conclusion: Conclusion,
    ) -> Result<Conclusion> {
        self.conclusion = Some(conclusion);
        print_row("loadtest", self.tool);
        print_row("machine", &self.machine.to_string());
        print_row("commit", self.commit.unwrap_or("unknown"));
        print_row("settings", &serde_json::to_string(&self.settings).context("cannot tell the settings")?);
        rows.iter().for_each(|row| print_row(row.label, &row.value));
        print_row("conclusion", conclusion.words());
        if let Some(path) = &args.json {
            let json = serde_json::to_string_pretty(&self).context("cannot encode the report")?;
            std::fs::write(path, json + "\n").with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(conclusion)
    }
}

/// Prints a line for people.
pub fn print_row(label: &str, value: &str) {
    println!("{label:16}{value}");
}
