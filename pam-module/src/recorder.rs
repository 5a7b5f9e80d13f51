//! Has a program of this host begin and end the recording of a session.
//!
//! Runs nothing but programs in [`RECORDERS`] that root put there, alone: without a shell, with an environment that holds
//! nothing but the facts, with no file of its caller, in a session of its own, as root, and for a few seconds. Its exit
//! status says whether the recording has begun. docs/decisions/0027 says why it is the module that does this.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::event::PollFlags;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use serde::{Deserialize, Serialize};
use wire::session::{RECORDER_WORD_BYTES_MAX, RECORDER_WORDS_MAX, RECORDERS, Recorder};

use crate::fault::fault_point;
use crate::raw;
use crate::root_path::{self, Kind};
use crate::verifier::{Clock, Deadline, Failure, Unavailable, above_stdio};

/// How long a recorder may take to begin or to end a recording. Whoever logs in waits for it: sshd gives him 120 s in all.
const RUN_MAX: Duration = Duration::from_secs(10);

/// How long a killed one may take to be gone.
const GONE_MAX: Duration = Duration::from_secs(1);

/// The whole `PATH` of a recorder: folders of root's.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// What it is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A session begins.
    Open,
    /// It is over.
    Close,
}

/// What became of the recorder of an open session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kept {
    /// It records.
    Running(Recorder),
    /// It does not, and the session goes on without.
    Failed,
}

/// Why a recorder did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// What the verifier says is no command of this host.
    NotACommand,
    /// Somebody other than root could have put it there, or it is no program.
    Untrusted {
        /// The first such part of its path.
        component: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The system did not start it, or lost it.
    System {
        /// What was being done.
        doing: &'static str,
        /// The error's number.
        number: i32,
    },
    /// It said that it does not record.
    Failed(ExitStatus),
    /// It did not say anything in time, and was killed.
    TimedOut,
}

/// Runs a recorder to its end.
///
/// * `facts`: what it finds in its environment, besides what it is asked to do.
///
/// # Errors
/// When it did not end with status 0 in time.
pub(crate) fn run(
    recorder: &Recorder,
    event: Event,
    facts: &[(&str, String)],
    clock: &dyn Clock,
) -> Result<(), Fault> {
    fault_point!("recorder::run");
    let mut command = command(recorder, event, facts)?;
    raw::stand_alone(&mut command);
    let mut child = command.spawn().map_err(|error| system("spawn", &error))?;
    let waited = wait(&child, RUN_MAX, clock);
    if waited.is_err() {
        end(&mut child, clock);
    }
    waited?;
    match child.try_wait() {
        Ok(Some(status)) => judged(status),
        // Its end was seen a moment ago.
        Ok(None) => Err(Fault::System { doing: "wait", number: 0 }),
        Err(error) => Err(system("wait", &error)),
    }
}

/// It records where it says so.
fn judged(status: ExitStatus) -> Result<(), Fault> {
    if status.success() { Ok(()) } else { Err(Fault::Failed(status)) }
}

/// The command, if it is one of this host.
fn command(recorder: &Recorder, event: Event, facts: &[(&str, String)]) -> Result<Command, Fault> {
    fault_point!("recorder::command");
    let (program, arguments) = recorder.command.split_first().ok_or(Fault::NotACommand)?;
    let name = program.strip_prefix(RECORDERS).and_then(|rest| rest.strip_prefix('/'));
    let is_name = name.is_some_and(|name| !matches!(name, "" | "." | "..") && !name.contains('/'));
    let is_word = |word: &String| word.len() <= RECORDER_WORD_BYTES_MAX && !word.contains(char::is_control);
    let are_words = recorder.command.len() <= RECORDER_WORDS_MAX && recorder.command.iter().all(is_word);
    if !is_name || !are_words {
        return Err(Fault::NotACommand);
    }
    root_path::check(program, Kind::Program)?;
    let mut command = Command::new(program);
    let event = match event {
        Event::Open => "open",
        Event::Close => "close",
    };
    command.args(arguments).env_clear().env("PATH", PATH).env("POSTERN_EVENT", event);
    command.envs(facts.iter().map(|(name, value)| (name, value)));
    // Under sudo and su the caller is root by half only.
    command.current_dir("/").uid(0).gid(0);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Ok(command)
}

/// Waits until a program has ended.
fn wait(child: &Child, timeout: Duration, clock: &dyn Clock) -> Result<(), Fault> {
    fault_point!("recorder::wait");
    let pid = pid(child).ok_or(Fault::System { doing: "wait", number: 0 })?;
    let ended = pidfd_open(pid, PidfdFlags::empty())
        .and_then(above_stdio)
        .map_err(|errno| Fault::System { doing: "pidfd_open", number: errno.raw_os_error() })?;
    let now = clock.now();
    let deadline = Deadline::new(clock, now.checked_add(timeout).unwrap_or(now));
    deadline.wait(&ended, PollFlags::IN).map_err(|failure| match failure {
        Failure::Local { errno, .. } => Fault::System { doing: "poll", number: errno.raw_os_error() },
        _ => Fault::TimedOut,
    })
}

/// Kills a program and what it started, and takes note of its end, so that nothing of it is left to the caller.
fn end(child: &mut Child, clock: &dyn Clock) {
    fault_point!("recorder::end");
    if let Some(pid) = pid(child) {
        // It leads its group: see `raw::stand_alone`.
        let _gone = kill_process_group(pid, Signal::KILL);
    }
    if wait(child, GONE_MAX, clock).is_ok() {
        let _noted = child.try_wait();
    }
}

fn pid(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}

fn system(doing: &'static str, error: &std::io::Error) -> Fault {
    Fault::System { doing, number: error.raw_os_error().unwrap_or_default() }
}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::UntrustedPath { component, problem } => Self::Untrusted { component, problem },
            Failure::Local { doing, errno } => Self::System { doing, number: errno.raw_os_error() },
            Failure::Unavailable(Unavailable::SocketMissing) => {
                Self::Untrusted { component: RECORDERS.to_owned(), problem: "missing" }
            }
            _ => Self::NotACommand,
        }
    }
}

impl Fault {
    /// One word of a closed set, for the log.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::NotACommand => "not-a-command",
            Self::Untrusted { .. } => "untrusted-path",
            Self::System { .. } => "system-error",
            Self::Failed(_) => "failed",
            Self::TimedOut => "timed-out",
        }
    }

    /// What an administrator needs beyond the reason.
    pub(crate) fn detail(&self) -> Option<String> {
        match self {
            Self::NotACommand | Self::TimedOut => None,
            Self::Untrusted { component, problem } => Some(format!("{component}:{problem}")),
            Self::System { doing, number } => Some(format!("{doing}:errno:{number}")),
            Self::Failed(status) => Some(match status.code() {
                Some(code) => format!("status:{code}"),
                None => "killed".to_owned(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use wire::session::RecorderFailure;

    use super::*;

    // covers: E25
    #[test]
    fn only_a_recorder_that_ends_with_status_0_records() {
        assert_eq!(judged(ExitStatus::from_raw(0)), Ok(()));
        // What wait(2) says of status 1, of 255 and of a signal.
        for raw in [0x100, 0xff00, 9] {
            let status = ExitStatus::from_raw(raw);
            assert_eq!(judged(status), Err(Fault::Failed(status)));
        }
    }

    // covers: E25
    #[test]
    fn a_command_is_a_program_of_the_folder_that_root_put_there() {
        let fault = |program: &str| {
            let on_failure = RecorderFailure::default();
            let recorder = Recorder { command: vec![program.to_owned()], on_failure };
            command(&recorder, Event::Open, &[]).err()
        };
        let missing = fault(&format!("{RECORDERS}/no-such-recorder-of-anybody"));
        assert!(matches!(missing, Some(Fault::Untrusted { problem: "missing", .. })), "{missing:?}");
        for program in
            ["", "/bin/true", "true", RECORDERS, &format!("{RECORDERS}/../sh"), &format!("{RECORDERS}/a/b")]
        {
            assert_eq!(fault(program), Some(Fault::NotACommand), "{program}");
        }
    }
}
