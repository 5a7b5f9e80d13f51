//! Codes, passphrases and join secrets: typed at a terminal that shows nothing of them, or a line of a file or pipe.
//!
//! What was read is wiped when it is dropped, and no byte after the line's end is taken. What a line must look like is
//! the caller's to say.

#![forbid(unsafe_code)]

use std::io::{self, Read, Write as _};
use std::os::fd::AsFd;

use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios};
use zeroize::Zeroizing;

/// Why there is no line.
#[derive(Debug, thiserror::Error)]
pub enum TypedError {
    /// The terminal cannot be read, or would show what is typed.
    #[error("cannot read from the terminal")]
    Read(#[from] io::Error),
    /// There is more in it than anybody means.
    #[error("a line has at most {bytes_max} bytes")]
    TooLong {
        /// As many bytes as it may have.
        bytes_max: usize,
    },
    /// Ctrl-C was typed.
    #[error("interrupted")]
    Interrupted,
}

/// Asks at the terminal of stdin for a line of at most so many bytes, given without its end. The question goes to stderr.
/// The terminal is as it was before when this returns, also after Ctrl-C.
///
/// # Errors
/// See [`TypedError`].
pub fn ask(question: &str, bytes_max: usize) -> Result<Zeroizing<Vec<u8>>, TypedError> {
    let stdin = io::stdin();
    let _silent = Silent::begin(&stdin)?;
    let mut words = io::stderr().lock();
    write!(words, "{question}").and_then(|()| words.flush())?;
    let line = read_keys(&mut Unbuffered(stdin.as_fd()), bytes_max);
    // Enter was not shown either.
    let _unseen = writeln!(words);
    line
}

/// A line of at most so many bytes of what is no terminal, up to a line feed, which is left out, or to the end.
///
/// # Errors
/// [`TypedError::Read`], [`TypedError::TooLong`].
pub fn line(input: impl AsFd, bytes_max: usize) -> Result<Zeroizing<Vec<u8>>, TypedError> {
    read_line(&mut Unbuffered(input), bytes_max)
}

/// Reads as much as is asked for and not a byte more, so that each line is left for whom it is meant.
struct Unbuffered<Fd>(Fd);

impl<Fd: AsFd> Read for Unbuffered<Fd> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::retry_on_intr(|| rustix::io::read(&self.0, &mut *buffer))?)
    }
}

/// The keys as every terminal sends them, whatever its settings call them.
fn read_keys(terminal: &mut impl Read, bytes_max: usize) -> Result<Zeroizing<Vec<u8>>, TypedError> {
    let mut line = Zeroizing::new(Vec::with_capacity(bytes_max));
    let mut byte = Zeroizing::new([0]);
    loop {
        let count = terminal.read(&mut *byte)?;
        match byte[0] {
            _ if count == 0 => return Ok(line),
            // Enter, Ctrl-D.
            b'\r' | b'\n' | 0x04 => return Ok(line),
            // Ctrl-C.
            0x03 => return Err(TypedError::Interrupted),
            // Backspace: a character of UTF-8 goes as a whole.
            0x08 | 0x7f => while line.pop().is_some_and(|last| last & 0xc0 == 0x80) {},
            // Ctrl-U.
            0x15 => line.clear(),
            _ if line.len() == bytes_max => return Err(TypedError::TooLong { bytes_max }),
            text => line.push(text),
        }
    }
}

fn read_line(input: &mut impl Read, bytes_max: usize) -> Result<Zeroizing<Vec<u8>>, TypedError> {
    let mut line = Zeroizing::new(Vec::with_capacity(bytes_max));
    let mut byte = Zeroizing::new([0]);
    loop {
        let count = input.read(&mut *byte)?;
        match byte[0] {
            _ if count == 0 => return Ok(line),
            b'\n' => return Ok(line),
            _ if line.len() == bytes_max => return Err(TypedError::TooLong { bytes_max }),
            text => line.push(text),
        }
    }
}

/// A terminal that shows nothing and leaves every key to us, until this is dropped. Ctrl-C, too, is a key: a signal would
/// end us with the terminal left silent.
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

    const BYTES_MAX: usize = 8;

    #[test]
    fn lines_are_read_one_by_one() {
        let mut input = "123 456\n65432\r\n\nlast".as_bytes();
        let lines: Vec<Vec<u8>> =
            (0..5).map(|_| read_line(&mut input, BYTES_MAX).expect("a line").to_vec()).collect();
        assert_eq!(lines, [&b"123 456"[..], b"65432\r", b"", b"last", b""]);
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let endless = [b'1'; BYTES_MAX + 1];
        assert!(matches!(read_line(&mut &endless[..], BYTES_MAX), Err(TypedError::TooLong { .. })));
        assert!(matches!(read_keys(&mut &endless[..], BYTES_MAX), Err(TypedError::TooLong { .. })));
        assert_eq!(read_line(&mut &endless[1..], BYTES_MAX).expect("the longest line").len(), BYTES_MAX);
        assert_eq!(read_keys(&mut &endless[1..], BYTES_MAX).expect("the longest line").len(), BYTES_MAX);
    }

    // covers: E24
    #[test]
    fn keys_at_the_terminal_edit_the_line_and_ctrl_c_ends_it() {
        let check = |keys: &str| read_keys(&mut keys.as_bytes(), BYTES_MAX).ok().map(|line| line.to_vec());
        assert_eq!(check("MFRGG-ZD\rmore"), Some(b"MFRGG-ZD".to_vec()));
        assert_eq!(check("12é\u{7f}3\n"), Some(b"123".to_vec()));
        assert_eq!(check("\u{8}WRONG\u{15}RIGHX\u{7f}T\u{4}"), Some(b"RIGHT".to_vec()));
        assert_eq!(check("MFRG\u{3}ZD\r"), None);
    }
}
