//! A program on a terminal of its own, as its session leader: what it says, what a person types.

use std::io::{Read as _, Write as _};
use std::process::{Child, Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use pty_process::Size;
use pty_process::blocking::Pty;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::time::{PATIENCE, now, wait_for};

/// Rows of a terminal nobody has resized.
const ROWS: u16 = 24;
/// Columns of a terminal nobody has resized.
pub const COLUMNS: u16 = 80;

/// How often the reading thread looks whether the terminal was given up.
const LOOK_UP: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// ^C
pub const INTERRUPT: u8 = 0x03;
/// ^D
pub const END: u8 = 0x04;
/// ^Z
pub const SUSPEND: u8 = 0x1a;
/// ^\
pub const QUIT: u8 = 0x1c;

/// The running program and everything it has said.
pub struct Terminal {
    child: Child,
    pty: Option<Arc<Pty>>,
    /// Tells the reading thread to let go of the terminal.
    hung_up: Arc<AtomicBool>,
    output: Receiver<Vec<u8>>,
    said: Vec<u8>,
    /// Up to where [`Terminal::expect`] has read.
    read: usize,
    name: String,
}

/// A program that has ended.
pub struct Ended {
    /// How.
    pub status: ExitStatus,
    /// All that it said.
    pub transcript: String,
}

impl Terminal {
    /// Starts a program on a new terminal of 80 columns. Its environment is cleared but for what a shell needs.
    pub fn start(command: Command) -> Self {
        Self::start_with_columns(command, COLUMNS)
    }

    /// The same with another width.
    pub fn start_with_columns(mut command: Command, columns: u16) -> Self {
        let name = format!("{command:?}");
        plain_environment(&mut command);
        let (pty, pts) = pty_process::blocking::open().expect("a new terminal");
        pty.resize(Size::new(ROWS, columns)).expect("the terminal's size");
        let child = pty_process::blocking::Command::from(command).spawn(pts);
        let child = child.unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        let pty = Arc::new(pty);
        let (sender, output) = channel();
        let source = Arc::clone(&pty);
        let hung_up = Arc::new(AtomicBool::new(false));
        let hung_up_seen = Arc::clone(&hung_up);
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while !hung_up_seen.load(Ordering::Relaxed) {
                let mut interest = [PollFd::new(&*source, PollFlags::IN)];
                match poll(&mut interest, Some(&LOOK_UP)) {
                    Ok(0) => continue,
                    Ok(_) => {}
                    Err(_) => break,
                }
                // EIO says that the last process on the terminal has closed it.
                let Ok(count @ 1..) = (&*source).read(&mut buffer) else { break };
                if sender.send(buffer[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self { child, pty: Some(pty), hung_up, output, said: Vec::new(), read: 0, name }
    }

    /// Waits until the program says `text`, and returns what it said since the last wait, `text` included.
    ///
    /// # Panics
    /// With the transcript when it does not say so, or ends.
    pub fn expect(&mut self, text: &str) -> String {
        self.expect_any(&[text]).1
    }

    /// Waits until the program says one of several texts; tells which and what it said since the last wait.
    ///
    /// # Panics
    /// With the transcript when it says none of them, or ends.
    pub fn expect_any(&mut self, texts: &[&str]) -> (usize, String) {
        let end = now() + PATIENCE;
        loop {
            let found = texts.iter().enumerate().filter_map(|(index, text)| {
                let at = find(&self.said[self.read..], text.as_bytes())?;
                Some((at, index, text.len()))
            });
            if let Some((at, index, length)) = found.min() {
                let from = self.read;
                self.read += at + length;
                return (index, lossy(&self.said[from..self.read]));
            }
            match self.output.recv_timeout(end.saturating_duration_since(now())) {
                Ok(bytes) => self.said.extend(bytes),
                Err(RecvTimeoutError::Timeout) => self.fail(&format!("did not say {texts:?}")),
                Err(RecvTimeoutError::Disconnected) => self.fail(&format!("ended without saying {texts:?}")),
            }
        }
    }

    /// Types a line and Enter.
    pub fn type_line(&mut self, line: &str) {
        self.type_bytes(format!("{line}\r").as_bytes());
    }

    /// Types keys.
    pub fn type_bytes(&mut self, keys: &[u8]) {
        let pty = self.pty.as_ref().expect("the terminal is open");
        // A program that has just ended reads no more; what it said tells why.
        let _ = (&**pty).write_all(keys);
    }

    /// Waits until the program ends.
    ///
    /// # Panics
    /// With the transcript when it does not end.
    pub fn finish(mut self) -> Ended {
        let end = now() + PATIENCE;
        loop {
            match self.output.recv_timeout(end.saturating_duration_since(now())) {
                Ok(bytes) => self.said.extend(bytes),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => self.fail("did not end"),
            }
        }
        let status =
            wait_for("the program's end", || self.child.try_wait().expect("waiting for the program"));
        Ended { status, transcript: lossy(&self.said) }
    }

    /// Waits until the program ends by itself or stands at a question, which is answered with ^C.
    pub fn finish_or_interrupt(mut self) -> Ended {
        while let Ok(bytes) = self.output.recv_timeout(Duration::from_secs(2)) {
            self.said.extend(bytes);
        }
        self.type_bytes(&[INTERRUPT]);
        self.finish()
    }

    /// Waits until the program ends, and presses Enter at whatever it asks meanwhile.
    ///
    /// # Panics
    /// With the transcript when it does not end.
    pub fn finish_or_enter(mut self) -> Ended {
        wait_for("a program to end that is told nothing but Enter", || {
            self.type_line("");
            self.child.try_wait().expect("waiting for the program")
        });
        self.finish()
    }

    /// Presses ^C until the program ends; tells how, and whether the terminal shows what is typed again.
    ///
    /// # Panics
    /// With the transcript when it does not end.
    pub fn interrupt_until_end(mut self) -> (Ended, bool) {
        wait_for("an interrupted program to end", || {
            self.type_bytes(&[INTERRUPT]);
            self.child.try_wait().expect("waiting for the program")
        });
        let shows_typing = self.shows_typing();
        (self.finish(), shows_typing)
    }

    /// Reads for a while and returns all that was said so far; for programs that are not expected to say anything.
    pub fn transcript_after(&mut self, quiet: Duration) -> String {
        while let Ok(bytes) = self.output.recv_timeout(quiet) {
            self.said.extend(bytes);
        }
        lossy(&self.said)
    }

    /// Closes the terminal, as a lost connection does, and waits until the program ends.
    ///
    /// # Panics
    /// When it does not end.
    pub fn hang_up(mut self) -> ExitStatus {
        self.hung_up.store(true, Ordering::Relaxed);
        self.pty = None;
        wait_for("the program's end", || self.child.try_wait().expect("waiting for the program"))
    }

    /// The program's process id.
    pub fn id(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.child)
    }

    /// Whether the terminal shows what is typed.
    pub fn shows_typing(&self) -> bool {
        let pty = self.pty.as_ref().expect("the terminal is open");
        let modes = rustix::termios::tcgetattr(pty).expect("the terminal's modes").local_modes;
        modes.contains(rustix::termios::LocalModes::ECHO)
    }

    fn fail(&mut self, what: &str) -> ! {
        let said = lossy(&self.said);
        panic!("{} {what}; it said:\n{said}\n(end)", self.name)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Clears the environment but for what every session has.
pub fn plain_environment(command: &mut Command) {
    let kept: Vec<_> =
        command.get_envs().map(|(key, value)| (key.to_owned(), value.map(ToOwned::to_owned))).collect();
    command.env_clear();
    command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    command.envs([("TERM", "xterm"), ("LANG", "C.UTF-8"), ("LC_ALL", "C.UTF-8")]);
    for (key, value) in kept {
        if let Some(value) = value {
            command.env(key, value);
        }
    }
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
