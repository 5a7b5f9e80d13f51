//! `postern version`: which version this command is. The daemon's is in `postern status`.

use serde::Serialize;

use crate::failure::Failure;
use crate::output::json::Document;
use crate::output::{Answer, Format};

#[derive(Serialize)]
struct Version {
    version: &'static str,
}

/// Says the version; asks nobody.
pub fn run(format: Format) -> Result<Answer, Failure> {
    let version = Version { version: env!("CARGO_PKG_VERSION") };
    Answer::one(format, &Document::new("version", &version), || format!("postern {}\n", version.version))
}
