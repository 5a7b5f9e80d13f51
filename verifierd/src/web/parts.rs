//! Pieces of which pages are made: tables, and what is known of one thing.

use askama::Template;

/// What stands where there is nothing to say.
pub(super) const NOTHING_TO_SAY: &str = "-";

/// A cell of a table.
#[derive(Clone, Debug, Default)]
pub(super) struct Cell {
    /// What it says.
    pub(super) text: String,
    /// Where it leads, encoded; nowhere where this is empty.
    pub(super) link: String,
}

impl Cell {
    /// One that leads somewhere.
    pub(super) fn leading(text: &str, link: String) -> Self {
        Self { text: text.to_owned(), link }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self { text, link: String::new() }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl From<Option<&str>> for Cell {
    fn from(text: Option<&str>) -> Self {
        or_dash(text).into()
    }
}

/// Rows under headings.
#[derive(Template)]
#[template(path = "web/parts/rows.html")]
pub(super) struct Rows {
    headings: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
    /// What is said where there are none.
    nothing: &'static str,
}

impl Rows {
    /// A table.
    ///
    /// * `nothing`: what is said where it is empty.
    pub(super) fn new<const COLUMNS: usize>(
        headings: [&'static str; COLUMNS],
        rows: impl IntoIterator<Item = [Cell; COLUMNS]>,
        nothing: &'static str,
    ) -> Self {
        Self {
            headings: headings.to_vec(),
            rows: rows.into_iter().map(|row| row.to_vec()).collect(),
            nothing,
        }
    }
}

/// What is known of one thing.
#[derive(Template)]
#[template(path = "web/parts/facts.html")]
pub(super) struct Facts(pub(super) Vec<(&'static str, Cell)>);

/// A field of a form in which text is typed.
#[derive(Template)]
#[template(path = "web/parts/field.html")]
pub(super) struct Field {
    /// As it is sent, and its id.
    pub(super) name: &'static str,
    /// What stands above it.
    pub(super) label: &'static str,
    /// What stands in it.
    pub(super) value: String,
    /// What helps with it; nothing where this is empty.
    pub(super) hint: &'static str,
    /// Whether it may be empty.
    pub(super) is_required: bool,
}

impl Field {
    /// One that may be empty.
    pub(super) fn new(name: &'static str, label: &'static str, value: Option<&str>) -> Self {
        Self { name, label, value: value.unwrap_or_default().to_owned(), hint: "", is_required: false }
    }

    /// The same, which may not.
    pub(super) fn required(self) -> Self {
        Self { is_required: true, ..self }
    }

    /// The same with help.
    pub(super) fn with_hint(self, hint: &'static str) -> Self {
        Self { hint, ..self }
    }
}

/// A value that may be absent.
pub(super) fn or_dash(value: Option<&str>) -> String {
    value.unwrap_or(NOTHING_TO_SAY).to_owned()
}

/// Several values.
pub(super) fn joined(values: &[String]) -> String {
    if values.is_empty() { NOTHING_TO_SAY.to_owned() } else { values.join(", ") }
}

/// A refusal as a sentence.
pub(super) fn sentence(message: &str) -> String {
    let mut letters = message.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    let end = if message.ends_with(['.', '?', '!']) { "" } else { "." };
    format!("{first}{}{end}", letters.as_str())
}
