//! A verifier of our own: the real `verifierd` with an empty store in a temporary folder, gone when we are.
//!
//! Speaks to it as everybody does, through its sockets. Needs root, because the login and the admin socket answer
//! nobody else.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use clap::ValueEnum;
use data_encoding::HEXLOWER;
use hyper::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use wire::admin::Status;

use crate::ask::{Asker, Attempt, Way};
use crate::authenticator::{Authenticator, Pace};
use crate::clock::{Clock, pauses};
use crate::connection::Connection;
use crate::enrol::{give_token, make_secret};
use crate::login::RequestIds;
use crate::progress;
use crate::target::{Protocol, Route, Target};

/// How many looks at a daemon that starts or stops: a minute, at one in 50 ms.
const LOOKS_MAX: u32 = 1_200;

/// Connections that enrol users at once: enough that commits are shared.
const ENROLLING: u32 = 16;

/// The PAM service of first logins.
const FIRST_SERVICE: &str = "sshd";

/// How often a first login is tried: the step may end on the way, rarely twice.
const FIRST_TRIES_MAX: u32 = 3;

/// How much of the daemon's log is shown when it does not start.
const LOG_LINES_SHOWN: usize = 5;

/// What carries the requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Over {
    /// The login socket.
    Unix,
    /// The API listener, without TLS on the loopback address.
    Tcp,
    /// The API listener with TLS 1.3.
    Tls,
}

/// The daemon and its folder; both end with this.
#[derive(Debug)]
pub struct Embedded {
    /// Before the folder, so that it is gone first.
    child: Option<Child>,
    folder: TempDir,
    program: PathBuf,
    over: Over,
    port: u16,
}

impl Embedded {
    /// Makes a store and starts the daemon on it.
    ///
    /// * `program`: the daemon; absent: the one beside this program.
    ///
    /// # Errors
    /// When it does not start; says what its log says.
    pub async fn start(program: Option<&Path>, over: Over) -> Result<Self> {
        let program = find(program)?;
        let folder =
            tempfile::Builder::new().prefix("loadtest-").tempdir().context("cannot make a folder")?;
        // Free a moment ago; somebody else may take it, and then the daemon says so.
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let port = port.context("no free port")?.port();
        let mut embedded = Self { child: None, folder, program, over, port };
        embedded.configure()?;
        let output = embedded.command("init").output().await;
        let output = output.with_context(|| format!("cannot start {}", embedded.program.display()))?;
        ensure!(
            output.status.success(),
            "verifierd init: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        embedded.launch().await?;
        Ok(embedded)
    }

    /// Starts the daemon and waits until it decides logins.
    ///
    /// # Errors
    /// When it ends instead, or does not come up in time.
    pub async fn launch(&mut self) -> Result<()> {
        let log = OpenOptions::new().create(true).append(true).open(self.path("log"));
        let log = log.context("cannot write the daemon's log")?;
        let mut command = self.command("run");
        command.stdout(log.try_clone().context("cannot write the daemon's log")?).stderr(log);
        let mut admin = Connection::new(&Target::unix(&self.path("admin.sock")));
        let child = self.child.insert(command.spawn().context("cannot start verifierd")?);
        let mut pauses = pauses();
        for _ in 0..LOOKS_MAX {
            pauses.tick().await;
            if let Some(status) = child.try_wait().context("verifierd was lost")? {
                let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
                let lines: Vec<_> = log.lines().rev().take(LOG_LINES_SHOWN).collect();
                bail!(
                    "verifierd ended ({status}): {}",
                    lines.into_iter().rev().collect::<Vec<_>>().join("; ")
                );
            }
            if is_ready(&mut admin).await.unwrap_or(false) {
                return Ok(());
            }
        }
        bail!("verifierd is not ready after a minute")
    }

    /// Stops the daemon in order, as a service manager does, and waits until it is gone.
    ///
    /// # Errors
    /// When it cannot be told, or does not end.
    pub async fn stop(&mut self) -> Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        kill_process(id.context("verifierd is gone")?, Signal::TERM).context("cannot stop verifierd")?;
        child.wait().await.context("verifierd was lost")?;
        Ok(())
    }

    /// How to ask it.
    ///
    /// # Errors
    /// When its certificate or key cannot be read.
    pub fn target(&self, protocol: Protocol) -> Result<Arc<Target>> {
        let to = match self.over {
            Over::Unix => format!("unix:{}", self.path("login.sock").display()),
            Over::Tcp => format!("http://127.0.0.1:{}", self.port),
            Over::Tls => format!("https://localhost:{}", self.port),
        };
        let (ca, key_file) = (self.path("certificate.pem"), self.path("api.key"));
        let key_file = (self.over != Over::Unix).then_some(key_file.as_path());
        Target::parse(Route { to: &to, protocol, ca: Some(&ca), key_file })
    }

    /// Makes users, each with a token that we know, and logs each in once: the first code of a token costs more than
    /// the ones after it, and is not what is measured. The code of the present step stays unused.
    ///
    /// * `hotp_percent`: how many of 100 count presses.
    ///
    /// # Errors
    /// When the daemon refuses.
    pub async fn enrol(&self, users: u32, hotp_percent: u8, clock: Clock) -> Result<Vec<Authenticator>> {
        let target = Target::unix(&self.path("admin.sock"));
        let login = Target::unix(&self.path("login.sock"));
        let ids = Arc::new(RequestIds::new()?);
        let bar = progress::count(users.into(), "users");
        let mut enrolling = JoinSet::new();
        for first in 0..ENROLLING.min(users) {
            let (target, bar, ids) = (Arc::clone(&target), bar.clone(), Arc::clone(&ids));
            let mut asker = Asker::new(&Way::Verify, Connection::new(&login), FIRST_SERVICE, &ids);
            enrolling.spawn(async move {
                let mut admin = Connection::new(&target);
                let mut made = Vec::new();
                for number in (first..users).step_by(ENROLLING as usize) {
                    let counts = number * u32::from(hotp_percent) % 100 + u32::from(hotp_percent) >= 100;
                    let pace = if counts { Pace::Presses(0) } else { Pace::Time };
                    let user = format!("u{:07}", number + 1);
                    let authenticator = Authenticator::with_pace(&user, &make_secret()?, pace);
                    give_token(&mut admin, &authenticator).await.with_context(|| user.clone())?;
                    let first = log_in(&mut asker, &authenticator, &ids, clock).await;
                    let pace = first.with_context(|| user.clone())?;
                    made.push(Authenticator::with_pace(&user, authenticator.secret(), pace));
                    bar.inc(1);
                }
                anyhow::Ok(made)
            });
        }
        let mut all = Vec::new();
        while let Some(made) = enrolling.join_next().await {
            all.extend(made.context("enrolling ended early")?.context("cannot enrol")?);
        }
        bar.finish_and_clear();
        all.sort_by(|one, other| one.user().cmp(other.user()));
        Ok(all)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(verb).arg("--config").arg(self.path("verifierd.toml"));
        command.stdin(Stdio::null()).kill_on_drop(true).current_dir("/");
        command
    }

    fn configure(&self) -> Result<()> {
        let path = |name| self.path(name).display().to_string();
        let mut text = format!(
            "version = 1\nstate_dir = {:?}\nkey_file = {:?}\n[sockets]\nlogin = {:?}\nadmin = {:?}\nuser = {:?}\n",
            path("state"),
            path("master.key"),
            path("login.sock"),
            path("admin.sock"),
            path("user.sock"),
        );
        if self.over != Over::Unix {
            let mut key = [0; 32];
            getrandom::fill(&mut key).context("the kernel gives no random numbers")?;
            self.write("api.key", &HEXLOWER.encode(&key))?;
            text +=
                &format!("[api]\nlisten = \"127.0.0.1:{}\"\nkey_file = {:?}\n", self.port, path("api.key"));
        }
        if self.over == Over::Tls {
            let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
            let made = rcgen::generate_simple_self_signed(names).context("cannot make a certificate")?;
            self.write("certificate.pem", &made.cert.pem())?;
            self.write("private.key", &made.signing_key.serialize_pem())?;
            let (certificate, private) = (path("certificate.pem"), path("private.key"));
            text += &format!("certificate_file = {certificate:?}\nprivate_key_file = {private:?}\n");
        }
        self.write("verifierd.toml", &text)
    }

    /// Writes a file that only we may read.
    fn write(&self, name: &str, text: &str) -> Result<()> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(self.path(name));
        let write = |mut file: File| file.write_all(text.as_bytes());
        file.and_then(write).with_context(|| format!("cannot write {name}"))
    }
}

/// A user's first login. Gives what his codes follow from then on.
async fn log_in(asker: &mut Asker, whose: &Authenticator, ids: &RequestIds, clock: Clock) -> Result<Pace> {
    let mut outcome = None;
    for _ in 0..FIRST_TRIES_MAX {
        let code = match whose.pace() {
            Pace::Presses(counter) => Some(whose.press(counter)),
            Pace::Time => whose.code(clock.step() - 1),
        };
        // A code that is not unique in its neighbourhood: the first one of the run is the first one, then.
        let Some(code) = code else { break };
        let attempt = Attempt { request_id: ids.draw(), user: whose.user().to_owned(), code, rhost: None };
        let told = asker.ask(&[attempt]).await.pop().context("no outcome")?;
        if told.is_allowed() {
            return Ok(match whose.pace() {
                Pace::Time => Pace::Time,
                Pace::Presses(counter) => Pace::Presses(counter + 1),
            });
        }
        outcome = Some(told);
    }
    match outcome {
        None => Ok(whose.pace()),
        Some(refused) => bail!("the first login failed: {refused}"),
    }
}

/// The daemon to start.
fn find(given: Option<&Path>) -> Result<PathBuf> {
    let program = match given {
        Some(path) => path.to_owned(),
        None => {
            let own = std::env::current_exe().context("this program has no path")?;
            own.with_file_name("verifierd")
        }
    };
    let shown = program.display();
    ensure!(program.is_file(), "{shown} is not there: name the daemon with --verifierd PATH");
    Ok(program)
}

async fn is_ready(admin: &mut Connection) -> Result<bool> {
    let request = admin.target().prepare(Method::GET, "/v1/status", &())?;
    let status: Status = serde_json::from_slice(&admin.call(request).await?)?;
    Ok(status.ready)
}
