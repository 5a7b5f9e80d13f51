//! The SSH server on 127.0.0.1, and clients for it.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::machine::{ALICE, Account, folder, run};
use crate::terminal::Terminal;
use crate::time::wait_for;

/// The port in the sandbox's own network.
pub const PORT: u16 = 2222;

/// A running sshd; ends when dropped.
pub struct Sshd {
    child: Child,
}

impl Sshd {
    /// Asks for the password and then for a one-time password.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Asks for a public key and then for what the PAM stack asks.
    pub fn start_for_keys() -> Self {
        Self::start_with(&[("AuthenticationMethods", "publickey,keyboard-interactive:pam")])
    }

    /// * `changes`: keywords of sshd_config and their values.
    ///
    /// # Panics
    /// When it does not listen.
    pub fn start_with(changes: &[(&str, &str)]) -> Self {
        make_keys();
        let mut settings = settings();
        settings.extend(changes.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        let text: String = settings.iter().map(|(key, value)| format!("{key} {value}\n")).collect();
        let file = folder().join("sshd_config");
        fs::write(&file, text).expect("sshd_config");
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(folder().join("sshd.log"))
            .expect("sshd.log");
        // sshd wants its absolute path, because it runs itself anew for each connection.
        let mut command = Command::new("/usr/sbin/sshd");
        command.args(["-D", "-e", "-f"]).arg(file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let mut child = command.spawn().expect("sshd");
        wait_for("sshd to listen", || {
            assert!(child.try_wait().expect("sshd").is_none(), "sshd ended: {}", log_text());
            TcpStream::connect(("127.0.0.1", PORT)).ok()
        });
        Self { child }
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}

/// What sshd has written about itself.
pub fn log_text() -> String {
    fs::read_to_string(folder().join("sshd.log")).unwrap_or_default()
}

/// An ssh client that logs in with a password.
pub fn client(account: Account, command: &str) -> Command {
    let mut ssh = bare_client("ssh");
    ssh.args(["-o", "PubkeyAuthentication=no", &format!("{}@127.0.0.1", account.name), command]);
    ssh
}

/// An ssh client that logs in with alice's key, which no other account knows.
pub fn key_client(account: Account, arguments: &[&str]) -> Command {
    let mut ssh = bare_client("ssh");
    ssh.args(key_options()).arg(format!("{}@127.0.0.1", account.name)).args(arguments);
    ssh
}

/// Options of `ssh`, `scp` and `sftp` that use alice's key.
pub fn key_options() -> Vec<String> {
    vec!["-i".into(), folder().join("id").display().to_string(), "-o".into(), "IdentitiesOnly=yes".into()]
}

/// `ssh`, `scp` or `sftp` without the machine's own settings, and with one try for each login.
pub fn bare_client(program: &str) -> Command {
    bare_client_at(program, PORT)
}

/// The same to another port.
pub fn bare_client_at(program: &str, port: u16) -> Command {
    let mut command = Command::new(program);
    command.args(["-F", "/dev/null"]);
    for option in [
        "UserKnownHostsFile=/dev/null",
        "StrictHostKeyChecking=no",
        "LogLevel=ERROR",
        "NumberOfPasswordPrompts=1",
        &format!("Port={port}"),
    ] {
        command.args(["-o", option]);
    }
    command
}

/// Starts an ssh login and answers the question for the Unix password.
pub fn login_up_to_password(account: Account, command: &str) -> Terminal {
    let mut terminal = Terminal::start(client(account, command));
    terminal.expect("Password: ");
    terminal.type_line(account.password);
    terminal
}

fn settings() -> BTreeMap<String, String> {
    let rig = folder().display().to_string();
    let pairs = [
        ("Port", PORT.to_string()),
        ("ListenAddress", "127.0.0.1".into()),
        ("HostKey", format!("{rig}/hostkey")),
        ("PidFile", format!("{rig}/sshd.pid")),
        ("UsePAM", "yes".into()),
        ("KbdInteractiveAuthentication", "yes".into()),
        ("PasswordAuthentication", "no".into()),
        ("PubkeyAuthentication", "yes".into()),
        ("AuthorizedKeysFile", format!("{rig}/keys/%u")),
        ("AuthenticationMethods", "keyboard-interactive".into()),
        ("PermitRootLogin", "yes".into()),
        ("LogLevel", "DEBUG1".into()),
        ("LoginGraceTime", "60".into()),
        ("MaxAuthTries", "6".into()),
        ("MaxStartups", "200".into()),
        ("PrintMotd", "no".into()),
        ("Subsystem", "sftp internal-sftp".into()),
    ];
    let mut settings: BTreeMap<_, _> =
        pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    // From 9.8 on, an address that fails a few times is banned; before, the word is unknown.
    let mut check = Command::new("/usr/sbin/sshd");
    check.args(["-t", "-f", "/dev/null", "-h", &format!("{rig}/hostkey"), "-o", "PerSourcePenalties=no"]);
    if check.output().expect("sshd -t").status.success() {
        settings.insert("PerSourcePenalties".into(), "no".into());
    }
    settings
}

fn make_keys() {
    for key in ["hostkey", "id", "other-id"] {
        let path = folder().join(key);
        if !path.exists() {
            run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", &path.display().to_string()]);
        }
    }
    let known = folder().join("keys").join(ALICE.name);
    fs::copy(folder().join("id.pub"), known).expect("alice's authorized key");
}
