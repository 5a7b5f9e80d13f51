//! Programs that ask over HTTPS with a key of a person, as `curl` does it.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::machine::folder;
use crate::pages::BASE;
use crate::postern;

/// A key.
#[derive(Clone, Debug)]
pub struct Key {
    /// As `revoke` takes it.
    pub id: String,
    /// What opens.
    pub secret: String,
}

/// What was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// HTTP version, as curl says it: `1.1` or `2`.
    pub version: String,
    /// The body.
    pub body: Value,
}

impl Answer {
    /// The line that errors have for people.
    ///
    /// # Panics
    /// When it is no error.
    #[track_caller]
    pub fn message(&self) -> &str {
        self.body["error"]["message"].as_str().unwrap_or_else(|| panic!("no error: {self:?}"))
    }
}

/// Has root make a key for a person.
///
/// * `role`: the most that it may do.
///
/// # Panics
/// When it is not made.
#[track_caller]
pub fn make(login: &str, name: &str, role: &str) -> Key {
    read(&postern::run(&[
        "--json", "person", "key", "add", login, "--name", name, "--for", "30d", "--role", role,
    ]))
}

/// The key that the command tells.
///
/// # Panics
/// When it tells none.
#[track_caller]
pub fn read(output: &Output) -> Key {
    assert!(output.status.success(), "{}", postern::said(output));
    let made: Value = postern::read(output);
    let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("no text: {made}")).to_owned();
    Key { id: text(&made["key"]["id"]), secret: text(&made["secret"]) }
}

/// A program that holds a key.
#[derive(Clone, Debug)]
pub struct Program {
    /// A file with its header line, so that no argument is a secret.
    header: PathBuf,
}

impl Program {
    /// * `name`: of its file.
    pub fn with(name: &str, secret: &str) -> Self {
        let header = folder().join(format!("{name}.header"));
        fs::write(&header, format!("authorization: Bearer {secret}\n")).expect("writing the key");
        fs::set_permissions(&header, fs::Permissions::from_mode(0o600)).expect("writing the key");
        Self { header }
    }

    /// Asks.
    ///
    /// * `path`: below `/api`.
    pub fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        self.ask_with(method, path, body, &["--http1.1"])
    }

    /// The same with more arguments of curl.
    pub fn ask_with(&self, method: &str, path: &str, body: &str, more: &[&str]) -> Answer {
        let key = format!("@{}", self.header.display());
        ask(method, &format!("/api{path}"), body, &[&["--header", &key], more].concat())
    }
}

/// Runs curl without a key.
///
/// # Panics
/// When it gets no answer.
#[track_caller]
pub fn ask(method: &str, path: &str, body: &str, more: &[&str]) -> Answer {
    let mut curl = Command::new("curl");
    curl.args([
        "--silent",
        "--show-error",
        "--path-as-is",
        "--max-time",
        "25",
        "--cacert",
        "/etc/postern/api.pem",
    ]);
    curl.args(["--write-out", "\n%{http_version} %{http_code}", "--request", method]);
    if !body.is_empty() {
        curl.args(["--header", "content-type: application/json", "--data-binary", "@-"]);
    }
    curl.args(more).arg(format!("{BASE}{path}"));
    curl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut curl = curl.spawn().expect("curl");
    let mut told = curl.stdin.take().expect("its input");
    // A curl that reads none has ended.
    let _ = told.write_all(body.as_bytes());
    drop(told);
    let output = curl.wait_with_output().expect("curl");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let parts = said.rsplit_once('\n').and_then(|(body, rest)| Some((body, rest.split_once(' ')?)));
    let (body, (version, status)) = parts.unwrap_or_else(|| panic!("no answer: {output:?}"));
    let body = serde_json::from_str(body).unwrap_or_else(|_| Value::String(body.to_owned()));
    Answer { status: status.parse().expect("a status"), version: version.to_owned(), body }
}
