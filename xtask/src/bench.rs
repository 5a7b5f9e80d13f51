//! Measures what the project promises, prints one table of ratios, and makes docs/performance.md of it.
//!
//! Holds no measurement itself: programs of `benches` and of `src/bin` tell their runs, one line of JSON each
//! ([`runs`]). A row is a line of [`rows::ROWS`].

mod machine;
mod page;
mod profile;
mod programs;
mod report;
mod rows;
mod runs;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};

use crate::build;
use machine::Machine;
use report::Report;
use rows::{Program, ROWS, Row};
use runs::Runs;

/// What to measure, and how long.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Shorter runs: for a first look, not for the record.
    #[arg(long)]
    quick: bool,
    /// Measure programs of others too; installs what is missing.
    #[arg(long)]
    peers: bool,
    /// Only these rows.
    #[arg(long, value_name = "ID,..", value_delimiter = ',')]
    only: Vec<String>,
    /// Write all figures to this file. With --only, rows that stand in it and are not measured now stay.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the page to this file.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Profile the servers under load instead, and write what was found to this file.
    #[arg(long, value_name = "FILE")]
    profile: Option<PathBuf>,
    /// How often PAM transactions are measured.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(3..=100))]
    repetitions: u32,
}

/// How long everything takes, and where it is made.
#[derive(Clone, Debug)]
pub struct Scale {
    is_quick: bool,
    repetitions: u32,
    /// On a disk; emptied before and after.
    folder: PathBuf,
}

impl Scale {
    /// How often each side of a row has its turn.
    fn runs(&self) -> u32 {
        if self.is_quick { 3 } else { 5 }
    }

    /// How long a turn takes.
    fn slice_ms(&self) -> u32 {
        if self.is_quick { 700 } else { 3_000 }
    }
}

/// # Errors
/// When nothing could be measured, a file cannot be written, or a measured row does not reach its target.
pub fn run(options: &Options) -> Result<()> {
    let folder = build::target().join("bench");
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let folder = folder.canonicalize().with_context(|| folder.display().to_string())?;
    let machine = Machine::here(&folder);
    ensure!(
        machine.has_disk(),
        "{} lies on {}: set CARGO_TARGET_DIR to a folder on a disk, or an fsync costs nothing",
        folder.display(),
        machine.disk
    );
    let scale = Scale { is_quick: options.quick, repetitions: options.repetitions, folder };
    if let Some(file) = &options.profile {
        return profile::run(file, &scale);
    }
    let rows = rows_asked_for(options)?;
    let runs = measure(&rows, &scale);
    let mut report = Report::new(machine, machine::commit(), options.quick, &rows, runs);
    if let Some(older) = options.json.as_deref().and_then(Report::read).filter(|_| !options.only.is_empty()) {
        report = report.completed_by(older);
    }
    println!("\n{}, commit {}", report.machine, report.commit);
    print!("{}", report.table());
    if let Some(file) = &options.json {
        report.write(file)?;
    }
    if let Some(file) = &options.markdown {
        fs::write(file, page::page(&report)).with_context(|| file.display().to_string())?;
    }
    let missed = report.missed();
    ensure!(missed.is_empty(), "not reached: {}", missed.join(", "));
    Ok(())
}

fn rows_asked_for(options: &Options) -> Result<Vec<&'static Row>> {
    if options.only.is_empty() {
        return Ok(ROWS.iter().filter(|row| options.peers || !row.program.is_peer()).collect());
    }
    options.only.iter().map(|id| report::row_of(id)).collect()
}

/// Has each program measure its rows. What fails is a reason in the table, and the others go on.
fn measure(rows: &[&Row], scale: &Scale) -> Runs {
    let mut runs = Runs::default();
    let programs: BTreeSet<Program> = rows.iter().map(|row| row.program).collect();
    for program in programs {
        let ids: Vec<&str> = rows.iter().filter(|row| row.program == program).map(|row| row.id).collect();
        println!("measuring {}", ids.join(", "));
        let told = programs::measure(program, &ids, scale).and_then(|printed| runs.take(&printed));
        if let Err(error) = told {
            eprintln!("{error:#}");
            ids.iter().for_each(|id| runs.miss(id, format!("{error:#}")));
        }
    }
    runs
}
