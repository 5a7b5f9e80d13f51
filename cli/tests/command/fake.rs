//! An admin server in the test's own process, and the command pointed at it.

use std::io::{BufRead, BufReader, Read, Seek, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use serde_json::Value;

/// How long a test waits for something that must happen.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What the server was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Method and path with its query, as `GET /v1/users`.
    pub line: String,
    pub body: String,
}

/// What the server does about it.
pub enum Reply {
    /// Answers with a status and a body.
    Says(u16, String),
    /// Keeps the connection open and says nothing.
    Silence,
    /// Closes the connection.
    Hangup,
}

/// The server; it serves until the test's process ends.
pub struct Fake {
    folder: tempfile::TempDir,
    asked: Receiver<Asked>,
}

/// How a run of the command ended.
#[derive(Debug)]
pub struct Ended {
    pub exit: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Fake {
    /// A server with one answer to everything.
    pub fn saying(status: u16, body: &str) -> Self {
        let body = body.to_owned();
        Self::new(move |_| Reply::Says(status, body.clone()))
    }

    /// A server that answers as `decide` says to the request's line.
    pub fn new(decide: impl Fn(&str) -> Reply + Send + 'static) -> Self {
        Self::hearing(move |asked| decide(&asked.line))
    }

    /// A server that answers as `decide` says.
    pub fn hearing(decide: impl Fn(&Asked) -> Reply + Send + 'static) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let listener = UnixListener::bind(folder.path().join("admin.sock")).expect("bind");
        let (sender, asked) = mpsc::channel();
        std::thread::spawn(move || {
            let mut silent = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.expect("accept");
                let Some(request) = read(&mut stream) else { continue };
                let reply = decide(&request);
                // The test may have ended already.
                let _unheard = sender.send(request);
                match reply {
                    Reply::Says(status, body) => answer(&mut stream, status, &body),
                    Reply::Silence => silent.push(stream),
                    Reply::Hangup => {}
                }
            }
        });
        Self { folder, asked }
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("admin.sock")
    }

    /// The next request, waited for.
    pub fn next(&self) -> Asked {
        self.asked.recv_timeout(PATIENCE).expect("the server was asked")
    }

    /// Whether nobody asks for so long.
    pub fn is_quiet_for(&self, time: Duration) -> bool {
        self.asked.recv_timeout(time).is_err()
    }

    /// The requests so far, as lines.
    pub fn lines(&self) -> Vec<String> {
        self.asked.try_iter().map(|asked| asked.line).collect()
    }

    /// `postern` with these words, which asks this server.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = postern(&self.socket());
        command.args(words);
        command
    }

    /// Runs `postern` with these words.
    pub fn run(&self, words: &[&str]) -> Ended {
        run(&mut self.command(words))
    }

    /// Runs `postern` with these words and this text in its stdin.
    pub fn run_with_input(&self, words: &[&str], input: &[u8]) -> Ended {
        let mut file = tempfile::tempfile().expect("a temporary file");
        file.write_all(input).and_then(|()| file.rewind()).expect("written");
        run(self.command(words).stdin(file))
    }
}

/// Answers by the request's line: the first of these that begins it.
pub fn by_line(answers: &[(&'static str, u16, Value)]) -> Fake {
    let answers: Vec<_> =
        answers.iter().map(|(line, status, body)| (*line, *status, body.to_string())).collect();
    Fake::new(move |asked| {
        let found = answers.iter().find(|(line, ..)| asked.starts_with(line));
        let (_, status, body) = found.unwrap_or_else(|| panic!("no answer to {asked}"));
        Reply::Says(*status, body.clone())
    })
}

/// `postern` with a socket and nothing else of the test's environment.
pub fn postern(socket: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_postern"));
    command.env_clear().env("POSTERN_SOCKET", socket).stdin(Stdio::null());
    command
}

pub fn run(command: &mut Command) -> Ended {
    let output = command.output().expect("postern runs");
    Ended {
        exit: output.status.code().expect("no signal ended it"),
        stdout: String::from_utf8(output.stdout).expect("UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

fn read(stream: &mut UnixStream) -> Option<Asked> {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first).ok()?;
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        match header.trim_end().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.parse().ok()?
            }
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let line = first.trim_end().strip_suffix(" HTTP/1.1")?.to_owned();
    Some(Asked { line, body: String::from_utf8(body).ok()? })
}

fn answer(stream: &mut UnixStream, status: u16, body: &str) {
    let head =
        format!("HTTP/1.1 {status} Status\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    // The command may have gone: the test sees that by what it printed.
    let _unheard = stream.write_all((head + body).as_bytes());
}
