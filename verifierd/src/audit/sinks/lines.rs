//! A file of JSON lines: one record to a line, with the names that `postern audit show -o ndjson` has.
//!
//! The file is looked for by its name before each writing, so one that was moved or removed is made anew. What could be
//! written of a line only in part is cut off again, at the latest when the file is opened the next time.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use wire::admin::AuditRecord;
use wire::printable::safe_json;

use super::{Outlet, OutletError};

/// How far from its end a file is searched for the end of its last whole line. A line is as long as a record of the ledger,
/// 16 KiB, and a little more.
const LINE_BYTES_MAX: u64 = 64 * 1024;

/// Appends to a file.
#[derive(Debug)]
pub(super) struct LinesFile {
    path: PathBuf,
    file: Option<File>,
}

impl LinesFile {
    pub(super) fn at(path: &Path) -> Self {
        Self { path: path.into(), file: None }
    }

    /// The file that has the name at this moment.
    fn present(&mut self) -> Result<&mut File, OutletError> {
        let file = match self.file.take().filter(|file| is_at(file, &self.path)) {
            Some(file) => file,
            None => open(&self.path)?,
        };
        Ok(self.file.insert(file))
    }

    fn append(&mut self, records: &[AuditRecord]) -> Result<(), OutletError> {
        let lines: String = records.iter().map(line).collect();
        let file = self.present()?;
        let written = file.metadata().map(|found| found.len()).and_then(|before| {
            // Where all of it cannot be written, none of it counts. What cannot be cut now is cut at the next opening.
            file.write_all(lines.as_bytes()).inspect_err(|_| drop(cut(file, before)))
        });
        written.map_err(|error| {
            self.file = None;
            OutletError::io("write to", &self.path, error)
        })
    }
}

impl Outlet for LinesFile {
    fn take(&mut self, records: &[AuditRecord]) -> (usize, Result<(), OutletError>) {
        match self.append(records) {
            Ok(()) => (records.len(), Ok(())),
            Err(error) => (0, Err(error)),
        }
    }

    fn make_durable(&mut self) -> Result<(), OutletError> {
        let Some(file) = &self.file else { return Ok(()) };
        file.sync_data().map_err(|error| OutletError::io("write", &self.path, error))
    }

    fn reopen(&mut self) {
        self.file = None;
    }
}

/// A record as `postern audit show -o ndjson` prints it, with what a terminal must not get escaped.
fn line(record: &AuditRecord) -> String {
    let json = serde_json::to_string(record).expect("a record holds only numbers and texts");
    safe_json(&json) + "\n"
}

/// Opens the file, or makes it for us alone, and cuts off a line that was not written to its end.
fn open(path: &Path) -> Result<File, OutletError> {
    let failed = |action| move |error| OutletError::io(action, path, error);
    // Without NONBLOCK, a pipe with that name would keep us waiting for its reader.
    let flags = OFlags::RDWR
        | OFlags::APPEND
        | OFlags::CREATE
        | OFlags::NOFOLLOW
        | OFlags::NONBLOCK
        | OFlags::NOCTTY
        | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)
        .map(File::from)
        .map_err(|error| failed("open")(error.into()))?;
    let found = file.metadata().map_err(failed("look at"))?;
    if !found.is_file() || found.uid() != rustix::process::geteuid().as_raw() || found.nlink() > 1 {
        return Err(OutletError::Unfit { path: path.into() });
    }
    let mode = found.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(OutletError::Open { path: path.into(), mode });
    }
    end_last_line(&file, found.len()).map_err(failed("read the end of"))?;
    Ok(file)
}

fn end_last_line(mut file: &File, len: u64) -> io::Result<()> {
    let start = len.saturating_sub(LINE_BYTES_MAX);
    let mut end = vec![0; usize::try_from(len - start).expect("it is bounded")];
    file.read_exact_at(&mut end, start)?;
    match end.iter().rposition(|byte| *byte == b'\n') {
        Some(at) if at + 1 == end.len() => Ok(()),
        Some(at) => file.set_len(start + at as u64 + 1),
        None if start == 0 => file.set_len(0),
        // No line of ours is that long: whatever it is, it stays.
        None => file.write_all(b"\n"),
    }
}

/// Makes the file as long as it was; somebody may have emptied it since.
fn cut(file: &File, before: u64) -> io::Result<()> {
    if file.metadata()?.len() > before { file.set_len(before) } else { Ok(()) }
}

fn is_at(file: &File, path: &Path) -> bool {
    let identity = |found: io::Result<std::fs::Metadata>| found.ok().map(|found| (found.dev(), found.ino()));
    let (open, named) = (identity(file.metadata()), identity(std::fs::symlink_metadata(path)));
    open.is_some() && open == named
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn record(sequence: u64) -> AuditRecord {
        AuditRecord {
            sequence,
            event: "login".into(),
            user: Some("eve\n{}".into()),
            ..AuditRecord::default()
        }
    }

    fn sequences(path: &Path) -> Vec<u64> {
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'), "{text:?}");
        text.lines().map(|line| serde_json::from_str::<AuditRecord>(line).unwrap().sequence).collect()
    }

    fn take(outlet: &mut LinesFile, wanted: &[u64]) {
        let records: Vec<_> = wanted.iter().copied().map(record).collect();
        let (taken, end) = outlet.take(&records);
        assert_eq!((taken, end.map_err(|error| error.to_string())), (wanted.len(), Ok(())));
    }

    // covers: P7, I03
    #[test]
    fn records_are_lines_of_a_file_that_is_ours_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let mut outlet = LinesFile::at(&path);
        take(&mut outlet, &[1, 2]);
        take(&mut LinesFile::at(&path), &[3]);
        assert_eq!(sequences(&path), [1, 2, 3]);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        outlet.make_durable().unwrap();
    }

    // covers: I03
    #[test]
    fn nothing_in_a_line_draws_on_the_terminal_of_whoever_reads_the_file() {
        let name: String = (0..=0x10_ffff_u32)
            .filter_map(char::from_u32)
            .filter(|c| wire::printable::is_risky(*c))
            .collect();
        assert!(["\u{7f}", "\u{9b}", "\u{2028}", "\u{202e}"].iter().all(|risky| name.contains(risky)));
        let written = AuditRecord { user: Some(name.clone()), ..record(1) };
        let line = line(&written);
        assert!(!line.trim_end_matches('\n').chars().any(wire::printable::is_risky));
        assert_eq!(serde_json::from_str::<AuditRecord>(&line).unwrap().user, Some(name));
    }

    // covers: I03
    #[test]
    fn a_file_that_others_may_look_into_is_not_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        std::fs::write(&path, "").unwrap();
        let mode = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        for open in [0o640, 0o620, 0o604, 0o602] {
            mode(open);
            let (taken, end) = LinesFile::at(&path).take(&[record(1)]);
            let told = end.unwrap_err().to_string();
            assert!(taken == 0 && told.contains(&format!("has mode {open:04o}")), "{told}");
        }
        assert_eq!(std::fs::read(&path).unwrap(), b"");
        mode(0o600);
        take(&mut LinesFile::at(&path), &[1]);
    }

    // covers: G14
    #[test]
    fn a_file_that_was_moved_removed_or_emptied_is_followed_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let [path, moved] = ["audit.jsonl", "audit.jsonl.1"].map(|name| folder.path().join(name));
        let mut outlet = LinesFile::at(&path);
        take(&mut outlet, &[1]);
        std::fs::rename(&path, &moved).unwrap();
        take(&mut outlet, &[2]);
        assert_eq!((sequences(&moved), sequences(&path)), (vec![1], vec![2]));
        std::fs::remove_file(&path).unwrap();
        take(&mut outlet, &[3]);
        assert_eq!(sequences(&path), [3]);
        File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
        take(&mut outlet, &[4]);
        assert_eq!(sequences(&path), [4]);
        outlet.reopen();
        take(&mut outlet, &[5]);
        assert_eq!(sequences(&path), [4, 5]);
    }

    // covers: G14
    #[test]
    fn half_a_line_is_cut_off_at_the_next_opening() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        for half in ["{", "{\"sequence\":9,\"at\":\"2026", ""] {
            std::fs::remove_file(&path).unwrap_or_default();
            take(&mut LinesFile::at(&path), &[1, 2]);
            File::options().append(true).open(&path).unwrap().write_all(half.as_bytes()).unwrap();
            take(&mut LinesFile::at(&path), &[3]);
            assert_eq!(sequences(&path), [1, 2, 3], "{half:?}");
        }
        std::fs::write(&path, "{").unwrap();
        take(&mut LinesFile::at(&path), &[1]);
        assert_eq!(sequences(&path), [1]);
    }

    // covers: G14
    #[test]
    fn what_is_no_file_of_ours_is_not_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let [pipe, link, target] = ["pipe", "link", "target"].map(|name| folder.path().join(name));
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, Mode::RUSR | Mode::WUSR).unwrap();
        std::fs::write(&target, "").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        for path in [&pipe, &link, &folder.path().to_path_buf(), &folder.path().join("none/audit")] {
            let (taken, end) = LinesFile::at(path).take(&[record(1)]);
            assert!(taken == 0 && end.is_err(), "{path:?}");
        }
        assert_eq!(std::fs::read(&target).unwrap(), b"");
    }
}
