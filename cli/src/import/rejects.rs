//! The file for rejected rows: CSV, for its owner alone, without secrets.
//!
//! It is written beside the place where it is wanted, and moved there when it is whole: whatever goes wrong before, an
//! older file stays as it was. A device, a pipe or a link is never written to.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use wire::admin::ImportFault;

use crate::failure::Failure;
use crate::output::escape::escaped;

/// How many names are tried for the file in the making: one is left behind by each import that was killed.
const NAMES_MAX: u32 = 16;

/// Where the file may be: at a plain file, or at nothing.
pub struct Place(PathBuf);

impl Place {
    /// Looks before anything else happens, so that a wrong path is found at once.
    ///
    /// * `imported`: the file with the tokens, which must not be lost to a typing mistake.
    ///
    /// # Errors
    /// When there is something else than a plain file at `path`.
    pub fn checked(path: &Path, imported: &Path) -> Result<Self, Failure> {
        if is_same_file(path, imported) {
            return Err(Failure::Usage { problem: "--reject-file names the file that is imported" });
        }
        let is_plain = match fs::symlink_metadata(path) {
            Ok(found) => found.is_file(),
            Err(error) => error.kind() == ErrorKind::NotFound && path.file_name().is_some(),
        };
        if !is_plain {
            let problem =
                "is no plain file: --reject-file makes a new file or replaces a plain one".to_owned();
            return Err(Failure::UnfitFile { path: path.into(), problem });
        }
        Ok(Self(path.into()))
    }

    /// Begins the file, before anything is asked of the daemon.
    ///
    /// # Errors
    /// When nothing can be made there.
    pub fn begin(self) -> Result<Rejects, Failure> {
        let Self(path) = self;
        match make_beside(&path) {
            Ok((draft, file)) => Ok(Rejects { path, draft, file }),
            Err(source) => Err(Failure::WriteFile { path, source }),
        }
    }
}

/// A file in the making; a header alone when nothing is rejected.
pub struct Rejects {
    /// Where it is wanted.
    path: PathBuf,
    /// Where it is made.
    draft: PathBuf,
    file: File,
}

impl Rejects {
    /// Writes one line for each fault, and puts the file where it is wanted.
    pub fn keep(self, faults: &[ImportFault]) -> Result<(), Failure> {
        let mut out = BufWriter::new(&self.file);
        let mut write = || {
            writeln!(out, "row,serial,reason")?;
            for fault in faults {
                writeln!(out, "{},{},{}", fault.row, cell(&fault.serial), cell(&fault.reason))?;
            }
            out.flush()
        };
        let kept = write().and_then(|()| fs::rename(&self.draft, &self.path));
        kept.map_err(|source| Failure::WriteFile { path: self.path.clone(), source })
    }
}

impl Drop for Rejects {
    fn drop(&mut self) {
        // Where it was kept, it has this name no more.
        let _kept = fs::remove_file(&self.draft);
    }
}

/// Makes a file that nobody else has, beside `path`.
fn make_beside(path: &Path) -> io::Result<(PathBuf, File)> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut number = 0;
    loop {
        let draft = path.with_file_name(format!(".{name}.{}.{number}", std::process::id()));
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists && number < NAMES_MAX => number += 1,
            outcome => return outcome.map(|file| (draft, file)),
        }
    }
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    let identity = |path| fs::metadata(path).map(|data| (data.dev(), data.ino())).ok();
    identity(one).is_some_and(|one| identity(other) == Some(one))
}

/// A text as a cell of CSV (RFC 4180). One that a spreadsheet would take for a formula gets an apostrophe.
fn cell(text: &str) -> String {
    let guard = if text.starts_with(['=', '+', '-', '@']) { "'" } else { "" };
    format!("\"{guard}{}\"", escaped(text).replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::os::unix::net::UnixListener;

    use super::*;

    fn fault(row: u64, serial: &str) -> ImportFault {
        ImportFault { row, serial: serial.into(), reason: "the secret is missing".into() }
    }

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().expect("a temporary folder")
    }

    fn begun(path: &Path) -> Rejects {
        Place::checked(path, Path::new("tokens.csv")).and_then(Place::begin).expect("made")
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("read");
        entries.map(|entry| entry.expect("read").file_name().to_string_lossy().into_owned()).collect()
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("there").permissions().mode() & 0o7777
    }

    #[test]
    fn the_reject_file_is_csv_for_its_owner_alone() {
        let folder = folder();
        let path = folder.path().join("rejects.csv");
        fs::write(&path, "an older one that was longer than what follows now").expect("write");
        fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("chmod");
        let faults = [fault(2, "a,\"b\""), fault(3, "=1+1"), fault(4, "\u{1b}[2J\n")];
        begun(&path).keep(&faults).expect("written");
        let text = fs::read_to_string(&path).expect("read");
        let expected = "row,serial,reason\n\
                        2,\"a,\"\"b\"\"\",\"the secret is missing\"\n\
                        3,\"'=1+1\",\"the secret is missing\"\n\
                        4,\"\\x1b[2J\\x0a\",\"the secret is missing\"\n";
        assert_eq!(text, expected);
        let again = Place::checked(&path, &folder.path().join("./rejects.csv"));
        assert!(matches!(again, Err(Failure::Usage { .. })), "the imported file is not overwritten");
        assert_eq!(fs::read_to_string(&path).expect("read"), expected);
        assert_eq!((mode(&path), names(folder.path())), (0o600, vec!["rejects.csv".to_owned()]));
    }

    #[test]
    fn an_older_file_stays_until_the_new_one_is_whole() {
        let folder = folder();
        let path = folder.path().join("rejects.csv");
        fs::write(&path, "older").expect("write");
        fs::set_permissions(&path, Permissions::from_mode(0o640)).expect("chmod");
        let begun = begun(&path);
        assert_eq!((fs::read_to_string(&path).expect("read").as_str(), mode(&path)), ("older", 0o640));
        drop(begun);
        assert_eq!((fs::read_to_string(&path).expect("read").as_str(), mode(&path)), ("older", 0o640));
        assert_eq!(names(folder.path()), ["rejects.csv"]);
    }

    #[test]
    fn what_is_no_plain_file_is_refused_and_left_alone() {
        let folder = folder();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("target"), "kept").expect("write");
        symlink(at("target"), at("link")).expect("a link");
        // Stands for /dev/null: a mistake here would close that to the whole machine.
        let _socket = UnixListener::bind(at("socket")).expect("a socket");
        fs::set_permissions(at("socket"), Permissions::from_mode(0o666)).expect("chmod");
        for path in [at("socket"), at("link"), at(""), PathBuf::from("..")] {
            let refused = Place::checked(&path, Path::new("tokens.csv")).err().map(|failure| failure.line());
            let said = format!("{} is no plain file: --reject-file makes a new", path.display());
            assert!(refused.as_ref().is_some_and(|line| line.starts_with(&said)), "{refused:?}");
        }
        assert_eq!(mode(&at("socket")), 0o666);
        assert_eq!(fs::read_to_string(at("target")).expect("read"), "kept");
    }
}
