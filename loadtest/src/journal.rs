//! What a load was told, one line of JSON for each reply.
//!
//! A line is in the file before the reply is counted, so that after a crash of anything the journal knows at least
//! as much as anybody was told. It holds no code.

use std::fs::File;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use wire::login::Verdict;

/// What kind of code was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sent {
    /// A valid code, for the first time.
    Valid,
    /// The same code once more.
    Replay,
    /// No code of the user's.
    Wrong,
}

/// One reply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Whose login.
    pub user: String,
    /// Which step the code belongs to; absent for a wrong one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<u64>,
    /// Names the request.
    pub request_id: String,
    /// What was sent.
    pub sent: Sent,
    /// When, in milliseconds since the Unix epoch.
    pub sent_at_ms: u64,
    /// What was told; `unknown` when no reply came, or none that means anything.
    pub verdict: Verdict,
    /// The decision's reference; absent without a reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}

/// Appends lines.
#[derive(Debug)]
pub struct Journal {
    file: File,
}

impl Journal {
    /// Opens a file, or makes it; what is in it stays.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn append_to(path: &Path) -> Result<Self> {
        let file = File::options().append(true).create(true).open(path);
        Ok(Self { file: file.with_context(|| format!("cannot open {}", path.display()))? })
    }

    /// Appends a line. It reaches the kernel in one call, so lines of several tasks do not mix, and it is kept
    /// when this process is killed.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, line: &Line) -> Result<()> {
        let mut bytes = serde_json::to_vec(line).context("cannot encode a line of the journal")?;
        bytes.push(b'\n');
        (&self.file).write_all(&bytes).context("cannot write the journal")
    }
}

/// What a journal file holds.
#[derive(Debug, Default)]
pub struct Lines {
    /// Every whole line.
    pub lines: Vec<Line>,
    /// Whether the last line broke off: what it tells was never counted.
    pub is_torn: bool,
}

/// Reads a journal.
///
/// # Errors
/// When it cannot be read, or a line other than the last is no line of a journal.
pub fn read(path: &Path) -> Result<Lines> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(BufReader::new(file)).with_context(|| format!("{} is not a journal", path.display()))
}

fn parse(mut text: impl BufRead) -> Result<Lines> {
    let mut read = Lines::default();
    let mut line = String::new();
    for number in 1_u64.. {
        line.clear();
        if text.read_line(&mut line).with_context(|| format!("line {number}"))? == 0 {
            break;
        }
        if !line.ends_with('\n') {
            read.is_torn = true;
            break;
        }
        read.lines.push(serde_json::from_str(&line).with_context(|| format!("line {number}"))?);
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(step: Option<u64>, verdict: Verdict) -> Line {
        Line {
            user: "alice".to_owned(),
            step,
            request_id: "00".repeat(16),
            sent: Sent::Valid,
            sent_at_ms: 7,
            verdict,
            reference: (verdict != Verdict::Unknown).then(|| "0000-0000".to_owned()),
        }
    }

    #[test]
    fn what_was_written_reads_back_and_a_second_run_adds_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let written = [line(Some(1), Verdict::Allow), line(None, Verdict::Unknown)];
        for line in &written {
            Journal::append_to(&path).unwrap().write(line).unwrap();
        }
        let read = read(&path).unwrap();
        assert_eq!(read.lines, written);
        assert!(!read.is_torn);
    }

    #[test]
    fn a_last_line_that_broke_off_is_left_out_and_any_other_is_an_error() {
        let whole = serde_json::to_string(&line(Some(1), Verdict::Deny)).unwrap();
        let read = parse(format!("{whole}\n{}", &whole[..9]).as_bytes()).unwrap();
        assert_eq!((read.lines.len(), read.is_torn), (1, true));
        let error = parse(format!("{whole}\n{{}}\n{whole}\n").as_bytes()).unwrap_err();
        assert!(format!("{error:#}").starts_with("line 2: "), "{error:#}");
    }

    #[test]
    fn a_reply_that_never_came_is_written_as_unknown() {
        let text = serde_json::to_string(&line(None, Verdict::Unknown)).unwrap();
        assert!(text.ends_with(r#""sent":"valid","sent_at_ms":7,"verdict":"unknown"}"#), "{text}");
    }
}
