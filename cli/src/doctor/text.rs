//! Words for people: ours as they stand, and what came from files, programs and names, which is escaped where it is
//! shown on a terminal.
//!
//! A text that was put together while running counts as foreign. Our own words need no escapes, but for a
//! backslash in a command to be copied; [`Text::and`] keeps such words and foreign ones apart.

use crate::output::escape::escaped;

/// A message or a remedy.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Text {
    plain: String,
    shown: String,
}

impl Text {
    /// As it is, for JSON, which escapes by itself.
    pub fn plain(&self) -> &str {
        &self.plain
    }

    /// For a terminal. A line feed in it is ours.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// The same with more behind it.
    pub fn and(self, more: impl Into<Self>) -> Self {
        let more = more.into();
        Self { plain: self.plain + &more.plain, shown: self.shown + &more.shown }
    }
}

impl From<&'static str> for Text {
    fn from(ours: &'static str) -> Self {
        Self { plain: ours.to_owned(), shown: ours.to_owned() }
    }
}

impl From<String> for Text {
    fn from(foreign: String) -> Self {
        Self { shown: escaped(&foreign), plain: foreign }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_not_ours_is_escaped() {
        let text = Text::from(r"s/\r$//").and(" ").and("a\\b\n\u{1b}[2J".to_owned());
        assert_eq!(text.plain(), "s/\\r$// a\\b\n\u{1b}[2J");
        assert_eq!(text.shown(), r"s/\r$// a\\b\x0a\x1b[2J");
    }
}
