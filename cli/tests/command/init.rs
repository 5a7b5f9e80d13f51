//! `postern init` runs the daemon that lies beside it, on its own terminal, and passes its exit code on.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use crate::fake;

/// Runs `postern` beside a `verifierd` that is the shell: `verifierd init ...` runs the script of that name.
///
/// Nothing that is executed is written here. While it is, another test's child may hold it open, and then the
/// system does not execute it.
fn run(script: &str, words: &[&str]) -> fake::Ended {
    // On the file system of the programs, so that `postern` can have a second name there.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a temporary folder");
    let postern = folder.path().join("postern");
    fs::hard_link(env!("CARGO_BIN_EXE_postern"), &postern).expect("link");
    symlink("/bin/sh", folder.path().join("verifierd")).expect("link");
    fs::write(folder.path().join("init"), script).expect("write");
    fake::run(Command::new(postern).env_clear().current_dir(folder.path()).args(words))
}

#[test]
fn init_passes_the_configuration_and_the_words_through() {
    let ended = run("echo $0 $@; echo made the store >&2", &["init", "--config", "/etc/x.toml"]);
    assert_eq!(ended.exit, 0, "{}", ended.stderr);
    assert_eq!(
        (ended.stdout.as_str(), ended.stderr.as_str()),
        ("init --config /etc/x.toml\n", "made the store\n")
    );
}

#[test]
fn init_leaves_the_default_configuration_to_the_daemon() {
    assert_eq!(run("echo $0 $@", &["init"]).stdout, "init\n");
}

#[test]
fn init_where_a_store_exists_is_the_daemons_exit_6() {
    assert_eq!(run("exit 6", &["init"]).exit, 6);
}

#[test]
fn init_killed_by_a_signal_is_exit_1() {
    assert_eq!(run("kill -KILL $$", &["init"]).exit, 1);
}
