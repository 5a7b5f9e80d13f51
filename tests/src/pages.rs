//! The pages for browsers, as `curl` sees them.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::machine::folder;

/// What every address of the pages begins with.
pub const BASE: &str = "https://localhost:8443";

/// The section of the configuration. The certificate is that of `api::make_certificate`.
pub const SECTION: &str = "[web]\nlisten = \"127.0.0.1:8443\"\nbase_url = \"https://localhost:8443\"\n\
                           certificate_file = \"/etc/postern/api.pem\"\nprivate_key_file = \"/etc/postern/api-private.pem\"\n";

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Header lines in lower case, names and values.
    pub head: String,
    /// The page.
    pub body: String,
}

impl Answer {
    /// The value of a header line.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
    }

    /// The word that the forms of the page carry.
    pub fn form_word(&self) -> Option<&str> {
        let after = self.body.split("name=\"form\" value=\"").nth(1)?;
        after.split('"').next()
    }
}

/// A browser that keeps its cookies and does what it is told, forms of others included.
#[derive(Debug)]
pub struct Visitor {
    jar: String,
}

impl Visitor {
    /// With no cookies.
    ///
    /// * `name`: of its jar.
    pub fn new(name: &str) -> Self {
        let jar = folder().join(format!("{name}.cookies"));
        Self { jar: jar.to_string_lossy().into_owned() }
    }

    /// Gets a page.
    pub fn get(&self, path: &str) -> Answer {
        self.ask(path, &[], "")
    }

    /// Sends a form, as one of our own pages does.
    pub fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.ask(path, &["--header", &format!("origin: {BASE}"), "--data-binary", "@-"], &encode(fields))
    }

    /// The cookie that it keeps.
    pub fn cookie(&self) -> Option<String> {
        let jar = fs::read_to_string(&self.jar).ok()?;
        jar.lines().find_map(|line| line.split_once("__Host-postern\t")).map(|(_, value)| value.to_owned())
    }

    /// Runs curl.
    ///
    /// * `more`: its further arguments.
    /// * `input`: what it is told.
    pub fn ask(&self, path: &str, more: &[&str], input: &str) -> Answer {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--include", "--http1.1", "--max-time", "25"]);
        curl.args(["--cacert", "/etc/postern/api.pem", "--cookie", &self.jar, "--cookie-jar", &self.jar]);
        curl.args(more).arg(format!("{BASE}{path}"));
        curl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut curl = curl.spawn().expect("curl");
        let mut told = curl.stdin.take().expect("its input");
        // A curl that reads none has ended.
        let _ = told.write_all(input.as_bytes());
        drop(told);
        let output = curl.wait_with_output().expect("curl");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let (head, body) = said.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {output:?}"));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }
}

/// Where a browser is sent that asks for a page before somebody is signed in, as [`Answer::header`] has it.
///
/// * `path`: of the page.
pub fn sign_in_for(path: &str) -> String {
    format!("/sign-in?{}", encode(&[("to", path)])).to_ascii_lowercase()
}

/// A form as browsers write it.
pub fn encode(fields: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}
