//! Where `verifierd`'s admin socket is: flag or environment, then the configuration, then the default.
//!
//! Only `sockets.admin` is read here; checking the whole file is `verifierd config check`.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::args::Globals;
use crate::failure::Failure;

/// `verifierd`'s configuration where none is named.
const CONFIG_PATH: &str = "/etc/postern/verifierd.toml";

/// The admin socket to use.
///
/// # Errors
/// When a configuration that was named cannot be read, or makes no sense. The one in its usual place may be
/// broken: then a line says so, and the default holds.
pub fn admin_socket(globals: &Globals) -> Result<PathBuf, Failure> {
    if let Some(socket) = &globals.socket {
        return Ok(socket.clone());
    }
    let (path, named) = match &globals.config {
        Some(path) => (path.as_path(), true),
        None => (Path::new(CONFIG_PATH), false),
    };
    let configured = match fs::read_to_string(path) {
        Ok(text) if named => socket_in(&text, path)?,
        // A daemon that runs has kept its old configuration: it is just then that it may have to be asked.
        Ok(text) => socket_in(&text, path).unwrap_or_else(|failure| {
            eprintln!("postern: {failure}; asking at {}", wire::ADMIN_SOCKET);
            None
        }),
        // Without root the file may be closed to us; the socket then says "not allowed" in better words.
        Err(error) if !named && matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) => {
            None
        }
        Err(source) => return Err(Failure::ReadConfig { path: path.into(), source }),
    };
    Ok(configured.unwrap_or_else(|| PathBuf::from(wire::ADMIN_SOCKET)))
}

fn socket_in(text: &str, path: &Path) -> Result<Option<PathBuf>, Failure> {
    let file: toml::Table =
        text.parse().map_err(|source| Failure::ParseConfig { path: path.into(), source })?;
    match file.get("sockets").and_then(|sockets| sockets.get("admin")) {
        None => Ok(None),
        Some(toml::Value::String(socket)) => Ok(Some(PathBuf::from(socket))),
        Some(_) => Err(Failure::ConfigSocket { path: path.into() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_is_taken_from_the_configuration() {
        let text = "version = 1\n[sockets]\nadmin = \"/tmp/a.sock\"\n";
        let socket = socket_in(text, Path::new("x")).expect("valid");
        assert_eq!(socket, Some(PathBuf::from("/tmp/a.sock")));
    }

    #[test]
    fn a_configuration_without_sockets_leaves_the_default() {
        assert_eq!(socket_in("version = 1\n", Path::new("x")).expect("valid"), None);
    }

    #[test]
    fn a_broken_configuration_is_an_error() {
        assert!(matches!(socket_in("version = ", Path::new("x")), Err(Failure::ParseConfig { .. })));
        let number = socket_in("[sockets]\nadmin = 7\n", Path::new("x"));
        assert!(matches!(number, Err(Failure::ConfigSocket { .. })));
    }
}
