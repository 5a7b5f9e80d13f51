//! The process is killed at each of its system calls: before and after every write, every sync, every answer.

use std::process::Stdio;

use ledger_harness::script::history;
use ledger_harness::{judge, make_store};
use system_tests::faults::killed_at;

/// Kills the writer at every `stride`th call of a kind, until it lives to the end; returns how often it was killed.
fn kill_at_each(calls: &str, stride: usize) -> usize {
    let mut kills = 0;
    for when in (1..).step_by(stride) {
        let room = tempfile::tempdir().expect("a folder for the test");
        make_store(room.path());
        let mut command = killed_at(calls, when, env!("CARGO_BIN_EXE_ledger-writer"));
        // One that opens it once more, so that an unclean start is part of the run.
        command.arg(room.path()).args(["2", "3", &when.to_string()]);
        let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().expect("strace");
        let judged = judge(room.path(), &history(&output.stdout));
        judged.unwrap_or_else(|defect| panic!("killed at {calls} number {when}: {defect}"));
        if output.status.success() {
            break;
        }
        kills += 1;
    }
    kills
}

// covers: G01
#[test]
fn killed_before_or_after_any_write_the_store_keeps_what_was_told() {
    let kills = kill_at_each("pwrite64", 9);
    assert!(kills >= 5, "{kills} kills");
}

// covers: G01
#[test]
fn killed_before_or_after_any_sync_the_store_keeps_what_was_told() {
    let kills = kill_at_each("fsync,fdatasync", 1);
    assert!(kills >= 6, "{kills} kills");
}

// covers: G01
#[test]
fn killed_before_or_after_any_answer_the_store_keeps_what_was_told() {
    let kills = kill_at_each("write", 2);
    assert!(kills >= 6, "{kills} kills");
}

// covers: G01
#[test]
fn killed_while_names_and_lengths_change_the_store_keeps_what_was_told() {
    let kills = kill_at_each("rename,renameat,renameat2,unlink,unlinkat,ftruncate,fallocate", 1);
    assert!(kills >= 2, "{kills} kills");
}
