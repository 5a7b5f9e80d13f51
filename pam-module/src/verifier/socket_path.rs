//! The path of the verifier's socket, and the check that nobody but root could have put it there.
//!
//! Follows no symbolic link. What is checked cannot change before the connection is made, except by root:
//! every folder on the way belongs to root and nobody else may write to it.

use std::os::fd::OwnedFd;

use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::{Failure, Unavailable, above_stdio};
use crate::fault::fault_point;

/// An absolute path without empty, `.` and `..` components that fits into a socket address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SocketPath(String);

/// Longest path in bytes: `sun_path` has 108, the NUL included (unix(7)).
const PATH_BYTES_MAX: usize = 107;

/// The permission bits that let group or others write.
const WRITABLE_BY_OTHERS: u32 = 0o022;

impl SocketPath {
    /// The error says what would be right.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        const EXPECTED: &str = "socket=/absolute/path of at most 107 bytes, without . and ..";
        let relative = text.strip_prefix('/').ok_or(EXPECTED)?;
        let clean = relative.split('/').all(|part| !matches!(part, "" | "." | ".."));
        let fits = text.len() <= PATH_BYTES_MAX && !text.contains('\0');
        (clean && fits).then(|| Self(text.to_owned())).ok_or(EXPECTED)
    }

    /// As it was given.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Walks from `/` to the socket and checks each component on its own descriptor.
    ///
    /// # Errors
    /// `Unavailable` when a component is missing, `UntrustedPath` when one is not root's alone.
    pub(super) fn check(&self) -> Result<(), Failure> {
        fault_point!("socket_path::check");
        let mut walked = String::from("/");
        let mut folder = open_component(None, "/")?;
        check_component(&folder, FileType::Directory, &walked)?;
        let mut parts = self.0.split('/').skip(1).peekable();
        while let Some(part) = parts.next() {
            walked.push_str(part);
            let component = open_component(Some(&folder), part)?;
            let expected = if parts.peek().is_some() { FileType::Directory } else { FileType::Socket };
            check_component(&component, expected, &walked)?;
            walked.push('/');
            folder = component;
        }
        Ok(())
    }
}

impl Default for SocketPath {
    fn default() -> Self {
        Self(wire::LOGIN_SOCKET.to_owned())
    }
}

/// A descriptor that can only be looked at; of a symbolic link itself if it is one.
fn open_component(folder: Option<&OwnedFd>, name: &str) -> Result<OwnedFd, Failure> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = rustix::io::retry_on_intr(|| match folder {
        None => rustix::fs::open(name, flags, Mode::empty()),
        Some(folder) => rustix::fs::openat(folder, name, flags, Mode::empty()),
    });
    opened.and_then(above_stdio).map_err(|errno| match errno {
        Errno::NOENT => Failure::Unavailable(Unavailable::SocketMissing),
        errno => Failure::Local { doing: "open", errno },
    })
}

fn check_component(component: &OwnedFd, expected: FileType, walked: &str) -> Result<(), Failure> {
    let stat = rustix::fs::fstat(component).map_err(|errno| Failure::Local { doing: "stat", errno })?;
    match problem(&stat, expected) {
        None => Ok(()),
        Some(problem) => Err(Failure::UntrustedPath { component: walked.to_owned(), problem }),
    }
}

fn problem(stat: &Stat, expected: FileType) -> Option<&'static str> {
    if FileType::from_raw_mode(stat.st_mode) != expected {
        return Some(match expected {
            FileType::Socket => "not-a-socket",
            _ => "not-a-directory",
        });
    }
    if stat.st_uid != 0 {
        return Some("not-owned-by-root");
    }
    // Also where the sticky bit is set: there anybody may take a free name.
    (stat.st_mode & WRITABLE_BY_OTHERS != 0).then_some("writable-by-others")
}
