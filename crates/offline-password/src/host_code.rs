//! What a host that is cut off is called at its prompt: short enough to be read out, and the same for ever.

use sha2::{Digest as _, Sha256};

use crate::text::{HOST_CODE_CHARACTERS, Typed, TypingError, written};

/// What the hash is for.
const PURPOSE: &[u8] = b"postern host code 1";

/// Bits of a code: nine characters. Two hosts of 10,000 share one by a chance of 1 : 700,000.
const BITS: u32 = 45;

/// The code of a host: two groups of five, such as `7K2QM-ZB4X0`. It is no secret, and opens nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HostCode(u64);

impl HostCode {
    /// * `host`: its id.
    pub fn of(host: &[u8; 16]) -> Self {
        let hash = Sha256::new().chain_update(PURPOSE).chain_update(host).finalize();
        let first = u64::from_be_bytes(hash[..8].try_into().expect("a hash has 32 bytes"));
        Self(first >> (u64::BITS - BITS))
    }

    /// Reads what somebody was told: spaces, dashes and case do not matter, `O` is 0, `I` and `L` are 1.
    ///
    /// # Errors
    /// See [`TypingError`].
    pub fn read(text: &str) -> Result<Self, TypingError> {
        let typed = Typed::read_of(text, &[HOST_CODE_CHARACTERS])?;
        Ok(Self(u64::try_from(typed.bits()).expect("45 bits")))
    }
}

impl std::fmt::Display for HostCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&written(u128::from(self.0), HOST_CODE_CHARACTERS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // covers: N12
    #[test]
    fn a_code_reads_back_however_it_is_typed_and_no_edit_of_it_is_another() {
        let code = HostCode::of(&[7; 16]);
        let text = code.to_string();
        assert_eq!(text.len(), 11);
        assert_eq!(HostCode::read(&text), Ok(code));
        assert_eq!(HostCode::read(&text.to_lowercase().replace('-', " ").replace('0', "o")), Ok(code));
        for place in (0..text.len()).filter(|place| *place != 5) {
            for digit in "0123456789ABCDEFGHJKMNPQRSTVWXYZ".chars() {
                let edited: String = text
                    .chars()
                    .enumerate()
                    .map(|(at, known)| if at == place { digit } else { known })
                    .collect();
                assert_eq!(HostCode::read(&edited).is_ok(), edited == text, "{edited}");
            }
        }
        assert_eq!(HostCode::read("7K2QM"), Err(TypingError::Length));
        assert_ne!(HostCode::of(&[8; 16]), code);
    }

    // covers: N12
    #[test]
    fn it_is_the_same_for_ever() {
        assert_eq!(HostCode::of(&[7; 16]).to_string(), KNOWN);
    }

    /// What `second_opinion.py` beside this crate's sources prints.
    const KNOWN: &str = "6KNEJ-Z4YPJ";
}
