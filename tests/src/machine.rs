//! The machine that people log in to: its users, its PAM files, and the `/dev/log` that catches what is logged.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::programs;
use crate::time::wait_for;

/// Folder of everything that the rig makes; in the sandbox's own /run.
pub const FOLDER: &str = "/run/postern-rig";

/// Where the module is installed.
pub const MODULE: &str = "/run/postern-rig/pam_postern.so";

/// A user of the rig and his Unix password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// Login name.
    pub name: &'static str,
    /// Unix password.
    pub password: &'static str,
}

/// May use sudo.
pub const ALICE: Account = Account { name: "alice", password: "alicepw" };
/// May use sudo too.
pub const BOB: Account = Account { name: "bob", password: "bobpw" };
/// Sits at the help desk.
pub const DORA: Account = Account { name: "dora", password: "dorapw" };
/// Looks over everybody's shoulder.
pub const OTTO: Account = Account { name: "otto", password: "ottopw" };
/// Administers, without being root.
pub const ANN: Account = Account { name: "ann", password: "annpw" };

/// The sandbox as a machine with two users. One at a time.
pub struct Machine {
    log: Arc<Mutex<Vec<String>>>,
}

impl Machine {
    /// Makes the users, installs the module, and puts it behind the password of sshd, sudo, su and login.
    ///
    /// # Panics
    /// Outside the sandbox, which would change the real machine.
    pub fn new() -> Self {
        let machine = Self::without_module();
        fs::copy(programs::module(), MODULE).expect("the module is built");
        for service in ["sshd", "sudo", "su", "login"] {
            machine.protect(service, "");
        }
        machine
    }

    /// The same without the module and with Debian's own PAM files.
    ///
    /// # Panics
    /// Outside the sandbox, which would change the real machine.
    pub fn without_module() -> Self {
        let inside = std::env::var_os("POSTERN_SANDBOX").is_some();
        assert!(inside, "changes users and PAM files: run it with `cargo xtask test`, which makes a sandbox");
        fs::create_dir_all(folder().join("keys")).expect("the rig's folder");
        for account in [ALICE, BOB] {
            add_user(account);
        }
        allow_sudo();
        for service in ["sshd", "sudo", "su", "login"] {
            fs::write(pam_file(service), debian_pam_file(service)).expect("restoring the PAM file");
        }
        Self { log: catch_log() }
    }

    /// Makes the accounts of the staff: [`ANN`], [`DORA`] and [`OTTO`].
    pub fn add_staff(&self) {
        for account in [ANN, DORA, OTTO] {
            add_user(account);
        }
    }

    /// Makes accounts that exist and can do nothing: `NAME0`, `NAME1` and so on.
    pub fn add_bare_users(&self, name: &str, count: usize) -> Vec<String> {
        let names: Vec<String> = (0..count).map(|number| format!("{name}{number}")).collect();
        let lines =
            names.iter().zip(20_000..).map(|(name, id)| format!("{name}:x:{id}:{id}::/:/usr/sbin/nologin\n"));
        let mut file = fs::OpenOptions::new().append(true).open("/etc/passwd").expect("/etc/passwd");
        std::io::Write::write_all(&mut file, lines.collect::<String>().as_bytes()).expect("/etc/passwd");
        names
    }

    /// Puts the module behind the password of a service.
    ///
    /// * `arguments`: of the module's line, such as `fail=open`.
    pub fn protect(&self, service: &str, arguments: &str) {
        let line = format!("auth [success=ok ignore=ignore default=die] {MODULE} {arguments}\n");
        let after = "@include common-auth\n";
        let file = debian_pam_file(service);
        assert!(file.contains(after), "/etc/pam.d/{service} does not include common-auth");
        self.write_pam(service, &file.replace(after, &format!("{after}{line}")));
    }

    /// Asks for a one-time password only, as after a public key.
    pub fn protect_without_password(&self, service: &str) {
        let lines = format!("auth [success=ok default=die] {MODULE}\nauth required pam_permit.so\n");
        let file = debian_pam_file(service).replace("@include common-auth\n", &lines);
        self.write_pam(service, &file);
    }

    /// Replaces a PAM file.
    pub fn write_pam(&self, service: &str, text: &str) {
        fs::write(pam_file(service), text).expect("writing the PAM file");
    }

    /// What programs have logged so far, oldest first.
    pub fn logged(&self) -> Vec<String> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until a line is logged that holds all of `parts`.
    ///
    /// # Panics
    /// When none is.
    pub fn expect_logged(&self, parts: &[&str]) -> String {
        let holds = |line: &String| parts.iter().all(|part| line.contains(part));
        wait_for(&format!("a log line with {parts:?}"), || self.logged().into_iter().find(holds))
    }

    /// A program that runs as a user, on whose behalf nobody has logged in.
    pub fn as_user(&self, account: Account, program: &str) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", account.name, "--regid", account.name, "--init-groups", "--", program]);
        command.env("HOME", format!("/home/{}", account.name)).env("USER", account.name);
        command.current_dir("/");
        command
    }
}

impl Default for Machine {
    fn default() -> Self {
        Self::new()
    }
}

/// Runs a tool of the machine.
///
/// # Panics
/// When it fails, with what it said.
pub fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("cannot run {program}: {error}"));
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {}: {text}", output.status);
    text
}

/// Folder of everything that the rig makes.
pub fn folder() -> PathBuf {
    PathBuf::from(FOLDER)
}

/// Has a PAM service tell of its sessions, as far as they can be told.
///
/// # Panics
/// When it has no PAM file.
pub fn tell_of_sessions(service: &str) {
    let file = pam_file(service);
    let lines = fs::read_to_string(&file).expect("the PAM file");
    fs::write(file, format!("{lines}\nsession optional {MODULE}\n")).expect("the PAM file");
}

fn add_user(account: Account) {
    let exists =
        fs::read_to_string("/etc/passwd").expect("/etc/passwd").contains(&format!("\n{}:", account.name));
    if !exists {
        run("useradd", &["--create-home", "--user-group", "--shell", "/bin/bash", account.name]);
    }
    let entry = format!("{}:{}\n", account.name, account.password);
    let mut chpasswd = Command::new("chpasswd").stdin(Stdio::piped()).spawn().expect("chpasswd");
    std::io::Write::write_all(&mut chpasswd.stdin.take().expect("its input"), entry.as_bytes())
        .expect("chpasswd");
    assert!(chpasswd.wait().expect("chpasswd").success(), "chpasswd failed");
}

/// Every sudo asks again, so that a test does not depend on what an earlier one left.
fn allow_sudo() {
    let rules = "Defaults timestamp_timeout=0, !lecture\nalice ALL=(ALL:ALL) ALL\nbob ALL=(ALL:ALL) ALL\n";
    let file = "/etc/sudoers.d/postern-rig";
    fs::write(file, rules).expect("sudo's rules");
    fs::set_permissions(file, fs::Permissions::from_mode(0o440)).expect("sudo's rules");
}

fn pam_file(service: &str) -> PathBuf {
    Path::new("/etc/pam.d").join(service)
}

/// The file as Debian ships it: kept at the first call in a sandbox.
fn debian_pam_file(service: &str) -> String {
    let kept = folder().join(format!("debian-{service}"));
    if !kept.exists() {
        fs::copy(pam_file(service), &kept).expect("keeping Debian's PAM file");
    }
    fs::read_to_string(kept).expect("Debian's PAM file")
}

/// Serves `/dev/log`. The socket is made anew, so that an earlier machine of the same sandbox gets no more.
fn catch_log() -> Arc<Mutex<Vec<String>>> {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let _ = fs::remove_file("/dev/log");
    let socket = UnixDatagram::bind("/dev/log").expect("/dev/log");
    fs::set_permissions("/dev/log", fs::Permissions::from_mode(0o666)).expect("/dev/log");
    let sink = Arc::clone(&lines);
    thread::spawn(move || {
        let mut buffer = [0; 8192];
        while let Ok(count) = socket.recv(&mut buffer) {
            let line = String::from_utf8_lossy(&buffer[..count]).trim_end_matches(['\n', '\0']).to_owned();
            sink.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
    });
    lines
}
