//! What may stand in a line that somebody reads: names are chosen by whoever logs in.
//!
//! Printed as they are, characters of such a name could move the cursor, fill the clipboard, or turn a line around.

/// Whether a character draws, moves or reorders instead of showing itself.
///
/// C0, DEL and C1 controls; the soft hyphen; zero-width and bidirectional controls; line and paragraph
/// separators; invisible operators; the byte order mark; interlinear annotations; tag characters. These are
/// Unicode's categories Cc, Zl, Zp and, of Cf, all but the signs that belong to one script or to music.
pub fn is_risky(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// Escapes what JSON lets through but a terminal must not get (DEL, C1, bidirectional controls, ...); line feeds stay. Such
/// characters stand only inside strings, and there `\u` means the same character: the value does not change.
pub fn safe_json(json: &str) -> String {
    let mut units = [0; 2];
    json.chars().fold(String::with_capacity(json.len()), |mut safe, character| {
        if character != '\n' && is_risky(character) {
            for unit in character.encode_utf16(&mut units) {
                safe.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            safe.push(character);
        }
        safe
    })
}
