//! Where `verifierd`'s socket is: flag or environment, then the configuration, then the default.
//!
//! Root asks on the admin socket, everybody else on the user socket. Only these two settings are read here;
//! checking the whole file is `verifierd config check`.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::args::Globals;
use crate::failure::Failure;

/// `verifierd`'s configuration where none is named.
const CONFIG_PATH: &str = "/etc/postern/verifierd.toml";

/// On which side of the daemon the caller stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Root's.
    Admin,
    /// Everybody else's.
    User,
}

impl Side {
    /// The side of whoever runs this process: the kernel tells the daemon the same identity.
    pub fn ours() -> Self {
        if rustix::process::geteuid().is_root() { Self::Admin } else { Self::User }
    }

    /// The key below `sockets` in the configuration.
    fn key(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::User => "user",
        }
    }

    fn default_socket(self) -> &'static str {
        match self {
            Self::Admin => wire::ADMIN_SOCKET,
            Self::User => wire::USER_SOCKET,
        }
    }
}

/// The socket to use.
///
/// # Errors
/// When a configuration that was named cannot be read, or makes no sense. The one in its usual place may be
/// broken or closed to us: then the default holds, and a line says so unless the file is merely not for us.
pub fn socket(globals: &Globals, side: Side) -> Result<PathBuf, Failure> {
    if let Some(socket) = &globals.socket {
        return Ok(socket.clone());
    }
    let configured = match &globals.config {
        Some(path) => configured(path, side)?,
        // A daemon that runs has kept its old configuration: it is just then that it may have to be asked.
        None => configured(Path::new(CONFIG_PATH), side).unwrap_or_else(|failure| {
            if !is_not_for_us(&failure) {
                eprintln!("postern: {}; asking at {}", failure.line(), side.default_socket());
            }
            None
        }),
    };
    Ok(configured.unwrap_or_else(|| PathBuf::from(side.default_socket())))
}

/// Whether the file is absent, or readable by others only.
fn is_not_for_us(failure: &Failure) -> bool {
    let Failure::ReadConfig { source, .. } = failure else { return false };
    matches!(source.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied)
}

fn configured(path: &Path, side: Side) -> Result<Option<PathBuf>, Failure> {
    let text =
        fs::read_to_string(path).map_err(|source| Failure::ReadConfig { path: path.into(), source })?;
    socket_in(&text, path, side)
}

fn socket_in(text: &str, path: &Path, side: Side) -> Result<Option<PathBuf>, Failure> {
    let file: toml::Table = toml::from_str(text)
        .map_err(|error| Failure::ParseConfig { path: path.into(), fault: in_one_line(&error, text) })?;
    match file.get("sockets").and_then(|sockets| sockets.get(side.key())) {
        None => Ok(None),
        Some(toml::Value::String(socket)) => Ok(Some(PathBuf::from(socket))),
        Some(_) => Err(Failure::ConfigSocket { key: side.key(), path: path.into() }),
    }
}

/// What is wrong with the text as such, and in which line.
fn in_one_line(error: &toml::de::Error, text: &str) -> String {
    let at = error.span().map_or(0, |span| span.start.min(text.len()));
    let line = text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count();
    let written = text.lines().nth(line).unwrap_or_default().trim();
    format!("line {}, `{written}`: {}", line + 1, error.message().trim_end().replace('\n', ", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, side: Side) -> Result<Option<PathBuf>, Failure> {
        socket_in(text, Path::new("x"), side)
    }

    #[test]
    fn each_side_has_its_socket_in_the_configuration() {
        let text = "version = 1\n[sockets]\nadmin = \"/tmp/a.sock\"\nuser = \"/tmp/u.sock\"\n";
        assert_eq!(check(text, Side::Admin).expect("valid"), Some(PathBuf::from("/tmp/a.sock")));
        assert_eq!(check(text, Side::User).expect("valid"), Some(PathBuf::from("/tmp/u.sock")));
    }

    #[test]
    fn a_configuration_without_sockets_leaves_the_default() {
        for side in [Side::Admin, Side::User] {
            assert_eq!(check("version = 1\n", side).expect("valid"), None);
        }
        assert_eq!(Side::Admin.default_socket(), "/run/postern/admin.sock");
        assert_eq!(Side::User.default_socket(), "/run/postern/user.sock");
    }

    #[test]
    fn a_broken_configuration_is_an_error() {
        let failure = check("version = 1\n[sockets\n", Side::Admin).expect_err("no TOML");
        let line = failure.line();
        assert!(
            line.starts_with("x is not valid TOML: line 2, `[sockets`: ") && !line.contains('\n'),
            "{line}"
        );
        let number = check("[sockets]\nuser = 7\n", Side::User);
        assert!(matches!(number, Err(Failure::ConfigSocket { key: "user", .. })));
    }
}
