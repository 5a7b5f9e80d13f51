//! `verifierd` with a configuration: initialised, started, killed, restarted, reloaded.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::authenticator::Authenticator;
use crate::machine::folder;
use crate::terminal::plain_environment;
use crate::time::{DaemonClock, unix_now, wait_for};
use crate::{postern, programs};

/// The configuration's usual place.
pub const CONFIG: &str = "/etc/postern/verifierd.toml";
/// The state's usual place.
pub const STATE: &str = "/var/lib/postern";
/// Folder of the sockets.
pub const RUN: &str = "/run/postern";

/// A daemon and its clock; killed when dropped.
pub struct Verifier {
    child: Option<Child>,
    /// The clock that the daemon sees.
    pub clock: DaemonClock,
    /// Whether the monotonic clock moves with it.
    stepped_waits: bool,
    /// Whether it sees the machine's own clock instead.
    real_time: bool,
}

impl Verifier {
    /// A fresh store, the configuration of the rig, and the daemon ready.
    pub fn start() -> Self {
        Self::start_with(&config(""))
    }

    /// The same with another configuration.
    pub fn start_with(config: &str) -> Self {
        let mut verifier = Self::prepare(config);
        verifier.initialise();
        verifier.launch();
        verifier
    }

    /// A fresh store, and the daemon on the machine's own clock.
    pub fn start_in_real_time() -> Self {
        let mut verifier = Self::prepare(&config("")).in_real_time();
        verifier.initialise();
        verifier.launch();
        verifier
    }

    /// Nothing but a configuration: no store, no key, no daemon.
    pub fn prepare(config: &str) -> Self {
        for old in [STATE, RUN, "/etc/postern"] {
            if Path::new(old).exists() {
                fs::remove_dir_all(old).unwrap_or_else(|error| panic!("cannot remove {old}: {error}"));
            }
        }
        let _ = fs::remove_file(log_file());
        fs::create_dir_all("/etc/postern").expect("/etc/postern");
        fs::write(CONFIG, config).expect("the configuration");
        Self { child: None, clock: DaemonClock::new(&folder()), stepped_waits: false, real_time: false }
    }

    /// Lets waits run on the clock that the test steps too; else they take real time.
    #[must_use]
    pub fn with_stepped_waits(mut self) -> Self {
        self.stepped_waits = true;
        self
    }

    /// Shows the daemon the machine's own clock.
    #[must_use]
    pub fn in_real_time(mut self) -> Self {
        self.real_time = true;
        self
    }

    /// Makes the key and the store.
    pub fn initialise(&self) {
        let output = postern::run(&["init"]);
        assert!(output.status.success(), "postern init: {output:?}");
    }

    /// Starts the daemon and waits until it decides logins.
    pub fn launch(&mut self) {
        self.launch_under(&[]);
    }

    /// The same under another program, such as `strace`.
    pub fn launch_under(&mut self, wrapper: &[&str]) {
        self.spawn_under(wrapper);
        self.wait_until_ready();
    }

    /// Starts the daemon without waiting for it.
    pub fn spawn_under(&mut self, wrapper: &[&str]) {
        assert!(self.child.is_none(), "the daemon runs");
        let mut line: Vec<PathBuf> = wrapper.iter().map(PathBuf::from).collect();
        line.push(programs::ours("verifierd"));
        let log =
            fs::OpenOptions::new().create(true).append(true).open(log_file()).expect("the daemon's log");
        let mut command = Command::new(&line[0]);
        command.args(&line[1..]).args(["run", "--config", CONFIG]);
        if !self.real_time {
            command.envs(self.clock.environment(self.stepped_waits));
        }
        plain_environment(&mut command);
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("the log")).stderr(log).current_dir("/");
        self.child = Some(command.spawn().expect("verifierd"));
    }

    /// Waits until the daemon says that it decides logins.
    ///
    /// # Panics
    /// With the daemon's log when it ends instead.
    pub fn wait_until_ready(&mut self) {
        let child = self.child.as_mut().expect("the daemon was started");
        wait_for("verifierd to be ready", || {
            let ended = child.try_wait().expect("verifierd");
            assert!(ended.is_none(), "verifierd ended: {ended:?}\n{}", log_text());
            UnixStream::connect(wire::LOGIN_SOCKET).ok()?;
            postern::is_ready().then_some(())
        });
    }

    /// Waits until the daemon decides logins, or has ended; says whether it decides.
    pub fn comes_up(&mut self) -> bool {
        let came_up = wait_for("verifierd to be ready or to end", || {
            if !self.is_running() {
                return Some(false);
            }
            UnixStream::connect(wire::LOGIN_SOCKET).ok()?;
            postern::is_ready().then_some(true)
        });
        self.reap();
        came_up
    }

    /// Waits until the daemon ends by itself.
    pub fn wait_for_end(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("the daemon was started");
        wait_for("verifierd to end", || child.try_wait().expect("verifierd"))
    }

    /// Ends the daemon without any warning.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("the daemon was started");
        child.kill().expect("kill -9");
        child.wait().expect("verifierd");
    }

    /// Gives it another configuration, as `systemctl reload verifierd` does.
    pub fn reload(&self, config: &str) {
        fs::write(CONFIG, config).expect("the configuration");
        let before = log_text().matches("the configuration was read anew").count();
        self.signal(Signal::HUP);
        wait_for("the configuration to be taken over", || {
            (log_text().matches("the configuration was read anew").count() > before).then_some(())
        });
    }

    /// Asks the daemon to end, and waits until it has.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait_for_end()
    }

    /// Waits, on the daemon's clock, for the next time step, and reads the phone.
    pub fn next_code(&self, phone: &Authenticator) -> String {
        assert!(!self.real_time, "this daemon's clock cannot be moved");
        self.clock.advance(30);
        self.code(phone)
    }

    /// The daemon's time, in seconds since the Unix epoch.
    pub fn now(&self) -> u64 {
        if self.real_time { unix_now() } else { self.clock.unix_now() }
    }

    /// What the phone shows at the daemon's time.
    pub fn code(&self, phone: &Authenticator) -> String {
        phone.code(self.now())
    }

    /// Makes sure that the present time step lasts for some more seconds.
    pub fn leave_end_of_step(&self) {
        const STEP_SECONDS: u64 = 30;
        const ENOUGH_SECONDS: u64 = 4;
        if self.now() % STEP_SECONDS < STEP_SECONDS - ENOUGH_SECONDS {
            return;
        }
        if self.real_time {
            wait_for("the next time step", || (self.now() % STEP_SECONDS < ENOUGH_SECONDS).then_some(()));
        } else {
            self.clock.advance(ENOUGH_SECONDS as i64);
        }
    }

    /// Digits that the phone does not show.
    pub fn wrong_code(&self, phone: &Authenticator) -> String {
        phone.wrong_code(self.now())
    }

    /// Ends the daemon without warning and starts it anew, later by more than any step that it may have accepted:
    /// after an unclean end every step that could have been accepted is refused.
    pub fn crash_and_return(&mut self) {
        self.kill();
        self.clock.advance(120);
        self.launch();
        self.clock.advance(120);
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.id(), signal).expect("signal");
    }

    /// The daemon's process id; under a wrapper, the wrapper's.
    pub fn id(&self) -> Pid {
        Pid::from_child(self.child.as_ref().expect("the daemon was started"))
    }

    /// Whether the daemon still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().expect("verifierd").is_none())
    }

    /// Takes note that the daemon has ended, if it has.
    pub fn reap(&mut self) {
        if !self.is_running() {
            self.child = None;
        }
    }

    /// Waits until the daemon's log holds a text.
    pub fn expect_log(&self, text: &str) {
        wait_for(&format!("{text:?} in the daemon's log"), || log_text().contains(text).then_some(()));
    }
}

impl Drop for Verifier {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            let log = log_text();
            let lines: Vec<&str> = log.lines().collect();
            println!(
                "--- what verifierd said at last\n{}",
                lines[lines.len().saturating_sub(40)..].join("\n")
            );
        }
    }
}

/// The rig's configuration.
///
/// * `more`: lines for the end of the file, such as a whole `[enrolment]` section.
pub fn config(more: &str) -> String {
    let head = "version = 1\nkey_file = \"/etc/postern/master.key\"\non_unenrolled = \"ignore\"\n";
    format!("{head}{more}")
}

/// All that daemons of this test have said.
pub fn log_text() -> String {
    fs::read(log_file()).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

fn log_file() -> PathBuf {
    folder().join("verifierd.log")
}
