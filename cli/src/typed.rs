//! Codes and passphrases: typed at the terminal without being shown, or a line of stdin where that is none.
//!
//! They are never arguments. What was read is wiped when it is dropped.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;

use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios};
use zeroize::Zeroizing;

use crate::failure::Failure;

/// Longest line that is read, in bytes: passphrases are sentences, codes have 19 characters at most.
const LINE_BYTES_MAX: usize = 1_024;

/// Where typed lines come from.
pub struct Typed {
    no_input: bool,
}

impl Typed {
    /// * `no_input`: never ask on a terminal.
    pub fn new(no_input: bool) -> Self {
        Self { no_input }
    }

    /// One line, without its end.
    ///
    /// * `what`: names it where it is missing.
    /// * `question`: shown on a terminal.
    ///
    /// # Errors
    /// [`Failure::NeedsInput`] where nobody may be asked, [`Failure::LineMissing`] where stdin has ended or its line
    /// is empty, [`Failure::NothingTyped`] for the same on a terminal, [`Failure::Interrupted`] on Ctrl-C.
    pub fn line(&self, what: &'static str, question: &str) -> Result<Zeroizing<String>, Failure> {
        self.optional_line(what, question)?.ok_or_else(|| match rustix::termios::isatty(io::stdin()) {
            true => Failure::NothingTyped { what },
            false => Failure::LineMissing { what },
        })
    }

    /// The same where nothing, too, is an answer.
    pub fn optional_line(
        &self,
        what: &'static str,
        question: &str,
    ) -> Result<Option<Zeroizing<String>>, Failure> {
        let stdin = io::stdin();
        let line = if !rustix::termios::isatty(&stdin) {
            read_line(&mut Unbuffered(stdin.as_fd()))?
        } else if self.no_input {
            return Err(Failure::NeedsInput { what });
        } else {
            ask(question)?
        };
        Ok((!line.trim().is_empty()).then_some(line))
    }
}

/// Reads as much as is asked for and not a byte more, so that each line is left for whom it is meant.
struct Unbuffered<Fd>(Fd);

impl<Fd: AsFd> Read for Unbuffered<Fd> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match rustix::io::read(&self.0, &mut *buffer) {
                Err(rustix::io::Errno::INTR) => {}
                outcome => return Ok(outcome?),
            }
        }
    }
}

/// What a byte from the terminal does to the line.
#[derive(Debug, PartialEq, Eq)]
enum Key {
    Enter,
    EndOfInput,
    Interrupt,
    Erase,
    EraseLine,
    Text(u8),
}

/// The keys as every terminal sends them, whatever its settings call them.
fn key(byte: u8) -> Key {
    match byte {
        b'\r' | b'\n' => Key::Enter,
        0x03 => Key::Interrupt,
        0x04 => Key::EndOfInput,
        0x08 | 0x7f => Key::Erase,
        0x15 => Key::EraseLine,
        text => Key::Text(text),
    }
}

fn ask(question: &str) -> Result<Zeroizing<String>, Failure> {
    let fault = |source| Failure::ReadTerminal { source };
    let stdin = io::stdin();
    let _silent = Silent::begin(&stdin).map_err(fault)?;
    let mut words = io::stderr().lock();
    write!(words, "{question}").and_then(|()| words.flush()).map_err(fault)?;
    let line = read_keys(&mut Unbuffered(stdin.as_fd()));
    // Enter was not shown either.
    let _unseen = writeln!(words);
    line
}

fn read_keys(terminal: &mut impl Read) -> Result<Zeroizing<String>, Failure> {
    let mut line = Zeroizing::new(Vec::with_capacity(LINE_BYTES_MAX));
    let mut byte = Zeroizing::new([0]);
    loop {
        let count = terminal.read(&mut *byte).map_err(|source| Failure::ReadTerminal { source })?;
        match if count == 0 { Key::EndOfInput } else { key(byte[0]) } {
            Key::Enter | Key::EndOfInput => return text(line),
            Key::Interrupt => return Err(Failure::Interrupted),
            Key::Erase => {
                // A character of UTF-8 goes as a whole.
                while line.pop().is_some_and(|last| last & 0xc0 == 0x80) {}
            }
            Key::EraseLine => line.clear(),
            Key::Text(_) if line.len() == LINE_BYTES_MAX => return Err(too_long()),
            Key::Text(text) => line.push(text),
        }
    }
}

/// A line of a file or pipe, up to its end or a line feed.
fn read_line(input: &mut impl Read) -> Result<Zeroizing<String>, Failure> {
    let mut line = Zeroizing::new(Vec::with_capacity(LINE_BYTES_MAX));
    let mut byte = Zeroizing::new([0]);
    loop {
        let count = input.read(&mut *byte).map_err(|source| Failure::ReadTerminal { source })?;
        match byte[0] {
            b'\n' => return text(line),
            _ if count == 0 => return text(line),
            _ if line.len() == LINE_BYTES_MAX => return Err(too_long()),
            other => line.push(other),
        }
        byte[0] = 0;
    }
}

fn too_long() -> Failure {
    Failure::LineTooLong { bytes_max: LINE_BYTES_MAX }
}

fn text(line: Zeroizing<Vec<u8>>) -> Result<Zeroizing<String>, Failure> {
    let text = std::str::from_utf8(line.strip_suffix(b"\r").unwrap_or(&line))
        .map_err(|_| Failure::Usage { problem: "a line is not UTF-8" })?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// A terminal that shows nothing and leaves every key to us, until this is dropped. Ctrl-C, too, is a key: a
/// signal would end us with the terminal left silent.
struct Silent {
    before: Termios,
}

impl Silent {
    fn begin(stdin: &io::Stdin) -> io::Result<Self> {
        let before = rustix::termios::tcgetattr(stdin)?;
        let mut silent = before.clone();
        silent.local_modes -= LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON | LocalModes::ISIG;
        silent.special_codes[SpecialCodeIndex::VMIN] = 1;
        silent.special_codes[SpecialCodeIndex::VTIME] = 0;
        // What was typed before the question is no answer to it.
        rustix::termios::tcsetattr(stdin, OptionalActions::Flush, &silent)?;
        Ok(Self { before })
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        // A terminal that is gone needs no repair.
        let _gone = rustix::termios::tcsetattr(io::stdin(), OptionalActions::Flush, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_one_by_one() {
        let mut input = "123 456\n654321\r\n\nlast".as_bytes();
        let lines: Vec<String> = (0..5).map(|_| read_line(&mut input).expect("a line").to_string()).collect();
        assert_eq!(lines, ["123 456", "654321", "", "last", ""]);
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let endless = vec![b'1'; LINE_BYTES_MAX + 1];
        assert!(matches!(read_line(&mut &endless[..]), Err(Failure::LineTooLong { .. })));
        assert!(matches!(read_keys(&mut &endless[..]), Err(Failure::LineTooLong { .. })));
        assert_eq!(read_line(&mut &endless[1..]).expect("the longest line").len(), LINE_BYTES_MAX);
    }

    #[test]
    fn keys_at_the_terminal_edit_the_line() {
        let check = |keys: &str| read_keys(&mut keys.as_bytes()).map(|line| line.to_string()).ok();
        assert_eq!(check("123456\r"), Some("123456".to_owned()));
        assert_eq!(check("12é\u{7f}3\n"), Some("123".to_owned()));
        assert_eq!(check("\u{8}wrong\u{15}right\u{4}"), Some("right".to_owned()));
        assert_eq!(check("123\u{3}456\r"), None);
    }
}
