//! Makes text of others harmless: for the terminal, for a request field, for a log line.
//!
//! Pure functions; nothing here decides about a login.

use zeroize::Zeroizing;

/// Most bytes of one value that a log line takes, before escaping. Longer than any user name.
const LOG_VALUE_BYTES_MAX: usize = 256;

/// What may reach a terminal: everything but control characters (C0, DEL, C1), and line feeds.
///
/// sudo, su and login print a module's text as it is, so an escape sequence in it would be obeyed.
pub(crate) fn for_screen(text: &str) -> Zeroizing<String> {
    let mut shown = Zeroizing::new(String::with_capacity(text.len()));
    shown.extend(text.chars().filter(|c| *c == '\n' || !c.is_control()));
    shown
}

/// What is sent as the value of a request field: control characters and bytes that are not UTF-8 become
/// U+FFFD, and what is past `bytes_max` is cut at a character boundary.
pub(crate) fn for_field(bytes: &[u8], bytes_max: usize) -> String {
    let mut field = String::new();
    for c in String::from_utf8_lossy(bytes).chars() {
        let c = if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
        if field.len().saturating_add(c.len_utf8()) > bytes_max {
            break;
        }
        field.push(c);
    }
    field
}

/// One value of a log line: printable ASCII without spaces, `=`, quotes and backslashes; every other byte as
/// `\xNN`. A value that was cut ends in `...`; an absent or empty one is `-`.
pub(crate) fn for_log(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "-".to_owned();
    }
    let mut value = String::new();
    for byte in bytes.iter().take(LOG_VALUE_BYTES_MAX) {
        match byte {
            b'"' | b'\'' | b'\\' | b'=' | 0..=b' ' | 0x7f..=0xff => value.push_str(&format!("\\x{byte:02x}")),
            _ => value.push(char::from(*byte)),
        }
    }
    if bytes.len() > LOG_VALUE_BYTES_MAX {
        value.push_str("...");
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_screen_gets_line_feeds_and_utf8_but_no_control_characters() {
        let hostile = "\n██ grün \x1b]0;x\x07\x1b[31m\u{9b}2J\r\x7f\0\tend";
        assert_eq!(*for_screen(hostile), "\n██ grün ]0;x[31m2Jend");
    }

    #[test]
    fn a_field_keeps_text_and_replaces_the_rest() {
        let cases: [(&[u8], &str); 5] = [
            (b"192.0.2.1", "192.0.2.1"),
            (b"fe80::1%eth0", "fe80::1%eth0"),
            (b"a\nb", "a\u{fffd}b"),
            (b"a\xffb", "a\u{fffd}b"),
            ("\u{9b}x".as_bytes(), "\u{fffd}x"),
        ];
        for (given, expected) in cases {
            assert_eq!(for_field(given, 64), expected);
        }
    }

    #[test]
    fn a_long_field_is_cut_between_characters() {
        assert_eq!(for_field("ää".as_bytes(), 3), "ä");
        assert_eq!(for_field(&[b'x'; 300], 255).len(), 255);
    }

    #[test]
    fn a_log_value_is_one_word_of_printable_ascii() {
        let cases: [(&[u8], &str); 5] = [
            (b"alice", "alice"),
            (b"root\nAccepted otp", "root\\x0aAccepted\\x20otp"),
            (b"%n%s", "%n%s"),
            (b"a=b\"\\", "a\\x3db\\x22\\x5c"),
            (b"", "-"),
        ];
        for (given, expected) in cases {
            assert_eq!(for_log(given), expected);
        }
        assert!(for_log(&[b'x'; 33_000]).len() < 300);
    }
}
