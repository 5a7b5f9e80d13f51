//! System calls that fail, and programs that are killed at one.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::time::wait_at_most;

/// Makes system calls of a running program fail, until it is dropped.
pub struct Injector {
    strace: Child,
}

impl Injector {
    /// * `fault`: as strace wants it, such as `fsync,fdatasync:error=EIO`, or `fdatasync:signal=KILL:when=3`.
    ///
    /// # Panics
    /// When strace cannot attach to the program.
    pub fn attach(program: Pid, fault: &str) -> Self {
        let calls = fault.split(':').next().unwrap_or_default();
        let mut strace = Command::new("strace");
        strace.args(["-f", "-p", &program.as_raw_nonzero().to_string()]);
        strace.args(["-e", &format!("trace={calls}"), "-e", &format!("inject={fault}")]);
        let mut strace = strace.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("strace");
        let mut said = BufReader::new(strace.stderr.take().expect("its words"));
        let mut line = String::new();
        said.read_line(&mut line).expect("strace says that it is attached");
        assert!(line.contains("attached"), "{line}");
        // Its words must be read on, or it stands still when the pipe is full.
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        Self { strace }
    }
}

impl Drop for Injector {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.strace), Signal::INT);
        // strace may wait for ever for threads of a program that has ended.
        wait_at_most(Duration::from_secs(2), || self.strace.try_wait().expect("strace"));
        let _ = self.strace.kill();
        let _ = self.strace.wait();
    }
}

/// A command that runs a program until it enters the `when`th of some system calls, where it is killed.
///
/// To be killed before a call is to be killed after the one before it; so all calls of a kind, one run each, are
/// every place between two of them.
///
/// * `calls`: their names with commas.
pub fn killed_at(calls: &str, when: usize, program: impl AsRef<OsStr>) -> Command {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={calls}")]);
    strace.args(["-e", &format!("inject={calls}:signal=KILL:when={when}")]).arg(program);
    strace
}
