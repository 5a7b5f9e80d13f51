//! `verifierd.toml`: what of it matters here, and whether `verifierd` would start with it.

use super::demand::Policy;
use super::finding::{Code, Finding, Place};
use super::installed::folder_of;
use super::machine::{Machine, Mode, Unread};
use super::not_checked;
use super::text::Text;

/// `verifierd`'s configuration where none is named.
pub const CONFIGURATION: &str = "/etc/postern/verifierd.toml";

/// Most lines of `verifierd config check` that are told: a file with more faults was not meant to be one.
const WORDS_LINES_MAX: usize = 20;

/// Most characters of such a line: a path of 107 bytes, and what is said about it.
const LINE_CHARACTERS_MAX: usize = 240;

/// What of `verifierd.toml` matters here.
#[derive(Clone, Debug, Default)]
pub struct Configuration {
    /// What it says about users.
    pub policy: Policy,
    /// Where `verifierd` listens for the module.
    pub login_socket: Option<String>,
    /// Where it listens for root.
    pub admin_socket: Option<String>,
    /// The master key's file; absent too where it is a credential.
    pub key_file: Option<String>,
    /// Where the store is.
    pub state_dir: Option<String>,
}

impl Configuration {
    /// Reads it; where it cannot be read, nothing is known and the findings say so.
    pub fn read(machine: &Machine) -> (Self, Vec<Finding>) {
        let path = machine.configuration.as_str();
        let place = || Place::file(path);
        let faulty = |why: Text| {
            let remedy = "a file that passes `verifierd config check`";
            Finding::new(Code::ConfigurationFaulty, why, remedy).at(place())
        };
        let text = match machine.read(path) {
            Ok(text) => text,
            Err(Unread::Closed(why)) => {
                return (Self::default(), vec![not_checked(&format!("{path}: {why}"))]);
            }
            Err(Unread::Missing) => {
                return (Self::default(), vec![faulty("it is not there: verifierd cannot start".into())]);
            }
            Err(Unread::Unusual) => {
                return (
                    Self::default(),
                    vec![faulty("it is no ordinary file, or larger than 1 MiB".into())],
                );
            }
        };
        let mut findings = Vec::new();
        let folder = folder_of(path);
        let open = |path: &&str| machine.mode(path).is_ok_and(Mode::is_writable_by_others);
        if let Some(open) = [path, folder].into_iter().find(open) {
            let message = "others than root may change it: verifierd refuses to start with it";
            let remedy = format!("chown root {open}; chmod go-w {open}");
            let finding = Finding::new(Code::ConfigurationWritable, message, remedy);
            findings.push(finding.at(Place::file(open)));
        }
        match text.parse::<toml::Table>() {
            Ok(file) => {
                findings.extend(refused(machine));
                (Self::from_table(&file), findings)
            }
            Err(error) => {
                let first = error.message().lines().next().unwrap_or_default();
                findings.push(faulty(format!("it is not valid TOML: {first}").into()));
                (Self::default(), findings)
            }
        }
    }

    /// Absent settings get `verifierd`'s defaults.
    fn from_table(file: &toml::Table) -> Self {
        let value = |path: &[&str]| {
            let (last, folders) = path.split_last()?;
            let table = folders.iter().try_fold(file, |table, name| table.get(*name)?.as_table())?;
            table.get(*last)
        };
        let text = |path: &[&str]| value(path)?.as_str().map(str::to_owned);
        let switch = |path: &[&str]| value(path).and_then(toml::Value::as_bool).unwrap_or(false);
        let or = |path: &[&str], default: &str| Some(text(path).unwrap_or_else(|| default.to_owned()));
        Self {
            policy: Policy {
                on_unenrolled: or(&["on_unenrolled"], "deny"),
                grace: or(&["enrolment", "grace"], "unlimited"),
                enrol_with: or(&["enrolment", "with"], "app"),
                require_token: switch(&["access", "require_token"]),
            },
            login_socket: or(&["sockets", "login"], wire::LOGIN_SOCKET),
            admin_socket: or(&["sockets", "admin"], wire::ADMIN_SOCKET),
            key_file: text(&["key_file"]),
            state_dir: or(&["state_dir"], "/var/lib/postern"),
        }
    }
}

/// What `verifierd config check` says against it.
fn refused(machine: &Machine) -> Option<Finding> {
    let path = machine.configuration.as_str();
    let lines = match &machine.told.configuration {
        Ok(lines) if lines.is_empty() => return None,
        Ok(lines) => lines,
        Err(why) => return Some(not_checked(&format!("whether verifierd starts with {path}: {why}"))),
    };
    let words = lines.iter().take(WORDS_LINES_MAX).map(|line| {
        let end = line.char_indices().nth(LINE_CHARACTERS_MAX).map_or(line.len(), |(index, _)| index);
        line.get(..end).unwrap_or_default().to_owned()
    });
    let head = Text::from(
        "the next start of verifierd may fail, and then every login that needs a code is refused:",
    );
    let message = words.fold(head, |message, line| message.and("\n").and(line));
    let message = match lines.len().saturating_sub(WORDS_LINES_MAX) {
        0 => message,
        more => message.and("\n").and(format!("and {more} lines more")),
    };
    let remedy = format!("a file that passes `verifierd config check --config {path}`");
    Some(Finding::new(Code::ConfigRefused, message, remedy).at(Place::file(path)))
}
