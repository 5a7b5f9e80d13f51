//! The path of the verifier's socket, as `/etc/pam.d` gives it.

use super::Failure;
use crate::fault::fault_point;
use crate::root_path::{self, Kind};

/// An absolute path without empty, `.` and `..` components that fits into a socket address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SocketPath(String);

/// Longest path in bytes: `sun_path` has 108, the NUL included (unix(7)).
const PATH_BYTES_MAX: usize = 107;

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

    /// Checks that nobody but root could have put the socket there.
    ///
    /// # Errors
    /// `Unavailable` when a component is missing, `UntrustedPath` when one is not root's alone.
    pub(super) fn check(&self) -> Result<(), Failure> {
        fault_point!("socket_path::check");
        root_path::check(&self.0, Kind::Socket)
    }
}

impl Default for SocketPath {
    fn default() -> Self {
        Self(wire::LOGIN_SOCKET.to_owned())
    }
}
