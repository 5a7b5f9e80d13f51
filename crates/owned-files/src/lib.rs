//! Opens files that must belong to us: configuration and keys. Judges programs that we run.
//!
//! A file is judged by `fstat` on the opened descriptor, so that nobody can exchange it in between, and its
//! path may hold no symbolic link. Nothing below a home directory is ever opened.

#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, Stat};

/// The largest configuration or key file, in bytes. A full configuration is under 4 KiB.
pub const FILE_BYTES_MAX: u64 = 256 * 1024;

/// Who may do what with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Others may read it, nobody else may write it: configuration.
    WrittenByUs,
    /// Nobody else may do anything with it: keys.
    OnlyOurs,
}

impl Access {
    fn forbidden_bits(self) -> u32 {
        match self {
            Self::WrittenByUs => 0o022,
            Self::OnlyOurs => 0o077,
        }
    }
}

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It is not there.
    #[error("no file {path}")]
    Missing {
        /// The path.
        path: PathBuf,
    },
    /// The system refused; a symbolic link in the path does this too.
    #[error("cannot open {path}")]
    Open {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not what it must be.
    #[error("{path} {fault}; {cure}")]
    Unfit {
        /// The path.
        path: PathBuf,
        /// What is wrong.
        fault: String,
        /// What would be right.
        cure: String,
    },
}

/// Reads a file that is ours.
///
/// # Errors
/// See [`OpenError`]. A file of another owner, with loose modes, with a second hard link, that is not a plain
/// file or that lies in a directory others may write to is refused.
pub fn read_ours(path: &Path, access: Access) -> Result<Vec<u8>, OpenError> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let parent = open(directory, OFlags::RDONLY | OFlags::DIRECTORY)?;
    check_owner(directory, &stat(directory, &parent)?, 0o022)?;
    let file = open(path, OFlags::RDONLY | OFlags::NONBLOCK)?;
    let found = stat(path, &file)?;
    check_plain(path, &found)?;
    check_owner(path, &found, access.forbidden_bits())?;
    let mut content = Vec::new();
    file.take(FILE_BYTES_MAX)
        .read_to_end(&mut content)
        .map_err(|source| OpenError::Open { path: path.into(), source })?;
    Ok(content)
}

/// Checks that a program which we run is ours: of the same owner, in a directory of his, and written by
/// nobody else.
///
/// It is run by its path later on, which stays right because nobody else can exchange what lies there.
///
/// # Errors
/// See [`OpenError`].
pub fn check_program(path: &Path) -> Result<(), OpenError> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    let parent = open(directory, OFlags::RDONLY | OFlags::DIRECTORY)?;
    check_owner(directory, &stat(directory, &parent)?, 0o022)?;
    let found = stat(path, &open(path, OFlags::RDONLY | OFlags::NONBLOCK)?)?;
    check_owner(path, &found, 0o022)?;
    if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile || found.st_mode & 0o100 == 0 {
        return Err(unfit(path, "is not a program", "a plain file that its owner may execute is needed"));
    }
    Ok(())
}

fn open(path: &Path, flags: OFlags) -> Result<File, OpenError> {
    let absolute =
        std::path::absolute(path).map_err(|source| OpenError::Open { path: path.into(), source })?;
    rustix::fs::openat2(
        rustix::fs::CWD,
        &absolute,
        flags | OFlags::CLOEXEC | OFlags::NOFOLLOW,
        Mode::empty(),
        ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS,
    )
    .map(File::from)
    .map_err(|errno| match errno {
        rustix::io::Errno::NOENT => OpenError::Missing { path: path.into() },
        rustix::io::Errno::LOOP => {
            unfit(path, "has a symbolic link in its path", "name the place it points to")
        }
        other => OpenError::Open { path: path.into(), source: other.into() },
    })
}

fn stat(path: &Path, file: &File) -> Result<Stat, OpenError> {
    rustix::fs::fstat(file).map_err(|errno| OpenError::Open { path: path.into(), source: errno.into() })
}

fn check_plain(path: &Path, found: &Stat) -> Result<(), OpenError> {
    if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile {
        return Err(unfit(path, "is not a plain file", "a plain file is needed"));
    }
    if found.st_nlink != 1 {
        return Err(unfit(path, "has a second name (hard link)", "copy it to a file of its own"));
    }
    if u64::try_from(found.st_size).unwrap_or(u64::MAX) > FILE_BYTES_MAX {
        return Err(unfit(path, "is too large", &format!("at most {FILE_BYTES_MAX} bytes")));
    }
    Ok(())
}

fn check_owner(path: &Path, found: &Stat, forbidden: u32) -> Result<(), OpenError> {
    let us = rustix::process::geteuid().as_raw();
    if found.st_uid != us {
        let fault = format!("belongs to uid {}", found.st_uid);
        return Err(unfit(path, &fault, &format!("it must belong to uid {us}")));
    }
    if found.st_mode & forbidden != 0 {
        let fault = format!("has mode {:04o}", found.st_mode & 0o7777);
        return Err(unfit(path, &fault, &format!("take away {:04o}", found.st_mode & forbidden)));
    }
    Ok(())
}

fn unfit(path: &Path, fault: &str, cure: &str) -> OpenError {
    OpenError::Unfit { path: path.into(), fault: fault.into(), cure: cure.into() }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        folder
    }

    fn file(path: &Path, mode: u32) {
        fs::write(path, "x").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn check(path: &Path, access: Access, expected: &str) {
        let error = read_ours(path, access).expect_err("must be refused").to_string();
        assert!(error.contains(expected), "{error:?} does not say {expected:?}");
    }

    // covers: E25
    #[test]
    fn a_file_that_is_ours_alone_is_read() {
        let folder = folder();
        let path = folder.path().join("key");
        file(&path, 0o400);
        assert_eq!(read_ours(&path, Access::OnlyOurs).unwrap(), b"x");
    }

    // covers: E25
    #[test]
    fn loose_modes_links_and_odd_files_are_refused() {
        let folder = folder();
        let path = folder.path().join("key");
        file(&path, 0o440);
        check(&path, Access::OnlyOurs, "has mode 0440; take away 0040");
        file(&path, 0o664);
        check(&path, Access::WrittenByUs, "take away 0020");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let link = folder.path().join("link");
        symlink(&path, &link).unwrap();
        check(&link, Access::OnlyOurs, "symbolic link");
        let directory = folder.path().join("directory");
        fs::create_dir(&directory).unwrap();
        check(&directory, Access::OnlyOurs, "not a plain file");
        fs::hard_link(&path, folder.path().join("second")).unwrap();
        check(&path, Access::OnlyOurs, "second name");
        check(&folder.path().join("none"), Access::OnlyOurs, "no file");
        check(Path::new("/proc/self/fd/0"), Access::OnlyOurs, "");
        let pipe = folder.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, FileType::Fifo, Mode::RUSR, 0).unwrap();
        check(&pipe, Access::OnlyOurs, "not a plain file");
    }

    // covers: E25
    #[test]
    fn a_program_is_ours_and_may_be_executed() {
        let folder = folder();
        let path = folder.path().join("tell");
        let check = |mode: u32, expected: &str| {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = check_program(&path).expect_err("must be refused").to_string();
            assert!(error.contains(expected), "{error:?} does not say {expected:?}");
        };
        file(&path, 0o755);
        check_program(&path).unwrap();
        check(0o644, "is not a program");
        check(0o775, "take away 0020");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let link = folder.path().join("link");
        symlink(&path, &link).unwrap();
        assert!(check_program(&link).unwrap_err().to_string().contains("symbolic link"));
        assert!(matches!(check_program(&folder.path().join("none")), Err(OpenError::Missing { .. })));
        let inner = folder.path().join("inner");
        fs::create_dir(&inner).unwrap();
        assert!(check_program(&inner).unwrap_err().to_string().contains("is not a program"));
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        check(0o755, "has mode 0777");
    }

    // covers: E25
    #[test]
    fn a_directory_that_others_may_write_to_is_refused() {
        let folder = folder();
        let path = folder.path().join("key");
        file(&path, 0o400);
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o1777)).unwrap();
        check(&path, Access::OnlyOurs, "has mode 1777");
    }
}
