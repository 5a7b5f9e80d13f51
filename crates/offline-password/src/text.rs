//! What people read out and type: Crockford's base 32 in groups of five, the last character a check on the others.
//!
//! The check is a sum over GF(32) with another weight at every place: one wrong character is always found, and so are two
//! that changed places. It is arithmetic and no secret: it spares an honest person a wrong try, and keeps nobody out.

use zeroize::Zeroizing;

/// Longest text that is looked at: the longest password, with a space or a dash after every character.
pub const TYPED_BYTES_MAX: usize = 2 * UNIVERSAL_CHARACTERS;

/// Characters of each form, the check character included.
pub(crate) const PRESET_CHARACTERS: usize = 15;
pub(crate) const CUSTOM_CHARACTERS: usize = 20;
pub(crate) const UNIVERSAL_CHARACTERS: usize = 25;

/// And of what is no password but a host's name.
pub(crate) const HOST_CODE_CHARACTERS: usize = 10;

const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Characters read out in one breath.
const GROUP: usize = 5;

/// Why a text is no password at all. None of these costs a try: nothing secret was compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TypingError {
    /// Too few, or too many.
    #[error("an offline password has 15, 20 or 25 letters and digits, in groups of five")]
    Length,
    /// A character that no password has.
    #[error("an offline password has digits and letters without U")]
    Character,
    /// Two characters changed places, or one is another.
    #[error("there is a typing error: compare it letter by letter")]
    Check,
}

/// Five bits a character, without the check character; as many as it has tells which form it is.
#[derive(Clone, PartialEq, Eq)]
pub struct Typed {
    values: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for Typed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Typed(..)")
    }
}

impl Typed {
    /// Reads what a person typed: spaces, dashes and case do not matter, `O` is 0, `I` and `L` are 1.
    ///
    /// # Errors
    /// See [`TypingError`].
    pub fn read(text: &str) -> Result<Self, TypingError> {
        Self::read_of(text, &[PRESET_CHARACTERS, CUSTOM_CHARACTERS, UNIVERSAL_CHARACTERS])
    }

    /// The same of other lengths, check character included.
    pub(crate) fn read_of(text: &str, lengths: &[usize]) -> Result<Self, TypingError> {
        if text.len() > TYPED_BYTES_MAX {
            return Err(TypingError::Length);
        }
        let mut values = Zeroizing::new(Vec::with_capacity(TYPED_BYTES_MAX));
        for byte in text.bytes().filter(|byte| !matches!(byte, b' ' | b'-')) {
            values.push(value(byte).ok_or(TypingError::Character)?);
        }
        if !lengths.contains(&values.len()) {
            return Err(TypingError::Length);
        }
        let last = values.pop();
        if last != Some(check(&values)) {
            return Err(TypingError::Check);
        }
        Ok(Self { values })
    }

    /// How many characters it has, the check character included.
    pub(crate) fn characters(&self) -> usize {
        self.values.len() + 1
    }

    /// Its bits, the first character's highest.
    pub(crate) fn bits(&self) -> u128 {
        self.values.iter().fold(0, |bits, value| bits << 5 | u128::from(*value))
    }
}

/// Writes so many characters, the check character among them, in groups.
pub(crate) fn written(bits: u128, characters: usize) -> Zeroizing<String> {
    let mut values = Zeroizing::new(Vec::with_capacity(characters));
    for place in (0..characters - 1).rev() {
        values.push(u8::try_from(bits >> (5 * place) & 31).expect("five bits"));
    }
    let last = check(&values);
    values.push(last);
    let mut text = Zeroizing::new(String::with_capacity(characters + characters / GROUP));
    for (place, value) in values.iter().enumerate() {
        if place > 0 && place % GROUP == 0 {
            text.push('-');
        }
        text.push(char::from(DIGITS[usize::from(*value)]));
    }
    text
}

fn value(byte: u8) -> Option<u8> {
    let digit = match byte.to_ascii_uppercase() {
        b'O' => b'0',
        b'I' | b'L' => b'1',
        other => other,
    };
    DIGITS.iter().position(|known| *known == digit).and_then(|place| u8::try_from(place).ok())
}

/// The sum of all values, each times another power of a generator of GF(32). The check character's own weight is 1.
fn check(values: &[u8]) -> u8 {
    let (mut weight, mut sum) = (1, 0);
    for value in values {
        weight = twice(weight);
        sum ^= times(weight, *value);
    }
    sum
}

/// Twice an element of GF(32), modulo x^5 + x^2 + 1, of which 2 is a generator.
fn twice(element: u8) -> u8 {
    let doubled = element << 1;
    if doubled & 32 == 0 { doubled } else { doubled ^ 0b10_0101 }
}

fn times(one: u8, other: u8) -> u8 {
    let (mut power, mut sum) = (one, 0);
    for bit in 0..5 {
        if other >> bit & 1 == 1 {
            sum ^= power;
        }
        power = twice(power);
    }
    sum
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LENGTHS: [usize; 3] = [PRESET_CHARACTERS, CUSTOM_CHARACTERS, UNIVERSAL_CHARACTERS];

    #[test]
    fn two_generates_all_of_the_field_so_that_no_two_places_weigh_the_same() {
        let mut weights = vec![1];
        while weights.len() < 31 {
            weights.push(twice(*weights.last().unwrap()));
        }
        weights.sort_unstable();
        assert_eq!(weights, (1..32).collect::<Vec<_>>());
    }

    // covers: D12
    #[test]
    fn what_is_written_is_read_however_it_is_typed() {
        let text = written(0x123_4567_89ab_cdef, PRESET_CHARACTERS);
        assert_eq!(text.len(), 17);
        let bits = |text: &str| Typed::read(text).map(|typed| typed.bits());
        assert_eq!(bits(&text), Ok(0x123_4567_89ab_cdef));
        for other in [
            text.to_lowercase(),
            text.replace('-', ""),
            text.replace('-', " "),
            format!("  {} ", text.as_str()),
            text.replace('0', "O").replace('1', "l"),
            text.replace('0', "o").replace('1', "I"),
        ] {
            assert_eq!(bits(&other), bits(&text), "{other:?}");
        }
        for (other, error) in [
            ("", TypingError::Length),
            (&text[..text.len() - 1], TypingError::Length),
            (&format!("{}0", text.as_str()), TypingError::Length),
            (&"0".repeat(51), TypingError::Length),
            (&text.replace('0', "U"), TypingError::Character),
            (&text.replace('0', "\u{30}\u{301}"), TypingError::Character),
        ] {
            assert_eq!(bits(other), Err(error), "{other:?}");
        }
    }

    proptest! {
        // Each case walks all edits of a password.
        #![proptest_config(ProptestConfig::with_cases(24))]

        // covers: D12, D14
        #[test]
        fn one_wrong_character_and_two_that_changed_places_are_typing_errors(bits: u128, form in 0..3_usize) {
            let characters = LENGTHS[form];
            let text = written(bits, characters).replace('-', "");
            for place in 0..characters {
                for digit in DIGITS {
                    let mut other = text.clone().into_bytes();
                    other[place] = *digit;
                    let other = String::from_utf8(other).unwrap();
                    prop_assert_eq!(Typed::read(&other).is_ok(), other == text);
                }
                for second in place + 1..characters {
                    let mut other = text.clone().into_bytes();
                    other.swap(place, second);
                    let other = String::from_utf8(other).unwrap();
                    prop_assert_eq!(Typed::read(&other).is_ok(), other == text);
                }
            }
        }
    }
}
