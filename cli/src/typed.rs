//! Codes and passphrases: typed at the terminal without being shown, or a line of stdin where that is none.
//!
//! They are never arguments. What was read is wiped when it is dropped.

use std::io;

use typed_secret::TypedError;
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
            typed_secret::line(stdin, LINE_BYTES_MAX)
        } else if self.no_input {
            return Err(Failure::NeedsInput { what });
        } else {
            typed_secret::ask(question, LINE_BYTES_MAX)
        };
        let line = text(&line.map_err(failure)?)?;
        Ok((!line.trim().is_empty()).then_some(line))
    }
}

fn failure(error: TypedError) -> Failure {
    match error {
        TypedError::Read(source) => Failure::ReadTerminal { source },
        TypedError::TooLong { bytes_max } => Failure::LineTooLong { bytes_max },
        TypedError::Interrupted => Failure::Interrupted,
    }
}

fn text(line: &[u8]) -> Result<Zeroizing<String>, Failure> {
    let text = std::str::from_utf8(line.strip_suffix(b"\r").unwrap_or(line))
        .map_err(|_| Failure::Usage { problem: "a line is not UTF-8" })?;
    Ok(Zeroizing::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_a_foreign_file_ends_without_its_return() {
        assert_eq!(text(b"654321\r").expect("text").as_str(), "654321");
        assert_eq!(text("12\u{e9}".as_bytes()).expect("text").as_str(), "12\u{e9}");
        assert!(matches!(text(b"\xff"), Err(Failure::Usage { .. })));
    }
}
