//! What is printed: data on stdout in one of three forms, words and errors on stderr.
//!
//! * [`escape`]: nothing that came from outside may draw on a terminal.
//! * [`json`]: the JSON forms.
//! * [`table`]: the form for people.

pub mod escape;
pub mod json;
pub mod table;

use std::io::{self, ErrorKind, Write};

use clap::ValueEnum;
use clap::error::ContextValue;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::failure::{Exit, Failure};
use escape::{escaped, harmless};

/// The forms of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Aligned columns for people; not for programs, it may change
    Table,
    /// One JSON document
    Json,
    /// One JSON document a line: one for each item of a list
    Ndjson,
}

/// What a verb has to say.
pub struct Answer {
    /// For stdout, rendered; wiped, since recovery codes are told here.
    data: Zeroizing<String>,
    /// For stderr unless `-q`: one line in words.
    words: Option<String>,
    /// For stderr, also with `-q`: what the failure is about.
    notes: Vec<String>,
    /// Set when the data is worth printing, but the run failed all the same.
    failure: Option<Failure>,
}

impl Answer {
    /// A list: `document` is the whole, `items` are its lines.
    pub fn list<T: Serialize>(
        format: Format,
        document: &impl Serialize,
        items: &[T],
        table: impl FnOnce() -> String,
    ) -> Result<Self, Failure> {
        let data = match format {
            Format::Table => table(),
            Format::Json => json::pretty(document)?,
            Format::Ndjson => items.iter().map(json::line).collect::<Result<_, _>>()?,
        };
        Ok(Self { data: Zeroizing::new(data), words: None, notes: Vec::new(), failure: None })
    }

    /// One thing.
    pub fn one(
        format: Format,
        document: &impl Serialize,
        table: impl FnOnce() -> String,
    ) -> Result<Self, Failure> {
        Self::list(format, document, &[document], table)
    }

    /// The same with a line in words, which is escaped here.
    pub fn saying(self, words: &str) -> Self {
        Self { words: Some(escaped(words)), ..self }
    }

    /// The same with lines that lead to its failure; they are escaped here.
    pub fn noting(self, notes: impl IntoIterator<Item = String>) -> Self {
        Self { notes: notes.into_iter().map(|note| escaped(&note)).collect(), ..self }
    }

    /// The same with a failure to report after the data.
    pub fn failing(self, failure: Failure) -> Self {
        Self { failure: Some(failure), ..self }
    }
}

/// Prints an answer; returns the exit code.
pub fn show(answer: &Answer, quiet: bool, format: Format) -> u8 {
    let mut out = io::stdout().lock();
    match out.write_all(answer.data.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => {}
        // Whoever read us has seen enough, as `head` does.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
        Err(source) => return show_failure(&Failure::Write { source }, format),
    }
    if let (Some(words), false) = (&answer.words, quiet) {
        say(words);
    }
    answer.notes.iter().for_each(|note| say(note));
    answer.failure.as_ref().map_or(Exit::Done as u8, |failure| show_failure(failure, format))
}

/// Prints a failure; returns the exit code.
pub fn show_failure(failure: &Failure, format: Format) -> u8 {
    say(&match format {
        Format::Table => format!("postern: {}", harmless(&failure.line())),
        Format::Json | Format::Ndjson => json::error(failure.code(), &failure.line()),
    });
    failure.exit() as u8
}

/// Prints clap's help, version or complaint; returns the exit code. A complaint is JSON where the arguments ask
/// for JSON, although they could not be read as a whole.
pub fn show_usage(mut usage: clap::Error) -> u8 {
    if !usage.use_stderr() {
        // Where stdout is closed there is nobody to help.
        let _unread = usage.print();
        return Exit::Done as u8;
    }
    escape_arguments(&mut usage);
    let text = usage.render().to_string();
    let by_default = std::env::var("POSTERN_OUTPUT").is_ok_and(|form| form == "json" || form == "ndjson");
    if by_default || wants_json(std::env::args_os()) {
        let line = text.lines().next().unwrap_or_default();
        say(&json::error("usage", line.trim_start_matches("error: ")));
    } else {
        say(text.trim_end());
    }
    Exit::Usage as u8
}

/// A complaint repeats the argument that was wrong, whatever is in it.
fn escape_arguments(usage: &mut clap::Error) {
    let texts: Vec<_> = usage
        .context()
        .filter_map(|(kind, value)| match value {
            ContextValue::String(text) => Some((kind, escaped(text))),
            _ => None,
        })
        .collect();
    for (kind, text) in texts {
        usage.insert(kind, ContextValue::String(text));
    }
}

fn wants_json(arguments: impl Iterator<Item = std::ffi::OsString>) -> bool {
    let words: Vec<String> = arguments.map(|word| word.to_string_lossy().into_owned()).collect();
    let forms = ["--json", "-ojson", "-ondjson", "-o=json", "-o=ndjson", "--output=json", "--output=ndjson"];
    words.iter().any(|word| forms.contains(&word.as_str()))
        || words.windows(2).any(|pair| {
            matches!(pair[0].as_str(), "-o" | "--output") && matches!(pair[1].as_str(), "json" | "ndjson")
        })
}

/// One line to stderr. Where stderr is closed there is nobody to tell.
fn say(line: &str) {
    let _unheard = writeln!(io::stderr(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_wanted_in_every_spelling() {
        let check = |line: &str, wanted| {
            assert_eq!(wants_json(line.split_whitespace().map(Into::into)), wanted, "{line}");
        };
        check("postern user --json", true);
        check("postern -o json user", true);
        check("postern --output=ndjson user", true);
        check("postern -o table user", false);
        check("postern user show json", false);
    }
}
