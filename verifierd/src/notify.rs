//! Tells a program of the administrator's about events that somebody should hear of.
//!
//! One program run for one event, one after the other. Whoever causes an event never waits for it: what does
//! not fit into the queue is dropped, counted, and the count logged. What says that somebody has got in, or may, has a
//! queue of its own and goes first: many joins or associations cannot push it out. What the program sends on to whom is
//! its own affair; a code or a secret never reaches it, because no audit record holds one.

use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot};

use crate::audit::AuditRecord;

/// What is told before all else, by the record's `event`: an attack, or that a token is of no use any more. Nobody from
/// outside makes many of them: the throttles stand between.
const FIRST: [&str; 5] =
    ["token_disabled", "person_password_disabled", "token_lost", "guesses_from_one_source", "store_behind"];

/// What else is told.
const EVENTS: [&str; 11] = [
    "token_associated",
    "token_disassociated",
    "recovery_codes_made",
    "user_unlocked",
    "user_otp_off",
    "host_joined",
    "host_join_refused",
    "host_revoked",
    "security_key_added",
    "security_key_removed",
    "session_reported",
];

/// Logins that are told, by the record's `reason`: a token was associated at the prompt or showed its first code, a
/// recovery code was used.
const LOGINS: [&str; 3] = ["associated", "activated", "recovery_code"];

/// How many events of either kind may wait: at a second each, which is long for a program that hands a line over, four
/// minutes' worth. A record has some 500 bytes.
const EVENTS_MAX: usize = 256;

/// How long the program may take. A mail server that is asked and does not answer takes longer, and is given up.
const RUN_MAX: Duration = Duration::from_secs(10);

/// How long the daemon waits at its end for those that are still to be told.
const FINISH_MAX: Duration = Duration::from_secs(2);

/// The one variable of the program's environment.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The program and its arguments.
type Program = ArcSwapOption<Vec<String>>;

/// Tells the program.
#[derive(Debug)]
pub struct Notifier {
    program: Arc<Program>,
    first: mpsc::Sender<Task>,
    rest: mpsc::Sender<Task>,
    dropped: Arc<Dropped>,
}

/// What did not fit. The numbers say nothing to each other, so `Relaxed` is enough.
#[derive(Debug, Default)]
struct Dropped {
    all: AtomicU64,
    /// Since the queues were empty last.
    of_late: AtomicU64,
}

impl Dropped {
    fn count(&self) {
        self.all.fetch_add(1, Ordering::Relaxed);
        if self.of_late.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::warn!("events are dropped: the notify command is too slow");
        }
    }

    /// Says how many there were, now that the queues are empty.
    fn settle(&self) {
        let count = self.of_late.swap(0, Ordering::Relaxed);
        if count > 0 {
            tracing::warn!(count, "events were not told: the notify command was too slow");
        }
    }
}

#[derive(Debug)]
enum Task {
    /// An audit record as a line of JSON.
    Tell { event: String, line: String },
    /// Everything before this is told.
    Mark(oneshot::Sender<()>),
}

impl Notifier {
    /// A notifier and the task that runs the program, which ends with it. To be called on a runtime.
    ///
    /// * `command`: the absolute path of a program, checked when the configuration was read, and its
    ///   arguments; `None` tells nobody.
    pub fn new(command: Option<Vec<String>>) -> Self {
        Self::with_time(command, RUN_MAX)
    }

    fn with_time(command: Option<Vec<String>>, run_max: Duration) -> Self {
        let (first, mut first_tasks) = mpsc::channel(EVENTS_MAX);
        let (rest, mut rest_tasks) = mpsc::channel(EVENTS_MAX);
        let program = Arc::new(ArcSwapOption::from_pointee(command));
        let notifier = Self { program, first, rest, dropped: Arc::default() };
        let (program, dropped) = (Arc::clone(&notifier.program), Arc::clone(&notifier.dropped));
        tokio::spawn(async move {
            loop {
                if first_tasks.is_empty() && rest_tasks.is_empty() {
                    dropped.settle();
                }
                let task = tokio::select! {
                    biased;
                    task = first_tasks.recv() => task,
                    task = rest_tasks.recv() => task,
                };
                // Both senders go with the notifier.
                let Some(task) = task else { return };
                work(task, &program, run_max).await;
            }
        });
        notifier
    }

    /// Another program from now on, or none.
    pub fn change(&self, command: Option<Vec<String>>) {
        self.program.store(command.map(Arc::new));
    }

    /// Tells of an event, if it is one that is told. Never waits.
    pub fn tell(&self, record: &AuditRecord) {
        if self.program.load().is_none() || !is_told(record) {
            return;
        }
        let mut line = serde_json::to_string(record).expect("a record holds only numbers and texts");
        line.push('\n');
        let queue = if FIRST.contains(&record.event.as_str()) { &self.first } else { &self.rest };
        if queue.try_send(Task::Tell { event: record.event.clone(), line }).is_err() {
            self.dropped.count();
        }
    }

    /// How many events were dropped since the start.
    pub fn dropped(&self) -> u64 {
        self.dropped.all.load(Ordering::Relaxed)
    }

    /// Waits until what was told so far is out, for a short while.
    pub async fn finish(&self) {
        let (mark, reached) = oneshot::channel();
        let told = async {
            // Behind everything: what goes first has gone by then.
            if self.rest.send(Task::Mark(mark)).await.is_ok() {
                // A task that is gone has nothing left to tell.
                let _ = reached.await;
            }
        };
        if tokio::time::timeout(FINISH_MAX, told).await.is_err() {
            tracing::warn!("stopped before the notify command was told everything");
        }
        self.dropped.settle();
    }
}

fn is_told(record: &AuditRecord) -> bool {
    // A try that was refused is no event.
    let happened = record.verdict.as_deref().is_none_or(|verdict| verdict == "allow");
    happened
        && match record.event.as_str() {
            "login" => LOGINS.contains(&record.reason.as_str()),
            event => FIRST.contains(&event) || EVENTS.contains(&event),
        }
}

async fn work(task: Task, program: &Program, run_max: Duration) {
    match task {
        Task::Tell { event, line } => {
            let Some(command) = program.load_full() else { return };
            match run(&command, &line, run_max).await {
                Ok(status) if status.success() => tracing::info!(event, "the notify command was told"),
                Ok(status) => tracing::warn!(event, %status, "the notify command failed"),
                Err(error) => tracing::warn!(event, %error, "the notify command failed"),
            }
        }
        Task::Mark(reached) => {
            // Whoever waited for it may have given up.
            let _ = reached.send(());
        }
    }
}

/// Runs the program once, in a process group of its own. What it says on standard error stands beside our log.
async fn run(command: &[String], line: &str, run_max: Duration) -> std::io::Result<ExitStatus> {
    let [program, arguments @ ..] = command else {
        unreachable!("the configuration has a program in every command")
    };
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", PATH)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    let told = async {
        if let Some(mut stdin) = child.stdin.take() {
            // A program that does not read its input says by its exit status whether that matters.
            let _ = stdin.write_all(line.as_bytes()).await;
        }
        child.wait().await
    };
    match tokio::time::timeout(run_max, told).await {
        Ok(ended) => ended,
        Err(_) => {
            kill_group(&child);
            Err(std::io::Error::other(format!("killed after {} s", run_max.as_secs())))
        }
    }
}

/// Kills the program and what it started, unless that has left the group.
fn kill_group(child: &Child) {
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(group) = group
        && let Err(error) = kill_process_group(group, Signal::KILL)
    {
        tracing::warn!(%error, "the notify command could not be killed");
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;

    /// A folder with a script in it, and the command that runs the script.
    struct Script {
        folder: tempfile::TempDir,
        command: Vec<String>,
    }

    impl Script {
        fn new(text: &str) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("tell");
            std::fs::write(&path, text).unwrap();
            let text = |path: &Path| path.to_str().unwrap().to_owned();
            let command = vec!["/bin/sh".into(), text(&path), text(folder.path())];
            Self { folder, command }
        }

        fn notifier(&self) -> Notifier {
            Notifier::new(Some(self.command.clone()))
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        fn read(&self, name: &str) -> String {
            std::fs::read_to_string(self.path(name)).unwrap_or_default()
        }
    }

    fn record(event: &str, reason: &str) -> AuditRecord {
        let user = Some("alice".into());
        AuditRecord { event: event.into(), reason: reason.into(), user, ..AuditRecord::default() }
    }

    // covers: I11, A15
    #[tokio::test]
    async fn the_program_reads_the_record_as_one_line() {
        let script = Script::new("cat >> \"$1/told\"; echo read >> \"$1/told\"");
        let notifier = script.notifier();
        let lost = record("token_lost", "helpdesk");
        notifier.tell(&lost);
        notifier.tell(&record("user_unlocked", "helpdesk"));
        notifier.finish().await;
        let told = script.read("told");
        let lines: Vec<_> = told.lines().collect();
        assert_eq!(lines[0], serde_json::to_string(&lost).unwrap());
        assert_eq!((lines.len(), lines[1], lines[3]), (4, "read", "read"));
        assert!(lines[2].contains("\"user_unlocked\""));
    }

    // covers: I11, A15
    #[test]
    fn just_the_events_of_the_list_are_told() {
        for event in FIRST.iter().chain(&EVENTS) {
            assert!(is_told(&record(event, "administrator")), "{event}");
        }
        for event in ["token_added", "token_assigned", "user_otp_on", "recovery_code", "service_started", ""]
        {
            assert!(!is_told(&record(event, "administrator")), "{event}");
        }
        let tried = |verdict: &str| {
            is_told(&AuditRecord { verdict: Some(verdict.into()), ..record("token_associated", "x") })
        };
        assert!(tried("allow") && !tried("deny") && !tried("unavailable"));
        let login = |reason: &str| is_told(&record("login", reason));
        assert_eq!(
            ["recovery_code", "associated", "accepted", "wrong_code"].map(login),
            [true, true, false, false]
        );
    }

    #[tokio::test]
    async fn the_program_has_a_path_and_nothing_else_of_our_environment() {
        let script = Script::new("env > \"$1/env\"; pwd > \"$1/pwd\"; echo \"$#\" > \"$1/count\"");
        let notifier = script.notifier();
        notifier.tell(&record("token_lost", ""));
        notifier.finish().await;
        let of_ours =
            |line: &&str| !["PWD=", "OLDPWD=", "SHLVL=", "_="].iter().any(|own| line.starts_with(own));
        let env = script.read("env");
        assert_eq!(env.lines().filter(of_ours).collect::<Vec<_>>(), [format!("PATH={PATH}")]);
        assert_eq!((script.read("pwd").trim(), script.read("count").trim()), ("/", "1"));
    }

    #[tokio::test]
    async fn a_program_that_takes_too_long_is_killed_with_what_it_started() {
        // The pipe ends when the last process that holds it open is gone.
        let script = Script::new("exec 3> \"$1/pipe\"; sleep 1000 & sleep 1000");
        let pipe = script.path("pipe");
        let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR);
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, kind, mode, 0).unwrap();
        let closed = tokio::task::spawn_blocking(move || std::fs::read(pipe).unwrap());
        let notifier = Notifier::with_time(Some(script.command.clone()), Duration::from_millis(300));
        notifier.tell(&record("token_lost", ""));
        assert!(closed.await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_program_that_fails_or_is_missing_does_not_stop_the_next() {
        let script = Script::new("echo x >> \"$1/told\"; exit 3");
        let notifier = Notifier::new(Some(vec!["/nonexistent/tell".into()]));
        notifier.tell(&record("token_lost", ""));
        notifier.finish().await;
        notifier.change(Some(script.command.clone()));
        notifier.tell(&record("token_lost", ""));
        notifier.tell(&record("token_lost", ""));
        notifier.finish().await;
        assert_eq!(script.read("told"), "x\nx\n");
    }

    #[tokio::test]
    async fn a_changed_program_is_told_and_none_is_not() {
        let (first, second) = (Script::new("cat > \"$1/told\""), Script::new("cat > \"$1/told\""));
        let notifier = first.notifier();
        notifier.change(Some(second.command.clone()));
        notifier.tell(&record("token_lost", ""));
        notifier.finish().await;
        assert_eq!((first.read("told").as_str(), second.read("told").lines().count()), ("", 1));
        notifier.change(None);
        std::fs::remove_file(second.path("told")).unwrap();
        notifier.tell(&record("token_lost", ""));
        notifier.finish().await;
        assert!(!second.path("told").exists());
    }

    // covers: I11
    #[tokio::test]
    async fn what_does_not_fit_is_dropped_and_counted_and_leaves_room_for_what_goes_first() {
        let script = Script::new("cat >> \"$1/told\"");
        let notifier = script.notifier();
        // Nothing is taken from the queues before this test waits for something.
        for _ in 0..EVENTS_MAX + 5 {
            notifier.tell(&record("host_join_refused", ""));
        }
        assert_eq!(notifier.dropped(), 5);
        for event in FIRST {
            notifier.tell(&record(event, ""));
        }
        assert_eq!(notifier.dropped(), 5, "these have a queue of their own");
        let told = wait_for_lines(&script, FIRST.len()).await;
        for (line, event) in told.iter().zip(FIRST) {
            assert!(line.contains(&format!("\"event\":\"{event}\"")), "{line}");
        }
    }

    /// What was told, once it is so many lines.
    async fn wait_for_lines(script: &Script, count: usize) -> Vec<String> {
        loop {
            let told: Vec<String> = script.read("told").lines().map(str::to_owned).collect();
            if told.len() >= count {
                return told;
            }
            tokio::task::yield_now().await;
        }
    }
}
