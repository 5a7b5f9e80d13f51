//! Writes the man pages of `postern` and the completions of the shells, from the command line as it is defined.
//!
//! `cargo run -p cli --example pages -- FOLDER` makes `FOLDER/man` and `FOLDER/completions`. Pages written by hand
//! are in `docs/man`; `cargo xtask dist` puts all of them side by side.

#![forbid(unsafe_code)]

mod completions;
mod man;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs, io};

fn main() -> ExitCode {
    let Some(folder) = env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("pages: name the folder to write to");
        return ExitCode::from(2);
    };
    let written = write(&folder.join("man"), &man::pages())
        .and_then(|()| write(&folder.join("completions"), &completions::scripts()));
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pages: cannot write to {}: {error}", folder.display());
            ExitCode::FAILURE
        }
    }
}

/// A file to be written.
struct Page {
    name: String,
    text: String,
}

fn write(folder: &Path, pages: &[Page]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    pages.iter().try_for_each(|page| fs::write(folder.join(&page.name), &page.text))
}
