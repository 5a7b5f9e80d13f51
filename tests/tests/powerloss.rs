//! The power goes while people log in: the whole daemon on a disk that keeps only what it was told to keep.
//!
//! `ledger-harness` puts the store alone through hundreds of such losses; here the answers of the real daemon stand
//! in the same recording as its writes, so that an accept told before its commit is found out.

use std::fs;
use std::path::Path;

use system_tests::chance::Chance;
use system_tests::faults::{Folder, Recording, power_loss};
use system_tests::history::{Evidence, SharedHistory};
use system_tests::scenario::{Scenario, pass_steps};
use system_tests::time::wait_for;
use system_tests::verifier::{STATE, log_text};
use system_tests::{machine, postern, rounds};

/// How many decisions are recorded.
const DECISIONS: u64 = 300;

// covers: G06, G01
#[test]
fn after_any_loss_of_power_what_was_told_is_in_the_store_and_nothing_is_accepted_again() {
    let mut scenario = Scenario::start(6);
    scenario.verifier.stop();
    let before = Folder::read(Path::new(STATE)).expect("the store's files");
    let recording = record(&mut scenario);
    let losses = rounds("POSTERN_LOSSES", 25);
    let mut chance = Chance::new(1);
    let mut told = 0;
    for loss in 0..losses {
        let moment = chance.below(recording.moments());
        let after = power_loss(&before, &recording, moment, &mut chance);
        let judged = judge(&mut scenario, &after, recording.said_before(moment));
        told += judged.unwrap_or_else(|defect| panic!("loss {loss}, at line {moment}: {defect}"));
    }
    assert!(told > losses, "only {told} accepts had been told in {losses} losses");

    // The same run on a disk that was never told to keep anything must be found out.
    let (moment, never) = (recording.moments() - 1, recording.clone().without_syncs());
    let mut lose = || {
        let after = power_loss(&before, &never, moment, &mut chance);
        judge(&mut scenario, &after, never.said_before(moment)).is_err()
    };
    assert!((0..10).any(|_| lose()), "nobody notices that nothing was ever synced");
    println!("{losses} losses in {} moments with {} syncs", recording.moments(), recording.syncs());
}

/// Starts a daemon on what power left, sends every code once more, and judges; returns how many accepts had been told.
fn judge<'a>(
    scenario: &mut Scenario,
    left: &Folder,
    said: impl Iterator<Item = &'a [u8]>,
) -> Result<usize, String> {
    left.write(Path::new(STATE)).expect("the store's folder");
    let history = scenario.history_told_by(said);
    let told = history.accepted();
    scenario.verifier.spawn_under(&[]);
    if !scenario.verifier.comes_up() {
        return Err(format!("the daemon does not start: {}", log_text().lines().last().unwrap_or_default()));
    }
    let history = SharedHistory::of(history);
    scenario.resubmit_into(&history);
    let evidence = Evidence::of_daemon();
    scenario.verifier.kill();
    match history.with(|history| history.contradictions(&evidence)).first() {
        None => Ok(told),
        Some(contradiction) => Err(contradiction.to_string()),
    }
}

/// Lets people log in while the daemon is recorded, from its start to its end in order.
fn record(scenario: &mut Scenario) -> Recording {
    let trace = machine::folder().join("trace");
    let command = Recording::command(&trace, "");
    // As a process beside the daemon, which is then our own child, to be asked to end.
    let mut wrapper: Vec<&str> = vec!["strace", "-D"];
    wrapper.extend(command.get_args().filter_map(|argument| argument.to_str()).filter(|it| !it.is_empty()));
    scenario.verifier.launch_under(&wrapper);
    scenario.strike(|verifier| {
        let clock = verifier.clock.clone();
        pass_steps(&clock, "enough logins", || {
            let status = postern::status();
            (status.accepted + status.refused >= DECISIONS).then_some(())
        });
    });
    scenario.verifier.stop();
    wait_for("the recording to end", || {
        let text = fs::read_to_string(&trace).ok()?;
        text.trim_end().ends_with("+++ exited with 0 +++").then_some(())
    });
    Recording::read(&trace, Path::new(STATE))
}
