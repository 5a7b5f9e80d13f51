//! The machine as the doctor sees it: its files below a root, and what its programs and the server of its login socket said.
//!
//! Files are only ever read. `postern` looks below `/`; tests look below a folder of their own.

use std::fs::{self, File, Metadata};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use time::OffsetDateTime;

use super::server::Server;

/// Largest file that is read, in bytes. The longest real ones, sudoers with their comments, take some kilobytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Most entries of one folder that are looked at.
const FOLDER_ENTRIES_MAX: usize = 1000;

/// What the doctor knows.
pub struct Machine {
    /// Where the files are; `/` but for tests.
    pub root: PathBuf,
    /// Whose files are root's: 0 but for tests, which own theirs.
    pub root_uid: u32,
    /// Whether root asks, who can read everything.
    pub is_asked_by_root: bool,
    /// The server's configuration, as the machine names it.
    pub configuration: String,
    /// The time.
    pub now: OffsetDateTime,
    /// What others said.
    pub told: Told,
}

/// What a program said on stdout, or why there is nothing to go by.
pub type Said = Result<String, String>;

/// What programs and the server said.
pub struct Told {
    /// `sshd -T`, with `-C` where there is a user.
    pub sshd: Said,
    /// `sudo -n -l -U USER`; absent without a user.
    pub sudo: Option<Said>,
    /// `getent passwd USER`; absent without a user. Empty when there is no such account.
    pub account: Option<Said>,
    /// `timedatectl show -p NTPSynchronized --value`.
    pub clock: Said,
    /// The lines in which the server's `config check` complains; none where it does not.
    pub configuration: Result<Vec<String>, String>,
    /// Who serves the login socket, with its answers.
    pub server: Server,
}

/// Why a file could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unread {
    /// It is not there.
    Missing,
    /// It is no ordinary file, or too large.
    Unusual,
    /// Anything else, mostly a lack of rights.
    Closed(String),
}

/// What can be said about a file without opening it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    /// The permission bits.
    pub bits: u32,
    /// Whether it is root's.
    pub is_roots: bool,
    /// Whether it is a socket.
    pub is_socket: bool,
}

impl Machine {
    /// Reads a text file, byte for byte; what is not UTF-8 is replaced.
    pub fn read(&self, path: &str) -> Result<String, Unread> {
        let path = self.below(path);
        let metadata = fs::metadata(&path).map_err(unread)?;
        if !metadata.is_file() || metadata.len() > FILE_BYTES_MAX {
            return Err(Unread::Unusual);
        }
        let mut bytes = Vec::new();
        File::open(&path)
            .and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut bytes))
            .map_err(unread)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Mode and owner of what a path leads to.
    pub fn mode(&self, path: &str) -> Result<Mode, Unread> {
        fs::metadata(self.below(path)).map(|metadata| self.mode_in(&metadata)).map_err(unread)
    }

    /// The names in a folder, sorted; none where it cannot be read.
    pub fn names(&self, folder: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.below(folder)) else { return Vec::new() };
        let mut names: Vec<String> = entries
            .take(FOLDER_ENTRIES_MAX)
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect();
        names.sort();
        names
    }

    /// Whether something is there.
    pub fn has(&self, path: &str) -> bool {
        self.mode(path).is_ok()
    }

    fn mode_in(&self, metadata: &Metadata) -> Mode {
        Mode {
            bits: metadata.mode() & 0o7777,
            is_roots: metadata.uid() == self.root_uid,
            is_socket: metadata.file_type().is_socket(),
        }
    }

    fn below(&self, path: &str) -> PathBuf {
        self.root.join(Path::new(path).strip_prefix("/").unwrap_or(Path::new(path)))
    }
}

impl Mode {
    /// Whether others than root may write.
    pub fn is_writable_by_others(self) -> bool {
        !self.is_roots || self.bits & 0o022 != 0
    }

    /// Whether others than root may do anything.
    pub fn is_open_to_others(self) -> bool {
        !self.is_roots || self.bits & 0o077 != 0
    }
}

fn unread(error: std::io::Error) -> Unread {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => Unread::Missing,
        ErrorKind::PermissionDenied => Unread::Closed("only root may read it".to_owned()),
        _ => Unread::Closed(error.to_string()),
    }
}
