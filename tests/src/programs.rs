//! Where the programs are: ours as built in release, the machine's where Debian puts them.

use std::path::{Path, PathBuf};

/// Debian's own interpreter, the one that sees Debian's modules.
pub const PYTHON: &str = "/usr/bin/python3";

/// The workspace's root folder.
pub fn workspace() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_owned()
}

/// A program of ours: `verifierd`, `postern`, `loadtest`.
///
/// `POSTERN_PROGRAMS` names another folder than `target/release`.
pub fn ours(name: &str) -> PathBuf {
    if let Some(folder) = std::env::var_os("POSTERN_PROGRAMS") {
        return Path::new(&folder).join(name);
    }
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from);
    target.join("release").join(name)
}

/// The PAM module as cargo builds it.
pub fn module() -> PathBuf {
    ours("libpam_postern.so")
}
