//! A mail server with moods: `smtp_server.py` around Debian's aiosmtpd.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::machine::{folder, run};
use crate::programs::PYTHON;
use crate::time::wait_for;
use crate::verifier::log_text;

const SERVER: &str = include_str!("../smtp_server.py");

/// Where it listens.
const PORT: u16 = 2525;

/// How it meets the next mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// Takes it.
    Accept,
    /// 451 to the recipient.
    Later,
    /// 550 to the recipient.
    Never,
    /// Takes the connection and says nothing.
    Mute,
    /// Takes the mail, keeps it, and says nothing.
    Tarpit,
    /// Takes the mail, keeps it, and hangs up.
    Lose,
    /// Keeps the mail, and refuses it with its own words (554).
    Quote,
    /// The same in bytes that are no UTF-8.
    Babble,
}

impl Mood {
    fn word(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Later => "later",
            Self::Never => "never",
            Self::Mute => "mute",
            Self::Tarpit => "tarpit",
            Self::Lose => "lose",
            Self::Quote => "quote",
            Self::Babble => "babble",
        }
    }
}

/// What it shows after STARTTLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shows {
    /// A certificate for `localhost` that is trusted.
    Right,
    /// One for another name that is trusted.
    WrongName,
    /// One for `localhost` that is not.
    Untrusted,
    /// Nothing: it does not offer STARTTLS.
    Nothing,
}

/// A mail as it was handed in.
#[derive(Clone, Debug, Deserialize)]
pub struct Mail {
    /// `MAIL FROM`.
    pub sender: String,
    /// Every `RCPT TO`.
    pub recipients: Vec<String>,
    /// Names and decoded values.
    pub headers: Vec<(String, String)>,
    /// The part for programs that show text.
    pub text: String,
    /// The part for those that show pages.
    pub html: String,
    /// Bytes of its longest line.
    pub longest_line: usize,
    /// Whether it came by TLS.
    pub encrypted: bool,
    /// Who handed it in, where he said so.
    pub user: Option<String>,
}

impl Mail {
    /// The one header of this name.
    ///
    /// # Panics
    /// When there is none, or more than one.
    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        let mut found = self.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        match (found.next(), found.next()) {
            (Some((_, value)), None) => value,
            _ => panic!("not one {name} in {:?}", self.headers),
        }
    }

    /// The issued password in it, if there is one.
    pub fn password(&self) -> Option<&str> {
        self.text.split_whitespace().find(|word| {
            let digit = |byte: &u8| byte.is_ascii_digit() || byte.is_ascii_uppercase();
            matches!(word.as_bytes(), [first @ .., b'-', _, _, _, _, last] if first.len() == 5
                && first.iter().all(digit) && digit(last))
        })
    }
}

/// What it did not take.
#[derive(Clone, Debug, Deserialize)]
pub struct Refused {
    /// To whom it was.
    pub to: Option<String>,
    /// What was answered.
    pub answer: String,
}

/// The server; killed when dropped.
#[derive(Debug)]
pub struct SmtpServer {
    child: Option<Child>,
    folder: PathBuf,
}

impl Default for SmtpServer {
    fn default() -> Self {
        Self::new()
    }
}

impl SmtpServer {
    /// Not started yet: nobody listens.
    ///
    /// # Panics
    /// When its certificates cannot be made.
    pub fn new() -> Self {
        let folder = folder().join("smtp");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("its folder");
        for (name, of) in
            [("right", "localhost"), ("wrong_name", "elsewhere.example"), ("untrusted", "localhost")]
        {
            let file = |end| folder.join(format!("{name}.{end}")).display().to_string();
            let names = format!("subjectAltName=DNS:{of}");
            let (key, certificate, subject) = (file("key"), file("pem"), format!("/CN={name}"));
            let what = [
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-days",
                "2",
            ];
            let to = [
                "-keyout",
                &key,
                "-out",
                &certificate,
                "-subj",
                &subject,
                "-addext",
                &names,
                "-addext",
                ALONE,
            ];
            run("openssl", &[&what[..], &to[..]].concat());
        }
        let server = Self { child: None, folder };
        server.set(Mood::Accept);
        server
    }

    /// The section of the configuration.
    pub fn section(&self) -> String {
        format!(
            "[mail]\nserver = \"localhost:{PORT}\"\nfrom = \"Postern <postern@example.org>\"\n\
             username = \"postern\"\npassword_file = \"{PASSWORD_FILE}\"\ntrust_file = \"{TRUST_FILE}\"\n"
        )
    }

    /// Writes the files that [`Self::section`] names, into /etc/postern.
    ///
    /// # Panics
    /// When they cannot be written.
    pub fn write_files(&self) {
        use std::os::unix::fs::PermissionsExt as _;
        fs::write(PASSWORD_FILE, format!("{PASSWORD}\n")).expect("the password");
        fs::set_permissions(PASSWORD_FILE, fs::Permissions::from_mode(0o600)).expect("its mode");
        let trusted = ["right.pem", "wrong_name.pem"]
            .map(|name| fs::read_to_string(self.folder.join(name)).expect("a certificate"));
        fs::write(TRUST_FILE, trusted.concat()).expect("the trusted ones");
    }

    /// Starts it and waits until it listens. One that ran ends.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(&mut self, shows: Shows) {
        self.stop();
        let script = self.folder.join("server.py");
        fs::write(&script, SERVER).expect("the server");
        let log = fs::File::create(self.folder.join("log")).expect("its log");
        let mut command = Command::new(PYTHON);
        command.arg(&script).arg(PORT.to_string()).arg(&self.folder);
        let name = match shows {
            Shows::Right => Some("right"),
            Shows::WrongName => Some("wrong_name"),
            Shows::Untrusted => Some("untrusted"),
            Shows::Nothing => None,
        };
        if let Some(name) = name {
            command.arg(self.folder.join(format!("{name}.pem"))).arg(self.folder.join(format!("{name}.key")));
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).env_clear();
        self.child = Some(command.spawn().expect("python3"));
        wait_for("the mail server", || {
            let ended = self.child.as_mut()?.try_wait().expect("python3");
            let log = || fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            assert!(ended.is_none(), "the mail server ended: {}", log());
            std::net::TcpStream::connect(("127.0.0.1", PORT)).ok()
        });
        // The look was one connection too many, which a mute server notes.
        for entry in self.files("refused") {
            let _ = fs::remove_file(entry);
        }
    }

    /// Ends it, if it runs.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // One that has ended by itself is reaped all the same.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// How it meets what comes from now on.
    ///
    /// # Panics
    /// When it cannot be told.
    pub fn set(&self, mood: Mood) {
        let (path, new) = (self.folder.join("mood"), self.folder.join("mood.new"));
        fs::write(&new, mood.word()).expect("the mood");
        fs::rename(new, path).expect("the mood");
    }

    /// What was handed in so far, oldest first.
    pub fn mails(&self) -> Vec<Mail> {
        self.read("mail")
    }

    /// What it did not take, oldest first.
    pub fn refused(&self) -> Vec<Refused> {
        self.read("refused")
    }

    /// Waits until there are so many mails to somebody; returns the last.
    ///
    /// # Panics
    /// When there are not.
    #[track_caller]
    pub fn expect(&self, count: usize, to: &str) -> Mail {
        wait_for(&format!("mail {count} to {to}"), || {
            let mut mails: Vec<_> = self.mails().into_iter().filter(|mail| mail.recipients == [to]).collect();
            (mails.len() >= count).then(|| mails.swap_remove(count - 1))
        })
    }

    /// Waits until it has refused so many.
    ///
    /// # Panics
    /// When it has not.
    #[track_caller]
    pub fn expect_refused(&self, count: usize) {
        wait_for(&format!("{count} mails that are refused"), || {
            (self.refused().len() >= count).then_some(())
        });
    }

    fn read<T: DeserializeOwned>(&self, kind: &str) -> Vec<T> {
        let text = |path: PathBuf| fs::read_to_string(path).expect("a mail");
        let read =
            |text: String| serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        self.files(kind).into_iter().map(text).map(read).collect()
    }

    fn files(&self, kind: &str) -> Vec<PathBuf> {
        let entries =
            fs::read_dir(&self.folder).expect("its folder").filter_map(|entry| Some(entry.ok()?.path()));
        let is_one = |path: &PathBuf| {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            name.starts_with(kind) && !name.ends_with(".new")
        };
        let mut files: Vec<_> = entries.filter(is_one).collect();
        files.sort();
        files
    }
}

impl Drop for SmtpServer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Waits until the daemon has noted so many tries that failed: from then on it knows when the next is due.
///
/// # Panics
/// When it has not.
#[track_caller]
pub fn expect_failures(count: usize) {
    wait_for(&format!("{count} tries that failed"), || (failures() >= count).then_some(()));
}

/// How many tries failed, by what the daemon's log says.
pub fn failures() -> usize {
    log_text().matches("a mail was not sent").count()
}

/// Not the certificate of an authority.
const ALONE: &str = "basicConstraints=critical,CA:FALSE";
/// What the server asks of `postern`.
const PASSWORD: &str = "a password for the mail server";
const PASSWORD_FILE: &str = "/etc/postern/smtp.password";
const TRUST_FILE: &str = "/etc/postern/smtp-trust.pem";
