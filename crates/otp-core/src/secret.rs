//! The secret that a token and the verifier share (K in RFC 4226 §5.1), and its text form.
//!
//! Does not make secrets (that needs randomness), store them or seal them.
//!
//! Sources: RFC 4226 §4 R6 (length), RFC 4648 §6 (base32).

use std::fmt;

use data_encoding::BASE32_NOPAD;
use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroizing;

/// What token and verifier both know: 16 to 128 bytes, wiped when dropped.
///
/// There is no `==`, no `Display` and no serialisation; [`SharedSecret::expose`] and
/// [`SharedSecret::to_base32`] are the only ways out.
///
/// # Leaks
/// Comparing two secrets takes a time that depends on their lengths alone. The base32 conversions look bytes
/// up in a table and are not constant-time; they run when a token is enrolled or imported, never when a
/// password is checked.
#[derive(Clone)]
pub struct SharedSecret {
    bytes: Zeroizing<Box<[u8]>>,
}

impl SharedSecret {
    /// The shortest secret: 128 bits, as RFC 4226 §4 R6 demands.
    pub const BYTES_MIN: usize = 16;

    /// The longest secret: one block of SHA-512. HMAC hashes a longer key down first (RFC 2104 §2), which
    /// adds nothing.
    pub const BYTES_MAX: usize = 128;

    /// The longest base32 text that is looked at: 205 digits hold `BYTES_MAX` bytes, and groups of one with a
    /// separator and padding after them still fit.
    const BASE32_BYTES_MAX: usize = 512;

    /// A copy of `bytes` as a secret.
    ///
    /// # Errors
    /// `TooShort` or `TooLong` unless there are `BYTES_MIN..=BYTES_MAX` bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SharedSecretError> {
        match bytes.len() {
            0..Self::BYTES_MIN => Err(SharedSecretError::TooShort { bytes: bytes.len() }),
            Self::BYTES_MIN..=Self::BYTES_MAX => Ok(Self { bytes: Zeroizing::new(bytes.into()) }),
            _ => Err(SharedSecretError::TooLong),
        }
    }

    /// The secret written as base32: upper or lower case, with or without padding, and with spaces and `-`
    /// anywhere, as people and apps group it.
    ///
    /// # Errors
    /// `NotBase32` for any other character, an impossible number of digits or bits left over at the end;
    /// `Padding` when there is padding of the wrong length or in the middle; `TooShort` and `TooLong` as in
    /// `from_bytes`.
    pub fn from_base32(text: &str) -> Result<Self, SharedSecretError> {
        if text.len() > Self::BASE32_BYTES_MAX {
            return Err(SharedSecretError::TooLong);
        }
        // The capacities are enough from the start: a vector that grows leaves copies behind that nobody
        // wipes.
        let mut digits = Zeroizing::new(Vec::with_capacity(text.len()));
        digits.extend(
            text.bytes().filter(|byte| !matches!(byte, b' ' | b'-')).map(|byte| byte.to_ascii_uppercase()),
        );
        let digits = without_padding(&digits)?;

        let decoded_bytes =
            BASE32_NOPAD.decode_len(digits.len()).map_err(|_| SharedSecretError::NotBase32)?;
        let mut decoded = Zeroizing::new(vec![0; decoded_bytes]);
        BASE32_NOPAD.decode_mut(digits, &mut decoded).map_err(|_| SharedSecretError::NotBase32)?;
        Self::from_bytes(&decoded)
    }

    /// The secret as base32 in upper case, without padding or grouping, as authenticator apps expect it.
    pub fn to_base32(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(BASE32_NOPAD.encode_len(self.bytes.len())));
        BASE32_NOPAD.encode_append(&self.bytes, &mut text);
        text
    }

    /// The bytes themselves.
    pub fn expose(&self) -> &[u8] {
        &self.bytes
    }
}

impl ConstantTimeEq for SharedSecret {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.bytes.ct_eq(&other.bytes)
    }
}

impl fmt::Debug for SharedSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SharedSecret(..)")
    }
}

/// Why something is no secret. Tells lengths at most, never content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SharedSecretError {
    /// Fewer than [`SharedSecret::BYTES_MIN`] bytes.
    #[error("a shared secret has at least 16 bytes, not {bytes}")]
    TooShort {
        /// How many there were.
        bytes: usize,
    },
    /// More than [`SharedSecret::BYTES_MAX`] bytes, or a text too long to hold a secret.
    #[error("a shared secret has at most 128 bytes")]
    TooLong,
    /// A character outside the alphabet, a number of digits that cannot occur, or bits left over at the end.
    #[error("the secret is not base32: it is written with the letters A to Z and the digits 2 to 7")]
    NotBase32,
    /// Padding that is neither absent nor complete.
    #[error(
        "the base32 padding is wrong: leave all = signs out, or fill up to a multiple of eight characters"
    )]
    Padding,
}

/// Takes the `=` signs off the end of `digits`, if they are as many as RFC 4648 §6 asks for.
fn without_padding(digits: &[u8]) -> Result<&[u8], SharedSecretError> {
    let Some(start) = digits.iter().position(|&byte| byte == b'=') else { return Ok(digits) };
    let (digits, padding) = digits.split_at(start);
    let is_complete = padding.iter().all(|&byte| byte == b'=') && padding.len() == (8 - digits.len() % 8) % 8;
    is_complete.then_some(digits).ok_or(SharedSecretError::Padding)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4226 Appendix D uses these bytes; the base32 form is what authenticator apps show for them.
    const SECRET: &[u8] = b"12345678901234567890";
    const BASE32: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

    #[test]
    fn a_secret_has_between_16_and_128_bytes() {
        // covers: A18
        for (bytes, right) in
            [(0, false), (1, false), (15, false), (16, true), (20, true), (64, true), (128, true)]
        {
            assert_eq!(SharedSecret::from_bytes(&vec![7; bytes]).is_ok(), right, "{bytes} bytes");
        }
        for bytes in [129, 1024, 10_000_000] {
            assert_eq!(SharedSecret::from_bytes(&vec![7; bytes]).unwrap_err(), SharedSecretError::TooLong);
            assert_eq!(
                SharedSecret::from_base32(&"A".repeat(bytes * 8 / 5 + 1)).unwrap_err(),
                SharedSecretError::TooLong
            );
        }
    }

    #[test]
    fn base32_is_read_as_people_and_apps_write_it() {
        // covers: A18, T4
        let grouped = "gezd gnbv gy3t qojq gezd gnbv gy3t qojq";
        for text in
            [BASE32, grouped, "GEZDGNBV-GY3TQOJQ-GEZDGNBV-GY3TQOJQ", " GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ "]
        {
            assert_eq!(SharedSecret::from_base32(text).unwrap().expose(), SECRET, "{text:?}");
        }
        let with_padding = SharedSecret::from_base32("GEZDGNBVGY3TQOJQGEZDGNBVGY======").unwrap();
        assert_eq!(with_padding.expose(), b"1234567890123456");
    }

    #[test]
    fn every_other_base32_text_is_refused() {
        // covers: A18
        let not_base32 = [
            "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJ1",
            "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\n",
            "ＧEZDGNBVGY3TQOJQGEZDGNBVGY",
        ];
        for text in not_base32.into_iter().chain([
            "GEZDGNBVGY3TQOJQGEZDGNBVGYA",
            "GEZDGNBVGY3TQOJQGEZDGNBVGZ",
            "0189",
        ]) {
            assert_eq!(
                SharedSecret::from_base32(text).unwrap_err(),
                SharedSecretError::NotBase32,
                "{text:?}"
            );
        }
        let wrongly_padded = [
            "GEZDGNBVGY3TQOJQGEZDGNBVGY=",
            "GEZDGNBVGY3TQOJQGEZDGNBVGY=======",
            "=",
            "GEZDGNBVGY======GE======",
        ];
        for text in wrongly_padded.into_iter().chain(["GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ========"]) {
            assert_eq!(SharedSecret::from_base32(text).unwrap_err(), SharedSecretError::Padding, "{text:?}");
        }
        assert_eq!(SharedSecret::from_base32("").unwrap_err(), SharedSecretError::TooShort { bytes: 0 });
    }

    #[test]
    fn base32_is_printed_without_padding() {
        assert_eq!(*SharedSecret::from_bytes(SECRET).unwrap().to_base32(), BASE32);
        assert_eq!(*SharedSecret::from_bytes(&SECRET[..16]).unwrap().to_base32(), BASE32[..26]);
    }

    #[test]
    fn debug_output_and_errors_tell_nothing_of_a_secret() {
        // covers: E24
        let secret = SharedSecret::from_bytes(SECRET).unwrap();
        assert_eq!(format!("{secret:?}"), "SharedSecret(..)");
        let error = SharedSecret::from_base32("CANARYCANARY1").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("CANARY"));
    }

    #[test]
    fn secrets_are_compared_by_content() {
        let [one, same, other] =
            [SECRET, SECRET, &SECRET[..19]].map(|bytes| SharedSecret::from_bytes(bytes).unwrap());
        assert!(bool::from(one.ct_eq(&same)));
        assert!(!bool::from(one.ct_eq(&other)));
    }
}
