//! `postern-agent` with a configuration: joined, started, ended, asked how it is.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::machine::folder;
use crate::network::Place;
use crate::postern;
use crate::programs;
use crate::terminal::plain_environment;
use crate::time::wait_for;

/// Where the fleet listener is, at every address of the test's side.
pub const PORT: u16 = 7443;

/// The lines of a verifier's configuration that open it to hosts.
///
/// * `names`: what hosts call it.
pub fn fleet_section(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    format!("[fleet]\nlisten = \"0.0.0.0:{PORT}\"\nnames = [{}]\n", names.join(", "))
}

/// A verifier as an agent names it.
pub fn verifier(name: &str) -> String {
    format!("https://{name}:{PORT}")
}

/// What lets a host join: `postern host enrol`.
///
/// # Panics
/// When that is refused.
#[track_caller]
pub fn enrol(name: &str, more: &[&str]) -> String {
    let secret: wire::admin::JoinSecret = postern::ask(&[&["host", "enrol", name], more].concat());
    secret.secret
}

/// An agent of a host; killed when dropped.
pub struct Agent {
    name: String,
    /// Where it runs; beside the verifier where there is none.
    place: Option<Place>,
    /// Its own files.
    files: Files,
    /// What it is shown besides a plain environment.
    environment: Vec<(&'static str, PathBuf)>,
    child: Option<Child>,
}

/// Where an agent has its files.
#[derive(Clone, Debug)]
struct Files {
    config: PathBuf,
    state: PathBuf,
    socket: PathBuf,
}

impl Agent {
    /// One beside the verifier, with files of its own.
    pub fn beside(name: &str) -> Self {
        let files = Files {
            config: format!("/etc/postern/{name}.toml").into(),
            state: format!("/var/lib/postern-{name}").into(),
            socket: format!("/run/postern/{name}.sock").into(),
        };
        let _ = fs::remove_dir_all(&files.state);
        Self::with(name, None, files)
    }

    /// One of a machine of the network, with files where an administrator has them.
    pub fn of(place: Place, name: &str) -> Self {
        let files = Files {
            config: "/etc/postern/agent.toml".into(),
            state: "/var/lib/postern-agent".into(),
            socket: wire::LOGIN_SOCKET.into(),
        };
        Self::with(name, Some(place), files)
    }

    fn with(name: &str, place: Option<Place>, files: Files) -> Self {
        let _ = fs::remove_file(log_file(name));
        Self { name: name.to_owned(), place, files, environment: Vec::new(), child: None }
    }

    /// The machine of the network.
    ///
    /// # Panics
    /// When it runs beside the verifier.
    pub fn place(&self) -> &Place {
        self.place.as_ref().expect("an agent of a place")
    }

    /// Where its login socket is; only for one beside the verifier.
    pub fn socket(&self) -> &Path {
        &self.files.socket
    }

    /// Its configuration; only for one beside the verifier.
    pub fn config(&self) -> &Path {
        &self.files.config
    }

    /// Where its key and certificate are; only for one beside the verifier.
    pub fn state(&self) -> &Path {
        &self.files.state
    }

    /// Another one with the same key and certificate, behind a socket of its own.
    #[must_use]
    pub fn twin(&self, name: &str) -> Self {
        let files = Files { state: self.files.state.clone(), ..Self::beside(name).files.clone() };
        Self::with(name, None, files)
    }

    /// Shows it another environment from its next start on.
    pub fn set_environment(&mut self, environment: Vec<(&'static str, PathBuf)>) {
        self.environment = environment;
    }

    /// Writes its configuration.
    ///
    /// * `more`: lines for its beginning.
    pub fn configure(&self, verifiers: &[String], more: &str) {
        let Files { state, socket, .. } = &self.files;
        let text = format!(
            "version = 1\nstate_dir = {state:?}\nverifiers = {verifiers:?}\n{more}[sockets]\nlogin = {socket:?}\n"
        );
        let config = self.files.config.display().to_string();
        let mut command = Command::new("sh");
        command.args(["-c", "umask 022; cat > \"$1\"", "write", &config]);
        let mut writer = self.enter(&command).stdin(Stdio::piped()).spawn().expect("sh");
        writer.stdin.take().expect("its input").write_all(text.as_bytes()).expect("the configuration");
        assert!(writer.wait().expect("sh").success(), "{config} could not be written");
    }

    /// Runs a command of the program with its configuration.
    pub fn command(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = self.program(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("postern-agent");
        // A command that reads nothing may have ended before it is fed.
        let _ = child.stdin.take().expect("its input").write_all(input.as_bytes());
        child.wait_with_output().expect("postern-agent")
    }

    /// Configures it, and makes it one of the fleet with what `postern host enrol` printed.
    ///
    /// # Panics
    /// When it is refused.
    #[track_caller]
    pub fn join(&self, verifiers: &[String], secret: &str) {
        self.configure(verifiers, "");
        let output = self.command(&["join"], secret);
        assert!(output.status.success(), "{}: {}", self.name, postern::said(&output));
    }

    /// Starts it.
    pub fn launch(&mut self) {
        assert!(self.child.is_none(), "the agent runs");
        let log = fs::OpenOptions::new().create(true).append(true).open(log_file(&self.name));
        let log = log.expect("the agent's log");
        let mut command = self.program(&["run"]);
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("the log")).stderr(log);
        self.child = Some(command.spawn().expect("postern-agent"));
    }

    /// Starts it and waits until a verifier answers it.
    ///
    /// # Panics
    /// With its log when it ends instead.
    pub fn launch_ready(&mut self) {
        self.launch();
        self.wait_until_ready();
    }

    /// Waits until a verifier answers it.
    ///
    /// # Panics
    /// With its log when it ends instead.
    pub fn wait_until_ready(&mut self) {
        self.wait_until("ready", |status| status["ready"] == true);
    }

    /// Waits until it has a connection.
    ///
    /// # Panics
    /// With its log when it ends instead.
    pub fn wait_until_connected(&mut self) {
        self.wait_until("connected", |status| status["verifiers"][0]["connected"] == true);
    }

    /// Waits until it says something of itself.
    ///
    /// # Panics
    /// With its log when it ends instead.
    pub fn wait_until(&mut self, what: &str, holds: impl Fn(&Value) -> bool) {
        let name = self.name.clone();
        wait_for(&format!("{name} to be {what}"), || {
            let ended = self.child.as_mut().expect("the agent was started").try_wait().expect("the agent");
            assert!(ended.is_none(), "{name} ended: {ended:?}\n{}", self.log());
            self.status().filter(|status| holds(status)).map(drop)
        });
    }

    /// How it says that it is; nothing while it does not run.
    pub fn status(&self) -> Option<Value> {
        serde_json::from_slice(&self.command(&["status", "--json"], "").stdout).ok()
    }

    /// Starts the service of offline passwords beside it.
    ///
    /// # Panics
    /// When it does not start.
    pub fn launch_offline(&self) -> OfflineService {
        let log = fs::OpenOptions::new().create(true).append(true).open(log_file(&self.name));
        let log = log.expect("the agent's log");
        let mut command = self.program(&["offline"]);
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("the log")).stderr(log);
        OfflineService(command.spawn().expect("postern-agent offline"))
    }

    /// Asks it to end, and waits until it has.
    pub fn stop(&mut self) -> ExitStatus {
        kill_process(self.id(), Signal::TERM).expect("signal");
        let mut child = self.child.take().expect("the agent was started");
        wait_for("postern-agent to end", || child.try_wait().expect("the agent"))
    }

    /// Its process id.
    pub fn id(&self) -> Pid {
        Pid::from_child(self.child.as_ref().expect("the agent was started"))
    }

    /// All that it has said.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(log_file(&self.name)).unwrap_or_default()).into_owned()
    }

    fn program(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(programs::ours("postern-agent"));
        command.args(arguments).arg("--config").arg(&self.files.config);
        command.envs(self.environment.iter().map(|(key, value)| (key, value)));
        plain_environment(&mut command);
        self.enter(&command)
    }

    /// The same command where the agent is.
    pub fn enter(&self, command: &Command) -> Command {
        match &self.place {
            Some(place) => {
                let mut entered = place.enter(command);
                plain_environment(&mut entered);
                entered
            }
            None => {
                let mut same = Command::new(command.get_program());
                same.args(command.get_args());
                for (key, value) in command.get_envs() {
                    same.envs(value.map(|value| (key, value)));
                }
                plain_environment(&mut same);
                same
            }
        }
    }
}

/// A service of offline passwords; killed when dropped, as by `kill -9`.
pub struct OfflineService(Child);

impl Drop for OfflineService {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            println!(
                "--- what {} said at last\n{}",
                self.name,
                lines[lines.len().saturating_sub(30)..].join("\n")
            );
        }
    }
}

fn log_file(name: &str) -> PathBuf {
    folder().join(format!("agent-{name}.log"))
}
