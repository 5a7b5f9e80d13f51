//! A join secret typed at a terminal: nothing of it is shown.

use std::io::{self, Read, Write as _};

use anyhow::Context as _;
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios};
use zeroize::Zeroizing;

/// Asks for a line of at most so many bytes. Ctrl-C ends the question, and the terminal is as it was before.
///
/// # Errors
/// When the terminal cannot be read or kept from showing what is typed, the line is too long, or Ctrl-C was typed.
pub fn ask(question: &str, bytes_max: usize) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let _silent = Silent::begin().context("cannot keep the terminal from showing what is typed")?;
    let mut words = io::stderr().lock();
    write!(words, "{question}").and_then(|()| words.flush()).context("cannot ask at the terminal")?;
    let line = read_keys(&mut Keys, bytes_max);
    // Enter was not shown either.
    let _unseen = writeln!(words);
    line
}

/// Standing in for [`io::stdin`], which would leave what it read in a buffer of its own.
struct Keys;

impl Read for Keys {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::retry_on_intr(|| rustix::io::read(io::stdin(), &mut *buffer))?)
    }
}

/// The keys as every terminal sends them, whatever its settings call them.
fn read_keys(terminal: &mut impl Read, bytes_max: usize) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let mut line = Zeroizing::new(Vec::with_capacity(bytes_max));
    let mut byte = Zeroizing::new([0]);
    loop {
        let count = terminal.read(&mut *byte).context("cannot read from the terminal")?;
        match byte[0] {
            _ if count == 0 => return Ok(line),
            // Enter, Ctrl-D.
            b'\r' | b'\n' | 0x04 => return Ok(line),
            // Ctrl-C.
            0x03 => anyhow::bail!("interrupted"),
            // Backspace.
            0x08 | 0x7f => drop(line.pop()),
            // Ctrl-U.
            0x15 => line.clear(),
            _ if line.len() == bytes_max => anyhow::bail!("a line has at most {bytes_max} bytes"),
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
    fn begin() -> io::Result<Self> {
        let before = rustix::termios::tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        silent.local_modes -= LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON | LocalModes::ISIG;
        silent.special_codes[SpecialCodeIndex::VMIN] = 1;
        silent.special_codes[SpecialCodeIndex::VTIME] = 0;
        // What was typed before the question is no answer to it.
        rustix::termios::tcsetattr(io::stdin(), OptionalActions::Flush, &silent)?;
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

    // covers: E24
    #[test]
    fn keys_at_the_terminal_edit_the_line_and_ctrl_c_ends_it() {
        let check = |keys: &str| read_keys(&mut keys.as_bytes(), 8).ok().map(|line| line.to_vec());
        assert_eq!(check("MFRGG-ZD\rmore"), Some(b"MFRGG-ZD".to_vec()));
        assert_eq!(check("WRONG\u{15}RIGHX\u{7f}T\u{4}"), Some(b"RIGHT".to_vec()));
        assert_eq!(check("MFRGG\u{3}ZD\r"), None);
        assert_eq!(check("MFRGG-ZDF\r"), None, "too long");
    }
}
