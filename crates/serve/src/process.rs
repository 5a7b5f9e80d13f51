//! What a process that serves is to its machine: signals, systemd, the log, and what it may have open.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// SIGTERM or SIGINT: to end.
    End,
    /// SIGHUP: to read the configuration anew.
    Reload,
}

/// The signals that we heed, instead of what they would do to a process in the middle of a login.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    /// Nothing is asked by these; untaken, they would end the process.
    user: [Signal; 2],
}

impl Signals {
    /// Takes them over. What comes from now on waits until it is heeded.
    ///
    /// # Errors
    /// When the system refuses a handler.
    pub fn take() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            user: [signal(SignalKind::user_defined1())?, signal(SignalKind::user_defined2())?],
        })
    }

    /// Waits for the next that asks for something.
    pub async fn next(&mut self) -> Asked {
        let [user1, user2] = &mut self.user;
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return Asked::End,
                _ = self.interrupt.recv() => return Asked::End,
                _ = self.hang_up.recv() => return Asked::Reload,
                _ = user1.recv() => {}
                _ = user2.recv() => {}
            }
        }
    }
}

/// Half a daemon must not keep answering.
pub fn abort_on_panic() {
    abort_on_panic_but_in(None);
}

/// The same, but for threads of one name, whose work is apart from all else: there a panic is reported, and whoever waits
/// for the work sees that it came to nothing.
pub fn abort_on_panic_but_in(apart: Option<&'static str>) {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if apart.is_some() && std::thread::current().name() == apart {
            return report(panic);
        }
        abort_soon();
        report(panic);
        std::process::abort();
    }));
}

/// Ends the process within a second, whatever holds it up: whoever says why it ends may write to a log that nobody reads.
pub fn abort_soon() {
    // Where there is no thread to be had, the end waits for the log.
    let _ = std::thread::Builder::new().spawn(|| {
        std::thread::park_timeout(LAST_WORDS_MAX);
        std::process::abort();
    });
}

/// How long a process that must end may take to say why: a log that is read takes a line in microseconds.
const LAST_WORDS_MAX: Duration = Duration::from_secs(1);

/// A core file would hold secrets.
pub fn forbid_core_dumps() {
    let none = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
    if let Err(error) = rustix::process::setrlimit(rustix::process::Resource::Core, none) {
        tracing::warn!(%error, "core dumps could not be turned off");
    }
    if let Err(error) = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
    {
        tracing::warn!(%error, "this process could not be made undumpable");
    }
}

/// Under systemd the unit says it too. Where fewer are to be had, fewer connections are served at once.
///
/// * `wanted`: descriptors for all connections of all listeners, and for whatever else the process opens.
pub fn raise_descriptor_limit(wanted: usize) {
    let wanted = wanted as u64;
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let current = limit.current.unwrap_or(u64::MAX);
    let possible = limit.maximum.unwrap_or(u64::MAX).min(wanted);
    if possible > current {
        let raised = rustix::process::Rlimit { current: Some(possible), maximum: limit.maximum };
        if let Err(error) = rustix::process::setrlimit(rustix::process::Resource::Nofile, raised) {
            tracing::warn!(%error, current, "the number of open files could not be raised");
        }
    }
    if possible.max(current) < wanted {
        tracing::warn!(wanted, possible, "few open files are allowed: fewer connections are served at once");
    }
}

/// Tells systemd, where it started us.
pub fn tell_systemd(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "systemd was not told");
    }
}

/// Logs to standard error, which systemd puts into the journal. A reader that does not read loses lines; logins do not
/// wait for it. The guard writes out what is left when it is dropped.
pub fn log() -> WorkerGuard {
    let (writer, guard) = tracing_appender::non_blocking(std::io::stderr());
    let lines = tracing_subscriber::fmt::layer().with_ansi(false).with_target(false).with_writer(writer);
    tracing_subscriber::registry().with(LevelFilter::INFO).with(lines).init();
    guard
}
