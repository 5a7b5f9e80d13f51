//! Why a run failed: for people a line, for programs a code, for the shell an exit code.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use wire::error::ErrorCode;

/// The exit codes. They are part of the interface: scripts rest on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done, or nothing to do.
    Done = 0,
    /// Failed.
    Failed = 1,
    /// Wrong usage or local configuration.
    Usage = 2,
    /// `verifierd` does not run or cannot be reached.
    NotReachable = 3,
    /// No such thing.
    NotFound = 4,
    /// Not allowed.
    NotAllowed = 5,
    /// The thing is in a state that does not permit this.
    Conflict = 6,
    /// `verifierd` runs, but is not ready or is degraded, or too many codes were wrong: try again later.
    NotReady = 7,
    /// A code was wrong.
    WrongCode = 8,
    /// Ctrl-C.
    Interrupted = 130,
}

/// Everything that can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("{problem}")]
    Usage { problem: &'static str },
    #[error("{} meant: name one with --host, or up to {most} that have joined with --group", hosts(*found))]
    HostsMeant { found: usize, most: usize },
    #[error("--serial: {problem}")]
    UnfitSerial { problem: pskc::Problem },
    #[error("{verb} needs --yes where it cannot ask")]
    NeedsYes { verb: &'static str },
    #[error("not confirmed; nothing was changed")]
    NotConfirmed,
    #[error("{what} is asked for on the terminal, which --no-input forbids: pipe it into stdin, one line")]
    NeedsInput { what: &'static str },
    #[error("{what} is missing: it is a line of stdin")]
    LineMissing { what: &'static str },
    #[error("{what} is missing: nothing was typed")]
    NothingTyped { what: &'static str },
    #[error("a line of stdin is longer than {bytes_max} bytes")]
    LineTooLong { bytes_max: usize },
    #[error("cannot read the answer from the terminal")]
    ReadTerminal { source: io::Error },
    #[error("cannot read {}", path.display())]
    ReadFile { path: PathBuf, source: io::Error },
    #[error("{} {problem}", path.display())]
    UnfitFile { path: PathBuf, problem: String },
    #[error("cannot import {}: {problem}", path.display())]
    ImportFile { path: PathBuf, problem: String },
    #[error("cannot write {}", path.display())]
    WriteFile { path: PathBuf, source: io::Error },
    #[error("{count} faulty {}; nothing was imported", if *count == 1 { "row" } else { "rows" })]
    ImportFaults { count: usize },
    #[error("verifierd did not say that the import is complete; `postern token list` shows whether it is")]
    ImportUnclear { source: Box<Failure> },
    #[error(
        "interrupted; verifierd may still be storing the import: `postern token list` shows its tokens when it is done"
    )]
    ImportInterrupted,
    #[error("the code was not accepted: {why}")]
    WrongCode { why: String },
    #[error("cannot read {}", path.display())]
    ReadConfig { path: PathBuf, source: io::Error },
    #[error("{} is not valid TOML: {fault}", path.display())]
    ParseConfig { path: PathBuf, fault: String },
    #[error("sockets.{key} in {} is not a path in quotes", path.display())]
    ConfigSocket { key: &'static str, path: PathBuf },
    #[error("cannot reach verifierd at {} (is it running?)", socket.display())]
    Connect { socket: PathBuf, source: io::Error },
    #[error("not allowed to use {}: sockets.admin is root's, sockets.user is for everybody", socket.display())]
    ConnectNotAllowed { socket: PathBuf },
    #[error("verifierd gave no answer within {}", humantime::format_duration(*timeout))]
    TimedOut { timeout: Duration },
    #[error("the connection to verifierd broke")]
    Broken { source: hyper::Error },
    #[error("{message}")]
    Refused { code: ErrorCode, message: String },
    #[error("cannot make sense of verifierd's answer: {problem}")]
    Garbled { problem: String },
    #[error("{count} {}", if *count == 1 { "problem" } else { "problems" })]
    ProblemsFound { count: usize },
    #[error("the audit trail is broken: {place}")]
    AuditBroken { place: String },
    #[error("verifierd is {state}{}", if reasons.is_empty() { String::new() } else { format!(": {}", reasons.join("; ")) })]
    NotReady { state: &'static str, reasons: Vec<String> },
    #[error("cannot run {}", program.display())]
    Launch { program: PathBuf, source: io::Error },
    #[error("cannot start")]
    Runtime { source: io::Error },
    #[error("cannot write to stdout")]
    Write { source: io::Error },
    #[error("interrupted")]
    Interrupted,
}

impl Failure {
    /// What the shell gets.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Usage { .. } | Self::NeedsYes { .. } | Self::NeedsInput { .. } => Exit::Usage,
            Self::UnfitSerial { .. } | Self::HostsMeant { .. } => Exit::Usage,
            Self::LineMissing { .. } | Self::NothingTyped { .. } | Self::LineTooLong { .. } => Exit::Usage,
            Self::ReadConfig { .. } | Self::ParseConfig { .. } | Self::ConfigSocket { .. } => Exit::Usage,
            Self::ReadFile { .. } | Self::UnfitFile { .. } | Self::WriteFile { .. } => Exit::Usage,
            Self::Connect { .. } | Self::TimedOut { .. } => Exit::NotReachable,
            Self::ConnectNotAllowed { .. } => Exit::NotAllowed,
            Self::Refused { code, .. } => exit_of(*code),
            Self::NotReady { .. } => Exit::NotReady,
            Self::WrongCode { .. } => Exit::WrongCode,
            Self::Interrupted | Self::ImportInterrupted => Exit::Interrupted,
            Self::NotConfirmed
            | Self::ReadTerminal { .. }
            | Self::ImportFile { .. }
            | Self::ImportFaults { .. }
            | Self::ImportUnclear { .. }
            | Self::Broken { .. }
            | Self::Garbled { .. }
            | Self::ProblemsFound { .. }
            | Self::AuditBroken { .. }
            | Self::Launch { .. }
            | Self::Runtime { .. }
            | Self::Write { .. } => Exit::Failed,
        }
    }

    /// What programs get as `error.code`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Usage { .. } | Self::UnfitSerial { .. } | Self::HostsMeant { .. } => "usage",
            Self::LineMissing { .. } | Self::NothingTyped { .. } | Self::LineTooLong { .. } => "usage",
            Self::NeedsYes { .. } => "needs_yes",
            Self::NeedsInput { .. } => "needs_input",
            Self::NotConfirmed => "not_confirmed",
            Self::ReadConfig { .. } | Self::ParseConfig { .. } | Self::ConfigSocket { .. } => "configuration",
            Self::ReadFile { .. } | Self::UnfitFile { .. } | Self::WriteFile { .. } => "file",
            Self::ImportFile { .. } => "import_file",
            Self::ImportFaults { .. } => "import_faults",
            Self::ImportUnclear { .. } => "import_unclear",
            Self::Connect { .. } => "not_reachable",
            Self::ConnectNotAllowed { .. } => "not_allowed",
            Self::TimedOut { .. } => "timed_out",
            Self::Refused { code, .. } => code_of(*code),
            Self::Garbled { .. } => "garbled_answer",
            Self::ProblemsFound { .. } => "problems_found",
            Self::AuditBroken { .. } => "audit_broken",
            Self::NotReady { .. } => "not_ready",
            Self::WrongCode { .. } => "wrong_code",
            Self::Interrupted | Self::ImportInterrupted => "interrupted",
            Self::ReadTerminal { .. }
            | Self::Broken { .. }
            | Self::Launch { .. }
            | Self::Runtime { .. }
            | Self::Write { .. } => "failed",
        }
    }

    /// The message with the causes behind it, in one line.
    pub fn line(&self) -> String {
        let mut line = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            line.push_str(": ");
            line.push_str(error.to_string().trim_end());
            cause = error.source();
        }
        line
    }
}

fn hosts(found: usize) -> String {
    match found {
        0 => "no host is".into(),
        1 => "one host is".into(),
        _ => format!("{found} hosts are"),
    }
}

fn exit_of(code: ErrorCode) -> Exit {
    match code {
        ErrorCode::Malformed => Exit::Usage,
        ErrorCode::NotAllowed => Exit::NotAllowed,
        ErrorCode::NotFound => Exit::NotFound,
        ErrorCode::Conflict => Exit::Conflict,
        ErrorCode::Unavailable | ErrorCode::Throttled => Exit::NotReady,
        ErrorCode::WrongCode => Exit::WrongCode,
        ErrorCode::TooLarge | ErrorCode::Unknown => Exit::Failed,
    }
}

fn code_of(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::Malformed => "malformed",
        ErrorCode::NotAllowed => "not_allowed",
        ErrorCode::NotFound => "not_found",
        ErrorCode::Conflict => "conflict",
        ErrorCode::TooLarge => "too_large",
        ErrorCode::WrongCode => "wrong_code",
        ErrorCode::Throttled => "throttled",
        ErrorCode::Unavailable => "unavailable",
        ErrorCode::Unknown => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_of_verifierd_has_its_exit_code() {
        let table = [
            (ErrorCode::Malformed, 2),
            (ErrorCode::NotAllowed, 5),
            (ErrorCode::NotFound, 4),
            (ErrorCode::Conflict, 6),
            (ErrorCode::TooLarge, 1),
            (ErrorCode::WrongCode, 8),
            (ErrorCode::Throttled, 7),
            (ErrorCode::Unavailable, 7),
            (ErrorCode::Unknown, 1),
        ];
        for (code, exit) in table {
            let failure = Failure::Refused { code, message: String::new() };
            assert_eq!(failure.exit() as u8, exit, "{code:?}");
            let on_the_wire = serde_json::to_value(code).expect("a code is a string");
            assert_eq!(failure.code(), on_the_wire, "{code:?}");
        }
    }

    #[test]
    fn our_own_failures_have_their_exit_codes() {
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let table = [
            (Failure::NeedsYes { verb: "`token disable`" }, 2),
            (Failure::NotConfirmed, 1),
            (Failure::Usage { problem: "it is so" }, 2),
            (Failure::NeedsInput { what: "the code" }, 2),
            (Failure::LineMissing { what: "the code" }, 2),
            (Failure::NothingTyped { what: "the code" }, 2),
            (Failure::UnfitSerial { problem: pskc::Problem::SerialMissing }, 2),
            (Failure::UnfitFile { path: "x".into(), problem: "is unfit".into() }, 2),
            (Failure::ImportFile { path: "x".into(), problem: String::new() }, 1),
            (Failure::ImportFaults { count: 1 }, 1),
            (Failure::ImportUnclear { source: Box::new(Failure::Interrupted) }, 1),
            (Failure::WrongCode { why: String::new() }, 8),
            (Failure::ConfigSocket { key: "admin", path: "x".into() }, 2),
            (Failure::Connect { socket: "x".into(), source: refused() }, 3),
            (Failure::TimedOut { timeout: Duration::from_secs(1) }, 3),
            (Failure::ConnectNotAllowed { socket: "x".into() }, 5),
            (Failure::NotReady { state: "not ready", reasons: Vec::new() }, 7),
            (Failure::AuditBroken { place: String::new() }, 1),
            (Failure::Garbled { problem: String::new() }, 1),
            (Failure::Interrupted, 130),
            (Failure::ImportInterrupted, 130),
        ];
        for (failure, exit) in table {
            assert_eq!(failure.exit() as u8, exit, "{failure:?}");
        }
    }

    #[test]
    fn a_line_names_the_causes() {
        let source = io::Error::from(io::ErrorKind::ConnectionRefused);
        let line = Failure::Connect { socket: "/run/x.sock".into(), source }.line();
        assert_eq!(line, "cannot reach verifierd at /run/x.sock (is it running?): connection refused");
    }
}
