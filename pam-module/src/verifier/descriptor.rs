//! Keeps the module's file descriptors away from 0, 1 and 2.
//!
//! A caller that closed its standard streams would otherwise write its messages into the module's socket.

use std::os::fd::{AsRawFd, OwnedFd};

use rustix::io::Errno;

/// The lowest descriptor number the module uses.
const DESCRIPTOR_MIN: i32 = 3;

/// The same open file under a number that is no standard stream, closed on exec.
pub(crate) fn above_stdio(descriptor: OwnedFd) -> Result<OwnedFd, Errno> {
    if descriptor.as_raw_fd() >= DESCRIPTOR_MIN {
        return Ok(descriptor);
    }
    rustix::io::fcntl_dupfd_cloexec(&descriptor, DESCRIPTOR_MIN)
}
