//! Measures what the project promises, prints one table of ratios, and makes docs/performance.md of it.
//!
//! Holds no measurement itself: programs of `benches` and of `src/bin` tell their runs, one line of JSON each
//! ([`runs`]). A row is a line of [`rows::ROWS`].

mod machine;
mod page;
mod privacyidea;
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
use crate::steps::now;
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
    /// Measure nothing: make one report of these, which --json wrote before; all their runs count alike.
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with_all = ["only", "profile"])]
    from: Vec<PathBuf>,
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
        if self.is_quick { 700 } else { 1_200 }
    }
}

/// # Errors
/// When nothing could be measured, a file cannot be written, or a measured row does not reach its target.
pub fn run(options: &Options) -> Result<()> {
    let report = if options.from.is_empty() {
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
        measured(options, &machine, &scale)?
    } else {
        let reports = options.from.iter().map(|file| Report::read(file)).collect::<Result<Vec<_>>>()?;
        let report = Report::together(&reports)?;
        options.json.as_deref().map_or(Ok(()), |file| report.write(file))?;
        report
    };
    println!("\n{}, commit {}", report.machine, report.commit);
    print!("{}", report.table());
    if let Some(file) = &options.markdown {
        fs::write(file, page::page(&report)).with_context(|| file.display().to_string())?;
    }
    let missed = report.missed();
    ensure!(missed.is_empty(), "not reached: {}", missed.join(", "));
    Ok(())
}

/// Measures what is asked for. The file is written after each program: what was measured is not lost with a later one.
fn measured(options: &Options, machine: &Machine, scale: &Scale) -> Result<Report> {
    let rows = rows_asked_for(options)?;
    let (begun, commit) = (now(), machine::commit());
    let kept = options.json.as_deref().filter(|_| !options.only.is_empty());
    let older = kept.and_then(|file| Report::read(file).ok());
    let gather = |runs: &Runs| {
        let report = Report::new(machine.clone(), commit.clone(), options.quick, &rows, runs);
        match &older {
            Some(older) => report.completed_by(older.clone()),
            None => report,
        }
    };
    let mut runs = Runs::default();
    let programs: BTreeSet<Program> = rows.iter().map(|row| row.program).collect();
    for program in programs {
        if let Err(error) = programs::prepare(program) {
            let rows = rows.iter().filter(|row| row.program == program);
            rows.for_each(|row| runs.miss(row.id, format!("{error:#}")));
        }
    }
    let runners: BTreeSet<Program> = rows.iter().map(|row| row.program.runner()).collect();
    for runner in runners {
        let ours = rows.iter().filter(|row| row.program.runner() == runner && !runs.knows(row.id));
        let ids: Vec<&str> = ours.map(|row| row.id).collect();
        if ids.is_empty() {
            continue;
        }
        println!("{} s: measuring {}", begun.elapsed().as_secs(), ids.join(", "));
        measure(runner, &ids, scale, &mut runs);
        if let Some(file) = &options.json {
            gather(&runs).write(file)?;
        }
    }
    println!("{} s: all was measured", begun.elapsed().as_secs());
    Ok(gather(&runs))
}

fn rows_asked_for(options: &Options) -> Result<Vec<&'static Row>> {
    if options.only.is_empty() {
        return Ok(ROWS.iter().filter(|row| options.peers || !row.program.is_peer()).collect());
    }
    options.only.iter().map(|id| report::row_of(id)).collect()
}

/// Has a program measure its rows. What fails is a reason in the table, and the others go on.
fn measure(runner: Program, ids: &[&str], scale: &Scale, runs: &mut Runs) {
    let told = programs::measure(runner, ids, scale);
    let failure = match told {
        Ok(told) => runs.take(&told.lines).err().or(told.failure),
        Err(error) => Some(error),
    };
    if let Some(error) = failure {
        eprintln!("{error:#}");
        let untold: Vec<&str> = ids.iter().copied().filter(|id| !runs.knows(id)).collect();
        untold.iter().for_each(|id| runs.miss(id, format!("{error:#}")));
    }
}
