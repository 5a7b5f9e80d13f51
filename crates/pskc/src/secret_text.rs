//! A secret as it stands in a list: hexadecimal or base32.
//!
//! `hex:` or `base32:` before it decides. Without one it is hexadecimal where it consists of 32 or more
//! hexadecimal digits, an even number of them, and base32 otherwise. A secret that could be both is taken for
//! hexadecimal, as lists of hardware tokens are written; one in base32 of the digits 2 to 7 and the letters A to
//! F alone is so improbable that nobody has met it, and the prefix serves him who does.

use data_encoding::{BASE32_NOPAD, HEXLOWER_PERMISSIVE};
use zeroize::Zeroizing;

use crate::problem::Problem;
use crate::token::checked_secret;

/// Longest text that is looked at, in bytes: 256 hexadecimal digits hold the longest secret, and base32 in groups
/// of one with a separator after each takes 410.
const TEXT_BYTES_MAX: usize = 512;

/// Fewest digits that are taken for hexadecimal without a prefix: those of 16 bytes, the shortest secret.
const HEX_DIGITS_MIN: usize = 32;

/// The secret, 16 to 128 bytes of it.
pub(crate) fn parse(text: &str) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let text = text.trim();
    if text.len() > TEXT_BYTES_MAX {
        return Err(Problem::SecretLong);
    }
    let forced = |prefix: &str| {
        let head = text.get(..prefix.len())?;
        head.eq_ignore_ascii_case(prefix).then(|| text[prefix.len()..].trim_start())
    };
    let secret = if let Some(digits) = forced("hex:") {
        hex(digits)?
    } else if let Some(digits) = forced("base32:") {
        base32(digits)?
    } else if looks_like_hex(text) {
        hex(text)?
    } else {
        base32(text)?
    };
    checked_secret(secret)
}

fn looks_like_hex(text: &str) -> bool {
    text.len() >= HEX_DIGITS_MIN
        && text.len().is_multiple_of(2)
        && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn hex(digits: &str) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let secret = HEXLOWER_PERMISSIVE.decode(digits.as_bytes());
    secret.map(Zeroizing::new).map_err(|_| Problem::SecretEncoding { encoding: "hexadecimal" })
}

/// Upper or lower case, spaces and dashes anywhere, padding complete or left out (RFC 4648 §6).
fn base32(text: &str) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let wrong = |encoding| Problem::SecretEncoding { encoding };
    let mut digits = Zeroizing::new(Vec::with_capacity(text.len()));
    digits.extend(
        text.bytes().filter(|byte| !matches!(byte, b' ' | b'-')).map(|byte| byte.to_ascii_uppercase()),
    );
    let significant = digits.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last + 1);
    let padding = digits.len() - significant;
    let is_complete = digits.len().is_multiple_of(8) && padding < 7;
    if padding > 0 && !is_complete {
        return Err(wrong(
            "base32 with right padding: leave all = signs out, or fill up to a multiple of eight",
        ));
    }
    let secret = BASE32_NOPAD.decode(&digits[..significant]);
    let secret =
        secret.map_err(|_| wrong("hexadecimal of 32 or more digits, nor base32 (A to Z, 2 to 7)"))?;
    Ok(Zeroizing::new(secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGITS: &str = "3132333435363738393031323334353637383930";

    // covers: A18
    #[test]
    fn a_secret_is_hexadecimal_or_base32_and_a_prefix_decides() {
        let check = |text: &str, secret: &[u8]| {
            assert_eq!(parse(text).expect(text).as_slice(), secret, "{text}");
        };
        let twenty = b"12345678901234567890";
        check(DIGITS, twenty);
        check(&format!(" hex: {DIGITS}"), twenty);
        check(&format!("HEX:{DIGITS}"), twenty);
        check("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", twenty);
        check("gezd gnbv gy3t qojq-gezd gnbv gy3t qojq", twenty);
        check("base32:GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", twenty);
        check("GEZDGNBVGY3TQOJQGEZDGNBVGY======", b"1234567890123456");
        check("GEZDGNBVGY3TQOJQGEZDGNBVGY", b"1234567890123456");
        // 32 characters that could be both.
        check("ABCDEF23ABCDEF23ABCDEF23ABCDEF23", &[0xab, 0xcd, 0xef, 0x23].repeat(4));
        assert_eq!(parse("base32:ABCDEF23ABCDEF23ABCDEF23ABCDEF23").expect("it is base32").len(), 20);
    }

    // covers: A18
    #[test]
    fn a_secret_of_the_wrong_length_or_alphabet_is_refused() {
        let check = |text: &str, problem: &str| {
            let found = parse(text).expect_err(text).to_string();
            assert!(found.contains(problem), "{text}: {found}");
        };
        check("", "empty");
        check("hex:", "empty");
        check("AE======", "too short: 1 of");
        check("hex:313233343536373839303132333435", "too short: 15 of");
        check(&"41".repeat(129), "at most 128 bytes");
        check(&"A".repeat(10_000_000), "at most 128 bytes");
        check("GEZDGNBVGY3TQOJQGEZDGNBVGY=", "right padding");
        check("GEZDGNBVGY3TQOJQ=GEZDGNBVGY", "base32");
        check("GEZDGNBVGY3TQOJQGEZDGNBVGYB", "base32");
        check("GEZDGNBVGY3TQOJQ01890189", "base32");
        check("hex:zz", "hexadecimal");
        check("hex:313", "hexadecimal");
        check("päßwörter", "base32");
        assert!(parse(&"41".repeat(128)).is_ok());
    }
}
