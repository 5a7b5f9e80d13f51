//! The power goes at any moment, and the disk keeps what it was told to keep and any part of the rest.

use std::path::Path;
use std::process::Stdio;

use ledger_harness::script::history;
use ledger_harness::{judge, make_store};
use system_tests::chance::Chance;
use system_tests::faults::{Folder, Recording, power_loss};
use system_tests::rounds;

/// How many losses of power each recording is put through.
fn losses() -> usize {
    rounds("POSTERN_LOSSES", 80)
}

/// A run of the writer, and what its store held before.
struct Run {
    before: Folder,
    recording: Recording,
}

/// * `sessions`, `bursts`, `seed`: as the writer takes them.
fn record(sessions: usize, bursts: usize, seed: u64) -> Run {
    let room = scratch();
    let (store, trace) = (room.path().join("store"), room.path().join("trace"));
    make_store(&store);
    let before = Folder::read(&store).expect("a store's files");
    let mut command = Recording::command(&trace, env!("CARGO_BIN_EXE_ledger-writer"));
    command.arg(&store).args([sessions.to_string(), bursts.to_string(), seed.to_string()]);
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status().expect("strace");
    assert!(status.success(), "the writer ended with {status}");
    Run { before, recording: Recording::read(&trace, &store) }
}

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder for the test")
}

/// Loses power at random moments of a run; returns what was wrong afterwards.
fn defects(run: &Run, losses: usize, seed: u64) -> Vec<String> {
    let room = scratch();
    let mut chance = Chance::new(seed);
    let lose = |chance: &mut Chance| {
        let moment = chance.below(run.recording.moments());
        let after = power_loss(&run.before, &run.recording, moment, chance);
        let said: Vec<u8> = run.recording.said_before(moment).flatten().copied().collect();
        after.write(room.path()).expect("a folder in memory");
        let judged = judge(room.path(), &history(&said));
        judged.err().map(|defect| format!("power lost at line {moment}: {defect}"))
    };
    (0..losses).filter_map(|_| lose(&mut chance)).collect()
}

#[track_caller]
fn check(run: &Run, seed: u64) {
    let said = run.recording.said_before(run.recording.moments()).count();
    assert!(said > 0 && run.recording.syncs() > 0, "the recording holds nothing: {said} answers");
    let losses = losses();
    let found = defects(run, losses, seed);
    assert!(found.is_empty(), "{} of {losses} losses:\n{}", found.len(), found.join("\n"));
    println!("{losses} losses of power in {} moments, {said} answers", run.recording.moments());
}

// covers: G06, G01
#[test]
fn no_loss_of_power_takes_back_what_was_told_in_a_long_session() {
    check(&record(1, 60, 1), 1);
}

// covers: G06, G01
#[test]
fn no_loss_of_power_takes_back_what_was_told_between_sessions_that_fold_and_empty_the_log() {
    check(&record(6, 8, 2), 2);
}

// covers: G06, G01
#[test]
fn no_loss_of_power_takes_back_what_was_told_in_short_bursts() {
    check(&record(2, 25, 3), 3);
}

// covers: G06
#[test]
fn a_store_that_is_never_synced_is_found_out() {
    let Run { before, recording } = record(2, 15, 4);
    let found = defects(&Run { before, recording: recording.without_syncs() }, losses(), 4);
    // A loss late in the run takes back nearly everything; an early one has nothing to take.
    assert!(found.len() > losses() / 4, "only {} of {}:\n{}", found.len(), losses(), found.join("\n"));
}

// covers: G05
#[test]
fn the_judge_notices_a_store_that_is_older_than_what_was_told() {
    let Run { before, recording } = record(1, 5, 5);
    let room = scratch();
    before.write(Path::new(room.path())).expect("a folder in memory");
    let said: Vec<u8> = recording.said_before(recording.moments()).flatten().copied().collect();
    let defect = judge(room.path(), &history(&said)).expect_err("nothing of it is there");
    assert!(defect.contains("not in the trail"), "{defect}");
}
