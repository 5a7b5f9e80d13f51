//! Makes text from outside safe to print.
//!
//! User names, host names and terminals are chosen by whoever logs in. Printed as they are, they could move the
//! cursor, fill the clipboard (OSC 52), hide a link (OSC 8) or turn a line around (bidirectional controls).

pub use wire::printable::is_risky;

/// The text with every risky character shown as `\x1b` (below 256) or `\u{202e}`, and a backslash as `\\`, so
/// that two different texts never look the same.
pub fn escaped(text: &str) -> String {
    harmless(&text.replace('\\', r"\\"))
}

/// The same with a backslash left alone: for sentences, in which names may be escaped already.
pub fn harmless(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut safe, character| {
        match character {
            risky if is_risky(risky) && u32::from(risky) < 0x100 => {
                safe.push_str(&format!(r"\x{:02x}", u32::from(risky)));
            }
            risky if is_risky(risky) => safe.push_str(&format!(r"\u{{{:x}}}", u32::from(risky))),
            plain => safe.push(plain),
        }
        safe
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// covers: I01
    #[test]
    fn what_could_draw_on_a_terminal_is_shown_as_an_escape() {
        let table = [
            ("alice", "alice"),
            ("josé 山田 😀", "josé 山田 😀"),
            ("\u{1b}[2J", r"\x1b[2J"),
            ("\u{1b}]52;c;aGk=\u{7}", r"\x1b]52;c;aGk=\x07"),
            ("\u{1b}]8;;http://x\u{1b}\\", r"\x1b]8;;http://x\x1b\\"),
            ("a\rb\nc\td\0", r"a\x0db\x0ac\x09d\x00"),
            ("\u{7f}\u{9b}31m\u{85}", r"\x7f\x9b31m\x85"),
            ("\u{202e}ecila\u{2066}x\u{2069}", r"\u{202e}ecila\u{2066}x\u{2069}"),
            ("\u{61c}\u{200b}\u{200f}\u{feff}", r"\u{61c}\u{200b}\u{200f}\u{feff}"),
            ("\u{2028}\u{2029}", r"\u{2028}\u{2029}"),
            ("\u{e0041}", r"\u{e0041}"),
            (r"CORP\alice", r"CORP\\alice"),
            (r"\x1b", r"\\x1b"),
        ];
        for (text, safe) in table {
            assert_eq!(escaped(text), safe, "{text:?}");
        }
    }

    #[test]
    fn no_control_character_of_any_plane_passes() {
        let all: String = (0..=0x10_ffff_u32).filter_map(char::from_u32).collect();
        for safe in [escaped(&all), harmless(&all)] {
            assert!(!safe.chars().any(|character| character.is_control() || is_risky(character)));
        }
    }

    #[test]
    fn a_sentence_is_not_escaped_twice() {
        assert_eq!(harmless("no token \"a\\u{1b}[2J\" \u{1b}"), "no token \"a\\u{1b}[2J\" \\x1b");
    }
}
