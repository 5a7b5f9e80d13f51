//! The program `postern`. All of it but the clock is in the library beside it.

#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::time::SystemTime;

#[expect(clippy::disallowed_methods, reason = "the one clock of this program")]
fn main() -> ExitCode {
    cli::run_arguments(SystemTime::now())
}
