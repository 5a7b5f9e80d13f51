//! The directory of a store: who may own what in it, and the lock that keeps a second user out.
//!
//! Knows file names, owners and modes, and nothing of what the files say. Everything is looked at through the
//! descriptor of the directory and without following links, so that what was checked is what is used.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::error::LedgerOpenError;

/// The SQLite database.
pub(super) const STORE: &str = "store";
/// A database that is being made, before it takes its name.
pub(super) const STORE_NEW: &str = "store.new";
/// What SQLite may leave beside a database: the log, its index, and the journal of the time before the log.
const COMPANIONS: [&str; 3] = ["-wal", "-shm", "-journal"];
/// The number of the last batch, outside the database.
pub(super) const MARK: &str = "mark";
const MARK_NEW: &str = "mark.new";
/// Space kept back for a full disk.
pub(super) const RESERVE: &str = "reserve";
const LOCK: &str = "lock";

/// A checked directory.
#[derive(Debug)]
pub(super) struct Place {
    dir: OwnedFd,
    path: PathBuf,
}

/// Held for the life of a ledger; the system lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub(super) struct Lock {
    _file: OwnedFd,
}

impl Place {
    /// Opens the directory and checks that nobody else can write to it.
    pub(super) fn open(dir: &Path) -> Result<Self, LedgerOpenError> {
        let io = |action, source: io::Error| LedgerOpenError::Io { action, path: dir.to_path_buf(), source };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = match rustix::fs::open(dir, flags, Mode::empty()) {
            Err(Errno::NOENT) => return Err(LedgerOpenError::NoStore { dir: dir.to_path_buf() }),
            // The kernel's answer for a link depends on the flags; name what it is.
            Err(Errno::LOOP | Errno::NOTDIR) => {
                return Err(insecure(dir, "is a symbolic link or not a directory"));
            }
            opened => opened.map_err(|error| io("open", error.into()))?,
        };
        let stat = rustix::fs::fstat(&opened).map_err(|error| io("examine", error.into()))?;
        if let Some(problem) = problem_of(&stat, FileType::Directory) {
            return Err(insecure(dir, problem));
        }
        // SQLite takes a path, and refuses one with links in it: it gets the real one.
        let path = std::fs::canonicalize(dir).map_err(|error| io("resolve", error))?;
        check_ancestors(&path)?;
        Ok(Self { dir: opened, path })
    }

    /// The directory's real path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a file in it.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Checks a file that SQLite will open by itself; false where there is none.
    ///
    /// Does not open it for reading: closing such a descriptor would drop the locks that SQLite holds on the
    /// file in this process.
    pub(super) fn check(&self, name: &str) -> Result<bool, LedgerOpenError> {
        Ok(self.open_checked(name, OFlags::PATH)?.is_some())
    }

    /// Checks a database and everything that may stand beside it; false where there is no database.
    pub(super) fn check_database(&self, name: &str) -> Result<bool, LedgerOpenError> {
        for companion in COMPANIONS {
            self.check(&format!("{name}{companion}"))?;
        }
        self.check(name)
    }

    /// Opens a file for reading; none where there is none.
    pub(super) fn open_to_read(&self, name: &str) -> Result<Option<File>, LedgerOpenError> {
        // Without NONBLOCK, a FIFO would keep us waiting for a writer before it can be refused.
        Ok(self.open_checked(name, OFlags::RDONLY | OFlags::NONBLOCK)?.map(File::from))
    }

    /// Makes an empty file that only we can read and write.
    pub(super) fn make(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let file = rustix::fs::openat(&self.dir, name, flags, mode)?;
        rustix::fs::fchmod(&file, mode)?;
        Ok(file.into())
    }

    /// Writes the mark whole: a reader sees the old one or the new one.
    ///
    /// * `content`: gets the new file, still empty, and gives what belongs into it.
    pub(super) fn replace_mark(&self, content: impl FnOnce(&File) -> io::Result<Vec<u8>>) -> io::Result<()> {
        self.remove(MARK_NEW)?;
        let mut file = self.make(MARK_NEW)?;
        let bytes = content(&file)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        self.rename(MARK_NEW, MARK)
    }

    /// Renames a file of this directory, durably.
    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        rustix::fs::renameat(&self.dir, from, &self.dir, to)?;
        Ok(rustix::fs::fsync(&self.dir)?)
    }

    /// Removes a file; nothing happens where there is none.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.dir, name, AtFlags::empty()) {
            Err(Errno::NOENT) => Ok(()),
            removed => Ok(removed?),
        }
    }

    /// Removes what a broken-off `create` may have left.
    pub(super) fn remove_unfinished(&self) -> io::Result<()> {
        for companion in COMPANIONS {
            self.remove(&format!("{STORE_NEW}{companion}"))?;
        }
        self.remove(STORE_NEW)
    }

    /// Takes the directory for this ledger alone.
    pub(super) fn lock(&self) -> Result<Lock, LedgerOpenError> {
        let io = |action, error: Errno| self.io(action, LOCK, error.into());
        loop {
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
            let file = match rustix::fs::openat(&self.dir, LOCK, flags, Mode::RUSR | Mode::WUSR) {
                Err(Errno::LOOP) => return Err(insecure(&self.file(LOCK), "is a symbolic link")),
                opened => opened.map_err(|error| io("open", error))?,
            };
            let stat = rustix::fs::fstat(&file).map_err(|error| io("examine", error))?;
            // A file without a name was removed since it was opened: that is looked at below.
            if stat.st_nlink != 0
                && let Some(problem) = problem_of(&stat, FileType::RegularFile)
            {
                return Err(insecure(&self.file(LOCK), problem));
            }
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Err(Errno::WOULDBLOCK) => return Err(LedgerOpenError::InUse { dir: self.path.clone() }),
                locked => locked.map_err(|error| io("lock", error))?,
            }
            // The file may have been removed and made again by another between open and lock.
            if let Ok(named) = rustix::fs::statat(&self.dir, LOCK, AtFlags::SYMLINK_NOFOLLOW)
                && (named.st_dev, named.st_ino) == (stat.st_dev, stat.st_ino)
            {
                return Ok(Lock { _file: file });
            }
        }
    }

    /// An error about a file of this directory.
    pub(super) fn io(&self, action: &'static str, name: &str, source: io::Error) -> LedgerOpenError {
        LedgerOpenError::Io { action, path: self.file(name), source }
    }

    fn open_checked(&self, name: &str, access: OFlags) -> Result<Option<OwnedFd>, LedgerOpenError> {
        let flags = access | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&self.dir, name, flags, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP) => return Err(insecure(&self.file(name), "is a symbolic link")),
            opened => opened.map_err(|error| self.io("open", name, error.into()))?,
        };
        let stat = rustix::fs::fstat(&file).map_err(|error| self.io("examine", name, error.into()))?;
        match problem_of(&stat, FileType::RegularFile) {
            Some(problem) => Err(insecure(&self.file(name), problem)),
            None => Ok(Some(file)),
        }
    }
}

/// Makes the directory of a new store, if it is not there.
pub(super) fn make_directory(dir: &Path) -> Result<(), LedgerOpenError> {
    match rustix::fs::mkdir(dir, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => {
            let path = dir.to_path_buf();
            Err(LedgerOpenError::Io { action: "make directory", path, source: error.into() })
        }
    }
}

/// Whether a failed write left nothing that a later one could not do: no space, or no permission to write.
pub(super) fn is_full_or_read_only(error: &io::Error) -> bool {
    let full = [Errno::NOSPC, Errno::DQUOT, Errno::ROFS];
    error.raw_os_error().is_some_and(|code| full.iter().any(|errno| errno.raw_os_error() == code))
}

fn problem_of(stat: &Stat, wanted: FileType) -> Option<&'static str> {
    let found = FileType::from_raw_mode(stat.st_mode);
    if found == FileType::Symlink {
        Some("is a symbolic link")
    } else if found != wanted {
        Some(if wanted == FileType::Directory { "is not a directory" } else { "is not a regular file" })
    } else if stat.st_uid != rustix::process::geteuid().as_raw() {
        Some("belongs to another user")
    } else if Mode::from_raw_mode(stat.st_mode).intersects(Mode::WGRP | Mode::WOTH) {
        Some("can be written by its group or by others")
    } else if wanted == FileType::RegularFile && stat.st_nlink != 1 {
        Some("has a second name (a hard link)")
    } else {
        None
    }
}

/// Refuses a path that others could bend: a directory on the way in which anybody may rename what is not theirs.
fn check_ancestors(path: &Path) -> Result<(), LedgerOpenError> {
    for ancestor in path.ancestors().skip(1) {
        let stat = rustix::fs::stat(ancestor).map_err(|error| LedgerOpenError::Io {
            action: "examine",
            path: ancestor.to_path_buf(),
            source: error.into(),
        })?;
        let mode = Mode::from_raw_mode(stat.st_mode);
        if mode.contains(Mode::WOTH) && !mode.contains(Mode::SVTX) {
            return Err(insecure(ancestor, "can be written by others"));
        }
    }
    Ok(())
}

fn insecure(path: &Path, problem: &'static str) -> LedgerOpenError {
    LedgerOpenError::Insecure { path: path.to_path_buf(), problem }
}
