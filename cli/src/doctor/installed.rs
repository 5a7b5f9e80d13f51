//! What is installed: the module, the sockets, the key, the store, the daemon, the clock.

use std::path::Path;

use super::configuration::Configuration;
use super::daemon::{Daemon, Unanswered};
use super::demand::Demand;
use super::examine::name;
use super::finding::{Code, Finding, Place};
use super::machine::{Machine, Mode, Unread};
use super::server::Server;
use super::{agent, not_checked};

/// Where systemd says that its time service has set the clock.
const TIMESYNC_STAMP: &str = "/run/systemd/timesync/synchronized";

/// The module as it is built, and where README.md installs it.
pub const BUILT_MODULE: &str = "target/release/libpam_postern.so";

/// See [`BUILT_MODULE`].
pub const INSTALLED_MODULE: &str = "/usr/lib/$(gcc -dumpmachine)/security/pam_postern.so";

/// Our lines in PAM files, as far as they need things on the machine.
pub struct Lines {
    /// The module as written, and where.
    pub modules: Vec<(String, Place)>,
    /// The socket that a line asks at, and where.
    pub sockets: Vec<(String, Place)>,
}

/// Looks at the files.
pub fn files(machine: &Machine, configuration: &Configuration, lines: &Lines) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, place) in &lines.modules {
        findings.extend(module(machine, name, place));
    }
    for (path, place) in &lines.sockets {
        findings.extend(login_socket(machine, configuration, path, place));
    }
    findings.extend(configuration.admin_socket.iter().filter_map(|path| root_socket(machine, path)));
    findings.extend(configuration.key_file.iter().filter_map(|path| key_file(machine, path)));
    findings.extend(configuration.state_dir.iter().filter_map(|path| state_folder(machine, path)));
    findings
}

fn module(machine: &Machine, name: &str, place: &Place) -> Option<Finding> {
    let Some((path, mode)) = find_module(machine, name) else {
        let message = format!("{name} is not installed: PAM refuses every login that meets this line");
        let path = if name.starts_with('/') { name } else { INSTALLED_MODULE };
        let remedy =
            format!("in Postern's source folder `install -m 644 {BUILT_MODULE} {path}`, or no such line");
        return Some(Finding::new(Code::ModuleFileMissing, message, remedy).at(place.clone()));
    };
    let folder = folder_of(&path);
    let open = [(path.as_str(), Some(mode)), (folder, machine.mode(folder).ok())]
        .into_iter()
        .find(|(_, mode)| mode.is_some_and(Mode::is_writable_by_others));
    open.map(|(path, _)| {
        let message = "others than root may write here, and so replace the module that decides logins";
        let remedy = format!("chown root:root {path}; chmod 0755 {path}");
        Finding::new(Code::ModuleFileWritable, message, remedy).at(Place::file(path))
    })
}

/// The module's file: the first that is there.
fn find_module(machine: &Machine, name: &str) -> Option<(String, Mode)> {
    let paths = if name.starts_with('/') { vec![name.to_owned()] } else { module_paths(machine, name) };
    paths.into_iter().find_map(|path| {
        let mode = machine.mode(&path).ok()?;
        Some((path, mode))
    })
}

/// Where PAM looks for a module without a path, on the distributions there are.
fn module_paths(machine: &Machine, name: &str) -> Vec<String> {
    let mut folders = Vec::new();
    for base in ["/lib", "/usr/lib"] {
        let triples = machine.names(base).into_iter().filter(|name| name.contains("-linux-"));
        folders.extend(triples.map(|triple| format!("{base}/{triple}")));
    }
    folders.extend(["/lib", "/lib64", "/usr/lib", "/usr/lib64"].map(str::to_owned));
    folders.iter().map(|folder| format!("{folder}/security/{name}")).collect()
}

fn login_socket(
    machine: &Machine,
    configuration: &Configuration,
    path: &str,
    place: &Place,
) -> Option<Finding> {
    let listening = configuration.login_socket.as_deref();
    if let Some(other) = listening.filter(|other| *other != path) {
        let program = machine.told.server.program();
        let message = format!("this line asks at {path}, and {program} listens at {other}");
        let file = name(&machine.configuration);
        let remedy = format!("`socket={other}`, or that path as sockets.login in {file}");
        return Some(Finding::new(Code::SocketDiffers, message, remedy).at(place.clone()));
    }
    match machine.mode(path) {
        Ok(mode) if mode.is_socket => root_socket(machine, path),
        Err(Unread::Closed(why)) => Some(not_checked(&format!("{path}: {why}"))),
        Ok(_) | Err(_) => {
            let server = &machine.told.server;
            let message = format!("there is no socket at {path}: {}", server.refusals());
            let remedy = format!("systemctl start {}", server.socket_unit());
            Some(Finding::new(Code::SocketMissing, message, remedy).at(Place::file(path)))
        }
    }
}

/// A socket that only root may use, and its folder, which only root may change.
fn root_socket(machine: &Machine, path: &str) -> Option<Finding> {
    let folder = folder_of(path);
    let open = |code_path: &str, message: &'static str, mode: &str| {
        let remedy = format!("chown root:root {code_path}; chmod {mode} {code_path}");
        Finding::new(Code::SocketOpen, message, remedy).at(Place::file(code_path))
    };
    if machine.mode(path).is_ok_and(Mode::is_open_to_others) {
        return Some(open(path, "others than root may use this socket", "0600"));
    }
    let folder_open = machine.mode(folder).is_ok_and(Mode::is_writable_by_others);
    folder_open.then(|| open(folder, "others than root may put a socket of their own here", "0755"))
}

fn key_file(machine: &Machine, path: &str) -> Option<Finding> {
    let place = Place::file(path);
    match machine.mode(path) {
        Ok(mode) if mode.is_open_to_others() => {
            let message = "others than root may read the master key, which opens every secret in the store";
            let remedy = format!("chown root {path}; chmod 0400 {path}; and think of the key as known");
            Some(Finding::new(Code::KeyFileOpen, message, remedy).at(place))
        }
        Ok(_) => None,
        Err(Unread::Closed(why)) => Some(not_checked(&format!("{path}: {why}"))),
        Err(_) => {
            let message = "the master key is not there: verifierd cannot start";
            let remedy =
                "the key from where its copy is kept; `postern init` only where there is no store yet";
            Some(Finding::new(Code::KeyFileMissing, message, remedy).at(place))
        }
    }
}

fn state_folder(machine: &Machine, path: &str) -> Option<Finding> {
    match machine.mode(path) {
        Ok(mode) if mode.is_open_to_others() => {
            let remedy = format!("chown root {path}; chmod 0700 {path}");
            let message = format!("others than root may look into {}", machine.told.server.holdings());
            Some(Finding::new(Code::StateFolderOpen, message, remedy).at(Place::file(path)))
        }
        Err(Unread::Closed(why)) => Some(not_checked(&format!("{path}: {why}"))),
        Ok(_) | Err(_) => None,
    }
}

/// Why our line cannot ask, whatever the user's state; absent where it can. A missing module refuses, a missing
/// answer decides nothing.
pub fn obstacle(machine: &Machine, module_name: &str, socket: Option<&str>) -> Option<Demand> {
    if find_module(machine, module_name).is_none() {
        return Some(Demand::Refused(format!("{module_name} is not installed")));
    }
    let Some(socket) = socket else {
        return Some(Demand::Refused("the module refuses its arguments".to_owned()));
    };
    let undecided = |why: &str| Some(Demand::Undecided(why.to_owned()));
    if machine.mode(socket) == Err(Unread::Missing) {
        return undecided("the module finds no socket to ask at");
    }
    match &machine.told.server {
        Server::Agent(answer) => agent::obstacle(answer),
        Server::Verifierd(daemon) => match &daemon.status {
            Err(Unanswered::Unreachable(_)) => undecided("verifierd does not answer"),
            Ok(status) if !status.ready => undecided("verifierd is not ready"),
            Ok(_) | Err(Unanswered::NotAllowed) => None,
        },
    }
}

/// Looks at what `verifierd` said of itself. `is_asked`: whether any service asks it.
pub fn daemon(daemon: &Daemon, is_asked: bool) -> Vec<Finding> {
    let status = match &daemon.status {
        Ok(status) => status,
        Err(Unanswered::NotAllowed) => return vec![not_checked("verifierd: you may not ask it")],
        Err(Unanswered::Unreachable(why)) if is_asked => {
            let message = format!("every login that needs a code is refused: {why}");
            let remedy = "systemctl status verifierd; journalctl -u verifierd";
            return vec![Finding::new(Code::VerifierdUnreachable, message, remedy)];
        }
        Err(Unanswered::Unreachable(why)) => return vec![not_checked(&format!("verifierd: {why}"))],
    };
    let reasons = status.reasons.join("; ");
    let health = match (status.ready, status.reasons.is_empty()) {
        (true, true) => None,
        (true, false) => {
            let is_settled = reasons.contains(SETTLE);
            let remedy =
                if is_settled { "find out why, then `postern store settle`" } else { "`postern status`" };
            Some(Finding::new(Code::VerifierdDegraded, reasons, remedy))
        }
        (false, _) => {
            let message =
                format!("verifierd is not ready, every login that needs a code is refused: {reasons}");
            Some(Finding::new(Code::VerifierdNotReady, message, "what the reasons say; `postern status`"))
        }
    };
    let early = (status.store_start == "short").then(|| {
        let message = "the store lacked commits at the last start: used codes may count as unused";
        Finding::new(Code::StoreEndedEarly, message, "find out why, then `postern store settle`")
    });
    health.into_iter().chain(early).collect()
}

/// What a reason names where it is the way out.
const SETTLE: &str = "`postern store settle`";

/// The folder that something lies in.
pub fn folder_of(path: &str) -> &str {
    Path::new(path).parent().and_then(Path::to_str).unwrap_or("/")
}

/// Looks at whether something keeps the clock right. How far it is off cannot be seen from here.
pub fn clock(machine: &Machine) -> Option<Finding> {
    if machine.has(TIMESYNC_STAMP) {
        return None;
    }
    match machine.told.clock.as_deref().map(str::trim) {
        Ok("yes") => None,
        Ok("no") => {
            let message = "the clock is not synchronized; codes of authenticator apps follow it";
            Some(Finding::new(
                Code::ClockUnsynchronized,
                message,
                "a time service: systemd-timesyncd, chrony",
            ))
        }
        Ok(other) => Some(not_checked(&format!("the clock: timedatectl said `{other}`"))),
        Err(why) => Some(not_checked(&format!("the clock: {why}"))),
    }
}
