//! A long steady load: does anything grow that must not, and does the history hold?
//!
//! Two halves of the same load, the first undisturbed, the second with kills and restarts. In the first, samples of
//! the daemon's memory, descriptors and files are taken, and lines are laid through them; see [`growth`]. After each
//! half the history checker judges all of it.
//!
//! The daemon's clock runs [`HASTE`] times as fast as ours: phones show fresh codes all the while, so that few users
//! make much load, and what the daemon forgets after a day it forgets within minutes.

pub mod growth;
mod load;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use self::growth::{Growth, Meter, Sample};
use self::load::Load;
use crate::history::Evidence;
use crate::machine::Machine;
use crate::postern;
use crate::time::{now, wait_at_most};
use crate::verifier::{Verifier, config};

/// How many times as fast as ours the daemon's clock runs.
pub const HASTE: u64 = 240;

/// Longest wait for a daemon that was killed: it reads all that it has, while other work may hold the machine.
const RESTART_MAX: Duration = Duration::from_secs(300);

/// How long, and how much.
#[derive(Clone, Debug, Serialize)]
pub struct Settings {
    /// Seconds of both halves together.
    pub seconds: u64,
    /// How many users log in.
    pub users: usize,
    /// How many things are asked of the daemon each second.
    pub each_second: u64,
    /// Seconds between two kills in the second half.
    pub kill_every_seconds: u64,
}

/// What a run came to.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The report's own format.
    pub version: u16,
    /// What was asked for.
    pub settings: Settings,
    /// Of the undisturbed half, after the warm-up.
    pub growth: Growth,
    /// Of the undisturbed half, from its beginning.
    pub samples: Vec<Sample>,
    /// The undisturbed half.
    pub calm: Half,
    /// The half with kills; absent while it is still to come.
    pub killed: Option<Half>,
}

/// What was told in one half; the history checker found nothing in it.
#[derive(Debug, Serialize)]
pub struct Half {
    /// How many verdicts clients got.
    pub answers: usize,
    /// How many of them let somebody in.
    pub accepts: usize,
    /// Audit records at the end, those of earlier halves counted in.
    pub records: usize,
    /// How often the daemon was killed.
    pub kills: usize,
    /// What else was done, and how often.
    pub done: load::Done,
}

/// Runs both halves.
///
/// # Panics
/// With every contradiction that the history checker finds.
pub fn run(settings: &Settings) -> Report {
    let machine = Machine::new();
    let mut verifier = Verifier::prepare(&config("")).with_stepped_waits();
    verifier.initialise();
    verifier.launch();
    let load = Load::enrol(&machine, &verifier, settings);
    let half = Duration::from_secs(settings.seconds / 2);

    let meter = Meter::of(&verifier);
    let samples = load.run(&verifier.clock.clone(), || meter.watch(half));
    let calm = judge(&load, 0);
    let growth = Growth::of(&samples);
    let mut report = Report { version: 1, settings: settings.clone(), growth, samples, calm, killed: None };
    // What was measured so far is not lost with the second half.
    report.publish();
    let mut kills = 0;
    load.run(&verifier.clock.clone(), || {
        let end = now() + half;
        while now() < end {
            wait_at_most(Duration::from_secs(settings.kill_every_seconds), || None::<()>);
            verifier.kill();
            verifier.spawn_under(&[]);
            let ready = wait_at_most(RESTART_MAX, || postern::is_ready().then_some(()));
            assert!(ready.is_some(), "the daemon was not ready within {RESTART_MAX:?}");
            kills += 1;
        }
    });
    report.killed = Some(judge(&load, kills));
    report.publish();
    report
}

impl Report {
    /// Writes it where somebody wants it: to the file that `POSTERN_SOAK_REPORT` names.
    fn publish(&self) {
        let Some(file) = std::env::var_os("POSTERN_SOAK_REPORT").map(PathBuf::from) else { return };
        let text = serde_json::to_string_pretty(self).expect("numbers and texts");
        fs::write(&file, text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }
}

fn judge(load: &Load, kills: usize) -> Half {
    let evidence = Evidence::of_daemon();
    let (answers, accepts) = load.history().with(|history| {
        history.judge(&evidence);
        (history.answered(), history.accepted())
    });
    Half { answers, accepts, records: evidence.trail.len(), kills, done: load.done() }
}
