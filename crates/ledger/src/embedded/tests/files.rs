//! The files of a store: one user at a time, and nobody else's hands on them.

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use super::{KEY, copy_store, new_store, open, scratch, write_file};
use crate::Ledger;
use crate::embedded::{EmbeddedLedger, LedgerOpenError};

// covers: G09
#[test]
fn a_second_open_is_refused_until_the_first_has_ended() {
    let dir = new_store();
    let first = open(dir.path());
    assert!(matches!(try_open(dir.path()), Err(LedgerOpenError::InUse { .. })));
    assert!(matches!(EmbeddedLedger::create(dir.path(), &KEY), Err(LedgerOpenError::InUse { .. })));
    // Another way to the same directory, as a bind mount is.
    let link = scratch();
    let way = link.path().join("way");
    symlink(dir.path(), &way).expect("a link can be made");
    assert!(matches!(try_open(&way.join(".")), Err(LedgerOpenError::InUse { .. })));
    first.close().expect("it can be closed");
    open(dir.path());
}

// covers: G09
#[test]
fn a_removed_lock_does_not_let_a_second_one_in() {
    let dir = new_store();
    let first = open(dir.path());
    std::fs::remove_file(dir.path().join("lock")).expect("there is a lock");
    assert!(matches!(try_open(dir.path()), Err(LedgerOpenError::InUse { .. })));
    drop(first);
    open(dir.path());
}

// covers: E25
#[test]
fn what_others_may_write_is_refused() {
    for (name, mode) in
        [("", 0o770), ("", 0o707), ("store", 0o620), ("mark", 0o602), ("lock", 0o666), ("store-wal", 0o660)]
    {
        let dir = new_store();
        drop(open(dir.path()));
        std::fs::set_permissions(dir.path().join(name), Permissions::from_mode(mode)).expect("our own file");
        assert!(matches!(try_open(dir.path()), Err(LedgerOpenError::Insecure { .. })), "{name} {mode:o}");
    }
}

// covers: E25
#[test]
fn links_fifos_and_directories_are_refused() {
    for name in ["store", "mark", "lock", "store-wal"] {
        for sort in ["link", "second name", "fifo", "directory"] {
            let dir = new_store();
            drop(open(dir.path()));
            let path = dir.path().join(name);
            let elsewhere = dir.path().join("elsewhere");
            std::fs::rename(&path, &elsewhere).expect("it is there");
            match sort {
                "link" => symlink(&elsewhere, &path).expect("a link can be made"),
                "second name" => std::fs::hard_link(&elsewhere, &path).expect("a link can be made"),
                "fifo" => rustix::fs::mknodat(
                    rustix::fs::CWD,
                    &path,
                    rustix::fs::FileType::Fifo,
                    rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
                    0,
                )
                .expect("a FIFO can be made"),
                _ => std::fs::create_dir(&path).expect("a directory can be made"),
            }
            let opened = try_open(dir.path());
            assert!(
                matches!(opened, Err(LedgerOpenError::Insecure { .. } | LedgerOpenError::Io { .. })),
                "{sort} {name}: {opened:?}"
            );
        }
    }
}

// covers: E25
#[test]
fn a_directory_behind_a_link_or_below_an_open_one_is_refused() {
    let outer = scratch();
    let inner = outer.path().join("state");
    EmbeddedLedger::create(&inner, &KEY).expect("an empty directory takes a store");
    let link = outer.path().join("link");
    symlink(&inner, &link).expect("a link can be made");
    assert!(matches!(try_open(&link), Err(LedgerOpenError::Insecure { .. })));
    std::fs::set_permissions(outer.path(), Permissions::from_mode(0o777)).expect("our own directory");
    assert!(matches!(try_open(&inner), Err(LedgerOpenError::Insecure { .. })));
    std::fs::set_permissions(outer.path(), Permissions::from_mode(0o1777)).expect("our own directory");
    open(&inner);
    let file = outer.path().join("file");
    write_file(outer.path(), "file", b"");
    assert!(matches!(try_open(&file), Err(LedgerOpenError::Insecure { .. })));
}

// covers: E25
#[test]
fn a_new_store_is_private_and_never_takes_the_place_of_another() {
    let outer = scratch();
    let dir = outer.path().join("state");
    EmbeddedLedger::create(&dir, &KEY).expect("an empty directory takes a store");
    let mode = |path: &Path| std::fs::metadata(path).expect("it is there").mode() & 0o7777;
    assert_eq!(mode(&dir), 0o700);
    let ledger = open(&dir);
    for name in ["store", "store-wal", "mark", "lock"] {
        assert_eq!(mode(&dir.join(name)), 0o600, "{name}");
    }
    drop(ledger);
    let before = std::fs::read(dir.join("store")).expect("it is there");
    assert!(matches!(EmbeddedLedger::create(&dir, &KEY), Err(LedgerOpenError::Exists { .. })));
    assert_eq!(std::fs::read(dir.join("store")).expect("it is there"), before);
}

// covers: G05
#[test]
fn a_store_that_does_not_open_is_left_as_it_was() {
    let dir = new_store();
    let ledger = open(dir.path());
    super::commit(&ledger, super::add(1, 0));
    let copy = scratch();
    copy_store(dir.path(), copy.path());
    let read = || ["store", "store-wal", "mark"].map(|name| std::fs::read(copy.path().join(name)).ok());
    let before = read();
    assert!(EmbeddedLedger::open(copy.path(), &[0; 32], Box::new(|_| {})).is_err());
    assert_eq!(read(), before);
}

fn try_open(dir: &Path) -> Result<EmbeddedLedger, LedgerOpenError> {
    EmbeddedLedger::open(dir, &KEY, Box::new(|_| {}))
}
