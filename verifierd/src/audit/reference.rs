//! References: what a user quotes and `postern explain` looks up.
//!
//! Eight characters of Crockford's base 32 (no I, L, O, U), written `XXXX-XXXX`: 40 random bits, so that
//! references say nothing about how many decisions there were.

use std::fmt;

use crate::keys::{KeyError, random_bytes};

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Names one decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reference([u8; 8]);

impl Reference {
    /// Draws a new one.
    ///
    /// # Errors
    /// When the kernel gives no random bytes.
    pub fn draw() -> Result<Self, KeyError> {
        Ok(Self(random_bytes::<8>()?.map(letter)))
    }

    /// The one that belongs to a request: its retry after a restart finds the first decision again. `key`
    /// comes from a keyed hash, so it is as good as random.
    pub fn of(key: [u8; 16]) -> Self {
        let [a, b, c, d, e, f, g, h, ..] = key;
        Self([a, b, c, d, e, f, g, h].map(letter))
    }

    /// Reads what a person typed: case and `-` do not matter, `O` is 0, `I` and `L` are 1.
    pub fn parse(text: &str) -> Option<Self> {
        let characters: Vec<u8> = text.trim().bytes().filter(|byte| *byte != b'-').map(canonical).collect();
        let characters: [u8; 8] = characters.try_into().ok()?;
        characters.iter().all(|character| ALPHABET.contains(character)).then_some(Self(characters))
    }

    /// As kept in the ledger.
    pub fn bytes(self) -> [u8; 8] {
        self.0
    }
}

fn letter(byte: u8) -> u8 {
    ALPHABET[usize::from(byte % 32)]
}

fn canonical(byte: u8) -> u8 {
    match byte.to_ascii_uppercase() {
        b'O' => b'0',
        b'I' | b'L' => b'1',
        other => other,
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = str::from_utf8(&self.0).map_err(|_| fmt::Error)?;
        write!(f, "{}-{}", &text[..4], &text[4..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // covers: P5
    #[test]
    fn a_reference_reads_back_however_a_person_types_it() {
        let reference = Reference(*b"0A1BZ9XK");
        assert_eq!(reference.to_string(), "0A1B-Z9XK");
        for typed in ["0A1B-Z9XK", "0a1bz9xk", " oAlB-z9xk ", "OAIBZ9XK"] {
            assert_eq!(Reference::parse(typed), Some(reference), "{typed}");
        }
        for wrong in ["", "0A1B-Z9X", "0A1B-Z9XKK", "0A1B-Z9XU", "0A1B\u{2013}Z9XK"] {
            assert_eq!(Reference::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn drawn_references_differ() {
        let drawn: Vec<_> = (0..100).map(|_| Reference::draw().unwrap().bytes()).collect();
        assert!(drawn.iter().enumerate().all(|(i, one)| !drawn[..i].contains(one)));
    }
}
