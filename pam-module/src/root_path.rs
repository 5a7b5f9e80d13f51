//! The check that nobody but root could have put something where it is: the verifier's socket, a recorder.
//!
//! Follows no symbolic link. What is checked cannot change before it is used, except by root: every folder on the way
//! belongs to root and nobody else may write to it.

use std::os::fd::OwnedFd;

use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::fault::fault_point;
use crate::verifier::{Failure, Unavailable, above_stdio};

/// The permission bits that let group or others write.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// The permission bit that lets the owner run a program.
const RUN_BY_OWNER: u32 = 0o100;

/// What is to be at the end of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A folder, as everywhere on the way.
    Folder,
    /// A socket.
    Socket,
    /// A plain file that its owner may run.
    Program,
}

/// Walks from `/` to the end of `path` and checks each component on its own descriptor.
///
/// * `path`: absolute, without empty, `.` and `..` components.
///
/// # Errors
/// `Unavailable` when a component is missing, `UntrustedPath` when one is not root's alone.
pub(crate) fn check(path: &str, kind: Kind) -> Result<(), Failure> {
    fault_point!("root_path::check");
    let mut walked = String::from("/");
    let mut folder = open_component(None, "/")?;
    check_component(&folder, Kind::Folder, &walked)?;
    let mut parts = path.split('/').skip(1).peekable();
    while let Some(part) = parts.next() {
        walked.push_str(part);
        let component = open_component(Some(&folder), part)?;
        let expected = if parts.peek().is_some() { Kind::Folder } else { kind };
        check_component(&component, expected, &walked)?;
        walked.push('/');
        folder = component;
    }
    Ok(())
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

fn check_component(component: &OwnedFd, expected: Kind, walked: &str) -> Result<(), Failure> {
    let stat = rustix::fs::fstat(component).map_err(|errno| Failure::Local { doing: "stat", errno })?;
    match problem(&stat, expected) {
        None => Ok(()),
        Some(problem) => Err(Failure::UntrustedPath { component: walked.to_owned(), problem }),
    }
}

fn problem(stat: &Stat, expected: Kind) -> Option<&'static str> {
    let (file_type, not_one) = match expected {
        Kind::Folder => (FileType::Directory, "not-a-directory"),
        Kind::Socket => (FileType::Socket, "not-a-socket"),
        Kind::Program => (FileType::RegularFile, "not-a-program"),
    };
    let is_runnable = expected != Kind::Program || stat.st_mode & RUN_BY_OWNER != 0;
    if FileType::from_raw_mode(stat.st_mode) != file_type || !is_runnable {
        return Some(not_one);
    }
    if stat.st_uid != 0 {
        return Some("not-owned-by-root");
    }
    // Also where the sticky bit is set: there anybody may take a free name.
    (stat.st_mode & WRITABLE_BY_OTHERS != 0).then_some("writable-by-others")
}
