//! One token as a file describes it, and the bounds of each of its fields.
//!
//! Does not know where a field came from: the formats hand in what they read.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::problem::Problem;
use crate::secret_text::looks_like_secret;

/// What an importer needs to know of one token, whatever file it stood in.
#[derive(Clone)]
pub struct TokenRow {
    /// The number of its package in a PSKC document, from 1; its line in a CSV list.
    pub row: u64,
    /// Serial number: 1 to 64 characters.
    pub serial: String,
    /// Event- or time-based.
    pub token_type: TokenType,
    /// The secret, 16 to 128 bytes.
    pub secret: Zeroizing<Vec<u8>>,
    /// The hash under HMAC.
    pub algorithm: Algorithm,
    /// Digits of a one-time password: 6, 7 or 8.
    pub digits: u8,
    /// Seconds per time step, 1 to 86,400; only for TOTP.
    pub time_interval: Option<u32>,
    /// The counter expected next, at most 2^63 - 1; only for HOTP.
    pub counter: Option<u64>,
    /// How many time steps its clock is ahead; negative when it is behind. Only for TOTP, and only where the
    /// file tells.
    pub time_drift: Option<i32>,
}

/// What moves a token on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenType {
    /// The time (RFC 6238).
    Totp,
    /// A counter of presses (RFC 4226).
    Hotp,
}

/// The hash under HMAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// SHA-1, what nearly every token uses.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

/// The shortest secret: 128 bits, as RFC 4226 §4 R6 demands.
const SECRET_BYTES_MIN: usize = 16;

/// The longest secret: one block of SHA-512 (RFC 2104 §2 hashes longer keys down).
pub(crate) const SECRET_BYTES_MAX: usize = 128;

/// Longest serial in characters: real ones have 6 to 20, and a UUID has 36.
const SERIAL_CHARS_MAX: usize = 64;

/// Longest time step in seconds: a day. Real ones are 30 and 60.
const TIME_INTERVAL_MAX: u64 = 86_400;

/// The largest counter: what a signed 64-bit number holds (RFC 6030 §11, `xs:long`).
const COUNTER_MAX: u64 = i64::MAX.unsigned_abs();

/// What a token has where its file is silent: six digits (RFC 4226 §5.3), steps of 30 s (RFC 6238 §5.2).
pub(crate) const DIGITS_DEFAULT: u8 = 6;
pub(crate) const TIME_INTERVAL_DEFAULT: u32 = 30;

/// A serial that can be shown, typed and put into a list again, without the space around it.
///
/// # Errors
/// When it is missing or too long, holds what cannot be shown, begins as a formula does, or looks like a secret.
pub fn checked_serial(text: &str) -> Result<String, Problem> {
    let serial = text.trim();
    if serial.is_empty() {
        return Err(Problem::SerialMissing);
    }
    if serial.chars().any(|c| c.is_control() || is_invisible(c)) {
        return Err(Problem::SerialControl);
    }
    // A spreadsheet takes such a cell for a formula, in whatever list it is exported to later.
    if serial.starts_with(['=', '+', '-', '@']) {
        return Err(Problem::SerialFormula);
    }
    if looks_like_secret(serial) {
        return Err(Problem::SerialSecret);
    }
    match serial.chars().count() {
        1..=SERIAL_CHARS_MAX => Ok(serial.to_owned()),
        _ => Err(Problem::SerialLong),
    }
}

/// A secret of a length that is neither guessable nor absurd.
pub(crate) fn checked_secret(secret: Zeroizing<Vec<u8>>) -> Result<Zeroizing<Vec<u8>>, Problem> {
    match secret.len() {
        0 => Err(Problem::SecretEmpty),
        1..SECRET_BYTES_MIN => Err(Problem::SecretShort { bytes: secret.len() }),
        SECRET_BYTES_MIN..=SECRET_BYTES_MAX => Ok(secret),
        _ => Err(Problem::SecretLong),
    }
}

pub(crate) fn checked_digits(text: &str) -> Result<u8, Problem> {
    match text.parse() {
        Ok(digits @ 6..=8) => Ok(digits),
        _ => Err(Problem::Digits { found: shown_word(text) }),
    }
}

pub(crate) fn checked_time_interval(seconds: u64) -> Result<u32, Problem> {
    let fits = (1..=TIME_INTERVAL_MAX).contains(&seconds);
    u32::try_from(seconds).ok().filter(|_| fits).ok_or(Problem::TimeInterval { found: seconds.to_string() })
}

pub(crate) fn checked_counter(counter: u64) -> Result<u64, Problem> {
    if counter <= COUNTER_MAX { Ok(counter) } else { Err(Problem::Counter { found: counter.to_string() }) }
}

impl Algorithm {
    /// Finds the hash by any of the names in use, such as `SHA1`, `sha-256` and `HMAC-SHA512`.
    pub(crate) fn by_name(name: &str) -> Result<Self, Problem> {
        let bare: String = name
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .take(16)
            .collect::<String>()
            .to_ascii_uppercase();
        match bare.strip_prefix("HMAC").unwrap_or(&bare) {
            "SHA1" => Ok(Self::Sha1),
            "SHA256" => Ok(Self::Sha256),
            "SHA512" => Ok(Self::Sha512),
            _ => Err(Problem::Hash { found: shown_word(name) }),
        }
    }
}

impl TokenType {
    pub(crate) fn by_name(name: &str) -> Result<Self, Problem> {
        if name.eq_ignore_ascii_case("totp") {
            Ok(Self::Totp)
        } else if name.eq_ignore_ascii_case("hotp") {
            Ok(Self::Hotp)
        } else {
            Err(Problem::Type { found: shown_word(name) })
        }
    }
}

/// A name out of a file as it may stand in a message: short, and no secret. Whoever prints it makes it safe for a
/// terminal.
pub(crate) fn shown(text: &str) -> String {
    let text = text.trim();
    if looks_like_secret(text) { length_alone(text) } else { cut(text) }
}

/// The same for a sentence: each of its words may be out of the file.
pub(crate) fn shown_words(text: &str) -> String {
    cut(&text.split(' ').map(shown).collect::<Vec<_>>().join(" "))
}

fn cut(text: &str) -> String {
    const CHARS_MAX: usize = 96;
    let mut cut: String = text.chars().take(CHARS_MAX).collect();
    if text.chars().nth(CHARS_MAX).is_some() {
        cut.push('…');
    }
    cut
}

/// A short word or number out of a file. Where columns are swapped it may be a secret, so a long one is not
/// repeated.
pub(crate) fn shown_word(text: &str) -> String {
    const CHARS_MAX: usize = 12;
    match text.trim().chars().count() {
        0..=CHARS_MAX => format!("`{}`", shown(text)),
        _ => length_alone(text),
    }
}

/// What is said of a text that may be a secret.
fn length_alone(text: &str) -> String {
    format!("a text of {} characters", text.trim().chars().count())
}

/// Characters that turn the direction of writing or have no width: a serial with them looks like another one.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

impl PartialEq for TokenRow {
    fn eq(&self, other: &Self) -> bool {
        let Self { row, serial, token_type, secret, algorithm, digits, time_interval, counter, time_drift } =
            self;
        let rest = (row, serial, token_type, algorithm, digits, time_interval, counter, time_drift);
        let other_rest = (
            &other.row,
            &other.serial,
            &other.token_type,
            &other.algorithm,
            &other.digits,
            &other.time_interval,
            &other.counter,
            &other.time_drift,
        );
        rest == other_rest && bool::from(secret.as_slice().ct_eq(other.secret.as_slice()))
    }
}

impl fmt::Debug for TokenRow {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("TokenRow")
            .field("row", &self.row)
            .field("serial", &self.serial)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // covers: A18
    #[test]
    fn a_serial_can_be_shown_and_typed() {
        let check = |text: &str, serial: Result<&str, Problem>| {
            assert_eq!(checked_serial(text), serial.map(str::to_owned), "{text:?}");
        };
        check(" 2600124809778 ", Ok("2600124809778"));
        check("ubbc/00-1", Ok("ubbc/00-1"));
        check(" ", Err(Problem::SerialMissing));
        check("12\u{7}34", Err(Problem::SerialControl));
        check("12\u{202e}34", Err(Problem::SerialControl));
        check("3132333435363738393031323334353637383930", Err(Problem::SerialSecret));
        for formula in ["=1+1", "+1", "-1", "@SUM(A1)"] {
            check(formula, Err(Problem::SerialFormula));
        }
        check(&"9z".repeat(32), Ok(&"9z".repeat(32)));
        check(&"9z".repeat(33), Err(Problem::SerialLong));
    }

    #[test]
    fn hashes_have_many_names() {
        for (name, algorithm) in [
            ("SHA1", Algorithm::Sha1),
            ("hmac-sha-1", Algorithm::Sha1),
            ("HMAC-SHA256", Algorithm::Sha256),
            ("HmacSHA512", Algorithm::Sha512),
        ] {
            assert_eq!(Algorithm::by_name(name), Ok(algorithm));
        }
        assert_eq!(Algorithm::by_name("MD5"), Err(Problem::Hash { found: String::from("`MD5`") }));
    }

    #[test]
    fn debug_tells_no_secret() {
        let row = TokenRow {
            row: 7,
            serial: String::from("S1"),
            token_type: TokenType::Totp,
            secret: Zeroizing::new(vec![77; 20]),
            algorithm: Algorithm::Sha1,
            digits: 6,
            time_interval: Some(30),
            counter: None,
            time_drift: None,
        };
        assert_eq!(format!("{row:?}"), r#"TokenRow { row: 7, serial: "S1", .. }"#);
    }
}
