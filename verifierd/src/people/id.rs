//! What names a person for ever.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Names a person for ever: a login name may go to somebody else, this does not.
///
/// Written as 26 characters of Crockford's base 32. Those of our own records are drawn at random; those of the directory
/// are made from what the directory itself names an entry by (see [`super::directory`]).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PersonId(pub u128);

/// Not an id.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not an id of a person: 26 characters of 0-9 and A-Z without I, L, O and U are needed")]
pub struct PersonIdError;

/// Crockford's base 32: no I, L, O and U.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Characters of five bits each that hold 128 bits.
const CHARACTERS: u32 = 26;

impl PersonId {
    /// Reads the one form that [`fmt::Display`] writes.
    ///
    /// # Errors
    /// [`PersonIdError`] for anything else.
    pub fn parse(text: &str) -> Result<Self, PersonIdError> {
        let digit = |byte: u8| ALPHABET.iter().position(|known| *known == byte);
        let value = text.bytes().try_fold(0_u128, |value, byte| {
            let digit = u128::try_from(digit(byte)?).ok()?;
            value.checked_mul(32)?.checked_add(digit)
        });
        let id = value.map(Self).filter(|id| id.to_string() == text);
        id.ok_or(PersonIdError)
    }
}

impl fmt::Display for PersonId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for place in (0..CHARACTERS).rev() {
            let digit = usize::try_from((self.0 >> (5 * place)) & 31).map_err(|_| fmt::Error)?;
            write!(f, "{}", char::from(ALPHABET[digit]))?;
        }
        Ok(())
    }
}

impl fmt::Debug for PersonId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for PersonId {
    type Error = PersonIdError;

    fn try_from(text: String) -> Result<Self, PersonIdError> {
        Self::parse(&text)
    }
}

impl From<PersonId> for String {
    fn from(id: PersonId) -> Self {
        id.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_in_its_one_form() {
        for id in [0, 1, 31, 32, u128::MAX, 0x0123_4567_89ab_cdef_0011_2233_4455_6677].map(PersonId) {
            assert_eq!(PersonId::parse(&id.to_string()), Ok(id));
        }
        assert_eq!(PersonId(33).to_string(), "00000000000000000000000011");
        assert_eq!(PersonId(u128::MAX).to_string(), "7ZZZZZZZZZZZZZZZZZZZZZZZZZ");
        for odd in [
            "",
            "11",
            "8ZZZZZZZZZZZZZZZZZZZZZZZZZ",
            "0000000000000000000000001l",
            "000000000000000000000000011",
        ] {
            assert_eq!(PersonId::parse(odd), Err(PersonIdError), "{odd:?}");
        }
    }
}
