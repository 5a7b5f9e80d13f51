//! privacyIDEA, which Debian does not have.

use std::path::PathBuf;

use anyhow::Result;

use crate::python::Tool;

/// privacyIDEA, the library below it in the one series that it runs with, and what serves it.
const PRIVACYIDEA: Tool =
    Tool { name: "privacyidea", wanted: &["privacyidea==3.14", "SQLAlchemy>=2.0,<2.1", "gunicorn>=23"] };

/// The virtual environment.
pub fn folder() -> PathBuf {
    PRIVACYIDEA.folder()
}

/// Makes the folder unless it is there.
///
/// # Errors
/// When Python or its registry is not to be had.
pub fn install() -> Result<()> {
    PRIVACYIDEA.install()
}
