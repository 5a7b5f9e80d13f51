//! The form for people: aligned columns without lines. Every cell is escaped here, wherever it came from.

use comfy_table::Table;
use comfy_table::presets::NOTHING;

use crate::output::escape::escaped;

/// Most characters of a text that others choose freely, before it is escaped: a whole IPv6 address with its zone fits.
const SHORT_CHARACTERS_MAX: usize = 48;

/// What stands in a cell that has nothing to say.
pub const NOTHING_TO_SAY: &str = "-";

/// A list: one row for each thing, the header in capitals. An empty list is its header alone.
pub fn list<const COLUMNS: usize>(
    header: [&str; COLUMNS],
    rows: impl IntoIterator<Item = [String; COLUMNS]>,
) -> String {
    let mut table = plain();
    table.set_header(header);
    table.add_rows(rows.into_iter().map(|row| row.map(|cell| escaped(&cell))));
    print(&mut table)
}

/// One thing: a row for each of its properties.
pub fn properties<'a>(rows: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let mut table = plain();
    table.add_rows(rows.into_iter().map(|(name, value)| [name.to_owned(), escaped(&value)]));
    print(&mut table)
}

/// A text that others choose freely: one that is too long for a table is cut and ends in `...`, so that it does not move
/// the columns of all others away.
pub fn short(text: &str) -> String {
    match text.char_indices().nth(SHORT_CHARACTERS_MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// A value that may be absent.
pub fn or_dash(value: Option<&str>) -> String {
    value.unwrap_or(NOTHING_TO_SAY).to_owned()
}

/// A statement that is true or not.
pub fn yes_no(value: bool) -> String {
    if value { "yes" } else { "no" }.to_owned()
}

/// Several values in one cell.
pub fn joined(values: &[String]) -> String {
    if values.is_empty() { NOTHING_TO_SAY.to_owned() } else { values.join(", ") }
}

fn plain() -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table
}

fn print(table: &mut Table) -> String {
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_aligned_and_has_no_trailing_blanks() {
        let text =
            list(["USER", "OTP"], [["alice".to_owned(), "on".to_owned()], ["bo".to_owned(), "-".to_owned()]]);
        assert_eq!(text, "USER   OTP\nalice  on\nbo     -\n");
    }

    #[test]
    fn a_text_that_is_too_long_for_a_table_is_cut() {
        assert_eq!(short(&"\u{e9}".repeat(48)), "\u{e9}".repeat(48));
        assert_eq!(short(&"\u{e9}".repeat(49)), "\u{e9}".repeat(48) + "...");
    }

    #[test]
    fn properties_stand_below_each_other() {
        let text = properties([("otp", "on".to_owned()), ("activated", "no".to_owned())]);
        assert_eq!(text, "otp        on\nactivated  no\n");
    }

    /// covers: I01
    #[test]
    fn no_cell_can_start_a_line_or_move_the_cursor() {
        let nasty = "a\nroot  off\u{1b}[A\u{202e}".to_owned();
        assert_eq!(list(["USER"], [[nasty.clone()]]), "USER\na\\x0aroot  off\\x1b[A\\u{202e}\n");
        assert_eq!(properties([("user", nasty)]), "user  a\\x0aroot  off\\x1b[A\\u{202e}\n");
    }
}
