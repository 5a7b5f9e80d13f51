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

/// The same 16 bytes in base32 and in base64, without padding.
const BASE32_DIGITS_MIN: usize = 26;
const BASE64_DIGITS_MIN: usize = 22;

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

/// Whether a text that should be something else may be a secret: it holds a run of as many digits and letters as the
/// shortest secret has in hexadecimal, base32 or base64. Blanks and hyphens do not end a run; a UUID is none.
pub(crate) fn looks_like_secret(text: &str) -> bool {
    let symbols = || text.bytes().filter(|byte| !matches!(byte, b' ' | b'-'));
    let has_run = |length_min: usize, is_part: fn(&u8) -> bool| {
        let mut length = 0;
        symbols().any(|byte| {
            length = if is_part(&byte) { length + 1 } else { 0 };
            length >= length_min
        })
    };
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    // A number or a name may be that long; where upper and lower case and digits are mixed, it is neither.
    let is_mixed = || {
        let has = |is: fn(&u8) -> bool| symbols().any(|byte| is(&byte));
        has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase) && has(u8::is_ascii_digit)
    };
    !is_uuid(text)
        && (has_run(HEX_DIGITS_MIN, u8::is_ascii_hexdigit)
            || has_run(BASE32_DIGITS_MIN, |byte| byte.is_ascii_alphabetic() || matches!(byte, b'2'..=b'7'))
            || (has_run(BASE64_DIGITS_MIN, is_base64) && is_mixed()))
}

/// Makers use them as serials. No secret is written with hyphens in just these places.
fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(place, byte)| match place {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
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

    #[test]
    fn a_text_as_long_as_a_secret_looks_like_one() {
        for secret in [
            DIGITS,
            &DIGITS[..32],
            "GEZDGNBVGY3TQOJQGEZDGNBVGY",
            "gezd gnbv gy3t qojq-gezd gnbv gy3t qojq",
            "MTIzNDU2Nzg5MDEyMzQ1Njc4OTA=",
            "2600000005001;3132333435363738393031323334353637383930;hotp",
            "hex:3132333435363738393031323334353637383930",
        ] {
            assert!(looks_like_secret(secret), "{secret}");
        }
        for other in [
            "",
            "2600123456789",
            &DIGITS[..31],
            "GEZDGNBVGY3TQOJQGEZDGNBVG",
            "550e8400-e29b-41d4-a716-446655440000",
            "EXAMPLE-TOKEN-0123456789",
            "urn:ietf:params:xml:ns:keyprov:pskc:hotp",
            "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256",
            "http://www.rsasecurity.com/rsalabs/pkcs/schemas/pkcs-5v2-0#pbkdf1",
        ] {
            assert!(!looks_like_secret(other), "{other}");
        }
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
