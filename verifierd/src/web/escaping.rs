//! How text of others stands on pages and in exports: what hides or turns a line around is told by its number.
//!
//! Markup in it is escaped by the templates.

use wire::printable::is_risky;

/// A text in which nothing hides: `\u{202e}`.
pub(super) fn visible(text: &str) -> String {
    escaped(text, |_| false)
}

/// The same for a whole page, whose own ends of lines stay: they are blanks there.
pub(super) fn visible_page(page: &str) -> String {
    escaped(page, |character| matches!(character, '\n' | '\r'))
}

fn escaped(text: &str, is_blank: fn(char) -> bool) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut visible, character| {
        if is_risky(character) && !is_blank(character) {
            visible.push_str(&format!("\\u{{{:x}}}", u32::from(character)));
        } else {
            visible.push(character);
        }
        visible
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // covers: I01, I08
    #[test]
    fn text_of_others_neither_hides_nor_turns_a_line_around() {
        assert_eq!(visible("zo\u{eb} \u{202e}txt.exe\u{200b}"), "zo\u{eb} \\u{202e}txt.exe\\u{200b}");
        assert_eq!(visible("a\nb\tc\u{1b}[2J\r\u{7f}"), "a\\u{a}b\\u{9}c\\u{1b}[2J\\u{d}\\u{7f}");
        assert_eq!(visible_page("<p>\r\n\u{feff}a\u{9b}</p>\n"), "<p>\r\n\\u{feff}a\\u{9b}</p>\n");
    }
}
