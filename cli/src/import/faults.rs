//! Faulty rows: the first ones on stderr, all of them in a file. A secret stands in neither.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::Serialize;
use wire::admin::ImportFault;

use crate::failure::Failure;
use crate::output::escape::escaped;
use crate::output::{Answer, Format};

/// How many faults are listed on a terminal: what fits on a screen.
const LISTED_MAX: usize = 20;

/// All faults, as JSON.
#[derive(Serialize)]
struct FaultList<'a> {
    api_version: u16,
    kind: &'static str,
    items: &'a [ImportFault],
}

/// Says what is wrong, row by row, and fails.
///
/// * `rows_named`: what a row is in this file: `line` or `package`.
pub fn report(faults: &[ImportFault], rows_named: &str, format: Format) -> Result<Answer, Failure> {
    let document = FaultList { api_version: wire::API_VERSION, kind: "import_fault_list", items: faults };
    let answer = Answer::list(format, &document, faults, String::new)?;
    let failure = Failure::ImportFaults { count: faults.len() };
    Ok(match format {
        Format::Table => answer.noting(lines(faults, rows_named)).failing(failure),
        Format::Json | Format::Ndjson => answer.failing(failure),
    })
}

fn lines(faults: &[ImportFault], rows_named: &str) -> Vec<String> {
    let line = |fault: &ImportFault| match fault.serial.as_str() {
        "" => format!("{rows_named} {}: {}", fault.row, fault.reason),
        serial => format!("{rows_named} {}, serial {serial}: {}", fault.row, fault.reason),
    };
    let more = faults.len().saturating_sub(LISTED_MAX);
    let more = (more > 0).then(|| format!("... and {more} more; --reject-file lists them all"));
    faults.iter().take(LISTED_MAX).map(line).chain(more).collect()
}

/// The file for rejected rows. It is made before anything else happens, so that a wrong path is found at once,
/// and stays a header alone when nothing is rejected.
pub struct Rejects {
    path: PathBuf,
    file: File,
}

impl Rejects {
    /// Makes or empties the file, for its owner alone.
    ///
    /// * `imported`: the file with the tokens, which must not be lost to a typing mistake.
    pub fn create(path: &Path, imported: &Path) -> Result<Self, Failure> {
        if is_same_file(path, imported) {
            return Err(Failure::Usage { problem: "--reject-file names the file that is imported" });
        }
        let make = || {
            let mut options = OpenOptions::new();
            let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
            file.set_permissions(Permissions::from_mode(0o600))?;
            writeln!(file, "row,serial,reason")?;
            Ok(Self { path: path.into(), file })
        };
        make().map_err(|source| Failure::WriteFile { path: path.into(), source })
    }

    /// Writes one line for each fault.
    pub fn write(self, faults: &[ImportFault]) -> Result<(), Failure> {
        let mut out = BufWriter::new(self.file);
        let mut write = || {
            for fault in faults {
                writeln!(out, "{},{},{}", fault.row, cell(&fault.serial), cell(&fault.reason))?;
            }
            out.flush()
        };
        write().map_err(|source| Failure::WriteFile { path: self.path.clone(), source })
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
    use super::*;

    fn fault(row: u64, serial: &str) -> ImportFault {
        ImportFault { row, serial: serial.into(), reason: "the secret is missing".into() }
    }

    #[test]
    fn the_first_faults_are_listed_and_the_rest_counted() {
        assert_eq!(lines(&[fault(3, "")], "line"), ["line 3: the secret is missing"]);
        assert_eq!(lines(&[fault(3, "S1")], "package"), ["package 3, serial S1: the secret is missing"]);
        let many: Vec<ImportFault> = (1..=25).map(|row| fault(row, "S")).collect();
        let listed = lines(&many, "line");
        assert_eq!(listed.len(), 21);
        assert_eq!(listed[20], "... and 5 more; --reject-file lists them all");
    }

    #[test]
    fn the_reject_file_is_csv_for_its_owner_alone() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("rejects.csv");
        std::fs::write(&path, "an older one that was longer than what follows now").expect("write");
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("chmod");
        let faults = [fault(2, "a,\"b\""), fault(3, "=1+1"), fault(4, "\u{1b}[2J\n")];
        Rejects::create(&path, Path::new("tokens.csv")).expect("made").write(&faults).expect("written");
        let text = std::fs::read_to_string(&path).expect("read");
        let expected = "row,serial,reason\n\
                        2,\"a,\"\"b\"\"\",\"the secret is missing\"\n\
                        3,\"'=1+1\",\"the secret is missing\"\n\
                        4,\"\\x1b[2J\\x0a\",\"the secret is missing\"\n";
        assert_eq!(text, expected);
        let again = Rejects::create(&path, &folder.path().join("./rejects.csv"));
        assert!(matches!(again, Err(Failure::Usage { .. })), "the imported file is not overwritten");
        assert_eq!(std::fs::read_to_string(&path).expect("read"), expected);
        let mode = std::fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
