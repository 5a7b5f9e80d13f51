//! Crockford's base 32: what people read, type and tell each other. It has no I, L, O and U.

use zeroize::Zeroizing;

/// The digits, by value.
const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Longest text that is looked at: the longest password with some spaces and dashes.
const TYPED_BYTES_MAX: usize = 64;

/// Characters of 128 bits.
const ID_CHARACTERS: usize = 26;

/// The digit of the lowest five bits.
pub fn digit(value: u128) -> u8 {
    DIGITS[usize::try_from(value & 31).expect("five bits")]
}

/// Reads what a person typed: spaces, dashes and case do not matter, `O` is 0, `I` and `L` are 1. `None` for anything
/// that has not exactly `N` digits.
pub fn typed<const N: usize>(text: &str) -> Option<Zeroizing<[u8; N]>> {
    if text.len() > TYPED_BYTES_MAX {
        return None;
    }
    let mut digits = Zeroizing::new([0; N]);
    let mut count = 0;
    for byte in text.bytes().filter(|byte| !matches!(byte, b' ' | b'-')) {
        let digit = match byte.to_ascii_uppercase() {
            b'O' => b'0',
            b'I' | b'L' => b'1',
            other => other,
        };
        if !DIGITS.contains(&digit) {
            return None;
        }
        *digits.get_mut(count)? = digit;
        count += 1;
    }
    (count == N).then_some(digits)
}

/// 128 bits as 26 digits.
pub fn id_text(id: u128) -> String {
    (0..ID_CHARACTERS).rev().map(|place| char::from(digit(id >> (5 * place)))).collect()
}

/// Reads the one form that [`id_text`] writes.
pub fn id_of(text: &str) -> Option<u128> {
    let value = |byte: u8| {
        DIGITS.iter().position(|known| *known == byte).and_then(|value| u128::try_from(value).ok())
    };
    if text.len() != ID_CHARACTERS {
        return None;
    }
    let id = text.bytes().try_fold(0_u128, |id, byte| id.checked_mul(32)?.checked_add(value(byte)?))?;
    (id_text(id) == text).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_form_and_reads_back() {
        for id in [0, 1, 31, 32, u128::MAX, 0x0123_4567_89ab_cdef_0011_2233_4455_6677] {
            assert_eq!(id_of(&id_text(id)), Some(id));
        }
        assert_eq!(id_text(u128::MAX), "7ZZZZZZZZZZZZZZZZZZZZZZZZZ");
        let other = [
            "",
            "11",
            "8ZZZZZZZZZZZZZZZZZZZZZZZZZ",
            "0000000000000000000000001l",
            "00000000000000000000000000 ",
        ];
        for other in other {
            assert_eq!(id_of(other), None, "{other:?}");
        }
    }

    #[test]
    fn typed_digits_may_be_grouped_and_misread() {
        assert_eq!(typed::<4>(" oI-l9 ").as_deref(), Some(b"0119"));
        for other in ["", "011", "01190", "011U", "01\t19", &"0".repeat(65)] {
            assert!(typed::<4>(other).is_none(), "{other:?}");
        }
    }
}
