//! The server's configuration, `verifierd.toml` or `agent.toml`: what of it matters here, and whether the server would
//! start with it.

use super::demand::Policy;
use super::finding::{Code, Finding, Place};
use super::installed::folder_of;
use super::machine::{Machine, Mode, Unread};
use super::not_checked;
use super::server::Server;
use super::text::Text;

/// `verifierd`'s configuration where none is named.
pub const CONFIGURATION: &str = "/etc/postern/verifierd.toml";

/// Most lines of `config check` that are told: a file with more faults was not meant to be one.
const WORDS_LINES_MAX: usize = 20;

/// Most characters of such a line: a path of 107 bytes, and what is said about it.
const LINE_CHARACTERS_MAX: usize = 240;

/// What of the server's configuration matters here.
#[derive(Clone, Debug, Default)]
pub struct Configuration {
    /// What it says about users.
    pub policy: Policy,
    /// Where the server listens for the module.
    pub login_socket: Option<String>,
    /// Where it listens for root; absent at an agent.
    pub admin_socket: Option<String>,
    /// The master key's file; absent too where it is a credential, and at an agent.
    pub key_file: Option<String>,
    /// Where the store is, or the host's key.
    pub state_dir: Option<String>,
    /// Whether sessions are recorded, and refused where they are not; never at an agent, whose verifier says so.
    pub refuses_unrecorded: bool,
}

impl Configuration {
    /// Reads it; where it cannot be read, nothing is known and the findings say so.
    pub fn read(machine: &Machine) -> (Self, Vec<Finding>) {
        let path = machine.configuration.as_str();
        let program = machine.told.server.program();
        let place = || Place::file(path);
        let faulty = |why: Text| {
            let remedy = format!("a file that passes `{program} config check`");
            Finding::new(Code::ConfigurationFaulty, why, remedy).at(place())
        };
        let content = match machine.read(path) {
            Ok(content) => content,
            Err(Unread::Closed(why)) => {
                return (Self::default(), vec![not_checked(&format!("{path}: {why}"))]);
            }
            Err(Unread::Missing) => {
                return (
                    Self::default(),
                    vec![faulty(format!("it is not there: {program} cannot start").into())],
                );
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
            let message = format!("others than root may change it: {program} refuses to start with it");
            let remedy = format!("chown root {open}; chmod go-w {open}");
            let finding = Finding::new(Code::ConfigurationWritable, message, remedy);
            findings.push(finding.at(Place::file(open)));
        }
        match content.parse::<toml::Table>() {
            Ok(file) => {
                findings.extend(refused(machine));
                let configuration = match &machine.told.server {
                    Server::Verifierd(_) => {
                        findings.extend(beyond(&file));
                        Self::of_verifierd(&file)
                    }
                    Server::Agent(_) => Self::of_agent(&file),
                };
                (configuration, findings)
            }
            Err(error) => {
                let first = error.message().lines().next().unwrap_or_default();
                findings.push(faulty(format!("it is not valid TOML: {first}").into()));
                (Self::default(), findings)
            }
        }
    }

    /// Absent settings get `verifierd`'s defaults.
    fn of_verifierd(file: &toml::Table) -> Self {
        let switch = |path: &[&str]| value(file, path).and_then(toml::Value::as_bool).unwrap_or(false);
        let or = |path: &[&str], default: &str| Some(text_or(file, path, default));
        Self {
            policy: Policy {
                on_unenrolled: or(&["on_unenrolled"], "deny"),
                grace: or(&["enrolment", "grace"], "unlimited"),
                enrol_with: or(&["enrolment", "with"], "app"),
                require_token: switch(&["access", "require_token"]),
            },
            login_socket: or(&["sockets", "login"], wire::LOGIN_SOCKET),
            admin_socket: or(&["sockets", "admin"], wire::ADMIN_SOCKET),
            key_file: text(file, &["key_file"]),
            state_dir: or(&["state_dir"], "/var/lib/postern"),
            refuses_unrecorded: refuses_unrecorded(file),
        }
    }

    /// Absent settings get the agent's defaults. It says nothing about users.
    fn of_agent(file: &toml::Table) -> Self {
        Self {
            login_socket: Some(text_or(file, &["sockets", "login"], wire::LOGIN_SOCKET)),
            state_dir: Some(text_or(file, &["state_dir"], "/var/lib/postern-agent")),
            ..Self::default()
        }
    }
}

fn refuses_unrecorded(file: &toml::Table) -> bool {
    let recorder = value(file, &["session", "recorder"]).and_then(toml::Value::as_array);
    let is_recorded = recorder.is_some_and(|command| !command.is_empty());
    is_recorded && text_or(file, &["session", "recorder_failure"], "refuse") == "refuse"
}

fn value<'a>(file: &'a toml::Table, path: &[&str]) -> Option<&'a toml::Value> {
    let (last, folders) = path.split_last()?;
    let table = folders.iter().try_fold(file, |table, name| table.get(*name)?.as_table())?;
    table.get(*last)
}

fn text(file: &toml::Table, path: &[&str]) -> Option<String> {
    value(file, path)?.as_str().map(str::to_owned)
}

fn text_or(file: &toml::Table, path: &[&str], default: &str) -> String {
    text(file, path).unwrap_or_else(|| default.to_owned())
}

/// What a login rests on besides, and `verifierd` alone can tell.
fn beyond(file: &toml::Table) -> Option<Finding> {
    let access = file.get("access")?.as_table()?;
    let has_rules = access.get("rule").and_then(toml::Value::as_array).is_some_and(|rules| !rules.is_empty());
    let is_lenient =
        access.get("rollout").and_then(toml::Value::as_str).is_some_and(|mode| mode != "enforce");
    let what = "access rules and the roll-out; `postern policy try --user NAME --service SERVICE` tells what comes of them";
    (has_rules || is_lenient).then(|| not_checked(what))
}

/// What the server's `config check` says against it.
fn refused(machine: &Machine) -> Option<Finding> {
    let path = machine.configuration.as_str();
    let server = &machine.told.server;
    let program = server.program();
    let lines = match &machine.told.configuration {
        Ok(lines) if lines.is_empty() => return None,
        Ok(lines) => lines,
        Err(why) => return Some(not_checked(&format!("whether {program} starts with {path}: {why}"))),
    };
    let words = lines.iter().take(WORDS_LINES_MAX).map(|line| {
        let end = line.char_indices().nth(LINE_CHARACTERS_MAX).map_or(line.len(), |(index, _)| index);
        line.get(..end).unwrap_or_default().to_owned()
    });
    let head = Text::from(format!("the next start of {program} may fail, and then {}:", server.refusals()));
    let message = words.fold(head, |message, line| message.and("\n").and(line));
    let message = match lines.len().saturating_sub(WORDS_LINES_MAX) {
        0 => message,
        more => message.and("\n").and(format!("and {more} lines more")),
    };
    let remedy = format!("a file that passes `{program} config check --config {path}`");
    Some(Finding::new(Code::ConfigRefused, message, remedy).at(Place::file(path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    // covers: P9
    #[test]
    fn where_rules_or_a_roll_out_decide_the_doctor_says_that_he_did_not_ask_them() {
        let says = |text: &str| beyond(&text.parse::<toml::Table>().expect("TOML")).is_some();
        for text in ["", "[access]\nrequire_token = true", "[access]\nrollout = \"enforce\"\nrule = []"] {
            assert!(!says(text), "{text}");
        }
        for text in ["[access]\nrollout = \"observe\"", "[[access.rule]]\nname = \"r\"\nthen = \"deny\""] {
            assert!(says(text), "{text}");
        }
    }
}
