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
    /// `verifierd` runs, but is not ready or is degraded.
    NotReady = 7,
    /// Ctrl-C.
    Interrupted = 130,
}

/// Everything that can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("{verb} needs --yes where it cannot ask")]
    NeedsYes { verb: &'static str },
    #[error("not confirmed; nothing was changed")]
    NotConfirmed,
    #[error("cannot read the answer from the terminal")]
    ReadConfirmation { source: io::Error },
    #[error("cannot read {}", path.display())]
    ReadConfig { path: PathBuf, source: io::Error },
    #[error("{} is not valid TOML", path.display())]
    ParseConfig { path: PathBuf, source: toml::de::Error },
    #[error("sockets.admin in {} is not a path in quotes", path.display())]
    ConfigSocket { path: PathBuf },
    #[error("cannot reach verifierd at {} (is it running?)", socket.display())]
    Connect { socket: PathBuf, source: io::Error },
    #[error("not allowed to use {}: run this as root", socket.display())]
    ConnectNotAllowed { socket: PathBuf },
    #[error("verifierd gave no answer within {}", humantime::format_duration(*timeout))]
    TimedOut { timeout: Duration },
    #[error("the connection to verifierd broke")]
    Broken { source: hyper::Error },
    #[error("{message}")]
    Refused { code: ErrorCode, message: String },
    #[error("cannot make sense of verifierd's answer: {problem}")]
    Garbled { problem: String },
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
            Self::NeedsYes { .. } | Self::ReadConfig { .. } | Self::ParseConfig { .. } => Exit::Usage,
            Self::ConfigSocket { .. } => Exit::Usage,
            Self::Connect { .. } | Self::TimedOut { .. } => Exit::NotReachable,
            Self::ConnectNotAllowed { .. } => Exit::NotAllowed,
            Self::Refused { code, .. } => exit_of(*code),
            Self::NotReady { .. } => Exit::NotReady,
            Self::Interrupted => Exit::Interrupted,
            Self::NotConfirmed
            | Self::ReadConfirmation { .. }
            | Self::Broken { .. }
            | Self::Garbled { .. }
            | Self::AuditBroken { .. }
            | Self::Launch { .. }
            | Self::Runtime { .. }
            | Self::Write { .. } => Exit::Failed,
        }
    }

    /// What programs get as `error.code`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NeedsYes { .. } => "needs_yes",
            Self::NotConfirmed => "not_confirmed",
            Self::ReadConfig { .. } | Self::ParseConfig { .. } | Self::ConfigSocket { .. } => "configuration",
            Self::Connect { .. } => "not_reachable",
            Self::ConnectNotAllowed { .. } => "not_allowed",
            Self::TimedOut { .. } => "timed_out",
            Self::Refused { code, .. } => code_of(*code),
            Self::Garbled { .. } => "garbled_answer",
            Self::AuditBroken { .. } => "audit_broken",
            Self::NotReady { .. } => "not_ready",
            Self::Interrupted => "interrupted",
            Self::ReadConfirmation { .. }
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

fn exit_of(code: ErrorCode) -> Exit {
    match code {
        ErrorCode::Malformed => Exit::Usage,
        ErrorCode::NotAllowed => Exit::NotAllowed,
        ErrorCode::NotFound => Exit::NotFound,
        ErrorCode::Conflict => Exit::Conflict,
        ErrorCode::Unavailable => Exit::NotReady,
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
            (Failure::NeedsYes { verb: "token disable" }, 2),
            (Failure::NotConfirmed, 1),
            (Failure::ConfigSocket { path: "x".into() }, 2),
            (Failure::Connect { socket: "x".into(), source: refused() }, 3),
            (Failure::TimedOut { timeout: Duration::from_secs(1) }, 3),
            (Failure::ConnectNotAllowed { socket: "x".into() }, 5),
            (Failure::NotReady { state: "not ready", reasons: Vec::new() }, 7),
            (Failure::AuditBroken { place: String::new() }, 1),
            (Failure::Garbled { problem: String::new() }, 1),
            (Failure::Interrupted, 130),
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
