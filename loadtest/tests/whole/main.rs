//! Runs the built `loadtest` against a small verifier of our own, whole and with one fault at a time: a tool that
//! counts is worth nothing before it has counted wrong things.

#![forbid(unsafe_code)]

mod check;
mod enrol;
mod fake;
mod page;
mod race;
mod run;
mod steady;

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// How a run of the program ended.
#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// Runs the program; `{}` in an argument is replaced by the folder.
fn loadtest(folder: &Path, arguments: &str) -> Ended {
    let folder = folder.to_str().expect("a plain path");
    let output = Command::new(env!("CARGO_BIN_EXE_loadtest"))
        .args(arguments.split_whitespace().map(|argument| argument.replace("{}", folder)))
        .output()
        .expect("loadtest runs");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Ended { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

impl Ended {
    #[track_caller]
    fn with_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        self
    }

    #[track_caller]
    fn saying(self, words: &str) -> Self {
        assert!(self.stdout.contains(words) || self.stderr.contains(words), "no {words:?} in {self:?}");
        self
    }
}

fn read_json(path: impl AsRef<Path>) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).expect("a file")).expect("JSON")
}
