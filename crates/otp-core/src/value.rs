//! What a person types, and what a token shows: an OTP value, in its one canonical form.
//!
//! Does not compute values (see [`crate::hotp`]) or compare them with a token's (see [`crate::matching`]).
//!
//! Source: RFC 4226 §5.3 (a fixed number of decimal digits, leading zeros kept).

use std::fmt;

use subtle::{Choice, ConstantTimeEq};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::Digits;

/// An OTP value: a number and how many digits it is written with. Wiped when dropped.
///
/// There is no `==`, no `Display` and no serialisation; [`OtpValue::expose`] is the only way out.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct OtpValue {
    number: u32,
    #[zeroize(skip)]
    digits: Digits,
}

impl OtpValue {
    /// The longest text that is looked at: eight digits, each with a few separators around it.
    pub const TYPED_BYTES_MAX: usize = 64;

    /// `number` is below ten to the power of `digits`: the truncation of RFC 4226 §5.3 gives nothing else.
    pub(crate) fn from_number(number: u32, digits: Digits) -> Self {
        Self { number, digits }
    }

    /// Reads what was typed.
    ///
    /// ASCII spaces and `-` are dropped wherever they stand, because people copy the grouping of their app.
    /// What is left must be exactly `digits` ASCII digits. Everything else is malformed: other white space,
    /// signs, digits of other scripts, too few or too many digits. So one value has one canonical form, and
    /// whatever is keyed by it (replay, limits, request ids) sees all spellings as the same.
    ///
    /// # Errors
    /// `MalformedPassword`, which does not repeat what was typed.
    ///
    /// # Leaks
    /// The time tells the shape of the text, which its sender knows; nothing secret is involved.
    pub fn from_typed(text: &str, digits: Digits) -> Result<Self, MalformedPassword> {
        let malformed = MalformedPassword { digits: digits.count() };
        if text.len() > Self::TYPED_BYTES_MAX {
            return Err(malformed);
        }
        let (mut number, mut count) = (0_u32, 0_u8);
        for byte in text.bytes().filter(|byte| !matches!(byte, b' ' | b'-')) {
            if !byte.is_ascii_digit() || count == digits.count() {
                return Err(malformed);
            }
            number = number * 10 + u32::from(byte - b'0');
            count += 1;
        }
        if count != digits.count() {
            return Err(malformed);
        }
        Ok(Self { number, digits })
    }

    /// Whether both are the same digits.
    ///
    /// # Leaks
    /// Nothing but the answer.
    pub fn matches(&self, other: &Self) -> bool {
        self.ct_eq(other).into()
    }

    /// The digits, with leading zeros.
    pub fn expose(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{:0width$}", self.number, width = usize::from(self.digits.count())))
    }

    /// How many digits the value is written with.
    pub fn digits(&self) -> Digits {
        self.digits
    }
}

impl ConstantTimeEq for OtpValue {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.number.ct_eq(&other.number) & self.digits.count().ct_eq(&other.digits.count())
    }
}

impl fmt::Debug for OtpValue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("OtpValue(..)")
    }
}

/// What was typed is no OTP value in any accepted spelling. Counts as one wrong password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a one-time password of this token is {digits} digits, with nothing but spaces or - between them")]
pub struct MalformedPassword {
    /// How many digits were expected.
    pub digits: u8,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, digits: Digits, canonical: Option<&str>) {
        let read = OtpValue::from_typed(text, digits);
        match canonical {
            Some(canonical) => assert_eq!(*read.unwrap().expose(), canonical, "{text:?}"),
            None => assert_eq!(read.unwrap_err(), MalformedPassword { digits: digits.count() }, "{text:?}"),
        }
    }

    #[test]
    fn spaces_and_hyphens_are_dropped_and_every_other_spelling_is_malformed() {
        // covers: A04, T1
        for text in ["012345", " 012345", "012345 ", "012 345", "012-345", "0-1-2 3 4 5", "--012345--"] {
            check(text, Digits::SIX, Some("012345"));
        }
        let control_characters =
            ["012345\n", "012345\r", "\t012345", "012345\0x", "012345\0", "012\u{b}345", "\u{7f}012345"];
        let numbers_of_other_kinds =
            ["12345", "0012345", "+12345", "0x3039", "1.2345e4", "12345.", "-12345", "0b1010"];
        let other_scripts = ["０１２３４５", "٠١٢٣٤٥", "۰۱۲۳۴۵", "0１2345", "𝟎𝟏𝟐𝟑𝟒𝟓", "²12345", "Ⅵ12345"];
        let look_alikes =
            ["012\u{ad}345", "012\u{2010}345", "012\u{2011}345", "012\u{2013}345", "012\u{2212}345"];
        let other_spaces =
            ["012\u{a0}345", "012\u{2009}345", "012\u{200b}345", "012\u{3000}345", "\u{feff}012345"];
        let other = ["", " ", "-", "O12345", "l12345", "012345a", "a012345", "012345012345"];
        let tables: [&[&str]; 6] = [
            &control_characters,
            &numbers_of_other_kinds,
            &other_scripts,
            &look_alikes,
            &other_spaces,
            &other,
        ];
        for text in tables.into_iter().flatten() {
            check(text, Digits::SIX, None);
        }
    }

    #[test]
    fn the_number_of_digits_is_exact_for_every_length() {
        // covers: A04
        for count in 6..=8 {
            let digits = Digits::new(count).unwrap();
            for typed in 0..12 {
                let text = "9".repeat(typed);
                check(&text, digits, (typed == usize::from(count)).then_some(text.as_str()));
            }
        }
    }

    #[test]
    fn a_long_text_is_malformed_even_when_it_is_mostly_spaces() {
        let spaces = |count| format!("012345{}", " ".repeat(count));
        check(&spaces(OtpValue::TYPED_BYTES_MAX - 6), Digits::SIX, Some("012345"));
        check(&spaces(OtpValue::TYPED_BYTES_MAX - 5), Digits::SIX, None);
    }

    #[test]
    fn values_match_when_digits_and_length_are_the_same() {
        let [six, seven] = [6, 7].map(|count| Digits::new(count).unwrap());
        let value = |text, digits| OtpValue::from_typed(text, digits).unwrap();
        assert!(value("012345", six).matches(&value("012-345", six)));
        assert!(!value("012345", six).matches(&value("012346", six)));
        assert!(!value("012345", six).matches(&value("112345", six)));
        assert!(!value("012345", six).matches(&value("0012345", seven)));
    }

    #[test]
    fn debug_output_tells_nothing() {
        // covers: E24
        assert_eq!(format!("{:?}", OtpValue::from_typed("012345", Digits::SIX).unwrap()), "OtpValue(..)");
    }
}
