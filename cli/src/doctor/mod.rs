//! `postern doctor`: says what will happen at a login, before anybody is locked out.
//!
//! It reads, asks and judges, and never changes anything. It does not log in: what it says follows from files and
//! settings. docs/doctor.md explains each finding.
//!
//! * [`machine`]: what is known, files below a root and what others said; [`programs`], [`daemon`] and [`agent`] ask
//!   them. [`server`]: which of the two last serves the login socket here.
//! * [`line`](mod@line), [`stack`], [`modules`], [`walk`], [`judge`]: PAM, from the text of a file to what is wrong
//!   in it.
//! * [`sshd`], [`sudo`], [`accounts`], [`demand`], [`configuration`], [`installed`]: what else a login rests on.
//! * [`examine`](mod@examine), [`verdict`], [`finding`], [`text`], [`report`]: what is said about it.

mod accounts;
mod agent;
mod arguments;
mod configuration;
mod daemon;
mod demand;
mod examine;
mod finding;
mod installed;
mod judge;
mod line;
mod machine;
mod modules;
mod programs;
mod report;
mod server;
mod sshd;
mod stack;
mod sudo;
mod text;
mod verdict;
mod walk;

#[cfg(test)]
mod tests;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::args::{DoctorArgs, Globals};
use crate::client::{Client, Patience};
use crate::failure::Failure;
use crate::output::Answer;
use crate::settings::{self, Side};
use examine::{Question, examine};
use finding::{Code, Finding};
use machine::{Machine, Told};
use programs::Checker;
use server::Server;

/// Longest name of a user or a service, in bytes: what a login may carry.
const NAME_BYTES_MAX: usize = 256;

/// Looks at this machine, and says what will happen.
///
/// * `now`: the time, by which the end of a host's certificate is judged.
///
/// # Errors
/// Names that no account or service can have. Problems that were found come with the answer.
pub fn run(globals: &Globals, args: DoctorArgs, now: SystemTime) -> Result<Answer, Failure> {
    if !args.user.as_deref().is_none_or(is_name) {
        return Err(Failure::Usage { problem: "--user is not the name of an account" });
    }
    if !args.service.iter().all(|service| is_name(service) && !service.starts_with('.')) {
        return Err(Failure::Usage { problem: "--service is not the name of a PAM service, such as sshd" });
    }
    let question = Question { user: args.user, services: args.service };
    let is_host = globals.config.is_none() && server::is_host(Path::new("/"));
    let usual = if is_host { agent::CONFIGURATION } else { configuration::CONFIGURATION };
    let configuration = globals.config.as_deref().unwrap_or(Path::new(usual));
    // Programs run elsewhere.
    let configuration = std::path::absolute(configuration).unwrap_or_else(|_| configuration.to_owned());
    let socket = if is_host { None } else { Some(settings::socket(globals, Side::ours())?) };
    let client =
        socket.map(|socket| Client::new(socket, globals.verbose, Patience::together(globals.timeout)));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| Failure::Runtime { source })?;
    let told = runtime.block_on(async {
        tokio::select! {
            told = ask(client.as_ref(), question.user.as_deref(), &configuration) => Ok(told),
            _ = tokio::signal::ctrl_c() => Err(Failure::Interrupted),
        }
    })?;
    let machine = Machine {
        root: PathBuf::from("/"),
        root_uid: 0,
        is_asked_by_root: Side::ours() == Side::Admin,
        configuration: configuration.to_string_lossy().into_owned(),
        now: now.into(),
        told,
    };
    examine(&machine, &question).answer(globals.format())
}

/// Whether a name can go into a command line and a path: no blanks, no list of several, no option, no other path.
fn is_name(name: &str) -> bool {
    let fits = !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.starts_with('-');
    let foreign = |c: char| c.is_control() || c.is_whitespace() || matches!(c, ',' | '=' | '/' | ':');
    fits && !name.contains(foreign) && name != "." && name != ".."
}

/// Asks everybody at the same time: `verifierd` by its client, the agent where there is none. Whoever does not answer
/// leaves a gap in the report, and does not end it.
async fn ask(client: Option<&Client>, user: Option<&str>, configuration: &Path) -> Told {
    let connection = user.map(|user| format!("user={user},host=client.example,addr=192.0.2.1"));
    let mut sshd = vec!["-T"];
    sshd.extend(connection.as_deref().into_iter().flat_map(|connection| ["-C", connection]));
    let about_user = async {
        let Some(user) = user else { return (None, None) };
        let (rules, entry) = (["-n", "-l", "-U", user], ["passwd", "--", user]);
        let (sudo, account) = tokio::join!(
            programs::run(&["/usr/bin/sudo", "/usr/local/bin/sudo"], &rules, &[0]),
            // Exit 2: no such account.
            programs::run(&["/usr/bin/getent", "/bin/getent"], &entry, &[0, 2]),
        );
        (Some(sudo), Some(account))
    };
    let server = async {
        match client {
            Some(client) => Server::Verifierd(Box::new(daemon::ask(client, user).await)),
            None => Server::Agent(agent::ask(configuration).await),
        }
    };
    let program = if client.is_some() { VERIFIERD } else { agent::PROGRAM };
    let (sshd, (sudo, account), clock, complaints, server) = tokio::join!(
        programs::run(&["/usr/sbin/sshd", "/usr/bin/sshd", "/usr/local/sbin/sshd"], &sshd, &[0]),
        about_user,
        programs::run(&["/usr/bin/timedatectl"], &["show", "-p", "NTPSynchronized", "--value"], &[0]),
        check(&program, configuration),
        server,
    );
    Told { sshd, sudo, account, clock, configuration: complaints, server }
}

/// Has the server check its configuration. It takes none that belongs to somebody else than whoever runs it, so that
/// only he is told the truth.
async fn check(program: &Checker, configuration: &Path) -> Result<Vec<String>, String> {
    let us = rustix::process::geteuid();
    let is_owner = || std::fs::metadata(configuration).is_ok_and(|found| found.uid() == us.as_raw());
    if !us.is_root() && (program.is_for_root_alone || !is_owner()) {
        return Err("only root can have it checked".to_owned());
    }
    let path = configuration.to_str().ok_or("its path is not UTF-8")?;
    let program = programs::beside_us(program.name, program.installed);
    programs::complaint(&program, &["config", "check", "--config", path], REFUSED_CONFIGURATION).await
}

/// The daemon's program.
const VERIFIERD: Checker =
    Checker { name: "verifierd", installed: "/usr/sbin/verifierd", is_for_root_alone: false };

/// The exit code with which either server refuses a configuration.
const REFUSED_CONFIGURATION: i32 = 2;

/// Something that the doctor could not look at.
fn not_checked(what: &str) -> Finding {
    let message = format!("not looked at: {what}");
    Finding::new(Code::NotChecked, message, "a look at it by hand")
}
